//! Requirements on the flow as a whole: real policies in the real sandbox, real cookies,
//! local accounts; an upstream that is never reached.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::{
    clock::ManualClock,
    config,
    decision::Hook,
    policy::{
        Generations,
        testing::{Bytes, Guest, TEXT, engine},
    },
    session::{self, NameId, Origin, Participant, Role, SetCookie, testing},
    upstream::hash_password,
};

mod recorded;
mod second_factor;
mod shadowed;

const GATE: &str = "https://gate.example.com/";
const WIKI: &str = "https://wiki.example.org/";
const PASSWORD: &str = "correct horse";

/// A route that sends everybody to the gateway's own form.
fn form() -> Guest {
    Guest::answering(Hook::Route, &Bytes::default().word(4).done())
}

/// A route that sends everybody to `upstream`.
fn to(upstream: &str) -> Guest {
    let none = Bytes::default().word(1).list(TEXT, upstream.len()).word(0);
    let answer = none.word(0).list(0, 0).list(0, 0).word(0).word(0);
    Guest::answering(Hook::Route, &answer.done()).text(upstream)
}

/// The same, for an authentication as strong as `acr` says.
fn to_with_acr(upstream: &str, acr: &str) -> Guest {
    let (list, name) = (TEXT + 256, TEXT + u32::try_from(upstream.len()).unwrap());
    let redirect = Bytes::default().word(1).list(TEXT, upstream.len()).word(0).word(0).list(0, 0);
    let answer = redirect.list(list, 1).word(0).word(0);
    Guest::answering(Hook::Route, &answer.done())
        .text(&format!("{upstream}{acr}"))
        .data(list, &Bytes::default().list(name, acr.len()).done())
}

/// A route with one of the answers that carry nothing.
fn route(case: u32) -> Guest {
    Guest::answering(Hook::Route, &Bytes::default().word(case).done())
}

fn allow() -> Guest {
    Guest::answering(Hook::Admit, &Bytes::default().word(1).reason("fine").done()).text("fine")
}

fn deny() -> Guest {
    Guest::answering(Hook::Admit, &Bytes::default().word(2).reason("not-today").done()).text("not-today")
}

fn step_up(max_age: u32) -> Guest {
    let answer = Bytes::default().word(3).list(0, 0).word(1).word(max_age).list(TEXT, 3).list(0, 0).done();
    Guest::answering(Hook::Admit, &answer).text("old")
}

fn terms(lifetime: u32, idle: u32, remember: bool) -> Guest {
    Guest::answering(Hook::Session, &Bytes::default().word(lifetime).word(idle).word(remember.into()).done())
}

/// Asks that whoever goes to `/admin/…` authenticated within so many seconds.
fn reauthenticate(within: u32) -> Guest {
    let answer = Bytes::default().word(2).list(0, 0).word(1).word(within).list(TEXT, 3).list(0, 0).done();
    Guest::answering(Hook::Access, &answer).text("old")
}

/// A gateway in one process.
struct Gate {
    folder: TempDir,
    clock: Arc<ManualClock>,
    generations: Arc<Generations>,
    login: Login,
    /// Who was told of the end of a session.
    told: Arc<Mutex<Vec<Participant>>>,
}

impl Gate {
    fn new(chain: &[Guest]) -> Self {
        Self::with(chain, "")
    }

    /// `rest` follows the sections that every test has.
    fn with(chain: &[Guest], rest: &str) -> Self {
        Self::recording(chain, rest, |config, clock| {
            Audit::open(config, clock, Arc::new(|_: &str| "somebody".to_owned())).unwrap()
        })
    }

