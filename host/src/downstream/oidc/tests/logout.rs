//! Logouts: asked for by a relying party, and told to one.

use super::*;

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
