//! Requirements on the gateway's own second factor within a login.

use super::*;
use crate::{factor::TotpSecret, identity::SECOND_FACTOR};

const SECTION: &str = "[second-factor]\nfile = \"factors.json\"\ncodes-per-minute = 1000\n";

/// A gateway whose route demands the second factor of everybody.
fn gate() -> Gate {
    Gate::with(&[to_with_acr("here", SECOND_FACTOR), allow()], SECTION)
}

impl Gate {
    async fn factor(&self, browser: &mut Browser, step: FactorStep) -> Step {
        let answer = self.login.second_factor(&browser.visitor(GATE), step).await;
        browser.keep(GATE, answer)
    }

    async fn ask(&self, browser: &mut Browser, login: &str) -> Step {
        self.factor(browser, FactorStep::Ask { login: login.into() }).await
    }

    async fn code(&self, browser: &mut Browser, login: &str, code: &str) -> Step {
        self.factor(browser, FactorStep::Prove { login: login.into(), code: Secret::new(code.into()) }).await
    }

    /// Proves the password, and sees the page that asks for a code.
    async fn first(&self, browser: &mut Browser) -> (String, Step) {
        let page = redirected(self.prove(browser).await);
        assert!(page.path().ends_with("/login/wiki/second-factor"), "{page}");
        let login = page.query_pairs().find(|(name, _)| name == "login").unwrap().1.into_owned();
        let step = self.ask(browser, &login).await;
        (login, step)
    }

    /// Sets a factor up, and is let in.
    async fn enrol(&self, browser: &mut Browser) -> (TotpSecret, Vec<Secret<String>>) {
        let (login, step) = self.first(browser).await;
        let secret = secret_of(step);
        let codes = match self.code(browser, &login, &secret.shown(self.clock.now())).await {
            Step::RecoveryCodes { login: Some(_), codes, .. } => codes,
            step => panic!("{step:?}"),
        };
        let to = redirected(self.factor(browser, FactorStep::Seen { login }).await);
        self.enter(browser, &to).await;
        (secret, codes)
    }
}

fn secret_of(step: Step) -> TotpSecret {
    match step {
        Step::SecondFactor { enrolment: Some(enrolment), .. } => TotpSecret::read(enrolment.secret.expose()).unwrap(),
        step => panic!("{step:?}"),
    }
}

