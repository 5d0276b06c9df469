//! A logout's way through the browser: the applications that only a browser can tell, one after the other, then
//! the upstream, then where it was to end. The session here has ended before, and stays ended whatever comes of it.
//!
//! Who is still to be told is remembered here; how it goes on is in a sealed cookie, so that a logout which is
//! forgotten here ends where it was to end all the same. Nothing that comes back on the way says where to go: an
//! answer counts for the one request that is awaited, in the browser that it went through.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Answer, Login, Refusal, Step, Visitor, target, turn::Turn};
use crate::{
    audit::{Event, Kind},
    secret::random_token,
    session::{Participant, Role, Round, SetCookie, Slot},
};

/// How long a logout may take, in seconds.
const LOGOUT_LIFETIME_S: u64 = 600;

/// How many applications that did not confirm are named.
const UNTOLD_MAX: usize = 16;

/// Who is told next.
#[derive(Debug)]
pub enum NextRound {
    /// These, in frames of one page. Then the next round.
    Frames(Vec<Participant>),
    /// This service provider is asked. Its answer, or nothing, ends its turn ([`Login::told`]).
    Ask {
        /// The request's id.
        id: String,
        /// Who.
        participant: Box<Participant>,
    },
    /// Nobody, and so on.
    Over(Box<Answer>),
}

/// How a logout goes on once everybody is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Onward {
    /// The application whose targets are allowed.
    pub(super) application: Option<String>,
    /// Where it ends; checked.
    pub(super) target: Option<Url>,
    /// The upstream whose session ends, too, and the single sign-on session whose ID token says which.
    pub(super) upstream: Option<(String, String)>,
}

/// The cookie of a logout that is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Way {
    id: String,
    onward: Onward,
    /// The applications that did not confirm.
    untold: Vec<String>,
    expires: u64,
}

impl Login {
    /// Begins to tell `participants`, and goes on at once where there are none.
    pub(super) async fn go_round(
        &self,
        turn: &Turn<'_>,
        onward: Onward,
        participants: Vec<Participant>,
        cookies: Vec<SetCookie>,
    ) -> Answer {
        let expires = turn.now + LOGOUT_LIFETIME_S;
        let Ok(id) = random_token() else {
            let untold = participants.into_iter().map(|participant| participant.application).collect();
            return Answer::with(Step::LoggedOut { to: onward.target, untold }, cookies);
        };
        let mut way = Way { id, onward, untold: Vec::new(), expires };
        if participants.is_empty() {
            return self.go_on(turn, way, cookies).await;
        }
        match seal(turn, &way) {
            Ok(sealed) => {
                let (asked, frames) = participants
                    .into_iter()
                    .partition(|participant: &Participant| matches!(participant.role, Role::ServiceProvider { .. }));
                self.rounds.begin(&way.id, frames, asked, expires, turn.now);
                Answer::with(Step::Redirect(round(turn)), cookies.into_iter().chain(sealed).collect())
            }
            Err(_) => {
                way.untold = participants.into_iter().map(|participant| participant.application).collect();
                self.go_on(turn, way, cookies).await
            }
        }
    }

    pub(super) async fn do_round(&self, visitor: &Visitor) -> Result<NextRound, Refusal> {
        let turn = Turn::new(self, visitor);
        let Some(mut way) = opened(&turn)? else {
            let step = Step::LoggedOut { to: None, untold: Vec::new() };
            return Ok(NextRound::Over(Box::new(Answer::with(step, Vec::new()))));
        };
        loop {
            match self.rounds.next(&way.id, turn.now).map_err(|error| turn.unavailable(&error, None))? {
                Round::Frames(participants) => {
                    for participant in &participants {
                        self.note_logout(&turn, Kind::LogoutAsked, participant, None).await;
                    }
                    return Ok(NextRound::Frames(participants));
                }
                Round::Ask { id, participant } => {
                    self.note_logout(&turn, Kind::LogoutAsked, &participant, None).await;
                    return Ok(NextRound::Ask { id, participant });
                }
                Round::GivenUp(participant) => {
                    self.note_logout(&turn, Kind::LogoutGivenUp, &participant, Some("no-answer")).await;
                    way.add(&participant.application);
                }
                Round::Over => {
                    let left = self.rounds.end(&way.id, turn.now);
                    way.untold.extend(left.into_iter().map(|participant| participant.application));
                    return Ok(NextRound::Over(Box::new(self.go_on(&turn, way, Vec::new()).await)));
                }
            }
        }
    }

