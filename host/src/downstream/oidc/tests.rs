//! What relying parties and those who pretend to be one can ask of the provider.

mod assertion;
mod consent;
mod dpop;
mod pushed;
mod signer;

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

#[test]
fn a_code_becomes_tokens_that_say_who_it_is_and_for_whom() {
    let op = Op::new();
    let tokens = op.token(&op.code(&[]), &[]).unwrap();
    let id = payload(tokens["id_token"].as_str().unwrap());
    assert_eq!((id["iss"].as_str(), id["aud"].as_str()), (Some("https://login.example.com"), Some("web")));
    assert_eq!(
        (id["nonce"].as_str(), id["sid"].as_str(), id["acr"].as_str()),
        (Some("n-1"), Some("sid-1"), Some("mfa"))
    );
    assert_eq!((id["auth_time"].as_u64(), id["groups"][0].as_str()), (Some(NOW - 5), Some("staff")));
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let told = op.userinfo(&bearer).unwrap();
    assert_eq!((told["sub"].clone(), told["email"].as_str()), (id["sub"].clone(), Some("ann@example.com")));
    // An ID token opens nothing.
    let wrong = format!("Bearer {}", tokens["id_token"].as_str().unwrap());
    assert_eq!(op.userinfo(&wrong), Err(UserinfoError::InvalidToken { dpop: false }));
    op.clock.advance(600);
    assert_eq!(op.userinfo(&bearer), Err(UserinfoError::InvalidToken { dpop: false }));
}

#[test]
fn a05_to_a07_a10_nobody_is_redirected_to_what_is_not_registered_byte_for_byte() {
    let op = Op::new();
    for uri in [
        "https://web.example.com/cb/",
        "https://web.example.com/cb#",
        "https://web.example.com/cb?",
        "https://web.example.com/CB",
        "https://WEB.example.com/cb",
        "https://web.example.com:443/cb",
        "https://web.example.com/cb/../cb",
        "https://webaexample.com/cb",
        "https://web.example.com.evil.com/cb",
        "https://a@b@evil.com/",
        "https://web.example.com@evil.com/cb",
        "https://user@web.example.com/cb",
        "http://web.example.com/cb",
        "//evil.com",
        "/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://spa.example.com/cb",
        "https://web.example.com/cb?tenant=2",
        " https://web.example.com/cb",
    ] {
        assert!(matches!(op.authorize(&[("redirect_uri", uri)]), Asked::Refused(_)), "{uri}");
    }
    assert!(matches!(op.authorize(&[("redirect_uri", "https://web.example.com/cb?tenant=1")]), Asked::Login(_)));
    let mut twice = owned(&ASKED);
    twice.push(("redirect_uri".into(), "https://evil.com/".into()));
    assert!(matches!(op.provider.authorize(&PARSED, "default", &twice), Asked::Refused(_)));
}

#[test]
fn a42_pkce_with_s256_is_required_of_public_clients_and_cannot_be_taken_out() {
    let op = Op::new();
    let spa: Pairs<'_> = &[("client_id", "spa"), ("redirect_uri", "https://spa.example.com/cb")];
    let error = |more: Pairs<'_>| match op.authorize(&[spa, more].concat()) {
        Asked::Redirect(to) => to.query_pairs().find(|(name, _)| name == "error").unwrap().1.into_owned(),
        other => panic!("{more:?}: {other:?}"),
    };
    assert!(matches!(op.authorize(spa), Asked::Login(_)));
    for more in [
        &[("code_challenge", ""), ("code_challenge_method", "")][..],
        &[("code_challenge_method", "plain")],
        &[("code_challenge_method", "")],
        &[("code_challenge", "short")],
        &[("code_challenge", "")],
    ] {
        assert_eq!(error(more), "invalid_request", "{more:?}");
    }
    let public: Pairs<'_> =
        &[("client_id", "spa"), ("redirect_uri", "https://spa.example.com/cb"), ("client_secret", "")];
    // A secret that the client does not have, and a verifier that is missing or wrong.
    for more in [&[("client_secret", "random")][..], &[("code_verifier", "")], &[("code_verifier", &VERIFIER[1..])]] {
        let code = op.code(spa);
        let fields: Vec<(&str, &str)> = public
            .iter()
            .filter(|(name, _)| !more.iter().any(|(other, _)| other == name))
            .chain(more)
            .copied()
            .collect();
        assert!(op.token(&code, &fields).is_err(), "{more:?}");
    }
    assert!(op.token(&op.code(spa), public).is_ok());
    // A verifier for a code that was asked for without a challenge hints at one that was cut out.
    let code = op.code(&[("code_challenge", ""), ("code_challenge_method", "")]);
    assert_eq!(op.token(&code, &[]), Err(TokenError::InvalidGrant));
}

