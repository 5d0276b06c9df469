//! Hostile guests, and what must come of each.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use serde_json::json;
use vestibule::{
    config::{InterpreterLimits, Limits},
    decision::{Attempt, Context, Denial, DenyCode, Direction},
    policy::{self, CaseResult, Cases, Chain, Compiler, Component, Engine, LoadError, LoadedPolicy, Run},
};
use vestibule_tests::{guests, process::vestibule};

/// What must come of a guest.
enum Outcome {
    /// It is not loaded, for a reason whose words contain all of these.
    Refused(&'static [&'static str]),
    /// It is loaded, and a decision that it takes part in is denied.
    Denied(DenyCode),
    /// It does no harm.
    Harmless,
}

use Outcome::{Denied, Harmless, Refused};

/// Every guest that is a file and decides at `route`, or is not loaded at all.
const OUTCOMES: &[(&str, Outcome)] = &[
    ("allocator-outside", Refused(&["configured"])),
    ("another-version", Refused(&["9.0.0", "0.1.0"])),
    ("another-world", Refused(&["acme:gateway/filter@1.0.0"])),
    ("asks-for-lookup", Refused(&["vestibule:policy/lookup@0.1.0", "granted to no policy"])),
    (
        "asks-for-wasi",
        Refused(&[
            "wasi:cli/environment@0.2.0",
            "wasi:clocks/monotonic-clock@0.2.0",
            "wasi:filesystem/preopens@0.2.0",
            "wasi:random/random@0.2.0",
            "wasi:sockets/instance-network@0.2.0",
            "wasm32-unknown-unknown",
        ]),
    ),
    ("endless-loop", Denied(DenyCode::PolicyFuel)),
    ("endless-loop-after-the-answer", Denied(DenyCode::PolicyFuel)),
    ("endless-loop-in-configure", Refused(&["configured", "policy-"])),
    ("endless-loop-in-realloc", Denied(DenyCode::PolicyFuel)),
    ("endless-loop-in-start", Refused(&["fuel"])),
    ("endless-recursion", Denied(DenyCode::PolicyStack)),
    ("foreign-upstream", Denied(DenyCode::UnknownUpstream)),
    ("giant-text", Denied(DenyCode::PolicyMemory)),
    ("json-both-forms", Refused(&["hooks and `json`"])),
    ("json-deep", Denied(DenyCode::PolicyAnswer)),
    ("json-endless-loop", Denied(DenyCode::PolicyFuel)),
    ("json-foreign-upstream", Denied(DenyCode::UnknownUpstream)),
    ("json-giant", Denied(DenyCode::PolicyOutput)),
    ("json-key-twice", Denied(DenyCode::PolicyAnswer)),
    ("json-not-json", Denied(DenyCode::PolicyAnswer)),
    ("json-not-utf8", Denied(DenyCode::PolicyAnswer)),
    ("json-other-hooks", Refused(&["route", "admit"])),
    ("json-outside", Denied(DenyCode::PolicyAnswer)),
    ("json-remembers", Harmless),
    ("json-trap", Denied(DenyCode::PolicyTrapped)),
    ("json-unknown-case", Denied(DenyCode::PolicyAnswer)),
    ("json-unknown-key", Denied(DenyCode::PolicyAnswer)),
    ("json-well-behaved", Harmless),
    ("json-wrong-shape", Denied(DenyCode::PolicyAnswer)),
    ("log-flood", Denied(DenyCode::PolicyLog)),
    ("log-giant", Denied(DenyCode::PolicyOutput)),
    ("memory-hog", Denied(DenyCode::PolicyMemory)),
    ("memory-hog-from-the-start", Refused(&["memory"])),
    ("not-utf8", Denied(DenyCode::PolicyAnswer)),
    ("out-of-bounds", Denied(DenyCode::PolicyTrapped)),
    ("pointer-outside", Denied(DenyCode::PolicyAnswer)),
    ("remembers", Harmless),
    ("table-hog", Refused(&["table.grow"])),
    ("trap", Denied(DenyCode::PolicyTrapped)),
    ("trap-after-the-answer", Denied(DenyCode::PolicyTrapped)),
    ("trap-in-configure", Refused(&["configured", "policy-trapped"])),
    ("trap-in-realloc", Denied(DenyCode::PolicyTrapped)),
    ("unknown-direction", Denied(DenyCode::PolicyAnswer)),
    ("well-behaved", Harmless),
];

/// Those that decide at `groups`.
const AT_GROUPS: &[&str] = &["grants-beyond-its-manifest", "million-groups"];

/// The default limits, but for the deadline: on a busy machine it would come before the
/// limit that a test is about.
fn engine(change: impl FnOnce(&mut Limits)) -> Engine {
    let deadline = Duration::from_secs(30);
    let interpreter = InterpreterLimits { deadline, ..InterpreterLimits::default() };
    let mut limits = Limits { decisions_max: 4, deadline, interpreter, ..Limits::default() };
    change(&mut limits);
    Engine::new(&limits, None).expect("a sandbox")
}

