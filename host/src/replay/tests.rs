//! Requirements on replays and receipts, with real policies in the real sandbox.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::ManualClock,
    config,
    decision::{
        Account, Answered, Asked, Attempt, Bounds, Conclusion, Context, Decided, DenyCode, Direction, Found, Held,
        Hook, MatchKey, Redirect, Routed, Search, WayChosen,
    },
    jose::KeySet,
    keys::KeyRing,
    login::Candidate,
    policy::{
        Generation,
        testing::{Bytes, Guest, TEXT, identity},
    },
    recording::{Fault, Log, Noted, Range, Recorder},
    session::testing,
};

/// 2023-11-14, 22:13:20 UTC.
const NOW: u64 = 1_700_000_000;

fn allow() -> Guest {
    Guest::answering(Hook::Admit, &Bytes::default().word(1).reason("fine").done()).text("fine")
}

fn deny() -> Guest {
    Guest::answering(Hook::Admit, &Bytes::default().word(2).reason("not-today").done()).text("not-today")
}

fn step_up() -> Guest {
    let answer = Bytes::default().word(3).list(0, 0).word(1).word(60).list(TEXT, 3).list(0, 0).done();
    Guest::answering(Hook::Admit, &answer).text("old")
}

/// Traps where the login's id ends in `h`, and allows otherwise.
fn traps_sometimes() -> Guest {
    let last =
        "(i32.load8_u (i32.sub (i32.add (i32.load (local.get 0)) (i32.load offset=4 (local.get 0))) (i32.const 1)))";
    let body = format!("(if (i32.eq {last} (i32.const 104)) (then unreachable)) (i32.const 1024)");
    let answer = [&[0, 0, 0, 0][..], &Bytes::default().word(1).reason("fine").done()].concat();
    Guest::new(Hook::Admit, &body).data(1024, &answer).text("fine")
}

fn to(upstream: &str) -> Guest {
    let none = Bytes::default().word(1).list(TEXT, upstream.len()).word(0);
    let answer = none.word(0).list(0, 0).list(0, 0).word(0).word(0);
    Guest::answering(Hook::Route, &answer.done()).text(upstream)
}

/// Grants these groups to everybody.
fn grants(groups: &[&str]) -> Guest {
    let (mut names, mut records) = (String::new(), Bytes::default());
    for group in groups {
        let at = TEXT + u32::try_from(names.len()).unwrap();
        records = records.list(at, group.len()).list(at, 1).list(0, 0);
        names.push_str(group);
    }
    let list = TEXT + 512;
    let answer = Bytes::default().list(list, groups.len()).word(0x0100).list(0, 0).word(0).done();
    Guest::answering(Hook::Groups, &answer).text(&names).data(list, &records.done()).manifest("may-grant", json!(["*"]))
}

/// Finds the account of this username.
fn finds(username: &str) -> Guest {
    let mut answer = Bytes::default().word(1).word(0).list(TEXT, username.len());
    for _ in 0..5 {
        answer = answer.word(0).list(0, 0);
    }
    Guest::answering(Hook::Profile, &answer.list(0, 0).done()).text(username)
}

