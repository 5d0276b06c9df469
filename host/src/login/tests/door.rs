//! Requirements on the emergency door: what it opens when nothing else does, and what opens it for nobody.

use super::*;

const FILES: &str = "https://files.example.org/";

/// A trap, at whatever hook.
fn trap(hook: Hook) -> Guest {
    Guest::new(hook, "(unreachable)")
}

fn audit(config: &config::Audit, clock: Arc<ManualClock>) -> Audit {
    Audit::open(config, clock, Arc::new(|_: &str| "somebody".to_owned())).unwrap()
}

/// A gate with a door that `pinned` decides about.
fn gate(chain: &[Guest], pinned: &Guest, more: &str) -> Gate {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("door.wasm"), pinned.component()).unwrap();
    let rest = format!("[emergency]\npath = \"/door-0123456789abcdef\"\ncomponent = \"door.wasm\"\n{more}");
    Gate::made(folder, chain, &rest, audit)
}

impl Gate {
    /// The door's form for the wiki.
    fn ring(&self, browser: &mut Browser) -> String {
        match browser.keep(GATE, self.login.door(&browser.visitor(GATE), Some("wiki"))) {
            Step::DoorForm { login, application, error: None, .. } if application == "wiki" => login,
            step => panic!("{step:?}"),
        }
    }

    async fn knock(&self, browser: &mut Browser, login: &str, username: &str, password: &str) -> Step {
        let secret = Secret::new(password.to_owned());
        let answer = self.login.knock(&browser.visitor(GATE), login, username, secret).await;
        browser.keep(GATE, answer)
    }

    /// With the right password, as far as it leads.
    async fn knock_rightly(&self, browser: &mut Browser) -> Step {
        let login = self.ring(browser);
        self.knock(browser, &login, "ann", PASSWORD).await
    }

    /// Through the door and into the wiki.
    async fn come_in(&self, browser: &mut Browser) {
        let start = redirected(self.knock_rightly(browser).await);
        assert_eq!((start.origin(), start.path()), (Url::parse(WIKI).unwrap().origin(), "/vestibule/start/wiki"));
        let rd = start.query_pairs().find(|(name, _)| name == "rd").unwrap().1.into_owned();
        let to = redirected(self.begin(browser, &rd).await);
        assert_eq!(to.path(), "/vestibule/enter/wiki");
        redirected(self.enter(browser, &to).await);
    }

    /// Every event that wants to be seen at once: its kind, and whether it was a yes.
    fn alerts(&self) -> Vec<(String, bool)> {
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let alerts = events.filter(|event| event["level"] == "alert");
        alerts.map(|event| (event["kind"].as_str().unwrap().to_owned(), event["granted"] == true)).collect()
    }
}

fn alert(kind: &str, granted: bool) -> (String, bool) {
    (kind.to_owned(), granted)
}

#[tokio::test]
async fn a79_the_door_opens_where_every_other_policy_traps_and_each_request_after_that_passes() {
    let gate = gate(&[trap(Hook::Route), trap(Hook::Access)], &allow(), "");
    let mut browser = Browser::default();
    assert_eq!(refused(gate.begin(&mut browser, "/").await).code, "policy-trapped");

    gate.come_in(&mut browser).await;
    // The generation's access hook traps for everybody else; nobody asks it here.
    let session = session_of(gate.check(&mut browser, "/admin/users").await);
    assert_eq!((session.identity.subject.as_str(), session.application.as_str()), ("ann", "wiki"));
    assert!(session.identity.is_of_the_door());
    assert_eq!(session.profile.username.as_deref(), Some("ann"), "it is told who that is without a policy");
    assert_eq!(session.profile.email.as_deref(), Some("ann@example.com"));
    assert_eq!(session.groups, ["staff"], "the groups of the accounts file");
    assert_eq!((session.terms.lifetime, session.terms.remember), (1800, false));
    assert_eq!(
        gate.alerts(),
        [alert("emergency.decision", true), alert("emergency.decision", true), alert("session.started", true)]
    );
    let decided = gate.recorded("emergency.decision");
    assert_eq!(decided[0]["login"], decided[1]["login"], "one login");
    assert_eq!(decided[0]["trace"]["generation"], 0, "none that was ever in force");
    assert!(!decided[0].to_string().contains("\"ann\""), "{}", decided[0]);
}

