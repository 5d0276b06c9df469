//! Tokens: how they are renewed, and when they end.

use super::*;

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
    let tokens = op.renewing();
    for token in ["access_token", "refresh_token"].map(|name| text(&tokens, name)) {
        let fields = with(&[("client_id", "renewing"), ("client_secret", "the-secret-of-web")], &[("token", token)]);
        let request = TokenRequest { fields, ..TokenRequest::default() };
        let active = |config: &Config| {
            let told = op.provider.about(config, "default", About::Introspect, &request, &|_| true);
            told.unwrap()["active"].as_bool()
        };
        assert_eq!((active(&config), active(&PARSED)), (Some(false), Some(true)));
    }
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
