//! The emergency door: a form at a path that nobody guesses, for local accounts, when nobody gets in any other way.
//!
//! ```text
//!  door ──▶ DoorChoice / DoorForm ──▶ knock ── password ── pinned policy ─┬─▶ Refused
//!                                                                         └─▶ the application's front door
//!                                                                                    │
//!  enter ◀── one-time ticket ◀── pinned policy, again ◀── begin, with the pass ◀─────┘
//! ```
//!
//! A yes at the door is a pass: sealed, for one application, once, in this browser. With it the application's own
//! way in leads here again ([`Login::through_the_door`]), and the pinned policy is asked again, since an
//! [`Admission`](crate::decision::Admission) is made where it takes effect and nowhere else. The generation in force is
//! never asked.

mod ground;
mod pinned;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

pub(super) use ground::AtTheDoor;
use pinned::Barred;
pub use pinned::{Door, DoorError};

use super::{
    Answer, Choice, Class, FormError, Login, Refusal, Step, Visitor,
    complete::Proved,
    decide::{Listeners, Question, Times, Verdict, decide},
    pending::{Onward, Pending, new_id, read_id},
    target,
    turn::Turn,
};
use crate::{
    audit::{Event, Kind, Level},
    config::{Application, HandOver},
    decision::{Denial, DenyCode},
    identity::{EMERGENCY_DOOR, VerifiedIdentity},
    policy::Generation,
    secret::Secret,
    session::{Proven, Session, SetCookie, Slot},
};

/// Where a browser is on its way through the door, sealed in its cookie.
#[derive(Serialize, Deserialize)]
struct Passage {
    /// The login's id, as in the audit.
    id: String,
    application: String,
    expires: u64,
    stage: Stage,
}

#[derive(Serialize, Deserialize)]
enum Stage {
    /// It was shown the form.
    Asked,
    /// It may enter the application, once, as this one.
    Passed { proven: Box<Proven> },
}

/// What was tried at the door, for the record.
struct Tried<'a> {
    login: Option<&'a str>,
    application: &'a Application,
    username: &'a str,
}