fn load(engine: &Engine, bytes: &[u8]) -> Result<Arc<LoadedPolicy>, LoadError> {
    LoadedPolicy::load(engine, "guest", &Component::check(engine, bytes)?, &json!({}))
}

fn run(policy: &Arc<LoadedPolicy>) -> Run {
    let chain = Chain::new(vec![Arc::clone(policy)]);
    let context = Context { application: "app".into(), ..Context::default() };
    Run::new(&chain, context, 1, "digest".into()).unwrap_or_else(|(denial, _)| panic!("{denial}"))
}

fn route(policy: &Arc<LoadedPolicy>) -> Result<Direction, Denial> {
    run(policy).route(&Attempt { upstreams: vec!["idp".into()], ..Attempt::default() })
}

fn code(policy: &Arc<LoadedPolicy>) -> DenyCode {
    route(policy).expect_err("a denial").code
}

#[test]
fn a80_a81_a82_every_hostile_guest_is_refused_or_denied_each_with_its_own_code() {
    let engine = engine(|_| {});
    for (name, outcome) in OUTCOMES {
        let loaded = load(&engine, &guests::component(name));
        match (outcome, loaded) {
            (Refused(words), Err(error)) => {
                let message = error.to_string();
                for word in *words {
                    assert!(message.contains(word), "{name}: expected `{word}` in: {message}");
                }
            }
            (Denied(expected), Ok(policy)) => {
                for _ in 0..3 {
                    let denial = route(&policy).expect_err(name);
                    assert_eq!(denial.code, *expected, "{name}: {denial}");
                    assert_eq!(denial.policy.as_deref(), Some("guest"), "{name}");
                }
            }
            (Harmless, Ok(policy)) => {
                for _ in 0..3 {
                    // Everybody passes, so nobody gives a direction.
                    assert_eq!(code(&policy), DenyCode::NoRoute, "{name}");
                }
            }
            (Refused(_), Ok(_)) => panic!("{name} was loaded"),
            (Denied(_) | Harmless, Err(error)) => panic!("{name} was not loaded: {error}"),
        }
    }
}

#[test]
fn every_guest_has_an_expected_outcome() {
    let expected: BTreeSet<String> =
        OUTCOMES.iter().map(|(name, _)| *name).chain(AT_GROUPS.iter().copied()).map(str::to_owned).collect();
    assert_eq!(guests::names(), expected);
}

#[test]
fn a80_a_loop_with_fuel_enough_ends_by_the_deadline() {
    let engine = engine(|limits| {
        limits.fuel = u64::MAX / 1_000;
        limits.deadline = Limits::default().deadline;
    });
    let policy = load(&engine, &guests::component("endless-loop")).expect("a policy");
    assert_eq!(code(&policy), DenyCode::PolicyDeadline);
}

#[test]
fn a81_giant_answers_end_by_the_output_limit_where_there_is_memory_enough() {
    let engine = engine(|limits| {
        limits.memory_bytes_max = 64 << 20;
        limits.fuel *= 10;
    });
    let policy = load(&engine, &guests::component("giant-text")).expect("a policy");
    assert_eq!(code(&policy), DenyCode::PolicyOutput);

    assert_denied_at_groups(&engine, &guests::component("million-groups"), "policy-output");
}

#[test]
fn a81_a_million_groups_do_not_fit_into_the_memory_that_a_policy_has() {
    assert_denied_at_groups(&engine(|_| {}), &guests::component("million-groups"), "policy-memory");
}

#[test]
fn a_policy_grants_no_group_that_its_manifest_does_not_cover() {
    let engine = engine(|_| {});
    for may_grant in [json!([]), json!(["admin"]), json!(["?dministrator"]), json!(["Administrators"])] {
        let bytes = guests::component_with("grants-beyond-its-manifest", |manifest| manifest["may-grant"] = may_grant);
        assert_denied_at_groups(&engine, &bytes, "grant-not-covered");
    }
}

/// Holds a decision at `groups` to its code: by a case, because nobody but an upstream makes
/// a verified identity.
fn assert_denied_at_groups(engine: &Engine, guest: &[u8], code: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let case = format!("[[case]]\nname = \"is denied\"\nhook = \"groups\"\n[case.expect]\nfailed = \"{code}\"\n");
    fs::write(folder.path().join("case.toml"), case).expect("a case");
    let component = Component::check(engine, guest).expect("a component");
    let cases = Cases::folder(folder.path()).expect("a case");
    let results = policy::test(engine, &component, &cases).expect("a case");
    assert!(results.len() == 1 && results.iter().all(CaseResult::passed), "{results:#?}");
}

#[test]
fn a_lying_manifest_is_refused() {
    let engine = engine(|_| {});
    for hooks in [json!(["admit"]), json!(["route", "admit"]), json!(["groups", "session"])] {
        let bytes = guests::component_with("well-behaved", |manifest| manifest["hooks"] = hooks.clone());
        let error = Component::check(&engine, &bytes).expect_err("a lie");
        assert!(matches!(error, LoadError::LyingManifest { .. }), "{hooks}: {error}");
    }
    // More than one manifest: which of them would hold?
    let twice = guests::with_manifest(
        guests::component("well-behaved"),
        &json!({ "name": "other", "version": "0.1.0", "hooks": ["route"], "may-grant": ["*"] }),
    );
    assert!(matches!(Component::check(&engine, &twice), Err(LoadError::ManyManifests(2))));
    let none = guests::without_manifest("well-behaved");
    assert!(matches!(Component::check(&engine, &none), Err(LoadError::NoManifest)));
}

