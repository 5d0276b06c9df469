//! Requirements on sessions: where they hold, and how long.

use super::*;

#[tokio::test]
async fn a01_to_a08_no_way_in_or_out_takes_a_foreign_address() {
    let gate = Gate::new(&[form(), allow()]);
    let mut known = Browser::default();
    gate.log_in(&mut known).await;
    let rd = |to: &Url| to.query_pairs().find(|(name, _)| name == "rd").map(|(_, rd)| rd.into_owned());
    for text in [
        "https://evil.com/",
        "//evil.com",
        "/\\evil.com",
        "/\t/evil.com",
        "/%09/evil.com",
        "https:evil.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://wiki.example.org@evil.com/",
        "https://user@wiki.example.org/",
        "https://wiki.example.org.evil.com/",
        "https://evilwiki.example.org/",
        "http://wiki.example.org/",
        "",
    ] {
        let mut browser = known.clone();
        let started = gate.login.start(&browser.visitor(WIKI), "wiki", Some(text), &Demand::default());
        assert_eq!(rd(&redirected(browser.keep(WIKI, started))).as_deref(), Some(WIKI), "{text:?}");
        let departed = gate.login.depart(&browser.visitor(WIKI), "wiki", Some(text)).await;
        assert_eq!(rd(&redirected(browser.keep(WIKI, departed))), None, "{text:?}");
        for application in [Some("wiki"), Some("nothing"), None] {
            let left = gate.login.logout(&browser.visitor(GATE), application, Some(text), None).await;
            let step = browser.clone().keep(GATE, left);
            assert!(matches!(step, Step::LoggedOut { to: None, .. }), "{text:?} {application:?}: {step:?}");
        }
        // Nobody's logout ends elsewhere either.
        let left = gate.login.logout(&Browser::default().visitor(GATE), Some("wiki"), Some(text), None).await;
        assert!(matches!(left.step, Step::LoggedOut { to: None, .. }), "{text:?}");
    }
}

#[tokio::test]
async fn a09_no_ticket_ever_goes_to_a_foreign_host() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let binding = session::hash("attacker");
    for (from, rd) in [
        ("https://evil.com", "https://evil.com/"),
        ("https://wiki.example.org.evil.com", "/"),
        ("https://a@evil.com", "/"),
        ("//evil.com", "/"),
        ("", "https://evil.com/"),
        ("null", "/"),
    ] {
        let mut to = Url::parse("https://gate.example.com/login/wiki").unwrap();
        to.query_pairs_mut().append_pair("from", from).append_pair("rd", rd).append_pair("binding", &binding);
        assert_eq!(redirected(gate.begin_at(&mut browser, &to).await).as_str(), WIKI, "{from}");
    }
    let mut to = Url::parse("https://gate.example.com/login/wiki").unwrap();
    to.query_pairs_mut()
        .append_pair("from", "https://wiki.example.org")
        .append_pair("rd", "https://evil.com/")
        .append_pair("binding", &binding);
    let to = redirected(gate.begin_at(&mut browser, &to).await);
    assert_eq!(to.host_str(), Some("wiki.example.org"));
    // The attacker's binding is not this browser's: the ticket opens nothing, for anybody.
    assert_eq!(refused(gate.enter(&mut browser, &to).await).code, "ticket-not-for-this");
    assert_eq!(refused(gate.enter(&mut browser, &to).await).code, "ticket-unknown");
}

#[tokio::test]
async fn a59_what_an_upstream_proved_is_worth_nothing_once_it_is_taken_out_of_the_application() {
    let before = Gate::new(&[form(), allow()]);
    let mut known = Browser::default();
    before.log_in(&mut known).await;
    let mut under_way = Browser::default();
    let login = form_of(before.begin(&mut under_way, "/").await);
    // The operator takes it out, and the gateway starts anew; other applications may still use it.
    let after = Gate::changed(&[form(), allow()], |text| text.replacen("\"here\", ", "", 1));
    assert!(matches!(after.check(&mut known.clone(), "/").await, Check::NoSession { .. }), "the session");
    let refusal = refused(after.password(&mut under_way, &login, PASSWORD).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "unknown-upstream"), "a login under way");
    let refusal = refused(after.begin(&mut known, "/").await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "unknown-upstream"), "single sign-on");
    // Where nothing was taken out, a restart changes nothing.
    let same = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    before.log_in(&mut browser).await;
    session_of(same.check(&mut browser, "/").await);
}