#[test]
fn a43_a_code_is_for_one_client_one_address_and_one_minute() {
    let op = Op::new();
    let public: Pairs<'_> =
        &[("client_id", "spa"), ("redirect_uri", "https://spa.example.com/cb"), ("client_secret", "")];
    assert_eq!(op.token(&op.code(&[]), public), Err(TokenError::InvalidGrant), "another client's");
    let elsewhere = [("redirect_uri", "https://web.example.com/cb?tenant=1")];
    assert_eq!(op.token(&op.code(&[]), &elsewhere), Err(TokenError::InvalidGrant), "another address");
    assert_eq!(op.token("guessed", &[]), Err(TokenError::InvalidGrant));
    let code = op.code(&[]);
    op.clock.advance(60);
    assert_eq!(op.token(&code, &[]), Err(TokenError::InvalidGrant), "too old");
    let code = op.code(&[]);
    let tokens = op.token(&code, &[]).unwrap();
    assert_eq!(op.token(&code, &[]), Err(TokenError::InvalidGrant), "spent");
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    assert_eq!(op.userinfo(&bearer), Err(UserinfoError::InvalidToken { dpop: false }), "revoked with it");
}

#[test]
fn a_code_is_given_to_nobody_who_does_not_prove_who_it_is() {
    let op = Op::new();
    for more in [
        &[("client_secret", "wrong")][..],
        &[("client_secret", "")],
        &[("client_id", "nobody")],
        &[("client_id", "")],
        &[("client_id", "WEB")],
    ] {
        assert_eq!(op.token(&op.code(&[]), more), Err(TokenError::InvalidClient), "{more:?}");
    }
    assert_eq!(op.token(&op.code(&[]), &[("grant_type", "password")]), Err(TokenError::UnsupportedGrantType));
    assert_eq!(op.token(&op.code(&[]), &[("grant_type", "")]), Err(TokenError::InvalidRequest));
    let mut fields = owned(&REDEEMED);
    let code = op.code(&[]);
    fields.extend([("code".to_owned(), code.clone()), ("code".to_owned(), code)]);
    let repeated = TokenRequest { fields, ..TokenRequest::default() };
    assert_eq!(op.provider.token(&PARSED, "default", &repeated, &|_| true), Err(TokenError::InvalidRequest));
}

#[test]
fn who_guesses_secrets_is_not_answered_any_more_and_others_are() {
    let op = Op::new();
    let [guesser, other]: [Option<IpAddr>; 2] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().ok());
    for guess in 0..20 {
        let wrong = format!("guess-{guess}");
        assert!(op.token_from(guesser, "x", &[("client_secret", &wrong)]).is_err());
    }
    let code = op.code(&[]);
    assert_eq!(op.token_from(guesser, &code, &[]), Err(TokenError::InvalidClient), "even the right one");
    assert!(op.token_from(other, &code, &[]).is_ok(), "the relying party itself goes on");
    op.clock.advance(60);
    assert!(op.token_from(guesser, &op.code(&[]), &[]).is_ok());
}

#[test]
fn an_admission_for_one_application_is_no_code_for_another() {
    let op = Op::new();
    let Asked::Login(request) = op.authorize(&[]) else { panic!("not taken") };
    let sealed = op.provider.seal(&request).unwrap();
    assert_eq!(
        op.provider.answered(&PARSED, &admission("spa"), &sealed, origin()).unwrap_err().code,
        "wrong-application"
    );
    assert!(op.provider.answered(&PARSED, &admission("web"), &sealed[..sealed.len() - 1], origin()).is_err());
    assert!(op.provider.refuse(&PARSED, "nonsense", "policy-denied").is_err());
}

