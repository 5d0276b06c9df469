//! What an application already knows: its accounts and its groups, as a TOML file.
//!
//! ```toml
//! groups = ["staff", "wiki-users"]     # left out: every group counts as known
//!
//! [[accounts]]
//! username = "ann"
//! email = "ann@example.com"
//! active = true                        # default true
//! groups = ["staff"]                   # default none
//! protected = false                    # default false: may be matched by name or address
//! linked = { issuer = "https://idp.example.com", subject = "1234" }   # default: nobody
//! attributes = { department = "IT" }   # default none
//! ```
//!
//! The file is read again when it has changed. It is never written: what a login would
//! change is in the decision's record, for whoever provisions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use serde::Deserialize;

use crate::{
    config::Upstream,
    decision::{Account, Claim, Denial, DenyCode, MatchKey, Value},
    identity::{Email, Identity},
    upstream::authoritative,
};

/// A larger directory belongs into something else than a file.
const DIRECTORY_BYTES_MAX: u64 = 64 << 20;

/// An application's accounts and groups.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Directory {
    /// The groups; none where nobody told us.
    pub(super) groups: Option<BTreeSet<String>>,
    accounts: Vec<Known>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    username: Option<String>,
    email: Option<String>,
    #[serde(default = "yes")]
    active: bool,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    protected: bool,
    linked: Option<Link>,
    #[serde(default)]
    attributes: BTreeMap<String, toml::Value>,
}

/// Whose account it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    issuer: String,
    subject: String,
}

const fn yes() -> bool {
    true
}

/// The file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// It could not be read.
    #[error("failed to read the directory {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too large.
    #[error("failed to read the directory {path}: larger than {bytes_max} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// It is not a directory of accounts.
    #[error("failed to understand the directory {path}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why; without the file's text, which is personal data.
        message: String,
    },
}

impl Directory {
    /// The account that the operator linked to this (issuer, subject).
    ///
    /// # Errors
    ///
    /// `account-ambiguous` where there are two.
    pub(super) fn linked(&self, identity: &Identity) -> Result<Option<Account>, Denial> {
        self.only(|known| known.linked.as_ref().is_some_and(|link| link.is(identity)))
            .map(|known| known.map(Known::account))
    }

    /// The account that `key` finds, for a subject that has no linked one.
    ///
    /// # Errors
    ///
    /// `account-linked` where it belongs to another (issuer, subject), `account-protected`,
    /// `account-ambiguous` where two fit, and `email-not-verified` where it would be found
    /// by an address that the upstream does not vouch for.
    pub(super) fn matched(
        &self,
        key: &MatchKey,
        identity: &Identity,
        upstream: &Upstream,
    ) -> Result<Option<Account>, Denial> {
        let found = match key {
            MatchKey::Username(username) => self.only(|known| known.username.as_ref() == Some(username))?,
            // The part before the `@` may in theory differ by case; two accounts that do
            // are refused as ambiguous.
            MatchKey::Email(email) => {
                self.only(|known| known.email.as_ref().is_some_and(|address| address.eq_ignore_ascii_case(email)))?
            }
        };
        let Some(known) = found else { return Ok(None) };
        if known.linked.is_some() {
            return Err(Denial::by_host(
                DenyCode::AccountLinked,
                "the account that fits is linked to another issuer and subject",
            ));
        }
        if known.protected {
            return Err(Denial::by_host(DenyCode::AccountProtected, "the account that fits is protected"));
        }
        if !is_proved(key, identity, upstream) {
            return Err(Denial::by_host(
                DenyCode::EmailNotVerified,
                "the account would be found by an email address that the upstream does not vouch for",
            ));
        }
        Ok(Some(known.account()))
    }

    fn only(&self, fits: impl Fn(&Known) -> bool) -> Result<Option<&Known>, Denial> {
        let mut fitting = self.accounts.iter().filter(|known| fits(known));
        let first = fitting.next();
        if fitting.next().is_some() {
            return Err(Denial::by_host(DenyCode::AccountAmbiguous, "more than one account fits"));
        }
        Ok(first)
    }
}

/// Does the upstream vouch for what finds the account? An email address must be the verified
/// one. A username is the upstream's own affair, unless it reads like an address: then it is
/// the verified one, or of a domain that the configuration says is this upstream's.
fn is_proved(key: &MatchKey, identity: &Identity, upstream: &Upstream) -> bool {
    let is_verified = |text: &str| {
        identity.email.as_ref().is_some_and(|email| email.verified && email.address.eq_ignore_ascii_case(text))
    };
    let is_verified_or_not_it = |text: &str| {
        identity.email.as_ref().is_none_or(|email| email.verified || !email.address.eq_ignore_ascii_case(text))
    };
    match key {
        MatchKey::Email(key) => is_verified(key),
        MatchKey::Username(key) if key.contains('@') => {
            let own = Email { address: key.clone(), verified: true };
            is_verified(key)
                || (upstream.domains.is_some() && authoritative(upstream, &own) && is_verified_or_not_it(key))
        }
        MatchKey::Username(_) => true,
    }
}

