//! One request's turn at the login: who asks, when, under which generation, and what every
//! step needs of the memory and of the record.

use std::sync::{Arc, PoisonError};

use super::{
    Answer, Class, Login, Refusal, Step, Visitor,
    pending::{PENDING_MAX, Pending},
    target,
};
use crate::{
    audit::Event,
    config::{Application, Config, HandOver},
    decision::{Claim, Context, Denial, DenyCode, Value},
    policy::Generation,
    session::{CookieError, SetCookie, Slot, Sso},
};

/// How many pending logins' cookies are opened to find the oldest.
const PENDING_OPENED_MAX: usize = 20;

/// One request's turn.
pub(super) struct Turn<'a> {
    pub(super) login: &'a Login,
    pub(super) visitor: &'a Visitor,
    pub(super) generation: Arc<Generation>,
    pub(super) config: Arc<Config>,
    pub(super) now: u64,
}

impl<'a> Turn<'a> {
    pub(super) fn new(login: &'a Login, visitor: &'a Visitor) -> Self {
        Self::under(login, visitor, login.parts.generations.current())
    }

    pub(super) fn under(login: &'a Login, visitor: &'a Visitor, generation: Arc<Generation>) -> Self {
        let config = Arc::clone(generation.config());
        Self { login, visitor, generation, config, now: login.parts.clock.now() }
    }

    /// When the last of the sessions that live now has ended by itself.
    pub(super) fn latest(&self) -> u64 {
        self.now + longest(&self.config)
    }

    /// The application, and what a stranger hears who asks for one that is none.
    pub(super) fn application(&self, id: &str) -> Result<&Application, Refusal> {
        self.config
            .applications
            .get(id)
            .ok_or_else(|| self.refusal(Class::NotFound, DenyCode::UnknownApplication.name(), None))
    }

    /// The origin on which the browser is, where it is one of the application's.
    pub(super) fn origin(&self, application: &Application) -> Result<Arc<url::Url>, Refusal> {
        self.visitor
            .origin
            .as_ref()
            .filter(|origin| target::is_own(application, origin))
            .map(|origin| if target::is_origin(origin) { Arc::clone(origin) } else { target::origin_of(origin).into() })
            .ok_or_else(|| Refusal {
                again: Some(application.url.clone()),
                ..self.refusal(Class::BadRequest, "host-not-allowed", None)
            })
    }

    /// What the policies hear of this request.
    pub(super) fn context(&self, login: &str, application: &Application, target: Option<&str>) -> Context {
        let mut facts = self.visitor.facts.get();
        facts.extend(target.map(|target| text("request.target", target)));
        if let Ok(Some(sso)) = self.remembered() {
            facts.push(Claim { name: "session.remembered".into(), value: Value::Boolean(sso.remember) });
        }
        Context {
            login: login.to_owned(),
            at: self.now,
            tenant: application.tenant.clone(),
            application: application.id.clone(),
            address: self.visitor.address.map(|address| address.to_string()),
            facts,
        }
    }

    /// The single sign-on session by which somebody may be known again: none that came by the emergency door.
    pub(super) fn remembered(&self) -> Result<Option<Sso>, Refusal> {
        Ok(self.sso()?.filter(|sso| !sso.identity().is_of_the_door()))
    }

    /// The single sign-on session, if there is a live one. A cookie that does not open is
    /// none; one that would cost us too much is a bad request.
    pub(super) fn sso(&self) -> Result<Option<Sso>, Refusal> {
        let sso = self.sso_slot().open::<Sso>(&self.login.parts.keys, &self.visitor.cookies);
        let sso = self.lenient(sso)?;
        Ok(sso.filter(|sso| {
            let revoked = &self.login.revoked;
            sso.began <= self.now
                && self.now < sso.expires
                && !revoked.has(&sso.family, self.now)
                && !revoked.ended_at_upstream(sso.identity(), sso.began, self.now)
        }))
    }

    /// The family of this browser's single sign-on session, whether that is over or not.
    pub(super) fn family(&self) -> Option<String> {
        let sso = self.sso_slot().open::<Sso>(&self.login.parts.keys, &self.visitor.cookies);
        sso.ok().flatten().filter(|sso| self.now < sso.expires).map(|sso| sso.family)
    }

    pub(super) fn sso_slot(&self) -> Slot {
        Slot::sso(&self.config.session, &self.config.server.public_url)
    }

    pub(super) fn pending_slot(&self, login: &str) -> Slot {
        Slot::pending(&self.config.session, &self.config.server.public_url, login)
    }