impl Login {
    pub(super) fn do_door(&self, visitor: &Visitor, application: Option<&str>) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let door = self.the_door(&turn)?;
        if !self.limits.attempt(visitor.address) {
            return Err(turn.refusal(Class::TooOften, "too-many-logins", None));
        }
        let opened = || turn.config.applications.values().filter(|application| door.opens(&application.id));
        let application = match application {
            Some(id) => opened_application(&turn, door, id)?,
            None => match (opened().next(), opened().nth(1)) {
                (Some(only), None) => only,
                _ => {
                    let choice = |it: &Application| Choice { id: it.id.clone(), name: it.display_name.clone() };
                    let applications = opened().map(choice).collect();
                    return Ok(Answer::with(Step::DoorChoice { applications }, Vec::new()));
                }
            },
        };
        let id = new_id().map_err(|error| turn.unavailable(&error, None))?;
        let expires = turn.now + u64::from(turn.config.login.pending);
        let passage = Passage { id, application: application.id.clone(), expires, stage: Stage::Asked };
        let cookies = keep(&turn, &passage)?;
        Ok(Answer::with(form(&passage, String::new(), None), cookies))
    }

    pub(super) async fn do_knock(
        &self,
        visitor: &Visitor,
        login: &str,
        username: &str,
        password: Secret<String>,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let door = self.the_door(&turn)?;
        let expired = || turn.refusal(Class::Expired, "login-unknown", None);
        let passage = passage(&turn)?.filter(|passage| Some(passage.id.as_str()) == read_id(login));
        let passage = passage.filter(|passage| matches!(passage.stage, Stage::Asked)).ok_or_else(expired)?;
        let application = opened_application(&turn, door, &passage.application)?;
        let tried = Tried { login: Some(&passage.id), application, username };
        if let Err(barred) = door.try_from(visitor.address, turn.now) {
            let code = match barred {
                Barred::LockedOut => "address-locked-out",
                Barred::TooFast => "too-many-passwords",
            };
            self.nobody(&turn, &tried, code).await;
            return Err(turn.refusal(Class::TooOften, code, None));
        }
        let issuer = turn.config.server.public_url.as_str().trim_end_matches('/');
        let proved =
            self.parts.upstreams.authenticate(door.accounts(), EMERGENCY_DOOR, issuer, username, &password).await;
        let identity = match proved {
            Ok(identity) => identity,
            Err(error) => {
                self.nobody(&turn, &tried, error.code).await;
                if !matches!(error.code, "credentials-refused" | "account-disabled") {
                    tracing::error!(request = %visitor.request, %error, "the emergency door cannot check a password");
                    return Err(turn.refusal(Class::Unavailable, error.code, None));
                }
                let typed = username.chars().filter(|c| !c.is_control()).take(254).collect();
                return Ok(Answer::with(form(&passage, typed, Some(FormError::Credentials)), Vec::new()));
            }
        };
        let proven = Proven::now(&identity, turn.now, turn.now);
        let verdict = self.ask_pinned(&turn, door, application, &passage.id, identity, None).await;
        match verdict {
            Verdict::Admitted(_) => {
                door.forgive(visitor.address, turn.now);
                let to = front_door(application);
                let passage = Passage { stage: Stage::Passed { proven: Box::new(proven) }, ..passage };
                Ok(Answer::with(Step::Redirect(to), keep(&turn, &passage)?))
            }
            verdict => Err(refused(&turn, verdict, None)),
        }
    }

    /// Who has a pass for this application enters it. None where there is no pass, and it is a login like any other.
    pub(super) async fn through_the_door(&self, turn: &Turn<'_>, pending: &Pending) -> Result<Option<Answer>, Refusal> {
        let Some(door) = &self.parts.door else { return Ok(None) };
        if !slot(turn).is_in(&turn.visitor.cookies) {
            return Ok(None);
        }
        let Some(passage) = passage(turn)?.filter(|passage| passage.application == pending.application) else {
            return Ok(None);
        };
        let Stage::Passed { proven } = &passage.stage else { return Ok(None) };
        let proven: &Proven = proven;
        // Once: what it leads to is a session, and that has an end of its own.
        if !turn.use_state(&passage.id, passage.expires) {
            return Ok(None);
        }
        let application = opened_application(turn, door, &passage.application)?;
        let mut pending = Pending { id: passage.id.clone(), ..pending.clone() };
        if let (Onward::ForwardAuth { origin, return_to, .. }, Some(own)) =
            (&mut pending.onward, &application.own_login_path)
        {
            *return_to = origin.join(own).unwrap_or_else(|_| application.url.clone());
        }
        let verdict =
            self.ask_pinned(turn, door, application, &passage.id, proven.verified(), Some((&pending, proven))).await;
        let cookies = slot(turn).clear(&turn.visitor.cookies);
        let mut answer = match verdict {
            Verdict::Admitted(admission) => {
                let lifetime = door.config().lifetime;
                self.admitted(turn, pending, *admission, Proved::AtTheDoor { at: proven.began, lifetime })?
            }
            verdict => Answer::from(refused(turn, verdict, Some(&pending))),
        };
        answer.cookies.extend(cookies);
        Ok(Some(answer))
    }

    /// What decides about the requests of a session: the pinned policy about one of the door's.
    pub(super) fn decides_about<'a>(&'a self, turn: &'a Turn<'_>, session: &Session) -> &'a Arc<Generation> {
        match &self.parts.door {
            Some(door) if session.identity.is_of_the_door() => door.generation(),
            _ => &turn.generation,
        }
    }

    /// Is there a door that opens this application?
    pub(super) fn has_door_to(&self, application: &str) -> bool {
        self.parts.door.as_ref().is_some_and(|door| door.opens(application))
    }

    fn the_door(&self, turn: &Turn<'_>) -> Result<&Arc<Door>, Refusal> {
        self.parts.door.as_ref().ok_or_else(|| turn.refusal(Class::NotFound, "not-found", None))
    }

    /// The decision, by the pinned policy, off the async threads.
    async fn ask_pinned(
        &self,
        turn: &Turn<'_>,
        door: &Door,
        application: &Application,
        login: &str,
        identity: VerifiedIdentity,
        entering: Option<(&Pending, &Proven)>,
    ) -> Verdict {
        let (pending, proven) = (entering.map(|(pending, _)| pending), entering.map(|(_, proven)| proven));
        let question = Question {
            generation: Arc::clone(door.generation()),
            at_the_door: Some(AtTheDoor::new(application, door.config())),
            under_way: None,
            context: turn.context(login, application, pending.and_then(Pending::return_to)),
            identity,
            times: Times { proved: proven.map_or(turn.now, |proven| proven.began), asked: turn.now },
            max_age: pending.and_then(|pending| pending.max_age),
            demanded_acr: pending.map(|pending| pending.demanded_acr.clone()).unwrap_or_default(),
            // There is nothing stronger here.
            may_step_up: false,
            request: turn.visitor.request.to_string(),
            warnings: Vec::new(),
        };
        let (directories, keys, audit) =
            (Arc::clone(&self.directories), Arc::clone(&self.parts.keys), Arc::clone(&self.parts.audit));
        // Neither the recording nor a chain in shadow: what they would ask is another policy.
        let listeners = || Listeners { recorder: None, shadow: None };
        let decided = tokio::task::spawn_blocking(move || decide(question, &directories, &keys, &audit, listeners()));
        let verdict = decided.await.unwrap_or_else(|error| {
            tracing::error!(request = %turn.visitor.request, %error, "the decision's task failed");
            Verdict::Denied(Denial::by_host(DenyCode::Sandbox, "the decision's task failed"))
        });
        let granted = matches!(verdict, Verdict::Admitted(_));
        tracing::warn!(request = %turn.visitor.request, application = application.id, granted, "the emergency door was used");
        verdict
    }

    /// Records that nobody was proved. The answer is a no whatever becomes of the record.
    async fn nobody(&self, turn: &Turn<'_>, tried: &Tried<'_>, code: &str) {
        let application = tried.application;
        tracing::warn!(
            request = %turn.visitor.request, application = application.id, code, "nobody was proved at the emergency door"
        );
        let event = Event {
            level: Level::Alert,
            login: tried.login.map(str::to_owned),
            tenant: Some(application.tenant.clone()),
            application: Some(application.id.clone()),
            upstream: Some(EMERGENCY_DOOR.to_owned()),
            input: Some(serde_json::json!({ "username": tried.username })),
            outcome: Some(serde_json::json!({ "code": code })),
            ..turn.event(Kind::EmergencyRefused)
        };
        let _ = turn.record(event).await;
    }
}

