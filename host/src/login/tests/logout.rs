//! Requirements on the way out: what ends, who is told, where it ends.

use super::*;

#[tokio::test]
async fn a_logout_ends_every_session_of_the_browser_and_every_copy() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let copied = browser.clone();
    let left = gate.login.logout(&browser.visitor(GATE), None, Some("https://evil.com/"), None).await;
    assert!(matches!(browser.keep(GATE, left), Step::LoggedOut { to: None, .. }), "a foreign target is none");
    assert_eq!(browser.names(GATE), [""; 0]);
    assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }));
    assert!(matches!(gate.check(&mut copied.clone(), "/").await, Check::NoSession { .. }));
    form_of(gate.begin(&mut copied.clone(), "/").await);
    assert_eq!(gate.recorded("session.ended").len(), 1);
}

#[tokio::test]
async fn leaving_an_application_goes_on_to_the_gateways_logout() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let departed = gate.login.depart(&browser.visitor(WIKI), "wiki", Some("/bye")).await;
    let to = redirected(browser.keep(WIKI, departed));
    assert_eq!(to.as_str(), "https://gate.example.com/logout?application=wiki&rd=https%3A%2F%2Fwiki.example.org%2Fbye");
    let left =
        gate.login.logout(&browser.visitor(GATE), Some("wiki"), Some("https://wiki.example.org/bye"), None).await;
    assert_eq!(ended(browser.keep(GATE, left)).as_deref(), Some("https://wiki.example.org/bye"));
    form_of(gate.begin(&mut browser, "/").await);
}

#[tokio::test]
async fn whoever_took_part_is_told_when_the_session_ends_even_where_it_ended_before() {
    let gate = Gate::with(
        &[form(), allow()],
        "[applications.op]\nurl = \"https://rp.example.org/\"\nupstreams = [\"here\"]\nchain = [\"p0\", \"p1\"]\n\
         [applications.op.oidc]\nredirect-uris = [\"https://rp.example.org/cb\"]\n",
    );
    let wanted = Wanted {
        application: "op".into(),
        then: Then::Oidc { request: "sealed".into() },
        max_age: None,
        fresh: false,
        select_account: false,
        silent: false,
        login_hint: None,
        acr_values: vec![],
        demanded_acr: vec![],
    };
    let mut browser = Browser::default();
    let begun = gate.login.begin(&browser.visitor(GATE), wanted).await;
    let login = form_of(browser.keep(GATE, begun));
    let Step::Admitted { origin, .. } = gate.password(&mut browser, &login, PASSWORD).await else { panic!("no") };
    let participant = |client_id: &str| Participant {
        tenant: "default".into(),
        application: "op".into(),
        role: Role::RelyingParty { client_id: client_id.into(), mark: None, subject: "s".into() },
        front_channel: false,
        origin: (*origin).clone(),
    };
    let told = || -> Vec<String> { gate.told.lock().unwrap().drain(..).map(|gone| gone.name().to_owned()).collect() };
    gate.login.joined("r", participant("one"));
    gate.login.joined("r", participant("two"));
    assert!(told().is_empty());
    gate.login.logout(&browser.visitor(GATE), None, None, None).await;
    assert_eq!(told(), ["one", "two"]);
    // Its code came out while the session ended.
    gate.login.joined("r", participant("late"));
    assert_eq!(told(), ["late"]);
    gate.login.logout(&browser.visitor(GATE), None, None, None).await;
    assert!(told().is_empty(), "once");
}

/// Where a logout ends.
fn ended(step: Step) -> Option<String> {
    match step {
        Step::LoggedOut { to, untold } if untold.is_empty() => to.map(|to| to.to_string()),
        step => panic!("{step:?}"),
    }
}

/// A browser that was at the service providers `names`, and at the gateway's logout since.
async fn leaving(gate: &Gate, names: &[&str]) -> Browser {
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let family = session_of(gate.check(&mut browser, "/").await).parent.clone();
    for name in names {
        let name_id = NameId { value: "ann".into(), format: "f".into(), qualifiers: None };
        gate.login.joined(
            "r",
            Participant {
                tenant: "default".into(),
                application: (*name).into(),
                role: Role::ServiceProvider { entity_id: format!("urn:{name}"), name_id },
                front_channel: true,
                origin: Origin { family: family.clone(), ..Origin::default() },
            },
        );
    }
    let left = gate.login.logout(&browser.visitor(GATE), Some("wiki"), Some("/bye"), None).await;
    let step = browser.keep(GATE, left);
    if !names.is_empty() {
        assert_eq!(redirected(step).as_str(), "https://gate.example.com/logout/round");
    }
    assert!(
        matches!(gate.check(&mut browser.clone(), "/").await, Check::NoSession { .. }),
        "ended before anybody is told"
    );
    browser
}

/// The request that is made next, and to whom.
async fn asked_of(gate: &Gate, browser: &Browser) -> (String, String) {
    match gate.login.round(&browser.visitor(GATE)).await {
        NextRound::Ask { id, participant } => (id, participant.application),
        next => panic!("{next:?}"),
    }
}

