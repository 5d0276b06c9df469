//! Requirements on the decision: who is let in, who is not, and that it is on record.

use super::*;

#[tokio::test]
async fn admits_who_knows_the_password_and_carries_the_session_to_the_applications_host() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }));

    let login = form_of(gate.begin(&mut browser, "/Home?x=1").await);
    match gate.password(&mut browser, &login, "wrong").await {
        Step::LocalForm { error, .. } => assert_eq!(error, Some(FormError::Credentials)),
        step => panic!("{step:?}"),
    }
    let refused = gate.recorded("authentication.refused");
    assert_eq!((refused.len(), &refused[0]["outcome"]["code"]), (1, &json!("credentials-refused")));
    assert!(!refused[0].to_string().contains("\"ann\""), "{}", refused[0]);
    let to = redirected(gate.password(&mut browser, &login, PASSWORD).await);
    assert_eq!(to.origin(), Url::parse(WIKI).unwrap().origin());
    assert_eq!(to.path(), "/vestibule/enter/wiki");
    assert_eq!(redirected(gate.enter(&mut browser, &to).await).as_str(), "https://wiki.example.org/Home?x=1");

    let session = session_of(gate.check(&mut browser, "/Home").await);
    assert_eq!((session.application.as_str(), session.identity.subject.as_str()), ("wiki", "ann"));
    assert_eq!(session.login, login, "the audit's key");
    assert_eq!(browser.names(WIKI), ["__Host-vestibule-app-wiki", "__Host-vestibule-enter"]);
    assert_eq!(browser.names(GATE), ["__Host-vestibule-sso"], "the pending login is over");
    assert_eq!(gate.recorded("decision.login").len(), 1);
    assert_eq!(gate.recorded("session.started").len(), 1);
}

#[tokio::test]
async fn a_second_login_saves_the_trip_but_not_the_decision() {
    let gate = Gate::new(&[form(), allow()]);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    let to = redirected(gate.begin(&mut browser, "/again").await);
    assert_eq!(redirected(gate.enter(&mut browser, &to).await).path(), "/again");
    assert_eq!(gate.recorded("decision.login").len(), 2, "decided anew");
}

#[tokio::test]
async fn denies_with_the_policys_reason_and_on_record() {
    let gate = Gate::new(&[form(), deny()]);
    let mut browser = Browser::default();
    let refusal = refused(gate.prove(&mut browser).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "not-today"));
    assert!(!browser.names(GATE).contains(&"__Host-vestibule-sso"), "nobody is remembered who was not admitted");
    let recorded = gate.recorded("decision.login");
    assert_eq!((recorded.len(), recorded[0].to_string().contains("not-today")), (1, true));
}

#[tokio::test]
async fn denies_where_no_policy_allows() {
    let gate = Gate::new(&[form()]);
    let refusal = refused(gate.prove(&mut Browser::default()).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "not-allowed"));
}

#[tokio::test]
async fn a86_no_policy_denies_everybody() {
    let gate = Gate::new(&[]);
    let refusal = refused(gate.begin(&mut Browser::default(), "/").await);
    assert_eq!(refusal.code, "no-policy");
}

#[tokio::test]
async fn a_step_up_is_asked_for_so_often_and_then_denied() {
    let gate = Gate::new(&[form(), allow(), step_up(60)]);
    let mut browser = Browser::default();
    let mut step = gate.prove(&mut browser).await;
    for _ in 0..2 {
        let login = form_of(step);
        step = gate.password(&mut browser, &login, PASSWORD).await;
    }
    let refusal = refused(step);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "step-up-unmet"));
    let recorded = gate.recorded("decision.login");
    assert_eq!(recorded.len(), 3);
    assert!(recorded[0].to_string().contains("step-up-required"));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_denied() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let full = Arc::new(AtomicBool::new(false));
    let disk = Arc::clone(&full);
    let gate = Gate::recording(&[form(), allow(), reauthenticate(300)], "", |_, clock| Audit::on_a_disk(disk, clock));
    let unavailable = |refusal: Refusal| {
        assert_eq!((refusal.class, refusal.code.as_str()), (Class::Unavailable, "audit-unavailable"));
    };
    let mut browser = Browser::default();
    // The way to the form.
    full.store(true, Ordering::Relaxed);
    unavailable(refused(gate.begin(&mut browser, "/").await));
    // The decision.
    full.store(false, Ordering::Relaxed);
    let login = form_of(gate.begin(&mut browser, "/").await);
    full.store(true, Ordering::Relaxed);
    unavailable(refused(gate.password(&mut browser, &login, PASSWORD).await));
    assert!(!browser.names(GATE).contains(&"__Host-vestibule-sso"), "no single sign-on comes of it");
    // The session.
    full.store(false, Ordering::Relaxed);
    let to = redirected(gate.prove(&mut browser).await);
    full.store(true, Ordering::Relaxed);
    unavailable(refused(gate.enter(&mut browser, &to).await));
    assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }));
    // A request that a policy is asked about.
    full.store(false, Ordering::Relaxed);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    full.store(true, Ordering::Relaxed);
    match gate.check(&mut browser, "/admin/users").await {
        Check::Refused(refusal) => unavailable(refusal),
        check => panic!("{check:?}"),
    }
}

#[tokio::test]
async fn an_inactive_or_missing_account_is_not_let_in() {
    let gate = Gate::with(&[form(), allow()], "");
    let path = gate.folder.path().join("vestibule.toml");
    let text = fs::read_to_string(&path).unwrap();
    let directory = "url = \"https://wiki.example.org/\"\ndirectory = \"directory.toml\"";
    fs::write(&path, text.replace("url = \"https://wiki.example.org/\"", directory)).unwrap();
    let file = gate.folder.path().join("directory.toml");
    let account = |active: bool| {
        format!(
            "[[accounts]]\nusername = \"ann\"\nactive = {active}\n\
             linked = {{ issuer = \"https://gate.example.com\", subject = \"ann\" }}\n"
        )
    };
    fs::write(&file, account(true)).unwrap();
    let event = gate.generations.reload();
    assert_eq!(event.generation, 2, "{event}");
    assert_eq!(redirected(gate.prove(&mut Browser::default()).await).path(), "/vestibule/enter/wiki");
    fs::write(&file, account(false)).unwrap();
    let refusal = refused(gate.prove(&mut Browser::default()).await);
    assert_eq!(refusal.code, "account-inactive");
    fs::write(&file, "nonsense").unwrap();
    let refusal = refused(gate.prove(&mut Browser::default()).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Unavailable, "directory-unavailable"));
}
