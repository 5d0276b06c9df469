//! On an application's host: the ticket becomes a session, and each request is asked
//! whether it has one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Answer, Check, Class, Demand, Login, Refusal, Step, Visitor,
    begin::Binding,
    decide::reasons_of,
    turn::{Turn, way_on},
};
use crate::{
    audit::{Kind, Level},
    config::Application,
    decision::{AccessRequest, AccessVerdict, Attempt, Denial, DenyCode, Direction, StepUp},
    identity::Identity,
    session::{CookieError, Entry, Session, SetCookie, Slot, TicketError},
};

/// A policy may ask for an authentication this new and no newer: the way back from the
/// upstream takes its time, and clocks differ.
pub(super) const REAUTHENTICATION_MIN_S: u32 = 30;

/// The note that a policy left this application's login to the application.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    application: String,
    expires: u64,
}

/// A request, as far as it can be judged without a guest.
enum Sight {
    /// There is nobody to ask.
    Plain(Check),
    /// Of a live session, on a path about which a policy wants to be asked.
    Guarded(Arc<Session>),
    /// Of nobody, who has the note that the login is left to the application. What clears the
    /// session's cookies, if it is not so here.
    Stranger(Vec<SetCookie>),
}

impl Login {
    pub(super) async fn do_enter(&self, visitor: &Visitor, application: &str, ticket: &str) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let application = turn.application(application)?;
        let origin = turn.origin(application)?;
        let binding = Binding::held(&turn, &origin)?;
        let ticket = self
            .tickets
            .redeem(
                ticket,
                &application.id,
                &origin.origin().ascii_serialization(),
                binding.as_ref().map(|binding| binding.secret.as_str()),
                turn.now,
            )
            .map_err(|error| {
                tracing::info!(request = %visitor.request, %error, "a ticket was refused");
                let code = if matches!(error, TicketError::Unknown) { "ticket-unknown" } else { "ticket-not-for-this" };
                Refusal {
                    application: Some(application.id.clone()),
                    again: Some(application.url.clone()),
                    ..turn.refusal(Class::Expired, code, None)
                }
            })?;
        let (jar, keys) = (&visitor.cookies, &self.parts.keys);
        let slot = Slot::session(&turn.config.session, &origin, &application.id);
        let note = Slot::anonymous(&turn.config.session, &origin, &application.id);
        let cookies = match ticket.entry {
            Entry::Anonymous => {
                let expires = turn.now + u64::from(turn.config.session.idle);
                let mut cookies = note
                    .seal(keys, jar, &Note { application: application.id.clone(), expires }, None)
                    .map_err(|error| turn.unsealable(&error, None))?;
                cookies.extend(slot.clear(jar));
                cookies
            }
            Entry::Session(session) => {
                // Whatever session this browser had here is over: an id that was planted or
                // copied before the login is worth nothing after it.
                if let Some(old) = turn.lenient(slot.open::<Session>(keys, jar))? {
                    self.revoked.end(&old.id, old.expires(), turn.now);
                    let mut event = turn.event(Kind::SessionEnded);
                    event.granted = true;
                    event.login = Some(old.login);
                    event.tenant = Some(old.tenant);
                    event.application = Some(old.application);
                    event.upstream = Some(old.identity.upstream.clone());
                    event.session = Some(old.id);
                    event.identity = Some(old.identity);
                    turn.record(event).await.map_err(|denial| turn.denied(&denial, None))?;
                }
                let mut cookies = slot
                    .seal(keys, jar, &*session, session.cookie_max_age(turn.now))
                    .map_err(|error| turn.unsealable(&error, None))?;
                if note.is_in(jar) {
                    cookies.extend(note.clear(jar));
                }
                let mut event = turn.event(Kind::SessionStarted);
                event.level = level_of(&session.identity);
                event.granted = true;
                event.login = Some(session.login.clone());
                event.tenant = Some(session.tenant.clone());
                event.application = Some(session.application.clone());
                event.upstream = Some(session.identity.upstream.clone());
                event.session = Some(session.id.clone());
                event.identity = Some(session.identity.clone());
                turn.record(event).await.map_err(|denial| turn.denied(&denial, None))?;
                cookies
            }
        };
        Ok(Answer::with(Step::Redirect(ticket.return_to), cookies))
    }

    pub(super) async fn do_check(
        &self,
        visitor: &Visitor,
        application: &str,
        request: &AccessRequest,
    ) -> Result<Check, Refusal> {
        let turn = Turn::new(self, visitor);
        let application = turn.application(application)?;
        let origin = turn.origin(application)?;
        match self.sight(&turn, application, &origin, request)? {
            Sight::Plain(check) => Ok(check),
            // The note says that it was so for some path; whether it is for this one, the policy
            // alone knows.
            Sight::Stranger(cookies) => {
                Ok(match self.leaves_to_application(&turn, application, &origin, request).await {
                    true => Check::Anonymous,
                    false => Check::NoSession { cookies },
                })
            }
            Sight::Guarded(session) => match self.ask_access(&turn, application, &session, request).await {
                Ok(AccessVerdict::Pass) => self.pass(&turn, application, &origin, session),
                Ok(AccessVerdict::Reauthenticate(StepUp { acr_values, max_age, .. })) => {
                    let max_age = max_age.map(|seconds| seconds.max(REAUTHENTICATION_MIN_S));
                    Ok(Check::Reauthenticate(Demand { max_age, acr_values, fresh: false }))
                }
                Ok(AccessVerdict::Deny(reason)) => {
                    let denial = Denial { code: DenyCode::PolicyDenied, reason, policy: None, hook: None };
                    Err(no_entry(&turn, &denial, application, &origin, request, &session))
                }
                Err(denial) => Err(no_entry(&turn, &denial, application, &origin, request, &session)),
            },
        }
    }

    pub(super) fn do_check_at_once(
        &self,
        visitor: &Visitor,
        application: &str,
        request: &AccessRequest,
    ) -> Result<Option<Check>, Refusal> {
        let turn = Turn::new(self, visitor);
        let application = turn.application(application)?;
        let origin = turn.origin(application)?;
        Ok(match self.sight(&turn, application, &origin, request)? {
            Sight::Plain(check) => Some(check),
            Sight::Guarded(_) | Sight::Stranger(_) => None,
        })
    }

    /// What can be said of a request without asking anybody.
    fn sight(
        &self,
        turn: &Turn<'_>,
        application: &Application,
        origin: &Url,
        request: &AccessRequest,
    ) -> Result<Sight, Refusal> {
        let is_guarded = || turn.generation.asks_access(&application.id, &request.path);
        match self.live(turn, application, origin)? {
            Ok(session) if self.decides_about(turn, &session).asks_access(&application.id, &request.path) => {
                Ok(Sight::Guarded(session))
            }
            Ok(session) => self.pass(turn, application, origin, session).map(Sight::Plain),
            Err(cookies) if !self.is_left_to_application(turn, application, origin)? => {
                Ok(Sight::Plain(Check::NoSession { cookies }))
            }
            // Nobody cannot be asked about: a guarded path stays shut.
            Err(_) if is_guarded() => Err(turn.refusal(Class::Denied, "identity-required", None)),
            Err(cookies) => Ok(Sight::Stranger(cookies)),
        }
    }

    /// Lets a request pass, with a new cookie where the old one has grown old.
    fn pass(
        &self,
        turn: &Turn<'_>,
        application: &Application,
        origin: &Url,
        session: Arc<Session>,
    ) -> Result<Check, Refusal> {
        // The application asks for a password of its own.
        if application.own_login_path.is_some() && session.identity.is_of_the_door() {
            return Ok(Check::Anonymous);
        }
        let cookies = match session.renewed(turn.now) {
            None => Vec::new(),
            Some(renewed) => Slot::session(&turn.config.session, origin, &application.id)
                .seal(&self.parts.keys, &turn.visitor.cookies, &renewed, renewed.cookie_max_age(turn.now))
                .map_err(|error| turn.unsealable(&error, None))?,
        };
        Ok(Check::Live { session, cookies })
    }

    /// The live session of this browser; or the cookies that clear what was none.
    pub(super) fn live(
        &self,
        turn: &Turn<'_>,
        application: &Application,
        origin: &Url,
    ) -> Result<Result<Arc<Session>, Vec<SetCookie>>, Refusal> {
        let slot = Slot::session(&turn.config.session, origin, &application.id);
        let jar = &turn.visitor.cookies;
        let opened = match self.opened.open(&slot, &self.parts.keys, jar, turn.now) {
            Ok(opened) => opened,
            Err(error @ (CookieError::TooManyPieces(_) | CookieError::TooMany(_))) => {
                return turn.lenient(Err(error)).map(|_: Option<()>| Err(Vec::new()));
            }
            Err(error) => {
                tracing::debug!(request = %turn.visitor.request, %error, "a session cookie was refused");
                return Ok(Err(slot.clear(jar)));
            }
        };
        let Some(session) = opened else { return Ok(Err(Vec::new())) };
        let is_open = match session.identity.is_of_the_door() {
            true => self.has_door_to(&application.id),
            false => application.upstreams.contains(&session.identity.upstream),
        };
        let is_live = is_open
            && session.application == application.id
            && session.is_live(turn.now)
            && !self.revoked.has(&session.id, turn.now)
            && !self.revoked.has(&session.parent, turn.now)
            && !self.revoked.ended_at_upstream(&session.identity, session.began, turn.now);
        Ok(if is_live { Ok(session) } else { Err(slot.clear(jar)) })
    }

    fn is_left_to_application(
        &self,
        turn: &Turn<'_>,
        application: &Application,
        origin: &Url,
    ) -> Result<bool, Refusal> {
        let slot = Slot::anonymous(&turn.config.session, origin, &application.id);
        let note = turn.lenient(slot.open::<Note>(&self.parts.keys, &turn.visitor.cookies))?;
        Ok(note.is_some_and(|note| note.application == application.id && turn.now < note.expires))
    }

    /// Asks the route hook about one request without a session, and records a yes. Any
    /// failure is a no: the person is sent to log in.
    async fn leaves_to_application(
        &self,
        turn: &Turn<'_>,
        application: &Application,
        origin: &Url,
        request: &AccessRequest,
    ) -> bool {
        // Each question runs guests and is recorded: nobody gets to ask without end.
        if !self.limits.stranger(turn.visitor.address) {
            tracing::info!(request = %turn.visitor.request, "too many requests without a session from one address");
            return false;
        }
        let target = origin.join(&request.path).ok().map(String::from);
        let context = turn.context(&turn.visitor.request, application, target.as_deref());
        let attempt = Attempt { upstreams: application.upstreams.clone(), ..Attempt::default() };
        let mut event = turn.event(Kind::Access);
        event.tenant = Some(application.tenant.clone());
        event.application = Some(application.id.clone());
        event.input = serde_json::to_value(request).ok();
        let (generation, audit) = (Arc::clone(&turn.generation), Arc::clone(&self.parts.audit));
        let asked = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            let Ok(mut run) = generation.begin(context) else { return false };
            let leaves = matches!(run.route(&attempt), Ok(Direction::ApplicationForm));
            event.granted = leaves;
            event.trace = Some(run.finish());
            event.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            // A no leads to a login, which has a record of its own.
            leaves && audit.record(&event).is_ok()
        });
        asked.await.unwrap_or_default()
    }

    /// Asks the access hook, and records what came of it.
    async fn ask_access(
        &self,
        turn: &Turn<'_>,
        application: &Application,
        session: &Session,
        request: &AccessRequest,
    ) -> Result<AccessVerdict, Denial> {
        let generation = Arc::clone(self.decides_about(turn, session));
        let context = turn.context(&session.login, application, None);
        let mut event = turn.event(Kind::Access);
        event.level = level_of(&session.identity);
        event.login = Some(session.login.clone());
        event.tenant = Some(session.tenant.clone());
        event.application = Some(session.application.clone());
        event.upstream = Some(session.identity.upstream.clone());
        event.session = Some(session.id.clone());
        event.identity = Some(session.identity.clone());
        event.input = serde_json::to_value(request).ok();
        let (identity, groups, request) = (session.identity.clone(), session.groups.clone(), request.clone());
        let (audit, now) = (Arc::clone(&self.parts.audit), turn.now);
        let asked = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            let (verdict, trace) = match generation.begin(context) {
                Err((denial, trace)) => (Err(denial), trace),
                Ok(mut run) => (run.access(&identity, &groups, &request), run.finish()),
            };
            let verdict = verdict.map(|verdict| settle(verdict, &identity, now));
            event.trace = Some(trace);
            event.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            event.granted = matches!(verdict, Ok(AccessVerdict::Pass));
            event.denial = match &verdict {
                Ok(AccessVerdict::Pass) => None,
                Ok(AccessVerdict::Reauthenticate(step_up)) => {
                    Some(Denial::by_host(DenyCode::StepUpRequired, reasons_of(step_up)))
                }
                Ok(AccessVerdict::Deny(reason)) => {
                    Some(Denial { code: DenyCode::PolicyDenied, reason: reason.clone(), policy: None, hook: None })
                }
                Err(denial) => Some(denial.clone()),
            };
            if let Err(error) = audit.record(&event) {
                tracing::error!(%error, "a request was decided but could not be recorded: denied");
                return Err(Denial::by_host(DenyCode::AuditUnavailable, "the decision could not be recorded"));
            }
            verdict
        });
        asked.await.unwrap_or_else(|error| {
            tracing::error!(request = %turn.visitor.request, %error, "the access decision's task failed");
            Err(Denial::by_host(DenyCode::Sandbox, "the decision's task failed"))
        })
    }
}

