//! Recovery codes: for whoever has lost the authenticator. Each counts once, is shown once, and is
//! kept as an argon2id hash.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::base32;
use crate::secret::{NoRandomness, Secret, random_bytes};

/// How many there are in a set.
pub const RECOVERY_CODES: usize = 10;
/// Bits enough that nobody guesses one, however often they may try.
const CODE_BYTES: usize = 10;
/// Letters of a code.
const CODE_CHARS: usize = 16;
/// A hyphen stands after so many letters.
const GROUP: usize = 4;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What is kept of a set: the hashes of the codes that were not used yet. One salt serves all of
/// them, so that a code costs one hash to look for: they are random, and no two sets share a salt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecoveryCodes {
    salt: String,
    hashes: Vec<String>,
}

impl RecoveryCodes {
    /// A new set, and its codes as a person writes them down. Takes a good part of a second.
    pub(super) fn generate() -> Result<(Self, Vec<Secret<String>>), NoRandomness> {
        let salt = URL_SAFE_NO_PAD.encode(random_bytes::<SALT_BYTES>()?);
        let mut set = Self { salt, hashes: Vec::with_capacity(RECOVERY_CODES) };
        let mut codes = Vec::with_capacity(RECOVERY_CODES);
        while codes.len() < RECOVERY_CODES {
            let letters = Secret::new(base32::encode(&random_bytes::<CODE_BYTES>()?));
            // Without a hash there would be a code that never counts.
            if let Some(hash) = set.hash(letters.expose()) {
                set.hashes.push(hash);
                codes.push(Secret::new(grouped(letters.expose())));
            }
        }
        Ok((set, codes))
    }

    /// Uses up the code that has this hash. False where it is none of these.
    pub(super) fn take(&mut self, hash: &str) -> bool {
        let mut found = None;
        for (index, kept) in self.hashes.iter().enumerate() {
            if bool::from(kept.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(index);
            }
        }
        found.map(|index| self.hashes.remove(index)).is_some()
    }

    /// How many are left.
    pub(super) const fn left(&self) -> usize {
        self.hashes.len()
    }

    /// Is it as this version writes it?
    pub(super) fn is_sound(&self) -> bool {
        let is = |text: &str, bytes: usize| URL_SAFE_NO_PAD.decode(text).is_ok_and(|decoded| decoded.len() == bytes);
        is(&self.salt, SALT_BYTES)
            && self.hashes.len() <= RECOVERY_CODES
            && self.hashes.iter().all(|hash| is(hash, HASH_BYTES))
    }

    /// The hash of a code under this set's salt. Takes tens of milliseconds and megabytes by design.
    pub(super) fn hash(&self, code: &str) -> Option<String> {
        let mut hash = [0; HASH_BYTES];
        let salt = URL_SAFE_NO_PAD.decode(&self.salt).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
        argon2.hash_password_into(code.as_bytes(), &salt, &mut hash).ok()?;
        Some(URL_SAFE_NO_PAD.encode(hash))
    }
}

/// The letters of a recovery code, however it was typed. None for what cannot be one.
pub(super) fn read(typed: &str) -> Option<Secret<String>> {
    let letters: String = typed.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let letters = letters.to_ascii_uppercase();
    (letters.len() == CODE_CHARS && base32::decode(&letters).is_some()).then(|| Secret::new(letters))
}

/// `abcd-efgh-ijkl-mnop`
fn grouped(letters: &str) -> String {
    let mut text = String::with_capacity(CODE_CHARS + CODE_CHARS / GROUP);
    for (index, letter) in letters.chars().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_counts_once_however_it_is_typed() {
        let (mut set, codes) = RecoveryCodes::generate().unwrap();
        assert_eq!((codes.len(), set.left()), (RECOVERY_CODES, RECOVERY_CODES));
        assert!(set.is_sound());
        let spelt = [codes[0].expose().clone(), codes[1].expose().to_uppercase(), codes[2].expose().replace('-', " ")];
        for (index, typed) in spelt.iter().enumerate() {
            let read = read(typed).unwrap();
            let hash = set.hash(read.expose()).unwrap();
            assert!(set.take(&hash), "{index}");
            assert!(!set.take(&hash), "{index}: a second time");
            assert_eq!(set.left(), RECOVERY_CODES - 1 - index);
        }
    }

    #[test]
    fn what_is_kept_does_not_tell_the_codes() {
        let (set, codes) = RecoveryCodes::generate().unwrap();
        let kept = serde_json::to_string(&set).unwrap().to_lowercase();
        for code in &codes {
            assert!(!kept.contains(&code.expose().replace('-', "")));
        }
    }

    #[test]
    fn what_cannot_be_a_code_costs_no_hash() {
        for typed in
            ["", "123456", "aaaa-bbbb-cccc", "aaaa-bbbb-cccc-dddd-eeee", "aaaa-bbbb-cccc-ddd1", "äaaa-bbbb-cccc-ddd"]
        {
            assert!(read(typed).is_none(), "{typed}");
        }
    }
}
