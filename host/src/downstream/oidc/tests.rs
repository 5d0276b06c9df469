//! What relying parties and those who pretend to be one can ask of the provider.

mod assertion;
mod code;
mod consent;
mod dpop;
mod logout;
mod pushed;
mod registered;
mod signer;
mod tokens;

use std::{collections::BTreeMap, net::IpAddr, path::Path, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::Url;

use super::{authorize::Asked, *};
use crate::session::{Participant, Role};
use crate::{
    clock::ManualClock,
    config,
    decision::{Admission, Admitted, Difference, Profile, SessionTerms},
    identity::{Email, GroupClaim, Identity, Protocol},
    session::testing::{NOW, keys},
};

const CONFIG: &str = r#"
[server]
public-url = "https://login.example.com"
[policies.any]
component = "any.wasm"
[upstreams.main]
preset = "keycloak"
base-url = "https://id.example.com"
realm = "r"
client-id = "c"
client-secret = "s"

[applications.web]
upstreams = ["main"]
chain = ["any"]
url = "https://web.example.com/"
[applications.web.oidc]
client-secret = "the-secret-of-web"
redirect-uris = ["https://web.example.com/cb", "https://web.example.com/cb?tenant=1"]
post-logout-redirect-uris = ["https://web.example.com/bye"]

[applications.spa]
upstreams = ["main"]
chain = ["any"]
url = "https://spa.example.com/"
[applications.spa.oidc]
redirect-uris = ["https://spa.example.com/cb"]

[applications.renewing]
upstreams = ["main"]
chain = ["any"]
url = "https://renewing.example.com/"
[applications.renewing.oidc]
client-secret = "the-secret-of-web"
redirect-uris = ["https://web.example.com/cb"]
grant-types = ["authorization_code", "refresh_token"]

[applications.acme-web]
tenant = "acme"
upstreams = ["main"]
chain = ["any"]
url = "https://web.acme.example/"
[applications.acme-web.oidc]
client-id = "web"
client-secret = "the-secret-of-web"
redirect-uris = ["https://web.example.com/cb"]
post-logout-redirect-uris = ["https://web.example.com/bye"]
"#;

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

static PARSED: LazyLock<Config> = LazyLock::new(|| {
    config::parse(CONFIG, Path::new("vestibule.toml"), &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
});

struct Op {
    provider: Provider,
    clock: Arc<ManualClock>,
    config: Config,
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn owned(pairs: Pairs<'_>) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// `base` with `more` in the place of what has the same name; an empty value takes it out.
fn with(base: Pairs<'_>, more: Pairs<'_>) -> Vec<(String, String)> {
    let mut all: Vec<(&str, &str)> =
        base.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name)).copied().collect();
    all.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    owned(&all)
}

const ASKED: [(&str, &str); 8] = [
    ("client_id", "web"),
    ("redirect_uri", "https://web.example.com/cb"),
    ("response_type", "code"),
    ("scope", "openid email groups"),
    ("state", "s-1"),
    ("nonce", "n-1"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

const REDEEMED: [(&str, &str); 5] = [
    ("grant_type", "authorization_code"),
    ("client_id", "web"),
    ("client_secret", "the-secret-of-web"),
    ("redirect_uri", "https://web.example.com/cb"),
    ("code_verifier", VERIFIER),
];

fn admission(application: &str) -> Admission {
    Admission::assertion(Admitted {
        login: "login-1".into(),
        application: application.into(),
        tenant: "default".into(),
        generation: 1,
        identity: Identity {
            upstream: "main".into(),
            protocol: Protocol::Oidc,
            issuer: "https://id.example.com/realms/r".into(),
            subject: "ann-1".into(),
            email: Some(Email { address: "ann@example.com".into(), verified: true }),
            groups: GroupClaim::Absent,
            auth_time: Some(NOW - 5),
            acr: Some("mfa".into()),
            amr: vec!["pwd".into()],
            claims: BTreeMap::new(),
        },
        profile: Profile { email: Some("ann@example.com".into()), ..Profile::default() },
        groups: Difference { groups: vec!["staff".into()], ..Difference::default() },
        terms: SessionTerms { lifetime: 1000, idle: 100, remember: false },
        at: NOW,
    })
}

impl Provider {
    /// Answers a request whose person need not be asked.
    fn answered(&self, config: &Config, admission: &Admission, sealed: &str, origin: Origin) -> Result<Url, Refused> {
        match self.answer(config, admission, sealed, origin)? {
            Reply::Code { to, .. } => Ok(to),
            other => panic!("{other:?}"),
        }
    }
}

impl Op {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let provider = Provider::new(keys(), Arc::clone(&clock) as Arc<dyn Clock>);
        Self { provider, clock, config: PARSED.clone() }
    }

    fn authorize(&self, more: Pairs<'_>) -> Asked {
        self.provider.authorize(&self.config, "default", &with(&ASKED, more))
    }

    /// The code of a login that ended in yes.
    fn code(&self, more: Pairs<'_>) -> String {
        let Asked::Login(request) = self.authorize(more) else { panic!("not taken") };
        let sealed = self.provider.seal(&request).unwrap();
        let to = self.provider.answered(&self.config, &admission(&request.application), &sealed, origin()).unwrap();
        let query: BTreeMap<_, _> = to.query_pairs().into_owned().collect();
        assert_eq!((query["state"].as_str(), query["iss"].as_str()), ("s-1", "https://login.example.com"));
        query["code"].clone()
    }

    fn userinfo(&self, authorization: &str) -> Result<Value, UserinfoError> {
        self.provider.userinfo(&self.config, "default", &presented(authorization), &|_| true)
    }

    fn token(&self, code: &str, more: Pairs<'_>) -> Result<Value, TokenError> {
        self.token_from(None, code, more)
    }

    fn token_from(&self, address: Option<IpAddr>, code: &str, more: Pairs<'_>) -> Result<Value, TokenError> {
        let mut fields = with(&REDEEMED, more);
        fields.push(("code".into(), code.into()));
        self.provider.token(
            &self.config,
            "default",
            &TokenRequest { fields, address, ..TokenRequest::default() },
            &|_| true,
        )
    }
}

fn change(config: &mut Config, id: &str, change: impl FnOnce(&mut config::OidcClient)) {
    let HandOver::Oidc(client) = &mut config.applications.get_mut(id).unwrap().hand_over else { panic!("{id}") };
    change(client);
}

fn origin() -> Origin {
    Origin { sid: "sid-1".into(), upstream: "main".into(), ..Origin::default() }
}

fn payload(jwt: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

const RENEWING: [(&str, &str); 1] = [("client_id", "renewing")];

impl Op {
    /// Refreshes; `lives` says whether the session does.
    fn refresh(&self, token: &str, more: Pairs<'_>, lives: bool) -> Result<Value, TokenError> {
        let base = [
            ("grant_type", "refresh_token"),
            ("client_id", "renewing"),
            ("client_secret", "the-secret-of-web"),
            ("refresh_token", token),
        ];
        let request = TokenRequest { fields: with(&base, more), ..TokenRequest::default() };
        self.provider.token(&self.config, "default", &request, &move |_| lives)
    }

    fn renewing(&self) -> Value {
        self.token(&self.code(&RENEWING), &RENEWING).unwrap()
    }

    fn about(&self, about: About, token: &str, more: Pairs<'_>) -> Result<Value, TokenError> {
        let base = [("client_id", "renewing"), ("client_secret", "the-secret-of-web"), ("token", token)];
        let request = TokenRequest { fields: with(&base, more), ..TokenRequest::default() };
        self.provider.about(&self.config, "default", about, &request, &|_| true)
    }
}

fn text<'v>(tokens: &'v Value, name: &str) -> &'v str {
    tokens[name].as_str().unwrap()
}

const fn presented(authorization: &str) -> Presented<'_> {
    Presented { method: "GET", authorization: Some(authorization), proofs: &[] }
}

fn bearer(tokens: &Value) -> String {
    format!("Bearer {}", text(tokens, "access_token"))
}

/// A configuration whose clients of the organization `default` are registered in `folder`, for `renewing`.
fn registering(folder: &Path) -> Config {
    let mut config = PARSED.clone();
    let settings = config::Organization {
        client_application: "renewing".into(),
        clients_file: folder.join("clients.json"),
        admin_tokens: vec![sha256(&[b"token"])],
    };
    config.organizations.insert("default".into(), settings);
    config
}

impl Op {
    fn register(&self, body: &Value) -> Value {
        let new = self.provider.newcomer(&self.config, "default", body.to_string().as_bytes()).unwrap();
        self.provider.register(&self.config, "default", new).unwrap()
    }
}
