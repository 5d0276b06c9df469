//! Between the host's types and the contract's. No rule is decided here, and nothing is
//! handed in that the policy's manifest does not name.
//!
//! Arguments are borrowed: a [`Question`] holds what has to be made first (lists of
//! slices, JSON texts), [`Params`] the records that point into it.

use serde_json::Value as Json;

use super::{
    bindings::{
        exports::vestibule::policy::{access, admit, logout, provision, route, session},
        vestibule::policy::types,
    },
    instance::LoadedPolicy,
    manifest::{Groups, is_credential_fact},
};
use crate::{
    decision::{
        AccessRequest, AccessVerdict, Account, Attempt, Claim, Context, Direction, Ending, Grant, MatchKey, Plan,
        Profile, ProvisionTerms, Reason, Redirect, SessionTerms, StepUp, Update, Value,
    },
    identity::{GroupClaim, Identity, Protocol},
};

/// A reason's detail is cut to so many bytes.
const DETAIL_BYTES_MAX: usize = 1024;

/// A policy's answer at `admit`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Pass,
    Allow(Reason),
    Deny(Reason),
    StepUp { acr_values: Vec<String>, max_age: Option<u32>, reason: Reason },
}

/// Values that have to be made before they can be lent to a guest.
#[derive(Default)]
pub(crate) struct Question<'a> {
    facts: Vec<Named<'a>>,
    claims: Vec<Named<'a>>,
    /// None withholds them.
    reported: Option<Vec<&'a str>>,
    amr: Vec<&'a str>,
    account_groups: Vec<&'a str>,
    account_attributes: Vec<Named<'a>>,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        policy: &'a LoadedPolicy,
        context: &'a Context,
        identity: Option<&'a Identity>,
        account: Option<&'a Account>,
    ) -> Self {
        let facts = &policy.manifest().facts;
        let mut question = Self {
            facts: context
                .facts
                .iter()
                .filter(|fact| facts.contains(&fact.name) && !is_credential_fact(&fact.name))
                .map(Named::of_claim)
                .collect(),
            ..Self::default()
        };
        if let Some(identity) = identity {
            question.claims =
                policy.reads().of(&identity.claims).map(|(name, value)| Named::of_json(name, value)).collect();
            question.amr = strs(&identity.amr);
            if policy.reads_groups(Groups::Reported) {
                let listed = match &identity.groups {
                    GroupClaim::Listed(groups) => groups.as_slice(),
                    GroupClaim::Absent | GroupClaim::Overage => &[],
                };
                question.reported = Some(strs(listed));
            }
        }
        if let Some(account) = account {
            if policy.reads_groups(Groups::Account) {
                question.account_groups = strs(&account.groups);
            }
            question.account_attributes = account.attributes.iter().map(Named::of_claim).collect();
        }
        question
    }

    pub(crate) fn params(&self) -> Params<'_> {
        Params {
            question: self,
            facts: params(&self.facts),
            claims: params(&self.claims),
            account_attributes: params(&self.account_attributes),
        }
    }
}

/// Records that can be lent to a guest.
pub(crate) struct Params<'a> {
    question: &'a Question<'a>,
    facts: Vec<types::ClaimParam<'a>>,
    claims: Vec<types::ClaimParam<'a>>,
    account_attributes: Vec<types::ClaimParam<'a>>,
}

