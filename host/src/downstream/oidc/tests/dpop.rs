//! Proof of possession (RFC 9449), and who has the token but not the key.

use super::{signer::Signer, *};

const TOKEN: &str = "https://login.example.com/oidc/token";
const PAR: &str = "https://login.example.com/oidc/par";
const USERINFO: &str = "https://login.example.com/oidc/userinfo";

/// The public client, which has refresh tokens here.
const SPA: [(&str, &str); 3] =
    [("client_id", "spa"), ("redirect_uri", "https://spa.example.com/cb"), ("client_secret", "")];

fn claims(jti: &str, method: &str, url: &str) -> Value {
    json!({ "jti": jti, "htm": method, "htu": url, "iat": NOW })
}

/// `base` with `more` in the place of what has the same name; null takes it out.
fn changed(mut base: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        base[name] = value.clone();
    }
    base.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    base
}

fn jkt(key: &Signer) -> String {
    crate::jose::thumbprint(key.jwk.as_object().unwrap()).unwrap()
}

impl Signer {
    /// A proof with these claims.
    fn proof(&self, claims: &Value) -> String {
        self.sign(&json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk }), claims)
    }

    fn proof_at_token(&self, jti: &str) -> String {
        self.proof(&claims(jti, "POST", TOKEN))
    }

    fn proof_with(&self, jti: &str, method: &str, token: &str) -> String {
        let ath = URL_SAFE_NO_PAD.encode(sha256(&[token.as_bytes()]));
        self.proof(&changed(claims(jti, method, USERINFO), &json!({ "ath": ath })))
    }
}

impl Op {
    fn renewing_spa() -> Self {
        let mut op = Self::new();
        change(&mut op.config, "spa", |client| client.refresh_tokens = true);
        op
    }

    fn ask(&self, fields: Vec<(String, String)>, proofs: &[&str]) -> Result<Value, TokenError> {
        let proofs = proofs.iter().map(|proof| (*proof).to_owned()).collect();
        let request = TokenRequest { fields, proofs, ..TokenRequest::default() };
        self.provider.token(&self.config, "default", &request, &|_| true)
    }

    fn redeem(&self, code: &str, more: Pairs<'_>, proofs: &[&str]) -> Result<Value, TokenError> {
        let mut fields = with(&REDEEMED, more);
        fields.push(("code".into(), code.into()));
        self.ask(fields, proofs)
    }

    fn renew(&self, tokens: &Value, more: Pairs<'_>, proofs: &[&str]) -> Result<Value, TokenError> {
        let base = [("grant_type", "refresh_token"), ("refresh_token", text(tokens, "refresh_token"))];
        self.ask(with(&base, more), proofs)
    }

    fn tell(&self, method: &str, scheme: &str, token: &str, proofs: &[String]) -> Result<Value, UserinfoError> {
        let authorization = format!("{scheme} {token}");
        let presented = Presented { method, authorization: Some(&authorization), proofs };
        self.provider.userinfo(&self.config, "default", &presented, &|_| true)
    }
}

#[test]
fn what_was_given_for_a_proof_is_bound_to_its_key() {
    let (op, key) = (Op::new(), Signer::new("k"));
    let tokens = op.redeem(&op.code(&[]), &[], &[&key.proof_at_token("1")]).unwrap();
    assert_eq!(tokens["token_type"], "DPoP");
    let access = text(&tokens, "access_token");
    assert_eq!(payload(access)["cnf"], json!({ "jkt": jkt(&key) }));
    assert!(payload(text(&tokens, "id_token")).get("cnf").is_none(), "an ID token is nobody's key");

    for (method, scheme) in [("GET", "DPoP"), ("POST", "dpop")] {
        let told = op.tell(method, scheme, access, &[key.proof_with(method, method, access)]).unwrap();
        assert_eq!(told["email"], "ann@example.com");
    }
    // RFC 9449 §7.2: nobody takes it for a bearer token, with or without a proof.
    let proof = key.proof_with("2", "GET", access);
    for proofs in [vec![], vec![proof.clone()]] {
        assert_eq!(op.tell("GET", "Bearer", access, &proofs), Err(UserinfoError::InvalidToken { dpop: true }));
    }
    assert!(op.tell("GET", "DPoP", access, &[proof]).is_ok(), "which used up nothing");
    // And one that is bound to nothing is nothing but a bearer token.
    let plain = op.redeem(&op.code(&[]), &[], &[]).unwrap();
    assert_eq!(plain["token_type"], "Bearer");
    let plain = text(&plain, "access_token");
    let proof = key.proof_with("3", "GET", plain);
    assert_eq!(op.tell("GET", "DPoP", plain, &[proof]), Err(UserinfoError::InvalidToken { dpop: true }));
    assert!(op.tell("GET", "Bearer", plain, &[]).is_ok());

    let renewing = op.redeem(&op.code(&RENEWING), &RENEWING, &[&key.proof_at_token("4")]).unwrap();
    let told = op.about(About::Introspect, text(&renewing, "access_token"), &[]).unwrap();
    assert_eq!((&told["token_type"], &told["cnf"]), (&json!("DPoP"), &json!({ "jkt": jkt(&key) })));
}

