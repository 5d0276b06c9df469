//! The decision: from a verified identity to an [`Admission`], or to the reason why not.
//!
//! This is the only place that makes an [`Admission`], and every way in passes it: the
//! callback, single sign-on, the local form, a step-up's return, the OIDC provider. The
//! policies decide; the host holds the contracts, asks the hooks in their order, and
//! writes the record before a yes takes effect. A failure at any point is a no.

use std::{sync::Arc, time::Instant};

use super::{
    contracts::{
        hold_account_contracts, hold_assertion_contracts, hold_identity_contracts, hold_profile_contracts, is_recent,
    },
    directory::{Directories, Directory},
    second_factor,
};
use crate::{
    audit::{Audit, Event, Kind},
    config::{Config, Upstream},
    decision::{
        Account, Admission, Admit, Admitted, Context, Denial, DenyCode, Difference, Hook, Plan, Profile, Rules,
        SessionTerms, StepUp, Trace, Value, difference,
    },
    identity::VerifiedIdentity,
    policy::{Generation, Run},
};

/// What is to be decided.
pub(super) struct Question {
    pub(super) generation: Arc<Generation>,
    /// The decision under way, where this login's route was just asked; none begins one.
    pub(super) run: Option<Run>,
    pub(super) context: Context,
    pub(super) identity: VerifiedIdentity,
    pub(super) times: Times,
    /// The subject must have authenticated within so many seconds.
    pub(super) max_age: Option<u32>,
    /// What was demanded of the authentication before: an upstream was held to it, we are not yet.
    pub(super) demanded_acr: Vec<String>,
    /// May the login be sent back for more?
    pub(super) may_step_up: bool,
    /// The request's id, for the record.
    pub(super) request: String,
    /// What the upstream's verifier wants on record, such as `email-trusted-unverified`.
    pub(super) warnings: Vec<&'static str>,
}

/// When it was proved who is there, in seconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When the identity was proved to us: a session's time counts from there.
    pub(super) proved: u64,
    /// The moment from which `max_age` counts back: when the proof was asked for.
    pub(super) asked: u64,
}

/// What was decided.
pub(super) enum Verdict {
    /// Yes.
    Admitted(Box<Admission>),
    /// No.
    Denied(Denial),
    /// Not with a proof this old: prove it again.
    Stale,
    /// Not without more: prove it again, and better.
    StepUp(StepUp),
}

