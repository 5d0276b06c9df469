//! Generations as operators meet them: files change, and either the next login is decided
//! by the new ones, or nothing changes and somebody says why.

use std::{
    fs,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use super::{super::fixture, in_force::REPLACED_MAX, *};
use crate::{
    clock::ManualClock,
    decision::Admit,
    identity::{GroupClaim, Identity, Protocol},
    policy::{Watch, cache::sha256},
};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An operator's folder: a configuration, components and settings.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    /// Two policies in the chain of one application.
    pub(super) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("a.wasm", fixture::policy("0.1.0", &[]));
        folder.write("b.wasm", fixture::policy("0.2.0", &[]));
        folder.write("a.toml", "mark = \"one\"\n");
        folder.write("b.toml", "mark = \"one\"\n");
        folder.configure("", &[("wiki", "\"a\", \"b\"")]);
        folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The configuration with `more` under `[policies]` and an application for each chain.
    /// The deadline is one that a busy machine meets, too.
    pub(super) fn configure(&self, more: &str, chains: &[(&str, &str)]) {
        let mut text = format!(
            "[server]\npublic-url = \"https://login.example.com\"\nlisten = \"127.0.0.1:0\"\n\
             trusted-proxies = [\"127.0.0.1\"]\n[policies]\n{more}\nlimits = {{ deadline-ms = 10000 }}\n\
             [policies.a]\ncomponent = \"a.wasm\"\nsettings = \"a.toml\"\n\
             [policies.b]\ncomponent = \"b.wasm\"\nsettings = \"b.toml\"\n\
             [upstreams.main]\npreset = \"keycloak\"\nbase-url = \"https://id.example.com\"\nrealm = \"r\"\n\
             client-id = \"c\"\nclient-secret = \"s\"\n"
        );
        for (id, chain) in chains {
            text.push_str(&format!(
                "[applications.{id}]\nupstreams = [\"main\"]\nchain = [{chain}]\n\
                 url = \"https://{id}.example.com/\"\n[applications.{id}.forward-auth]\n"
            ));
        }
        self.write("vestibule.toml", text);
    }

    pub(super) fn change_configuration(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("vestibule.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        self.write("vestibule.toml", text.replace(from, to));
    }

    /// The generations of this folder, their clock, and what they tell.
    pub(super) fn open(&self) -> (Arc<Generations>, Arc<ManualClock>, Receiver<GenerationEvent>) {
        let config = config::load(&self.path("vestibule.toml")).unwrap_or_else(|problems| panic!("{problems}"));
        let engine = Engine::new(&config.policies.limits, None).unwrap();
        let clock = Arc::new(ManualClock::at(1_000));
        let (sender, receiver) = mpsc::channel();
        let listener = Box::new(move |event: &GenerationEvent| drop(sender.send(event.clone())));
        let generations = Generations::open(config, engine, Arc::clone(&clock) as Arc<dyn Clock>, listener);
        (Arc::new(generations), clock, receiver)
    }
}

pub(super) fn identity() -> Identity {
    Identity {
        upstream: "main".into(),
        protocol: Protocol::Oidc,
        issuer: "https://id.example.com".into(),
        subject: "s".into(),
        email: None,
        groups: GroupClaim::Absent,
        auth_time: None,
        acr: None,
        amr: vec![],
        claims: BTreeMap::new(),
    }
}

pub(super) fn context(application: &str) -> Context {
    Context { application: application.into(), ..Context::default() }
}

/// The marks of the settings that decided, in the chain's order, or the denial.
fn decide(generation: &Arc<Generation>, application: &str) -> Result<(Vec<String>, Trace), Denial> {
    let mut run = generation.begin(context(application)).map_err(|(denial, _)| denial)?;
    match run.admit_case(&identity(), None)? {
        Admit::Allow(reasons) => Ok((reasons.into_iter().map(|reason| reason.code).collect(), run.finish())),
        Admit::StepUp(_) => panic!("the fixture asks for no step-up"),
    }
}

pub(super) fn marks(generation: &Arc<Generation>) -> Vec<String> {
    decide(generation, "wiki").unwrap().0
}

#[test]
fn puts_changed_settings_in_force_and_reuses_what_did_not_change() {
    let folder = Folder::new();
    let (generations, _, events) = folder.open();
    assert_eq!(events.recv().unwrap().outcome, Outcome::InForce);
    assert_eq!(marks(&generations.current()), ["one", "one"]);
    let before = generations.current();

    folder.write("b.toml", "mark = \"new\"\n");
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
    assert_eq!((event.loaded, event.reused), (vec!["b".to_owned()], vec!["a".to_owned()]));
    assert_eq!(events.recv().unwrap().generation, 2);
    let after = generations.current();
    assert_eq!(marks(&after), ["one", "new"]);
    assert!(Arc::ptr_eq(&before.policies["a"].policy, &after.policies["a"].policy));
    assert_ne!(before.digest(), after.digest());
}

#[test]
fn makes_no_generation_of_nothing_new() {
    let folder = Folder::new();
    let (generations, ..) = folder.open();
    folder.write("a.toml", "# a comment\nmark = \"one\"\n");
    let event = generations.reload();
    assert_eq!((event.outcome, event.generation), (Outcome::Unchanged, 1));
}

/// Changes one thing, and puts it right again.
type Break = fn(&Folder);

#[test]
fn a87_keeps_the_generation_in_force_when_the_new_one_fails() {
    let breaks: [(&str, Break, &str); 17] = [
        ("a JPEG", |folder| folder.write("b.wasm", b"\xff\xd8\xff\xe0\0\x10JFIF"), "b.wasm"),
        ("an empty component", |folder| folder.write("b.wasm", b""), "b.wasm"),
        (
            "a component that was cut",
            |folder| {
                let whole = fixture::policy("0.3.0", &[]);
                folder.write("b.wasm", &whole[..whole.len() / 2]);
            },
            "b.wasm",
        ),
        ("a core module", |folder| folder.write("b.wasm", wat::parse_str("(module)").unwrap()), "core module"),
        (
            "a component without a manifest",
            |folder| {
                folder.write("b.wasm", wat::parse_str("(component)").unwrap());
            },
            "b.wasm",
        ),
        ("a component that is gone", |folder| fs::remove_file(folder.path("b.wasm")).unwrap(), "b.wasm"),
        (
            "a folder in place of a component",
            |folder| {
                fs::remove_file(folder.path("b.wasm")).unwrap();
                fs::create_dir(folder.path("b.wasm")).unwrap();
            },
            "expected a file",
        ),
        ("settings that are gone", |folder| fs::remove_file(folder.path("b.toml")).unwrap(), "b.toml"),
        ("settings that are no TOML", |folder| folder.write("b.toml", "mark = \n"), "b.toml:1"),
        ("settings that are no text", |folder| folder.write("b.toml", b"mark = \"\xff\"\n"), "UTF-8"),
        (
            "settings that the schema refuses",
            |folder| {
                folder.write("b.toml", "\nmark = \"new\"\nmork = 1\n");
            },
            "mork",
        ),
        (
            "settings that the policy refuses",
            |folder| {
                folder.write("b.toml", "# first\n\nmark = \"xx\"\n");
            },
            "b.toml:3:1: policy b: /mark: no mark begins with x",
        ),
        (
            "a failing case",
            |folder| {
                fs::create_dir(folder.path("b.cases")).unwrap();
                let failing = "[[case]]\nname = \"never\"\nhook = \"admit\"\nexpect.verdict = \"deny\"\n";
                folder.write("b.cases/never.toml", failing);
                folder.write("b.toml", "mark = \"new\"\n");
            },
            "never.toml:1: policy b: case failed: never: verdict: expected \"deny\", found \"allow\"",
        ),
        (
            "a malformed case",
            |folder| {
                fs::create_dir(folder.path("b.cases")).unwrap();
                folder.write("b.cases/odd.toml", "[[case]]\nname = \"odd\"\n");
                folder.write("b.toml", "mark = \"new\"\n");
            },
            "odd.toml",
        ),
        (
            "another component than the pinned one",
            |folder| {
                folder.change_configuration(
                    "component = \"b.wasm\"",
                    &format!("component = \"b.wasm\"\ndigest = \"{}\"", "0".repeat(64)),
                );
            },
            "pins 000",
        ),
        (
            "a configuration with an unknown key",
            |folder| {
                folder.change_configuration("[policies.b]", "[policies.b]\ncomponnent = \"x\"");
            },
            "vestibule.toml:",
        ),
        (
            "a policy that is removed while a chain names it",
            |folder| {
                folder.change_configuration("[policies.b]\ncomponent = \"b.wasm\"\nsettings = \"b.toml\"\n", "");
            },
            "b",
        ),
    ];
    let folder = Folder::new();
    let whole = ["vestibule.toml", "a.toml", "b.toml", "a.wasm", "b.wasm"]
        .map(|name| (name, fs::read(folder.path(name)).unwrap()));
    let (generations, _, events) = folder.open();
    events.recv().unwrap();
    let digest = generations.current().digest().to_owned();
    for (what, break_it, says) in breaks {
        break_it(&folder);
        let event = generations.reload();
        assert_eq!((event.outcome, event.generation), (Outcome::Refused, 1), "{what}: {event}");
        assert!(event.problems.iter().any(|problem| problem.to_string().contains(says)), "{what}: {event}");
        assert_eq!(generations.current().digest(), digest, "{what}");
        assert_eq!(marks(&generations.current()), ["one", "one"], "{what}");
        assert_eq!(events.recv().unwrap().outcome, Outcome::Refused, "{what}");

        let _ = fs::remove_dir_all(folder.path("b.cases"));
        let _ = fs::remove_dir(folder.path("b.wasm"));
        for (name, bytes) in &whole {
            folder.write(name, bytes);
        }
        assert_eq!(generations.reload().outcome, Outcome::Unchanged, "{what}");
        events.recv().unwrap();
    }
    folder.write("b.toml", "mark = \"new\"\n");
    assert_eq!(generations.reload().generation, 2, "a refused attempt takes no number");
}

#[test]
fn tells_all_problems_of_the_settings_with_their_lines() {
    let folder = Folder::new();
    let (generations, ..) = folder.open();
    folder.write("a.toml", "\nmark = 1\n");
    folder.write("b.toml", "first = 1\nsecond = 2\nmark = \"NO\"\n");
    let problems = generations.reload().problems;
    let lines: Vec<_> = problems.iter().map(|problem| (problem.policy.as_deref().unwrap(), problem.line)).collect();
    assert!(lines.contains(&("a", Some(2))), "{problems:?}");
    assert!(lines.contains(&("b", Some(3))), "{problems:?}");

    fs::remove_file(folder.path("b.toml")).unwrap();
    folder.write("b.json", "{\n  \"mark\":\n    \"xx\"\n}\n");
    folder.write("a.toml", "mark = \"one\"\n");
    folder.change_configuration("b.toml", "b.json");
    let event = generations.reload();
    assert_eq!(event.problems[0].line, Some(3), "{event}");
    assert_eq!(event.problems[0].key.as_deref(), Some("/mark"));
}

#[test]
fn a88_each_login_is_decided_by_one_generation_while_100_swaps_happen() {
    const SWAPS: usize = 100;
    const LOGINS: usize = 10_000;
    let folder = Folder::new();
    let mark = |number: usize| format!("mark = \"m-{number}\"\n");
    folder.write("a.toml", mark(1));
    folder.write("b.toml", mark(1));
    let (generations, ..) = folder.open();
    let (done, logins) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) || logins.load(Ordering::Relaxed) < LOGINS {
                    let generation = generations.current();
                    let (marks, trace) = decide(&generation, "wiki").unwrap();
                    let expected = format!("m-{}", generation.number());
                    assert_eq!(marks, [expected.as_str(), expected.as_str()]);
                    assert_eq!(
                        (trace.generation, &*trace.generation_digest),
                        (generation.number(), generation.digest())
                    );
                    let settings = sha256(format!("{{\"mark\":\"{expected}\"}}").as_bytes());
                    assert!(trace.policies.iter().all(|policy| policy.settings == settings));
                    logins.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 2..=SWAPS + 1 {
            folder.write("a.toml", mark(number));
            folder.write("b.toml", mark(number));
            let event = generations.reload();
            assert_eq!((event.outcome, event.generation), (Outcome::InForce, number as u64), "{event}");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(logins.into_inner() >= LOGINS);
}

#[test]
fn keeps_replaced_generations_for_logins_under_way_and_not_for_ever() {
    let folder = Folder::new();
    let (generations, clock, _) = folder.open();
    let pending = u64::from(generations.current().config().login.pending);
    folder.write("a.toml", "mark = \"new\"\n");
    generations.reload();
    assert_eq!(marks(&generations.by_number(1).unwrap()), ["one", "one"]);
    assert_eq!(marks(&generations.by_number(2).unwrap()), ["new", "one"]);
    assert!(generations.by_number(3).is_none());
    clock.advance(pending - 1);
    assert!(generations.by_number(1).is_some());
    clock.advance(1);
    assert!(generations.by_number(1).is_none());
    assert!(generations.by_number(2).is_some(), "the one in force does not expire");

    for number in 0..REPLACED_MAX + 3 {
        folder.write("a.toml", format!("mark = \"n-{number}\"\n"));
        generations.reload();
    }
    let kept = (1..100).filter(|number| generations.by_number(*number).is_some()).count();
    assert_eq!(kept, REPLACED_MAX + 1);
}

#[test]
fn a86_at_start_up_an_application_without_its_chain_denies_everybody_and_the_others_serve() {
    let folder = Folder::new();
    folder.configure("", &[("wiki", "\"a\""), ("shop", "\"a\", \"b\"")]);
    folder.write("b.wasm", "not a component");
    let (generations, _, events) = folder.open();
    let event = events.recv().unwrap();
    assert_eq!(event.unavailable.keys().collect::<Vec<_>>(), ["shop"], "{event}");
    let generation = generations.current();
    assert_eq!(marks(&generation), ["one"]);
    let denial = decide(&generation, "shop").unwrap_err();
    assert_eq!(denial.code, DenyCode::ChainUnavailable);
    assert!(denial.reason.detail.contains("b.wasm"), "{denial}");
    assert!(generation.asks_access("shop", "/"), "so that its denial is heard");
    assert_eq!(decide(&generation, "other").unwrap_err().code, DenyCode::UnknownApplication);

    // What never worked does not hold back the rest …
    folder.write("a.toml", "mark = \"new\"\n");
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
    assert_eq!(event.unavailable.len(), 1);
    assert_eq!(marks(&generations.current()), ["new"]);
    // … and what is put right comes into force.
    folder.write("b.wasm", fixture::policy("0.2.0", &[]));
    let event = generations.reload();
    assert!(event.unavailable.is_empty() && event.outcome == Outcome::InForce, "{event}");
    assert!(decide(&generations.current(), "shop").is_ok());
    // From then on it must go on working.
    folder.write("b.wasm", "not a component");
    assert_eq!(generations.reload().outcome, Outcome::Refused);
}

#[test]
fn tells_what_the_schema_and_what_the_policy_has_against_settings_at_once_in_the_order_of_the_file() {
    let folder = Folder::new();
    let (generations, ..) = folder.open();
    folder.write("b.toml", "\nmark = \"xx\"\nmore = 1\n");
    let event = generations.reload();
    let told: Vec<_> = event.problems.iter().map(|problem| (problem.line, problem.key.as_deref())).collect();
    assert_eq!(told, [(Some(2), Some("/mark")), (Some(3), Some("/more"))], "{event}");
    // Of a setting that it does not have, one wonders whose it is.
    let hints: Vec<_> = event.problems.iter().map(|problem| problem.hint.as_deref()).collect();
    assert_eq!(hints, [None, Some("the component calls itself `fixture`, not `b`")], "{event}");
}

#[test]
fn runs_the_embedded_cases_before_a_component_decides() {
    let case = |verdict: &str| {
        format!(
            "[[case]]\nname = \"says its mark\"\nhook = \"admit\"\nsettings.mark = \"dd\"\nexpect.verdict = \"{verdict}\"\n\
             expect.reason = \"dd\"\n[[case]]\nname = \"traps\"\nhook = \"admit\"\nsettings.mark = \"tt\"\n\
             expect.failed = \"policy-trapped\"\n[[case]]\nname = \"is refused\"\nhook = \"configure\"\n\
             settings.mark = \"xx\"\nexpect.problems = [\"/mark\"]\n"
        )
    };
    let folder = Folder::new();
    let (generations, ..) = folder.open();
    folder.write("b.wasm", fixture::policy("0.3.0", &[("c.toml", &case("allow"))]));
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::Refused, "{event}");
    assert!(
        event
            .to_string()
            .contains("b.wasm: policy b: its own case failed (c.toml:1, in the component): says its mark: verdict"),
        "{event}"
    );
    folder.write("b.wasm", fixture::policy("0.3.0", &[("c.toml", &case("deny"))]));
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
}

#[test]
fn a_policy_that_never_worked_does_not_take_a_working_application_down() {
    let folder = Folder::new();
    folder.configure("", &[("wiki", "\"a\""), ("shop", "\"a\", \"b\"")]);
    folder.write("b.wasm", "not a component");
    let (generations, ..) = folder.open();
    assert_eq!(marks(&generations.current()), ["one"]);
    folder.configure("", &[("wiki", "\"a\", \"b\""), ("shop", "\"a\", \"b\"")]);
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::Refused, "{event}");
    assert_eq!(marks(&generations.current()), ["one"]);
}