fn error_of(step: Step) -> Option<FormError> {
    match step {
        Step::SecondFactor { enrolment, error, .. } => {
            assert!(enrolment.is_none(), "it is set up already");
            error
        }
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn it_is_set_up_at_the_first_demand_and_proved_at_the_next() {
    let gate = gate();
    let mut browser = Browser::default();
    let (secret, codes) = gate.enrol(&mut browser).await;
    assert_eq!(codes.len(), 10);
    let session = session_of(gate.check(&mut browser, "/").await);
    assert_eq!(session.identity.acr.as_deref(), Some(SECOND_FACTOR));
    assert_eq!(session.identity.amr, ["pwd", "otp", "mfa"]);
    assert_eq!(session.identity.auth_time, Some(testing::NOW));
    // Another browser, later: a code, and no set-up.
    gate.clock.advance(60);
    let mut other = Browser::default();
    let (login, step) = gate.first(&mut other).await;
    assert_eq!(error_of(step), None);
    let to = redirected(gate.code(&mut other, &login, &secret.shown(gate.clock.now())).await);
    gate.enter(&mut other, &to).await;
    assert_eq!(session_of(gate.check(&mut other, "/").await).identity.auth_time, Some(testing::NOW + 60));
    for (kind, times) in [("factor.enrolled", 1), ("factor.passed", 1), ("factor.failed", 0)] {
        assert_eq!(gate.recorded(kind).len(), times, "{kind}");
    }
    let audit = fs::read_to_string(gate.folder.path().join("audit.jsonl")).unwrap();
    assert!(!audit.contains(secret.text().expose().as_str()) && !audit.contains(codes[0].expose().as_str()));
}

#[tokio::test]
async fn who_is_remembered_with_it_need_not_prove_it_again() {
    let gate = gate();
    let mut browser = Browser::default();
    gate.enrol(&mut browser).await;
    let to = redirected(gate.begin(&mut browser, "/").await);
    assert!(to.path().starts_with("/vestibule/enter/"), "{to}");
}

#[tokio::test]
async fn no_step_after_it_is_taken_before_it() {
    let gate = gate();
    let mut browser = Browser::default();
    let (login, step) = gate.first(&mut browser).await;
    let secret = secret_of(step);
    let before = browser.clone();
    // Neither the next page, nor another step, nor the application, nor a new begin.
    let seen = refused(gate.factor(&mut browser, FactorStep::Seen { login: login.clone() }).await);
    assert_eq!(seen.code, "login-not-at-this-step");
    assert_eq!(refused(gate.password(&mut browser, &login, PASSWORD).await).code, "login-not-at-this-step");
    let identified = gate.login.identified(&browser.visitor(GATE), &login, "ann").await.step;
    assert_eq!(refused(identified).code, "login-not-at-this-step");
    assert!(matches!(gate.check(&mut browser, "/").await, Check::NoSession { .. }));
    form_of(gate.begin(&mut browser.clone(), "/").await);
    assert!(browser.names(GATE).iter().all(|name| name.contains("login-")), "{:?}", browser.names(GATE));
    // In another browser there is no such login.
    let mut other = Browser::default();
    assert_eq!(refused(gate.ask(&mut other, &login).await).code, "login-unknown");
    let code = secret.shown(gate.clock.now());
    assert_eq!(refused(gate.code(&mut other, &login, &code).await).code, "login-unknown");
    // A cookie from before the code leads nowhere after it.
    assert!(matches!(gate.code(&mut browser, &login, &code).await, Step::RecoveryCodes { .. }));
    let mut copied = before;
    let again = refused(gate.code(&mut copied, &login, &code).await);
    assert_eq!(again.code, "second-factor-set-up-meanwhile");
    redirected(gate.factor(&mut browser.clone(), FactorStep::Seen { login: login.clone() }).await);
    assert_eq!(refused(gate.factor(&mut browser, FactorStep::Seen { login }).await).code, "state-used");
}

#[tokio::test]
async fn a_code_counts_once_in_any_browser() {
    let gate = gate();
    let (secret, codes) = gate.enrol(&mut Browser::default()).await;
    gate.clock.advance(60);
    let code = secret.shown(gate.clock.now());
    let (mut one, mut other) = (Browser::default(), Browser::default());
    let (login, _) = gate.first(&mut one).await;
    redirected(gate.code(&mut one, &login, &code).await);
    let (login, _) = gate.first(&mut other).await;
    assert_eq!(error_of(gate.code(&mut other, &login, &code).await), Some(FormError::CodeUsed));
    redirected(gate.code(&mut other, &login, codes[0].expose()).await);
    let mut third = Browser::default();
    let (login, _) = gate.first(&mut third).await;
    assert_eq!(error_of(gate.code(&mut third, &login, codes[0].expose()).await), Some(FormError::Code));
    assert_eq!(gate.recorded("factor.recovery-code-used").len(), 1);
    assert_eq!(gate.recorded("factor.failed").len(), 2);
}

#[tokio::test]
async fn guessing_is_locked_out_and_a_recovery_code_still_counts() {
    let gate = gate();
    let (secret, codes) = gate.enrol(&mut Browser::default()).await;
    gate.clock.advance(90);
    let mut browser = Browser::default();
    let (login, _) = gate.first(&mut browser).await;
    let now = gate.clock.now();
    let near = [now - 30, now, now + 30].map(|at| secret.shown(at));
    let wrong =
        (0..9).map(|digit| format!("{digit}{digit}{digit}{digit}{digit}{digit}")).find(|code| !near.contains(code));
    let wrong = wrong.unwrap();
    for _ in 0..5 {
        assert_eq!(error_of(gate.code(&mut browser, &login, &wrong).await), Some(FormError::Code));
    }
    assert_eq!(error_of(gate.code(&mut browser, &login, &near[1]).await), Some(FormError::CodeLocked));
    redirected(gate.code(&mut browser, &login, codes[0].expose()).await);
}

#[tokio::test]
async fn codes_are_limited_per_address_before_they_cost() {
    let section = "[second-factor]\nfile = \"factors.json\"\ncodes-per-minute = 2\n";
    let gate = Gate::with(&[to_with_acr("here", SECOND_FACTOR), allow()], section);
    let mut browser = Browser::default();
    let (login, _) = gate.first(&mut browser).await;
    for _ in 0..2 {
        assert!(matches!(gate.code(&mut browser, &login, "x").await, Step::SecondFactor { .. }));
    }
    let refusal = refused(gate.code(&mut browser, &login, "x").await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::TooOften, "too-many-codes"));
}

#[tokio::test]
async fn a_demand_that_nobody_can_meet_ends_with_a_reason() {
    // There is no second factor.
    let gate = Gate::new(&[to_with_acr("here", SECOND_FACTOR), allow()]);
    let refusal = refused(gate.prove(&mut Browser::default()).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Unavailable, "second-factor-unavailable"));
    // A policy that is never satisfied.
    let gate = Gate::with(&[form(), allow(), step_up_to(SECOND_FACTOR)], SECTION);
    let mut browser = Browser::default();
    let (login, step) = gate.first(&mut browser).await;
    let secret = secret_of(step);
    gate.code(&mut browser, &login, &secret.shown(gate.clock.now())).await;
    let refusal = refused(gate.factor(&mut browser, FactorStep::Seen { login }).await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Denied, "step-up-unmet"));
}