#[tokio::test]
async fn a78_the_right_password_of_somebody_who_may_not_is_a_no_on_record() {
    let gate = gate(&[form(), allow()], &deny(), "");
    let mut browser = Browser::default();
    let refusal = refused(gate.knock_rightly(&mut browser).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "not-today"));
    assert_eq!(refusal.again, None, "no way on is shown");
    assert_eq!(gate.alerts(), [alert("emergency.decision", false)]);
    // It has no pass: the application's own way in is the ordinary one.
    assert!(matches!(gate.begin(&mut browser, "/").await, Step::LocalForm { .. }));
}

#[tokio::test]
async fn a_wrong_password_an_unknown_account_and_a_disabled_one_are_told_apart_by_nobody() {
    let gate = gate(&[form(), allow()], &allow(), "lockout-after = 5\n");
    let mut browser = Browser::default();
    let login = gate.ring(&mut browser);
    for (username, password) in [("ann", "wrong"), ("nobody", PASSWORD), ("", "")] {
        match gate.knock(&mut browser, &login, username, password).await {
            Step::DoorForm { error: Some(FormError::Credentials), .. } => {}
            step => panic!("{step:?}"),
        }
    }
    assert_eq!(gate.alerts(), vec![alert("emergency.refused", false); 3]);
    let recorded = gate.recorded("emergency.refused");
    assert_eq!(recorded[0]["outcome"]["code"], "credentials-refused");
    assert!(recorded.iter().all(|event| !event.to_string().contains("\"ann\"")), "{recorded:?}");
}

#[tokio::test]
async fn an_address_that_tries_too_often_is_locked_out_and_the_account_is_not() {
    let gate = gate(&[form(), allow()], &allow(), "lockout-after = 3\npasswords-per-minute = 600\nlockout-s = 900\n");
    let mut browser = Browser::default();
    let login = gate.ring(&mut browser);
    for _ in 0..3 {
        assert!(matches!(gate.knock(&mut browser, &login, "ann", "wrong").await, Step::DoorForm { .. }));
    }
    let locked = refused(gate.knock(&mut browser, &login, "ann", PASSWORD).await);
    assert_eq!((locked.class, locked.code.as_str()), (Class::TooOften, "address-locked-out"), "the right one, too");
    // From elsewhere the same account comes in.
    let from = |browser: &Browser| Visitor { address: "198.51.100.7".parse().ok(), ..browser.visitor(GATE) };
    let secret = || Secret::new(PASSWORD.to_owned());
    let answer = gate.login.knock(&from(&browser), &login, "ann", secret()).await;
    assert!(matches!(answer.step, Step::Redirect(_)), "{:?}", answer.step);
    gate.clock.advance(899);
    let login = gate.ring(&mut browser);
    assert_eq!(refused(gate.knock(&mut browser, &login, "ann", PASSWORD).await).code, "address-locked-out");
    gate.clock.advance(1);
    let login = gate.ring(&mut browser);
    redirected(gate.knock(&mut browser, &login, "ann", PASSWORD).await);
    let codes: Vec<_> = gate.recorded("emergency.refused").iter().map(|it| it["outcome"]["code"].clone()).collect();
    assert_eq!(codes[3..], [json!("address-locked-out"), json!("address-locked-out")]);
}

#[tokio::test]
async fn a_form_that_was_not_shown_in_this_browser_opens_nothing() {
    let gate = gate(&[form(), allow()], &allow(), "");
    let (mut theirs, mut mine) = (Browser::default(), Browser::default());
    let shown = gate.ring(&mut theirs);
    assert_eq!(refused(gate.knock(&mut mine, &shown, "ann", PASSWORD).await).code, "login-unknown");
    gate.ring(&mut mine);
    assert_eq!(refused(gate.knock(&mut mine, &shown, "ann", PASSWORD).await).code, "login-unknown", "another one's");
    gate.clock.advance(601);
    assert_eq!(refused(gate.knock(&mut theirs, &shown, "ann", PASSWORD).await).code, "login-unknown", "too late");
    assert!(gate.alerts().is_empty(), "no password was looked at");
}

