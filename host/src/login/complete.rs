//! From a proof to the application's door: the callback, the local form, the step-up, and
//! what follows a yes.

use std::sync::{Arc, PoisonError};

use super::{
    Answer, Class, FormError, Login, Refusal, Step, UnverifiedCallback, Visitor,
    decide::{Listeners, Question, Times, UnderWay, Verdict, decide},
    pending::{Onward, Pending, Stage, is_same_state, read_id},
    route::{min_of, narrowed},
    second_factor,
    turn::Turn,
};
use crate::{
    audit::Kind,
    config::{Upstream, UpstreamKind},
    decision::{Admission, Denial, DenyCode, Redirect, StepUp},
    identity::{VerifiedIdentity, is_reserved_acr},
    secret::Secret,
    session::{Entry, Origin, Proven, Session, SetCookie, Sso},
    upstream::Proof,
};

/// Where an admitted identity's proof comes from.
pub(super) enum Proved {
    /// From the single sign-on session, which goes on as it is.
    Before(Box<Sso>),
    /// From there, and from a second factor just now: it goes on as this.
    Further(Box<Sso>),
    /// From the emergency door, at a time in seconds since 1970-01-01 UTC: it is remembered for so many seconds, so that
    /// a logout ends it.
    AtTheDoor { at: u64, lifetime: u32 },
    /// From an upstream, at a time in seconds since 1970-01-01 UTC.
    Now { id_token: Option<Secret<String>>, at: u64 },
}

/// How far the upstream's clock may be off, in seconds.
fn clock_skew(upstream: &Upstream) -> u64 {
    match &upstream.kind {
        UpstreamKind::Oidc(oidc) => oidc.clock_skew.into(),
        // Neither says when the subject authenticated: the first because it does so now.
        UpstreamKind::Local | UpstreamKind::OAuth2(_) => 0,
    }
}

impl Login {
    pub(super) async fn do_callback(
        &self,
        visitor: &Visitor,
        upstream: &str,
        callback: UnverifiedCallback,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let state = callback.state.as_deref().unwrap_or_default();
        let Some(id) = read_id(state) else {
            return Err(turn.refusal(Class::BadRequest, "state-malformed", None));
        };
        let pending = turn.pending(id)?;
        let Stage::Upstream { state: expected, exchange } = &pending.stage else {
            return Err(turn.refusal(Class::Expired, "login-not-at-this-step", Some(&pending)));
        };
        if !is_same_state(state, expected) {
            return Err(turn.refusal(Class::BadRequest, "state-mismatch", Some(&pending)));
        }
        if !turn.use_state(state, pending.expires) {
            return Err(turn.refusal(Class::Expired, "state-used", Some(&pending)));
        }
        // The mix-up defence of RFC 9700 §4.4.2.1: each upstream has a callback of its own.
        // Refused before anything is sent to anybody.
        if exchange.upstream != upstream {
            return Err(turn.refusal(Class::BadRequest, "upstream-mismatch", Some(&pending)));
        }
        let Some(generation) = self.parts.generations.by_number(pending.generation) else {
            return self.begin_again(visitor, pending).await;
        };
        let turn = Turn::under(self, visitor, generation);
        let Some(configured) = turn.config.upstreams.get(upstream) else {
            return Err(turn.refusal(Class::Denied, DenyCode::UnknownUpstream.name(), Some(&pending)));
        };
        match self.parts.upstreams.complete(configured, exchange, &callback).await {
            Ok(proof) => {
                // A new proof is as new as was asked for when it was asked for: the way there and
                // back takes its time, and the upstream's clock may differ.
                let asked_at = exchange.begun_at.saturating_sub(clock_skew(configured));
                self.proved(&turn, pending, proof, asked_at).await
            }
            Err(error) => {
                tracing::warn!(request = %visitor.request, login = pending.id, upstream, %error, "no proof");
                self.record_refused(&turn, &pending, upstream, error.code, None).await;
                Err(turn.refusal(Class::Upstream, error.code, Some(&pending)))
            }
        }
    }

