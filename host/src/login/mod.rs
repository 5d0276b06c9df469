//! The login as a state machine.
//!
//! ```text
//!  application's host              gateway's host
//!
//!  start ── binding cookie ──────▶ begin ── route hook ─┬─▶ Leave ──▶ upstream ──▶ callback ─┐
//!                                                       ├─▶ AskIdentifier ──▶ identified ─┐  │
//!                                    ▲                  ├─▶ Choose ─────────▶ chosen ─────┤  │
//!                                    │                  ├─▶ LocalForm ──────▶ local ──────┼──┤
//!                                    │                  ├─▶ ApplicationForm               │  │
//!                                    │                  ├─▶ Refused              (Leave…) ◀  │
//!                                    │                  └─▶ single sign-on cookie ───────────┤
//!                                    │                                                       ▼
//!                                    └── step-up: back to the upstream, or our own factor ◀─ decide
//!                                                                                            │
//!  enter ◀── one-time ticket ─────────────────────────────── Enter / Admitted / Refused ◀────┘
//!    │
//!    └─▶ session cookie ──▶ check (each request) ──▶ depart ──▶ logout ──▶ logged_out
//! ```
//!
//! Steps never route to one another: each method of [`Login`] ends in a [`Step`], and
//! `http` turns that into a response. What a step must remember travels in the pending
//! login's sealed cookie. Every way to an [`Admission`](crate::decision::Admission) passes
//! `decide`, the only place that makes one. This module has no login rule: it asks the
//! policies and carries out what they answer, within the contracts.

mod again;
mod begin;
mod canary;
mod complete;
mod contracts;
mod decide;
mod directory;
mod door;
mod ended;
mod enter;
mod factors;
mod facts;
mod judge;
mod limits;
mod logout;
mod passkeys;
mod pending;
mod round;
mod route;
mod second_factor;
mod shadow;
mod step;
mod target;
mod turn;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

/// What of a factor stands in a step.
pub use crate::factor::{Enrolled, KnownPasskey, Options, PasskeyForm};
pub use crate::upstream::UnverifiedCallback;
pub use again::{Again, Candidate, decide_as_stated};
pub use directory::DirectoryError;
pub use door::{Door, DoorError};
pub use factors::{FactorChange, FactorProof, FactorStep};
pub use facts::Facts;
pub use round::NextRound;
pub use step::{Answer, Check, Choice, Class, Enrolment, FormError, Refusal, Step};
pub use target::read as read_target;

use crate::{
    audit::{Audit, Event},
    clock::Clock,
    config::{Application, Config},
    decision::AccessRequest,
    factor::{Ceremonies, Factors, TotpSecret},
    keys::KeyRing,
    policy::Generations,
    recording::Recorder,
    secret::Secret,
    session::{
        Expiring, Jar, LogoutTokens, Memories, Opened, Origin, Participant, Participants, Revoked, Rounds, State,
        Tickets,
    },
    upstream::Upstreams,
};
use directory::Directories;
use limits::Limits;
use shadow::Shadow;
use turn::Turn;

/// How many used states are remembered; a login past that is refused.
const USED_STATES_MAX: usize = 200_000;

/// How many `acr-values` a demand has, as at the policies.
const ACR_VALUES_MAX: usize = 16;

/// How many uses of second factors may be under way; others wait. Each may take tens of megabytes.
const FACTOR_USES_MAX: usize = 8;

/// So many browsers may be asked for a passkey at once; who was asked first is asked again then.
const CEREMONIES_MAX: usize = 5000;

/// How many ID tokens are kept for logouts; those that would expire first go first.
const ID_TOKENS_MAX: usize = 20_000;

/// Who asks: what is known of the browser behind one request.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// The request's id, as in the log and on the error page.
    pub request: Arc<str>,
    /// The browser's address, where it is known: the peer's own, or what a trusted proxy said.
    pub address: Option<IpAddr>,
    /// Scheme, host and port that the browser asked for: `Host`, or what a trusted proxy
    /// said. Matters on an application's host; on the gateway's own, `public-url` counts.
    pub origin: Option<Arc<Url>>,
    /// The cookies.
    pub cookies: Jar,
    /// `request.host`, `request.path`, `request.method` and `header.NAME`; never a
    /// credential. `request.target` and `session.remembered` are added here.
    pub facts: Facts,
}