#[tokio::test]
async fn an_ordinary_login_opens_no_door_and_the_door_is_no_ordinary_login() {
    let gate = gate(&[form(), allow()], &allow(), "");
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    // Whoever is logged in is shown the form, as anybody is.
    let login = gate.ring(&mut browser);
    assert!(matches!(gate.knock(&mut browser, &login, "ann", "wrong").await, Step::DoorForm { .. }));
    assert!(!session_of(gate.check(&mut browser, "/").await).identity.is_of_the_door());

    // And who came by the door is nobody to the policies in force.
    let mut browser = Browser::default();
    gate.come_in(&mut browser).await;
    assert!(browser.names(GATE).contains(&"__Host-vestibule-sso"), "a logout ends it");
    assert!(matches!(gate.begin(&mut browser, "/").await, Step::LocalForm { .. }), "the password is asked for");
    let own = gate.login.second_factor(&browser.visitor(GATE), FactorStep::Own).await;
    assert!(matches!(own.step, Step::Refused(_)), "no second factor is changed by way of the door");
}

#[tokio::test]
async fn a_pass_is_good_for_one_application_once() {
    let gate = gate(&[form(), allow()], &allow(), "");
    let mut browser = Browser::default();
    redirected(gate.knock_rightly(&mut browser).await);
    // Another application's way in is the ordinary one, with the same pass in the browser.
    let started = gate.login.start(&browser.visitor(FILES), "files", Some("/"), &Demand::default());
    let to = redirected(browser.keep(FILES, started));
    let part = |name: &str| to.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let then = Then::ForwardAuth { from: part("from"), return_to: part("rd"), binding: part("binding") };
    let wanted = Wanted {
        application: "files".into(),
        then,
        max_age: None,
        fresh: false,
        select_account: false,
        silent: false,
        login_hint: None,
        acr_values: vec![],
        demanded_acr: vec![],
    };
    let answer = gate.login.begin(&browser.visitor(GATE), wanted).await;
    assert!(matches!(answer.step, Step::LocalForm { .. }), "{:?}", answer.step);
    // The browser that kept the pass's cookie gains nothing by it.
    let kept = browser.clone();
    let to = redirected(gate.begin(&mut browser, "/").await);
    assert_eq!(to.path(), "/vestibule/enter/wiki");
    let mut again = kept;
    assert!(matches!(gate.begin(&mut again, "/").await, Step::LocalForm { .. }));
}

#[tokio::test]
async fn the_door_opens_no_more_than_it_is_told() {
    let gate = gate(&[form(), allow()], &allow(), "applications = [\"wiki\"]\n");
    let browser = Browser::default();
    // There is nothing to choose.
    let only = gate.login.door(&browser.visitor(GATE), None);
    assert!(matches!(only.step, Step::DoorForm { application, .. } if application == "wiki"));
    for other in ["files", "nothing"] {
        let answer = gate.login.door(&browser.visitor(GATE), Some(other));
        match answer.step {
            Step::Refused(refusal) => {
                assert_eq!((refusal.class, &*refusal.code), (Class::NotFound, "unknown-application"))
            }
            step => panic!("{other}: {step:?}"),
        }
    }
}

#[tokio::test]
async fn where_it_opens_several_applications_it_asks_which() {
    let gate = gate(&[form(), allow()], &allow(), "");
    match gate.login.door(&Browser::default().visitor(GATE), None).step {
        Step::DoorChoice { applications } => {
            assert_eq!(applications.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["files", "wiki"]);
        }
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn a_pinned_policy_that_fails_lets_nobody_in() {
    let endless = Guest::new(Hook::Admit, "(loop (br 0)) (unreachable)");
    for (pinned, code) in
        [(trap(Hook::Admit), "policy-trapped"), (endless, "policy-fuel"), (step_up(60), "not-allowed")]
    {
        let gate = gate(&[form(), allow()], &pinned, "");
        let refusal = refused(gate.knock_rightly(&mut Browser::default()).await);
        assert_eq!(refusal.code, code);
        assert_eq!(gate.alerts(), [alert("emergency.decision", false)], "{code}");
    }
}

#[tokio::test]
async fn a_pinned_policy_decides_about_each_request_of_its_sessions() {
    let pinned = allow().hook(Hook::Access, "(unreachable)");
    let gate = gate(&[form(), allow()], &pinned, "");
    let mut browser = Browser::default();
    gate.come_in(&mut browser).await;
    session_of(gate.check(&mut browser, "/pages").await);
    match gate.check(&mut browser, "/admin/users").await {
        Check::Refused(refusal) => assert_eq!(refusal.code, "policy-trapped"),
        check => panic!("{check:?}"),
    }
    // Those of everybody else it leaves alone.
    let mut ordinary = Browser::default();
    gate.log_in(&mut ordinary).await;
    session_of(gate.check(&mut ordinary, "/admin/users").await);
}

#[tokio::test]
async fn a_logout_ends_the_doors_session_and_time_does() {
    let gate = gate(&[trap(Hook::Route)], &allow(), "lifetime-s = 600\n");
    let mut browser = Browser::default();
    gate.come_in(&mut browser).await;
    let kept = browser.clone();
    let departed = gate.login.depart(&browser.visitor(WIKI), "wiki", None).await;
    let to = redirected(browser.keep(WIKI, departed));
    assert_eq!(to.path(), "/logout");
    assert!(matches!(gate.check(&mut kept.clone(), "/").await, Check::NoSession { .. }), "a copy of the cookie, too");

    let mut browser = Browser::default();
    gate.come_in(&mut browser).await;
    let left = gate.login.logout(&browser.visitor(GATE), Some("wiki"), None, None).await;
    assert!(matches!(browser.keep(GATE, left), Step::LoggedOut { .. } | Step::Redirect(_)));
    assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }), "the gateway's logout ends it");

    let mut browser = Browser::default();
    gate.come_in(&mut browser).await;
    gate.clock.advance(599);
    session_of(gate.check(&mut browser, "/").await);
    gate.clock.advance(1);
    assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }));
}

