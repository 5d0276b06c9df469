//! The decision: from a verified identity to an [`Admission`], or to the reason why not.
//!
//! This is the only place that makes an [`Admission`], and every way in passes it: the
//! callback, single sign-on, the local form, a step-up's return, the OIDC provider, the emergency door. The
//! policies decide; the host holds the contracts, asks the hooks in their order, and
//! writes the record before a yes takes effect. A failure at any point is a no.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    canary,
    contracts::is_recent,
    directory::Directories,
    door::AtTheDoor,
    judge::{Inquiry, Judged, Live, judge},
    second_factor,
    shadow::{Seen, Shadow},
};
use crate::{
    audit::{Audit, Event, Kind, Level},
    decision::{
        Admission, Admitted, Answered, Asked, Conclusion, Context, Decided, Denial, DenyCode, Found, Granted, Held,
        Recipe, Routed, StepUp, Trace, Value,
    },
    identity::VerifiedIdentity,
    keys::KeyRing,
    policy::{Generation, Run},
    recording::{Noted, Recorder},
};

/// What is to be decided.
pub(super) struct Question {
    /// By these policies: the pinned ones at the emergency door.
    pub(super) generation: Arc<Generation>,
    /// What holds at the emergency door; none for everybody else.
    pub(super) at_the_door: Option<AtTheDoor>,
    /// The decision under way, where this login's route was just asked; none begins one.
    pub(super) under_way: Option<UnderWay>,
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

/// A decision under way.
pub(super) struct UnderWay {
    pub(super) run: Run,
    /// What the route was asked, and what it answered.
    pub(super) routed: Routed,
}

/// Who hears of a decision once it is on record. None can slow or fail it.
#[derive(Clone, Copy)]
pub(super) struct Listeners<'a> {
    pub(super) recorder: Option<&'a Recorder>,
    pub(super) shadow: Option<&'a Shadow>,
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
pub(super) fn decide(
    question: Question,
    directories: &Directories,
    keys: &KeyRing,
    audit: &Audit,
    listeners: Listeners<'_>,
) -> Verdict {
    let started = Instant::now();
    let Question { generation, under_way, context, identity, times, max_age, demanded_acr, .. } = question;
    let held = held(&demanded_acr, max_age, &identity, times.asked);
    let (kind, level) = match question.at_the_door {
        Some(_) => (Kind::EmergencyDecision, Level::Alert),
        None => (Kind::Login, Level::Normal),
    };
    let mut event = Event {
        kind,
        level,
        request: Some(question.request.clone()),
        login: Some(context.login.clone()),
        tenant: Some(context.tenant.clone()),
        application: Some(context.application.clone()),
        upstream: Some(identity.upstream.clone()),
        address: context.address.clone(),
        identity: Some((*identity).clone()),
        input: Some(input(&context, &question.warnings)),
        ..Event::default()
    };
    let (login, application, tenant, at) =
        (context.login.clone(), context.application.clone(), context.tenant.clone(), context.at);
    let elapsed = u32::try_from(at.saturating_sub(times.proved)).unwrap_or(u32::MAX);
    let is_canary = canary::decides(&generation, &application, &identity, keys);
    let (run, routed) = match under_way {
        // Those who gave the way are not those who decide.
        Some(UnderWay { run, routed }) if !is_canary => (Some(run), Some(routed)),
        Some(_) | None => (None, None),
    };
    let shadow = listeners.shadow.filter(|_| !is_canary && generation.has_shadow(&application));
    let asked = (listeners.recorder.is_some() || shadow.is_some()).then(|| Asked {
        context: context.clone(),
        identity: (*identity).clone(),
        canary: is_canary,
        routed,
        held: held.clone(),
        may_step_up: question.may_step_up,
        elapsed,
    });
    let inquiry = Inquiry { identity: &identity, held: &held, may_step_up: question.may_step_up, elapsed };
    let begun = match run {
        Some(run) => Ok(run),
        None if is_canary => generation.begin_canary(context),
        None => generation.begin(context),
    };
    let (judged, trace) = match begun {
        Err((denial, trace)) => (unasked(denial), trace),
        Ok(mut run) => {
            let judged = match (&question.at_the_door, Live::new(generation.config(), &application, directories)) {
                (Some(ground), _) => judge(&mut run, ground, &inquiry),
                (None, Ok(ground)) => judge(&mut run, &ground, &inquiry),
                (None, Err(denial)) => unasked(denial),
            };
            (judged, run.finish())
        }
    };
    let recipe = if trace.canary { generation.canary_recipe(&application) } else { generation.recipe(&application) };
    let recipe = recipe.cloned();
    let told = asked.map(|asked| {
        let chain = recipe.as_ref().map_or(&trace.generation_digest, |recipe| &recipe.generation);
        // A canary may have come to its end meanwhile.
        let asked = Asked { canary: trace.canary, ..asked };
        whole(asked, &judged, &trace, (Arc::clone(chain), question.request))
    });
    let (in_force, generation) = (generation, trace.generation);
    event.trace = Some(trace);
    event.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let verdict = match judged.conclusion {
        Conclusion::Admitted(granted) => {
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
        Conclusion::StepUp(step_up) => {
            event.denial = Some(Denial::by_host(DenyCode::StepUpRequired, reasons_of(&step_up)));
            event.outcome = serde_json::to_value(&step_up).ok();
            Verdict::StepUp(step_up)
        }
        Conclusion::Stale => {
            event.denial = Some(Denial::by_host(DenyCode::StepUpRequired, "the identity was proved too long ago"));
            Verdict::Stale
        }
        Conclusion::Denied(denial) => {
            event.denial = Some(denial.clone());
            Verdict::Denied(denial)
        }
    };
    // A yes that is not on record is a no.
    if let Err(error) = audit.record(&event) {
        tracing::error!(%error, "a login was decided but could not be recorded: denied");
        return Verdict::Denied(Denial::by_host(DenyCode::AuditUnavailable, "the decision could not be recorded"));
    }
    if let Some(decided) = told {
        Listeners { shadow, ..listeners }.tell(decided, judged.known, in_force, recipe);
    }
    verdict
}

/// Is the identity what was demanded before the policies were asked?
fn held(demanded_acr: &[String], max_age: Option<u32>, identity: &VerifiedIdentity, asked: u64) -> Held {
    if second_factor::is_due(demanded_acr, max_age, identity, asked) {
        Held::SecondFactorDue(second_factor::demand(demanded_acr, max_age))
    } else if second_factor::answers(demanded_acr) || is_recent(identity.auth_time, max_age, asked) {
        Held::Yes
    } else {
        Held::TooOld
    }
}

/// Nobody was asked.
fn unasked(denial: Denial) -> Judged {
    Judged { conclusion: Conclusion::Denied(denial), found: Found::default(), known: None }
}

/// The decision whole, for whoever asks again.
fn whole(asked: Asked, judged: &Judged, trace: &Trace, (generation, request): (Arc<str>, String)) -> Decided {
    Decided {
        request,
        generation,
        asked,
        found: judged.found.clone(),
        conclusion: judged.conclusion.clone(),
        answers: trace.answers.iter().map(Answered::from).collect(),
    }
}

impl Listeners<'_> {
    fn tell(
        self,
        decided: Decided,
        known: Option<BTreeSet<String>>,
        generation: Arc<Generation>,
        recipe: Option<Arc<Recipe>>,
    ) {
        if let Some(shadow) = self.shadow {
            shadow.ask(Seen { generation, decided: decided.clone(), known: known.clone() });
        }
        if let Some(recorder) = self.recorder {
            recorder.note(Noted::Login { decided: Box::new(decided), known, recipe });
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

pub(super) fn reasons_of(step_up: &StepUp) -> String {
    step_up.reasons.iter().map(|reason| reason.code.as_str()).collect::<Vec<_>>().join(", ")
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
