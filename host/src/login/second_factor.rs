//! The gateway's own second factor: a policy demands it by its `acr`, and here it is proved, between
//! an upstream's proof and the decision. Whether it is demanded, and of whom, no line here says.
//!
//! It is set up at the first demand, by somebody whom an upstream proved in this very login: a
//! single sign-on cookie that was stolen is not enough to put one's own in another's place.

use std::sync::{Arc, PoisonError};

use super::{
    Answer, Class, FormError, Login, Refusal, Step, Visitor,
    complete::Proved,
    contracts::is_recent,
    decide::{Times, Verdict},
    passkeys,
    pending::{Pending, Stage, read_id},
    step::Enrolment,
    target,
    turn::Turn,
};
use crate::{
    audit::{Event, Kind},
    decision::{Denial, DenyCode, Reason, Redirect, StepUp},
    factor::{FactorError, Factors, Method, Outcome, Reset, TotpSecret, Whose},
    identity::{Identity, PHISHING_RESISTANT, SECOND_FACTOR, is_reserved_acr},
    secret::Secret,
    session::{Proven, SetCookie},
};

/// Can the gateway itself satisfy this demand? One of the values will do, and these are ours.
pub(super) fn answers(acr_values: &[String]) -> bool {
    acr_values.iter().any(|acr| is_reserved_acr(acr))
}

/// Is a second factor of ours still due, for what is demanded of this identity? It answers for the
/// age, too: passing it is authenticating. `asked` is the moment from which `max_age` counts back.
pub(super) fn is_due(acr_values: &[String], max_age: Option<u32>, identity: &Identity, asked: u64) -> bool {
    let is_strong = identity.acr.as_ref().is_some_and(|acr| acr_values.contains(acr));
    answers(acr_values) && !(is_strong && is_recent(identity.auth_time, max_age, asked))
}

/// What a due second factor is in a policy's terms.
pub(super) fn demand(acr_values: &[String], max_age: Option<u32>) -> StepUp {
    let reasons = vec![Reason::new("second-factor-required", "")];
    StepUp { acr_values: acr_values.to_vec(), max_age, reasons }
}

/// Will a passkey alone do?
fn wants_passkey(acr_values: &[String]) -> bool {
    let has = |name: &str| acr_values.iter().any(|acr| acr == name);
    has(PHISHING_RESISTANT) && !has(SECOND_FACTOR)
}

