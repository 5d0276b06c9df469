//! From the wish to enter to an upstream's door: `start`, `begin`, and the pages in
//! between.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Answer, Class, Demand, FormError, Login, Refusal, Step, Then, Visitor, Wanted,
    pending::{Onward, Pending, Stage, read_id},
    route::ask_identifier,
    target,
    turn::Turn,
};
use crate::{
    config::{Application, HandOver},
    decision::Redirect,
    secret::random_token,
    session::{Session, SetCookie, Slot, hash},
};

/// The longest identifier that is taken from a form (RFC 5321 §4.5.3.1.3).
const IDENTIFIER_BYTES_MAX: usize = 254;

/// What ties a login to the browser that began it.
#[derive(Serialize, Deserialize)]
pub(super) struct Binding {
    pub(super) secret: String,
    expires: u64,
}

impl Binding {
    /// The binding that this browser holds on `origin`, if it does.
    pub(super) fn held(turn: &Turn<'_>, origin: &Url) -> Result<Option<Self>, Refusal> {
        let slot = Slot::binding(&turn.config.session, origin);
        let held = turn.lenient(slot.open::<Self>(&turn.login.parts.keys, &turn.visitor.cookies))?;
        Ok(held.filter(|binding| turn.now < binding.expires))
    }
}

impl Login {
    pub(super) fn do_start(
        &self,
        visitor: &Visitor,
        application: &str,
        rd: Option<&str>,
        demand: &Demand,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let application = turn.application(application)?;
        let origin = turn.origin(application)?;
        let return_to =
            rd.and_then(|rd| target::read(application, &origin, rd)).unwrap_or_else(|| application.url.clone());
        // Two tabs that begin share one binding, so that both can enter.
        let secret = match Binding::held(&turn, &origin)? {
            Some(held) => held.secret,
            None => random_token().map_err(|error| turn.unavailable(&error, None))?,
        };
        let public = hash(&secret);
        let lifetime = u64::from(turn.config.login.pending);
        let (keys, jar) = (&self.parts.keys, &visitor.cookies);
        let mut cookies = Slot::binding(&turn.config.session, &origin)
            .seal(keys, jar, &Binding { secret, expires: turn.now + lifetime }, Some(lifetime))
            .map_err(|error| turn.unsealable(&error, None))?;
        cookies.extend(self.drop_old_session(&turn, application, &origin, demand)?);
        let from = origin.origin().ascii_serialization();
        let mut query = vec![("from", from.as_str()), ("rd", return_to.as_str()), ("binding", public.as_str())];
        let demanded = demand.query();
        query.extend(demanded.iter().map(|(name, value)| (*name, value.as_str())));
        let to = target::address(&turn.config.server.public_url, &["login", &application.id], &query);
        Ok(Answer::with(Step::Redirect(to), cookies))
    }

    /// Who goes to log in has no session any more, whatever cookies are left; unless it is
    /// a live session that has to prove itself anew.
    fn drop_old_session(
        &self,
        turn: &Turn<'_>,
        application: &Application,
        origin: &Url,
        demand: &Demand,
    ) -> Result<Vec<SetCookie>, Refusal> {
        let jar = &turn.visitor.cookies;
        let mut cookies = Vec::new();
        let note = Slot::anonymous(&turn.config.session, origin, &application.id);
        if note.is_in(jar) {
            cookies.extend(note.clear(jar));
        }
        let slot = Slot::session(&turn.config.session, origin, &application.id);
        if slot.is_in(jar) && demand.is_empty() {
            if let Some(old) = turn.lenient(slot.open::<Session>(&self.parts.keys, jar))? {
                self.revoked.end(&old.id, old.expires(), turn.now);
            }
            cookies.extend(slot.clear(jar));
        }
        Ok(cookies)
    }

