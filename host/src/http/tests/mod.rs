//! The routes, driven as a browser and as a proxy drive them; the login behind them
//! follows a script.

mod browser;
mod consent;
mod door;
mod ended;
mod endpoint;
mod forward_auth;
mod pages;
mod saml;
mod second_factor;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, request::Builder},
};
use serde_json::{Value, json};
use url::Url;

use super::{
    Peer,
    flow::{Eventually, Flow},
    gateway::Gateway,
    router::Router,
};
use crate::{
    clock::ManualClock,
    config::{self, Config},
    decision::{AccessRequest, Profile, SessionTerms},
    downstream::{Passports, oidc::Provider, saml::IdentityProvider},
    identity::{Email, GroupClaim, Identity, Protocol},
    keys::{self, KeyRing},
    login::{
        Answer, Check, Class, Demand, FactorProof, FactorStep, NextRound, Refusal, Step, Then, UnverifiedCallback,
        Visitor, Wanted,
    },
    secret::Secret,
    session::{Origin, Participant, Session},
};

const NOW: u64 = 1_700_000_000;
const CONFIG: &str = r#"
[server]
public-url = "https://login.example.com"
trusted-proxies = ["10.0.0.0/8"]
header-bytes-max = 8192
body-bytes-max = 4096
request-timeout-ms = 200

[policies.domains]
component = "domains.wasm"

[upstreams.main]
preset = "keycloak"
base-url = "https://id.example.com"
realm = "staff"
client-id = "gateway"
client-secret = "secret"

[applications.wiki]
display-name = "The <Wiki>"
upstreams = ["main"]
chain = ["domains"]
url = "https://wiki.example.com/"
[applications.wiki.forward-auth]

[applications.api]
upstreams = ["main"]
chain = ["domains"]
url = "https://api.example.com/"
[applications.api.forward-auth]
pass-options = true

[applications.old]
upstreams = ["main"]
chain = ["domains"]
url = "https://old.example.com/"
[applications.old.forward-auth]
oauth2-proxy = true
session-endpoint = true

[applications.portal]
upstreams = ["main"]
chain = ["domains"]
url = "https://portal.example.com/"
[applications.portal.oidc]
redirect-uris = ["https://portal.example.com/callback"]
client-secret = "another"

[applications.guard]
display-name = "The <Guard>"
upstreams = ["main"]
chain = ["domains"]
url = "https://guard.example.com/"
[applications.guard.saml]
entity-id = "urn:guard"
acs-urls = ["https://guard.example.com/acs?a=1&b=%22%3E"]
"#;

/// One ring for all: making its keys takes a while.
static KEYS: LazyLock<Arc<KeyRing>> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let directory = home.path().join("keys");
    keys::generate(&directory, &clock).unwrap();
    Arc::new(KeyRing::open(&config::Keys { directory }, Arc::new(clock)).unwrap())
});

type Checking = Box<dyn Fn(&Visitor, &AccessRequest) -> Check + Send + Sync>;
type Stepping = Box<dyn Fn() -> Step + Send + Sync>;

/// A login that says what it was told to, and remembers what it was asked.
struct Script {
    config: Arc<Config>,
    check: Checking,
    step: Stepping,
    asked: Mutex<Vec<String>>,
}

/// The gateway under test.
struct Harness {
    router: Router,
    script: Arc<Script>,
    clock: Arc<ManualClock>,
    signed: Arc<AtomicUsize>,
    peer: Option<SocketAddr>,
}

/// A response, read.
#[derive(Debug)]
struct Read {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Harness {
    /// Behind a trusted proxy; nobody has a session, and every step is a logout's page.
    fn new() -> Self {
        Self::with(
            CONFIG,
            Box::new(|_, _| Check::NoSession { cookies: Vec::new() }),
            Box::new(|| Step::LoggedOut { to: None, untold: Vec::new() }),
        )
    }

    /// Everybody has a session.
    fn live() -> Self {
        Self::checking(Box::new(|_, _| live(ada())))
    }

    fn checking(check: Checking) -> Self {
        Self::with(CONFIG, check, Box::new(|| Step::LoggedOut { to: None, untold: Vec::new() }))
    }

    fn stepping(step: impl Fn() -> Step + Send + Sync + 'static) -> Self {
        Self::with(CONFIG, Box::new(|_, _| Check::NoSession { cookies: Vec::new() }), Box::new(step))
    }