#[tokio::test]
async fn an_application_with_a_login_of_its_own_gets_no_identity() {
    let own = |more: &str| {
        format!(
            "[applications.own]\nurl = \"https://own.example.org/\"\nupstreams = [\"here\"]\nchain = [\"p0\"]\n{more}[applications.own.forward-auth]\n"
        )
    };
    let gate = gate(&[trap(Hook::Route)], &allow(), &own("own-login-path = \"/login.jsp?os=1\"\n"));
    let own = "https://own.example.org/";
    let mut browser = Browser::default();
    let login = match browser.keep(GATE, gate.login.door(&browser.visitor(GATE), Some("own"))) {
        Step::DoorForm { login, .. } => login,
        step => panic!("{step:?}"),
    };
    let start = redirected(gate.knock(&mut browser, &login, "ann", PASSWORD).await);
    let started = gate.login.start(&browser.visitor(own), "own", Some("/anywhere"), &Demand::default());
    assert_eq!(start.path(), "/vestibule/start/own");
    let to = redirected(browser.keep(own, started));
    let part = |name: &str| to.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let wanted = Wanted {
        application: "own".into(),
        then: Then::ForwardAuth { from: part("from"), return_to: part("rd"), binding: part("binding") },
        max_age: None,
        fresh: false,
        select_account: false,
        silent: false,
        login_hint: None,
        acr_values: vec![],
        demanded_acr: vec![],
    };
    let begun = gate.login.begin(&browser.visitor(GATE), wanted).await;
    let to = redirected(browser.keep(GATE, begun));
    let ticket = to.query_pairs().find(|(name, _)| name == "ticket").unwrap().1.into_owned();
    let entered = gate.login.enter(&browser.visitor(own), "own", &ticket).await;
    assert_eq!(redirected(browser.keep(own, entered)).as_str(), "https://own.example.org/login.jsp?os=1");
    let request = AccessRequest { method: "GET".into(), host: "own.example.org".into(), path: "/login.jsp".into() };
    assert!(matches!(gate.login.check(&browser.visitor(own), "own", &request).await, Check::Anonymous));
    // Without the session it is no open door.
    let stranger = gate.login.check(&Browser::default().visitor(own), "own", &request).await;
    assert!(matches!(stranger, Check::NoSession { .. }), "{stranger:?}");
}

#[tokio::test]
async fn protected_groups_are_nobodys_at_the_door_either() {
    let guarded = "[applications.guarded]\nurl = \"https://guarded.example.org/\"\nupstreams = [\"here\"]\nchain = [\"p0\"]\nprotected-groups = [\"staff\"]\n[applications.guarded.forward-auth]\n";
    let gate = gate(&[trap(Hook::Route)], &allow(), guarded);
    let mut browser = Browser::default();
    let login = match browser.keep(GATE, gate.login.door(&browser.visitor(GATE), Some("guarded"))) {
        Step::DoorForm { login, .. } => login,
        step => panic!("{step:?}"),
    };
    redirected(gate.knock(&mut browser, &login, "ann", PASSWORD).await);
    let outcome = &gate.recorded("emergency.decision")[0]["outcome"];
    assert_eq!(outcome["groups"]["groups"], json!([]), "{outcome}");
}

