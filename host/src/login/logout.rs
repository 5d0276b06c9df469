//! The way out: on the application's host, on ours, at the upstream, and back.

use std::sync::{Arc, PoisonError};

use url::Url;

use super::{
    Answer, Login, Refusal, Step, Visitor,
    round::Onward,
    target,
    turn::{Turn, longest},
};
use crate::{
    audit::Kind,
    config::Application,
    decision::{Denial, DenyCode, Ending, Trace},
    session::{Participant, Role, Slot, Sso},
};

impl Login {
    pub(super) async fn do_depart(
        &self,
        visitor: &Visitor,
        application: &str,
        rd: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let application = turn.application(application)?;
        let origin = turn.origin(application)?;
        let jar = &visitor.cookies;
        if let Ok(session) = self.live(&turn, application, &origin)? {
            self.revoked.end(&session.id, session.expires(), turn.now);
            self.settle(&turn).await;
            let mut event = turn.event(Kind::SessionEnded);
            event.granted = true;
            event.login = Some(session.login.clone());
            event.tenant = Some(session.tenant.clone());
            event.application = Some(session.application.clone());
            event.upstream = Some(session.identity.upstream.clone());
            event.session = Some(session.id.clone());
            event.identity = Some(session.identity.clone());
            // A logout is never held up by its record; the failure is in the log.
            let _ = turn.record(event).await;
        }
        let mut cookies = Slot::session(&turn.config.session, &origin, &application.id).clear(jar);
        cookies.extend(Slot::anonymous(&turn.config.session, &origin, &application.id).clear(jar));
        let wanted = rd.and_then(|rd| target::read(application, &origin, rd));
        let mut query = vec![("application", application.id.as_str())];
        query.extend(wanted.iter().map(|wanted| ("rd", wanted.as_str())));
        let to = target::address(&turn.config.server.public_url, &["logout"], &query);
        Ok(Answer::with(Step::Redirect(to), cookies))
    }

    pub(super) async fn do_logout(
        &self,
        visitor: &Visitor,
        application: Option<&str>,
        rd: Option<&str>,
        begun_at: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let application = application.and_then(|id| turn.config.applications.get(id));
        let wanted = rd.and_then(|rd| self.after_logout(&turn, application, rd));
        let cookies = turn.sso_slot().clear(&visitor.cookies);
        let Some(sso) = turn.sso()? else {
            // It may have ended where no browser was, and some are told by way of one only.
            let gone = turn.family().map(|family| self.participants.end(&family, turn.now)).unwrap_or_default();
            let onward = Onward { application: application.map(|it| it.id.clone()), target: wanted, upstream: None };
            return Ok(self.go_round(&turn, onward, in_browser(gone, begun_at), cookies).await);
        };
        self.revoked.end(&sso.family, turn.latest(), turn.now);
        let gone = self.participants.end(&sso.family, turn.now);
        self.settle(&turn).await;
        self.tell(&turn.visitor.request, gone.clone());
        let (ending, denial, trace) = self.ask_logout(&turn, application, &sso, wanted.as_ref()).await;
        let mut event = turn.event(Kind::SessionEnded);
        event.granted = true;
        event.tenant = application.map(|application| application.tenant.clone());
        event.application = application.map(|application| application.id.clone());
        event.upstream = Some(sso.identity().upstream.clone());
        event.session = Some(sso.id.clone());
        event.identity = Some(sso.identity().clone());
        event.outcome = serde_json::to_value(&ending).ok();
        event.denial = denial;
        event.trace = trace;
        let _ = turn.record(event).await;
        let after = ending.target.as_deref().and_then(|text| self.after_logout(&turn, application, text)).or(wanted);
        let onward = Onward {
            application: application.map(|application| application.id.clone()),
            target: after,
            upstream: ending.at_upstream.then(|| (sso.identity().upstream.clone(), sso.id.clone())),
        };
        Ok(self.go_round(&turn, onward, in_browser(gone, begun_at), cookies).await)
    }

    pub(super) fn do_joined(&self, request: &str, participant: Participant) {
        let (config, now) = (self.config(), self.parts.clock.now());
        let origin = participant.origin.clone();
        let latest = now + longest(&config);
        self.participants.join(participant, latest, now);
        // The session may have ended since the decision: nobody must miss that.
        if self.revoked.covers(&origin, now) {
            self.tell(request, self.participants.end_origin(&origin, now));
        }
    }

