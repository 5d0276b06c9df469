//! Requirements on the way of a login: to an upstream and back, step by step.

use super::*;

#[tokio::test]
async fn a_policy_may_leave_the_login_to_the_application() {
    let gate = Gate::new(&[route(5), allow(), reauthenticate(300)]);
    let mut browser = Browser::default();
    let to = redirected(gate.begin(&mut browser, "/login.jsp").await);
    assert_eq!(redirected(gate.enter(&mut browser, &to).await).path(), "/login.jsp");
    assert!(matches!(gate.check(&mut browser, "/login.jsp").await, Check::Anonymous));
    match gate.check(&mut browser, "/admin/x").await {
        Check::Refused(refusal) => assert_eq!(refusal.code, "identity-required"),
        check => panic!("{check:?}"),
    }
    gate.clock.advance(3600);
    assert!(matches!(gate.check(&mut browser, "/login.jsp").await, Check::NoSession { .. }));
}

#[tokio::test]
async fn an_identifier_is_asked_for_and_asked_for_again() {
    let gate = Gate::new(&[route(2), allow()]);
    let mut browser = Browser::default();
    let login = match gate.begin(&mut browser, "/").await {
        Step::AskIdentifier { login, error: None, .. } => login,
        step => panic!("{step:?}"),
    };
    for identifier in ["", " ", "a\u{7}b", &"x".repeat(255), "nobody@example.com"] {
        let answer = gate.login.identified(&browser.visitor(GATE), &login, identifier).await;
        match browser.keep(GATE, answer) {
            Step::AskIdentifier { error, .. } => assert_eq!(error, Some(FormError::Identifier), "{identifier:?}"),
            step => panic!("{step:?}"),
        }
    }
}

#[tokio::test]
async fn a_step_is_not_taken_at_another_steps_place() {
    let gate = Gate::new(&[route(2), allow()]);
    let mut browser = Browser::default();
    let Step::AskIdentifier { login, .. } = gate.begin(&mut browser, "/").await else { panic!("no page") };
    let codes = [
        refused(gate.password(&mut browser, &login, PASSWORD).await).code,
        refused(gate.login.chosen(&browser.visitor(GATE), &login, "corp").await.step).code,
        gate.call_back(&mut browser.clone(), "corp", &format!("{login}.secret")).await.code,
    ];
    assert_eq!(codes, ["login-not-at-this-step"; 3]);
}

#[tokio::test]
async fn a_route_to_an_upstream_leaves_with_what_the_callback_will_be_held_to() {
    let gate = Gate::new(&[to("corp"), allow()]);
    let mut browser = Browser::default();
    match gate.begin(&mut browser, "/").await {
        Step::Leave { to, delay, .. } => {
            assert_eq!((to.host_str(), delay), (Some("corp.example.net"), 0));
            let query: BTreeMap<String, String> = to.query_pairs().into_owned().collect();
            assert_eq!(query["redirect_uri"], "https://gate.example.com/callback/corp");
            for name in ["state", "nonce", "code_challenge"] {
                assert!(query[name].len() >= 43, "{name}");
            }
        }
        step => panic!("{step:?}"),
    }
    assert_eq!(browser.names(GATE).len(), 1);
}

#[tokio::test]
async fn a40_a_state_of_another_browser_is_refused() {
    let gate = Gate::new(&[to("corp"), allow()]);
    let state = gate.leave(&mut Browser::default()).await;
    let mut victim = Browser::default();
    gate.leave(&mut victim).await;
    let refusal = gate.call_back(&mut victim, "corp", &state).await;
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Expired, "login-unknown"));
}

