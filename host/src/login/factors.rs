//! A person's own second factor, on the gateway's host: another passkey or one less, new recovery codes,
//! or no factor any more. Each change is made with a proof in the same form: a browser that somebody
//! left alone changes nothing.

use std::sync::PoisonError;

use super::{
    Answer, Class, Enrolment, FormError, Login, Refusal, Step, Visitor,
    passkeys::{CEREMONY_S, relying_party},
    second_factor::{account, name, passed, whose},
    turn::Turn,
};
use crate::{
    audit::{Event, Kind},
    decision::{Denial, DenyCode, Reason},
    factor::{Ceremonies, Factors, NewPasskey, Options, Outcome, PasskeyForm, Refused, TotpSecret},
    identity::Identity,
    secret::Secret,
    session::Sso,
};

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactorChange {
    /// An authenticator app, beside the passkeys that there are; with a code that it shows.
    AddApp(Secret<String>),
    /// Another passkey.
    AddPasskey(PasskeyForm),
    /// One passkey less, by its ID. With the last means of proof the factor goes.
    RemovePasskey(String),
    /// A new set of recovery codes in place of the old one.
    RecoveryCodes,
    /// Away with the factor: the next demand sets up another.
    Remove,
}

/// By what a person shows that it is they who change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactorProof {
    /// A code of the app, or a recovery code.
    Code(Secret<String>),
    /// A browser's answer: `AuthenticationResponseJSON` (WebAuthn §5.1).
    Passkey(Secret<String>),
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
    /// `POST /login/{app}/second-factor` with `login` and `assertion`.
    Passkey {
        /// The login's id.
        login: String,
        /// The browser's answer: `AuthenticationResponseJSON` (WebAuthn §5.1).
        answer: Secret<String>,
    },
    /// `POST /login/{app}/second-factor` with `login`, `attestation` and `name`, and `code` where a factor
    /// is set up already.
    NewPasskey {
        /// The login's id.
        login: String,
        /// The passkey.
        form: PasskeyForm,
        /// What was typed.
        code: Option<Secret<String>>,
    },
    /// `POST /login/{app}/second-factor` with `login` and `seen`: the recovery codes were seen.
    Seen {
        /// The login's id.
        login: String,
    },
    /// `GET /second-factor`: a person's own.
    Own,
    /// `POST /second-factor` with `change`, and `code` or `assertion`.
    Change {
        /// What is to be done.
        change: FactorChange,
        /// Who does it.
        proof: FactorProof,
    },
}