fn slot(turn: &Turn<'_>) -> Slot {
    Slot::door(&turn.config.session, &turn.config.server.public_url)
}

/// Where this browser is on its way, if it is on one.
fn passage(turn: &Turn<'_>) -> Result<Option<Passage>, Refusal> {
    let opened = slot(turn).open::<Passage>(&turn.login.parts.keys, &turn.visitor.cookies);
    Ok(turn.lenient(opened)?.filter(|passage| turn.now < passage.expires))
}

fn keep(turn: &Turn<'_>, passage: &Passage) -> Result<Vec<SetCookie>, Refusal> {
    let lifetime = passage.expires.saturating_sub(turn.now);
    slot(turn)
        .seal(&turn.login.parts.keys, &turn.visitor.cookies, passage, Some(lifetime))
        .map_err(|error| turn.unsealable(&error, None))
}

fn form(passage: &Passage, username: String, error: Option<FormError>) -> Step {
    let (login, application) = (passage.id.clone(), passage.application.clone());
    Step::DoorForm { login, application, username, error }
}

/// The application, where the door opens it. What it does not open is, here, not there.
fn opened_application<'a>(turn: &'a Turn<'_>, door: &Door, id: &str) -> Result<&'a Application, Refusal> {
    let application = turn.application(id)?;
    if door.opens(id) {
        Ok(application)
    } else {
        Err(turn.refusal(Class::NotFound, DenyCode::UnknownApplication.name(), None))
    }
}

/// Where a login to the application begins: with the binding on its own host, or at its own page.
fn front_door(application: &Application) -> Url {
    match application.hand_over {
        HandOver::ForwardAuth(_) => target::address(
            &application.url,
            &["vestibule", "start", &application.id],
            &[("rd", application.url.as_str())],
        ),
        HandOver::Oidc(_) | HandOver::Saml(_) => application.url.clone(),
    }
}

fn refused(turn: &Turn<'_>, verdict: Verdict, pending: Option<&Pending>) -> Refusal {
    let denial = match verdict {
        Verdict::Denied(denial) => denial,
        // None was asked for, or it was asked for in vain.
        Verdict::StepUp(_) | Verdict::Stale | Verdict::Admitted(_) => {
            Denial::by_host(DenyCode::StepUpUnmet, "the emergency door takes a password and nothing more")
        }
    };
    turn.denied(&denial, pending)
}
