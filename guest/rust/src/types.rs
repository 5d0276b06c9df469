//! The records that the hooks share, as the contract has them, and what makes them handy.

pub use crate::bindings::base::{
    exports::vestibule::policy::settings::Problem,
    vestibule::policy::types::{
        Account, Claim, Context, Email, Fault, Grant, GroupClaim, Identity, MatchKey, Plan, Profile, Reason, StepUp,
        Value,
    },
};
use crate::{provision, route, session};

impl Reason {
    /// A reason: `code` in kebab-case, `detail` for the administrator's eyes.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }
}

impl StepUp {
    /// An authentication at most `seconds` old.
    #[must_use]
    pub const fn within(seconds: u32, reason: Reason) -> Self {
        Self { acr_values: Vec::new(), max_age: Some(seconds), reason }
    }

    /// An authentication by one of `acr_values` (OIDC Core §3.1.2.1).
    pub fn by<A: Into<String>>(acr_values: impl IntoIterator<Item = A>, reason: Reason) -> Self {
        Self { acr_values: acr_values.into_iter().map(Into::into).collect(), max_age: None, reason }
    }
}

impl Problem {
    /// A problem with the setting to which the JSON pointer `path` leads.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl Grant {
    /// The grant of `group`, and why.
    pub fn new(group: impl Into<String>, because: Reason) -> Self {
        Self { group: group.into(), because }
    }
}

impl From<Grant> for provision::Granted {
    fn from(grant: Grant) -> Self {
        Self { group: grant.group, because: grant.because.code }
    }
}

impl Claim {
    /// A statement: `name` has `value`.
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl Value {
    /// The text, where it is one text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts: one for a text, all for a list, none for anything else.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Texts(texts) => texts.as_slice(),
            _ => &[],
        }
        .iter()
        .map(String::as_str)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(texts: [&str; N]) -> Self {
        Self::Texts(texts.map(str::to_owned).into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

fn find<'a>(claims: &'a [Claim], name: &str) -> Option<&'a Value> {
    claims.iter().find(|claim| claim.name == name).map(|claim| &claim.value)
}

impl Context {
    /// The fact `name`, such as `request.path`. The manifest's `facts` must name it.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&Value> {
        find(&self.facts, name)
    }
}

impl Identity {
    /// The claim `name`. The manifest's `reads` must name it.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        find(&self.claims, name)
    }
}

impl Account {
    /// The account's attribute `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        find(&self.attributes, name)
    }
}

impl Profile {
    /// The custom attribute `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        find(&self.attributes, name)
    }

    /// Sets the custom attribute `name`, in place of an earlier value.
    pub fn set_attribute(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let claim = Claim::new(name, value);
        match self.attributes.iter_mut().find(|existing| existing.name == claim.name) {
            Some(existing) => *existing = claim,
            None => self.attributes.push(claim),
        }
    }
}

impl Plan {
    /// Grants `group`, once: an earlier grant and its reason stay.
    pub fn grant(&mut self, group: impl Into<String>, because: Reason) {
        let group = group.into();
        if !self.grants.iter().any(|grant| grant.group == group) {
            self.grants.push(Grant { group, because });
        }
    }
}

impl GroupClaim {
    /// The names, where the upstream sent a list. `Absent` and `Overage` are no lists: they
    /// take no group from anybody. `Withheld` is what the manifest's `reads-groups` left out.
    #[must_use]
    pub fn listed(&self) -> Option<&[String]> {
        match self {
            Self::Listed(names) => Some(names),
            Self::Withheld | Self::Absent | Self::Overage => None,
        }
    }
}

// The defaults below are those of `docs/cases.md`, so that a native test and a case that
// say the same ask the same.

impl Default for Context {
    fn default() -> Self {
        Self {
            login: "case".into(),
            at: 1_700_000_000,
            tenant: "default".into(),
            application: "app".into(),
            address: None,
            facts: Vec::new(),
        }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            upstream: "idp".into(),
            protocol: "oidc".into(),
            issuer: "https://idp.example".into(),
            subject: "s-1".into(),
            email: None,
            groups: GroupClaim::Absent,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            claims: Vec::new(),
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self { active: true, groups: Vec::new(), attributes: Vec::new() }
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Profile {
    fn default() -> Self {
        Self {
            match_key: None,
            username: None,
            email: None,
            given_name: None,
            family_name: None,
            display_name: None,
            attributes: Vec::new(),
        }
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Plan {
    fn default() -> Self {
        Self { grants: Vec::new(), replace: false, create_missing: false, exclude: Vec::new(), leave: false }
    }
}

impl Default for route::Attempt {
    fn default() -> Self {
        Self {
            context: Context::default(),
            identifier: None,
            upstreams: vec!["idp".into()],
            previous: None,
            failed: Vec::new(),
        }
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for route::Redirect {
    fn default() -> Self {
        Self { upstream: String::new(), delay: 0, login_hint: None, acr_values: Vec::new(), max_age: None }
    }
}

impl Default for session::Terms {
    fn default() -> Self {
        Self { lifetime: 28_800, idle: 3_600, remember: true }
    }
}
