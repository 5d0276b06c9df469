//! The gateway's own accounts: a TOML file with `[accounts.USERNAME]`.
//!
//! ```toml
//! [accounts.alice]
//! password = "$argon2id$v=19$m=19456,t=2,p=1$…"   # PHC string
//! email = "alice@example.com"       # default none
//! email-verified = true             # default true: the operator wrote it
//! display-name = "Alice Example"    # default none
//! given-name = "Alice"              # default none
//! family-name = "Example"           # default none
//! groups = ["staff"]                # default absent, which is not an empty list
//! disabled = false                  # default false
//! [accounts.alice.attributes]       # further claims, by name; default none
//! department = "physics"
//! ```
//!
//! An unknown name costs as much time as a wrong password, and gets the same answer.

use std::{collections::BTreeMap, path::Path};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{
        PasswordHasher as _, PasswordVerifier as _,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    error::{UpstreamError, refuse},
    verify,
};
use crate::{
    identity::{Email, VerifiedIdentity},
    secret::{Secret, random_bytes},
};

/// A longer password is refused unhashed.
const PASSWORD_BYTES_MAX: usize = 1024;
/// A longer file is refused.
const FILE_BYTES_MAX: usize = 4 << 20;
/// The most memory that one hash may ask for, in KiB: the file is the operator's, but a
/// slip of a digit must not take the machine down.
const MEMORY_KIB_MAX: u32 = 512 * 1024;
/// The most passes that one hash may ask for.
const PASSES_MAX: u32 = 64;

/// The accounts of one file.
#[derive(Debug)]
pub struct LocalAccounts {
    accounts: BTreeMap<String, Account>,
    /// What the password of an unknown name is compared with: nothing hashes to it.
    nobody: PasswordHash,
}

/// One account.
pub(super) struct Account {
    password: PasswordHash,
    email: Option<Email>,
    names: Vec<(&'static str, String)>,
    attributes: BTreeMap<String, Value>,
    pub(super) groups: Option<Vec<String>>,
    disabled: bool,
}

impl LocalAccounts {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// `accounts-unreadable`, `accounts-malformed`.
    pub fn read(path: &Path) -> Result<Self, UpstreamError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| refuse("accounts-unreadable", format!("{}: {error}", path.display())))?;
        Self::parse(&text).map_err(|error| refuse(error.code, format!("{}: {}", path.display(), error.detail)))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// `accounts-malformed`, with the place, and without what stands there.
    pub fn parse(text: &str) -> Result<Self, UpstreamError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(refuse("accounts-malformed", format!("the file is longer than {FILE_BYTES_MAX} bytes")));
        }
        let raw: RawFile = toml::from_str(text).map_err(|error| {
            // The error's own rendering quotes the line, and the line may be a hash.
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).map_or(1, |before| before.matches('\n').count().saturating_add(1));
            refuse("accounts-malformed", format!("line {line}: {}", first_words(error.message())))
        })?;
        let mut accounts = BTreeMap::new();
        for (username, raw) in raw.accounts {
            let account = Account::try_from(raw)
                .map_err(|problem| refuse("accounts-malformed", format!("accounts.{username}: {problem}")))?;
            if username.is_empty() || username.len() > 255 || username.chars().any(char::is_control) {
                return Err(refuse("accounts-malformed", "a username is empty, too long, or has a control character"));
            }
            accounts.insert(username, account);
        }
        let costliest =
            accounts.values().max_by_key(|account| account.cost()).map(|account| account.password.params.clone());
        Ok(Self { accounts, nobody: nobody(costliest)? })
    }

    /// How many of the accounts are not disabled.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.accounts.values().filter(|account| !account.disabled).count()
    }

    /// Does this username have this password? Takes tens of milliseconds and megabytes
    /// by design: call it where it may block, and not without bound; or use
    /// [`super::Upstreams::authenticate`], which sees to both.
    ///
    /// # Errors
    ///
    /// `credentials-refused` for a wrong password and for an unknown username alike;
    /// `account-disabled` only to whoever knows the password.
    pub fn authenticate(
        &self,
        upstream: &str,
        issuer: &str,
        username: &str,
        password: &Secret<String>,
        now: u64,
    ) -> Result<VerifiedIdentity, UpstreamError> {
        let refused = || refuse("credentials-refused", "the username or the password is wrong");
        let password = password.expose().as_bytes();
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(refused());
        }
        let account = self.accounts.get(username);
        let hash = account.map_or(&self.nobody, |account| &account.password);
        let right = Argon2::default().verify_password(password, hash).is_ok();
        match account {
            Some(account) if right && account.disabled => Err(refuse("account-disabled", "the account is disabled")),
            Some(account) if right => Ok(verify::local(upstream, issuer, username, account, now)),
            _ => Err(refused()),
        }
    }
}