/// An `admit` that asks for `acr`, whatever it is told.
fn step_up_to(acr: &str) -> Guest {
    let (list, name) = (TEXT + 256, TEXT + 3);
    let answer = Bytes::default().word(3).list(list, 1).word(0).word(0).list(TEXT, 3).list(0, 0).done();
    Guest::answering(Hook::Admit, &answer)
        .text(&format!("old{acr}"))
        .data(list, &Bytes::default().list(name, acr.len()).done())
}

/// What the application's host sends on to the gateway's, with a demand.
async fn demanded(gate: &Gate, browser: &mut Browser, max_age: Option<u32>) -> Step {
    let demand = Demand { max_age, acr_values: vec![SECOND_FACTOR.into()], fresh: false };
    let started = gate.login.start(&browser.visitor(WIKI), "wiki", Some("/admin"), &demand);
    let to = redirected(browser.keep(WIKI, started));
    gate.begin_at(browser, &to).await
}

#[tokio::test]
async fn the_upstream_is_not_asked_for_what_we_prove_ourselves() {
    let gate = Gate::with(&[to("corp"), allow()], SECTION);
    let mut browser = Browser::default();
    match demanded(&gate, &mut browser, Some(600)).await {
        Step::Leave { to, .. } => {
            let asked: Vec<_> = to.query_pairs().map(|(name, _)| name.into_owned()).collect();
            assert!(!asked.iter().any(|name| name == "acr_values" || name == "max_age"), "{to}");
        }
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn a_remembered_login_is_proved_further_and_not_lengthened() {
    let gate = Gate::with(&[form(), allow()], SECTION);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    assert_eq!(session_of(gate.check(&mut browser, "/").await).identity.acr, None);
    // Nothing is set up: the password first, so that a stolen cookie sets up nothing.
    gate.clock.advance(100);
    let login = form_of(demanded(&gate, &mut browser, None).await);
    let page = redirected(gate.password(&mut browser, &login, PASSWORD).await);
    let login = page.query_pairs().find(|(name, _)| name == "login").unwrap().1.into_owned();
    let secret = secret_of(gate.ask(&mut browser, &login).await);
    gate.code(&mut browser, &login, &secret.shown(gate.clock.now())).await;
    let to = redirected(gate.factor(&mut browser, FactorStep::Seen { login }).await);
    gate.enter(&mut browser, &to).await;
    assert_eq!(session_of(gate.check(&mut browser, "/").await).identity.acr.as_deref(), Some(SECOND_FACTOR));
    // Lately enough: no page at all.
    assert!(redirected(demanded(&gate, &mut browser, Some(600)).await).path().starts_with("/vestibule/enter/"));
    // Not lately enough: the code alone, since the person is remembered.
    gate.clock.advance(1000);
    let page = redirected(demanded(&gate, &mut browser, Some(600)).await);
    let login = page.query_pairs().find(|(name, _)| name == "login").unwrap().1.into_owned();
    let now = gate.clock.now();
    let to = redirected(gate.code(&mut browser, &login, &secret.shown(now)).await);
    gate.enter(&mut browser, &to).await;
    let session = session_of(gate.check(&mut browser, "/").await);
    assert_eq!(session.identity.auth_time, Some(now));
    assert!(session.expires() <= testing::NOW + 100 + 28_800, "it ends when the first proof would have ended it");
}

#[tokio::test]
async fn a_logout_ends_a_login_that_waits_for_a_code() {
    let gate = Gate::with(&[form(), allow()], SECTION);
    let mut browser = Browser::default();
    let (secret, _) = {
        // Set up beforehand, elsewhere.
        let mut other = Browser::default();
        let login = form_of(demanded(&gate, &mut other, None).await);
        let page = redirected(gate.password(&mut other, &login, PASSWORD).await);
        let login = page.query_pairs().find(|(name, _)| name == "login").unwrap().1.into_owned();
        let secret = secret_of(gate.ask(&mut other, &login).await);
        (secret.clone(), gate.code(&mut other, &login, &secret.shown(gate.clock.now())).await)
    };
    gate.log_in(&mut browser).await;
    gate.clock.advance(60);
    let page = redirected(demanded(&gate, &mut browser, None).await);
    let login = page.query_pairs().find(|(name, _)| name == "login").unwrap().1.into_owned();
    let mut copied = browser.clone();
    let out = gate.login.logout(&browser.visitor(GATE), None, None).await;
    browser.keep(GATE, out);
    for browser in [&mut browser, &mut copied] {
        let refusal = refused(gate.code(browser, &login, &secret.shown(gate.clock.now())).await);
        assert_eq!(refusal.code, "login-expired");
    }
}

#[tokio::test]
async fn a_change_of_a_factor_wants_a_code_and_somebody_who_is_remembered() {
    let gate = gate();
    let mut browser = Browser::default();
    let change = |change, code: &str| FactorStep::Change { change, code: Secret::new(code.into()) };
    assert_eq!(refused(gate.factor(&mut browser, FactorStep::Own).await).code, "login-required");
    let stranger = refused(gate.factor(&mut browser, change(FactorChange::Remove, "123456")).await);
    assert_eq!(stranger.code, "login-required");
    let (secret, codes) = gate.enrol(&mut browser).await;
    assert!(matches!(
        gate.factor(&mut browser, FactorStep::Own).await,
        Step::Factor { recovery_codes: Some(10), error: None }
    ));
    // The code of the login is used up, and a wrong one is wrong.
    for (code, error) in [(secret.shown(testing::NOW), FormError::CodeUsed), ("0".into(), FormError::Code)] {
        match gate.factor(&mut browser, change(FactorChange::Remove, &code)).await {
            Step::Factor { recovery_codes: Some(10), error: found } => assert_eq!(found, Some(error)),
            step => panic!("{step:?}"),
        }
    }
    let renewed = match gate.factor(&mut browser, change(FactorChange::RecoveryCodes, codes[0].expose())).await {
        Step::RecoveryCodes { login: None, codes, .. } => codes,
        step => panic!("{step:?}"),
    };
    assert!(matches!(
        gate.factor(&mut browser, change(FactorChange::Remove, codes[1].expose())).await,
        Step::Factor { error: Some(FormError::Code), .. }
    ));
    assert!(matches!(
        gate.factor(&mut browser, change(FactorChange::Remove, renewed[0].expose())).await,
        Step::Factor { recovery_codes: None, error: None }
    ));
    assert_eq!(gate.recorded("factor.recovery-codes-renewed").len(), 1);
    assert_eq!(gate.recorded("factor.removed").len(), 1);
}

#[tokio::test]
async fn a_relying_partys_wish_for_it_is_granted() {
    let gate = Gate::with(
        &[form(), allow()],
        &format!(
            "{SECTION}[applications.op]\nurl = \"https://rp.example.org/\"\nupstreams = [\"here\"]\n\
             chain = [\"p0\", \"p1\"]\n[applications.op.oidc]\nredirect-uris = [\"https://rp.example.org/cb\"]\n"
        ),
    );
    let wanted = |silent| Wanted {
        application: "op".into(),
        then: Then::Oidc { request: "sealed".into() },
        max_age: None,
        fresh: false,
        select_account: false,
        silent,
        login_hint: None,
        acr_values: vec![SECOND_FACTOR.into()],
        demanded_acr: vec![],
    };
    let mut browser = Browser::default();
    let begun = gate.login.begin(&browser.visitor(GATE), wanted(false)).await;
    let login = form_of(browser.keep(GATE, begun));
    let page = redirected(gate.password(&mut browser, &login, PASSWORD).await);
    assert!(page.path().ends_with("/login/op/second-factor"), "{page}");
    let secret = secret_of(gate.ask(&mut browser, &login).await);
    gate.code(&mut browser, &login, &secret.shown(gate.clock.now())).await;
    match gate.factor(&mut browser, FactorStep::Seen { login }).await {
        Step::Admitted { admission, .. } => assert_eq!(admission.identity.acr.as_deref(), Some(SECOND_FACTOR)),
        step => panic!("{step:?}"),
    }
    assert!(matches!(gate.login.begin(&browser.visitor(GATE), wanted(true)).await.step, Step::Admitted { .. }));
}

#[tokio::test]
async fn what_an_operator_reset_is_on_record() {
    let gate = gate();
    let mut browser = Browser::default();
    gate.enrol(&mut browser).await;
    let operator = Factors::open(&gate.folder.path().join("factors.json"), testing::keys()).unwrap();
    let whose = operator.list().unwrap();
    let whose = crate::factor::Whose { issuer: &whose[0].issuer, subject: &whose[0].subject };
    assert!(operator.reset(whose, 7).unwrap());
    assert!(matches!(gate.factor(&mut browser, FactorStep::Own).await, Step::Factor { recovery_codes: None, .. }));
    for _ in 0..200 {
        if !gate.recorded("factor.reset").is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(gate.recorded("factor.reset").len(), 1);
}