#[test]
fn a_request_that_is_wrong_is_told_to_the_relying_party_with_its_state() {
    let op = Op::new();
    for (more, error) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("response_type", "code id_token")], "unsupported_response_type"),
        (&[("response_mode", "form_post")], "invalid_request"),
        (&[("scope", "email")], "invalid_scope"),
        (&[("request", "eyJ")], "request_not_supported"),
        (&[("request_uri", "https://evil.com/")], "request_uri_not_supported"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
    ] {
        let Asked::Redirect(to) = op.authorize(more) else { panic!("{more:?}") };
        let query: BTreeMap<_, _> = to.query_pairs().into_owned().collect();
        assert_eq!((query["error"].as_str(), query["state"].as_str()), (error, "s-1"), "{more:?}");
        assert_eq!(query["iss"], "https://login.example.com");
        assert!(to.as_str().starts_with("https://web.example.com/cb?"));
    }
}

#[test]
fn a_logout_is_believed_only_with_a_token_of_ours_and_ends_at_a_registered_address() {
    let op = Op::new();
    let tokens = op.token(&op.code(&[]), &[]).unwrap();
    let hint = tokens["id_token"].as_str().unwrap();
    let farewell = |pairs: Pairs<'_>| op.provider.farewell(&PARSED, "default", &owned(pairs));
    let bye = "https://web.example.com/bye";
    op.clock.advance(100_000);
    let told = farewell(&[("id_token_hint", hint), ("post_logout_redirect_uri", bye), ("state", "a&b")]).unwrap();
    assert_eq!((told.application.as_deref(), told.sid.as_deref()), (Some("web"), Some("sid-1")), "however old");
    assert_eq!(told.target.as_ref().map(Url::as_str), Some("https://web.example.com/bye?state=a%26b"));
    let named = farewell(&[("client_id", "web"), ("post_logout_redirect_uri", bye)]).unwrap();
    assert_eq!(named.sid, None, "a name proves nothing");
    let access = tokens["access_token"].as_str().unwrap();
    for pairs in [
        &[("id_token_hint", "eyJhbGciOiJub25lIn0.e30.")][..],
        &[("id_token_hint", access)],
        &[("id_token_hint", &hint[..hint.len() - 2])],
        &[("id_token_hint", hint), ("client_id", "spa")],
        &[("post_logout_redirect_uri", bye)],
        &[("client_id", "web"), ("post_logout_redirect_uri", "https://evil.com/")],
        &[("client_id", "web"), ("post_logout_redirect_uri", "https://web.example.com/bye/")],
        &[("client_id", "spa"), ("post_logout_redirect_uri", bye)],
    ] {
        assert!(farewell(pairs).is_err(), "{pairs:?}");
    }
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

#[test]
fn a_refresh_token_is_renewed_with_each_use_and_only_for_clients_that_are_to_have_one() {
    let op = Op::new();
    let plain = op.token(&op.code(&[]), &[]).unwrap();
    assert!(plain.get("refresh_token").is_none(), "not configured");
    assert_eq!(
        op.refresh("x", &[("client_id", "web")], true),
        Err(TokenError::UnauthorizedClient),
        "and then none is taken"
    );

    let first = op.renewing();
    op.clock.advance(30);
    let second = op.refresh(text(&first, "refresh_token"), &[], true).unwrap();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let (before, after) = (payload(text(&first, "id_token")), payload(text(&second, "id_token")));
    for claim in ["iss", "sub", "aud", "auth_time", "sid", "groups"] {
        assert_eq!(before[claim], after[claim], "{claim}");
    }
    assert!(after.get("nonce").is_none(), "nobody asked with one");
    assert!(op.userinfo(&bearer(&second)).is_ok());

    // The first one again: one of the two who have it is a thief.
    assert_eq!(op.refresh(text(&first, "refresh_token"), &[], true), Err(TokenError::InvalidGrant));
    assert_eq!(op.userinfo(&bearer(&second)), Err(UserinfoError::InvalidToken { dpop: false }));
    assert_eq!(op.refresh(text(&second, "refresh_token"), &[], true), Err(TokenError::InvalidGrant));
}

#[test]
fn a_refresh_ends_with_the_session_that_was_decided_and_with_the_one_that_it_came_from() {
    let op = Op::new();
    let first = op.renewing();
    op.clock.advance(999);
    let second = op.refresh(text(&first, "refresh_token"), &[], true).unwrap();
    op.clock.advance(1);
    assert_eq!(op.refresh(text(&second, "refresh_token"), &[], true), Err(TokenError::InvalidGrant), "1000 seconds");

    let op = Op::new();
    let tokens = op.renewing();
    assert_eq!(op.refresh(text(&tokens, "refresh_token"), &[], false), Err(TokenError::InvalidGrant), "logged out");
    let after = op.provider.userinfo(&PARSED, "default", &presented(&bearer(&op.renewing())), &|_| false);
    assert_eq!(after, Err(UserinfoError::InvalidToken { dpop: false }));
}

#[test]
fn a_refresh_may_ask_for_less_and_never_for_more() {
    let op = Op::new();
    let tokens = op.renewing();
    let more = op.refresh(text(&tokens, "refresh_token"), &[("scope", "openid email groups profile")], true);
    assert_eq!(more, Err(TokenError::InvalidScope));
    let fewer = op.refresh(text(&tokens, "refresh_token"), &[("scope", "openid email")], true).unwrap();
    assert_eq!(fewer["scope"], "openid email");
    let told = op.userinfo(&bearer(&fewer)).unwrap();
    assert!(told.get("groups").is_none() && told.get("email").is_some(), "{told}");
    assert!(payload(text(&fewer, "id_token")).get("groups").is_none());
    // The refresh token itself has what was granted.
    let whole = op.refresh(text(&fewer, "refresh_token"), &[], true).unwrap();
    assert_eq!(whole["scope"], "openid email groups");
}

#[test]
fn a47_no_grant_brings_an_identity_from_an_upstream_that_the_application_may_not_use() {
    let op = Op::new();
    let elsewhere = |code: &str| {
        let Asked::Login(request) = op.authorize(&RENEWING) else { panic!("not taken") };
        let sealed = op.provider.seal(&request).unwrap();
        let origin = Origin { upstream: code.into(), ..origin() };
        let to = op.provider.answered(&PARSED, &admission("renewing"), &sealed, origin).unwrap();
        to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    };
    assert_eq!(op.token(&elsewhere("taken-out"), &RENEWING), Err(TokenError::InvalidGrant), "a code");
    assert!(op.token(&elsewhere("main"), &RENEWING).is_ok());

    // Granted while it was allowed, then taken out of the configuration.
    let tokens = op.renewing();
    let mut config = PARSED.clone();
    config.applications.get_mut("renewing").unwrap().upstreams.clear();
    let fields = with(
        &[("grant_type", "refresh_token"), ("client_id", "renewing"), ("client_secret", "the-secret-of-web")],
        &[("refresh_token", text(&tokens, "refresh_token"))],
    );
    let request = TokenRequest { fields, ..TokenRequest::default() };
    assert_eq!(op.provider.token(&config, "default", &request, &|_| true), Err(TokenError::InvalidGrant));
    let told = op.provider.userinfo(&config, "default", &presented(&bearer(&op.renewing())), &|_| true);
    assert_eq!(told, Err(UserinfoError::InvalidToken { dpop: false }));
}

#[test]
fn a_relying_party_can_ask_about_its_own_tokens_and_take_them_back() {
    let op = Op::new();
    let tokens = op.renewing();
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let told = op.about(About::Introspect, access, &[]).unwrap();
    assert_eq!((told["active"].as_bool(), told["client_id"].as_str()), (Some(true), Some("renewing")));
    assert_eq!((told["scope"].as_str(), told["token_type"].as_str()), (Some("openid email groups"), Some("Bearer")));
    assert_eq!(op.about(About::Introspect, refresh, &[]).unwrap()["active"], true);

    let inactive = serde_json::json!({ "active": false });
    for token in ["", "x", text(&tokens, "id_token")] {
        assert_eq!(op.about(About::Introspect, token, &[]).ok().unwrap_or(inactive.clone()), inactive, "{token}");
    }
    assert_eq!(op.about(About::Introspect, access, &[("client_id", "web")]), Ok(inactive.clone()), "another's");
    let public = [("client_id", "spa"), ("client_secret", "")];
    assert_eq!(op.about(About::Introspect, access, &public), Err(TokenError::InvalidClient));
    assert_eq!(op.about(About::Introspect, access, &[("client_secret", "guess")]), Err(TokenError::InvalidClient));
    assert_eq!(op.about(About::Revoke, access, &[("client_secret", "guess")]), Err(TokenError::InvalidClient));

    // Another's revocation changes nothing, and is told nothing.
    assert_eq!(op.about(About::Revoke, refresh, &[("client_id", "web")]), Ok(Value::Null));
    assert!(op.userinfo(&bearer(&tokens)).is_ok());
    assert_eq!(op.about(About::Revoke, refresh, &[]), Ok(Value::Null));
    assert_eq!(op.about(About::Introspect, access, &[]), Ok(inactive.clone()), "what came with it, too");
    assert_eq!(op.userinfo(&bearer(&tokens)), Err(UserinfoError::InvalidToken { dpop: false }));
    assert_eq!(op.refresh(refresh, &[], true), Err(TokenError::InvalidGrant));
}

#[test]
fn an_organization_is_an_issuer_of_its_own() {
    let op = Op::new();
    let told = op.provider.discovery(&PARSED, "acme");
    assert_eq!(told["issuer"], "https://login.example.com/acme");
    for (name, value) in told.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint")) {
        assert!(value.as_str().unwrap().starts_with("https://login.example.com/acme/oidc/"), "{name}");
    }
    assert!(is_organization(&PARSED, "acme") && !is_organization(&PARSED, "elsewhere"));

    let in_acme = |organization: &str| {
        let Asked::Login(request) = op.provider.authorize(&PARSED, "acme", &owned(&ASKED)) else { panic!("not taken") };
        assert_eq!(request.application, "acme-web");
        let sealed = op.provider.seal(&request).unwrap();
        let admission = |tenant: &str| {
            let admitted = admission("acme-web");
            Admission::assertion(Admitted { tenant: tenant.into(), ..Admitted::clone(&admitted) })
        };
        let wrong = op.provider.answered(&PARSED, &admission("default"), &sealed, origin());
        assert_eq!(wrong.unwrap_err().code, "wrong-application", "admitted in another organization");
        let to = op.provider.answered(&PARSED, &admission("acme"), &sealed, origin()).unwrap();
        let query: BTreeMap<_, _> = to.query_pairs().into_owned().collect();
        assert_eq!(query["iss"], "https://login.example.com/acme");
        let mut fields = owned(&REDEEMED);
        fields.push(("code".into(), query["code"].clone()));
        let request = TokenRequest { fields, ..TokenRequest::default() };
        op.provider.token(&PARSED, organization, &request, &|_| true)
    };
    // The client of that name in another organization has the same secret, and gets nothing.
    assert_eq!(in_acme("default"), Err(TokenError::InvalidGrant));
    let tokens = in_acme("acme").unwrap();
    assert_eq!(payload(text(&tokens, "id_token"))["iss"], "https://login.example.com/acme");
    let userinfo =
        |organization: &str| op.provider.userinfo(&PARSED, organization, &presented(&bearer(&tokens)), &|_| true);
    assert!(userinfo("acme").is_ok());
    assert_eq!(userinfo("default"), Err(UserinfoError::InvalidToken { dpop: false }), "another issuer's token");
    assert_eq!(
        op.about(About::Introspect, text(&tokens, "access_token"), &[("client_id", "web")]).unwrap()["active"],
        false
    );
    let hint = [("id_token_hint", text(&tokens, "id_token"))];
    assert!(op.provider.farewell(&PARSED, "acme", &owned(&hint)).is_ok());
    assert!(op.provider.farewell(&PARSED, "default", &owned(&hint)).is_err(), "another issuer's hint");
}