    fn recording(chain: &[Guest], rest: &str, audit: impl FnOnce(&config::Audit, Arc<ManualClock>) -> Audit) -> Self {
        let folder = TempDir::new().unwrap();
        let mut policies = String::new();
        for (index, guest) in chain.iter().enumerate() {
            fs::write(folder.path().join(format!("p{index}.wasm")), guest.component()).unwrap();
            policies.push_str(&format!("[policies.p{index}]\ncomponent = \"p{index}.wasm\"\n"));
        }
        let hash = hash_password(&Secret::new(PASSWORD.into())).unwrap();
        fs::write(
            folder.path().join("accounts.toml"),
            format!("[accounts.ann]\npassword = \"{hash}\"\nemail = \"ann@example.com\"\ngroups = [\"staff\"]\n"),
        )
        .unwrap();
        let names: Vec<String> = (0..chain.len()).map(|index| format!("\"p{index}\"")).collect();
        let upstream = |id: &str| {
            format!(
                "[upstreams.{id}]\nissuer = \"https://{id}.example.net\"\nclient-id = \"gate\"\n\
                 client-secret = \"s3cret\"\nauthorization-endpoint = \"https://{id}.example.net/authorize\"\n\
                 token-endpoint = \"https://{id}.invalid/token\"\njwks-uri = \"https://{id}.invalid/jwks\"\n"
            )
        };
        let application = |id: &str, host: &str| {
            format!(
                "[applications.{id}]\nurl = \"{host}\"\nupstreams = [\"here\", \"corp\", \"other\"]\n\
                 chain = [{}]\n[applications.{id}.forward-auth]\n",
                names.join(", ")
            )
        };
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic-url = \"{GATE}\"\n[keys]\ndirectory = \"keys\"\n\
             [audit]\nfile = \"audit.jsonl\"\nsync = false\n[accounts]\nfile = \"accounts.toml\"\n{policies}\
             [upstreams.here]\nkind = \"local\"\n{}{}{}{}{rest}",
            upstream("corp"),
            upstream("other"),
            application("wiki", WIKI),
            application("files", "https://files.example.org/"),
        );
        let path = folder.path().join("vestibule.toml");
        fs::write(&path, text).unwrap();
        let config = config::load(&path).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let clock = Arc::new(ManualClock::at(testing::NOW));
        let audit = audit(&config.audit, clock.clone());
        let config_now = config.clone();
        let upstreams = Upstreams::new(&config.fetch, clock.clone()).unwrap();
        let generations = Arc::new(Generations::open(config, engine(|_| {}), clock.clone(), Box::new(|_| {})));
        assert_eq!(generations.current().unavailable(), BTreeMap::new());
        let factors =
            config_now.second_factor.as_ref().map(|it| Arc::new(Factors::open(&it.file, testing::keys()).unwrap()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let recorder = config_now
            .recording
            .as_ref()
            .map(|it| Arc::new(Recorder::open(it, testing::keys(), clock.clone()).unwrap()));
        let login = Login::new(Parts {
            generations: Arc::clone(&generations),
            upstreams: Arc::new(upstreams),
            keys: testing::keys(),
            factors,
            audit: Arc::new(audit),
            recorder,
            clock: clock.clone(),
            farewell: {
                let told = Arc::clone(&told);
                Arc::new(move |_: &str, gone: Vec<Participant>| told.lock().unwrap().extend(gone))
            },
            ends_at: Arc::new(|_: &Config, application: &Application, url: &Url| {
                application.id == "wiki" && url.as_str() == "https://since.example.org/bye"
            }),
        });
        Self { folder, clock, generations, login, told }
    }

    /// The recorded events of one kind.
    fn recorded(&self, kind: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event.to_string().contains(&format!("\"{kind}\""))).collect()
    }

    /// From the application's front door to the gateway's: what `start` says, followed.
    async fn begin(&self, browser: &mut Browser, rd: &str) -> Step {
        let started = self.login.start(&browser.visitor(WIKI), "wiki", Some(rd), &Demand::default());
        let to = redirected(browser.keep(WIKI, started));
        self.begin_at(browser, &to).await
    }

    async fn begin_at(&self, browser: &mut Browser, to: &Url) -> Step {
        let query: BTreeMap<String, String> = to.query_pairs().into_owned().collect();
        let part = |name: &str| query.get(name).cloned().unwrap_or_default();
        let wanted = Wanted {
            application: "wiki".into(),
            then: Then::ForwardAuth { from: part("from"), return_to: part("rd"), binding: part("binding") },
            max_age: query.get("max-age").and_then(|text| text.parse().ok()),
            fresh: query.contains_key("fresh"),
            select_account: false,
            silent: false,
            login_hint: None,
            acr_values: vec![],
            demanded_acr: Demand::read(None, query.get("acr-values").map(String::as_str), false).acr_values,
        };
        let begun = self.login.begin(&browser.visitor(GATE), wanted).await;
        browser.keep(GATE, begun)
    }