impl Link {
    fn is(&self, identity: &Identity) -> bool {
        self.issuer == identity.issuer && self.subject == identity.subject
    }
}

impl Known {
    fn account(&self) -> Account {
        let own = [("username", &self.username), ("email", &self.email)]
            .into_iter()
            .filter_map(|(name, value)| Some(Claim { name: name.into(), value: Value::Text(value.clone()?) }));
        let further =
            self.attributes.iter().map(|(name, value)| Claim { name: name.clone(), value: claim_value(value) });
        Account { active: self.active, groups: self.groups.clone(), attributes: own.chain(further).collect() }
    }
}

fn claim_value(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::Text(text.clone()),
        toml::Value::Integer(number) => Value::Integer(*number),
        toml::Value::Float(number) => Value::Number(*number),
        toml::Value::Boolean(truth) => Value::Boolean(*truth),
        toml::Value::Array(items) if items.iter().all(toml::Value::is_str) => {
            Value::Texts(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        }
        other => Value::Json(serde_json::to_string(other).unwrap_or_else(|_| "null".into())),
    }
}

/// The directories that were read, each with the state of its file.
#[derive(Default)]
pub(super) struct Directories(Mutex<HashMap<PathBuf, Cached>>);

struct Cached {
    modified: SystemTime,
    bytes: u64,
    directory: Arc<Directory>,
}

