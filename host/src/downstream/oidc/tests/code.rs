//! The code: who asks for one, where it goes, who redeems it.

use super::*;

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