#[tokio::test]
async fn a40_a_state_is_compared_whole_and_used_once() {
    let gate = Gate::new(&[to("corp"), allow()]);
    let mut browser = Browser::default();
    let state = gate.leave(&mut browser).await;
    let id = state.split('.').next().unwrap();
    for wrong in ["", ".", "<svg onload=alert(1)>", &id[..31], &"0".repeat(33)] {
        assert_eq!(gate.call_back(&mut browser.clone(), "corp", wrong).await.code, "state-malformed", "{wrong:?}");
    }
    for wrong in [id.to_owned(), format!("{id}."), format!("{state}x"), state[..state.len() - 1].to_owned()] {
        assert_eq!(gate.call_back(&mut browser.clone(), "corp", &wrong).await.code, "state-mismatch", "{wrong:?}");
    }
    // The code goes to the token endpoint, which is not there.
    let before = browser.clone();
    let first = gate.call_back(&mut browser, "corp", &state).await;
    assert_eq!(first.class, Class::Upstream, "{first:?}");
    assert_eq!(gate.call_back(&mut browser, "corp", &state).await.code, "login-unknown", "its cookie is gone");
    // Somebody who kept the cookie has no more luck.
    assert_eq!(gate.call_back(&mut before.clone(), "corp", &state).await.code, "state-used");
}

#[tokio::test]
async fn a40_a_login_takes_no_longer_than_it_may() {
    let gate = Gate::new(&[to("corp"), allow()]);
    let mut browser = Browser::default();
    let state = gate.leave(&mut browser).await;
    gate.clock.advance(600);
    assert_eq!(gate.call_back(&mut browser, "corp", &state).await.code, "login-expired");
}

#[tokio::test]
async fn a41_a_callback_on_another_upstreams_path_is_refused_before_any_request() {
    let gate = Gate::new(&[to("corp"), allow()]);
    for path in ["other", "here", "nobody", "CORP", ""] {
        let mut browser = Browser::default();
        let state = gate.leave(&mut browser).await;
        let refusal = gate.call_back(&mut browser, path, &state).await;
        // Its own code: a token request would have failed with another.
        assert_eq!((refusal.class, refusal.code.as_str()), (Class::BadRequest, "upstream-mismatch"), "{path}");
    }
}

#[tokio::test]
async fn two_tabs_log_in_side_by_side_and_a_sixth_displaces_the_first() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    let mut logins = Vec::new();
    for _ in 0..6 {
        logins.push(form_of(gate.begin(&mut browser, "/Home?x=1").await));
        gate.clock.advance(1);
    }
    assert_eq!(browser.names(GATE).len(), 5);
    assert_eq!(refused(gate.password(&mut browser, &logins[0], PASSWORD).await).code, "login-unknown");
    let one = redirected(gate.password(&mut browser, &logins[1], PASSWORD).await);
    let other = redirected(gate.password(&mut browser, &logins[5], PASSWORD).await);
    for to in [one, other] {
        assert_eq!(redirected(gate.enter(&mut browser, &to).await).path(), "/Home");
    }
}

#[tokio::test]
async fn a_login_is_limited_per_address_before_it_costs() {
    let gate = Gate::with(&[form(), allow()], "[login]\nattempts-per-minute = 2\npasswords-per-minute = 1\n");
    let mut browser = Browser::default();
    let login = form_of(gate.begin(&mut browser, "/").await);
    assert!(matches!(gate.password(&mut browser, &login, "wrong").await, Step::LocalForm { .. }));
    assert_eq!(refused(gate.password(&mut browser, &login, PASSWORD).await).code, "too-many-passwords");
    form_of(gate.begin(&mut browser, "/").await);
    let refusal = refused(gate.begin(&mut browser, "/").await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::TooOften, "too-many-logins"));
    assert_eq!(gate.recorded("decision.route").len(), 2, "the third never reached a policy");
}