#[test]
fn a_client_that_is_removed_and_registered_anew_gets_nothing_of_what_was_granted_before() {
    let op = Op::new();
    let folder = tempfile::tempdir().unwrap();
    let mut config = PARSED.clone();
    let settings = config::Organization {
        client_application: "renewing".into(),
        clients_file: folder.path().join("clients.json"),
        admin_tokens: vec![sha256(&[b"token"])],
    };
    config.organizations.insert("default".into(), settings);
    let body = br#"{"client_id":"new","redirect_uris":["https://web.example.com/cb"],
        "grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"client_secret_post"}"#;
    let register = || {
        let new = op.provider.newcomer(&config, "default", body).unwrap();
        let told = op.provider.register(&config, "default", new).unwrap();
        told["client_secret"].as_str().unwrap().to_owned()
    };
    let sealed = || {
        let asked = with(&ASKED, &[("client_id", "new")]);
        let Asked::Login(request) = op.provider.authorize(&config, "default", &asked) else { panic!("not taken") };
        op.provider.seal(&request).unwrap()
    };
    let granted = |sealed: &str| op.provider.answered(&config, &admission("renewing"), sealed, origin());
    let token = |fields: Vec<(String, String)>| {
        op.provider.token(&config, "default", &TokenRequest { fields, ..TokenRequest::default() }, &|_| true)
    };
    let fields = |secret: &str, more: Pairs<'_>| with(&[("client_id", "new"), ("client_secret", secret)], more);
    let redeem = |secret: &str, code: &str| {
        let more = [
            ("grant_type", "authorization_code"),
            ("redirect_uri", "https://web.example.com/cb"),
            ("code_verifier", VERIFIER),
            ("code", code),
        ];
        token(fields(secret, &more))
    };
    let code = |to: Url| to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();

    let first = register();
    let tokens = redeem(&first, &code(granted(&sealed()).unwrap())).unwrap();
    let unredeemed = code(granted(&sealed()).unwrap());
    let under_way = sealed();
    op.provider.unregister(&config, "default", "new").unwrap();
    assert_eq!(granted(&under_way).unwrap_err().code, "unknown-client", "removed during the login");
    assert!(op.provider.userinfo(&config, "default", &presented(&bearer(&tokens)), &|_| true).is_err());
    let second = register();
    assert_ne!(first, second);
    assert_eq!(redeem(&first, &unredeemed), Err(TokenError::InvalidClient));
    assert_eq!(redeem(&second, &unredeemed), Err(TokenError::InvalidGrant));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(token(fields(&second, &refresh)), Err(TokenError::InvalidGrant));
    assert!(op.provider.userinfo(&config, "default", &presented(&bearer(&tokens)), &|_| true).is_err());
    assert!(redeem(&second, &code(granted(&sealed()).unwrap())).is_ok());
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

#[test]
fn a_registered_client_is_held_to_what_it_is_registered_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut op = Op::new();
    op.config = registering(folder.path());
    let [pushing, proving] = ["require_pushed_authorization_requests", "dpop_bound_access_tokens"];
    for (id, switch) in [("pushing", pushing), ("proving", proving), ("neither", "x")] {
        let mut body = json!({
            "client_id": id, "redirect_uris": ["https://web.example.com/cb"], "token_endpoint_auth_method": "none",
        });
        if switch != "x" {
            body[switch] = json!(true);
        }
        let told = op.register(&body);
        for name in [pushing, proving] {
            assert_eq!(told.get(name), (name == switch).then_some(&json!(true)), "{id} {name}");
        }
    }
    let wrong = br#"{"redirect_uris":["https://web.example.com/cb"],"require_pushed_authorization_requests":"yes"}"#;
    assert!(op.provider.newcomer(&op.config, "default", wrong).is_err());

    // And after a restart.
    for _ in 0..2 {
        let Asked::Redirect(to) = op.authorize(&[("client_id", "pushing")]) else { panic!("by a query") };
        assert!(to.as_str().contains("error=invalid_request"), "{to}");
        let fields = with(&ASKED, &[("client_id", "pushing")]);
        let pushed = TokenRequest { fields, ..TokenRequest::default() };
        let told = op.provider.push(&op.config, "default", &pushed).unwrap();
        let query = [("client_id", "pushing"), ("request_uri", text(&told, "request_uri"))];
        assert!(matches!(op.provider.authorize(&op.config, "default", &owned(&query)), Asked::Login(_)));
        assert!(matches!(op.authorize(&[("client_id", "neither")]), Asked::Login(_)));
        let own = |id| [("client_id", id), ("client_secret", "")];
        assert_eq!(op.token("x", &own("proving")), Err(TokenError::InvalidDpopProof));
        assert_eq!(op.token("x", &own("neither")), Err(TokenError::InvalidGrant));
        op.provider = Provider::new(keys(), Arc::clone(&op.clock) as Arc<dyn Clock>);
    }
}

