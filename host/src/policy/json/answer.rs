//! What a hook answers, out of JSON.

use serde::{Deserialize, de::DeserializeOwned};

use crate::policy::bindings::{
    exports::vestibule::policy::{access, admit, logout, provision, route, session},
    vestibule::policy::types,
};

/// An answer of a hook.
pub(crate) trait Answer: Sized {
    /// Its form in JSON.
    type Wire: DeserializeOwned;

    /// It, as other guests answer.
    fn of(wire: Self::Wire) -> Self;
}

/// A guest's own yes or no.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome<T> {
    Ok(T),
    Err(Fault),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    MissingClaim(String),
    BadClaim(String),
    LookupFailed(String),
    Internal(String),
}

impl From<Fault> for types::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::MissingClaim(detail) => Self::MissingClaim(detail),
            Fault::BadClaim(detail) => Self::BadClaim(detail),
            Fault::LookupFailed(detail) => Self::LookupFailed(detail),
            Fault::Internal(detail) => Self::Internal(detail),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    code: String,
    detail: String,
}

impl From<Reason> for types::ReasonResult {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code, detail: reason.detail }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StepUp {
    acr_values: Vec<String>,
    max_age: Option<u32>,
    reason: Reason,
}

impl From<StepUp> for types::StepUp {
    fn from(step_up: StepUp) -> Self {
        Self { acr_values: step_up.acr_values, max_age: step_up.max_age, reason: step_up.reason.into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    name: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Json(String),
}

impl From<Claim> for types::ClaimResult {
    fn from(claim: Claim) -> Self {
        let value = match claim.value {
            Value::Text(text) => types::ValueResult::Text(text),
            Value::Texts(texts) => types::ValueResult::Texts(texts),
            Value::Integer(integer) => types::ValueResult::Integer(integer),
            Value::Number(number) => types::ValueResult::Number(number),
            Value::Boolean(boolean) => types::ValueResult::Boolean(boolean),
            Value::Json(json) => types::ValueResult::Json(json),
        };
        Self { name: claim.name, value }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    Pass,
    Redirect(Redirect),
    AskIdentifier,
    Choose(Vec<Redirect>),
    LocalForm,
    ApplicationForm,
    Refuse(Reason),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Redirect {
    upstream: String,
    delay: u32,
    login_hint: Option<String>,
    acr_values: Vec<String>,
    max_age: Option<u32>,
}

impl From<Redirect> for route::Redirect {
    fn from(redirect: Redirect) -> Self {
        Self {
            upstream: redirect.upstream,
            delay: redirect.delay,
            login_hint: redirect.login_hint,
            acr_values: redirect.acr_values,
            max_age: redirect.max_age,
        }
    }
}

impl Answer for route::Direction {
    type Wire = Direction;

    fn of(wire: Direction) -> Self {
        match wire {
            Direction::Pass => Self::Pass,
            Direction::Redirect(redirect) => Self::Redirect(redirect.into()),
            Direction::AskIdentifier => Self::AskIdentifier,
            Direction::Choose(among) => Self::Choose(among.into_iter().map(Into::into).collect()),
            Direction::LocalForm => Self::LocalForm,
            Direction::ApplicationForm => Self::ApplicationForm,
            Direction::Refuse(reason) => Self::Refuse(reason.into()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Pass,
    Allow(Reason),
    Deny(Reason),
    StepUp(StepUp),
}

impl Answer for admit::Verdict {
    type Wire = Verdict;

    fn of(wire: Verdict) -> Self {
        match wire {
            Verdict::Pass => Self::Pass,
            Verdict::Allow(reason) => Self::Allow(reason.into()),
            Verdict::Deny(reason) => Self::Deny(reason.into()),
            Verdict::StepUp(step_up) => Self::StepUp(step_up.into()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Profile {
    match_key: Option<MatchKey>,
    username: Option<String>,
    email: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    display_name: Option<String>,
    attributes: Vec<Claim>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MatchKey {
    Username(String),
    Email(String),
}

impl Answer for types::ProfileResult {
    type Wire = Profile;

    fn of(wire: Profile) -> Self {
        Self {
            match_key: wire.match_key.map(|key| match key {
                MatchKey::Username(name) => types::MatchKeyResult::Username(name),
                MatchKey::Email(address) => types::MatchKeyResult::Email(address),
            }),
            username: wire.username,
            email: wire.email,
            given_name: wire.given_name,
            family_name: wire.family_name,
            display_name: wire.display_name,
            attributes: wire.attributes.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Plan {
    grants: Vec<Grant>,
    replace: bool,
    create_missing: bool,
    exclude: Vec<String>,
    leave: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    group: String,
    because: Reason,
}

impl Answer for types::PlanResult {
    type Wire = Plan;

    fn of(wire: Plan) -> Self {
        let grant = |grant: Grant| types::GrantResult { group: grant.group, because: grant.because.into() };
        Self {
            grants: wire.grants.into_iter().map(grant).collect(),
            replace: wire.replace,
            create_missing: wire.create_missing,
            exclude: wire.exclude,
            leave: wire.leave,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ProvisionTerms {
    refuse_creation: Option<Reason>,
    update_attributes: Update,
    reactivate: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Update {
    Never,
    OnCreation,
    EveryLogin,
}

impl Answer for provision::Terms {
    type Wire = ProvisionTerms;

    fn of(wire: ProvisionTerms) -> Self {
        Self {
            refuse_creation: wire.refuse_creation.map(Into::into),
            update_attributes: match wire.update_attributes {
                Update::Never => provision::Update::Never,
                Update::OnCreation => provision::Update::OnCreation,
                Update::EveryLogin => provision::Update::EveryLogin,
            },
            reactivate: wire.reactivate,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionTerms {
    lifetime: u32,
    idle: u32,
    remember: bool,
}

impl Answer for session::Terms {
    type Wire = SessionTerms;

    fn of(wire: SessionTerms) -> Self {
        Self { lifetime: wire.lifetime, idle: wire.idle, remember: wire.remember }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AccessVerdict {
    Pass,
    Deny(Reason),
    Reauthenticate(StepUp),
}

impl Answer for access::Verdict {
    type Wire = AccessVerdict;

    fn of(wire: AccessVerdict) -> Self {
        match wire {
            AccessVerdict::Pass => Self::Pass,
            AccessVerdict::Deny(reason) => Self::Deny(reason.into()),
            AccessVerdict::Reauthenticate(step_up) => Self::Reauthenticate(step_up.into()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Ending {
    at_upstream: bool,
    target: Option<String>,
}

impl Answer for Option<logout::Ending> {
    type Wire = Option<Ending>;

    fn of(wire: Option<Ending>) -> Self {
        wire.map(|ending| logout::Ending { at_upstream: ending.at_upstream, target: ending.target })
    }
}