    async fn password(&self, browser: &mut Browser, login: &str, password: &str) -> Step {
        let secret = Secret::new(password.to_owned());
        let answer = self.login.local(&browser.visitor(GATE), login, "ann", secret).await;
        browser.keep(GATE, answer)
    }

    /// Begins and gives the right password; returns where that leads.
    async fn prove(&self, browser: &mut Browser) -> Step {
        let login = form_of(self.begin(browser, "/Home?x=1").await);
        self.password(browser, &login, PASSWORD).await
    }

    async fn enter(&self, browser: &mut Browser, to: &Url) -> Step {
        let ticket = to.query_pairs().find(|(name, _)| name == "ticket").unwrap().1.into_owned();
        let answer = self.login.enter(&browser.visitor(WIKI), "wiki", &ticket).await;
        browser.keep(WIKI, answer)
    }

    /// Logs in, all the way.
    async fn log_in(&self, browser: &mut Browser) {
        let to = redirected(self.prove(browser).await);
        assert_eq!(redirected(self.enter(browser, &to).await).as_str(), "https://wiki.example.org/Home?x=1");
    }

    async fn check(&self, browser: &mut Browser, path: &str) -> Check {
        let request = AccessRequest { method: "GET".into(), host: "wiki.example.org".into(), path: path.into() };
        let check = self.login.check(&browser.visitor(WIKI), "wiki", &request).await;
        if let Check::Live { cookies, .. } | Check::NoSession { cookies } = &check {
            browser.take(WIKI, cookies);
        }
        check
    }

    async fn leave(&self, browser: &mut Browser) -> String {
        match self.begin(browser, "/").await {
            Step::Leave { to, .. } => to.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned(),
            step => panic!("{step:?}"),
        }
    }

    async fn call_back(&self, browser: &mut Browser, upstream: &str, state: &str) -> Refusal {
        let callback = UnverifiedCallback {
            code: Some("code".into()),
            state: Some(state.into()),
            ..UnverifiedCallback::default()
        };
        let answer = self.login.callback(&browser.visitor(GATE), upstream, callback).await;
        refused(browser.keep(GATE, answer))
    }
}

/// A browser: cookies by origin.
#[derive(Clone, Default)]
struct Browser {
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    fn visitor(&self, origin: &str) -> Visitor {
        let header = self
            .cookies
            .iter()
            .filter(|((at, _), _)| at == origin)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ");
        Visitor {
            request: "request-1".into(),
            address: "192.0.2.1".parse().ok(),
            origin: Url::parse(origin).ok().map(Arc::new),
            cookies: Jar::parse([header.as_bytes()]).unwrap(),
            facts: Facts::default(),
        }
    }

    fn take(&mut self, origin: &str, cookies: &[SetCookie]) {
        for cookie in cookies {
            let (name, rest) = cookie.as_str().split_once('=').unwrap();
            let key = (origin.to_owned(), name.to_owned());
            if rest.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, rest.split(';').next().unwrap().to_owned());
            }
        }
    }

    fn keep(&mut self, origin: &str, answer: Answer) -> Step {
        self.take(origin, &answer.cookies);
        answer.step
    }

    fn names(&self, origin: &str) -> Vec<&str> {
        self.cookies.keys().filter(|(at, _)| at == origin).map(|(_, name)| name.as_str()).collect()
    }
}

fn redirected(step: Step) -> Url {
    match step {
        Step::Redirect(to) => to,
        step => panic!("{step:?}"),
    }
}

fn refused(step: Step) -> Refusal {
    match step {
        Step::Refused(refusal) => refusal,
        step => panic!("{step:?}"),
    }
}

fn form_of(step: Step) -> String {
    match step {
        Step::LocalForm { login, .. } => login,
        step => panic!("{step:?}"),
    }
}

fn session_of(check: Check) -> session::Session {
    match check {
        Check::Live { session, .. } => session::Session::clone(&session),
        check => panic!("{check:?}"),
    }
}

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
        let name_id = NameId { value: "ann".into(), format: "f", qualifiers: None };
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
    let name_id = NameId { value: "ann".into(), format: "f", qualifiers: None };
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