/// What a login is for, and on what terms it is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The application's id, as it came in.
    pub application: String,
    /// What follows a yes.
    pub then: Then,
    /// The subject must have authenticated within so many seconds.
    pub max_age: Option<u32>,
    /// Use no single sign-on (`prompt=login`).
    pub fresh: bool,
    /// Use no single sign-on, and let the person choose an account at the upstream (`prompt=select_account`).
    pub select_account: bool,
    /// Show nothing (`prompt=none`): refuse with `interaction-required` instead.
    pub silent: bool,
    /// OIDC Core §3.1.2.1, for the upstream.
    pub login_hint: Option<String>,
    /// OIDC Core §3.1.2.1, for the upstream: a wish.
    pub acr_values: Vec<String>,
    /// What an application's policy demands of the authentication ([`Demand::acr_values`]).
    pub demanded_acr: Vec<String>,
}

/// What an application's policy demands of the authentication, on its way from `check` over
/// `start` to `begin`. Whoever takes it out of the address gains nothing: the policy is asked
/// again, and demands it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The subject must have authenticated within so many seconds.
    pub max_age: Option<u32>,
    /// One of these must be the identity's `acr`, where there are any.
    pub acr_values: Vec<String>,
    /// The person is to be asked anew, and may be somebody else this time.
    pub fresh: bool,
}

impl Demand {
    /// What the query says: `max-age` in seconds, `acr-values` separated by blanks, `fresh`.
    #[must_use]
    pub fn read(max_age: Option<u32>, acr_values: Option<&str>, fresh: bool) -> Self {
        let values = acr_values.unwrap_or_default().split(' ').filter(|value| !value.is_empty());
        Self { max_age, acr_values: values.take(ACR_VALUES_MAX).map(str::to_owned).collect(), fresh }
    }

    /// Is nothing more demanded of a live session?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.max_age.is_none() && self.acr_values.is_empty()
    }

    /// The parameters that say so.
    fn query(&self) -> Vec<(&'static str, String)> {
        let max_age = self.max_age.map(|seconds| ("max-age", seconds.to_string()));
        let acr_values = (!self.acr_values.is_empty()).then(|| ("acr-values", self.acr_values.join(" ")));
        let fresh = self.fresh.then(|| ("fresh", "1".to_owned()));
        max_age.into_iter().chain(acr_values).chain(fresh).collect()
    }
}

/// What follows a yes. All of it came in with a request and is checked here.
#[derive(Clone, Debug)]
pub enum Then {
    /// A ticket to the application's host: the query of `/login/{app}`.
    ForwardAuth {
        /// `from`: the origin on which `start` was asked.
        from: String,
        /// `rd`: where the person wanted to go.
        return_to: String,
        /// `binding`: the hash of the binding cookie.
        binding: String,
    },
    /// An authorization request of our OIDC provider, sealed by it, as opaque text.
    Oidc {
        /// The sealed request.
        request: String,
    },
    /// A request of a SAML service provider, sealed by our identity provider, as opaque text.
    Saml {
        /// The sealed request.
        request: String,
    },
}

/// Tells relying parties that their session is over: the request that ended it, and who took part.
/// It must not wait for anybody.
pub type Farewell = Arc<dyn Fn(&str, Vec<Participant>) + Send + Sync>;

/// May a logout of the application end at this address, since a relying party registered it while the gateway runs?
pub type EndsAt = Arc<dyn Fn(&Config, &Application, &Url) -> bool + Send + Sync>;

/// What a [`Login`] is made of.
pub struct Parts {
    /// The policies and the configuration.
    pub generations: Arc<Generations>,
    /// The identity providers.
    pub upstreams: Arc<Upstreams>,
    /// The key ring.
    pub keys: Arc<KeyRing>,
    /// The emergency door, where there is one.
    pub door: Option<Arc<Door>>,
    /// The second factors, where the configuration has them.
    pub factors: Option<Arc<Factors>>,
    /// The record.
    pub audit: Arc<Audit>,
    /// What is remembered of sessions.
    pub memories: Memories,
    /// What keeps the questions, where the configuration says so.
    pub recorder: Option<Arc<Recorder>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who hears of the end of a session.
    pub farewell: Farewell,
    /// Where a logout may end, beside what the configuration says.
    pub ends_at: EndsAt,
}