impl Login {
    pub(super) async fn do_factor(&self, visitor: &Visitor) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let sso = remembered(&turn)?;
        self.factor_page(&turn, &sso, None).await
    }

    pub(super) async fn do_change_factor(
        &self,
        visitor: &Visitor,
        change: FactorChange,
        proof: FactorProof,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let sso = remembered(&turn)?;
        if !self.limits.code(visitor.address) {
            return Err(turn.refusal(Class::TooOften, "too-many-codes", None));
        }
        let party = relying_party(&turn);
        let asked = self.take_ceremonies(&turn, &kept_for(&sso));
        // What is new is looked at before the proof is used up, and kept after it.
        let (asked, change) = match (change, &party) {
            (FactorChange::AddApp(code), _) => match self.new_app(&turn, &sso) {
                Some(secret) if secret.is_shown(code.expose(), turn.now) => (asked, Change::AddApp(secret, code)),
                _ => return self.app_not_shown(&turn, &sso).await,
            },
            (FactorChange::AddPasskey(form), Some(party)) => {
                let (request, creation) = Ceremonies::split(asked);
                match party.made(creation, &form) {
                    Ok(new) => (request, Change::AddPasskey(Box::new(new))),
                    Err(refused) => return self.not_proved(&turn, &sso, Outcome::Refused(refused)).await,
                }
            }
            (FactorChange::AddPasskey(_), None) => {
                return self.not_proved(&turn, &sso, Outcome::Refused(Refused::NotAsked)).await;
            }
            (FactorChange::RemovePasskey(id), _) => (asked, Change::RemovePasskey(id)),
            (FactorChange::RecoveryCodes, _) => (asked, Change::RecoveryCodes),
            (FactorChange::Remove, _) => (asked, Change::Remove),
        };
        let (who, now) = (sso.identity().clone(), turn.now);
        let outcome = self
            .with_factors(&turn, None, move |factors| match (proof, party) {
                (FactorProof::Code(typed), _) => factors.prove(whose(&who), typed.expose(), now),
                (FactorProof::Passkey(answer), Some(party)) => {
                    factors.prove_passkey(whose(&who), &party, asked, &answer, now)
                }
                (FactorProof::Passkey(_), None) => Ok(Outcome::Refused(Refused::NotAsked)),
            })
            .await?;
        let Outcome::Passed(method) = outcome else { return self.not_proved(&turn, &sso, outcome).await };
        let identity = sso.identity();
        let mut events = passed(&turn, None, identity, method);
        events.push(event(&turn, identity, change.kind()));
        for event in events {
            turn.record(event).await.map_err(|denial| turn.denied(&denial, None))?;
        }
        self.carry_out(&turn, &sso, change).await
    }

    async fn not_proved(&self, turn: &Turn<'_>, sso: &Sso, outcome: Outcome) -> Result<Answer, Refusal> {
        let (error, code) = match outcome {
            Outcome::NotEnrolled | Outcome::Passed(_) => return self.factor_page(turn, sso, None).await,
            Outcome::Wrong => (FormError::Code, "code-wrong"),
            Outcome::Used => (FormError::CodeUsed, "code-used"),
            Outcome::Locked { .. } => (FormError::CodeLocked, "locked"),
            Outcome::Refused(refused) => (FormError::Passkey, refused.name()),
        };
        self.note_failure(turn, sso, code).await;
        self.factor_page(turn, sso, Some(error)).await
    }

    /// The app that is to be added shows something else, or it took too long.
    async fn app_not_shown(&self, turn: &Turn<'_>, sso: &Sso) -> Result<Answer, Refusal> {
        self.note_failure(turn, sso, "code-wrong").await;
        self.factor_page(turn, sso, Some(FormError::AppCode)).await
    }

    async fn note_failure(&self, turn: &Turn<'_>, sso: &Sso, code: &str) {
        let denial = Denial { code: DenyCode::StepUpUnmet, reason: Reason::new(code, ""), policy: None, hook: None };
        let event = event(turn, sso.identity(), Kind::FactorFailed);
        let _ = turn.record(Event { granted: false, denial: Some(denial), ..event }).await;
    }

    async fn carry_out(&self, turn: &Turn<'_>, sso: &Sso, change: Change) -> Result<Answer, Refusal> {
        let (who, now) = (sso.identity().clone(), turn.now);
        match change {
            Change::RecoveryCodes => {
                let codes = self
                    .with_factors(turn, None, move |factors| factors.renew_recovery_codes(whose(&who)))
                    .await?
                    .unwrap_or_default();
                return Ok(Answer::with(
                    Step::RecoveryCodes { login: None, application: String::new(), codes },
                    vec![],
                ));
            }
            Change::AddApp(secret, code) => {
                let add = move |factors: &Factors| factors.add_app(whose(&who), &secret, code.expose(), now);
                let added = self.with_factors(turn, None, add).await?;
                self.new_apps.lock().unwrap_or_else(PoisonError::into_inner).take(&kept_for(sso), turn.now);
                if !matches!(added, Outcome::Passed(_)) {
                    return self.not_proved(turn, sso, added).await;
                }
            }
            Change::Remove => {
                self.with_factors(turn, None, move |factors| factors.remove(whose(&who))).await?;
            }
            Change::AddPasskey(new) => {
                let added =
                    self.with_factors(turn, None, move |factors| factors.add_passkey(whose(&who), *new, now)).await?;
                if let Outcome::Refused(_) = added {
                    return self.not_proved(turn, sso, added).await;
                }
            }
            Change::RemovePasskey(id) => {
                self.with_factors(turn, None, move |factors| factors.remove_passkey(whose(&who), &id, false, now))
                    .await?;
            }
        }
        self.factor_page(turn, sso, None).await
    }

    async fn factor_page(&self, turn: &Turn<'_>, sso: &Sso, error: Option<FormError>) -> Result<Answer, Refusal> {
        let who = sso.identity().clone();
        let enrolled = self.with_factors(turn, None, move |factors| factors.find(whose(&who))).await?.map(Box::new);
        let passkeys = match &enrolled {
            Some(_) => self.ask_passkeys(turn, None, kept_for(sso), sso.identity(), true).await?,
            None => Options::default(),
        };
        let enrolment = match &enrolled {
            Some(enrolled) if !enrolled.totp => {
                let secret = self.show_new_app(turn, sso)?;
                Some(Enrolment::new(name(turn), account(sso.identity()), &secret))
            }
            _ => None,
        };
        Ok(Answer::with(Step::Factor { enrolled, enrolment, passkeys, error }, Vec::new()))
    }

    /// The secret that this person's page shows.
    fn new_app(&self, turn: &Turn<'_>, sso: &Sso) -> Option<TotpSecret> {
        self.new_apps.lock().unwrap_or_else(PoisonError::into_inner).get(&kept_for(sso), turn.now).cloned()
    }

    /// The same, made where there is none yet: a page that is shown again after a slip shows the same one, for an app
    /// that has it already.
    fn show_new_app(&self, turn: &Turn<'_>, sso: &Sso) -> Result<TotpSecret, Refusal> {
        let secret = match self.new_app(turn, sso) {
            Some(secret) => secret,
            None => TotpSecret::generate().map_err(|error| turn.unavailable(&error, None))?,
        };
        let mut kept = self.new_apps.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert_or_displace(kept_for(sso), secret.clone(), turn.now + CEREMONY_S, turn.now);
        Ok(secret)
    }
}

/// What is to be done, looked at.
enum Change {
    AddApp(TotpSecret, Secret<String>),
    AddPasskey(Box<NewPasskey>),
    RemovePasskey(String),
    RecoveryCodes,
    Remove,
}

impl Change {
    const fn kind(&self) -> Kind {
        match self {
            Self::AddApp(..) => Kind::FactorAppAdded,
            Self::AddPasskey(_) => Kind::FactorPasskeyAdded,
            Self::RemovePasskey(_) => Kind::FactorPasskeyRemoved,
            Self::RecoveryCodes => Kind::FactorRecoveryCodesRenewed,
            Self::Remove => Kind::FactorRemoved,
        }
    }
}

fn kept_for(sso: &Sso) -> String {
    // A login's own begins otherwise.
    format!("own:{}", sso.id)
}

/// Who is remembered here.
fn remembered(turn: &Turn<'_>) -> Result<Sso, Refusal> {
    turn.remembered()?.ok_or_else(|| turn.refusal(Class::Denied, "login-required", None))
}

fn event(turn: &Turn<'_>, identity: &Identity, kind: Kind) -> Event {
    Event {
        granted: true,
        upstream: Some(identity.upstream.clone()),
        identity: Some(identity.clone()),
        ..turn.event(kind)
    }
}
