//! The questions and answers of each hook, in the host's own types. They mirror
//! `wit/policy.wit`; `policy/convert.rs` keeps the two in step.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Reason;

/// The hooks that a policy may export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Which upstream authenticates the subject.
    Route,
    /// May this verified identity log in?
    Admit,
    /// Who the subject is to the application.
    Profile,
    /// Which groups the subject has in the application.
    Groups,
    /// May an account be created, updated, reactivated?
    Provision,
    /// For how long, and on what terms.
    Session,
    /// May this request of a live session pass?
    Access,
    /// Where a logout ends.
    Logout,
}

impl Hook {
    /// Every hook, in the order in which a login meets them.
    pub const ALL: [Self; 8] = [
        Self::Route,
        Self::Admit,
        Self::Profile,
        Self::Groups,
        Self::Provision,
        Self::Session,
        Self::Access,
        Self::Logout,
    ];

    /// The name in WIT, manifests and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Admit => "admit",
            Self::Profile => "profile",
            Self::Groups => "groups",
            Self::Provision => "provision",
            Self::Session => "session",
            Self::Access => "access",
            Self::Logout => "logout",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Anything else, as JSON text with sorted keys.
    Json(String),
}

/// One statement about a subject, an account or a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The claim's name.
    pub name: String,
    /// The claim's value.
    pub value: Value,
}

/// What the host vouches for in a decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// The login's id: the key under which the audit has this decision.
    pub login: String,
    /// When the decision is made, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// The organization that the application belongs to.
    pub tenant: String,
    /// The application that the subject wants to enter.
    pub application: String,
    /// The user agent's address, where it is known.
    #[serde(default)]
    pub address: Option<String>,
    /// Everything that a manifest may ask for; the sandbox hands each policy only the
    /// facts that its own manifest names.
    #[serde(default)]
    pub facts: Vec<Claim>,
}

/// The question of `route`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// What the person typed on the identifier page.
    #[serde(default)]
    pub identifier: Option<String>,
    /// Ids of the upstreams open to this application, in display order.
    pub upstreams: Vec<String>,
    /// The upstream used last from this user agent.
    #[serde(default)]
    pub previous: Option<String>,
    /// Upstreams that already failed in this login.
    #[serde(default)]
    pub failed: Vec<String>,
}

/// Leave for an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The upstream's id.
    pub upstream: String,
    /// Show the page for this long before leaving, in seconds. 0 leaves at once.
    #[serde(default)]
    pub delay: u32,
    /// OIDC Core §3.1.2.1 `login_hint`.
    #[serde(default)]
    pub login_hint: Option<String>,
    /// OIDC Core §3.1.2.1 `acr_values`.
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// OIDC Core §3.1.2.1 `max_age`, in seconds.
    #[serde(default)]
    pub max_age: Option<u32>,
}

/// The answer of `route`. `pass` has been dealt with by the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Leave for an upstream.
    Redirect(Redirect),
    /// Ask for a username or an email address first.
    AskIdentifier,
    /// Let the person choose among these.
    Choose(Vec<Redirect>),
    /// The gateway's own login form.
    LocalForm,
    /// Leave the login to the application.
    ApplicationForm,
    /// No login here.
    Refuse(Reason),
}

/// A stronger or newer authentication that a policy asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepUp {
    /// OIDC Core §3.1.2.1 `acr_values`; empty asks for none.
    pub acr_values: Vec<String>,
    /// At most so many seconds since the subject last authenticated.
    pub max_age: Option<u32>,
    /// Why, one for each policy that asked.
    pub reasons: Vec<Reason>,
}

/// The answer of the chain's `admit` hooks together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admit {
    /// At least one allowed, none denied, none asked for more.
    Allow(Vec<Reason>),
    /// At least one allowed, none denied, and these ask for more.
    StepUp(StepUp),
}

/// When an account's attributes are updated. In order of restriction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// Never.
    Never,
    /// When the account is created.
    OnCreation,
    /// On every login.
    #[default]
    EveryLogin,
}

/// The answer of `provision`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionTerms {
    /// None allows; a reason denies the login of a subject without an account.
    pub refuse_creation: Option<Reason>,
    /// When attributes are updated.
    pub update_attributes: Update,
    /// May an inactive account be made active again?
    pub reactivate: bool,
}

/// The answer of `session`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTerms {
    /// In seconds.
    pub lifetime: u32,
    /// In seconds.
    pub idle: u32,
    /// Keep the cookie when the browser closes.
    pub remember: bool,
}

/// The question of `access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// The method, in upper case.
    pub method: String,
    /// The host, in lower case, without a port.
    pub host: String,
    /// Normalized; the same bytes go to the application.
    pub path: String,
}

/// The answer of `access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessVerdict {
    /// The request passes.
    Pass,
    /// It does not. The chain turns this into a [`super::Denial`].
    Deny(Reason),
    /// Not without more.
    Reauthenticate(StepUp),
}

/// The answer of `logout`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// End the session at the upstream, too.
    pub at_upstream: bool,
    /// Where the browser goes; checked against the allowed targets.
    pub target: Option<String>,
}