#[tokio::test]
async fn a_login_whose_generation_is_gone_begins_again_under_the_current_one() {
    let gate = Gate::new(&[to("corp"), allow()]);
    let mut browser = Browser::default();
    let state = gate.leave(&mut browser).await;
    let path = gate.folder.path().join("vestibule.toml");
    for number in 0..20 {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}# change {number}\n")).unwrap();
        gate.generations.reload();
    }
    assert!(gate.generations.by_number(1).is_none());
    let callback =
        UnverifiedCallback { code: Some("code".into()), state: Some(state.clone()), ..UnverifiedCallback::default() };
    let answer = gate.login.callback(&browser.visitor(GATE), "corp", callback).await;
    match browser.keep(GATE, answer) {
        Step::Leave { to, .. } => assert!(!to.as_str().contains(&state), "with a new state"),
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn a_silent_login_shows_nothing() {
    let gate = Gate::with(
        &[form(), allow()],
        "[applications.op]\nurl = \"https://rp.example.org/\"\nupstreams = [\"here\"]\nchain = [\"p0\", \"p1\"]\n\
         [applications.op.oidc]\nredirect-uris = [\"https://rp.example.org/cb\"]\n",
    );
    let wanted = |silent| Wanted {
        application: "op".into(),
        then: Then::Oidc { request: "sealed".into() },
        max_age: None,
        fresh: false,
        select_account: false,
        silent,
        login_hint: None,
        acr_values: vec![],
        demanded_acr: vec![],
    };
    let mut browser = Browser::default();
    let refusal = refused(gate.login.begin(&browser.visitor(GATE), wanted(true)).await.step);
    assert_eq!((refusal.code.as_str(), refusal.request_of.as_deref()), ("interaction-required", Some("sealed")));
    let begun = gate.login.begin(&browser.visitor(GATE), wanted(false)).await;
    let login = form_of(browser.keep(GATE, begun));
    match gate.password(&mut browser, &login, PASSWORD).await {
        Step::Admitted { admission, request, .. } => {
            assert_eq!((admission.identity.subject.as_str(), request.as_str()), ("ann", "sealed"));
        }
        step => panic!("{step:?}"),
    }
    let silent = gate.login.begin(&browser.visitor(GATE), wanted(true)).await;
    assert!(matches!(silent.step, Step::Admitted { .. }), "with single sign-on");
    assert_eq!(gate.clock.now(), testing::NOW);
}

#[tokio::test]
async fn whoever_is_to_choose_an_account_is_not_logged_in_by_the_one_that_is_remembered() {
    let gate = Gate::with(
        &[form(), allow()],
        "[applications.op]\nurl = \"https://rp.example.org/\"\nupstreams = [\"here\"]\nchain = [\"p0\", \"p1\"]\n\
         [applications.op.oidc]\nredirect-uris = [\"https://rp.example.org/cb\"]\n",
    );
    let wanted = |select_account| Wanted {
        application: "op".into(),
        then: Then::Oidc { request: "sealed".into() },
        max_age: None,
        fresh: false,
        select_account,
        silent: false,
        login_hint: None,
        acr_values: vec![],
        demanded_acr: vec![],
    };
    let mut browser = Browser::default();
    let begun = gate.login.begin(&browser.visitor(GATE), wanted(false)).await;
    let login = form_of(browser.keep(GATE, begun));
    let Step::Admitted { origin, .. } = gate.password(&mut browser, &login, PASSWORD).await else { panic!("refused") };
    assert!(gate.login.holds(&browser.visitor(GATE), &origin.sid));
    assert!(!gate.login.holds(&browser.visitor(GATE), "another"));
    assert!(!gate.login.holds(&Browser::default().visitor(GATE), &origin.sid), "another browser");
    let again = gate.login.begin(&browser.visitor(GATE), wanted(false)).await;
    assert!(matches!(again.step, Step::Admitted { .. }), "with single sign-on");
    let asked = gate.login.begin(&browser.visitor(GATE), wanted(true)).await;
    assert!(matches!(asked.step, Step::LocalForm { .. }), "{:?}", asked.step);
    gate.login.logout(&browser.visitor(GATE), None, None, None).await;
    assert!(!gate.login.holds(&browser.visitor(GATE), &origin.sid), "over");
}

#[tokio::test]
async fn a_silent_login_that_would_need_more_is_told_that_somebody_must_see_it() {
    let gate = Gate::with(
        &[form(), allow(), step_up(60)],
        "[applications.op]\nurl = \"https://rp.example.org/\"\nupstreams = [\"here\"]\nchain = [\"p0\", \"p1\", \"p2\"]\n\
         [applications.op.oidc]\nredirect-uris = [\"https://rp.example.org/cb\"]\n\
         [applications.plain]\nurl = \"https://plain.example.org/\"\nupstreams = [\"here\"]\nchain = [\"p0\", \"p1\"]\n\
         [applications.plain.oidc]\nredirect-uris = [\"https://plain.example.org/cb\"]\n",
    );
    let wanted = |application: &str, silent| Wanted {
        application: application.into(),
        then: Then::Oidc { request: "sealed".into() },
        max_age: None,
        fresh: false,
        select_account: false,
        silent,
        login_hint: None,
        acr_values: vec![],
        demanded_acr: vec![],
    };
    let mut browser = Browser::default();
    let begun = gate.login.begin(&browser.visitor(GATE), wanted("plain", false)).await;
    let login = form_of(browser.keep(GATE, begun));
    assert!(matches!(gate.password(&mut browser, &login, PASSWORD).await, Step::Admitted { .. }));
    let refusal = refused(gate.login.begin(&browser.visitor(GATE), wanted("op", true)).await.step);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "interaction-required"));
}