/// The login flow.
pub struct Login {
    parts: Parts,
    directories: Arc<Directories>,
    limits: Limits,
    /// ID tokens by single sign-on session, for `id_token_hint`. Here, and in no cookie.
    id_tokens: Mutex<Expiring<String, Secret<String>>>,
    /// Uses of second factors that are under way: each may hash.
    factor_uses: Arc<Semaphore>,
    /// What browsers are being asked, by whom it was asked.
    ceremonies: Mutex<Expiring<String, Ceremonies>>,
    /// What authenticator apps that are being added must know, by whose page shows it.
    new_apps: Mutex<Expiring<String, TotpSecret>>,
    opened: Opened,
    participants: Participants,
    /// None where no thread was to be had.
    shadow: Option<Arc<Shadow>>,
    revoked: Revoked,
    rounds: Rounds,
    tickets: Tickets,
    used_states: Mutex<Expiring<String, ()>>,
    logout_tokens: LogoutTokens,
    state: Arc<State>,
}

impl Login {
    /// A flow that remembers of sessions what `parts` says, and nothing else.
    #[must_use]
    pub fn new(mut parts: Parts) -> Self {
        let Memories { revoked, participants, logout_tokens, rounds, state } = std::mem::take(&mut parts.memories);
        let generation = parts.generations.current();
        let limits = Limits::new(&generation.config().login, generation.config().second_factor.as_ref());
        let shadow = Shadow::start(Arc::clone(&parts.audit)).map(Arc::new);
        Self {
            parts,
            directories: Arc::default(),
            limits,
            id_tokens: Mutex::new(Expiring::new(ID_TOKENS_MAX)),
            factor_uses: Arc::new(Semaphore::new(FACTOR_USES_MAX)),
            ceremonies: Mutex::new(Expiring::new(CEREMONIES_MAX)),
            new_apps: Mutex::new(Expiring::new(CEREMONIES_MAX)),
            opened: Opened::default(),
            participants,
            shadow,
            revoked,
            rounds,
            tickets: Tickets::default(),
            used_states: Mutex::new(Expiring::new(USED_STATES_MAX)),
            logout_tokens,
            state,
        }
    }

    /// Application's host, `GET /vestibule/start/{app}?rd=…&max-age=…&acr-values=…`: sets the
    /// binding cookie and goes to the gateway's host.
    pub fn start(&self, visitor: &Visitor, application: &str, rd: Option<&str>, demand: &Demand) -> Answer {
        self.do_start(visitor, application, rd, demand).unwrap_or_else(Answer::from)
    }

    /// Gateway's host, `GET /login/{app}?from=…&rd=…&binding=…&max-age=…`, and the OIDC
    /// provider's authorization endpoint: begins a login.
    pub async fn begin(&self, visitor: &Visitor, wanted: Wanted) -> Answer {
        self.do_begin(visitor, wanted).await.unwrap_or_else(Answer::from)
    }

    /// Gateway's host, `POST /login/{app}` with `login` and `identifier`.
    pub async fn identified(&self, visitor: &Visitor, login: &str, identifier: &str) -> Answer {
        self.do_identified(visitor, login, identifier).await.unwrap_or_else(Answer::from)
    }

    /// Gateway's host, `POST /login/{app}` with `login` and `upstream`.
    pub async fn chosen(&self, visitor: &Visitor, login: &str, upstream: &str) -> Answer {
        self.do_chosen(visitor, login, upstream).await.unwrap_or_else(Answer::from)
    }

    /// Gateway's host, `POST /login/{app}/local` with `login`, `username` and `password`.
    pub async fn local(&self, visitor: &Visitor, login: &str, username: &str, password: Secret<String>) -> Answer {
        self.do_local(visitor, login, username, password).await.unwrap_or_else(Answer::from)
    }

    /// Gateway's host, the emergency door: its form, for `application` or for one to choose.
    pub fn door(&self, visitor: &Visitor, application: Option<&str>) -> Answer {
        self.do_door(visitor, application).unwrap_or_else(Answer::from)
    }

