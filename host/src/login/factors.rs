//! A person's own second factor, on the gateway's host: new recovery codes, or no factor any more.
//! Each change is made with a code in the same form: a browser that somebody left alone changes
//! nothing.

use super::{
    Answer, Class, FormError, Login, Refusal, Step, Visitor,
    second_factor::{passed, whose},
    turn::Turn,
};
use crate::{
    audit::{Event, Kind},
    decision::{Denial, DenyCode, Reason},
    factor::Outcome,
    identity::Identity,
    secret::Secret,
};

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorChange {
    /// A new set of recovery codes in place of the old one.
    RecoveryCodes,
    /// Away with the factor: the next demand sets up another.
    Remove,
}

/// One request about a second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactorStep {
    /// `GET /login/{app}/second-factor?login=…`: the page that asks for a code.
    Ask {
        /// The login's id.
        login: String,
    },
    /// `POST /login/{app}/second-factor` with `login` and `code`.
    Prove {
        /// The login's id.
        login: String,
        /// What was typed.
        code: Secret<String>,
    },
    /// `POST /login/{app}/second-factor` with `login` and `seen`: the recovery codes were seen.
    Seen {
        /// The login's id.
        login: String,
    },
    /// `GET /second-factor`: a person's own.
    Own,
    /// `POST /second-factor` with `code` and `change`.
    Change {
        /// What is to be done.
        change: FactorChange,
        /// What was typed.
        code: Secret<String>,
    },
}

impl Login {
    pub(super) async fn do_factor(&self, visitor: &Visitor) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let identity = remembered(&turn)?;
        self.factor_page(&turn, identity, None).await
    }

    pub(super) async fn do_change_factor(
        &self,
        visitor: &Visitor,
        change: FactorChange,
        typed: Secret<String>,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let identity = remembered(&turn)?;
        if !self.limits.code(visitor.address) {
            return Err(turn.refusal(Class::TooOften, "too-many-codes", None));
        }
        let (who, now) = (identity.clone(), turn.now);
        let outcome =
            self.with_factors(&turn, None, move |factors| factors.prove(whose(&who), typed.expose(), now)).await?;
        let (error, code) = match outcome {
            Outcome::Passed(method) => {
                let mut events = passed(&turn, None, &identity, method);
                events.push(event(&turn, &identity, change));
                for event in events {
                    turn.record(event).await.map_err(|denial| turn.denied(&denial, None))?;
                }
                return self.carry_out(&turn, identity, change).await;
            }
            Outcome::NotEnrolled => return self.factor_page(&turn, identity, None).await,
            Outcome::Wrong => (FormError::Code, "code-wrong"),
            Outcome::Used => (FormError::CodeUsed, "code-used"),
            Outcome::Locked { .. } => (FormError::CodeLocked, "locked"),
        };
        let denial = Denial { code: DenyCode::StepUpUnmet, reason: Reason::new(code, ""), policy: None, hook: None };
        let event =
            Event { kind: Kind::FactorFailed, granted: false, denial: Some(denial), ..event(&turn, &identity, change) };
        let _ = turn.record(event).await;
        self.factor_page(&turn, identity, Some(error)).await
    }

    async fn carry_out(&self, turn: &Turn<'_>, identity: Identity, change: FactorChange) -> Result<Answer, Refusal> {
        let who = identity.clone();
        match change {
            FactorChange::RecoveryCodes => {
                let codes = self
                    .with_factors(turn, None, move |factors| factors.renew_recovery_codes(whose(&who)))
                    .await?
                    .unwrap_or_default();
                Ok(Answer::with(Step::RecoveryCodes { login: None, application: String::new(), codes }, Vec::new()))
            }
            FactorChange::Remove => {
                self.with_factors(turn, None, move |factors| factors.remove(whose(&who))).await?;
                self.factor_page(turn, identity, None).await
            }
        }
    }

    async fn factor_page(
        &self,
        turn: &Turn<'_>,
        identity: Identity,
        error: Option<FormError>,
    ) -> Result<Answer, Refusal> {
        let enrolled = self.with_factors(turn, None, move |factors| factors.find(whose(&identity))).await?;
        let recovery_codes = enrolled.map(|enrolled| enrolled.recovery_codes);
        Ok(Answer::with(Step::Factor { recovery_codes, error }, Vec::new()))
    }
}

/// Who is remembered here.
fn remembered(turn: &Turn<'_>) -> Result<Identity, Refusal> {
    let sso = turn.sso()?;
    sso.map(|sso| sso.identity().clone()).ok_or_else(|| turn.refusal(Class::Denied, "login-required", None))
}

fn event(turn: &Turn<'_>, identity: &Identity, change: FactorChange) -> Event {
    let kind = match change {
        FactorChange::RecoveryCodes => Kind::FactorRecoveryCodesRenewed,
        FactorChange::Remove => Kind::FactorRemoved,
    };
    Event {
        granted: true,
        upstream: Some(identity.upstream.clone()),
        identity: Some(identity.clone()),
        ..turn.event(kind)
    }
}