async fn end_of(gate: &Gate, browser: &mut Browser) -> Step {
    match gate.login.round(&browser.visitor(GATE)).await {
        NextRound::Over(answer) => browser.keep(GATE, *answer),
        next => panic!("{next:?}"),
    }
}

#[tokio::test]
async fn a_logout_goes_from_one_service_provider_to_the_next_and_ends_where_it_was_to_end() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = leaving(&gate, &["one", "two"]).await;
    for name in ["one", "two"] {
        let (id, application) = asked_of(&gate, &browser).await;
        assert_eq!(application, name);
        let told = gate.login.told(&browser.visitor(GATE), Some(name), &id, None).await;
        redirected(browser.keep(GATE, told));
    }
    assert_eq!(ended(end_of(&gate, &mut browser).await).as_deref(), Some("https://wiki.example.org/bye"));
    assert_eq!(browser.names(GATE), [""; 0]);
    assert_eq!((gate.recorded("logout.asked").len(), gate.recorded("logout.sent").len()), (2, 2));
    // It is over: whoever comes again is nowhere.
    assert_eq!(ended(end_of(&gate, &mut browser).await), None);
}

#[tokio::test]
async fn a57_an_answer_counts_once_for_the_request_that_is_awaited_in_its_own_browser() {
    let gate = Gate::new(&[form(), allow()]);
    let (mut browser, stranger) = (leaving(&gate, &["one", "two"]).await, leaving(&gate, &["one"]).await);
    let (id, _) = asked_of(&gate, &browser).await;
    for (visitor, application, id) in [
        (browser.visitor(GATE), Some("two"), id.as_str()),
        (browser.visitor(GATE), Some("one"), "_made-up"),
        (browser.visitor(GATE), None, ""),
        (stranger.visitor(GATE), Some("one"), id.as_str()),
        (Browser::default().visitor(GATE), Some("one"), id.as_str()),
    ] {
        let told = gate.login.told(&visitor, application, id, None).await;
        assert!(matches!(&told.step, Step::Redirect(to) if to.path() == "/logout/round"), "{told:?}");
        assert!(gate.recorded("logout.sent").is_empty(), "{application:?} {id}");
    }
    let (again, application) = asked_of(&gate, &browser).await;
    assert_eq!(application, "one", "still awaited");
    let told = gate.login.told(&browser.visitor(GATE), Some("one"), &again, None).await;
    browser.keep(GATE, told);
    let (_, application) = asked_of(&gate, &browser).await;
    assert_eq!(application, "two");
    gate.login.told(&browser.visitor(GATE), Some("one"), &again, None).await;
    assert_eq!(asked_of(&gate, &browser).await.1, "two", "a replay ends nobody's turn");
    assert_eq!(gate.recorded("logout.sent").len(), 1);
}

#[tokio::test]
async fn a_service_provider_that_refuses_or_never_answers_is_named_at_the_end() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = leaving(&gate, &["one", "two", "three"]).await;
    for (failed, application) in
        [(Some("logout-refused"), Some("one")), (Some("no-answer"), None), (None, Some("three"))]
    {
        let (id, _) = asked_of(&gate, &browser).await;
        let told = gate.login.told(&browser.visitor(GATE), application, &id, failed).await;
        browser.keep(GATE, told);
    }
    match end_of(&gate, &mut browser).await {
        Step::LoggedOut { to: Some(to), untold } => {
            assert_eq!(
                (to.as_str(), untold),
                ("https://wiki.example.org/bye", vec!["one".to_owned(), "two".to_owned()])
            );
        }
        step => panic!("{step:?}"),
    }
    assert_eq!(gate.recorded("logout.given-up").len(), 2);
}

#[tokio::test]
async fn the_service_provider_that_began_a_logout_is_not_asked() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let family = session_of(gate.check(&mut browser, "/").await).parent.clone();
    let name_id = NameId { value: "ann".into(), format: "f".into(), qualifiers: None };
    let participant = Participant {
        tenant: "default".into(),
        application: "one".into(),
        role: Role::ServiceProvider { entity_id: "urn:one".into(), name_id },
        front_channel: true,
        origin: Origin { family, ..Origin::default() },
    };
    gate.login.joined("r", participant);
    let left = gate.login.logout(&browser.visitor(GATE), None, None, Some("one")).await;
    assert_eq!(ended(browser.keep(GATE, left)), None);
}

#[tokio::test]
async fn a63_a_way_out_of_another_browser_or_purpose_is_none() {
    let gate = Gate::new(&[form(), allow()]);
    let browser = leaving(&gate, &["one"]).await;
    // The state of somebody else's logout, and none: neither leads anywhere.
    for state in [None, Some("made-up"), Some("https://evil.com/")] {
        assert_eq!(ended(gate.login.logged_out(&Browser::default().visitor(GATE), state).step), None);
    }
    // It has not been to the upstream yet, or its state is another one.
    let early = gate.login.logged_out(&browser.visitor(GATE), Some("made-up"));
    assert_eq!(ended(early.step), None);
}
