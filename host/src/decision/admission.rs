//! The outcome of a decision that ended in yes.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::{Claim, SessionTerms};
use crate::identity::Identity;

/// What the application already knows of a subject.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// May the account be used?
    pub active: bool,
    /// The account's groups.
    pub groups: Vec<String>,
    /// What else is known of it.
    #[serde(default)]
    pub attributes: Vec<Claim>,
}

/// How the account is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchKey {
    /// By its username.
    Username(String),
    /// By its email address.
    Email(String),
}

/// Who the subject is to the application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// How the account is found.
    pub match_key: Option<MatchKey>,
    /// The username.
    pub username: Option<String>,
    /// The email address.
    pub email: Option<String>,
    /// The given name.
    pub given_name: Option<String>,
    /// The family name.
    pub family_name: Option<String>,
    /// The full name.
    pub display_name: Option<String>,
    /// Custom attributes, such as `department`.
    pub attributes: Vec<Claim>,
}

/// What a login changes in the account's groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Groups that the account gets, sorted.
    pub added: Vec<String>,
    /// Groups that the account loses, sorted.
    pub removed: Vec<String>,
    /// Groups that the account then has, sorted.
    pub groups: Vec<String>,
}

/// What was decided about one subject for one application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admitted {
    /// The login's id, as in the audit.
    pub login: String,
    /// The application.
    pub application: String,
    /// The tenant.
    pub tenant: String,
    /// The generation that decided.
    pub generation: u64,
    /// Who.
    pub identity: Identity,
    /// Who to the application.
    pub profile: Profile,
    /// Which groups.
    pub groups: Difference,
    /// On what terms.
    pub terms: SessionTerms,
    /// When it was decided, in seconds since 1970-01-01 UTC.
    pub at: u64,
}

/// Proof that a decision let this identity into this application. Sessions, codes and
/// assertions are made from it only.
///
/// It cannot be built outside [`crate::login`], nor read back from anywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission(Admitted);

impl Admission {
    /// States that the policies admitted. Called by `login/decide.rs` alone; a test holds
    /// that.
    pub(crate) const fn assertion(admitted: Admitted) -> Self {
        Self(admitted)
    }
}

impl Deref for Admission {
    type Target = Admitted;

    fn deref(&self) -> &Admitted {
        &self.0
    }
}