#[test]
fn a_stolen_token_is_nothing_without_the_key() {
    let (op, key, thief) = (Op::new(), Signer::new("k"), Signer::new("thief"));
    let tokens = op.redeem(&op.code(&[]), &[], &[&key.proof_at_token("1")]).unwrap();
    let other = op.redeem(&op.code(&[]), &[], &[&key.proof_at_token("2")]).unwrap();
    let (access, other) = (text(&tokens, "access_token"), text(&other, "access_token"));
    let good = changed(claims("3", "GET", USERINFO), &payload(&key.proof_with("3", "GET", access)));
    let wrong = |more: Value| key.proof(&changed(good.clone(), &more));
    // A proof of the key itself that was made for something else.
    for (proof, why) in [
        (key.proof_with("3", "GET", other), "for another token"),
        (wrong(json!({ "ath": null })), "for no token"),
        (wrong(json!({ "ath": access })), "for no hash of it"),
        (key.proof_at_token("3"), "for the token endpoint"),
        (wrong(json!({ "htu": TOKEN })), "for another endpoint"),
        (wrong(json!({ "htu": "https://login.example.com/acme/oidc/userinfo" })), "for another organization"),
        (wrong(json!({ "htm": "POST" })), "for another method"),
        (wrong(json!({ "htm": "get" })), "for no method"),
        (wrong(json!({ "iat": NOW - 301 })), "too old"),
        (String::new(), "none"),
    ] {
        assert_eq!(op.tell("GET", "DPoP", access, &[proof]), Err(UserinfoError::InvalidDpopProof), "{why}");
    }
    assert_eq!(op.tell("GET", "DPoP", access, &[]), Err(UserinfoError::InvalidDpopProof), "none at all");
    let pair = [key.proof_with("3", "GET", access), key.proof_with("4", "GET", access)];
    assert_eq!(op.tell("GET", "DPoP", access, &pair), Err(UserinfoError::InvalidDpopProof), "two");
    let proof = thief.proof_with("3", "GET", access);
    assert_eq!(op.tell("GET", "DPoP", access, &[proof]), Err(UserinfoError::InvalidToken { dpop: true }));
    assert!(op.tell("GET", "DPoP", access, &pair[..1]).is_ok(), "nothing of that used up the id");
}

#[test]
fn a45_a_proof_is_used_once_wherever_it_was_used_first() {
    let (op, key) = (Op::renewing_spa(), Signer::new("k"));
    let proof = key.proof_at_token("1");
    let tokens = op.redeem(&op.code(&SPA), &SPA, &[&proof]).unwrap();
    let code = op.code(&SPA);
    assert_eq!(op.redeem(&code, &SPA, &[&proof]), Err(TokenError::InvalidDpopProof), "with another code");
    assert_eq!(op.renew(&tokens, &SPA, &[&proof]), Err(TokenError::InvalidDpopProof), "with a refresh token");
    // Signed anew it is still the same proof.
    assert_eq!(op.redeem(&code, &SPA, &[&key.proof_at_token("1")]), Err(TokenError::InvalidDpopProof));
    assert!(op.redeem(&code, &SPA, &[&key.proof_at_token("2")]).is_ok(), "the code was not spent");
    assert!(op.renew(&tokens, &SPA, &[&key.proof_at_token("3")]).is_ok(), "nor the refresh token");
    let other = Signer::new("other");
    assert!(op.redeem(&op.code(&SPA), &SPA, &[&other.proof_at_token("1")]).is_ok(), "another's id is another");

    let access = text(&tokens, "access_token");
    let proof = [key.proof_with("4", "GET", access)];
    assert!(op.tell("GET", "DPoP", access, &proof).is_ok());
    assert_eq!(op.tell("GET", "DPoP", access, &proof), Err(UserinfoError::InvalidDpopProof));
    // Forgotten when it is too old to be used anyway.
    for seconds in [300, 1] {
        op.clock.advance(seconds);
        assert_eq!(op.tell("GET", "DPoP", access, &proof), Err(UserinfoError::InvalidDpopProof));
    }
}

#[test]
fn a45_who_has_neither_code_nor_token_uses_up_no_ids() {
    let (op, key) = (Op::renewing_spa(), Signer::new("k"));
    let proof = key.proof_at_token("1");
    assert_eq!(op.redeem("guessed", &SPA, &[&proof]), Err(TokenError::InvalidGrant));
    let guessed = json!({ "refresh_token": "guessed" });
    assert_eq!(op.renew(&guessed, &SPA, &[&proof]), Err(TokenError::InvalidGrant));
    assert!(op.redeem(&op.code(&SPA), &SPA, &[&proof]).is_ok());
}