    fn with(config: &str, check: Checking, step: Stepping) -> Self {
        let config = config::parse(config, Path::new("/etc/vestibule.toml"), &|_| None);
        let config = Arc::new(config.unwrap_or_else(|problems| panic!("{problems}")));
        let script = Arc::new(Script { config, check, step, asked: Mutex::default() });
        let clock = Arc::new(ManualClock::at(NOW));
        let signed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&signed);
        let sign =
            Box::new(move |claims: &Value| Ok(format!("{}.{}", count.fetch_add(1, Ordering::SeqCst), claims["exp"])));
        let passports = Passports::signing(sign, Arc::clone(&clock) as _);
        let provider = Arc::new(Provider::new(Arc::clone(&KEYS), Arc::clone(&clock) as _));
        let identity_provider = IdentityProvider::new(Arc::clone(&KEYS), Arc::clone(&clock) as _);
        let router = Router::of(Gateway::new(Arc::clone(&script), passports, provider, identity_provider));
        Self { router, script, clock, signed, peer: Some("10.0.0.1:40000".parse().unwrap()) }
    }

    fn from(mut self, peer: &str) -> Self {
        self.peer = Some(peer.parse().unwrap());
        self
    }

    async fn send(&self, request: Builder, body: impl Into<Body>) -> Read {
        let request = request.body(body.into()).unwrap();
        let (parts, body) = self.router.answer(self.peer.map(Peer), request).await.into_parts();
        let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().into()).unwrap();
        Read { status: parts.status, headers: parts.headers, body }
    }

    async fn visit(&self, target: &str) -> Read {
        self.send(Request::get(target).header("host", "login.example.com"), "").await
    }

    /// As nginx asks for a subrequest.
    async fn verify(&self, application: &str, target: &str, more: &[(&str, &str)]) -> Read {
        let request = Request::get(format!("/vestibule/verify/{application}"))
            .header("host", format!("{application}.example.com"))
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-original-uri", HeaderValue::from_bytes(target.as_bytes()).unwrap());
        let method = more.iter().all(|(name, _)| *name != "x-original-method");
        let request = if method { request.header("x-original-method", "GET") } else { request };
        self.send(with(request, more), "").await
    }

    /// As Traefik asks.
    async fn forward(&self, application: &str, method: &str, target: &str, more: &[(&str, &str)]) -> Read {
        let request = Request::get(format!("/vestibule/forward/{application}"))
            .header("host", "gateway.internal:8080")
            .header("x-forwarded-host", format!("{application}.example.com"))
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-forwarded-method", method)
            .header("x-forwarded-uri", HeaderValue::from_bytes(target.as_bytes()).unwrap());
        self.send(with(request, more), "").await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.script.asked.lock().unwrap())
    }
}