#[test]
fn a08_a_logout_ends_at_what_a_client_registered_since_of_that_application_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut op = Op::new();
    op.config = registering(folder.path());
    let may = |op: &Op, id: &str, url: &str| {
        op.provider.may_end_at(&op.config, &op.config.applications[id], &Url::parse(url).unwrap())
    };
    let bye = "https://new.example.com/bye";
    assert!(!may(&op, "renewing", bye), "nobody registered it");
    op.register(&json!({
        "client_id": "new", "redirect_uris": ["https://new.example.com/cb"], "post_logout_redirect_uris": [bye],
    }));
    assert!(may(&op, "renewing", bye) && may(&op, "renewing", "https://new.example.com/bye?state=x%26y"));
    for url in [
        "https://new.example.com/",
        "https://new.example.com/cb",
        "https://new.example.com/bye/",
        "https://new.example.com/bye?next=https://evil.com",
        "https://new.example.com/bye?state=x&next=https://evil.com",
        "https://new.example.com.evil.com/bye",
    ] {
        assert!(!may(&op, "renewing", url), "{url}");
    }
    for id in ["web", "spa", "acme-web"] {
        assert!(!may(&op, id, bye), "{id} is not the application of registered clients");
    }
    op.provider.unregister(&op.config, "default", "new").unwrap();
    assert!(!may(&op, "renewing", bye), "gone with its client");
}

