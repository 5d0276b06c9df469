//! Requirements on the gateway's own second factor within a login.

use super::*;
use crate::{
    factor::{TotpSecret, soft::Authenticator},
    identity::{PHISHING_RESISTANT, SECOND_FACTOR},
};

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
    let out = gate.login.logout(&browser.visitor(GATE), None, None, None).await;
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
    let change = |change, code: &str| FactorStep::Change { change, proof: FactorProof::Code(Secret::new(code.into())) };
    assert_eq!(refused(gate.factor(&mut browser, FactorStep::Own).await).code, "login-required");
    let stranger = refused(gate.factor(&mut browser, change(FactorChange::Remove, "123456")).await);
    assert_eq!(stranger.code, "login-required");
    let (secret, codes) = gate.enrol(&mut browser).await;
    assert!(matches!(
        gate.factor(&mut browser, FactorStep::Own).await,
        Step::Factor { enrolled: Some(_), error: None, .. }
    ));
    // The code of the login is used up, and a wrong one is wrong.
    for (code, error) in [(secret.shown(testing::NOW), FormError::CodeUsed), ("0".into(), FormError::Code)] {
        match gate.factor(&mut browser, change(FactorChange::Remove, &code)).await {
            Step::Factor { enrolled: Some(_), error: found, .. } => assert_eq!(found, Some(error)),
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
        Step::Factor { enrolled: None, error: None, .. }
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
    assert!(matches!(gate.factor(&mut browser, FactorStep::Own).await, Step::Factor { enrolled: None, .. }));
    for _ in 0..200 {
        if !gate.recorded("factor.reset").is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(gate.recorded("factor.reset").len(), 1);
}

impl Gate {
    async fn new_passkey(&self, browser: &mut Browser, login: &str, attestation: &Value, code: Option<&str>) -> Step {
        let form = PasskeyForm { name: "phone".into(), attestation: Secret::new(attestation.to_string()) };
        let code = code.map(|code| Secret::new(code.to_owned()));
        self.factor(browser, FactorStep::NewPasskey { login: login.into(), form, code }).await
    }

    async fn passkey(&self, browser: &mut Browser, login: &str, answer: &Value) -> Step {
        let answer = Secret::new(answer.to_string());
        self.factor(browser, FactorStep::Passkey { login: login.into(), answer }).await
    }

    /// Sets a passkey up at the first demand, and is let in.
    async fn enrol_passkey(&self, browser: &mut Browser) -> (Authenticator, Vec<Secret<String>>) {
        let (login, step) = self.first(browser).await;
        let device = Authenticator::new(GATE);
        let attestation = device.attest(&options(&step).creation.unwrap());
        let codes = match self.new_passkey(browser, &login, &attestation, None).await {
            Step::RecoveryCodes { login: Some(_), codes, .. } => codes,
            step => panic!("{step:?}"),
        };
        let to = redirected(self.factor(browser, FactorStep::Seen { login }).await);
        self.enter(browser, &to).await;
        (device, codes)
    }
}

fn options(step: &Step) -> Options {
    match step {
        Step::SecondFactor { passkeys, .. } | Step::Factor { passkeys, .. } => passkeys.clone(),
        step => panic!("{step:?}"),
    }
}

fn code_of_failure(gate: &Gate) -> String {
    let last = gate.recorded("factor.failed").pop().unwrap().to_string();
    let known = ["passkey-not-asked", "passkey-counter", "passkey-origin", "passkey-unknown", "code-wrong"];
    known.into_iter().find(|code| last.contains(code)).unwrap_or_else(|| panic!("{last}")).to_owned()
}

#[tokio::test]
async fn a_passkey_is_set_up_at_the_first_demand_and_proved_at_the_next() {
    let gate = gate();
    let mut browser = Browser::default();
    let (mut device, codes) = gate.enrol_passkey(&mut browser).await;
    assert_eq!(codes.len(), 10);
    let session = session_of(gate.check(&mut browser, "/").await);
    assert_eq!(session.identity.acr.as_deref(), Some(SECOND_FACTOR));
    assert_eq!(session.identity.amr, ["pwd", "pop", "user", "mfa"]);
    let mut other = Browser::default();
    let (login, step) = gate.first(&mut other).await;
    assert!(matches!(&step, Step::SecondFactor { is_set_up: true, enrolment: None, is_passkey_wanted: false, .. }));
    assert_eq!(options(&step).creation, None, "the first factor alone adds nothing");
    device.counter += 1;
    let answer = device.assert(&options(&step).request.unwrap());
    // Not in another browser; there, nothing was asked.
    let mut third = Browser::default();
    assert_eq!(refused(gate.passkey(&mut third, &login, &answer).await).code, "login-unknown");
    let copied = other.clone();
    let to = redirected(gate.passkey(&mut other, &login, &answer).await);
    gate.enter(&mut other, &to).await;
    session_of(gate.check(&mut other, "/").await);
    // The same answer, with the cookie from before: it was asked once.
    let mut copied = copied;
    let again = gate.passkey(&mut copied, &login, &answer).await;
    assert!(matches!(again, Step::SecondFactor { error: Some(FormError::Passkey), .. }), "{again:?}");
    assert_eq!(code_of_failure(&gate), "passkey-not-asked");
    // Nor for another login of the same person.
    let mut fourth = Browser::default();
    let (mine, step) = gate.first(&mut fourth).await;
    device.counter += 1;
    let answer = device.assert(&options(&step).request.unwrap());
    let mut fifth = Browser::default();
    let (login, _) = gate.first(&mut fifth).await;
    let step = gate.passkey(&mut fifth, &login, &answer).await;
    assert!(matches!(step, Step::SecondFactor { error: Some(FormError::Passkey), .. }), "{step:?}");
    redirected(gate.passkey(&mut fourth, &mine, &answer).await);
    // The way back.
    let mut last = Browser::default();
    let (login, _) = gate.first(&mut last).await;
    redirected(gate.code(&mut last, &login, codes[0].expose()).await);
    assert_eq!(gate.recorded("factor.enrolled").len(), 1);
    assert_eq!(gate.recorded("factor.recovery-code-used").len(), 1);
}

#[tokio::test]
async fn a_page_that_is_shown_again_asks_anew() {
    let gate = gate();
    let (mut device, _) = gate.enrol_passkey(&mut Browser::default()).await;
    let mut browser = Browser::default();
    let (login, step) = gate.first(&mut browser).await;
    let old = options(&step).request.unwrap();
    let new = options(&gate.ask(&mut browser, &login).await).request.unwrap();
    assert_ne!(old, new);
    device.counter += 1;
    let step = gate.passkey(&mut browser, &login, &device.assert(&old)).await;
    assert!(matches!(step, Step::SecondFactor { error: Some(FormError::Passkey), .. }), "{step:?}");
    // A foreign page's answer, and a counter that went back.
    device.origin = "https://evil.example".into();
    let answer = device.assert(&options(&step).request.unwrap());
    let step = gate.passkey(&mut browser, &login, &answer).await;
    assert_eq!(code_of_failure(&gate), "passkey-origin");
    device.origin = "https://gate.example.com".into();
    device.counter = 1;
    let answer = device.assert(&options(&step).request.unwrap());
    let step = gate.passkey(&mut browser, &login, &answer).await;
    assert_eq!(code_of_failure(&gate), "passkey-counter");
    device.counter = 7;
    // Too late.
    gate.clock.advance(601);
    let answer = device.assert(&options(&step).request.unwrap());
    match gate.passkey(&mut browser, &login, &answer).await {
        Step::SecondFactor { .. } => assert_eq!(code_of_failure(&gate), "passkey-not-asked"),
        Step::Refused(refusal) => assert!(refusal.code.starts_with("login-"), "{refusal:?}"),
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn where_a_passkey_is_wanted_no_code_will_do_and_a_code_vouches_for_a_new_one() {
    // Nobody is set up: a passkey is, and nothing else is offered.
    let gate = Gate::with(&[to_with_acr("here", PHISHING_RESISTANT), allow()], SECTION);
    let mut browser = Browser::default();
    let (login, step) = gate.first(&mut browser).await;
    assert!(matches!(&step, Step::SecondFactor { enrolment: None, is_set_up: false, is_passkey_wanted: true, .. }));
    let step = gate.code(&mut browser, &login, "123456").await;
    assert!(matches!(&step, Step::SecondFactor { error: Some(FormError::PasskeyWanted), .. }), "{step:?}");
    let mut device = Authenticator::new(GATE);
    let attestation = device.attest(&options(&step).creation.unwrap());
    let codes = match gate.new_passkey(&mut browser, &login, &attestation, None).await {
        Step::RecoveryCodes { codes, .. } => codes,
        step => panic!("{step:?}"),
    };
    let to = redirected(gate.factor(&mut browser, FactorStep::Seen { login }).await);
    gate.enter(&mut browser, &to).await;
    let session = session_of(gate.check(&mut browser, "/").await);
    assert_eq!(session.identity.acr.as_deref(), Some(PHISHING_RESISTANT));
    // Set up: the passkey; a recovery code alone is not taken, nor used up.
    let mut other = Browser::default();
    let (login, _) = gate.first(&mut other).await;
    let step = gate.code(&mut other, &login, codes[0].expose()).await;
    assert!(matches!(&step, Step::SecondFactor { error: Some(FormError::PasskeyWanted), .. }), "{step:?}");
    device.counter += 1;
    let answer = device.assert(&options(&step).request.unwrap());
    redirected(gate.passkey(&mut other, &login, &answer).await);
    // Lost: another one, for which a recovery code vouches, and nothing less.
    let mut third = Browser::default();
    let (login, step) = gate.first(&mut third).await;
    let new = Authenticator::new(GATE);
    let attestation = new.attest(&options(&step).creation.unwrap());
    let refused_step = gate.new_passkey(&mut third, &login, &attestation, None).await;
    assert_eq!(refused(refused_step).code, "login-not-at-this-step");
    let step = gate.ask(&mut third, &login).await;
    let attestation = new.attest(&options(&step).creation.unwrap());
    let step = gate.new_passkey(&mut third, &login, &attestation, Some("000000")).await;
    assert!(matches!(&step, Step::SecondFactor { error: Some(FormError::Code), .. }), "{step:?}");
    let attestation = new.attest(&options(&step).creation.unwrap());
    let to = redirected(gate.new_passkey(&mut third, &login, &attestation, Some(codes[0].expose())).await);
    gate.enter(&mut third, &to).await;
    let session = session_of(gate.check(&mut third, "/").await);
    assert_eq!(session.identity.acr.as_deref(), Some(PHISHING_RESISTANT));
    assert_eq!(gate.recorded("factor.passkey-added").len(), 1);
}

#[tokio::test]
async fn a_passkey_is_added_and_taken_away_by_whoever_proves_the_factor_in_the_same_form() {
    let gate = gate();
    let mut browser = Browser::default();
    let (mut device, codes) = gate.enrol_passkey(&mut browser).await;
    let step = gate.factor(&mut browser, FactorStep::Own).await;
    let asked = options(&step);
    let second = Authenticator::new(GATE);
    let add = |options: &Options, device: &Authenticator| {
        let attestation = Secret::new(device.attest(options.creation.as_ref().unwrap()).to_string());
        FactorChange::AddPasskey(PasskeyForm { name: "key".into(), attestation })
    };
    // Without a proof that counts: nothing.
    let proof = FactorProof::Code(Secret::new("000000".into()));
    let step = gate.factor(&mut browser, FactorStep::Change { change: add(&asked, &second), proof }).await;
    assert!(matches!(&step, Step::Factor { error: Some(FormError::Code), .. }), "{step:?}");
    // With the passkey that there is.
    let asked = options(&step);
    device.counter += 1;
    let proof = FactorProof::Passkey(Secret::new(device.assert(asked.request.as_ref().unwrap()).to_string()));
    let step =
        gate.factor(&mut browser, FactorStep::Change { change: add(&asked, &second), proof: proof.clone() }).await;
    let known = match &step {
        Step::Factor { enrolled: Some(enrolled), error: None, .. } => enrolled.passkeys.clone(),
        step => panic!("{step:?}"),
    };
    assert_eq!(known.iter().map(|known| known.name.as_str()).collect::<Vec<_>>(), ["phone", "key"]);
    // The same proof again.
    let change = FactorChange::RemovePasskey(known[0].id.clone());
    let step = gate.factor(&mut browser, FactorStep::Change { change: change.clone(), proof }).await;
    assert!(matches!(&step, Step::Factor { error: Some(FormError::Passkey), .. }), "{step:?}");
    let proof = FactorProof::Code(Secret::new(codes[0].expose().clone()));
    let step = gate.factor(&mut browser, FactorStep::Change { change, proof }).await;
    match step {
        Step::Factor { enrolled: Some(enrolled), error: None, .. } => assert_eq!(enrolled.passkeys.len(), 1),
        step => panic!("{step:?}"),
    }
    assert_eq!(gate.recorded("factor.passkey-added").len(), 1);
    assert_eq!(gate.recorded("factor.passkey-removed").len(), 1);
}

#[tokio::test]
async fn an_app_is_added_to_passkeys_alone_by_whoever_proves_the_factor_in_the_same_form() {
    let gate = gate();
    let mut browser = Browser::default();
    let (_, codes) = gate.enrol_passkey(&mut browser).await;
    let shown = |step: &Step| match step {
        Step::Factor { enrolment: Some(enrolment), .. } => TotpSecret::read(enrolment.secret.expose()).unwrap(),
        step => panic!("{step:?}"),
    };
    let add = |code: &str, proof: &str| {
        let change = FactorChange::AddApp(Secret::new(code.to_owned()));
        FactorStep::Change { change, proof: FactorProof::Code(Secret::new(proof.to_owned())) }
    };
    let secret = shown(&gate.factor(&mut browser, FactorStep::Own).await);
    let code = secret.shown(gate.clock.now());
    // A slip in the app's code: the same key is shown, and the proof is not used up.
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let step = gate.factor(&mut browser, add(wrong, codes[0].expose())).await;
    assert!(matches!(&step, Step::Factor { error: Some(FormError::AppCode), .. }), "{step:?}");
    assert_eq!(shown(&step), secret);
    // The app's own code proves nothing: the app is nobody's yet.
    let step = gate.factor(&mut browser, add(&code, &code)).await;
    assert!(matches!(&step, Step::Factor { error: Some(FormError::Code), .. }), "{step:?}");
    assert_eq!(shown(&step), secret);
    // A recovery code does.
    let step = gate.factor(&mut browser, add(&code, codes[0].expose())).await;
    match &step {
        Step::Factor { enrolled: Some(enrolled), enrolment: None, error: None, .. } => assert!(enrolled.totp),
        step => panic!("{step:?}"),
    }
    assert_eq!(gate.recorded("factor.app-added").len(), 1);
    // There is one now: no second one takes its place.
    let step = gate.factor(&mut browser, add(&code, codes[1].expose())).await;
    assert!(matches!(&step, Step::Factor { error: Some(FormError::AppCode), .. }), "{step:?}");
    // It proves the factor from now on; the code that showed it is used up.
    let mut other = Browser::default();
    let (login, _) = gate.first(&mut other).await;
    let step = gate.code(&mut other, &login, &code).await;
    assert_eq!(error_of(step), Some(FormError::CodeUsed));
    gate.clock.advance(30);
    redirected(gate.code(&mut other, &login, &secret.shown(gate.clock.now())).await);
}

#[tokio::test]
async fn a_key_that_was_shown_too_long_ago_is_added_to_nothing() {
    let gate = gate();
    let mut browser = Browser::default();
    let (_, codes) = gate.enrol_passkey(&mut browser).await;
    let Step::Factor { enrolment: Some(enrolment), .. } = gate.factor(&mut browser, FactorStep::Own).await else {
        panic!("no app may be added")
    };
    let secret = TotpSecret::read(enrolment.secret.expose()).unwrap();
    gate.clock.advance(601);
    let change = FactorChange::AddApp(Secret::new(secret.shown(gate.clock.now())));
    let proof = FactorProof::Code(Secret::new(codes[0].expose().clone()));
    match gate.factor(&mut browser, FactorStep::Change { change, proof }).await {
        Step::Factor { enrolment: Some(again), error: Some(FormError::AppCode), .. } => assert_ne!(again, enrolment),
        step => panic!("{step:?}"),
    }
}