fn with(request: Builder, more: &[(&str, &str)]) -> Builder {
    more.iter().fold(request, |request, (name, value)| {
        request.header(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    })
}

impl Read {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The status and the headers that differ not from one run to the next.
    fn head(&self) -> String {
        let mut lines: Vec<_> = (self.headers.iter())
            .filter(|(name, _)| !["content-length", "x-vestibule-request"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        format!("{}\n{}", self.status, lines.join("\n"))
    }
}

impl Script {
    fn step(&self, visitor: &Visitor, call: String) -> Answer {
        let address = visitor.address.map_or("unknown".to_owned(), |address| address.to_string());
        let origin = visitor.origin.as_ref().map_or("unknown", |origin| origin.as_str());
        self.asked.lock().unwrap().push(format!("{call} by {address} on {origin}"));
        Answer { step: (self.step)(), cookies: Vec::new() }
    }
}

fn ended(did: bool) -> Result<(), Refusal> {
    if did {
        return Ok(());
    }
    Err(Refusal {
        class: Class::BadRequest,
        code: "logout-nobody".into(),
        request: "r".into(),
        login: None,
        application: None,
        again: None,
        request_of: None,
    })
}

impl Flow for Arc<Script> {
    fn start(&self, visitor: &Visitor, application: &str, rd: Option<&str>, demand: &Demand) -> Answer {
        self.step(visitor, format!("start {application} {rd:?} {:?} {:?}", demand.max_age, demand.acr_values))
    }

    fn begin<'a>(&'a self, visitor: &'a Visitor, wanted: Wanted) -> Eventually<'a, Answer> {
        let (max_age, acr) = (wanted.max_age, &wanted.demanded_acr);
        let call = match wanted.then {
            Then::ForwardAuth { from, return_to, binding } => {
                format!("begin {} {from} {return_to} {binding} {max_age:?} {acr:?}", wanted.application)
            }
            Then::Saml { .. } => {
                format!("begin {} fresh {} silent {}", wanted.application, wanted.fresh, wanted.silent)
            }
            Then::Oidc { .. } => panic!("not for OIDC"),
        };
        Box::pin(async move { self.step(visitor, call) })
    }

    fn door(&self, visitor: &Visitor, application: Option<&str>) -> Answer {
        let path = visitor.facts.get().into_iter().find(|fact| fact.name == "request.path");
        let named: Vec<String> = visitor.facts.get().into_iter().map(|fact| fact.name).collect();
        self.step(visitor, format!("door {application:?} {:?} {}", path.map(|fact| fact.value), named.join(" ")))
    }

    fn knock<'a>(
        &'a self,
        visitor: &'a Visitor,
        login: &'a str,
        username: &'a str,
        password: Secret<String>,
    ) -> Eventually<'a, Answer> {
        let call = format!("knock {login} {username} {}", password.expose());
        Box::pin(async move { self.step(visitor, call) })
    }

    fn identified<'a>(&'a self, visitor: &'a Visitor, login: &'a str, identifier: &'a str) -> Eventually<'a, Answer> {
        Box::pin(async move { self.step(visitor, format!("identified {login} {identifier}")) })
    }

    fn chosen<'a>(&'a self, visitor: &'a Visitor, login: &'a str, upstream: &'a str) -> Eventually<'a, Answer> {
        Box::pin(async move { self.step(visitor, format!("chosen {login} {upstream}")) })
    }

    fn local<'a>(
        &'a self,
        visitor: &'a Visitor,
        login: &'a str,
        username: &'a str,
        password: Secret<String>,
    ) -> Eventually<'a, Answer> {
        Box::pin(async move { self.step(visitor, format!("local {login} {username} {}", password.expose())) })
    }

    fn second_factor<'a>(&'a self, visitor: &'a Visitor, step: FactorStep) -> Eventually<'a, Answer> {
        let call = match step {
            FactorStep::Prove { login, code } => format!("prove {login} {}", code.expose()),
            FactorStep::Passkey { login, answer } => format!("passkey {login} {}", answer.expose()),
            FactorStep::NewPasskey { login, form, code } => {
                let code = code.as_ref().map(|code| code.expose().as_str());
                format!("new passkey {login} {} {} {code:?}", form.name, form.attestation.expose())
            }
            FactorStep::Change { change, proof: FactorProof::Code(code) } => {
                format!("change {change:?} {}", code.expose())
            }
            FactorStep::Change { change, proof: FactorProof::Passkey(answer) } => {
                format!("change {change:?} by passkey {}", answer.expose())
            }
            step => format!("{step:?}"),
        };
        Box::pin(async move { self.step(visitor, call) })
    }

    fn callback<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        callback: UnverifiedCallback,
    ) -> Eventually<'a, Answer> {
        if callback.code.as_deref() == Some("hang") {
            return Box::pin(std::future::pending());
        }
        Box::pin(async move { self.step(visitor, format!("callback {upstream} {:?}", callback.state)) })
    }

    fn enter<'a>(&'a self, visitor: &'a Visitor, application: &'a str, ticket: &'a str) -> Eventually<'a, Answer> {
        Box::pin(async move { self.step(visitor, format!("enter {application} {ticket}")) })
    }

    fn check<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: &'a str,
        request: &'a AccessRequest,
    ) -> Eventually<'a, Check> {
        let call = format!("check {application} {} {} {}", request.method, request.host, request.path);
        self.step(visitor, call);
        Box::pin(async move { (self.check)(visitor, request) })
    }

    fn check_at_once(&self, visitor: &Visitor, application: &str, request: &AccessRequest) -> Option<Check> {
        if request.path.starts_with("/guarded") {
            return None;
        }
        let call = format!("check {application} {} {} {}", request.method, request.host, request.path);
        self.step(visitor, call);
        Some((self.check)(visitor, request))
    }

    fn start_url(&self, visitor: &Visitor, application: &str, rd: &str, demand: &Demand) -> Option<Url> {
        let origin = visitor.origin.as_ref().filter(|origin| origin.host_str().unwrap().starts_with(application))?;
        let mut url = origin.join(&format!("/vestibule/start/{application}")).unwrap();
        url.query_pairs_mut().append_pair("rd", rd);
        if let Some(max_age) = demand.max_age {
            url.query_pairs_mut().append_pair("max-age", &max_age.to_string());
        }
        Some(url)
    }

    fn depart<'a>(&'a self, visitor: &'a Visitor, application: &'a str, rd: Option<&'a str>) -> Eventually<'a, Answer> {
        Box::pin(async move { self.step(visitor, format!("depart {application} {rd:?}")) })
    }

    fn logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: Option<&'a str>,
        rd: Option<&'a str>,
        begun_at: Option<&'a str>,
    ) -> Eventually<'a, Answer> {
        let begun_at = begun_at.map(|begun_at| format!(" begun at {begun_at}")).unwrap_or_default();
        Box::pin(async move { self.step(visitor, format!("logout {application:?} {rd:?}{begun_at}")) })
    }

    fn round<'a>(&'a self, visitor: &'a Visitor) -> Eventually<'a, NextRound> {
        Box::pin(async move { NextRound::Over(Box::new(self.step(visitor, "round".to_owned()))) })
    }

    fn told<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: Option<&'a str>,
        id: &'a str,
        failed: Option<&'a str>,
    ) -> Eventually<'a, Answer> {
        Box::pin(async move { self.step(visitor, format!("told {application:?} {id} {failed:?}")) })
    }

    fn logged_out(&self, visitor: &Visitor, state: Option<&str>) -> Answer {
        self.step(visitor, format!("logged_out {state:?}"))
    }

    fn may_attempt(&self, visitor: &Visitor) -> bool {
        // The script's own limit.
        visitor.address.is_none_or(|address| address.to_string() != "192.0.2.66")
    }

    fn back_channel_logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        token: &'a str,
    ) -> Eventually<'a, Result<(), Refusal>> {
        self.step(visitor, format!("back-channel {upstream} {token}"));
        Box::pin(async move { ended(token == "good") })
    }

    fn front_channel_logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        issuer: Option<&'a str>,
        session: Option<&'a str>,
    ) -> Eventually<'a, Result<(), Refusal>> {
        self.step(visitor, format!("front-channel {upstream} {issuer:?} {session:?}"));
        Box::pin(async move { ended(session.is_some()) })
    }

    fn may_end_unasked(&self, _: &Visitor, sid: Option<&str>) -> bool {
        sid.is_some()
    }

    fn note<'a>(&'a self, _: &'a Visitor, _: crate::audit::Event) -> Eventually<'a, bool> {
        Box::pin(async { true })
    }

    fn holds(&self, visitor: &Visitor, sid: &str) -> bool {
        // The names of the cookies are all that shows.
        format!("{:?}", visitor.cookies).contains(sid)
    }

    fn lives(&self, _: &Origin) -> bool {
        true
    }

    fn joined(&self, _: &str, _: Participant) {}

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    fn jwks(&self) -> Value {
        json!({ "keys": [] })
    }
}

fn live(session: Session) -> Check {
    Check::Live { session: Arc::new(session), cookies: Vec::new() }
}

fn ada() -> Session {
    Session {
        id: "session-1".into(),
        parent: "sso-1".into(),
        application: "wiki".into(),
        tenant: "default".into(),
        login: "login-1".into(),
        generation: 1,
        identity: Identity {
            upstream: "main".into(),
            protocol: Protocol::Oidc,
            issuer: "https://id.example.com/realms/staff".into(),
            subject: "4711".into(),
            email: Some(Email { address: "ada@example.com".into(), verified: true }),
            groups: GroupClaim::Absent,
            auth_time: Some(NOW - 60),
            acr: None,
            amr: Vec::new(),
            claims: [].into(),
        },
        profile: Profile {
            username: Some("ada".into()),
            email: Some("ada@example.com".into()),
            given_name: Some("Ada".into()),
            family_name: Some("Lovelace".into()),
            ..Profile::default()
        },
        groups: vec!["staff".into(), "wiki, editors".into()],
        terms: SessionTerms { lifetime: 3600, idle: 600, remember: false },
        began: NOW - 60,
        seen: NOW,
    }
}