/// What a factor that was passed comes to: an `acr`, and methods (RFC 8176 §2). Of a passkey it is `pop`
/// that is known (OpenID Connect EAP ACR Values §3), and neither `hwk` nor `swk`: where the key lives,
/// only an attestation would say. `user`, since the authenticator verified who used it.
pub(super) fn stated(method: Method, demanded: &[String]) -> (&'static str, &'static [&'static str]) {
    match method {
        Method::Passkey if demanded.iter().any(|acr| acr == PHISHING_RESISTANT) => {
            (PHISHING_RESISTANT, &["pop", "user", "mfa"])
        }
        Method::Passkey => (SECOND_FACTOR, &["pop", "user", "mfa"]),
        Method::Totp | Method::RecoveryCode { .. } => (SECOND_FACTOR, &["otp", "mfa"]),
    }
}

/// Where a second factor is being proved.
pub(super) struct Waiting {
    pub(super) pending: Pending,
    pub(super) proven: Box<Proven>,
    /// The secret that an app may share, where a factor is being set up.
    pub(super) secret: Option<TotpSecret>,
    /// Will a passkey alone do?
    pub(super) phishing_resistant: bool,
}

impl Login {
    /// Asks for the second factor: the pending login waits for it.
    pub(super) async fn demand_second_factor(
        &self,
        turn: &Turn<'_>,
        mut pending: Pending,
        proven: Proven,
        asked: &StepUp,
    ) -> Result<Answer, Refusal> {
        let identity = proven.identity();
        // Fewer than 30 s count as 30, as everywhere.
        let max_age = asked.max_age.map(|seconds| seconds.max(super::enter::REAUTHENTICATION_MIN_S));
        let was_passed =
            identity.acr.as_ref().is_some_and(|acr| is_reserved_acr(acr) && asked.acr_values.contains(acr));
        if was_passed && is_recent(identity.auth_time, max_age, turn.now) {
            // It was passed, and there is no more to have: no circle.
            return Err(turn.refusal(Class::Denied, DenyCode::StepUpUnmet.name(), Some(&pending)));
        }
        let who = identity.clone();
        let enrolled = self.with_factors(turn, Some(&pending), move |factors| factors.find(whose(&who))).await?;
        let secret = match enrolled {
            Some(_) => None,
            None if proven.sso.is_some() => return self.prove_anew(turn, pending, identity).await,
            None => Some(TotpSecret::generate().map_err(|error| turn.unavailable(&error, Some(&pending)))?),
        };
        let secret = secret.map(|secret| secret.text().expose().clone());
        let phishing_resistant = wants_passkey(&pending.demanded_acr);
        if phishing_resistant && passkeys::relying_party(turn).is_none() {
            // The gateway's host is an address, for which no browser has passkeys.
            return Err(turn.refusal(Class::Unavailable, "second-factor-unavailable", Some(&pending)));
        }
        pending.stage = Stage::SecondFactor { proven: Box::new(proven), secret, phishing_resistant };
        let cookies = turn.keep(&pending)?;
        let path = ["login", &pending.application, "second-factor"];
        let page = target::address(&turn.config.server.public_url, &path, &[("login", &pending.id)]);
        Ok(Answer::with(Step::Redirect(page), cookies))
    }

    /// Whoever is to set up a factor proves the first one in this login.
    async fn prove_anew(&self, turn: &Turn<'_>, mut pending: Pending, identity: &Identity) -> Result<Answer, Refusal> {
        pending.fresh = true;
        // It is no further demand: there is no circle, since nobody comes back from there remembered.
        pending.step_ups = pending.step_ups.saturating_sub(1);
        let redirect = Redirect { upstream: identity.upstream.clone(), ..Redirect::default() };
        match self.leave(turn, &mut pending, &redirect).await? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(turn.refusal(Class::Upstream, error.code, Some(&pending))),
        }
    }

    pub(super) async fn do_ask_second_factor(&self, visitor: &Visitor, login: &str) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let pending = turn.pending(read_id(login).unwrap_or_default())?;
        if matches!(pending.stage, Stage::Enrolled { .. }) {
            return Ok(Answer::with(recovery_codes(&pending, Vec::new()), Vec::new()));
        }
        let waiting = waiting(&turn, login)?;
        self.page(&turn, waiting, None).await
    }

    pub(super) async fn do_second_factor(
        &self,
        visitor: &Visitor,
        login: &str,
        typed: Secret<String>,
    ) -> Result<Answer, Refusal> {
        let (turn, waiting) = match self.waits(visitor, login).await? {
            Ok(waits) => waits,
            Err(answer) => return Ok(answer),
        };
        if waiting.phishing_resistant {
            // Not even looked at, so that it is not used up.
            return self.page(&turn, waiting, Some(FormError::PasskeyWanted)).await;
        }
        match &waiting.secret {
            Some(secret) => {
                let secret = secret.clone();
                self.enrol(&turn, waiting, secret, typed).await
            }
            None => self.challenge(visitor, &turn, waiting, typed).await,
        }
    }

    async fn enrol(
        &self,
        turn: &Turn<'_>,
        waiting: Waiting,
        secret: TotpSecret,
        typed: Secret<String>,
    ) -> Result<Answer, Refusal> {
        let (who, now) = (waiting.proven.identity().clone(), turn.now);
        let enrolled = self
            .with_factors(turn, Some(&waiting.pending), move |factors| {
                factors.enrol(whose(&who), &secret, typed.expose(), now)
            })
            .await?;
        match enrolled {
            Ok(codes) => self.enrolled(turn, waiting, codes, Method::Totp).await,
            Err(Outcome::Wrong) => self.wrong_code(turn, waiting, Outcome::Wrong).await,
            // Somebody set one up meanwhile, in another browser: this login knows nothing of it.
            Err(_) => Err(turn.refusal(Class::Expired, "second-factor-set-up-meanwhile", Some(&waiting.pending))),
        }
    }

    async fn challenge(
        &self,
        visitor: &Visitor,
        turn: &Turn<'_>,
        waiting: Waiting,
        typed: Secret<String>,
    ) -> Result<Answer, Refusal> {
        let (who, now) = (waiting.proven.identity().clone(), turn.now);
        let outcome = self
            .with_factors(turn, Some(&waiting.pending), move |factors| factors.prove(whose(&who), typed.expose(), now))
            .await?;
        match outcome {
            Outcome::Passed(method) => self.passed_by(visitor, turn, waiting, method, Vec::new()).await,
            other => self.wrong_code(turn, waiting, other).await,
        }
    }

    /// A code did not count: the same page, with a word.
    pub(super) async fn wrong_code(
        &self,
        turn: &Turn<'_>,
        waiting: Waiting,
        outcome: Outcome,
    ) -> Result<Answer, Refusal> {
        let (error, code) = match outcome {
            Outcome::Used => (FormError::CodeUsed, "code-used"),
            Outcome::Locked { .. } => (FormError::CodeLocked, "locked"),
            Outcome::Wrong => (FormError::Code, "code-wrong"),
            Outcome::NotEnrolled | Outcome::Passed(_) | Outcome::Refused(_) => {
                return Err(turn.refusal(Class::Expired, "second-factor-gone", Some(&waiting.pending)));
            }
        };
        let identity = waiting.proven.identity();
        let event = failed(event(turn, &waiting.pending, identity, Kind::FactorFailed, "totp"), code);
        let _ = turn.record(event).await;
        self.page(turn, waiting, Some(error)).await
    }

    /// The page that asks for it. A factor can be set up with a passkey, too, and where only a passkey
    /// will do, a code can vouch for a new one.
    pub(super) async fn page(
        &self,
        turn: &Turn<'_>,
        waiting: Waiting,
        error: Option<FormError>,
    ) -> Result<Answer, Refusal> {
        let Waiting { pending, proven, secret, phishing_resistant } = &waiting;
        let is_new = secret.is_some() || *phishing_resistant;
        let passkeys = self.ask_passkeys(turn, Some(pending), kept_for(&pending.id), proven.identity(), is_new).await?;
        let step = Step::SecondFactor {
            login: pending.id.clone(),
            application: pending.application.clone(),
            is_set_up: secret.is_none(),
            enrolment: secret
                .as_ref()
                .filter(|_| !phishing_resistant)
                .map(|secret| Enrolment::new(name(turn), account(proven.identity()), secret)),
            passkeys,
            is_passkey_wanted: *phishing_resistant,
            error,
        };
        Ok(Answer::with(step, Vec::new()))
    }

    /// The recovery codes were seen: the login goes on. Once.
    pub(super) async fn do_enrolled(&self, visitor: &Visitor, login: &str) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let pending = turn.pending(read_id(login).unwrap_or_default())?;
        let Stage::Enrolled { proven } = &pending.stage else {
            return Err(turn.refusal(Class::Expired, "login-not-at-this-step", Some(&pending)));
        };
        let proven = Proven::clone(proven);
        self.still_proven(&turn, &proven, &pending)?;
        if !turn.use_state(&format!("enrolled.{}", pending.id), pending.expires) {
            return Err(turn.refusal(Class::Expired, "state-used", Some(&pending)));
        }
        self.proved_further(visitor, pending, proven).await
    }

    /// Both factors are proved: decide.
    pub(super) async fn proved_further(
        &self,
        visitor: &Visitor,
        pending: Pending,
        proven: Proven,
    ) -> Result<Answer, Refusal> {
        let Some(generation) = self.parts.generations.by_number(pending.generation) else {
            return self.begin_again(visitor, pending).await;
        };
        let turn = Turn::under(self, visitor, generation);
        let times = Times { proved: proven.began, asked: proven.asked };
        match self.decide(&turn, &pending, None, proven.verified(), times, Vec::new()).await {
            Verdict::Admitted(admission) => {
                let proved = match &proven.sso {
                    Some(id) => match turn.sso()?.filter(|sso| sso.id == *id) {
                        Some(sso) => Proved::Further(Box::new(sso.proved_further(&admission))),
                        None => return Err(turn.refusal(Class::Expired, "login-expired", Some(&pending))),
                    },
                    None => {
                        let mut id_tokens = self.id_tokens.lock().unwrap_or_else(PoisonError::into_inner);
                        Proved::Now { id_token: id_tokens.take(&kept_for(&pending.id), turn.now), at: proven.began }
                    }
                };
                self.admitted(&turn, pending, *admission, proved)
            }
            Verdict::StepUp(step_up) => self.step_up(&turn, pending, proven, step_up).await,
            Verdict::Denied(denial) => Err(turn.denied(&denial, Some(&pending))),
            Verdict::Stale => Err(turn.refusal(Class::Denied, DenyCode::SessionTooShort.name(), Some(&pending))),
        }
    }

    /// Holds an ID token back until the login goes on: in no cookie.
    pub(super) fn keep_id_token(&self, turn: &Turn<'_>, pending: &Pending, id_token: Secret<String>) {
        let mut id_tokens = self.id_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        id_tokens.insert_or_displace(kept_for(&pending.id), id_token, pending.expires, turn.now);
    }

    /// Nothing ended meanwhile what proved the first factor: no logout here, none at the upstream.
    pub(super) fn still_proven(&self, turn: &Turn<'_>, proven: &Proven, pending: &Pending) -> Result<(), Refusal> {
        let lives = match &proven.sso {
            Some(id) => turn.sso()?.is_some_and(|sso| sso.id == *id),
            None => !self.revoked.ended_at_upstream(proven.identity(), proven.began, turn.now),
        };
        if lives { Ok(()) } else { Err(turn.refusal(Class::Expired, "login-expired", Some(pending))) }
    }

    /// Uses the factors, off the async threads: they read and write a file, and hash.
    pub(super) async fn with_factors<T: Send + 'static>(
        &self,
        turn: &Turn<'_>,
        pending: Option<&Pending>,
        work: impl FnOnce(&Factors) -> Result<T, FactorError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let unavailable = || turn.refusal(Class::Unavailable, "second-factor-unavailable", pending);
        let Some(factors) = self.parts.factors.clone() else {
            tracing::error!(request = %turn.visitor.request, "a policy demands `{SECOND_FACTOR}`: set up `[second-factor]`");
            return Err(unavailable());
        };
        self.record_resets(&factors);
        // Held by the work itself: whoever goes away meanwhile makes no room before it is done.
        let permit = Arc::clone(&self.factor_uses).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&factors)
        })
        .await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(request = %turn.visitor.request, %error, "the second factors could not be used");
                Err(unavailable())
            }
            Err(error) => {
                tracing::error!(request = %turn.visitor.request, %error, "the second factors' task failed");
                Err(unavailable())
            }
        }
    }

    /// Records what an operator reset on the command line, in the background.
    fn record_resets(&self, factors: &Arc<Factors>) {
        let (factors, audit) = (Arc::clone(factors), Arc::clone(&self.parts.audit));
        tokio::task::spawn_blocking(move || {
            let record = |reset: &Reset| {
                let Reset { issuer, subject, at, passkey } = reset;
                let (kind, input) = match passkey {
                    None => (Kind::FactorReset, serde_json::json!({ "issuer": issuer, "subject": subject, "at": at })),
                    Some(name) => {
                        let input =
                            serde_json::json!({ "issuer": issuer, "subject": subject, "at": at, "passkey": name });
                        (Kind::FactorPasskeyRemoved, input)
                    }
                };
                let event = Event { kind, granted: true, input: Some(input), ..Event::default() };
                audit.record(&event).is_ok()
            };
            if let Err(error) = factors.record_resets(record) {
                tracing::error!(%error, "resets of second factors could not be recorded");
            }
        });
    }
}