/// What comes of the emergency door is worth a look.
fn level_of(identity: &Identity) -> Level {
    if identity.is_of_the_door() { Level::Alert } else { Level::Normal }
}

/// Is what was proved already what is asked for?
fn settle(verdict: AccessVerdict, identity: &Identity, now: u64) -> AccessVerdict {
    let AccessVerdict::Reauthenticate(asked) = verdict else { return verdict };
    // Many upstreams say when only if they are asked with `max_age`, which the new login does.
    // One that does not say so even then is refused there: there is no circle.
    let is_recent = asked.max_age.is_none_or(|within| {
        identity.auth_time.is_some_and(|at| now.saturating_sub(at) <= u64::from(within.max(REAUTHENTICATION_MIN_S)))
    });
    let is_strong =
        asked.acr_values.is_empty() || identity.acr.as_ref().is_some_and(|acr| asked.acr_values.contains(acr));
    if is_recent && is_strong && !(asked.max_age.is_none() && asked.acr_values.is_empty()) {
        AccessVerdict::Pass
    } else {
        AccessVerdict::Reauthenticate(asked)
    }
}

/// A no to a live session. Somebody else may be let in: the way on leads to a new login.
fn no_entry(
    turn: &Turn<'_>,
    denial: &Denial,
    application: &Application,
    origin: &Url,
    request: &AccessRequest,
    session: &Session,
) -> Refusal {
    let refusal = turn.denied(denial, None);
    let page = origin.join(&request.path).ok();
    Refusal {
        login: Some(session.login.clone()),
        application: Some(session.application.clone()),
        again: page.map(|page| way_on(application, refusal.class, Some((origin, &page)))),
        ..refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(auth_time: Option<u64>, acr: Option<&str>) -> Identity {
        Identity {
            upstream: "corp".into(),
            protocol: crate::identity::Protocol::Oidc,
            issuer: "https://corp.example.net".into(),
            subject: "ann".into(),
            email: None,
            groups: crate::identity::GroupClaim::Absent,
            auth_time,
            acr: acr.map(str::to_owned),
            amr: vec![],
            claims: std::collections::BTreeMap::new(),
        }
    }

    fn asked(max_age: Option<u32>, acr: &[&str]) -> AccessVerdict {
        let acr_values = acr.iter().map(|acr| (*acr).to_owned()).collect();
        AccessVerdict::Reauthenticate(StepUp { acr_values, max_age, reasons: vec![] })
    }

    #[test]
    fn a_recent_authentication_is_not_asked_for_again() {
        let settled = |auth_time, now| settle(asked(Some(300), &[]), &identity(auth_time, None), now);
        assert_eq!(settled(Some(1000), 1300), AccessVerdict::Pass);
        assert_eq!(settled(Some(1000), 1301), asked(Some(300), &[]));
        assert_eq!(settled(None, 1000), asked(Some(300), &[]), "the upstream is asked, and held to the answer");
    }

    #[test]
    fn a_strong_authentication_is_not_asked_for_again_and_a_weak_one_is_none() {
        let settled = |acr| settle(asked(None, &["mfa", "phr"]), &identity(Some(1000), acr), 5000);
        assert_eq!(settled(Some("phr")), AccessVerdict::Pass);
        for acr in [None, Some("pwd"), Some("mfa phr"), Some("MFA")] {
            assert_eq!(settled(acr), asked(None, &["mfa", "phr"]), "{acr:?}");
        }
        let both = settle(asked(Some(300), &["mfa"]), &identity(Some(1000), Some("mfa")), 1301);
        assert_eq!(both, asked(Some(300), &["mfa"]), "strong, but too old");
    }

    #[test]
    fn asking_for_the_impossible_ends_in_a_no_and_not_in_a_circle() {
        let at_once = settle(asked(Some(0), &[]), &identity(Some(1000), None), 1010);
        assert_eq!(at_once, AccessVerdict::Pass, "ten seconds after the upstream's page");
        // To ask for nothing at all cannot be satisfied: it is no pass by the back door.
        assert_eq!(settle(asked(None, &[]), &identity(Some(1000), Some("mfa")), 1000), asked(None, &[]));
    }
}