#[test]
fn a_logout_token_says_whose_session_is_over_and_can_be_taken_for_nothing_else() {
    let op = Op::new();
    let Asked::Login(request) = op.authorize(&RENEWING) else { panic!("not taken") };
    let sealed = op.provider.seal(&request).unwrap();
    let participant = op.provider.participant(&PARSED, &admission("renewing"), &sealed, &origin()).unwrap();
    assert_eq!(op.provider.logout_token(&PARSED, &participant).unwrap().map(|_| ()), None, "it wants to hear nothing");

    let mut config = PARSED.clone();
    let HandOver::Oidc(client) = &mut config.applications.get_mut("renewing").unwrap().hand_over else { panic!() };
    client.backchannel_logout_uri = Some(Url::parse("https://rp.example/backchannel").unwrap());
    let (to, token) = op.provider.logout_token(&config, &participant).unwrap().unwrap();
    assert_eq!(to.as_str(), "https://rp.example/backchannel");
    let told = keys().verify("logout+jwt", token.expose()).unwrap();
    let tokens = op.token(&op.code(&RENEWING), &RENEWING).unwrap();
    let id_token = payload(text(&tokens, "id_token"));
    for claim in ["iss", "aud", "sub", "sid"] {
        assert_eq!(told[claim], id_token[claim], "{claim}");
    }
    assert_eq!((told["iat"].as_u64(), told["exp"].as_u64()), (Some(NOW), Some(NOW + 120)));
    assert_eq!(told["events"], json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
    assert!(told.get("nonce").is_none() && told["jti"].as_str().is_some_and(|id| id.len() >= 43), "{told}");
    let (_, again) = op.provider.logout_token(&config, &participant).unwrap().unwrap();
    assert_ne!(payload(again.expose())["jti"], told["jti"], "each counts once");

    // Neither an ID token's hint nor an access token.
    let hint = [("id_token_hint".to_owned(), token.expose().clone())];
    assert_eq!(op.provider.farewell(&config, "default", &hint).unwrap_err().code, "id-token-hint-invalid");
    assert_eq!(op.userinfo(&format!("Bearer {}", token.expose())), Err(UserinfoError::InvalidToken { dpop: false }));

    // Another registration of the same id is somebody else.
    let another = |participant: &Participant| {
        let Role::RelyingParty { client_id, subject, .. } = participant.role.clone() else { panic!("{participant:?}") };
        Participant { role: Role::RelyingParty { client_id, subject, mark: Some([7; 32]) }, ..participant.clone() }
    };
    // The page that ends its session in a frame.
    assert_eq!(op.provider.front_channel_logout(&config, &participant), None);
    let HandOver::Oidc(client) = &mut config.applications.get_mut("renewing").unwrap().hand_over else { panic!() };
    client.frontchannel_logout_uri = Some(Url::parse("https://rp.example/out?a=1").unwrap());
    let frame = op.provider.front_channel_logout(&config, &participant).unwrap();
    let pairs: Vec<(String, String)> = frame.query_pairs().into_owned().collect();
    let claim = |name: &str| (name.to_owned(), id_token[name].as_str().unwrap().to_owned());
    assert_eq!(pairs, [("a".to_owned(), "1".to_owned()), claim("iss"), claim("sid")]);
    let another = another(&participant);
    assert_eq!(op.provider.front_channel_logout(&config, &another), None);
    assert!(op.provider.logout_token(&config, &another).unwrap().is_none());
}