#[tokio::test]
async fn a59_a_callback_of_an_upstream_that_is_gone_is_refused_before_any_request() {
    let before = Gate::new(&[to("corp"), allow()]);
    let mut browser = Browser::default();
    let state = before.leave(&mut browser).await;
    let after = Gate::changed(&[to("corp"), allow()], |text| {
        text.replace("[upstreams.corp]", "[upstreams.gone]").replace("\"corp\", ", "")
    });
    let refusal = after.call_back(&mut browser, "corp", &state).await;
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "unknown-upstream"));
}

#[tokio::test]
async fn a60_who_goes_to_log_in_has_no_session_any_more() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let copied = browser.clone();
    let started = gate.login.start(&browser.visitor(WIKI), "wiki", None, &Demand::default());
    browser.keep(WIKI, started);
    assert_eq!(browser.names(WIKI), ["__Host-vestibule-enter"]);
    assert!(matches!(gate.check(&mut copied.clone(), "/").await, Check::NoSession { .. }), "nor has a copy of it");
}

#[tokio::test]
async fn a61_a_session_from_before_the_login_is_worth_nothing_after_it() {
    let gate = Gate::new(&[form(), allow()]);
    let mut attacker = Browser::default();
    gate.log_in(&mut attacker).await;
    let planted = session_of(gate.check(&mut attacker, "/").await);
    // The victim's browser holds the attacker's session cookie when it enters.
    let mut victim = Browser::default();
    let to = redirected(gate.prove(&mut victim).await);
    let key = (WIKI.to_owned(), "__Host-vestibule-app-wiki".to_owned());
    victim.cookies.insert(key.clone(), attacker.cookies[&key].clone());
    gate.enter(&mut victim, &to).await;
    let session = session_of(gate.check(&mut victim, "/").await);
    assert_ne!(session.id, planted.id);
    assert!(matches!(gate.check(&mut attacker, "/").await, Check::NoSession { .. }), "the planted one is over");
}

#[tokio::test]
async fn a62_a_doubled_session_cookie_restarts_the_login() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let key = (WIKI.to_owned(), "__Host-vestibule-app-wiki".to_owned());
    let ours = &browser.cookies[&key];
    let header = format!("__Host-vestibule-app-wiki={ours}; __Host-vestibule-app-wiki={ours}");
    let visitor = Visitor { cookies: Jar::parse([header.as_bytes()]).unwrap(), ..browser.visitor(WIKI) };
    let request = AccessRequest { method: "GET".into(), host: "wiki.example.org".into(), path: "/".into() };
    match gate.login.check(&visitor, "wiki", &request).await {
        Check::NoSession { cookies } => assert!(!cookies.is_empty(), "and both are cleared"),
        check => panic!("{check:?}"),
    }
}

#[tokio::test]
async fn a63_neither_a_state_nor_a_ticket_nor_another_cookie_is_a_session() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    let login = form_of(gate.begin(&mut browser, "/Home?x=1").await);
    let pending = browser.cookies.iter().find(|((at, _), _)| at == GATE).unwrap().1.clone();
    let to = redirected(gate.password(&mut browser, &login, PASSWORD).await);
    let ticket = to.query().unwrap().trim_start_matches("ticket=").to_owned();
    let sso = browser.cookies[&(GATE.to_owned(), "__Host-vestibule-sso".to_owned())].clone();
    let binding = browser.cookies[&(WIKI.to_owned(), "__Host-vestibule-enter".to_owned())].clone();
    for value in [pending, ticket.clone(), format!("1.{ticket}"), sso, binding, login.clone(), format!("1.{login}")] {
        let mut browser = Browser::default();
        browser.cookies.insert((WIKI.to_owned(), "__Host-vestibule-app-wiki".to_owned()), value.clone());
        assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }), "{value}");
    }
}