    /// Where this logout may end, read from text: what is registered now counts.
    pub(super) fn after_logout(&self, turn: &Turn<'_>, application: Option<&Application>, text: &str) -> Option<Url> {
        let registered = |application: &Application, url: &Url| (self.parts.ends_at)(&turn.config, application, url);
        target::read_after_logout(application, &turn.config.server.public_url, text, registered)
    }

    /// Waits until what was ended is on the disk. A logout is not undone where it is not: it holds until a restart, and the
    /// failure is in the log.
    pub(super) async fn settle(&self, turn: &Turn<'_>) {
        if !self.state.is_kept() {
            return;
        }
        let state = Arc::clone(&self.state);
        let request = &turn.visitor.request;
        match tokio::task::spawn_blocking(move || state.sync()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%request, %error, "a restart would forget that a session was ended"),
            Err(error) => tracing::error!(%request, %error, "the task failed that keeps what was ended"),
        }
    }

    /// Lets relying parties know, without waiting for any.
    pub(super) fn tell(&self, request: &str, gone: Vec<Participant>) {
        if !gone.is_empty() {
            (self.parts.farewell)(request, gone);
        }
    }

    /// Asks the logout hook. Whatever comes of it, the logout goes on: a policy that fails
    /// must not keep anybody logged in.
    async fn ask_logout(
        &self,
        turn: &Turn<'_>,
        application: Option<&Application>,
        sso: &Sso,
        wanted: Option<&Url>,
    ) -> (Ending, Option<Denial>, Option<Trace>) {
        // Without a policy's word the session at the upstream ends, too: otherwise the
        // next click would log in again, unasked.
        let default = Ending { at_upstream: true, target: None };
        let Some(application) = application else { return (default, None, None) };
        // No upstream proved who that is, and the policies in force were not asked about them either.
        if sso.identity().is_of_the_door() {
            return (Ending { at_upstream: false, ..default }, None, None);
        }
        let generation = Arc::clone(&turn.generation);
        let context = turn.context(&sso.id, application, None);
        let (identity, wanted) = (sso.identity().clone(), wanted.map(Url::to_string));
        let asked = tokio::task::spawn_blocking(move || match generation.begin(context) {
            Err((denial, trace)) => (Err(denial), trace),
            Ok(mut run) => (run.logout(&identity, wanted.as_deref()), run.finish()),
        });
        match asked.await {
            Ok((Ok(Some(ending)), trace)) => {
                let refused = ending
                    .target
                    .as_deref()
                    .is_some_and(|text| self.after_logout(turn, Some(application), text).is_none());
                let denial = refused.then(|| {
                    Denial::by_host(DenyCode::TargetNotAllowed, "a policy named a logout target that is not allowed")
                });
                (ending, denial, Some(trace))
            }
            Ok((Ok(None), trace)) => (default, None, Some(trace)),
            Ok((Err(denial), trace)) => (default, Some(denial), Some(trace)),
            Err(error) => {
                tracing::error!(request = %turn.visitor.request, %error, "the logout hook's task failed");
                (default, Some(Denial::by_host(DenyCode::Sandbox, "the decision's task failed")), None)
            }
        }
    }

    /// The upstream's own logout (OpenID Connect RP-Initiated Logout 1.0), if it has one. `state` comes back where
    /// the upstream has such a thing.
    pub(super) async fn upstream_logout(
        &self,
        turn: &Turn<'_>,
        upstream: &str,
        session: &str,
        state: &str,
    ) -> Option<Url> {
        let upstream = turn.config.upstreams.get(upstream)?;
        let sign_out_url = target::address(&turn.config.server.public_url, &["logged-out"], &[]);
        let id_token = {
            let mut id_tokens = self.id_tokens.lock().unwrap_or_else(PoisonError::into_inner);
            id_tokens.take(&session.to_owned(), turn.now)
        };
        match self.parts.upstreams.logout_url(upstream, id_token.as_ref(), &sign_out_url, state).await {
            Ok(to) => to,
            Err(error) => {
                tracing::warn!(request = %turn.visitor.request, upstream = upstream.id, %error, "no logout there");
                None
            }
        }
    }
}

/// Those that are told by way of the browser, but for the one that began.
fn in_browser(gone: Vec<Participant>, begun_at: Option<&str>) -> Vec<Participant> {
    let began = |participant: &Participant| {
        matches!(participant.role, Role::ServiceProvider { .. }) && begun_at == Some(participant.application.as_str())
    };
    gone.into_iter().filter(|participant| participant.front_channel && !began(participant)).collect()
}
