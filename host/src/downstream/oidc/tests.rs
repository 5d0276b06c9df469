//! What relying parties and those who pretend to be one can ask of the provider.

use std::{collections::BTreeMap, net::IpAddr, path::Path, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use url::Url;

use super::{authorize::Asked, *};
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

impl Op {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        Self { provider: Provider::new(keys(), Arc::clone(&clock) as Arc<dyn Clock>), clock }
    }

    fn authorize(&self, more: Pairs<'_>) -> Asked {
        self.provider.authorize(&PARSED, &with(&ASKED, more))
    }

    /// The code of a login that ended in yes.
    fn code(&self, more: Pairs<'_>) -> String {
        let Asked::Login(request) = self.authorize(more) else { panic!("not taken") };
        let sealed = self.provider.seal(&request).unwrap();
        let to = self.provider.grant(&PARSED, &admission(&request.application), &sealed, "sid-1").unwrap();
        let query: BTreeMap<_, _> = to.query_pairs().into_owned().collect();
        assert_eq!((query["state"].as_str(), query["iss"].as_str()), ("s-1", "https://login.example.com"));
        query["code"].clone()
    }

    fn token(&self, code: &str, more: Pairs<'_>) -> Result<Value, TokenError> {
        self.token_from(None, code, more)
    }

    fn token_from(&self, address: Option<IpAddr>, code: &str, more: Pairs<'_>) -> Result<Value, TokenError> {
        let mut fields = with(&REDEEMED, more);
        fields.push(("code".into(), code.into()));
        self.provider.token(&PARSED, &TokenRequest { fields, authorization: None, address })
    }
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
    let told = op.provider.userinfo(Some(&bearer)).unwrap();
    assert_eq!((told["sub"].clone(), told["email"].as_str()), (id["sub"].clone(), Some("ann@example.com")));
    // An ID token opens nothing.
    let wrong = format!("Bearer {}", tokens["id_token"].as_str().unwrap());
    assert_eq!(op.provider.userinfo(Some(&wrong)), Err(UserinfoError::InvalidToken));
    op.clock.advance(600);
    assert_eq!(op.provider.userinfo(Some(&bearer)), Err(UserinfoError::InvalidToken));
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
    assert!(matches!(op.provider.authorize(&PARSED, &twice), Asked::Refused(_)));
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
    assert_eq!(op.provider.userinfo(Some(&bearer)), Err(UserinfoError::InvalidToken), "revoked with it");
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
    assert_eq!(op.provider.token(&PARSED, &repeated), Err(TokenError::InvalidRequest));
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
    assert_eq!(op.provider.grant(&PARSED, &admission("spa"), &sealed, "sid").unwrap_err().code, "wrong-application");
    assert!(op.provider.grant(&PARSED, &admission("web"), &sealed[..sealed.len() - 1], "sid").is_err());
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
    let farewell = |pairs: Pairs<'_>| op.provider.farewell(&PARSED, &owned(pairs));
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