#[tokio::test]
async fn a66_a_session_cookie_of_many_pieces_is_a_bad_request() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    browser.cookies.insert((WIKI.to_owned(), "__Host-vestibule-app-wiki".to_owned()), "2147483648.x".into());
    match gate.check(&mut browser, "/").await {
        Check::Refused(refusal) => assert_eq!(refusal.class, Class::BadRequest),
        check => panic!("{check:?}"),
    }
}

#[tokio::test]
async fn one_applications_session_is_not_anothers() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let wiki = browser.cookies[&(WIKI.to_owned(), "__Host-vestibule-app-wiki".to_owned())].clone();
    browser.cookies.insert(("https://files.example.org/".into(), "__Host-vestibule-app-files".into()), wiki);
    let request = AccessRequest { method: "GET".into(), host: "files.example.org".into(), path: "/".into() };
    let check = gate.login.check(&browser.visitor("https://files.example.org/"), "files", &request).await;
    assert!(matches!(check, Check::NoSession { .. }), "{check:?}");
    // Nor is a session good on another host, whatever the proxy there says.
    match gate.login.check(&browser.visitor("https://files.example.org/"), "wiki", &request).await {
        Check::Refused(refusal) => {
            assert_eq!(refusal.code, "host-not-allowed");
            assert_eq!(refusal.again.unwrap().origin(), Url::parse(WIKI).unwrap().origin(), "the proper address");
        }
        check => panic!("{check:?}"),
    }
}

#[tokio::test]
async fn a_session_ends_by_its_terms_and_the_proofs_age_counts() {
    let gate = Gate::new(&[form(), allow(), terms(1000, 400, false)]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    for _ in 0..3 {
        gate.clock.advance(300);
        session_of(gate.check(&mut browser, "/").await);
    }
    gate.clock.advance(50);
    // 950 of the 1000 seconds since the proof are gone: coming again does not stretch them.
    let to = redirected(gate.begin(&mut browser, "/").await);
    gate.enter(&mut browser, &to).await;
    assert_eq!(session_of(gate.check(&mut browser, "/").await).terms.lifetime, 50);
    gate.clock.advance(50);
    assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }));
    form_of(gate.begin(&mut browser, "/").await);
}

#[tokio::test]
async fn an_idle_session_ends() {
    let gate = Gate::new(&[form(), allow(), terms(1000, 100, false)]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    gate.clock.advance(100);
    assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }));
}

#[tokio::test]
async fn a_session_is_remembered_only_where_a_policy_says_so() {
    let day = 86_400;
    let silent = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    silent.log_in(&mut browser).await;
    let terms_of = session_of(silent.check(&mut browser, "/").await).terms;
    assert_eq!((terms_of.remember, terms_of.lifetime), (false, 28_800));

    let remembering = Gate::new(&[form(), allow(), terms(10 * day, 3600, true)]);
    let mut browser = Browser::default();
    remembering.log_in(&mut browser).await;
    remembering.clock.advance(5 * u64::from(day));
    assert!(session_of(remembering.check(&mut browser, "/").await).terms.remember);
}

#[tokio::test]
async fn a_guarded_path_wants_a_recent_proof_and_a_fresh_login_gives_it() {
    let gate = Gate::new(&[form(), allow(), reauthenticate(300)]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    session_of(gate.check(&mut browser, "/admin/users").await);
    gate.clock.advance(301);
    session_of(gate.check(&mut browser, "/Home").await);
    match gate.check(&mut browser, "/admin/users").await {
        Check::Reauthenticate(demand) => {
            assert_eq!(demand, Demand { max_age: Some(300), acr_values: vec![], fresh: false })
        }
        check => panic!("{check:?}"),
    }
    let demand = Demand { max_age: Some(300), acr_values: vec![], fresh: false };
    // Single sign-on is not recent enough either: the password is asked for.
    let started = gate.login.start(&browser.visitor(WIKI), "wiki", Some("/admin/users"), &demand);
    let to = redirected(browser.keep(WIKI, started));
    session_of(gate.check(&mut browser, "/Home").await);
    let login = form_of(gate.begin_at(&mut browser, &to).await);
    let to = redirected(gate.password(&mut browser, &login, PASSWORD).await);
    gate.enter(&mut browser, &to).await;
    session_of(gate.check(&mut browser, "/admin/users").await);
    assert_eq!(gate.recorded("decision.access").len(), 3);
}