#[tokio::test]
async fn a_relying_partys_wish_adds_no_weaker_way_to_satisfy_a_policy() {
    let relying_party = "[applications.op]\nurl = \"https://rp.example.org/\"\nupstreams = [\"here\", \"corp\"]\n\
                         chain = [\"p0\", \"p1\"]\n\
                         [applications.op.oidc]\nredirect-uris = [\"https://rp.example.org/cb\"]\n";
    for (route, asked) in [(to_with_acr("corp", "mfa"), "mfa"), (to("corp"), "pwd")] {
        let gate = Gate::with(&[route, allow()], relying_party);
        let wanted = Wanted {
            application: "op".into(),
            then: Then::Oidc { request: "sealed".into() },
            max_age: None,
            fresh: false,
            select_account: false,
            silent: false,
            login_hint: None,
            acr_values: vec!["pwd".into()],
            demanded_acr: vec![],
        };
        match gate.login.begin(&Browser::default().visitor(GATE), wanted).await.step {
            Step::Leave { to, .. } => {
                let values: Vec<_> = to.query_pairs().filter(|(name, _)| name == "acr_values").collect();
                assert_eq!(values.len(), 1);
                assert_eq!(values[0].1, asked);
            }
            step => panic!("{step:?}"),
        }
    }
}

#[tokio::test]
async fn a_password_is_no_answer_to_a_stronger_demand() {
    let gate = Gate::new(&[to_with_acr("here", "mfa"), allow()]);
    let refusal = refused(gate.begin(&mut Browser::default(), "/").await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "step-up-unmet"));
}

#[tokio::test]
async fn a_demand_stays_through_a_step_up_that_asks_for_something_else() {
    assert_eq!(route::narrowed(&[], &["mfa".into()]), ["mfa"]);
    assert_eq!(route::narrowed(&["mfa".into(), "phr".into()], &["phr".into(), "x".into()]), ["phr"]);
    assert_eq!(route::narrowed(&["mfa".into()], &["phr".into()]), ["mfa"]);
    assert_eq!(route::narrowed(&[], &[]), [""; 0]);
    // A form of our own is no way around what an application's policy demanded.
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    let demand = Demand { max_age: None, acr_values: vec!["mfa".into()], fresh: false };
    let started = gate.login.start(&browser.visitor(WIKI), "wiki", Some("/admin"), &demand);
    let to = redirected(browser.keep(WIKI, started));
    assert!(to.query_pairs().any(|(name, value)| name == "acr-values" && value == "mfa"), "{to}");
    let refusal = refused(gate.begin_at(&mut browser, &to).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "step-up-unmet"));
}

#[tokio::test]
async fn whoever_was_refused_may_come_back_as_somebody_else() {
    let gate = Gate::new(&[form(), deny()]);
    let mut browser = Browser::default();
    let refusal = refused(gate.prove(&mut browser).await);
    let again = refusal.again.expect("a way on");
    assert_eq!(
        again.as_str(),
        "https://wiki.example.org/vestibule/start/wiki?rd=https%3A%2F%2Fwiki.example.org%2FHome%3Fx%3D1&fresh=1"
    );
    // Not by single sign-on, and not by what the upstream remembers: the form is there again.
    let demand = Demand { fresh: true, ..Demand::default() };
    let started = gate.login.start(&browser.visitor(WIKI), "wiki", Some("/"), &demand);
    let to = redirected(browser.keep(WIKI, started));
    assert!(to.query_pairs().any(|(name, value)| name == "fresh" && value == "1"), "{to}");
    form_of(gate.begin_at(&mut browser, &to).await);
}