impl Params<'_> {
    pub(crate) fn context<'b>(&'b self, context: &'b Context) -> types::Context<'b> {
        types::Context {
            login: &context.login,
            at: context.at,
            tenant: &context.tenant,
            application: &context.application,
            address: context.address.as_deref(),
            facts: &self.facts,
        }
    }

    pub(crate) fn identity<'b>(&'b self, identity: &'b Identity) -> types::Identity<'b> {
        types::Identity {
            upstream: &identity.upstream,
            protocol: match identity.protocol {
                Protocol::Local => "local",
                Protocol::Oauth2 => "oauth2",
                Protocol::Oidc => "oidc",
                Protocol::Saml => "saml",
            },
            issuer: &identity.issuer,
            subject: &identity.subject,
            email: identity
                .email
                .as_ref()
                .map(|email| types::Email { address: &email.address, verified: email.verified }),
            groups: match (&self.question.reported, &identity.groups) {
                (None, _) => types::GroupClaim::Withheld,
                (Some(_), GroupClaim::Absent) => types::GroupClaim::Absent,
                (Some(_), GroupClaim::Overage) => types::GroupClaim::Overage,
                (Some(listed), GroupClaim::Listed(_)) => types::GroupClaim::Listed(listed),
            },
            auth_time: identity.auth_time,
            acr: identity.acr.as_deref(),
            amr: &self.question.amr,
            claims: &self.claims,
        }
    }

    pub(crate) fn account(&self, account: Option<&Account>) -> Option<types::Account<'_>> {
        account.map(|account| types::Account {
            active: account.active,
            groups: &self.question.account_groups,
            attributes: &self.account_attributes,
        })
    }

    pub(crate) fn attempt<'b>(
        &'b self,
        context: &'b Context,
        attempt: &'b Attempt,
        upstreams: &'b [&'b str],
        failed: &'b [&'b str],
    ) -> route::Attempt<'b> {
        route::Attempt {
            context: self.context(context),
            identifier: attempt.identifier.as_deref(),
            upstreams,
            previous: attempt.previous.as_deref(),
            failed,
        }
    }
}

/// A named value, ready to be lent.
pub(crate) struct Named<'a> {
    name: &'a str,
    value: Lent<'a>,
}

enum Lent<'a> {
    Text(&'a str),
    Texts(Vec<&'a str>),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Json(&'a str),
    OwnJson(String),
}

impl<'a> Named<'a> {
    pub(crate) fn of_claim(claim: &'a Claim) -> Self {
        let value = match &claim.value {
            Value::Text(text) => Lent::Text(text),
            Value::Texts(texts) => Lent::Texts(strs(texts)),
            Value::Integer(integer) => Lent::Integer(*integer),
            Value::Number(number) => Lent::Number(*number),
            Value::Boolean(boolean) => Lent::Boolean(*boolean),
            Value::Json(json) => Lent::Json(json),
        };
        Self { name: &claim.name, value }
    }

    fn of_json(name: &'a str, json: &'a Json) -> Self {
        let value = match json {
            Json::String(text) => Lent::Text(text),
            Json::Bool(boolean) => Lent::Boolean(*boolean),
            Json::Number(number) => match (number.as_i64(), number.is_f64().then(|| number.as_f64()).flatten()) {
                (Some(integer), _) => Lent::Integer(integer),
                (None, Some(number)) => Lent::Number(number),
                // Past 2^63 neither type has it exactly.
                (None, None) => Lent::OwnJson(number.to_string()),
            },
            Json::Array(items) => match items.iter().map(Json::as_str).collect() {
                Some(texts) => Lent::Texts(texts),
                None => Lent::OwnJson(sorted(json)),
            },
            Json::Object(_) | Json::Null => Lent::OwnJson(sorted(json)),
        };
        Self { name, value }
    }

    fn param(&self) -> types::ClaimParam<'_> {
        let value = match &self.value {
            Lent::Text(text) => types::ValueParam::Text(text),
            Lent::Texts(texts) => types::ValueParam::Texts(texts),
            Lent::Integer(integer) => types::ValueParam::Integer(*integer),
            Lent::Number(number) => types::ValueParam::Number(*number),
            Lent::Boolean(boolean) => types::ValueParam::Boolean(*boolean),
            Lent::Json(json) => types::ValueParam::Json(json),
            Lent::OwnJson(json) => types::ValueParam::Json(json),
        };
        types::ClaimParam { name: self.name, value }
    }
}