    /// Gateway's host, the emergency door, its form with `login`, `username` and `password`.
    pub async fn knock(&self, visitor: &Visitor, login: &str, username: &str, password: Secret<String>) -> Answer {
        self.do_knock(visitor, login, username, password).await.unwrap_or_else(Answer::from)
    }

    /// Gateway's host, `GET /callback/{upstream}`: the upstream sent the browser back.
    /// Whatever comes of it, this callback cannot be used again.
    pub async fn callback(&self, visitor: &Visitor, upstream: &str, callback: UnverifiedCallback) -> Answer {
        match self.do_callback(visitor, upstream, callback).await {
            Ok(answer) => answer,
            Err(refusal) => {
                let turn = Turn::new(self, visitor);
                let cookies = match &refusal.login {
                    Some(login) => turn.pending_slot(login).clear(&visitor.cookies),
                    None => Vec::new(),
                };
                Answer { step: Step::Refused(refusal), cookies }
            }
        }
    }

    /// Gateway's host: the second factor of a login, or a person's own.
    pub async fn second_factor(&self, visitor: &Visitor, step: FactorStep) -> Answer {
        let answer = match step {
            FactorStep::Ask { login } => self.do_ask_second_factor(visitor, &login).await,
            FactorStep::Prove { login, code } => self.do_second_factor(visitor, &login, code).await,
            FactorStep::Passkey { login, answer } => self.do_passkey(visitor, &login, answer).await,
            FactorStep::NewPasskey { login, form, code } => self.do_new_passkey(visitor, &login, form, code).await,
            FactorStep::Seen { login } => self.do_enrolled(visitor, &login).await,
            FactorStep::Own => self.do_factor(visitor).await,
            FactorStep::Change { change, proof } => self.do_change_factor(visitor, change, proof).await,
        };
        answer.unwrap_or_else(Answer::from)
    }

    /// Application's host, `GET /vestibule/enter/{app}?ticket=…`: the one-time ticket
    /// becomes the session cookie.
    pub async fn enter(&self, visitor: &Visitor, application: &str, ticket: &str) -> Answer {
        self.do_enter(visitor, application, ticket).await.unwrap_or_else(Answer::from)
    }

    /// Application's host, each request behind a proxy: is there a live session, and may
    /// this request pass?
    pub async fn check(&self, visitor: &Visitor, application: &str, request: &AccessRequest) -> Check {
        self.do_check(visitor, application, request).await.unwrap_or_else(Check::Refused)
    }

    /// The same without waiting, as most requests can be answered; none where a guest must be
    /// asked, which is what [`Login::check`] then does.
    pub fn check_at_once(&self, visitor: &Visitor, application: &str, request: &AccessRequest) -> Option<Check> {
        self.do_check_at_once(visitor, application, request).unwrap_or_else(|refusal| Some(Check::Refused(refusal)))
    }

    /// Where [`Login::start`] is for this request: `{origin}/vestibule/start/{app}?rd=…`.
    /// None where the visitor's origin is none of the application's.
    #[must_use]
    pub fn start_url(&self, visitor: &Visitor, application: &str, rd: &str, demand: &Demand) -> Option<Url> {
        let turn = Turn::new(self, visitor);
        let application = turn.config.applications.get(application)?;
        let origin = visitor.origin.as_ref().filter(|origin| target::is_own(application, origin))?;
        let demanded = demand.query();
        let mut query = vec![("rd", rd)];
        query.extend(demanded.iter().map(|(name, value)| (*name, value.as_str())));
        Some(target::address(origin, &["vestibule", "start", &application.id], &query))
    }

    /// Application's host, `GET /vestibule/logout/{app}?rd=…`: ends the session, then goes
    /// to the gateway's [`Login::logout`].
    pub async fn depart(&self, visitor: &Visitor, application: &str, rd: Option<&str>) -> Answer {
        self.do_depart(visitor, application, rd).await.unwrap_or_else(Answer::from)
    }

    /// Gateway's host, `GET /logout?application=…&rd=…`: ends the single sign-on session
    /// and with it every session that came from it, at the upstream, too, if so decided. `begun_at` is the
    /// application whose service provider asked for it, which needs not be told.
    pub async fn logout(
        &self,
        visitor: &Visitor,
        application: Option<&str>,
        rd: Option<&str>,
        begun_at: Option<&str>,
    ) -> Answer {
        self.do_logout(visitor, application, rd, begun_at).await.unwrap_or_else(Answer::from)
    }