    pub(super) async fn do_local(
        &self,
        visitor: &Visitor,
        login: &str,
        username: &str,
        password: Secret<String>,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let pending = turn.pending(read_id(login).unwrap_or_default())?;
        let Stage::Local { upstream } = &pending.stage else {
            return Err(turn.refusal(Class::Expired, "login-not-at-this-step", Some(&pending)));
        };
        if !self.limits.password(visitor.address, username) {
            return Err(turn.refusal(Class::TooOften, "too-many-passwords", Some(&pending)));
        }
        let Some(generation) = self.parts.generations.by_number(pending.generation) else {
            return self.begin_again(visitor, pending).await;
        };
        let turn = Turn::under(self, visitor, generation);
        let Some(configured) = turn.config.upstreams.get(upstream) else {
            return Err(turn.refusal(Class::Denied, DenyCode::UnknownUpstream.name(), Some(&pending)));
        };
        let Some(accounts) = &turn.config.accounts else {
            return Err(turn.refusal(Class::Unavailable, "no-local-accounts", Some(&pending)));
        };
        let issuer = turn.config.server.public_url.as_str().trim_end_matches('/');
        let identity = self.parts.upstreams.authenticate(accounts, &configured.id, issuer, username, &password).await;
        match identity {
            Ok(identity) => {
                let proof = Proof { identity, id_token: None, warnings: Vec::new() };
                self.proved(&turn, pending, proof, turn.now).await
            }
            Err(error) if !matches!(error.code, "credentials-refused" | "account-disabled") => {
                tracing::error!(request = %visitor.request, login = pending.id, %error, "no proof");
                Err(turn.refusal(Class::Unavailable, error.code, Some(&pending)))
            }
            Err(error) => {
                tracing::info!(request = %visitor.request, login = pending.id, %error, "no proof");
                self.record_refused(&turn, &pending, upstream, error.code, Some(username)).await;
                Ok(Answer::with(
                    Step::LocalForm {
                        login: pending.id.clone(),
                        application: pending.application.clone(),
                        username: username.chars().filter(|c| !c.is_control()).take(254).collect(),
                        error: Some(FormError::Credentials),
                    },
                    Vec::new(),
                ))
            }
        }
    }

    /// Records that nobody was proved. The answer is a no whatever becomes of the record.
    async fn record_refused(
        &self,
        turn: &Turn<'_>,
        pending: &Pending,
        upstream: &str,
        code: &str,
        username: Option<&str>,
    ) {
        let mut event = turn.event(Kind::AuthenticationRefused);
        event.login = Some(pending.id.clone());
        event.tenant = turn.config.applications.get(&pending.application).map(|known| known.tenant.clone());
        event.application = Some(pending.application.clone());
        event.upstream = Some(upstream.to_owned());
        event.input = username.map(|username| serde_json::json!({ "username": username }));
        event.outcome = Some(serde_json::json!({ "code": code }));
        let _ = turn.record(event).await;
    }

    /// An identity was proved, just now: decide.
    async fn proved(&self, turn: &Turn<'_>, pending: Pending, proof: Proof, asked_at: u64) -> Result<Answer, Refusal> {
        let Proof { identity, id_token, warnings } = proof;
        // Our own second factor is ours to state: whoever else says so would be believed in its stead.
        if identity.acr.as_deref().is_some_and(is_reserved_acr) {
            self.record_refused(turn, &pending, &identity.upstream, "acr-reserved", None).await;
            return Err(turn.refusal(Class::Upstream, "acr-reserved", Some(&pending)));
        }
        let proven = Proven::now(&identity, turn.now, asked_at);
        let times = Times { proved: turn.now, asked: asked_at };
        match self.decide(turn, &pending, None, identity, times, warnings).await {
            Verdict::Admitted(admission) => {
                self.admitted(turn, pending, *admission, Proved::Now { id_token, at: turn.now })
            }
            Verdict::StepUp(step_up) => {
                if let Some(id_token) = id_token.filter(|_| second_factor::answers(&step_up.acr_values)) {
                    self.keep_id_token(turn, &pending, id_token);
                }
                self.step_up(turn, pending, proven, step_up).await
            }
            Verdict::Denied(denial) => Err(turn.denied(&denial, Some(&pending))),
            Verdict::Stale => Err(turn.refusal(Class::Denied, DenyCode::SessionTooShort.name(), Some(&pending))),
        }
    }

    /// The decision, off the async threads.
    pub(super) async fn decide(
        &self,
        turn: &Turn<'_>,
        pending: &Pending,
        under_way: Option<UnderWay>,
        identity: VerifiedIdentity,
        times: Times,
        warnings: Vec<&'static str>,
    ) -> Verdict {
        let Ok(application) = turn.application(&pending.application) else {
            return Verdict::Denied(Denial::by_host(DenyCode::UnknownApplication, "not in the configuration"));
        };
        let question = Question {
            generation: Arc::clone(&turn.generation),
            at_the_door: None,
            under_way,
            context: turn.context(&pending.id, application, pending.return_to()),
            identity,
            times,
            max_age: pending.max_age,
            demanded_acr: pending.demanded_acr.clone(),
            may_step_up: pending.step_ups < turn.config.login.step_ups_max && !pending.silent,
            request: turn.visitor.request.to_string(),
            warnings,
        };
        let (directories, audit) = (Arc::clone(&self.directories), Arc::clone(&self.parts.audit));
        let keys = Arc::clone(&self.parts.keys);
        let (recorder, shadow) = (self.parts.recorder.clone(), self.shadow.clone());
        let decided = tokio::task::spawn_blocking(move || {
            let listeners = Listeners { recorder: recorder.as_deref(), shadow: shadow.as_deref() };
            decide(question, &directories, &keys, &audit, listeners)
        });
        decided.await.unwrap_or_else(|error| {
            tracing::error!(request = %turn.visitor.request, %error, "the decision's task failed");
            Verdict::Denied(Denial::by_host(DenyCode::Sandbox, "the decision's task failed"))
        })
    }