/// Decides, and records what was decided. Blocks: call it off the async threads.
pub(super) fn decide(question: Question, directories: &Directories, audit: &Audit) -> Verdict {
    let started = Instant::now();
    let Question { generation, run, context, identity, times, max_age, demanded_acr, may_step_up, request, warnings } =
        question;
    let config = Arc::clone(generation.config());
    let mut event = Event {
        kind: Kind::Login,
        request: Some(request),
        login: Some(context.login.clone()),
        tenant: Some(context.tenant.clone()),
        application: Some(context.application.clone()),
        upstream: Some(identity.upstream.clone()),
        address: context.address.clone(),
        identity: Some((*identity).clone()),
        input: Some(input(&context, &warnings)),
        ..Event::default()
    };
    let (login, application, tenant, at) =
        (context.login.clone(), context.application.clone(), context.tenant.clone(), context.at);
    let run = match run {
        Some(run) => Ok(run),
        None => generation.begin(context),
    };
    let (outcome, trace) = match run {
        Err((denial, trace)) => (Err(denial), trace),
        Ok(mut run) => {
            let held = if second_factor::is_due(&demanded_acr, max_age, &identity, times.asked) {
                Held::SecondFactorDue(second_factor::demand(&demanded_acr, max_age))
            } else if second_factor::answers(&demanded_acr) || is_recent(identity.auth_time, max_age, times.asked) {
                Held::Yes
            } else {
                Held::TooOld
            };
            let outcome = ask(&mut run, &config, &application, &identity, held, directories);
            (outcome, run.finish())
        }
    };
    let outcome = outcome.and_then(|answers| match answers {
        Answers::StepUp(step_up) if may_step_up => Ok(Settled::StepUp(step_up)),
        Answers::StepUp(step_up) => Err(unmet(&step_up)),
        Answers::Yes(mut granted) => {
            let elapsed = u32::try_from(at.saturating_sub(times.proved)).unwrap_or(u32::MAX);
            let terms = settle_terms(granted.terms, &config, &trace);
            match terms.lifetime.checked_sub(elapsed) {
                Some(lifetime) if lifetime > 0 => {
                    granted.terms = SessionTerms { lifetime, ..terms };
                    Ok(Settled::Yes(granted))
                }
                _ if elapsed > 0 => Ok(Settled::Stale),
                _ => Err(Denial::by_host(DenyCode::SessionTooShort, "the session would have no lifetime")),
            }
        }
    });
    let generation = trace.generation;
    event.trace = Some(trace);
    event.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let verdict = match outcome {
        Ok(Settled::Yes(granted)) => {
            let Granted { profile, groups, terms } = *granted;
            event.granted = true;
            event.outcome = Some(serde_json::json!({ "profile": profile, "groups": groups, "terms": terms }));
            Verdict::Admitted(Box::new(Admission::assertion(Admitted {
                login,
                application,
                tenant,
                generation,
                identity: identity.into_inner(),
                profile,
                groups,
                terms,
                at,
            })))
        }
        Ok(Settled::StepUp(step_up)) => {
            event.denial = Some(Denial::by_host(DenyCode::StepUpRequired, reasons_of(&step_up)));
            event.outcome = serde_json::to_value(&step_up).ok();
            Verdict::StepUp(step_up)
        }
        Ok(Settled::Stale) => {
            event.denial = Some(Denial::by_host(DenyCode::StepUpRequired, "the identity was proved too long ago"));
            Verdict::Stale
        }
        Err(denial) => {
            event.denial = Some(denial.clone());
            Verdict::Denied(denial)
        }
    };
    // A yes that is not on record is a no.
    match audit.record(&event) {
        Ok(()) => verdict,
        Err(error) => {
            tracing::error!(%error, "a login was decided but could not be recorded: denied");
            Verdict::Denied(Denial::by_host(DenyCode::AuditUnavailable, "the decision could not be recorded"))
        }
    }
}

