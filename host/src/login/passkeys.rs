//! Passkeys as a second factor within a login: to prove one, to set one up. What a browser is asked
//! stays here, in memory, for one answer; a page that is shown again asks anew.

use std::sync::PoisonError;

use super::{
    Answer, Class, FormError, Login, Refusal, Visitor,
    pending::{Pending, Stage},
    second_factor::{Waiting, account, event, failed, kept_for, passed, recovery_codes, stated, waiting, whose},
    turn::Turn,
};
use crate::{
    audit::Kind,
    factor::{Ceremonies, Method, Options, Outcome, PasskeyForm, Refused, RelyingParty},
    identity::Identity,
    secret::Secret,
};

/// What a browser was asked is good for so many seconds.
pub(super) const CEREMONY_S: u64 = 600;

impl Login {
    /// What the browser is to be asked, under this key: for a passkey that there is, and for a new one
    /// where `is_new` says so. What was asked before under the key counts no more.
    pub(super) async fn ask_passkeys(
        &self,
        turn: &Turn<'_>,
        pending: Option<&Pending>,
        key: String,
        identity: &Identity,
        is_new: bool,
    ) -> Result<Options, Refusal> {
        self.take_ceremonies(turn, &key);
        let Some(party) = relying_party(turn) else { return Ok(Options::default()) };
        let who = identity.clone();
        let (options, ceremonies) = self
            .with_factors(turn, pending, move |factors| factors.ask(whose(&who), &party, account(&who), is_new))
            .await?;
        if options != Options::default() {
            let expires = turn.now + CEREMONY_S;
            let mut kept = self.ceremonies.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert_or_displace(key, ceremonies, expires, turn.now);
        }
        Ok(options)
    }

    /// What the browser was asked under this key: once.
    pub(super) fn take_ceremonies(&self, turn: &Turn<'_>, key: &str) -> Option<Ceremonies> {
        self.ceremonies.lock().unwrap_or_else(PoisonError::into_inner).take(&key.to_owned(), turn.now)
    }