#[tokio::test]
async fn what_cannot_be_recorded_opens_no_door() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let full = Arc::new(AtomicBool::new(false));
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("door.wasm"), allow().component()).unwrap();
    let rest = "[emergency]\npath = \"/door-0123456789abcdef\"\ncomponent = \"door.wasm\"\n";
    let disk = Arc::clone(&full);
    let gate = Gate::made(folder, &[form()], rest, |_, clock| Audit::on_a_disk(disk, clock));
    full.store(true, Ordering::Relaxed);
    let refusal = refused(gate.knock_rightly(&mut Browser::default()).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Unavailable, "audit-unavailable"));
}

#[tokio::test]
async fn without_a_door_there_is_nothing() {
    let gate = Gate::new(&[form(), allow()]);
    let visitor = Browser::default().visitor(GATE);
    for step in [
        gate.login.door(&visitor, Some("wiki")).step,
        gate.login.knock(&visitor, "x", "ann", Secret::new(PASSWORD.to_owned())).await.step,
    ] {
        assert_eq!(refused(step).class, Class::NotFound);
    }
}

/// What the door of `gate`'s folder says, with this pinned policy.
fn opened(gate: &Gate, pinned: &[u8]) -> Result<bool, String> {
    fs::write(gate.folder.path().join("door.wasm"), pinned).unwrap();
    let config = config::load(&gate.folder.path().join("vestibule.toml")).unwrap();
    Door::open(&config, &engine(|_| {})).map(|door| door.is_some()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_door_that_would_let_nobody_in_is_known_at_the_start() {
    let gate = gate(&[form(), allow()], &allow(), "");
    assert_eq!(opened(&gate, &allow().component()), Ok(true));
    let no_admit = opened(&gate, &form().component()).unwrap_err();
    assert!(no_admit.contains("no hook `admit`"), "{no_admit}");
    let broken = opened(&gate, b"not a component").unwrap_err();
    assert!(broken.contains("door.wasm"), "{broken}");
    fs::write(gate.folder.path().join("accounts.toml"), "").unwrap();
    let empty = opened(&gate, &allow().component()).unwrap_err();
    assert!(empty.contains("no account"), "{empty}");
    fs::remove_file(gate.folder.path().join("accounts.toml")).unwrap();
    assert!(opened(&gate, &allow().component()).unwrap_err().contains("accounts"));

    let text = fs::read_to_string(gate.folder.path().join("vestibule.toml")).unwrap();
    let pinned = text.replace(
        "component = \"door.wasm\"\n",
        &format!("component = \"door.wasm\"\ncomponent-digest = \"{}\"\n", "0".repeat(64)),
    );
    fs::write(gate.folder.path().join("vestibule.toml"), pinned).unwrap();
    fs::write(
        gate.folder.path().join("accounts.toml"),
        "[accounts.a]\npassword = \"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo\"\n",
    )
    .unwrap();
    let other = opened(&gate, &allow().component()).unwrap_err();
    assert!(other.contains("sha-256"), "{other}");
}

#[tokio::test]
async fn a_new_configuration_moves_no_door() {
    let gate = gate(&[form(), allow()], &allow(), "applications = [\"wiki\"]\n");
    let path = gate.folder.path().join("vestibule.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("/door-0123456789abcdef", "/another-0123456789abcdef").replace("[\"wiki\"]\n[", "["))
        .unwrap();
    let event = gate.generations.reload();
    assert!(event.notes.iter().any(|note| note.contains("`emergency` changed")), "{event:?}");
    let emergency = gate.generations.current().config().emergency.clone().unwrap();
    assert!(emergency.path.is("/door-0123456789abcdef"));
    // A policy that traps is no matter of the door's, whenever it comes.
    fs::write(gate.folder.path().join("p0.wasm"), trap(Hook::Route).component()).unwrap();
    gate.generations.reload();
    let mut browser = Browser::default();
    assert_eq!(refused(gate.begin(&mut browser, "/").await).code, "policy-trapped");
    gate.come_in(&mut browser).await;
    session_of(gate.check(&mut browser, "/").await);
}