#[test]
fn a35_a36_a37_a_proof_that_is_none_gets_no_token_and_spends_no_code() {
    let (op, key, other) = (Op::new(), Signer::new("k"), Signer::new("other"));
    let code = op.code(&[]);
    let good = claims("1", "POST", TOKEN);
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk });
    let with_header = |more: Value| key.sign(&changed(header.clone(), &more), &good);
    let with_claims = |more: Value| key.proof(&changed(good.clone(), &more));
    let private = changed(key.jwk.clone(), &json!({ "d": "AQAB" }));
    let mut cut = key.proof(&good);
    cut.truncate(cut.len() - 4);
    let mut wrong = vec![
        with_header(json!({ "typ": "JWT" })),
        with_header(json!({ "typ": null })),
        with_header(json!({ "typ": "at+jwt" })),
        with_header(json!({ "alg": "none" })),
        with_header(json!({ "alg": null })),
        with_header(json!({ "alg": "HS256" })),
        with_header(json!({ "alg": "ES384" })),
        with_header(json!({ "alg": "RS256" })),
        with_header(json!({ "crit": ["b64"] })),
        with_header(json!({ "jwk": null })),
        with_header(json!({ "jwk": "x" })),
        with_header(json!({ "jwk": {} })),
        with_header(json!({ "jwk": private })),
        with_header(json!({ "jwk": { "kty": "oct", "k": "c2VjcmV0" } })),
        with_header(json!({ "jwk": other.jwk })),
        with_header(json!({ "jwk": changed(key.jwk.clone(), &json!({ "use": "enc" })) })),
        with_header(json!({ "jwk": changed(key.jwk.clone(), &json!({ "alg": "ES384" })) })),
        with_header(json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" } })),
        other.sign(&header, &good),
        cut,
        "x".into(),
        String::new(),
    ];
    for name in ["htm", "htu", "iat", "jti"] {
        wrong.extend([json!(null), json!(""), json!(7.5), json!([good[name]])].map(|value| {
            let value = if value.is_null() { json!({ name: null }) } else { json!({ name: value }) };
            with_claims(value)
        }));
    }
    wrong.extend(
        [
            json!({ "htm": "GET" }),
            json!({ "htm": "post" }),
            json!({ "htu": USERINFO }),
            json!({ "htu": "https://login.example.com/acme/oidc/token" }),
            json!({ "htu": "https://evil.com/oidc/token" }),
            json!({ "iat": NOW - 301 }),
            json!({ "iat": NOW + 61 }),
            json!({ "iat": NOW.to_string() }),
            json!({ "iat": u64::MAX }),
            json!({ "jti": "x".repeat(257) }),
        ]
        .map(with_claims),
    );
    for proof in &wrong {
        assert_eq!(op.redeem(&code, &[], &[proof]), Err(TokenError::InvalidDpopProof), "{proof}");
    }
    let (one, two) = (key.proof_at_token("1"), key.proof_at_token("2"));
    assert_eq!(op.redeem(&code, &[], &[&one, &two]), Err(TokenError::InvalidDpopProof), "two");
    assert_eq!(op.redeem(&code, &[], &[&format!("{one}, {two}")]), Err(TokenError::InvalidDpopProof), "two in one");
    for (jti, iat) in [("old", NOW - 300), ("new", NOW + 60)] {
        let proof = key.proof(&changed(claims(jti, "POST", TOKEN), &json!({ "iat": iat })));
        assert!(op.redeem(&op.code(&[]), &[], &[&proof]).is_ok(), "{jti}");
    }
    assert!(op.redeem(&code, &[], &[&one]).is_ok(), "nothing was spent");
}

