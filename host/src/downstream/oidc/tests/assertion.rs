//! Clients that prove themselves with a key, and those who pretend to.

use serde_json::json;

use super::{super::assertion::ASSERTION_TYPE, signer::Signer, *};
use crate::{config::ClientMethod, jose::KeySet};

const ISSUER: &str = "https://login.example.com";

/// The application `renewing`, which now has `key` in place of its secret.
struct Keyed {
    op: Op,
    key: Signer,
}

impl Keyed {
    fn new() -> Self {
        let key = Signer::new("k-1");
        let mut op = Op::new();
        let keys = KeySet::from_text(&json!({ "keys": [key.jwk] }).to_string()).unwrap();
        change(&mut op.config, "renewing", |client| {
            client.client_secret = None;
            client.methods = vec![ClientMethod::PrivateKeyJwt];
            client.keys = keys;
        });
        Self { op, key }
    }

    fn claims(jti: &str, more: Value) -> Value {
        let mut claims = json!({
            "iss": "renewing", "sub": "renewing", "aud": ISSUER, "jti": jti, "iat": NOW, "exp": NOW + 60,
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn assertion(&self, jti: &str, more: Value) -> String {
        self.key.sign(&json!({ "alg": "ES256", "kid": "k-1", "typ": "JWT" }), &Self::claims(jti, more))
    }

    /// Asks about a token: whoever is let in hears that it is not active.
    fn asks(&self, assertion: &str, more: Pairs<'_>) -> bool {
        let base = [("token", "x"), ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
        let request = TokenRequest { fields: with(&base, more), ..TokenRequest::default() };
        let told = self.op.provider.about(&self.op.config, "default", About::Introspect, &request, &|_| true);
        assert!(told.is_ok() || told == Err(TokenError::InvalidClient), "{told:?}");
        told.is_ok()
    }
}

#[test]
fn a_client_with_a_key_gets_tokens_and_needs_no_secret() {
    let keyed = Keyed::new();
    let code = keyed.op.code(&RENEWING);
    let assertion = keyed.assertion("1", json!({ "aud": format!("{ISSUER}/oidc/token") }));
    let more = [
        ("client_id", ""),
        ("client_secret", ""),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &assertion),
    ];
    let tokens = keyed.op.token(&code, &more).unwrap();
    assert_eq!(payload(text(&tokens, "id_token"))["aud"], "renewing");
    assert!(keyed.asks(&keyed.assertion("2", json!({})), &[]));
    assert!(keyed.asks(&keyed.assertion("3", json!({ "aud": [ISSUER, format!("{ISSUER}/oidc/token")] })), &[]));
    assert!(keyed.asks(&keyed.assertion("4", json!({})), &[("client_id", "renewing")]));
}

#[test]
fn a45_an_assertion_is_used_once_at_whatever_endpoint() {
    let keyed = Keyed::new();
    let assertion = keyed.assertion("1", json!({}));
    assert!(keyed.asks(&assertion, &[]));
    assert!(!keyed.asks(&assertion, &[]), "twice at one endpoint");
    // The same id in another assertion is the same.
    assert!(!keyed.asks(&keyed.assertion("1", json!({ "exp": NOW + 30 })), &[]));
    let fields =
        |more: Pairs<'_>| with(&[("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &assertion)], more);
    let request = |more: Pairs<'_>| TokenRequest { fields: fields(more), ..TokenRequest::default() };
    let (op, code) = (&keyed.op, keyed.op.code(&RENEWING));
    let token = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", "https://web.example.com/cb"),
        ("code_verifier", VERIFIER),
    ];
    let lives = |_: &Origin| true;
    assert_eq!(
        op.provider.token(&op.config, "default", &request(&token), &lives),
        Err(TokenError::InvalidClient),
        "at the token endpoint"
    );
    assert_eq!(
        op.provider.about(&op.config, "default", About::Revoke, &request(&[("token", "x")]), &lives),
        Err(TokenError::InvalidClient),
        "at the revocation endpoint"
    );
    // Until the very end of its life, and then it is too old.
    op.clock.advance(59);
    assert!(!keyed.asks(&assertion, &[]));
    op.clock.advance(1);
    assert!(!keyed.asks(&assertion, &[]));
}

#[test]
fn a45_what_is_wrong_does_not_use_the_id() {
    let keyed = Keyed::new();
    let stranger = Signer::new("k-1");
    let header = json!({ "alg": "ES256", "kid": "k-1" });
    assert!(!keyed.asks(&stranger.sign(&header, &Keyed::claims("1", json!({}))), &[]));
    assert!(!keyed.asks(&keyed.assertion("1", json!({ "aud": "https://elsewhere.example" })), &[]));
    assert!(keyed.asks(&keyed.assertion("1", json!({})), &[]), "nobody can use it up for the client");
}

#[test]
fn a35_to_a39_an_assertion_proves_the_client_to_us_now_and_nothing_else() {
    let keyed = Keyed::new();
    for (number, more) in [
        json!({ "iss": "web" }),
        json!({ "sub": "web" }),
        json!({ "iss": null }),
        json!({ "sub": null }),
        json!({ "iss": "https://login.example.com" }),
        json!({ "aud": null }),
        json!({ "aud": "renewing" }),
        json!({ "aud": "https://login.example.com/" }),
        json!({ "aud": "https://login.example.com/acme" }),
        json!({ "aud": "https://login.example.com/oidc/token/" }),
        json!({ "aud": [] }),
        json!({ "aud": [ISSUER, "https://elsewhere.example"] }),
        json!({ "aud": { "a": ISSUER } }),
        json!({ "exp": null }),
        json!({ "exp": "never" }),
        json!({ "exp": (NOW + 60).to_string() }),
        json!({ "exp": 1e300 }),
        json!({ "exp": NOW }),
        json!({ "exp": NOW - 1 }),
        json!({ "exp": -1 }),
        json!({ "exp": NOW + 3661 }),
        json!({ "exp": u64::MAX }),
        json!({ "iat": NOW + 61 }),
        json!({ "iat": "now" }),
        json!({ "nbf": NOW + 61 }),
        json!({ "nbf": "99999999999" }),
        json!({ "jti": null }),
        json!({ "jti": "" }),
        json!({ "jti": 7 }),
        json!({ "jti": "x".repeat(257) }),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(!keyed.asks(&keyed.assertion(&number.to_string(), more.clone()), &[]), "{more}");
        // Enough wrong ones are not answered any more.
        keyed.op.provider.guesses.forget();
    }
    assert!(keyed.asks(&keyed.assertion("good", json!({ "exp": NOW + 3600, "nbf": NOW, "iat": NOW + 60 })), &[]));
}

#[test]
fn a36_the_header_of_an_assertion_chooses_no_key_and_no_algorithm() {
    let keyed = Keyed::new();
    let claims = |jti: &str| Keyed::claims(jti, json!({}));
    let stranger = Signer::new("k-1");
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256", "kid": "k-1" }),
        json!({ "alg": "ES384", "kid": "k-1" }),
        json!({ "alg": "RS256", "kid": "k-1" }),
        json!({ "alg": "ES256", "kid": "k-2" }),
        json!({ "alg": "ES256", "kid": "k-1", "typ": "dpop+jwt" }),
        json!({ "alg": "ES256", "kid": "k-1", "typ": "at+jwt" }),
        json!({ "alg": "ES256", "kid": "k-1", "crit": ["exp"] }),
    ] {
        assert!(!keyed.asks(&keyed.key.sign(&header, &claims("1")), &[]), "{header}");
    }
    // A key of one's own in the header, or an address of it, is not looked at.
    for header in [
        json!({ "alg": "ES256", "kid": "k-1", "jwk": stranger.jwk }),
        json!({ "alg": "ES256", "jwk": stranger.jwk }),
        json!({ "alg": "ES256", "kid": "k-1", "jku": "https://evil.example/jwks" }),
    ] {
        assert!(!keyed.asks(&stranger.sign(&header, &claims("1")), &[]), "{header}");
    }
    let unsigned = keyed.assertion("1", json!({}));
    let (signed, _) = unsigned.rsplit_once('.').unwrap();
    for text in [format!("{signed}."), signed.to_owned(), format!("{signed}.AAAA"), String::new()] {
        assert!(!keyed.asks(&text, &[]), "{text}");
    }
    assert!(keyed.asks(&keyed.key.sign(&json!({ "alg": "ES256" }), &claims("1")), &[]), "one key needs no name");
}

#[test]
fn an_assertion_is_of_the_client_that_the_form_names() {
    let keyed = Keyed::new();
    for more in [
        &[("client_id", "web")][..],
        &[("client_id", "RENEWING")],
        &[("client_secret", "the-secret-of-web")],
        &[("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")],
        &[("client_assertion_type", "")],
        &[("client_assertion", "")],
    ] {
        assert!(!keyed.asks(&keyed.assertion("1", json!({})), more), "{more:?}");
    }
}

#[test]
fn a_client_proves_itself_in_no_other_way_than_it_is_registered_for() {
    use ClientMethod::{ClientSecretBasic, ClientSecretPost, PrivateKeyJwt};

    let secret = "the-secret-of-web";
    let basic = |id: &str| {
        let header = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        TokenRequest {
            fields: owned(&[("token", "x")]),
            authorization: Some(format!("Basic {header}")),
            ..TokenRequest::default()
        }
    };
    let post = |id: &str| TokenRequest {
        fields: owned(&[("token", "x"), ("client_id", id), ("client_secret", secret)]),
        ..TokenRequest::default()
    };
    let nothing =
        |id: &str| TokenRequest { fields: owned(&[("token", "x"), ("client_id", id)]), ..TokenRequest::default() };
    let asked = |config: &Config, request: &TokenRequest| {
        Op::new().provider.about(config, "default", About::Revoke, request, &|_| true).is_ok()
    };
    let tried = |config: &Config| [basic("web"), post("web"), nothing("web")].map(|request| asked(config, &request));
    // Configured with a secret alone: both ways.
    let mut config = PARSED.clone();
    assert_eq!(tried(&config), [true, true, false]);
    for (methods, expected) in [
        (vec![ClientSecretBasic], [true, false, false]),
        (vec![ClientSecretPost], [false, true, false]),
        (vec![PrivateKeyJwt], [false; 3]),
        (vec![ClientMethod::None], [false; 3]),
        (vec![], [false; 3]),
    ] {
        change(&mut config, "web", |client| client.methods = methods);
        assert_eq!(tried(&config), expected);
    }
    // Of a public client, a secret is refused wherever it stands.
    assert_eq!(
        [basic("spa"), post("spa"), nothing("spa")].map(|request| asked(&PARSED, &request)),
        [false, false, true]
    );
}

#[test]
fn a_registered_client_is_held_to_its_way_and_to_its_keys() {
    let mut op = Op::new();
    let folder = tempfile::tempdir().unwrap();
    let settings = config::Organization {
        client_application: "renewing".into(),
        clients_file: folder.path().join("clients.json"),
        admin_tokens: vec![sha256(&[b"token"])],
    };
    op.config.organizations.insert("default".into(), settings);
    let (key, stranger) = (Signer::new("k-1"), Signer::new("k-1"));
    let register = |id: &str, more: Value| {
        let mut body = json!({ "client_id": id, "redirect_uris": ["https://web.example.com/cb"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let new = op.provider.newcomer(&op.config, "default", body.to_string().as_bytes());
        new.and_then(|new| op.provider.register(&op.config, "default", new)).map_err(|error| error.to_string())
    };
    let told = register("posts", json!({ "token_endpoint_auth_method": "client_secret_post" })).unwrap();
    let secret = told["client_secret"].as_str().unwrap();
    let asks = |fields: Pairs<'_>, header: Option<String>| {
        let request = TokenRequest { fields: owned(fields), authorization: header, ..TokenRequest::default() };
        op.provider.about(&op.config, "default", About::Introspect, &request, &|_| true).is_ok()
    };
    assert!(asks(&[("token", "x"), ("client_id", "posts"), ("client_secret", secret)], None));
    let header = base64::engine::general_purpose::STANDARD.encode(format!("posts:{secret}"));
    assert!(!asks(&[("token", "x")], Some(format!("Basic {header}"))), "registered for the body");

    let keys = json!({ "keys": [key.jwk] });
    let told = register("keyed", json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": keys })).unwrap();
    assert!(told.get("client_secret").is_none(), "{told}");
    assert_eq!(told["jwks"], keys);
    let claims = |jti: &str| Keyed::claims(jti, json!({ "iss": "keyed", "sub": "keyed" }));
    let header = json!({ "alg": "ES256", "kid": "k-1" });
    let proves = |assertion: &str| {
        asks(&[("token", "x"), ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)], None)
    };
    assert!(proves(&key.sign(&header, &claims("1"))));
    assert!(!proves(&key.sign(&header, &claims("1"))), "used");
    assert!(!proves(&stranger.sign(&header, &claims("2"))));
    assert!(!asks(&[("token", "x"), ("client_id", "keyed")], None), "nothing is no proof");
    assert!(!asks(&[("token", "x"), ("client_id", "keyed"), ("client_secret", "")], None));

    let mut private = key.jwk.clone();
    private["d"] = json!("AQAB");
    for (more, field) in [
        (json!({ "token_endpoint_auth_method": "private_key_jwt" }), "jwks"),
        (json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [] } }), "jwks"),
        (json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [key.jwk, private] } }), "jwks"),
        (json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": "https://rp.example/jwks" }), "jwks"),
        (json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwk }), "jwks"),
        (json!({ "token_endpoint_auth_method": "client_secret_post", "jwks": keys }), "jwks"),
        (json!({ "token_endpoint_auth_method": "client_secret_jwt" }), "token_endpoint_auth_method"),
    ] {
        let error = register("wrong", more.clone()).unwrap_err();
        assert!(error.starts_with(&format!("`{field}`")), "{more}: {error}");
    }
}