    pub(super) async fn do_told(
        &self,
        visitor: &Visitor,
        application: Option<&str>,
        id: &str,
        failed: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let mut cookies = Vec::new();
        if let Some(mut way) = opened(&turn)? {
            match self.rounds.settle(&way.id, application, id, turn.now) {
                Some(participant) => {
                    let kind = if failed.is_none() { Kind::LogoutSent } else { Kind::LogoutGivenUp };
                    self.note_logout(&turn, kind, &participant, failed).await;
                    if failed.is_some() {
                        way.add(&participant.application);
                        cookies = seal(&turn, &way).unwrap_or_default();
                    }
                }
                // It came twice, or nobody asked for it here: nothing follows from it.
                None => tracing::info!(request = %visitor.request, application, "an answer that is not awaited"),
            }
        }
        Ok(Answer::with(Step::Redirect(round(&turn)), cookies))
    }

    pub(super) fn do_logged_out(&self, visitor: &Visitor, state: Option<&str>) -> Answer {
        let turn = Turn::new(self, visitor);
        let nobody = || Answer::with(Step::LoggedOut { to: None, untold: Vec::new() }, Vec::new());
        // Some upstreams bring `state` back, and some (AWS Cognito) do not: whose logout it is says the cookie. One that
        // is still on its way to the upstream has not come from there.
        let Ok(Some(way)) = opened(&turn) else { return nobody() };
        if way.onward.upstream.is_some() || state.is_some_and(|state| state != way.id) {
            return nobody();
        }
        over(&turn, way, Vec::new())
    }

    /// To the upstream, if it is to end its session, too; and then to where the logout ends.
    async fn go_on(&self, turn: &Turn<'_>, mut way: Way, mut cookies: Vec<SetCookie>) -> Answer {
        if let Some((upstream, session)) = way.onward.upstream.take()
            && let Some(to) = self.upstream_logout(turn, &upstream, &session, &way.id).await
        {
            // Without the cookie it ends on our own page.
            cookies.extend(seal(turn, &way).unwrap_or_default());
            return Answer::with(Step::Redirect(to), cookies);
        }
        over(turn, way, cookies)
    }

    async fn note_logout(&self, turn: &Turn<'_>, kind: Kind, participant: &Participant, failed: Option<&str>) {
        let method = match participant.role {
            Role::RelyingParty { .. } => "front-channel-logout",
            Role::ServiceProvider { .. } => "saml-logout",
        };
        let event = Event {
            granted: failed.is_none(),
            tenant: Some(participant.tenant.clone()),
            application: Some(participant.application.clone()),
            upstream: Some(participant.origin.upstream.clone()),
            session: Some(participant.origin.sid.clone()),
            input: Some(serde_json::json!({ "client": participant.name(), "method": method })),
            outcome: failed.map(|code| serde_json::json!({ "failed": code })),
            ..turn.event(kind)
        };
        // A logout is never held up by its record; the failure is in the log.
        let _ = turn.record(event).await;
    }

    /// There was no browser: those that are told by way of one will be, should it come.
    pub(super) async fn note_absent(&self, turn: &Turn<'_>, gone: &[Participant]) {
        for participant in gone.iter().filter(|participant| participant.front_channel) {
            self.note_logout(turn, Kind::LogoutFailed, participant, Some("browser-absent")).await;
        }
    }
}

impl Way {
    fn add(&mut self, application: &str) {
        if self.untold.len() < UNTOLD_MAX && !self.untold.iter().any(|known| known == application) {
            self.untold.push(application.to_owned());
        }
    }
}

/// Where it ends. What was allowed when it was sealed must still be.
fn over(turn: &Turn<'_>, way: Way, mut cookies: Vec<SetCookie>) -> Answer {
    let Way { onward: Onward { application, target, .. }, untold, .. } = way;
    let application = application.as_ref().and_then(|id| turn.config.applications.get(id));
    let to = target.and_then(|target| turn.login.after_logout(turn, application, target.as_str()));
    cookies.extend(slot(turn).clear(&turn.visitor.cookies));
    Answer::with(Step::LoggedOut { to, untold }, cookies)
}

fn opened(turn: &Turn<'_>) -> Result<Option<Way>, Refusal> {
    let way = slot(turn).open::<Way>(&turn.login.parts.keys, &turn.visitor.cookies);
    Ok(turn.lenient(way)?.filter(|way| turn.now < way.expires))
}

fn seal(turn: &Turn<'_>, way: &Way) -> Result<Vec<SetCookie>, Refusal> {
    let lifetime = way.expires.saturating_sub(turn.now);
    let sealed = slot(turn).seal(&turn.login.parts.keys, &turn.visitor.cookies, way, Some(lifetime));
    sealed.map_err(|error| turn.unsealable(&error, None))
}

fn slot(turn: &Turn<'_>) -> Slot {
    Slot::logout(&turn.config.session, &turn.config.server.public_url)
}

fn round(turn: &Turn<'_>) -> Url {
    target::address(&turn.config.server.public_url, &["logout", "round"], &[])
}