#[test]
fn a_refresh_token_of_a_public_client_is_bound_and_lost_to_both_in_other_hands() {
    let (op, key, thief) = (Op::renewing_spa(), Signer::new("k"), Signer::new("thief"));
    let begin = |jti: &str| op.redeem(&op.code(&SPA), &SPA, &[&key.proof_at_token(jti)]).unwrap();
    let second = op.renew(&begin("1"), &SPA, &[&key.proof_at_token("2")]).unwrap();
    assert_eq!(payload(text(&second, "access_token"))["cnf"], json!({ "jkt": jkt(&key) }));
    for proof in [vec![], vec![thief.proof_at_token("1")]] {
        let proofs: Vec<&str> = proof.iter().map(String::as_str).collect();
        let tokens = begin(&format!("for the thief with {}", proofs.len()));
        assert_eq!(op.renew(&tokens, &SPA, &proofs), Err(TokenError::InvalidGrant));
        let own = key.proof_at_token(&format!("after the thief with {}", proofs.len()));
        assert_eq!(op.renew(&tokens, &SPA, &[&own]), Err(TokenError::InvalidGrant), "it was in the wrong hands");
    }
    // One that was bound to nothing may be bound later, and then stays so.
    let plain = op.redeem(&op.code(&SPA), &SPA, &[]).unwrap();
    let bound = op.renew(&plain, &SPA, &[&key.proof_at_token("3")]).unwrap();
    assert_eq!(bound["token_type"], "DPoP");
    assert_eq!(op.renew(&bound, &SPA, &[]), Err(TokenError::InvalidGrant));
    // Whoever proves itself with a secret may change its key (RFC 9449 §5).
    let secret = [("client_id", "renewing"), ("client_secret", "the-secret-of-web")];
    let tokens = op.redeem(&op.code(&RENEWING), &RENEWING, &[&key.proof_at_token("4")]).unwrap();
    let next = op.renew(&tokens, &secret, &[&thief.proof_at_token("2")]).unwrap();
    assert_eq!(payload(text(&next, "access_token"))["cnf"], json!({ "jkt": jkt(&thief) }));
}

#[test]
fn a43_a_code_that_was_asked_for_with_a_key_is_for_that_key() {
    let (op, key, thief) = (Op::new(), Signer::new("k"), Signer::new("thief"));
    let jkt = jkt(&key);
    let bound: Pairs<'_> = &[("dpop_jkt", &jkt)];
    assert!(op.redeem(&op.code(bound), &[], &[&key.proof_at_token("1")]).is_ok());
    assert_eq!(op.redeem(&op.code(bound), &[], &[]), Err(TokenError::InvalidGrant), "no proof");
    let code = op.code(bound);
    assert_eq!(op.redeem(&code, &[], &[&thief.proof_at_token("1")]), Err(TokenError::InvalidGrant), "another key");
    assert_eq!(op.redeem(&code, &[], &[&key.proof_at_token("2")]), Err(TokenError::InvalidGrant), "and it is spent");
    for malformed in ["x", &jkt[1..], &format!("{jkt}=")] {
        let Asked::Redirect(to) = op.authorize(&[("dpop_jkt", malformed)]) else { panic!("{malformed}") };
        assert!(to.as_str().contains("error=invalid_request"), "{to}");
    }
}

#[test]
fn a_pushed_request_is_bound_by_its_proof_as_by_dpop_jkt() {
    let (op, key, other) = (Op::new(), Signer::new("k"), Signer::new("other"));
    let push = |more: Pairs<'_>, proof: &str| {
        let fields = with(&[&ASKED[..], &[("client_secret", "the-secret-of-web")]].concat(), more);
        let request = TokenRequest { fields, proofs: vec![proof.to_owned()], ..TokenRequest::default() };
        let told = op.provider.push(&op.config, "default", &request)?;
        let query = [("client_id", "web"), ("request_uri", text(&told, "request_uri"))];
        let Asked::Login(request) = op.provider.authorize(&op.config, "default", &owned(&query)) else { panic!() };
        Ok::<_, TokenError>(request.dpop_jkt)
    };
    let proof = |jti: &str| key.proof(&claims(jti, "POST", PAR));
    let named = jkt(&key);
    assert_eq!(push(&[], &proof("1")), Ok(Some(named.clone())));
    assert_eq!(push(&[("dpop_jkt", &named)], &proof("2")), Ok(Some(named)));
    assert_eq!(push(&[("dpop_jkt", &jkt(&other))], &proof("3")), Err(TokenError::InvalidDpopProof), "of another key");
    assert_eq!(push(&[], &proof("1")), Err(TokenError::InvalidDpopProof), "used");
    assert_eq!(push(&[], &key.proof_at_token("4")), Err(TokenError::InvalidDpopProof), "for another endpoint");
    assert_eq!(push(&[("client_secret", "guess")], &proof("5")), Err(TokenError::InvalidClient));
}

#[test]
fn a_client_that_must_prove_a_key_gets_nothing_without() {
    let (mut op, key) = (Op::renewing_spa(), Signer::new("k"));
    change(&mut op.config, "spa", |client| client.requires_dpop = true);
    let code = op.code(&SPA);
    assert_eq!(op.redeem(&code, &SPA, &[]), Err(TokenError::InvalidDpopProof));
    let tokens = op.redeem(&code, &SPA, &[&key.proof_at_token("1")]).unwrap();
    assert_eq!(op.renew(&tokens, &SPA, &[]), Err(TokenError::InvalidDpopProof));
    assert!(op.renew(&tokens, &SPA, &[&key.proof_at_token("2")]).is_ok());
}
