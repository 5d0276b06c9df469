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
    session::{self, Memories, NameId, Origin, Participant, Role, SetCookie, testing},
    upstream::hash_password,
};

mod canaried;
mod decide;
mod door;
mod logout;
mod recorded;
mod routes;
mod second_factor;
mod sessions;
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

fn audit_of_somebody(config: &config::Audit, clock: Arc<ManualClock>) -> Audit {
    Audit::open(config, clock, Arc::new(|_: &str| "somebody".to_owned())).unwrap()
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
        Self::recording(chain, rest, audit_of_somebody)
    }

    /// One whose configuration is another, and whose keys are the same: as after a restart.
    fn changed(chain: &[Guest], change: impl FnOnce(String) -> String) -> Self {
        Self::built(TempDir::new().unwrap(), chain, change, audit_of_somebody)
    }

    fn recording(chain: &[Guest], rest: &str, audit: impl FnOnce(&config::Audit, Arc<ManualClock>) -> Audit) -> Self {
        Self::made(TempDir::new().unwrap(), chain, rest, audit)
    }

    /// In a folder that holds something already.
    fn made(
        folder: TempDir,
        chain: &[Guest],
        rest: &str,
        audit: impl FnOnce(&config::Audit, Arc<ManualClock>) -> Audit,
    ) -> Self {
        Self::built(folder, chain, |text| text + rest, audit)
    }

    fn built(
        folder: TempDir,
        chain: &[Guest],
        change: impl FnOnce(String) -> String,
        audit: impl FnOnce(&config::Audit, Arc<ManualClock>) -> Audit,
    ) -> Self {
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
             [upstreams.here]\nkind = \"local\"\n{}{}{}{}",
            upstream("corp"),
            upstream("other"),
            application("wiki", WIKI),
            application("files", "https://files.example.org/"),
        );
        let path = folder.path().join("vestibule.toml");
        fs::write(&path, change(text)).unwrap();
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
        let door = config_now
            .emergency
            .as_ref()
            .and_then(|_| Door::open(&config_now, &engine(|_| {})).unwrap_or_else(|error| panic!("{error}")));
        let login = Login::new(Parts {
            door: door.map(Arc::new),
            generations: Arc::clone(&generations),
            upstreams: Arc::new(upstreams),
            keys: testing::keys(),
            factors,
            audit: Arc::new(audit),
            memories: Memories::default(),
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