    /// Gateway's host, `GET /logout/round`: which application is told next by way of this browser.
    pub async fn round(&self, visitor: &Visitor) -> NextRound {
        self.do_round(visitor).await.unwrap_or_else(|refusal| NextRound::Over(Box::new(Answer::from(refusal))))
    }

    /// Gateway's host, `/saml/{app}/slo` and `GET /logout/skip`: the request `id` is answered, by `application`
    /// where it is said who. `failed` says why its session may live on.
    pub async fn told(&self, visitor: &Visitor, application: Option<&str>, id: &str, failed: Option<&str>) -> Answer {
        self.do_told(visitor, application, id, failed).await.unwrap_or_else(Answer::from)
    }

    /// Counts an attempt that ends before a login begins, and says whether there were too many.
    #[must_use]
    pub fn may_attempt(&self, visitor: &Visitor) -> bool {
        self.limits.attempt(visitor.address)
    }

    /// May a request from anywhere end this browser's single sign-on session without asking
    /// the person? Where there is none, and where `sid` names this very one.
    #[must_use]
    pub fn may_end_unasked(&self, visitor: &Visitor, sid: Option<&str>) -> bool {
        match Turn::new(self, visitor).sso() {
            Ok(None) => true,
            Ok(Some(sso)) => sid == Some(sso.id.as_str()),
            Err(_) => false,
        }
    }

    /// Is this browser's single sign-on session the one that relying parties know as `sid`?
    #[must_use]
    pub fn holds(&self, visitor: &Visitor, sid: &str) -> bool {
        matches!(Turn::new(self, visitor).sso(), Ok(Some(sso)) if sso.id == sid)
    }

    /// Records what was done outside a login: by an administrator, or by a person who was asked. False where it could not be
    /// recorded; then it must not be done.
    pub async fn note(&self, visitor: &Visitor, event: Event) -> bool {
        let turn = Turn::new(self, visitor);
        let Event { kind, .. } = event;
        let own = turn.event(kind);
        turn.record(Event { request: own.request, address: own.address, ..event }).await.is_ok()
    }

    /// Did nothing end what came from there: no logout here, none at the upstream?
    #[must_use]
    pub fn lives(&self, origin: &Origin) -> bool {
        !self.revoked.covers(origin, self.parts.clock.now())
    }

    /// A relying party was given a session: it will hear when that is over.
    pub fn joined(&self, request: &str, participant: Participant) {
        self.do_joined(request, participant);
    }

    /// Gateway's host, `GET /logged-out?state=…`: the upstream sent the browser back.
    pub fn logged_out(&self, visitor: &Visitor, state: Option<&str>) -> Answer {
        self.do_logged_out(visitor, state)
    }

    /// Gateway's host, `POST /backchannel-logout/{upstream}`: the upstream says, and proves, that
    /// a session there is over.
    ///
    /// # Errors
    ///
    /// Why it ended nothing.
    pub async fn back_channel_logout(&self, visitor: &Visitor, upstream: &str, token: &str) -> Result<(), Refusal> {
        self.do_back_channel_logout(visitor, upstream, token).await
    }

    /// Gateway's host, `GET /frontchannel-logout/{upstream}?iss=…&sid=…`: a browser says that a
    /// session there is over.
    ///
    /// # Errors
    ///
    /// Why it ended nothing.
    pub async fn front_channel_logout(
        &self,
        visitor: &Visitor,
        upstream: &str,
        issuer: Option<&str>,
        session: Option<&str>,
    ) -> Result<(), Refusal> {
        self.do_front_channel_logout(visitor, upstream, issuer, session).await
    }

    /// Has the chains in shadow asked what waits for them, and ends that. Blocks.
    pub fn close_shadow(&self) {
        if let Some(shadow) = &self.shadow {
            shadow.close();
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(self.parts.generations.current().config())
    }

    /// `/.well-known/jwks.json`.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.parts.keys.jwks()
    }
}

#[cfg(test)]
mod tests;