pub(super) const fn whose(identity: &Identity) -> Whose<'_> {
    Whose { issuer: identity.issuer.as_str(), subject: identity.subject.as_str() }
}

pub(super) fn kept_for(login: &str) -> String {
    // No single sign-on session's id has a colon.
    format!("login:{login}")
}

/// Who proves a second factor in this login; nobody where it is at another step.
pub(super) fn waiting(turn: &Turn<'_>, login: &str) -> Result<Waiting, Refusal> {
    let pending = turn.pending(read_id(login).unwrap_or_default())?;
    let Stage::SecondFactor { proven, secret, phishing_resistant } = &pending.stage else {
        return Err(turn.refusal(Class::Expired, "login-not-at-this-step", Some(&pending)));
    };
    let (proven, secret) = (proven.clone(), secret.as_deref().and_then(TotpSecret::read));
    let phishing_resistant = *phishing_resistant;
    Ok(Waiting { pending, proven, secret, phishing_resistant })
}

/// What authenticators call the gateway.
pub(super) fn name<'t>(turn: &'t Turn<'_>) -> &'t str {
    let config = turn.config.second_factor.as_ref();
    let host = turn.config.server.public_url.host_str().unwrap_or_default();
    config.and_then(|config| config.name.as_deref()).unwrap_or(host)
}

