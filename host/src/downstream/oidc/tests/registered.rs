//! Organizations, and the clients that are registered for them while the gateway runs.

use super::*;

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