/// Borrowed slices of `texts`.
pub(crate) fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Records of `named`.
pub(crate) fn params<'a>(named: &'a [Named<'a>]) -> Vec<types::ClaimParam<'a>> {
    named.iter().map(Named::param).collect()
}

fn sorted(json: &Json) -> String {
    let mut json = json.clone();
    json.sort_all_objects();
    json.to_string()
}

/// A profile, lent; `attributes` are its own.
pub(crate) fn profile_param<'a>(
    profile: &'a Profile,
    attributes: &'a [types::ClaimParam<'a>],
) -> types::ProfileParam<'a> {
    types::ProfileParam {
        match_key: profile.match_key.as_ref().map(|key| match key {
            MatchKey::Username(name) => types::MatchKeyParam::Username(name),
            MatchKey::Email(address) => types::MatchKeyParam::Email(address),
        }),
        username: profile.username.as_deref(),
        email: profile.email.as_deref(),
        given_name: profile.given_name.as_deref(),
        family_name: profile.family_name.as_deref(),
        display_name: profile.display_name.as_deref(),
        attributes,
    }
}

/// A plan's grants, lent.
pub(crate) fn grant_params(plan: &Plan) -> Vec<types::GrantParam<'_>> {
    plan.grants
        .iter()
        .map(|grant| types::GrantParam {
            group: &grant.group,
            because: types::ReasonParam { code: &grant.because.code, detail: &grant.because.detail },
        })
        .collect()
}

/// What a plan grants, lent.
pub(crate) fn granted_params(plan: &Plan) -> Vec<provision::Granted<'_>> {
    plan.grants.iter().map(|grant| provision::Granted { group: &grant.group, because: &grant.because.code }).collect()
}

/// A plan, lent; `grants` and `exclude` are its own.
pub(crate) fn plan_param<'a>(
    plan: &Plan,
    grants: &'a [types::GrantParam<'a>],
    exclude: &'a [&'a str],
) -> types::PlanParam<'a> {
    types::PlanParam { grants, replace: plan.replace, create_missing: plan.create_missing, exclude, leave: plan.leave }
}

/// A request, lent.
pub(crate) fn request_param(request: &AccessRequest) -> access::Request<'_> {
    access::Request { method: &request.method, host: &request.host, path: &request.path }
}

/// Terms, handed in.
pub(crate) const fn terms_param(terms: SessionTerms) -> session::Terms {
    session::Terms { lifetime: terms.lifetime, idle: terms.idle, remember: terms.remember }
}

/// `route`'s answer; none for `pass`.
pub(crate) fn direction(direction: route::Direction) -> Option<Direction> {
    Some(match direction {
        route::Direction::Pass => return None,
        route::Direction::Redirect(to) => Direction::Redirect(redirect(to)),
        route::Direction::AskIdentifier => Direction::AskIdentifier,
        route::Direction::Choose(among) => Direction::Choose(among.into_iter().map(redirect).collect()),
        route::Direction::LocalForm => Direction::LocalForm,
        route::Direction::ApplicationForm => Direction::ApplicationForm,
        route::Direction::Refuse(refusal) => Direction::Refuse(reason(refusal)),
    })
}

fn redirect(redirect: route::Redirect) -> Redirect {
    Redirect {
        upstream: redirect.upstream,
        delay: redirect.delay,
        login_hint: redirect.login_hint,
        acr_values: redirect.acr_values,
        max_age: redirect.max_age,
    }
}

/// `admit`'s answer.
pub(crate) fn verdict(verdict: admit::Verdict) -> Verdict {
    match verdict {
        admit::Verdict::Pass => Verdict::Pass,
        admit::Verdict::Allow(allowed) => Verdict::Allow(reason(allowed)),
        admit::Verdict::Deny(denied) => Verdict::Deny(reason(denied)),
        admit::Verdict::StepUp(step_up) => {
            Verdict::StepUp { acr_values: step_up.acr_values, max_age: step_up.max_age, reason: reason(step_up.reason) }
        }
    }
}