/// `password` as a PHC string for the file: argon2id, 19 MiB, two passes (the crate's
/// default, and OWASP's).
///
/// # Errors
///
/// Where there is no randomness, or the password is too long.
pub fn hash_password(password: &Secret<String>) -> Result<String, UpstreamError> {
    let salt: [u8; 16] = random_bytes().map_err(|error| refuse("no-randomness", error.to_string()))?;
    let password = password.expose().as_bytes();
    let unusable = |detail: String| refuse("password-unusable", detail);
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(unusable(format!("a password has 1 to {PASSWORD_BYTES_MAX} bytes")));
    }
    let hash =
        Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT).hash_password_with_salt(password, &salt);
    hash.map(|hash: PasswordHash| hash.to_string()).map_err(|error| unusable(error.to_string()))
}

impl Account {
    pub(super) fn email(&self) -> Option<Email> {
        self.email.clone()
    }

    /// The account as claims, by OpenID Connect's names.
    pub(super) fn claims(&self, username: &str) -> BTreeMap<String, Value> {
        let mut claims = self.attributes.clone();
        claims.insert("preferred_username".to_owned(), username.into());
        claims.extend(self.names.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
        claims.extend(self.email.iter().map(|email| ("email".to_owned(), email.address.as_str().into())));
        claims
    }

    fn cost(&self) -> u64 {
        Params::try_from(&self.password).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
    }
}

impl TryFrom<RawAccount> for Account {
    type Error = &'static str;

    fn try_from(raw: RawAccount) -> Result<Self, Self::Error> {
        let password = PasswordHash::new(raw.password.expose()).map_err(|_| "`password` is no PHC string")?;
        if password.algorithm.as_str() != "argon2id" || password.hash.is_none() || password.salt.is_none() {
            return Err("`password` is no complete argon2id hash");
        }
        let params =
            Params::try_from(&password).map_err(|_| "`password` has parameters that argon2id does not know")?;
        if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX {
            return Err("`password` asks for more than 512 MiB or 64 passes");
        }
        let verified = raw.email_verified.unwrap_or(true);
        let names = [("name", raw.display_name), ("given_name", raw.given_name), ("family_name", raw.family_name)];
        Ok(Self {
            password,
            email: raw.email.map(|address| Email { address, verified }),
            names: names.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect(),
            attributes: raw.attributes,
            groups: raw.groups,
            disabled: raw.disabled,
        })
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("disabled", &self.disabled).finish_non_exhaustive()
    }
}

/// A hash of the same cost as `params` that no password has, but by a chance of 2^-256.
fn nobody(params: Option<ParamsString>) -> Result<PasswordHash, UpstreamError> {
    let no_randomness = |error: crate::secret::NoRandomness| refuse("no-randomness", error.to_string());
    let salt: [u8; 16] = random_bytes().map_err(no_randomness)?;
    let output: [u8; 32] = random_bytes().map_err(no_randomness)?;
    let unusable = |_| refuse("accounts-malformed", "the parameters of a password hash cannot be used again");
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: match params {
            Some(params) => params,
            None => {
                ParamsString::try_from(&Params::DEFAULT).map_err(|_| refuse("accounts-malformed", "no parameters"))?
            }
        },
        salt: Some(Salt::new(&salt).map_err(unusable)?),
        hash: Some(Output::new(&output).map_err(unusable)?),
    })
}

/// The message up to what it might quote.
fn first_words(message: &str) -> &str {
    message.split(['"', ':']).next().unwrap_or_default().trim_end()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    accounts: BTreeMap<String, RawAccount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAccount {
    #[serde(deserialize_with = "secret")]
    password: Secret<String>,
    email: Option<String>,
    email_verified: Option<bool>,
    display_name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    groups: Option<Vec<String>>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

#[cfg(test)]
#[path = "tests/local.rs"]
mod tests;