/// A gateway's files: route, admit and groups, and a recording.
struct Scene {
    folder: TempDir,
    keys: Arc<KeyRing>,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let scene = Self { folder, keys: testing::keys() };
        for (name, guest) in [("way", to("corp")), ("door", allow()), ("groups", grants(&["staff"]))] {
            scene.write(&format!("{name}.wasm"), &guest.component());
        }
        scene.write("vestibule.toml", Self::configuration().as_bytes());
        scene
    }

    fn configuration() -> String {
        let upstream =
            |id: &str| format!("[upstreams.{id}]\npreset = \"google\"\nclient-id = \"c\"\nclient-secret = \"s\"\n");
        let policies: String = ["way", "door", "groups"]
            .iter()
            .map(|name| format!("[policies.{name}]\ncomponent = \"{name}.wasm\"\n"))
            .collect();
        format!(
            "[server]\npublic-url = \"https://gate.example.com\"\n[recording]\ndirectory = \"recording\"\n{policies}\
             {}{}[applications.wiki]\nurl = \"https://wiki.example.org/\"\nupstreams = [\"corp\", \"other\"]\n\
             chain = [\"way\", \"door\", \"groups\"]\nprotected-groups = [\"root\"]\n[applications.wiki.forward-auth]\n",
            upstream("corp").replace("[upstreams.corp]", "[upstreams.corp]\ncallback-path = \"/corp\""),
            upstream("other")
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn config(&self) -> config::Config {
        config::load(&self.path("vestibule.toml")).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    fn generation(&self, candidate: &str) -> Arc<Generation> {
        let config = read(&self.path("vestibule.toml"), &self.path(candidate)).unwrap();
        load(config, 2).unwrap()
    }

    /// Records logins of these ids, decided by the present policies; returns what was decided.
    fn record(&self, logins: &[String]) -> Vec<Decided> {
        let generation = self.generation("vestibule.toml");
        let candidate = Candidate::new(Arc::clone(&generation));
        let mut all = Vec::new();
        let mut noted = Vec::new();
        for login in logins {
            let decided = decide(&candidate, &generation, login);
            all.push(decided.clone());
            let recipe = generation.recipe("wiki").cloned();
            noted.push(Noted::Login { decided: Box::new(decided), known: None, recipe });
        }
        let config = self.config().recording.unwrap();
        let mut log = Log::open(&config, Arc::clone(&self.keys), Arc::new(ManualClock::at(NOW))).unwrap();
        log.append(&noted, 0).unwrap();
        all
    }

    fn replay(&self, candidate: &str, threads: usize) -> Result<Report, ReplayError> {
        self.replay_with(candidate, threads, false)
    }

    fn replay_with(&self, candidate: &str, threads: usize, skip_damaged: bool) -> Result<Report, ReplayError> {
        let generation = self.generation(candidate);
        run(
            &self.keys,
            &generation,
            &Options {
                recording: &self.path("recording"),
                range: Range::default(),
                threads: NonZeroUsize::new(threads).unwrap(),
                skip_damaged,
                names_max: 5,
                protected: BTreeMap::new(),
                progress: &|_| {},
            },
        )
    }
}

fn context_of(login: &str) -> Context {
    Context {
        login: login.to_owned(),
        at: NOW,
        tenant: "default".into(),
        application: "wiki".into(),
        ..Context::default()
    }
}

/// What the present policies decide, as a gateway would have recorded it.
fn decide(candidate: &Candidate, generation: &Generation, login: &str) -> Decided {
    let mut identity = identity();
    identity.subject = format!("subject of {login}");
    let routed = Routed {
        attempt: Attempt { upstreams: vec!["corp".into(), "other".into()], ..Attempt::default() },
        direction: Direction::Redirect(Redirect { upstream: "corp".into(), ..Redirect::default() }),
    };
    let session = &generation.config().session;
    let found = Found {
        bounds: Bounds {
            lifetime: session.lifetime,
            idle: session.idle,
            remember_lifetime: session.remember_lifetime,
            remember: session.remember,
        },
        reached_groups: true,
        protected: ["root".to_owned()].into(),
        linked: Some(Ok(None)),
        account: Some(Search { key: None, found: Ok(Some(account())) }),
        ..Found::default()
    };
    let asked = Asked {
        context: context_of(login),
        identity,
        canary: false,
        routed: Some(routed),
        held: Held::Yes,
        may_step_up: true,
        elapsed: 1,
    };
    let again = candidate.decide(&asked, &found, None);
    Decided {
        request: "request".into(),
        generation: Arc::from(generation.digest()),
        asked,
        found,
        conclusion: again.conclusion,
        answers: again.answers,
    }
}

fn account() -> Account {
    Account { active: true, groups: vec!["wiki-users".into()], attributes: vec![] }
}

fn many(number: usize) -> Vec<String> {
    (0..number).map(|index| format!("login-{index}-{}", char::from(b'a' + u8::try_from(index % 20).unwrap()))).collect()
}

#[test]
fn the_present_policies_decide_as_they_decided() {
    let scene = Scene::new();
    scene.record(&many(30));
    let report = scene.replay("vestibule.toml", 2).unwrap();
    assert!(report.same, "{report}");
    assert_eq!((report.counts.decisions, report.counts.unchanged), (30, 30));
    assert_eq!((report.groups.len(), report.faults.len()), (0, 0));
}

#[test]
fn says_one_person_and_one_login_and_that_lines_overlap() {
    let scene = Scene::new();
    scene.record(&many(1));
    scene.write("strict/door.wasm", &deny().component());
    let words = scene.replay("strict", 2).unwrap().to_string();
    for part in [
        "1 decision asked anew: 0 unchanged, 1 otherwise\nof them (one may be in several lines",
        "       1  would be denied\n",
        "1 person in 1 login: ",
        "1 of 1 person had it",
    ] {
        assert!(words.contains(part), "{part}\n{words}");
    }
    assert!(!words.contains("1 people") && !words.contains("1 logins"), "{words}");
}

#[test]
fn tells_who_would_be_denied_and_loses_what() {
    let scene = Scene::new();
    scene.record(&many(30));
    scene.write("strict/door.wasm", &deny().component());
    let report = scene.replay("strict", 2).unwrap();
    assert!(!report.same);
    assert_eq!((report.counts.denied, report.counts.unchanged), (30, 0));
    let [row] = &report.denied[..] else { panic!("{report}") };
    assert_eq!((row.from.as_str(), row.to.as_str()), ("admitted", "denied by door at admit: not-today"));
    assert_eq!((row.moved.people, row.moved.logins, row.moved.who.len()), (30, 30, 5));
    let lost: Vec<(&str, usize)> = report.groups.iter().map(|row| (&*row.group, row.lost.people)).collect();
    assert_eq!(lost, [("staff", 30), ("wiki-users", 30)]);
}

#[test]
fn tells_who_would_be_admitted_and_gains_what_the_most_powerful_first() {
    let scene = Scene::new();
    scene.write("door.wasm", &deny().component());
    scene.record(&many(4));
    scene.write("lax/door.wasm", &allow().component());
    scene.write("lax/groups.wasm", &grants(&["staff", "admins", "root"]).component());
    let report = scene.replay("lax", 2).unwrap();
    assert_eq!(report.counts.admitted, 4);
    let gained: Vec<(&str, u32, usize)> =
        report.groups.iter().map(|row| (&*row.group, row.power, row.gained.people)).collect();
    // `root` is protected: no policy grants it, whatever it says.
    assert_eq!(gained, [("admins", 999, 4), ("staff", 999, 4), ("wiki-users", 999, 4)]);
    // Whoever few have ranks above what all have.
    let scene = Scene::new();
    scene.record(&many(10));
    scene.write("more/groups.wasm", &grants(&["admins"]).component());
    let report = scene.replay("more", 1).unwrap();
    let moved: Vec<(&str, u32, usize, usize)> =
        report.groups.iter().map(|row| (&*row.group, row.power, row.gained.people, row.lost.people)).collect();
    assert_eq!(moved, [("admins", 999, 10, 0), ("staff", 0, 0, 10)]);
    assert_eq!(report.counts.groups, 10);
}

#[test]
fn tells_who_would_be_sent_elsewhere() {
    let scene = Scene::new();
    scene.record(&many(3));
    scene.write("around/way.wasm", &to("other").component());
    let report = scene.replay("around", 2).unwrap();
    let [row] = &report.elsewhere[..] else { panic!("{report}") };
    assert_eq!((row.from.as_str(), row.to.as_str()), ("sent to upstream corp", "sent to upstream other"));
    assert_eq!((row.moved.logins, report.counts.unchanged), (3, 0));
    scene.write("back/groups.wasm", &step_up().component());
    let report = scene.replay("back", 2).unwrap();
    let [row] = &report.elsewhere[..] else { panic!("{report}") };
    assert_eq!(row.to, "sent back for more: old");
    // An upstream that the application does not have: a failure of the policy's, and a no.
    scene.write("off/way.wasm", &to("nowhere").component());
    let report = scene.replay("off", 2).unwrap();
    assert_eq!(report.counts.denied, 3, "{report}");
}

#[test]
fn a_way_that_was_asked_alone_is_asked_again() {
    let scene = Scene::new();
    let way = |login: &str, identifier: Option<&str>| Noted::Way {
        chosen: Box::new(WayChosen {
            request: "request".into(),
            generation: Arc::from("before"),
            context: context_of(login),
            attempt: Attempt {
                identifier: identifier.map(str::to_owned),
                upstreams: vec!["corp".into(), "other".into()],
                ..Attempt::default()
            },
            direction: Ok(Direction::Redirect(Redirect { upstream: "corp".into(), ..Redirect::default() })),
            answers: vec![],
        }),
        recipe: None,
    };
    let config = scene.config().recording.unwrap();
    let mut log = Log::open(&config, Arc::clone(&scene.keys), Arc::new(ManualClock::at(NOW))).unwrap();
    log.append(&[way("one", None), way("two", Some("ann"))], 3).unwrap();
    assert!(scene.replay("vestibule.toml", 1).unwrap().same);
    scene.write("around/way.wasm", &to("other").component());
    let report = scene.replay("around", 1).unwrap();
    let [row] = &report.elsewhere[..] else { panic!("{report}") };
    assert_eq!((row.moved.logins, row.moved.people), (2, 1));
    assert_eq!(row.moved.who[0].subject, "ann");
    assert_eq!((report.recording.ways, report.recording.dropped), (2, 3));
}

#[test]
fn an_account_counts_as_it_was_found_and_one_that_nobody_looked_for_is_looked_for() {
    let scene = Scene::new();
    let text = Scene::configuration()
        .replace("\"groups\"]", "\"groups\", \"who\"]\ndirectory = \"accounts.toml\"")
        .replace("[policies.way]", "[policies.who]\ncomponent = \"who.wasm\"\n[policies.way]");
    scene.write("vestibule.toml", text.as_bytes());
    scene.write("who.wasm", &finds("ann").component());
    let accounts = |groups: &str| {
        format!(
            "[[accounts]]\nusername = \"ann\"\ngroups = [\"{groups}\"]\n[[accounts]]\nusername = \"bob\"\ngroups = [\"admins\"]\n"
        )
    };
    scene.write("accounts.toml", accounts("wiki-users").as_bytes());
    let generation = scene.generation("vestibule.toml");
    let candidate = Candidate::new(Arc::clone(&generation));
    let mut decided = decide(&candidate, &generation, "login-0");
    decided.found.has_directory = true;
    decided.found.account = Some(Search { key: Some(MatchKey::Username("ann".into())), found: Ok(Some(account())) });
    let again = candidate.decide(&decided.asked, &decided.found, None);
    assert!(matches!(again.conclusion, Conclusion::Admitted(_)), "{:?}", again.conclusion);
    (decided.conclusion, decided.answers) = (again.conclusion, again.answers);
    let config = scene.config().recording.unwrap();
    let mut log = Log::open(&config, Arc::clone(&scene.keys), Arc::new(ManualClock::at(NOW))).unwrap();
    log.append(&[Noted::Login { decided: Box::new(decided), known: None, recipe: None }], 0).unwrap();

    scene.write("accounts.toml", accounts("changed-since").as_bytes());
    let report = scene.replay("vestibule.toml", 1).unwrap();
    assert!(report.same && report.counts.looked_up == 0, "{report}");
    scene.write("other/who.wasm", &finds("bob").component());
    let report = scene.replay("other", 1).unwrap();
    let moved: Vec<(&str, usize, usize)> =
        report.groups.iter().map(|row| (&*row.group, row.gained.people, row.lost.people)).collect();
    assert_eq!((moved, report.counts.looked_up), (vec![("admins", 1, 0), ("wiki-users", 0, 1)], 1), "{report}");
}

#[test]
fn a_candidate_that_traps_on_one_login_in_twenty_is_a_counted_result() {
    let scene = Scene::new();
    scene.record(&many(100));
    scene.write("faulty/door.wasm", &traps_sometimes().component());
    let report = scene.replay("faulty", 2).unwrap();
    let [row] = &report.faults[..] else { panic!("{report}") };
    assert_eq!((row.policy.as_str(), row.code.as_str(), row.decisions, row.before), ("door", "policy-trapped", 5, 0));
    assert_eq!((row.hook, row.example.as_str()), (Some(Hook::Admit), "login-27-h"));
    assert_eq!((report.counts.denied, report.counts.unchanged), (5, 95));
    assert!(!report.same);
}

#[test]
fn the_same_replay_gives_the_same_bytes_whatever_the_number_of_threads() {
    let scene = Scene::new();
    scene.record(&many(600));
    scene.write("faulty/door.wasm", &traps_sometimes().component());
    scene.write("faulty/groups.wasm", &grants(&["staff", "admins"]).component());
    let bytes = |threads| serde_json::to_string(&scene.replay("faulty", threads).unwrap()).unwrap();
    let first = bytes(1);
    for threads in [1, 2, 3, 7] {
        assert_eq!(bytes(threads), first, "{threads} threads");
    }
}

#[test]
fn a_cut_or_forged_recording_is_refused_with_its_place_or_counted() {
    let scene = Scene::new();
    scene.record(&many(20));
    let name = "recording/2023-11-14-0001.vrec";
    let text = fs::read_to_string(scene.path(name)).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(10);
    scene.write(name, format!("{}\n", lines.join("\n")).as_bytes());
    let refused = scene.replay("vestibule.toml", 2).unwrap_err();
    let ReplayError::Damaged { first, places } = &refused else { panic!("{refused}") };
    assert_eq!((first.file.as_str(), first.line, first.why, *places), ("2023-11-14-0001.vrec", 11, Fault::Changed, 2));
    assert!(refused.to_string().contains("2023-11-14-0001.vrec:11: it does not open"), "{refused}");
    let report = scene.replay_with("vestibule.toml", 2, true).unwrap();
    // One was cut, and the one after it does not open.
    assert_eq!((report.counts.decisions, report.recording.damaged), (18, 2));
    assert!(report.same);
}

#[test]
fn a_candidate_that_cannot_be_asked_is_refused_and_says_why() {
    let scene = Scene::new();
    let refused = |candidate: &str| match read(&scene.path("vestibule.toml"), &scene.path(candidate)) {
        Err(error) => error.to_string(),
        Ok(config) => load(config, 1).map(drop).unwrap_err().to_string(),
    };
    scene.write("foreign/dor.wasm", &allow().component());
    assert!(refused("foreign").contains("one of door, groups, way"), "{}", refused("foreign"));
    fs::create_dir(scene.path("empty")).unwrap();
    assert!(refused("empty").contains("that would replace"), "{}", refused("empty"));
    scene.write("twice/door.toml", b"");
    scene.write("twice/door.json", b"{}");
    assert!(refused("twice").contains("both be settings"), "{}", refused("twice"));
    scene.write("broken/door.wasm", b"nonsense");
    assert!(refused("broken").contains("policy door"), "{}", refused("broken"));
    scene.write("other/vestibule.toml", b"[server]\n");
    assert!(matches!(read(&scene.path("vestibule.toml"), &scene.path("other")), Err(CandidateError::Configuration(_))));
    assert!(matches!(read(&scene.path("vestibule.toml"), &scene.path("gone")), Err(CandidateError::File { .. })));
}

// Receipts.

fn exported(scene: &Scene, login: &str, input: Input) -> Result<Exported, ReceiptError> {
    exported_of(scene, Of::Login(login), input)
}

fn exported_of(scene: &Scene, of: Of<'_>, input: Input) -> Result<Exported, ReceiptError> {
    let recording = scene.config().recording.unwrap();
    let wanted = Wanted { of, number: None, range: Range::default(), input, algorithm: "EdDSA", now: NOW };
    export(&recording, "https://gate.example.com", &scene.keys, &wanted)
}

fn checked(scene: &Scene, text: &str, keys: Option<&KeyRing>, components: &Path) -> Result<Verified, ReceiptError> {
    let signers = KeySet::from_set(scene.keys.jwks().as_object().unwrap()).unwrap();
    verify(text, &Seen { signers: &signers, keys, components })
}

/// The receipt with something else in it, signed by the same gateway.
fn altered(scene: &Scene, text: &str, change: impl FnOnce(&mut Value)) -> String {
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&payload).unwrap();
    change(&mut claims);
    scene.keys.sign("EdDSA", "vestibule-receipt+jwt", &claims).unwrap()
}

#[test]
fn a_receipts_decision_comes_out_again_byte_for_byte() {
    let scene = Scene::new();
    let decided = scene.record(&many(3));
    let exported = exported(&scene, "login-1-b", Input::Clear).unwrap();
    assert_eq!((exported.number, exported.of), (1, 1));
    let folder = scene.folder.path();
    for text in [exported.text.clone(), format!("{}\n", exported.text)] {
        let verified = checked(&scene, &text, None, folder).unwrap();
        assert_eq!((verified.login.as_str(), verified.conclusion.as_str()), ("login-1-b", "admitted"));
        assert_eq!(verified.fuel, decided[1].answers.iter().map(|answer| answer.fuel).sum::<u64>());
        assert_eq!(verified.policies.len(), 3);
    }
    // The names of the files are nobody's business.
    scene.write("elsewhere/a.wasm", &fs::read(scene.path("way.wasm")).unwrap());
    scene.write("elsewhere/b.wasm", &fs::read(scene.path("door.wasm")).unwrap());
    scene.write("elsewhere/c.wasm", &fs::read(scene.path("groups.wasm")).unwrap());
    assert!(checked(&scene, &exported.text, None, &scene.path("elsewhere")).is_ok());
    fs::remove_file(scene.path("elsewhere/b.wasm")).unwrap();
    let missing = checked(&scene, &exported.text, None, &scene.path("elsewhere")).unwrap_err();
    assert!(matches!(&missing, ReceiptError::ComponentMissing { policy, .. } if policy == "door"), "{missing}");
}

#[test]
fn a_receipt_is_found_by_the_reference_that_an_error_page_shows() {
    let scene = Scene::new();
    scene.record(&many(1));
    let by_request = exported_of(&scene, Of::Request("request"), Input::Clear).unwrap();
    assert_eq!((by_request.login.as_str(), by_request.number, by_request.of), ("login-0-a", 1, 1));
    assert_eq!(by_request, exported(&scene, "login-0-a", Input::Clear).unwrap());
    let of = |of| exported_of(&scene, of, Input::Clear).unwrap_err().to_string();
    // One in the place of the other: the message says which is which.
    assert!(
        of(Of::Login("request")).contains("no decision of the login request")
            && of(Of::Login("x")).contains("--request")
    );
    let other = of(Of::Request("login-0-a"));
    assert!(other.contains("no decision of the request login-0-a") && other.contains("error page"), "{other}");
}

#[test]
fn each_altered_byte_of_a_receipt_is_refused() {
    let scene = Scene::new();
    scene.record(&many(1));
    let text = exported(&scene, "login-0-a", Input::Clear).unwrap().text;
    let whole = format!("{text}\n").into_bytes();
    for index in 0..whole.len() {
        for bit in [1, 32] {
            let mut bytes = whole.clone();
            bytes[index] ^= bit;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let result = checked(&scene, &changed, None, scene.folder.path());
            assert!(matches!(result, Err(ReceiptError::Signature(_))), "byte {index}: {result:?}");
        }
    }
    for cut in [0, 1, text.len() / 2, text.len() - 1] {
        assert!(matches!(checked(&scene, &text[..cut], None, scene.folder.path()), Err(ReceiptError::Signature(_))));
    }
    // Another gateway's signature is worth nothing, nor is one of another kind of token.
    let other = testing::another_ring();
    let signers = KeySet::from_set(other.jwks().as_object().unwrap()).unwrap();
    let seen = Seen { signers: &signers, keys: None, components: scene.folder.path() };
    assert!(matches!(verify(&text, &seen), Err(ReceiptError::Signature(fault)) if fault.code == "key-unknown"));
    let token = scene.keys.sign("EdDSA", "JWT", &json!({})).unwrap();
    assert!(matches!(
        checked(&scene, &token, None, scene.folder.path()),
        Err(ReceiptError::Signature(fault)) if fault.code == "jws-type"
    ));
}

type Change<'a> = &'a dyn Fn(&mut Value);

#[test]
fn what_the_gateway_itself_misstates_is_refused_with_the_reason() {
    let scene = Scene::new();
    scene.record(&many(1));
    let text = exported(&scene, "login-0-a", Input::Clear).unwrap().text;
    let refused = |change: &dyn Fn(&mut Value)| {
        let changed = altered(&scene, &text, change);
        checked(&scene, &changed, None, scene.folder.path()).unwrap_err().to_string()
    };
    let cases: [(Change<'_>, &str); 9] = [
        (
            &|it| it["content"]["clear"]["output"]["answers"][1]["answer"] = json!("pass"),
            "door at admit answers otherwise",
        ),
        (
            &|it| {
                it["content"]["clear"]["output"]["answers"][1]["fuel"] = json!(1);
                let answers = it["content"]["clear"]["output"]["answers"].as_array().unwrap();
                it["fuel"] = answers.iter().map(|answer| answer["fuel"].as_u64().unwrap()).sum::<u64>().into();
            },
            "instructions in the place of 1",
        ),
        (&|it| it["fuel"] = json!(1), "`fuel` is not that of its content"),
        (&|it| it["login"] = json!("another"), "`login` is not that of its content"),
        (
            &|it| it["content"]["clear"]["output"]["conclusion"]["admitted"]["groups"]["groups"] = json!(["root"]),
            "with other terms",
        ),
        (&|it| it["chain"]["policies"][0]["settings"] = json!("{\"a\":1}"), "settings of the policy way"),
        (&|it| it["chain"]["policies"][0]["policy"]["version"] = json!("9"), "calls itself otherwise"),
        (&|it| it["chain"]["policies"][0]["policy"]["component"] = json!("00"), "no component in"),
        (&|it| it["more"] = json!(1), "it is no receipt"),
    ];
    for (change, why) in cases {
        let message = refused(change);
        assert!(message.contains(why), "{why}: {message}");
    }
}

#[test]
fn a_sealed_receipt_tells_nobody_without_the_key_ring() {
    let scene = Scene::new();
    scene.record(&many(1));
    let text = exported(&scene, "login-0-a", Input::Sealed).unwrap().text;
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1).unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    assert!(!payload.contains("subject of") && !payload.contains("staff"), "{payload}");
    let folder = scene.folder.path();
    assert!(matches!(checked(&scene, &text, None, folder), Err(ReceiptError::Sealed)));
    assert_eq!(checked(&scene, &text, Some(&scene.keys), folder).unwrap().conclusion, "admitted");
    let other = exported(&scene, "login-0-a", Input::Sealed).unwrap().text;
    let other: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(other.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let changed = altered(&scene, &text, |it| {
        it["content"]["sealed"]["sealed"] = other["content"]["sealed"]["sealed"].clone();
    });
    assert!(matches!(checked(&scene, &changed, Some(&scene.keys), folder), Err(ReceiptError::Commitment)));
}

#[test]
fn there_is_no_receipt_of_what_nobody_can_make_again() {
    let scene = Scene::new();
    let mut decided = scene.record(&many(1)).remove(0);
    let unknown = exported(&scene, "nobody", Input::Clear).unwrap_err();
    assert!(unknown.to_string().starts_with("the recording has no decision of the login nobody ("), "{unknown}");
    decided.conclusion =
        Conclusion::Denied(crate::decision::Denial::by_host(DenyCode::PolicyDeadline, "it took too long"));
    decided.asked.context.login = "late".into();
    let noted = Noted::Login { decided: Box::new(decided), known: None, recipe: None };
    let config = scene.config().recording.unwrap();
    let later = Arc::new(ManualClock::at(NOW + 86_400));
    let mut log = Log::open(&config, Arc::clone(&scene.keys), later).unwrap();
    log.append(&[noted], 0).unwrap();
    let refused = exported(&scene, "late", Input::Clear).unwrap_err();
    assert!(matches!(refused, ReceiptError::NotRepeatable(DenyCode::PolicyDeadline)), "{refused}");
}

#[test]
fn says_how_far_it_is_and_changes_nothing() {
    let scene = Scene::new();
    scene.record(&many(40));
    let before = snapshot(scene.folder.path());
    let told = Mutex::new(Vec::new());
    let generation = scene.generation("vestibule.toml");
    let recording = scene.path("recording");
    let options = Options {
        recording: &recording,
        range: Range { from: Some(NOW + 1), to: None },
        threads: NonZeroUsize::MIN,
        skip_damaged: false,
        names_max: 0,
        protected: BTreeMap::new(),
        progress: &|progress| told.lock().unwrap().push(progress),
    };
    // Nothing of the range: nothing is asked.
    assert_eq!(run(&scene.keys, &generation, &options).unwrap().counts.decisions, 0);
    let all = Options { range: Range { from: Some(NOW), to: Some(NOW + 1) }, ..options };
    assert_eq!(run(&scene.keys, &generation, &all).unwrap().counts.decisions, 40);
    let told = told.lock().unwrap();
    assert!(told.iter().all(|progress| progress.is_over) && told.last().unwrap().decisions == 40, "{told:?}");
    assert_eq!(snapshot(scene.folder.path()), before);
    // A gateway may be writing meanwhile.
    let config = scene.config().recording.unwrap();
    let recorder = Recorder::open(&config, Arc::clone(&scene.keys), Arc::new(ManualClock::at(NOW + 86_400))).unwrap();
    assert_eq!(scene.replay("vestibule.toml", 1).unwrap().counts.decisions, 40);
    drop(recorder);
}

/// Every file and what it holds.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(snapshot(&entry));
        } else {
            found.insert(entry.clone(), fs::read(&entry).unwrap());
        }
    }
    found
}

#[test]
fn answers_are_told_without_the_time_that_they_took() {
    let scene = Scene::new();
    let decided = scene.record(&many(2));
    let place = |answer: &Answered| (answer.policy.clone(), answer.hook);
    let places: Vec<_> = decided[0].answers.iter().map(place).collect();
    assert_eq!(places, [("way".into(), Hook::Route), ("door".into(), Hook::Admit), ("groups".into(), Hook::Groups)]);
    assert!(!serde_json::to_string(&decided).unwrap().contains("micros"));
}