    pub(super) async fn do_begin(&self, visitor: &Visitor, wanted: Wanted) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        if !self.limits.attempt(visitor.address) {
            let mut refusal = turn.refusal(Class::TooOften, "too-many-logins", None);
            if let Then::Oidc { request } | Then::Saml { request } = wanted.then {
                refusal.request_of = Some(request);
            }
            return Err(refusal);
        }
        let application = turn.application(&wanted.application)?;
        let onward = match read_onward(application, &wanted.then) {
            Some(onward) => onward,
            // No ticket for whoever did not come from the application (A09): its own front
            // door leads back here, with a binding.
            None => return Ok(Answer::with(Step::Redirect(application.url.clone()), Vec::new())),
        };
        let pending = Pending::begin(wanted, onward, turn.generation.number(), turn.now, turn.config.login.pending)
            .map_err(|error| turn.unavailable(&error, None))?;
        if let Some(answer) = self.through_the_door(&turn, &pending).await? {
            return Ok(answer);
        }
        self.route(&turn, pending).await
    }

    /// The generation that began this login is gone: begin again with the current one.
    pub(super) async fn begin_again(&self, visitor: &Visitor, pending: Pending) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        let generation = turn.generation.number();
        tracing::info!(request = %visitor.request, login = pending.id, generation, "the login begins again");
        let again = Pending { generation, failed: Vec::new(), step_ups: 0, stage: Stage::Begun, ..pending };
        self.route(&turn, again).await
    }

    pub(super) async fn do_identified(
        &self,
        visitor: &Visitor,
        login: &str,
        identifier: &str,
    ) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        if !self.limits.attempt(visitor.address) {
            return Err(turn.refusal(Class::TooOften, "too-many-logins", None));
        }
        let mut pending = turn.pending(read_id(login).unwrap_or_default())?;
        if !matches!(pending.stage, Stage::Identifier) {
            return Err(turn.refusal(Class::Expired, "login-not-at-this-step", Some(&pending)));
        }
        let identifier = identifier.trim();
        let sound = !identifier.is_empty()
            && identifier.len() <= IDENTIFIER_BYTES_MAX
            && !identifier.chars().any(char::is_control);
        if !sound {
            let typed = identifier.chars().filter(|c| !c.is_control()).take(IDENTIFIER_BYTES_MAX).collect();
            return Ok(ask_identifier(&pending, typed, Some(FormError::Identifier), Vec::new()));
        }
        pending.identifier = Some(identifier.to_owned());
        match self.parts.generations.by_number(pending.generation) {
            Some(generation) => self.route(&Turn::under(self, visitor, generation), pending).await,
            None => self.begin_again(visitor, pending).await,
        }
    }

    pub(super) async fn do_chosen(&self, visitor: &Visitor, login: &str, upstream: &str) -> Result<Answer, Refusal> {
        let turn = Turn::new(self, visitor);
        if !self.limits.attempt(visitor.address) {
            return Err(turn.refusal(Class::TooOften, "too-many-logins", None));
        }
        let mut pending = turn.pending(read_id(login).unwrap_or_default())?;
        let Stage::Choice { offered } = &pending.stage else {
            return Err(turn.refusal(Class::Expired, "login-not-at-this-step", Some(&pending)));
        };
        let Some(chosen) = offered.iter().find(|redirect| redirect.upstream == upstream) else {
            return Err(turn.refusal(Class::BadRequest, "upstream-not-offered", Some(&pending)));
        };
        // Whoever has just chosen need not wait.
        let redirect = Redirect { delay: 0, ..chosen.clone() };
        let Some(generation) = self.parts.generations.by_number(pending.generation) else {
            return self.begin_again(visitor, pending).await;
        };
        let turn = Turn::under(self, visitor, generation);
        match self.leave(&turn, &mut pending, &redirect).await? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(turn.refusal(Class::Upstream, error.code, Some(&pending))),
        }
    }
}

/// What came in with the request, checked. None where the browser did not come from the
/// application.
fn read_onward(application: &Application, then: &Then) -> Option<Onward> {
    match (then, &application.hand_over) {
        (Then::Oidc { request }, HandOver::Oidc(_)) => Some(Onward::Oidc { request: request.clone() }),
        (Then::Saml { request }, HandOver::Saml(_)) => Some(Onward::Saml { request: request.clone() }),
        (Then::ForwardAuth { from, return_to, binding }, HandOver::ForwardAuth(_)) => {
            let is_hash = binding.len() == hash("").len()
                && binding.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            let origin = target::read_origin(application, from).filter(|_| is_hash)?;
            let return_to = target::read(application, &origin, return_to).unwrap_or_else(|| application.url.clone());
            Some(Onward::ForwardAuth { origin, return_to, binding: binding.clone() })
        }
        _ => None,
    }
}