    /// Back to the upstream, for more; or on to our own second factor, where that will do.
    pub(super) async fn step_up(
        &self,
        turn: &Turn<'_>,
        mut pending: Pending,
        proven: Proven,
        asked: StepUp,
    ) -> Result<Answer, Refusal> {
        pending.step_ups = pending.step_ups.saturating_add(1);
        pending.max_age = min_of(pending.max_age, asked.max_age);
        pending.demanded_acr = narrowed(&asked.acr_values, &pending.demanded_acr);
        if second_factor::answers(&asked.acr_values) {
            return self.demand_second_factor(turn, pending, proven, &asked).await;
        }
        let redirect = Redirect { upstream: proven.identity().upstream.clone(), ..Redirect::default() };
        match self.leave(turn, &mut pending, &redirect).await? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(turn.refusal(Class::Upstream, error.code, Some(&pending))),
        }
    }

    /// A yes takes effect: single sign-on on our host, and a ticket, a code or an assertion to
    /// the application.
    pub(super) fn admitted(
        &self,
        turn: &Turn<'_>,
        pending: Pending,
        admission: Admission,
        proved: Proved,
    ) -> Result<Answer, Refusal> {
        let mut cookies = turn.forget(&pending);
        let origin = match proved {
            Proved::Before(sso) => Origin::of(&sso),
            Proved::Further(sso) => {
                cookies.extend(second_factor::further(turn, &sso));
                Origin::of(&sso)
            }
            Proved::AtTheDoor { at, lifetime } => {
                let sso = self.remember(turn, &pending, &admission, None, (lifetime, at), &mut cookies)?;
                Origin::of(&sso)
            }
            Proved::Now { id_token, at } => {
                let session = &turn.config.session;
                let lifetime = if admission.terms.remember { session.remember_lifetime } else { session.lifetime };
                let identifier = pending.identifier.clone();
                let sso = self.remember(turn, &pending, &admission, identifier, (lifetime, at), &mut cookies)?;
                if let Some(id_token) = id_token {
                    let mut id_tokens = self.id_tokens.lock().unwrap_or_else(PoisonError::into_inner);
                    id_tokens.insert_or_displace(sso.id.clone(), id_token, sso.expires, turn.now);
                }
                Origin::of(&sso)
            }
        };
        match &pending.onward {
            Onward::ForwardAuth { .. } => {
                let session = Session::begin(&admission, &origin.family, turn.now)
                    .map_err(|error| turn.unavailable(&error, Some(&pending)))?;
                self.issue(turn, &pending, Entry::Session(Box::new(session)), cookies)
            }
            Onward::Oidc { request } | Onward::Saml { request } => {
                let request = request.clone();
                let step = Step::Admitted { admission: Box::new(admission), request, origin: Box::new(origin) };
                Ok(Answer::with(step, cookies))
            }
        }
    }

    /// Begins the single sign-on session, of such a lifetime from such a time on.
    fn remember(
        &self,
        turn: &Turn<'_>,
        pending: &Pending,
        admission: &Admission,
        identifier: Option<String>,
        (lifetime, at): (u32, u64),
        cookies: &mut Vec<SetCookie>,
    ) -> Result<Sso, Refusal> {
        let before = turn.sso()?;
        let sso = Sso::begin(admission, identifier, before.as_ref(), lifetime, at)
            .map_err(|error| turn.unavailable(&error, Some(pending)))?;
        let max_age = sso.remember.then(|| sso.expires.saturating_sub(turn.now));
        let slot = turn.sso_slot();
        match slot.seal(&self.parts.keys, &turn.visitor.cookies, &sso, max_age) {
            Ok(sealed) => cookies.extend(sealed),
            // Too much to remember: the next application costs a trip to the
            // upstream, and an older single sign-on must not answer in its stead.
            Err(error) => {
                tracing::warn!(request = %turn.visitor.request, %error, "no single sign-on for this login");
                cookies.extend(slot.clear(&turn.visitor.cookies));
            }
        }
        Ok(sso)
    }
}