/// What the record keeps of the request: no header, since nobody can say what an
/// application's own headers hold, and no query.
fn input(context: &Context, warnings: &[&'static str]) -> serde_json::Value {
    let facts: serde_json::Map<String, serde_json::Value> = context
        .facts
        .iter()
        .filter(|fact| !fact.name.starts_with("header."))
        .filter_map(|fact| match &fact.value {
            Value::Text(text) => {
                let text = text.split(['?', '#']).next().unwrap_or_default();
                Some((fact.name.clone(), text.into()))
            }
            Value::Boolean(truth) => Some((fact.name.clone(), (*truth).into())),
            _ => None,
        })
        .collect();
    serde_json::json!({ "facts": facts, "warnings": warnings })
}

/// Is the identity what was demanded before the policies were asked?
enum Held {
    Yes,
    /// Not yet: a second factor of ours is to come.
    SecondFactorDue(StepUp),
    /// No: it was proved too long ago.
    TooOld,
}

/// What the policies came to.
enum Answers {
    StepUp(StepUp),
    Yes(Box<Granted>),
}

/// What the host made of it.
enum Settled {
    Stale,
    StepUp(StepUp),
    Yes(Box<Granted>),
}

/// What a yes comes with.
struct Granted {
    profile: Profile,
    groups: Difference,
    terms: SessionTerms,
}

/// Contracts, then the hooks in their order.
fn ask(
    run: &mut Run,
    config: &Config,
    application: &str,
    identity: &VerifiedIdentity,
    held: Held,
    directories: &Directories,
) -> Result<Answers, Denial> {
    let application = config
        .applications
        .get(application)
        .ok_or_else(|| Denial::by_host(DenyCode::UnknownApplication, "not in the configuration"))?;
    hold_identity_contracts(config, application, identity)?;
    if matches!(held, Held::TooOld) {
        return Err(Denial::by_host(DenyCode::StepUpUnmet, "the upstream did not authenticate the subject anew"));
    }
    let directory = match &application.directory {
        None => None,
        Some(path) => Some(
            directories
                .read(path)
                .map_err(|error| Denial::by_host(DenyCode::DirectoryUnavailable, describe(&error)))?,
        ),
    };
    let linked = directory.as_ref().map_or(Ok(None), |directory| directory.linked(identity))?;
    match run.admit(identity, linked.as_ref())? {
        Admit::StepUp(step_up) => return Ok(Answers::StepUp(step_up)),
        Admit::Allow(_) => {}
    }
    if let Held::SecondFactorDue(step_up) = held {
        return Ok(Answers::StepUp(step_up));
    }
    let profile = run.profile(identity, linked.as_ref())?;
    let upstream = hold_profile_contracts(config, &profile, identity)?;
    hold_assertion_contracts(application, &profile)?;
    let account = find_account(directory.as_deref(), linked, &profile, identity, upstream)?;
    let rules = Rules {
        protected: application.protected_groups.clone(),
        known: directory.as_ref().and_then(|directory| directory.groups.clone()),
    };
    let plan: Plan = run.groups(identity, account.as_ref(), &profile, &rules)?;
    let groups = difference(&plan, account.as_ref(), &rules);
    let terms = run.provision(identity, account.as_ref(), &profile, &plan)?;
    hold_account_contracts(directory.is_some(), account.as_ref(), &profile, &terms)?;
    let terms = run.session(identity, &groups.groups, maximum(config))?;
    Ok(Answers::Yes(Box::new(Granted { profile, groups, terms })))
}

/// The linked account; else the one that the profile's match key finds.
fn find_account(
    directory: Option<&Directory>,
    linked: Option<Account>,
    profile: &Profile,
    identity: &VerifiedIdentity,
    upstream: &Upstream,
) -> Result<Option<Account>, Denial> {
    match (linked, directory, &profile.match_key) {
        (Some(linked), ..) => Ok(Some(linked)),
        (None, Some(directory), Some(key)) => directory.matched(key, identity, upstream),
        (None, ..) => Ok(None),
    }
}

/// What every policy's answer is clamped to.
fn maximum(config: &Config) -> SessionTerms {
    let session = &config.session;
    let lifetime = if session.remember { session.remember_lifetime.max(session.lifetime) } else { session.lifetime };
    SessionTerms { lifetime, idle: session.idle, remember: session.remember }
}

/// Carries out the terms. A session is remembered only where a policy had the say and
/// said so; one that is not has the ordinary maximum; one that is may be left alone for
/// its whole life, unless a policy shortened the idle time.
fn settle_terms(terms: SessionTerms, config: &Config, trace: &Trace) -> SessionTerms {
    let somebody_said_so = trace.answers.iter().any(|answer| answer.hook == Hook::Session);
    let remember = terms.remember && config.session.remember && somebody_said_so;
    if remember {
        let lifetime = terms.lifetime.min(config.session.remember_lifetime.max(config.session.lifetime));
        let idle = if terms.idle < config.session.idle { terms.idle } else { lifetime };
        SessionTerms { lifetime, idle, remember }
    } else {
        let lifetime = terms.lifetime.min(config.session.lifetime);
        SessionTerms { lifetime, idle: terms.idle.min(config.session.idle), remember }
    }
}

fn unmet(step_up: &StepUp) -> Denial {
    let mut denial = Denial::by_host(DenyCode::StepUpUnmet, "the upstream gave no stronger proof");
    if let Some(reason) = step_up.reasons.first() {
        denial.reason.detail = format!("{}: {}", denial.reason.detail, reason.code);
    }
    denial
}

pub(super) fn reasons_of(step_up: &StepUp) -> String {
    step_up.reasons.iter().map(|reason| reason.code.as_str()).collect::<Vec<_>>().join(", ")
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_keeps_neither_headers_nor_queries() {
        let fact =
            |name: &str, text: &str| crate::decision::Claim { name: name.into(), value: Value::Text(text.into()) };
        let context = Context {
            facts: vec![
                fact("request.host", "gate.example.com"),
                fact("request.target", "https://wiki.example.com/Home?key=s3cret#s3cret"),
                fact("header.x-anything", "s3cret"),
            ],
            ..Context::default()
        };
        let kept = input(&context, &["email-trusted-unverified"]).to_string();
        assert!(!kept.contains("s3cret"), "{kept}");
        assert!(kept.contains("https://wiki.example.com/Home") && kept.contains("email-trusted-unverified"), "{kept}");
    }
}
