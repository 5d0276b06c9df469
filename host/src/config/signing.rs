//! Who may vouch for a component, or for a pack: `trusted-keys`, `signatures-required`, `revoked-keys`.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::check::{Check, Text, join};

/// What a minisign public key begins with: Ed25519.
const ALGORITHM: &[u8] = b"Ed";

/// A minisign public key: two bytes of algorithm, eight of key id, 32 of Ed25519 key.
const KEY_BYTES: usize = 42;

/// `trusted-keys`, `signatures-required` and `revoked-keys`.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// `trusted-keys`: who may sign, by name.
    pub keys: BTreeMap<String, PublicKey>,
    /// `signatures-required`: so many of them must have signed; 0 looks at no signature, which a pack never has.
    pub required: usize,
    /// `revoked-keys`: keys that count no more.
    pub revoked: Vec<Revoked>,
}

/// A minisign public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; KEY_BYTES],
}

/// A key that counts no more, by its id or itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The id alone, as minisign prints it.
    Id(String),
    /// The key.
    Key(PublicKey),
}

impl Trust {
    /// Is the key revoked?
    #[must_use]
    pub fn is_revoked(&self, key: &PublicKey) -> bool {
        self.revoked.iter().any(|revoked| match revoked {
            Revoked::Id(id) => *id == key.id(),
            Revoked::Key(other) => other.is_same_key(key),
        })
    }

    /// Is a key with this id revoked?
    #[must_use]
    pub fn is_revoked_id(&self, id: &str) -> bool {
        self.revoked.iter().any(|revoked| match revoked {
            Revoked::Id(other) => other == id,
            Revoked::Key(key) => key.id() == id,
        })
    }
}

impl PublicKey {
    /// Reads a key: its line in base64, alone or under its comment, as a `.pub` file has it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = match (lines.next(), lines.next(), lines.next()) {
            (Some(line), None, None) => line,
            (Some(comment), Some(line), None) if comment.starts_with("untrusted comment:") => line,
            _ => return Err("not a minisign public key: one line of base64, or the two lines of a `.pub` file"),
        };
        let bytes = STANDARD.decode(line).map_err(|_| "not a minisign public key: it is no base64")?;
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| "not a minisign public key: it has not 42 bytes")?;
        if bytes.starts_with(ALGORITHM) {
            Ok(Self { bytes })
        } else {
            Err("not a minisign public key: it is for another algorithm than Ed25519")
        }
    }

    /// The id, as minisign prints it: 16 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        key_id(self.bytes.get(2..10).unwrap_or_default())
    }

    /// The key in base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.bytes)
    }

    /// The same key, whatever its id says: an id can be chosen freely.
    #[must_use]
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.bytes.get(10..) == other.bytes.get(10..)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_base64())
    }
}

/// Eight bytes, the least significant first, as minisign prints them.
#[must_use]
pub fn key_id(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

/// The keys as they are written.
#[derive(Default)]
pub(super) struct RawTrust {
    pub(super) keys: BTreeMap<String, Text>,
    pub(super) required: Option<u32>,
    pub(super) revoked: Vec<String>,
}

impl RawTrust {
    /// `section` has the keys. `remembers`: is there a `versions-file`?
    pub(super) fn check(self, check: &mut Check<'_>, section: &str, remembers: bool) -> Trust {
        let keys = trusted(check, section, &self.keys);
        let revoked = revoked(check, section, &self.revoked);
        let required_key = join(section, "signatures-required");
        let named = self.keys.len();
        let required =
            self.required.map_or(usize::from(named > 0), |required| usize::try_from(required).unwrap_or(usize::MAX));
        let trust = Trust { keys, required, revoked };
        if trust.required == 0 && named > 0 {
            check.warn(
                &required_key,
                "there are trusted keys, and no signature is looked at",
                "`signatures-required = 1`",
            );
        }
        let good = trust.keys.values().filter(|key| !trust.is_revoked(key)).count();
        // A key that is wrong in itself has been told already.
        if trust.required > good && trust.keys.len() == named {
            let key = if self.required.is_some() { required_key } else { join(section, "trusted-keys") };
            let message = format!("{} must sign, and {good} may: nothing could come into force", trust.required);
            check.error(&key, message, "no more than there are trusted keys that are not revoked", "");
        }
        if trust.required > 0 && !remembers {
            let hint = "a signature is good for ever: only who remembers what was in force notices an older version";
            check.missing("policies", "versions-file", "a path, such as `state/versions.json`", hint);
        }
        trust
    }
}

fn trusted(check: &mut Check<'_>, section: &str, raw: &BTreeMap<String, Text>) -> BTreeMap<String, PublicKey> {
    let mut keys: BTreeMap<String, PublicKey> = BTreeMap::new();
    for (name, text) in raw {
        let key = join(&join(section, "trusted-keys"), name);
        check.id(&key, name);
        let Some(text) = check.text(&key, text) else { continue };
        match PublicKey::parse(&text) {
            Err(message) => check.error(&key, message, "a minisign public key", "`vestibule policy keygen` makes one"),
            Ok(public) => {
                let twin = keys.iter().find(|(_, other)| other.is_same_key(&public) || other.id() == public.id());
                if let Some((other, _)) = twin {
                    // Two names for one key would be two signatures for the price of one.
                    check.error(&key, format!("`{other}` is the same key"), "each key once", "");
                }
                keys.insert(name.clone(), public);
            }
        }
    }
    keys
}

fn revoked(check: &mut Check<'_>, section: &str, raw: &[String]) -> Vec<Revoked> {
    let mut revoked = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            revoked.push(Revoked::Id(text.to_ascii_uppercase()));
            continue;
        }
        match PublicKey::parse(text) {
            Ok(key) => revoked.push(Revoked::Key(key)),
            Err(message) => {
                let key = format!("{section}.revoked-keys[{index}]");
                check.error(&key, message, "a minisign public key, or its id of 16 hex digits", "");
            }
        }
    }
    revoked
}

/// Keys of `[policies]` that are no policies' names.
pub(super) const OWN_KEYS: [&str; 9] = [
    "cache",
    "limits",
    "pack",
    "poll-ms",
    "revoked-keys",
    "rollback",
    "signatures-required",
    "trusted-keys",
    "versions-file",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// From minisign's own documentation.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn reads_a_key_alone_and_under_its_comment() {
        let key = PublicKey::parse(KEY).unwrap();
        assert_eq!(key.id(), "E7620F1842B4E81F");
        assert_eq!(key.to_base64(), KEY);
        let file = format!("untrusted comment: minisign public key E7620F1842B4E81F\n{KEY}\n");
        assert_eq!(PublicKey::parse(&file).unwrap(), key);
        for wrong in ["", "x", "AAAA", &KEY.replacen("RWQ", "RWX", 1), &format!("{KEY}\n{KEY}"), &KEY[..40]] {
            assert!(PublicKey::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_revoked_by_itself_and_by_its_id() {
        let key = PublicKey::parse(KEY).unwrap();
        let trust = |revoked| Trust { revoked, ..Trust::default() };
        assert!(!trust(vec![]).is_revoked(&key));
        assert!(trust(vec![Revoked::Id(key.id())]).is_revoked(&key));
        assert!(trust(vec![Revoked::Key(key.clone())]).is_revoked(&key));
        // The same key under another id.
        let mut renamed = key.clone();
        renamed.bytes[2] ^= 1;
        assert!(trust(vec![Revoked::Key(key)]).is_revoked(&renamed));
    }
}
