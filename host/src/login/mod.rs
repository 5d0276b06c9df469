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
//!                                    └───────────── step-up: back to the upstream ◀──────  decide
//!                                                                                            │
//!  enter ◀── one-time ticket ─────────────────────────────── Enter / Admitted / Refused ◀────┘
//!    │
//!    └─▶ session cookie ──▶ check (each request) ──▶ depart ──▶ logout ──▶ logged_out
//! ```
//!
//! Steps never route to one another: each method of [`Login`] ends in a [`Step`], and
//! `http` turns that into a response. What a step must remember travels in the pending
//! login's sealed cookie. Every way to an [`Admission`] passes `decide`, the only place
//! that makes one. This module has no login rule: it asks the policies and carries out
//! what they answer, within the contracts.

mod step;

use std::{net::IpAddr, sync::Arc};

use serde_json::Value;
use url::Url;

pub use crate::upstream::UnverifiedCallback;
pub use step::{Answer, Check, Choice, Class, FormError, Refusal, Step};

use crate::{
    audit::Audit,
    clock::Clock,
    config::Config,
    decision::{AccessRequest, Claim},
    keys::KeyRing,
    policy::Generations,
    session::Jar,
    upstream::Upstreams,
};

/// Who asks: what is known of the browser behind one request.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// The request's id, as in the log and on the error page.
    pub request: String,
    /// The browser's address, where it is known: the peer's own, or what a trusted proxy said.
    pub address: Option<IpAddr>,
    /// Scheme, host and port that the browser asked for: `Host`, or what a trusted proxy
    /// said. Matters on an application's host; on the gateway's own, `public-url` counts.
    pub origin: Option<Url>,
    /// The cookies.
    pub cookies: Jar,
    /// `request.host`, `request.path`, `request.method` and `header.NAME`; never a
    /// credential. `request.target` and `session.remembered` are added here.
    pub facts: Vec<Claim>,
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
    /// Show nothing (`prompt=none`): refuse with `interaction-required` instead.
    pub silent: bool,
    /// OIDC Core §3.1.2.1, for the upstream.
    pub login_hint: Option<String>,
    /// OIDC Core §3.1.2.1, for the upstream.
    pub acr_values: Vec<String>,
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
}

/// What a [`Login`] is made of.
pub struct Parts {
    /// The policies and the configuration.
    pub generations: Arc<Generations>,
    /// The identity providers.
    pub upstreams: Arc<Upstreams>,
    /// The key ring.
    pub keys: Arc<KeyRing>,
    /// The record.
    pub audit: Arc<Audit>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The login flow.
pub struct Login {
    #[expect(dead_code, reason = "the bodies follow")]
    parts: Parts,
}

impl Login {
    /// A flow with empty memories.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Application's host, `GET /vestibule/start/{app}?rd=…&max-age=…`: sets the binding
    /// cookie and goes to the gateway's host.
    pub fn start(&self, _visitor: &Visitor, _application: &str, _rd: Option<&str>, _max_age: Option<u32>) -> Answer {
        todo!()
    }

    /// Gateway's host, `GET /login/{app}?from=…&rd=…&binding=…&max-age=…`, and the OIDC
    /// provider's authorization endpoint: begins a login.
    pub async fn begin(&self, _visitor: &Visitor, _wanted: Wanted) -> Answer {
        todo!()
    }

    /// Gateway's host, `POST /login/{app}` with `login` and `identifier`.
    pub async fn identified(&self, _visitor: &Visitor, _login: &str, _identifier: &str) -> Answer {
        todo!()
    }

    /// Gateway's host, `POST /login/{app}` with `login` and `upstream`.
    pub async fn chosen(&self, _visitor: &Visitor, _login: &str, _upstream: &str) -> Answer {
        todo!()
    }

    /// Gateway's host, `POST /login/{app}/local` with `login`, `username` and `password`.
    pub async fn local(
        &self,
        _visitor: &Visitor,
        _login: &str,
        _username: &str,
        _password: crate::secret::Secret<String>,
    ) -> Answer {
        todo!()
    }

    /// Gateway's host, `GET /callback/{upstream}`: the upstream sent the browser back.
    pub async fn callback(&self, _visitor: &Visitor, _upstream: &str, _callback: UnverifiedCallback) -> Answer {
        todo!()
    }

    /// Application's host, `GET /vestibule/enter/{app}?ticket=…`: the one-time ticket
    /// becomes the session cookie.
    pub async fn enter(&self, _visitor: &Visitor, _application: &str, _ticket: &str) -> Answer {
        todo!()
    }

    /// Application's host, each request behind a proxy: is there a live session, and may
    /// this request pass?
    pub async fn check(&self, _visitor: &Visitor, _application: &str, _request: &AccessRequest) -> Check {
        todo!()
    }

    /// Where [`Login::start`] is for this request: `{origin}/vestibule/start/{app}?rd=…`.
    /// None where the visitor's origin is none of the application's.
    #[must_use]
    pub fn start_url(&self, _visitor: &Visitor, _application: &str, _rd: &str, _max_age: Option<u32>) -> Option<Url> {
        todo!()
    }

    /// Application's host, `GET /vestibule/logout/{app}?rd=…`: ends the session, then goes
    /// to the gateway's [`Login::logout`].
    pub async fn depart(&self, _visitor: &Visitor, _application: &str, _rd: Option<&str>) -> Answer {
        todo!()
    }

    /// Gateway's host, `GET /logout?application=…&rd=…`: ends the single sign-on session
    /// and with it every session that came from it, at the upstream, too, if so decided.
    pub async fn logout(&self, _visitor: &Visitor, _application: Option<&str>, _rd: Option<&str>) -> Answer {
        todo!()
    }

    /// Gateway's host, `GET /logged-out?state=…`: the upstream sent the browser back.
    pub fn logged_out(&self, _visitor: &Visitor, _state: Option<&str>) -> Answer {
        todo!()
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        todo!()
    }

    /// `/.well-known/jwks.json`.
    #[must_use]
    pub fn jwks(&self) -> Value {
        todo!()
    }
}