    /// Opens a pending login of this browser.
    pub(super) fn pending(&self, login: &str) -> Result<Pending, Refusal> {
        let opened = self.pending_slot(login).open::<Pending>(&self.login.parts.keys, &self.visitor.cookies);
        let pending = self
            .lenient(opened)?
            .filter(|pending| pending.id == login)
            .ok_or_else(|| self.refusal(Class::Expired, "login-unknown", None))?;
        if self.now >= pending.expires {
            return Err(self.refusal(Class::Expired, "login-expired", Some(&pending)));
        }
        Ok(pending)
    }

    /// The cookies that keep `pending`, and clear what is too much or too old.
    pub(super) fn keep(&self, pending: &Pending) -> Result<Vec<SetCookie>, Refusal> {
        let (jar, keys) = (&self.visitor.cookies, &self.login.parts.keys);
        let lifetime = pending.expires.saturating_sub(self.now);
        let mut cookies = self
            .pending_slot(&pending.id)
            .seal(keys, jar, pending, Some(lifetime))
            .map_err(|error| self.unsealable(&error, Some(pending)))?;
        let mut others: Vec<(u64, String)> = Vec::new();
        let ids = Slot::pending_ids(&self.config.session, &self.config.server.public_url, jar);
        for (index, id) in ids.into_iter().filter(|id| *id != pending.id).enumerate() {
            let slot = self.pending_slot(&id);
            if index >= PENDING_OPENED_MAX {
                cookies.extend(slot.clear(jar));
                continue;
            }
            // One that does not open may be another gateway's on the same host; it ends by
            // itself.
            if let Ok(Some(other)) = slot.open::<Pending>(keys, jar) {
                if other.expires > self.now {
                    others.push((other.expires, id))
                } else {
                    cookies.extend(slot.clear(jar))
                }
            }
        }
        others.sort();
        let surplus = (others.len() + 1).saturating_sub(PENDING_MAX);
        for (_, id) in others.into_iter().take(surplus) {
            cookies.extend(self.pending_slot(&id).clear(jar));
        }
        Ok(cookies)
    }

    /// The cookies that end `pending`.
    pub(super) fn forget(&self, pending: &Pending) -> Vec<SetCookie> {
        self.pending_slot(&pending.id).clear(&self.visitor.cookies)
    }

    /// May this `state` be used? Once.
    pub(super) fn use_state(&self, state: &str, expires: u64) -> bool {
        let mut used = self.login.used_states.lock().unwrap_or_else(PoisonError::into_inner);
        !used.contains(state, self.now) && used.insert(state.to_owned(), (), expires, self.now).is_ok()
    }

    /// Overlooks a cookie that is none of ours, and refuses one that is an attack on our
    /// time.
    pub(super) fn lenient<T>(&self, opened: Result<Option<T>, CookieError>) -> Result<Option<T>, Refusal> {
        match opened {
            Ok(value) => Ok(value),
            Err(error) if error.is_bad_request() => Err(self.refusal(Class::BadRequest, "cookie-malformed", None)),
            Err(error) => {
                tracing::debug!(request = %self.visitor.request, %error, "a cookie was overlooked");
                Ok(None)
            }
        }
    }

    pub(super) fn unsealable(&self, error: &CookieError, pending: Option<&Pending>) -> Refusal {
        tracing::error!(request = %self.visitor.request, %error, "a cookie could not be made");
        match error {
            CookieError::TooLong(_) => self.refusal(Class::Unavailable, "cookie-too-long", pending),
            _ => self.refusal(Class::Unavailable, "cookie-not-sealed", pending),
        }
    }

    /// A no.
    pub(super) fn refusal(&self, class: Class, code: impl Into<String>, pending: Option<&Pending>) -> Refusal {
        let code = code.into();
        let application = pending.and_then(|pending| self.config.applications.get(&pending.application));
        tracing::info!(
            request = %self.visitor.request,
            login = pending.map(|pending| pending.id.as_str()),
            application = application.map(|application| application.id.as_str()),
            code,
            "refused"
        );
        Refusal {
            class,
            code,
            request: self.visitor.request.to_string(),
            login: pending.map(|pending| pending.id.clone()),
            application: application.map(|application| application.id.clone()),
            again: application.map(|application| way_on(application, class, pending.and_then(Pending::wanted))),
            request_of: pending.and_then(|pending| pending.request().map(str::to_owned)),
        }
    }

    /// The gateway has no randomness, or no room: a no that is nobody's fault.
    pub(super) fn unavailable(&self, error: &dyn std::error::Error, pending: Option<&Pending>) -> Refusal {
        tracing::error!(request = %self.visitor.request, %error, "a login could not go on");
        self.refusal(Class::Unavailable, "unavailable", pending)
    }