impl Directories {
    /// The directory as it is now. Blocks.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or understood: no decision is made without it.
    pub(super) fn read(&self, path: &Path) -> Result<Arc<Directory>, DirectoryError> {
        let failed = |source| DirectoryError::Read { path: path.to_owned(), source };
        let state = fs::metadata(path).map_err(failed)?;
        let (modified, bytes) = (state.modified().map_err(failed)?, state.len());
        if bytes > DIRECTORY_BYTES_MAX {
            return Err(DirectoryError::TooLarge { path: path.to_owned(), bytes_max: DIRECTORY_BYTES_MAX });
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = known.get(path)
            && cached.modified == modified
            && cached.bytes == bytes
        {
            return Ok(Arc::clone(&cached.directory));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let directory: Arc<Directory> = Arc::new(toml::from_str(&text).map_err(|error| DirectoryError::Malformed {
            path: path.to_owned(),
            message: error.message().to_owned(),
        })?);
        known.insert(path.to_owned(), Cached { modified, bytes, directory: Arc::clone(&directory) });
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, parse},
        identity::Protocol,
    };

    fn directory() -> Directory {
        toml::from_str(
            r#"
            groups = ["staff"]
            [[accounts]]
            username = "ann"
            email = "ann@example.com"
            groups = ["staff"]
            attributes = { department = "IT", floors = ["1", "2"] }
            [[accounts]]
            username = "bob"
            email = "bob@example.com"
            linked = { issuer = "https://idp.example.com", subject = "bob-1" }
            [[accounts]]
            username = "root"
            email = "root@example.com"
            protected = true
            [[accounts]]
            username = "twin-1"
            email = "Twin@example.com"
            [[accounts]]
            username = "twin-2"
            email = "twin@example.com"
            [[accounts]]
            username = "carol@example.com"
            email = "carol@example.com"
            "#,
        )
        .unwrap()
    }

    /// An upstream, maybe with `domains` of its own.
    fn upstream(domains: Option<&str>) -> Upstream {
        let domains = domains.map(|domains| format!("domains = {domains}\n")).unwrap_or_default();
        let text = format!(
            "[server]\npublic-url = \"https://login.example.com\"\n[upstreams.corp]\npreset = \"google\"\n\
             client-id = \"c\"\nclient-secret = \"s\"\n{domains}"
        );
        let Config { mut upstreams, .. } =
            parse(&text, Path::new("vestibule.toml"), &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
        upstreams.remove("corp").unwrap()
    }

    fn identity(subject: &str, email: &str, verified: bool) -> Identity {
        Identity {
            upstream: "corp".into(),
            protocol: Protocol::Oidc,
            issuer: "https://idp.example.com".into(),
            subject: subject.into(),
            email: Some(Email { address: email.into(), verified }),
            groups: crate::identity::GroupClaim::Absent,
            auth_time: None,
            acr: None,
            amr: vec![],
            claims: BTreeMap::new(),
        }
    }

    fn code(result: Result<Option<Account>, Denial>) -> Option<DenyCode> {
        result.err().map(|denial| denial.code)
    }

    #[test]
    fn finds_the_linked_account_by_issuer_and_subject_together() {
        assert!(directory().linked(&identity("bob-1", "x@example.org", false)).unwrap().is_some());
        assert!(directory().linked(&identity("bob-2", "bob@example.com", true)).unwrap().is_none());
        let elsewhere = Identity { issuer: "https://idp.example.net".into(), ..identity("bob-1", "x@y.z", true) };
        assert!(directory().linked(&elsewhere).unwrap().is_none(), "a subject is unique only with its issuer");
    }

    #[test]
    fn finds_an_account_by_username_exactly_and_by_email_without_case() {
        let ann = identity("1", "ANN@example.com", true);
        let by_name = directory().matched(&MatchKey::Username("ann".into()), &ann, &upstream(None)).unwrap().unwrap();
        assert_eq!(by_name.groups, ["staff"]);
        assert!(by_name.attributes.contains(&Claim { name: "department".into(), value: Value::Text("IT".into()) }));
        assert!(directory().matched(&MatchKey::Username("Ann".into()), &ann, &upstream(None)).unwrap().is_none());
        assert!(
            directory().matched(&MatchKey::Email("Ann@Example.com".into()), &ann, &upstream(None)).unwrap().is_some()
        );
    }

    #[test]
    fn refuses_an_account_that_belongs_to_another_subject() {
        let other = identity("mallory", "bob@example.com", true);
        for key in [MatchKey::Username("bob".into()), MatchKey::Email("bob@example.com".into())] {
            assert_eq!(code(directory().matched(&key, &other, &upstream(None))), Some(DenyCode::AccountLinked));
        }
    }

    #[test]
    fn refuses_a_protected_account_to_everybody() {
        let root = identity("root", "root@example.com", true);
        for key in [MatchKey::Username("root".into()), MatchKey::Email("root@example.com".into())] {
            assert_eq!(code(directory().matched(&key, &root, &upstream(None))), Some(DenyCode::AccountProtected));
        }
    }

    #[test]
    fn refuses_where_two_accounts_fit() {
        let twin = identity("twin", "twin@example.com", true);
        let key = MatchKey::Email("twin@example.com".into());
        assert_eq!(code(directory().matched(&key, &twin, &upstream(None))), Some(DenyCode::AccountAmbiguous));
    }

    #[test]
    fn a28_an_unverified_address_finds_no_account() {
        let attacker = identity("attacker", "ann@example.com", false);
        let key = MatchKey::Email("ann@example.com".into());
        assert_eq!(code(directory().matched(&key, &attacker, &upstream(None))), Some(DenyCode::EmailNotVerified));
    }

    #[test]
    fn a28_an_address_other_than_the_verified_one_finds_no_account() {
        let attacker = identity("attacker", "attacker@example.org", true);
        let key = MatchKey::Email("ann@example.com".into());
        assert_eq!(code(directory().matched(&key, &attacker, &upstream(None))), Some(DenyCode::EmailNotVerified));
        let silent = Identity { email: None, ..attacker };
        assert_eq!(code(directory().matched(&key, &silent, &upstream(None))), Some(DenyCode::EmailNotVerified));
    }

    #[test]
    fn a28_an_unverified_address_finds_no_account_as_a_username_either() {
        let attacker = identity("attacker", "Carol@example.com", false);
        let key = MatchKey::Username("carol@example.com".into());
        assert_eq!(code(directory().matched(&key, &attacker, &upstream(None))), Some(DenyCode::EmailNotVerified));
    }

    #[test]
    fn a28_a30_a_username_that_reads_like_an_address_is_held_to_the_same_rules() {
        let key = MatchKey::Username("carol@example.com".into());
        let matched =
            |identity: &Identity, domains: Option<&str>| code(directory().matched(&key, identity, &upstream(domains)));
        // The verified address itself, from whichever upstream may state it.
        assert_eq!(matched(&identity("carol", "carol@example.com", true), None), None);
        // Another address, or none: then only who speaks for the domain may name one of it.
        let elsewhere = identity("attacker", "attacker@evil.example", true);
        let silent = Identity { email: None, ..elsewhere.clone() };
        for attacker in [&elsewhere, &silent] {
            assert_eq!(matched(attacker, None), Some(DenyCode::EmailNotVerified));
            assert_eq!(matched(attacker, Some("[\"evil.example\"]")), Some(DenyCode::EmailNotVerified));
            assert_eq!(matched(attacker, Some("[\".example.com\"]")), Some(DenyCode::EmailNotVerified));
            assert_eq!(matched(attacker, Some("[\"example.com\"]")), None, "the domain is this upstream's");
        }
        // Its own flag says that the address is not verified: then it is not.
        let unverified = identity("carol", "carol@example.com", false);
        assert_eq!(matched(&unverified, Some("[\"example.com\"]")), Some(DenyCode::EmailNotVerified));
    }

    #[test]
    fn reads_a_changed_file_again_and_refuses_a_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.toml");
        let directories = Directories::default();
        assert!(matches!(directories.read(&path), Err(DirectoryError::Read { .. })));
        fs::write(&path, "groups = [\"a\"]").unwrap();
        assert_eq!(directories.read(&path).unwrap().groups, Some(["a".to_owned()].into()));
        fs::write(&path, "groups = [\"a\", \"b\"]").unwrap();
        assert_eq!(directories.read(&path).unwrap().groups.as_ref().map(BTreeSet::len), Some(2));
        fs::write(&path, "[[accounts]]\nusernam = \"ann@example.com\"").unwrap();
        let error = directories.read(&path).unwrap_err();
        assert!(matches!(error, DirectoryError::Malformed { .. }));
        assert!(!format!("{error} {error:?}").contains("ann@example.com"), "no personal data in errors");
    }
}