#[test]
fn a_secret_that_is_rotated_in_its_file_comes_into_force() {
    let folder = Folder::new();
    folder.write("secret", "the first\n");
    folder.change_configuration("client-secret = \"s\"", "client-secret = { file = \"secret\" }");
    let (generations, _, events) = folder.open();
    events.recv().unwrap();
    let before = generations.current();
    let _watch = Watch::start(Arc::clone(&generations)).unwrap();
    folder.write("secret", "the second\n");
    let event = events.recv_timeout(PATIENCE).unwrap();
    assert_eq!((event.outcome, event.generation), (Outcome::InForce, 2), "{event}");
    let secret = |generation: &Generation| match &generation.config().upstreams["main"].kind {
        config::UpstreamKind::Oidc(oidc) => match &oidc.client_authn {
            config::ClientAuthn::SecretBasic(secret) => secret.expose().clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!((secret(&before).as_str(), secret(&generations.current()).as_str()), ("the first", "the second"));
    assert_eq!(before.digest(), generations.current().digest(), "what everybody may see tells nothing of it");
    assert!(!format!("{:?}{event}", generations.current().config().secret_files).contains("second"));
}

#[test]
fn a_refused_configuration_says_what_was_found_and_what_was_expected() {
    let folder = Folder::new();
    let (generations, ..) = folder.open();
    folder.change_configuration("preset = \"keycloak\"", "preset = \"keycloack\"");
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::Refused);
    let preset = |problem: &&PolicyProblem| problem.key.as_deref() == Some("upstreams.main.preset");
    let problem = event.problems.iter().find(preset).unwrap_or_else(|| panic!("{event}"));
    assert!(
        problem.line.is_some() && problem.found.as_ref().is_some_and(|found| found.contains("keycloack")),
        "{event}"
    );
    assert!(problem.expected.as_ref().is_some_and(|expected| expected.contains("keycloak")), "{event}");
    assert!(event.to_string().contains("expected: "), "{event}");
}

#[test]
fn a_component_of_too_many_cases_is_refused() {
    let folder = Folder::new();
    let (generations, ..) = folder.open();
    let case = |number: usize| {
        format!("[[case]]\nname = \"{number}\"\nhook = \"admit\"\nsettings.mark = \"dd\"\nexpect.verdict = \"deny\"\n")
    };
    let cases: String = (0..2001).map(case).collect();
    folder.write("b.wasm", fixture::policy("0.3.0", &[("c.toml", &cases)]));
    let event = generations.reload();
    assert!(event.outcome == Outcome::Refused && event.to_string().contains("2000 cases"), "{event}");
}

#[test]
fn takes_a_pinned_component_and_says_what_needs_a_restart() {
    let folder = Folder::new();
    let (generations, ..) = folder.open();
    let digest = sha256(&fs::read(folder.path("b.wasm")).unwrap());
    folder.change_configuration("component = \"b.wasm\"", &format!("component = \"b.wasm\"\ndigest = \"{digest}\""));
    folder.change_configuration("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"");
    folder.change_configuration(
        "[policies]",
        "[keys]\ndirectory = \"elsewhere\"\n[fetch]\ntimeout-ms = 5\n[login]\nattempts-per-minute = 7\npending-s = 60\n[policies]",
    );
    folder.change_configuration("deadline-ms = 10000", "deadline-ms = 9000");
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
    for key in ["`server.listen`", "`keys`", "`policies.limits`", "`fetch`", "`login.attempts-per-minute`"] {
        assert!(event.notes.iter().any(|note| note.contains(key)), "{event}");
    }
    let config = Arc::clone(generations.current().config());
    assert_eq!(config.server.listen.port(), 0, "what is in force is what is said");
    assert_eq!((config.login.attempts_per_minute, config.login.pending), (60, 60));
    assert_ne!(config.fetch.timeout.as_millis(), 5);
    assert_eq!(marks(&generations.current()), ["one", "one"]);
}

/// What is changed in a folder, and its name.
type Replacement = (&'static str, fn(&Folder));

/// Every kind of replacement that an operator or a deployment makes.
fn replacements() -> [Replacement; 5] {
    [
        ("written in place", |folder| folder.write("a.toml", "mark = \"m-1\"\n")),
        ("renamed over", |folder| {
            folder.write("a.new", "mark = \"m-2\"\n");
            fs::rename(folder.path("a.new"), folder.path("a.toml")).unwrap();
        }),
        ("removed and made again", |folder| {
            fs::remove_file(folder.path("a.toml")).unwrap();
            folder.write("a.toml", "mark = \"m-3\"\n");
        }),
        ("made a link", |folder| {
            fs::create_dir(folder.path("v1")).unwrap();
            fs::create_dir(folder.path("v2")).unwrap();
            folder.write("v1/a.toml", "mark = \"m-4\"\n");
            folder.write("v2/a.toml", "mark = \"m-5\"\n");
            std::os::unix::fs::symlink("v1", folder.path("data")).unwrap();
            std::os::unix::fs::symlink("data/a.toml", folder.path("a.link")).unwrap();
            fs::rename(folder.path("a.link"), folder.path("a.toml")).unwrap();
        }),
        ("behind a link that was swapped", |folder| {
            std::os::unix::fs::symlink("v2", folder.path("data.new")).unwrap();
            fs::rename(folder.path("data.new"), folder.path("data")).unwrap();
        }),
    ]
}

fn notices(poll_ms: u32, watch: impl FnOnce(Arc<Generations>) -> Watch) {
    let folder = Folder::new();
    folder.configure(&format!("poll-ms = {poll_ms}"), &[("wiki", "\"a\", \"b\"")]);
    let (generations, _, events) = folder.open();
    events.recv().unwrap();
    let _watch = watch(Arc::clone(&generations));
    for (number, (what, replace)) in replacements().into_iter().enumerate() {
        replace(&folder);
        // A file that is gone for a moment may make a refused attempt in between.
        let event = loop {
            let event = events.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not noticed: {what}"));
            if event.outcome == Outcome::InForce {
                break event;
            }
        };
        assert_eq!(event.cause, Cause::Change);
        assert!(event.took > Duration::ZERO);
        assert_eq!(marks(&generations.current())[0], format!("m-{}", number + 1), "{what}");
    }
    folder.write("b.toml", "mark = \"xx\"\n");
    let event = events.recv_timeout(PATIENCE).unwrap();
    assert_eq!(event.outcome, Outcome::Refused, "{event}");
    folder.change_configuration("b.toml", "c.toml");
    folder.write("c.toml", "mark = \"other\"\n");
    while events.recv_timeout(PATIENCE).unwrap().outcome != Outcome::InForce {}
    assert_eq!(marks(&generations.current())[1], "other");
}

#[test]
fn notices_every_kind_of_replacement_by_the_operating_systems_notices() {
    // The poll comes too late to be what noticed.
    notices(600_000, |generations| Watch::start(generations).unwrap());
}

#[test]
fn notices_every_kind_of_replacement_by_comparing_contents_alone() {
    notices(10, |generations| Watch::poll_alone(generations).unwrap());
}

#[test]
fn notices_what_changed_between_reading_and_watching() {
    let folder = Folder::new();
    folder.configure("poll-ms = 600000", &[("wiki", "\"a\", \"b\"")]);
    let (generations, _, events) = folder.open();
    events.recv().unwrap();
    folder.write("a.toml", "mark = \"new\"\n");
    let _watch = Watch::start(Arc::clone(&generations)).unwrap();
    assert_eq!(events.recv_timeout(PATIENCE).unwrap().outcome, Outcome::InForce);
}