    /// The steps of a login that waits for its second factor: it is as it should be, or there is
    /// another answer.
    pub(super) async fn waits<'t>(
        &'t self,
        visitor: &'t Visitor,
        login: &str,
    ) -> Result<Result<(Turn<'t>, Waiting), Answer>, Refusal> {
        let turn = Turn::new(self, visitor);
        let waiting = waiting(&turn, login)?;
        let pending = &waiting.pending;
        if !self.limits.code(visitor.address) {
            return Err(turn.refusal(Class::TooOften, "too-many-codes", Some(pending)));
        }
        self.still_proven(&turn, &waiting.proven, pending)?;
        if self.parts.generations.by_number(pending.generation).is_none() {
            return self.begin_again(visitor, waiting.pending).await.map(Err);
        }
        Ok(Ok((turn, waiting)))
    }

    /// A passkey is to prove the second factor.
    pub(super) async fn do_passkey(
        &self,
        visitor: &Visitor,
        login: &str,
        answer: Secret<String>,
    ) -> Result<Answer, Refusal> {
        let (turn, waiting) = match self.waits(visitor, login).await? {
            Ok(waits) => waits,
            Err(answer) => return Ok(answer),
        };
        let (who, now) = (waiting.proven.identity().clone(), turn.now);
        let asked = self.take_ceremonies(&turn, &kept_for(&waiting.pending.id));
        let outcome = match relying_party(&turn) {
            None => Outcome::Refused(Refused::NotAsked),
            Some(party) => {
                let prove = move |factors: &crate::factor::Factors| {
                    factors.prove_passkey(whose(&who), &party, asked, &answer, now)
                };
                self.with_factors(&turn, Some(&waiting.pending), prove).await?
            }
        };
        match outcome {
            Outcome::Passed(method) => self.passed_by(visitor, &turn, waiting, method, Vec::new()).await,
            Outcome::Refused(refused) => self.refused_passkey(&turn, waiting, refused).await,
            _ => Err(turn.refusal(Class::Expired, "second-factor-gone", Some(&waiting.pending))),
        }
    }

    /// A new passkey: the first means of proof, or one where only a passkey will do, which a code then
    /// has to vouch for.
    pub(super) async fn do_new_passkey(
        &self,
        visitor: &Visitor,
        login: &str,
        form: PasskeyForm,
        code: Option<Secret<String>>,
    ) -> Result<Answer, Refusal> {
        let (turn, waiting) = match self.waits(visitor, login).await? {
            Ok(waits) => waits,
            Err(answer) => return Ok(answer),
        };
        let asked = self.take_ceremonies(&turn, &kept_for(&waiting.pending.id));
        let made = relying_party(&turn).ok_or(Refused::NotAsked).and_then(|party| party.made(asked, &form));
        let new = match made {
            Ok(new) => new,
            Err(refused) => return self.refused_passkey(&turn, waiting, refused).await,
        };
        let (who, now) = (waiting.proven.identity().clone(), turn.now);
        if waiting.secret.is_some() {
            let enrol = move |factors: &crate::factor::Factors| factors.enrol_passkey(whose(&who), new, now);
            return match self.with_factors(&turn, Some(&waiting.pending), enrol).await? {
                Ok(codes) => self.enrolled(&turn, waiting, codes, Method::Passkey).await,
                Err(Outcome::Refused(refused)) => self.refused_passkey(&turn, waiting, refused).await,
                Err(_) => Err(turn.refusal(Class::Expired, "second-factor-set-up-meanwhile", Some(&waiting.pending))),
            };
        }
        let Some(code) = code.filter(|_| waiting.phishing_resistant) else {
            return Err(turn.refusal(Class::Expired, "login-not-at-this-step", Some(&waiting.pending)));
        };
        let proved_by = self
            .with_factors(&turn, Some(&waiting.pending), move |factors| factors.prove(whose(&who), code.expose(), now))
            .await?;
        let Outcome::Passed(method) = proved_by else { return self.wrong_code(&turn, waiting, proved_by).await };
        let who = waiting.proven.identity().clone();
        let added = self
            .with_factors(&turn, Some(&waiting.pending), move |factors| factors.add_passkey(whose(&who), new, now))
            .await?;
        let mut events = passed(&turn, Some(&waiting.pending), waiting.proven.identity(), method);
        match added {
            Outcome::Passed(method) => {
                let identity = waiting.proven.identity();
                events.push(event(&turn, &waiting.pending, identity, Kind::FactorPasskeyAdded, "passkey"));
                self.passed_by(visitor, &turn, waiting, method, events).await
            }
            Outcome::Refused(refused) => {
                // The code is used up, and that is on record, too.
                for event in events {
                    turn.record(event).await.map_err(|denial| turn.denied(&denial, Some(&waiting.pending)))?;
                }
                self.refused_passkey(&turn, waiting, refused).await
            }
            _ => Err(turn.refusal(Class::Expired, "second-factor-gone", Some(&waiting.pending))),
        }
    }

    async fn refused_passkey(&self, turn: &Turn<'_>, waiting: Waiting, why: Refused) -> Result<Answer, Refusal> {
        let identity = waiting.proven.identity();
        let event = event(turn, &waiting.pending, identity, Kind::FactorFailed, "passkey");
        let _ = turn.record(failed(event, why.name())).await;
        self.page(turn, waiting, Some(FormError::Passkey)).await
    }

    /// It is passed; `before` goes on record first.
    pub(super) async fn passed_by(
        &self,
        visitor: &Visitor,
        turn: &Turn<'_>,
        waiting: Waiting,
        method: Method,
        before: Vec<crate::audit::Event>,
    ) -> Result<Answer, Refusal> {
        let further = passed(turn, Some(&waiting.pending), waiting.proven.identity(), method);
        for event in before.into_iter().chain(further) {
            turn.record(event).await.map_err(|denial| turn.denied(&denial, Some(&waiting.pending)))?;
        }
        let Waiting { pending, proven, .. } = waiting;
        let (acr, methods) = stated(method, &pending.demanded_acr);
        let proven = proven.with_second_factor(acr, methods, turn.now);
        self.proved_further(visitor, pending, proven).await
    }

    /// It is set up, and so passed; the recovery codes are to be seen.
    pub(super) async fn enrolled(
        &self,
        turn: &Turn<'_>,
        waiting: Waiting,
        codes: Vec<Secret<String>>,
        method: Method,
    ) -> Result<Answer, Refusal> {
        let name = if method == Method::Passkey { "passkey" } else { "totp" };
        let granted = event(turn, &waiting.pending, waiting.proven.identity(), Kind::FactorEnrolled, name);
        turn.record(granted).await.map_err(|denial| turn.denied(&denial, Some(&waiting.pending)))?;
        let Waiting { mut pending, proven, .. } = waiting;
        let (acr, methods) = stated(method, &pending.demanded_acr);
        let proven = proven.with_second_factor(acr, methods, turn.now);
        pending.stage = Stage::Enrolled { proven: Box::new(proven) };
        let cookies = turn.keep(&pending)?;
        Ok(Answer::with(recovery_codes(&pending, codes), cookies))
    }
}

/// The gateway's own host, and nothing else, is the relying party's ID.
pub(super) fn relying_party(turn: &Turn<'_>) -> Option<RelyingParty> {
    RelyingParty::new(&turn.config.server.public_url, super::second_factor::name(turn))
}