#[test]
fn a_manifest_that_asks_for_credentials_is_refused() {
    let engine = engine(|_| {});
    for (key, value) in [
        ("reads", "access_token"),
        ("reads", "refresh_token"),
        ("facts", "header.cookie"),
        ("facts", "header.authorization"),
        ("facts", "header.proxy_authorization"),
    ] {
        let bytes = guests::component_with("well-behaved", |manifest| manifest[key] = json!([value]));
        let error = Component::check(&engine, &bytes).expect_err("a credential");
        assert!(matches!(error, LoadError::Manifest(_)), "{key} = {value}: {error}");
    }
}

#[test]
fn a_compile_bomb_does_not_hold_up_the_gateway() {
    let limit = Duration::from_millis(300);
    let engine = engine(|limits| limits.compile_timeout = limit);
    let bomb = guests::compile_bomb(1_000, 500);
    assert!(bomb.len() < 128 << 10, "{} bytes", bomb.len());
    let error = load(&engine, &bomb).expect_err("a bomb");
    assert!(matches!(error, LoadError::CompileTimeout(_)), "{error}");
    // The next one still finds a worker.
    load(&engine, &guests::component("well-behaved")).expect("a policy");
}

/// An engine whose components are compiled by the program, as a gateway's are.
fn with_worker(change: impl FnOnce(&mut Limits)) -> Engine {
    let mut limits = Limits { decisions_max: 4, deadline: Duration::from_secs(30), ..Limits::default() };
    change(&mut limits);
    Engine::with_compiler(&limits, None, Compiler::Program(vestibule())).expect("a sandbox")
}

/// The workers that this very process has started and that still run.
fn workers() -> Vec<String> {
    let own = format!("PPid:\t{}\n", std::process::id());
    let processes = fs::read_dir("/proc").expect("processes").filter_map(|entry| Some(entry.ok()?.path()));
    processes
        .filter(|path| fs::read_to_string(path.join("status")).is_ok_and(|status| status.contains(&own)))
        .filter_map(|path| fs::read_to_string(path.join("cmdline")).ok())
        .filter(|command| command.contains("compile-worker"))
        .collect()
}

#[test]
fn a_component_that_another_process_compiled_decides_the_same() {
    let (here, worker) = (engine(|_| {}), with_worker(|_| {}));
    let bytes = guests::component("well-behaved");
    let (here, worker) = (load(&here, &bytes).expect("a policy"), load(&worker, &bytes).expect("a policy"));
    let decide = |policy: &Arc<LoadedPolicy>| format!("{:?}", route(policy));
    assert_eq!(decide(&here), decide(&worker));
    assert_eq!(here.policy(), worker.policy());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "another process's end has no event to wait for")]
fn a_compile_bomb_is_killed_and_keeps_no_core() {
    let engine = with_worker(|limits| limits.compile_timeout = Duration::from_millis(700));
    let bomb = guests::compile_bomb(4_000, 2_000);
    // As often as there are places for work, and once more: none is held.
    for _ in 0..5 {
        let error = load(&engine, &bomb).expect_err("a bomb");
        assert!(matches!(error, LoadError::CompileTimeout(_)), "{error}");
    }
    let began = std::time::Instant::now();
    while !workers().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", workers());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_component_that_takes_too_much_memory_to_compile_is_refused() {
    // Less than the program needs for itself alone: whatever is compiled is too much.
    let engine = with_worker(|limits| limits.compile_memory_bytes_max = 17 << 20);
    let error = load(&engine, &guests::compile_bomb(2_000, 1_000)).expect_err("too much");
    assert!(matches!(error, LoadError::CompileMemory { .. }), "{error}");
}

#[test]
fn what_the_compiler_refuses_is_told_in_its_own_words() {
    let run = std::process::Command::new(vestibule())
        .arg("compile-worker")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("a program");
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("failed to read the task"), "{run:?}");
    assert!(run.stdout.is_empty());
}

#[test]
fn an_answer_in_json_that_does_not_fit_is_told_by_its_place_and_kind() {
    let engine = engine(|_| {});
    for (name, words) in [
        ("json-wrong-shape", "`/ok/refuse/code`: expected a string, found an object"),
        ("json-unknown-case", "unknown variant `teleport`"),
        ("json-unknown-key", "expected"),
        ("json-key-twice", "a key twice"),
        ("json-deep", "recursion limit"),
        ("json-not-json", "not JSON"),
    ] {
        let policy = load(&engine, &guests::component(name)).expect(name);
        let denial = route(&policy).expect_err(name);
        assert!(denial.reason.detail.contains(words), "{name}: {}", denial.reason.detail);
        assert!(!denial.reason.detail.contains("trust me"), "{name}: {}", denial.reason.detail);
    }
}
