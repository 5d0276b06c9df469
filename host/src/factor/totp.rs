//! Time-based one-time passwords: RFC 6238 over HMAC-SHA-1, six digits, steps of 30 s. These are
//! the values that every authenticator app knows; others are widely ignored.

use aws_lc_rs::hmac;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::base32;
use crate::secret::{NoRandomness, Secret, random_bytes};

/// RFC 4226 §4 R6: the length of the shared secret, 160 bits, is that of the hash.
const SECRET_BYTES: usize = 20;
/// RFC 6238 §4.1: the time step, in seconds.
pub(super) const STEP_S: u64 = 30;
/// How many digits a code has.
pub(super) const DIGITS: usize = 6;
/// What is left of the hash: 10 to the power of [`DIGITS`].
const MODULUS: u32 = 1_000_000;

/// A shared secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotpSecret(Secret<Vec<u8>>);

impl TotpSecret {
    /// A new one.
    ///
    /// # Errors
    ///
    /// Where there is no randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(Secret::new(random_bytes::<SECRET_BYTES>()?.to_vec())))
    }

    /// Reads what [`TotpSecret::text`] wrote. None for everything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = base32::decode(text)?;
        (bytes.len() == SECRET_BYTES).then(|| Self(Secret::new(bytes)))
    }

    /// The secret in base32, as a person types it into an app.
    #[must_use]
    pub fn text(&self) -> Secret<String> {
        Secret::new(base32::encode(self.0.expose()))
    }

    /// The code of one time step (RFC 4226 §5.3).
    fn code(&self, step: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.expose());
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let hash = tag.as_ref();
        let offset = usize::from(hash.last().copied().unwrap_or_default() & 0xf);
        let part = hash.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        let number = (u32::from_be_bytes(part) & 0x7fff_ffff) % MODULUS;
        format!("{number:0DIGITS$}")
    }

    /// Does `typed` show that an app has the secret? The code is not used up by that.
    #[must_use]
    pub fn is_shown(&self, typed: &str, now: u64) -> bool {
        super::totp_code(typed).is_some_and(|code| self.step_of(&code, now).is_some())
    }

    /// What the app shows at `now`.
    #[cfg(test)]
    pub(crate) fn shown(&self, now: u64) -> String {
        self.code(now / STEP_S)
    }

    /// The time step of which `code` is, among the one at `now` and those beside it (RFC 6238 §5.2):
    /// clocks differ, and typing takes its time. How long this takes tells nothing of the codes.
    pub(super) fn step_of(&self, code: &str, now: u64) -> Option<u64> {
        let current = now / STEP_S;
        let mut found = 0_u64;
        for step in current.saturating_sub(1)..=current.saturating_add(1) {
            let same = self.code(step).as_bytes().ct_eq(code.as_bytes());
            // A code that two steps share counts as the later one's: neither can be used again.
            found = u64::conditional_select(&found, &step.saturating_add(1), same);
        }
        found.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B.
    fn secret() -> TotpSecret {
        TotpSecret(Secret::new(b"12345678901234567890".to_vec()))
    }

    #[test]
    fn makes_the_codes_of_rfc_6238_appendix_b() {
        for (at, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000_u64, "353130"),
        ] {
            assert_eq!(secret().code(at / STEP_S), code, "{at}");
            assert_eq!(secret().step_of(code, at), Some(at / STEP_S), "{at}");
        }
    }

    #[test]
    fn a_code_counts_within_one_step_and_no_further() {
        let at = 1_111_111_111;
        let code = secret().code(at / STEP_S);
        for (now, counts) in [(at - 60, false), (at - 30, true), (at, true), (at + 30, true), (at + 60, false)] {
            assert_eq!(secret().step_of(&code, now).is_some(), counts, "{now}");
        }
    }

    #[test]
    fn what_is_no_code_is_none() {
        let at = 1_111_111_109;
        for text in ["", "81804", "0081804", "081804 ", "08180x", "\u{0660}81804", "281804"] {
            assert_eq!(secret().step_of(text, at), None, "{text:?}");
        }
        // The clock's ends.
        assert_eq!(secret().step_of("", 0), None);
        assert_eq!(secret().step_of("", u64::MAX), None);
    }

    #[test]
    fn a_secret_is_new_each_time_and_read_as_it_was_written() {
        let [one, other] = [0, 1].map(|_| TotpSecret::generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(TotpSecret::read(one.text().expose()), Some(one));
        for text in ["", "MZXW6===", "12345678901234567890123456789012", &"A".repeat(31), &"A".repeat(40)] {
            assert_eq!(TotpSecret::read(text), None, "{text}");
        }
    }
}