/// What authenticators call the subject.
pub(super) fn account(identity: &Identity) -> &str {
    identity.email.as_ref().map_or(identity.subject.as_str(), |email| email.address.as_str())
}

pub(super) fn recovery_codes(pending: &Pending, codes: Vec<Secret<String>>) -> Step {
    let (login, application) = (pending.id.clone(), pending.application.clone());
    Step::RecoveryCodes { login: Some(login), application, codes }
}

pub(super) fn event(turn: &Turn<'_>, pending: &Pending, identity: &Identity, kind: Kind, method: &str) -> Event {
    Event {
        granted: true,
        login: Some(pending.id.clone()),
        tenant: turn.config.applications.get(&pending.application).map(|known| known.tenant.clone()),
        application: Some(pending.application.clone()),
        upstream: Some(identity.upstream.clone()),
        identity: Some(identity.clone()),
        input: Some(serde_json::json!({ "method": method })),
        ..turn.event(kind)
    }
}

pub(super) fn failed(event: Event, code: &str) -> Event {
    let reason = Reason::new(code, "");
    let denial = Denial { code: DenyCode::StepUpUnmet, reason, policy: None, hook: None };
    Event { granted: false, denial: Some(denial), ..event }
}

/// What is on record of a factor that was passed.
pub(super) fn passed(turn: &Turn<'_>, pending: Option<&Pending>, identity: &Identity, method: Method) -> Vec<Event> {
    let of = |kind, method| match pending {
        Some(pending) => event(turn, pending, identity, kind, method),
        None => Event {
            granted: true,
            upstream: Some(identity.upstream.clone()),
            identity: Some(identity.clone()),
            input: Some(serde_json::json!({ "method": method })),
            ..turn.event(kind)
        },
    };
    match method {
        Method::Passkey => vec![of(Kind::FactorPassed, "passkey")],
        Method::Totp => vec![of(Kind::FactorPassed, "totp")],
        Method::RecoveryCode { left } => {
            let mut used = of(Kind::FactorRecoveryCodeUsed, "recovery-code");
            used.outcome = Some(serde_json::json!({ "left": left }));
            vec![used, of(Kind::FactorPassed, "recovery-code")]
        }
    }
}

/// What a browser is told to keep in place of the single sign-on session that it had.
pub(super) fn further(turn: &Turn<'_>, sso: &crate::session::Sso) -> Vec<SetCookie> {
    let (slot, jar) = (turn.sso_slot(), &turn.visitor.cookies);
    let max_age = sso.remember.then(|| sso.expires.saturating_sub(turn.now));
    slot.seal(&turn.login.parts.keys, jar, sso, max_age).unwrap_or_else(|error| {
        tracing::warn!(request = %turn.visitor.request, %error, "no single sign-on for this login");
        slot.clear(jar)
    })
}
