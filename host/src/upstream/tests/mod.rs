//! Requirements of the whole way from a callback to a verified identity, against an
//! OpenID provider of our own that can be told to lie.

mod codes;
mod discovery;
mod email;
mod ended;
mod flow;
mod id_token;
mod oauth2;
pub(super) mod op;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use url::Url;

use super::{Exchange, Proof, Request, UnverifiedCallback, UpstreamError, Upstreams};
use crate::{
    clock::{Clock as _, ManualClock},
    config::{ClientAuthn, Endpoints, Fetch, Keying, Network, Oidc, Upstream, UpstreamKind},
    secret::Secret,
};
use op::{FakeOp, Key, Reply, keys};

/// When the tests happen.
const NOW: u64 = 1_800_000_000;
const CLIENT: &str = "gateway";

/// An upstream with every default.
pub(super) fn upstream() -> Upstream {
    Upstream {
        callback_path: None,
        id: "op".to_owned(),
        display_name: "OP".to_owned(),
        kind: UpstreamKind::Local,
        domains: None,
        trust_unverified_email: false,
        email_verified_as_text: false,
        email_verified_claim: "email_verified".to_owned(),
        groups_claim: "groups".to_owned(),
        subject_claim: "sub".to_owned(),
        allowed_tenants: None,
    }
}

/// Limits that suit a test; loopback is allowed.
pub(super) fn limits() -> Fetch {
    Fetch {
        timeout: Duration::from_secs(20),
        body_bytes_max: 256 * 1024,
        redirects_max: 2,
        allow_private: vec![Network { address: "127.0.0.0".parse().unwrap(), prefix: 8 }],
        ca_file: None,
    }
}

fn oidc(origin: &Url) -> Oidc {
    let issuer = origin.as_str().trim_end_matches('/').to_owned();
    Oidc {
        discovery: Some(origin.join("/.well-known/openid-configuration").unwrap()),
        issuer,
        endpoints: Endpoints::default(),
        keys: Keying::Discovered,
        client_id: CLIENT.to_owned(),
        client_authn: ClientAuthn::SecretBasic(Secret::new("s3cret".to_owned())),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        algorithms: ["RS256", "PS256", "ES256", "ES384", "EdDSA"].map(str::to_owned).to_vec(),
        userinfo: false,
        require_iss_parameter: false,
        clock_skew: 60,
        authorize_parameters: [].into(),
        logout_url: None,
    }
}

/// An upstream, a gateway's end toward it, and a clock.
struct World {
    op: FakeOp,
    upstreams: Upstreams,
    clock: Arc<ManualClock>,
    upstream: Upstream,
}

impl World {
    async fn new() -> Self {
        Self::with(limits()).await
    }

    async fn with(fetch: Fetch) -> Self {
        let op = FakeOp::start().await;
        let clock = Arc::new(ManualClock::at(NOW));
        let upstreams = Upstreams::new(&fetch, clock.clone()).unwrap();
        let upstream = Upstream { kind: UpstreamKind::Oidc(oidc(&op.origin)), ..upstream() };
        Self { op, upstreams, clock, upstream }
    }

    fn oidc(&mut self) -> &mut Oidc {
        match &mut self.upstream.kind {
            UpstreamKind::Oidc(oidc) => oidc,
            _ => panic!("not OpenID Connect"),
        }
    }

    fn request() -> Request {
        Request {
            redirect_uri: "https://gateway.example/callback".parse().unwrap(),
            state: "state".to_owned(),
            login_hint: None,
            acr_values: Vec::new(),
            max_age: None,
            fresh: false,
            select_account: false,
        }
    }

    async fn begin(&self) -> Exchange {
        self.upstreams.begin(&self.upstream, &Self::request()).await.unwrap().1
    }

    /// What an honest upstream would say.
    fn claims(&self, exchange: &Exchange) -> Map<String, Value> {
        let claims = json!({
            "iss": self.op.issuer(),
            "sub": "subject-1",
            "aud": CLIENT,
            "exp": self.clock.now() + 300,
            "iat": self.clock.now(),
            "nonce": exchange.nonce,
        });
        claims.as_object().unwrap().clone()
    }

    /// The callback, where the token endpoint gives this ID token.
    async fn complete(&self, exchange: &Exchange, id_token: &str) -> Result<Proof, UpstreamError> {
        self.op.reply("/token", Reply::json(&op::tokens(id_token)));
        self.upstreams.complete(&self.upstream, exchange, &callback()).await
    }

    /// A login in which `change` alters the honest claims.
    async fn login(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<Proof, UpstreamError> {
        let exchange = self.begin().await;
        self.login_to(&exchange, &keys().rsa, change).await
    }

    async fn login_to(
        &self,
        exchange: &Exchange,
        key: &Key,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<Proof, UpstreamError> {
        let mut claims = self.claims(exchange);
        change(&mut claims);
        self.complete(exchange, &key.token(&Value::Object(claims))).await
    }
}

fn callback() -> UnverifiedCallback {
    UnverifiedCallback { code: Some("code-1".to_owned()), state: Some("state".to_owned()), ..Default::default() }
}

/// The code of a refusal; a proof fails the test.
#[track_caller]
fn code(outcome: Result<Proof, UpstreamError>) -> &'static str {
    match outcome {
        Ok(proof) => panic!("not refused: {proof:?}"),
        Err(error) => error.code,
    }
}

fn set(name: &str, value: Value) -> impl FnOnce(&mut Map<String, Value>) {
    let name = name.to_owned();
    move |claims| {
        claims.insert(name, value);
    }
}

fn unset(name: &str) -> impl FnOnce(&mut Map<String, Value>) {
    let name = name.to_owned();
    move |claims| {
        claims.remove(&name);
    }
}