    /// A no that was decided.
    pub(super) fn denied(&self, denial: &Denial, pending: Option<&Pending>) -> Refusal {
        if let Some(policy) = denial.policy.as_ref().filter(|_| denial.code != DenyCode::PolicyDenied) {
            // What it said may name somebody: that is in the audit alone.
            let (request, code) = (&self.visitor.request, denial.code.name());
            tracing::error!(%request, policy, hook = denial.hook.map(|hook| hook.name()), code, "a policy failed");
        }
        self.refusal(class_of(denial.code), page_code(denial), pending)
    }

    /// Writes to the record.
    pub(super) async fn record(&self, event: Event) -> Result<(), Denial> {
        let audit = Arc::clone(&self.login.parts.audit);
        let unavailable = || Denial::by_host(DenyCode::AuditUnavailable, "the decision could not be recorded");
        match tokio::task::spawn_blocking(move || audit.record(&event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(request = %self.visitor.request, %error, "an event could not be recorded");
                Err(unavailable())
            }
            Err(error) => {
                tracing::error!(request = %self.visitor.request, %error, "the record's task failed");
                Err(unavailable())
            }
        }
    }

    /// An event of this request.
    pub(super) fn event(&self, kind: crate::audit::Kind) -> Event {
        Event {
            kind,
            request: Some(self.visitor.request.to_string()),
            address: self.visitor.address.map(|address| address.to_string()),
            ..Event::default()
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { step: Step::Refused(refusal), cookies: Vec::new() }
    }
}

impl Answer {
    pub(super) fn with(step: Step, cookies: Vec<SetCookie>) -> Self {
        Self { step, cookies }
    }
}

/// Where a person goes on from a no: to what they wanted to see; whoever may not enter, over a new
/// login, since the one that is remembered would end in the same no. `wanted` has the origin on
/// which a session would begin, and the page.
pub(super) fn way_on(application: &Application, class: Class, wanted: Option<(&url::Url, &url::Url)>) -> url::Url {
    match (&application.hand_over, wanted) {
        (HandOver::ForwardAuth(_), Some((origin, page))) if class == Class::Denied => {
            target::address(origin, &["vestibule", "start", &application.id], &[("rd", page.as_str()), ("fresh", "1")])
        }
        (HandOver::ForwardAuth(_), Some((_, page))) => page.clone(),
        _ => application.url.clone(),
    }
}

/// How long a session may live that begins now, in seconds.
pub(super) fn longest(config: &Config) -> u64 {
    let door = config.emergency.as_ref().map_or(0, |emergency| emergency.lifetime);
    u64::from(config.session.lifetime.max(config.session.remember_lifetime).max(door))
}

pub(super) fn text(name: &str, value: &str) -> Claim {
    Claim { name: name.into(), value: Value::Text(value.into()) }
}

fn class_of(code: DenyCode) -> Class {
    match code {
        DenyCode::UnknownApplication => Class::NotFound,
        DenyCode::AuditUnavailable
        | DenyCode::ChainUnavailable
        | DenyCode::DirectoryUnavailable
        | DenyCode::NoPolicy
        | DenyCode::Overloaded
        | DenyCode::Sandbox => Class::Unavailable,
        _ => Class::Denied,
    }
}

/// What a page may show: a policy's own reason where it is a plain name, the host's code
/// otherwise.
fn page_code(denial: &Denial) -> String {
    let reason = denial.reason.code.as_str();
    let plain = !reason.is_empty()
        && reason.len() <= 64
        && reason.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    match denial.code {
        DenyCode::PolicyDenied | DenyCode::CreationRefused if plain => reason.to_owned(),
        code => code.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Hook, Reason};

    #[test]
    fn a_page_shows_a_policys_reason_only_where_it_is_a_plain_name() {
        let denial = |code: &str| {
            page_code(&Denial::by_policy(DenyCode::PolicyDenied, "p", Hook::Admit, Reason::new(code, "detail")))
        };
        assert_eq!(denial("domain-not-allowed"), "domain-not-allowed");
        for odd in ["", "<script>", "Domain", "a b", "a\r\nb", &"x".repeat(65)] {
            assert_eq!(denial(odd), "policy-denied", "{odd:?}");
        }
        let trapped = Denial::by_policy(DenyCode::PolicyTrapped, "p", Hook::Admit, Reason::new("looks-fine", ""));
        assert_eq!(page_code(&trapped), "policy-trapped");
    }
}