/// `profile`'s answer.
pub(crate) fn profile(profile: types::ProfileResult) -> Profile {
    Profile {
        match_key: profile.match_key.map(|key| match key {
            types::MatchKeyResult::Username(name) => MatchKey::Username(name),
            types::MatchKeyResult::Email(address) => MatchKey::Email(address),
        }),
        username: profile.username,
        email: profile.email,
        given_name: profile.given_name,
        family_name: profile.family_name,
        display_name: profile.display_name,
        attributes: profile.attributes.into_iter().map(claim).collect(),
    }
}

/// `groups`' answer.
pub(crate) fn plan(plan: types::PlanResult) -> Plan {
    Plan {
        grants: plan
            .grants
            .into_iter()
            .map(|grant| Grant { group: grant.group, because: reason(grant.because) })
            .collect(),
        replace: plan.replace,
        create_missing: plan.create_missing,
        exclude: plan.exclude,
        leave: plan.leave,
    }
}

/// `provision`'s answer.
pub(crate) fn provision_terms(terms: provision::Terms) -> ProvisionTerms {
    ProvisionTerms {
        refuse_creation: terms.refuse_creation.map(reason),
        update_attributes: match terms.update_attributes {
            provision::Update::Never => Update::Never,
            provision::Update::OnCreation => Update::OnCreation,
            provision::Update::EveryLogin => Update::EveryLogin,
        },
        reactivate: terms.reactivate,
    }
}

/// `session`'s answer.
pub(crate) const fn session_terms(terms: &session::Terms) -> SessionTerms {
    SessionTerms { lifetime: terms.lifetime, idle: terms.idle, remember: terms.remember }
}

/// `access`' answer.
pub(crate) fn access_verdict(verdict: access::Verdict) -> AccessVerdict {
    match verdict {
        access::Verdict::Pass => AccessVerdict::Pass,
        access::Verdict::Deny(denied) => AccessVerdict::Deny(reason(denied)),
        access::Verdict::Reauthenticate(step_up) => AccessVerdict::Reauthenticate(StepUp {
            acr_values: step_up.acr_values,
            max_age: step_up.max_age,
            reasons: vec![reason(step_up.reason)],
        }),
    }
}

/// `logout`'s answer.
pub(crate) fn ending(ending: logout::Ending) -> Ending {
    Ending { at_upstream: ending.at_upstream, target: ending.target }
}

/// What a policy says where it could not decide.
pub(crate) fn fault(fault: types::Fault) -> Reason {
    let (code, detail) = match fault {
        types::Fault::MissingClaim(detail) => ("missing-claim", detail),
        types::Fault::BadClaim(detail) => ("bad-claim", detail),
        types::Fault::LookupFailed(detail) => ("lookup-failed", detail),
        types::Fault::Internal(detail) => ("internal", detail),
    };
    Reason::new(code, legible(detail))
}

/// The detail is for a person's eyes, and cut to fit them; the code is held to its form by
/// a contract.
fn reason(reason: types::ReasonResult) -> Reason {
    Reason { code: reason.code, detail: legible(reason.detail) }
}

/// `text` without what a terminal would take as an instruction, and cut.
fn legible(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
        text.push('…');
    }
    if text.contains(char::is_control) { text.replace(char::is_control, "\u{fffd}") } else { text }
}

fn claim(claim: types::ClaimResult) -> Claim {
    let value = match claim.value {
        types::ValueResult::Text(text) => Value::Text(text),
        types::ValueResult::Texts(texts) => Value::Texts(texts),
        types::ValueResult::Integer(integer) => Value::Integer(integer),
        types::ValueResult::Number(number) => Value::Number(number),
        types::ValueResult::Boolean(boolean) => Value::Boolean(boolean),
        types::ValueResult::Json(json) => Value::Json(json),
    };
    Claim { name: claim.name, value }
}
