//! What hostile, broken and lying guests come to. Each failure denies with its own code.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    Chain, Component, Engine, LoadError, LoadedPolicy, Run,
    testing::{ANSWER, Bytes, Guest, TEXT, context, engine, identity, with_manifest},
};
use crate::{
    decision::{Admit, Denial, DenyCode, Hook, Plan, Profile, Rules, SessionTerms},
    identity::VerifiedIdentity,
};

const LOOP: &str = "(loop (br 0)) (i32.const 0)";

fn run(policies: Vec<Arc<LoadedPolicy>>) -> Run {
    Run::new(&Chain::new(policies), context(), 1, "digest".into()).unwrap()
}

fn admit(guest: &Guest, engine: &Engine) -> Result<Admit, Denial> {
    run(vec![guest.load(engine).unwrap()]).admit(&VerifiedIdentity::assertion(identity()), None)
}

fn code(guest: &Guest, engine: &Engine) -> DenyCode {
    let denial = admit(guest, engine).unwrap_err();
    assert_eq!((denial.policy.as_deref(), denial.hook), (Some("guest"), Some(Hook::Admit)), "{denial:?}");
    denial.code
}

fn allowing() -> Guest {
    Guest::answering(Hook::Admit, &Bytes::default().word(1).reason("fine").done()).text("fine")
}

#[test]
fn a80_a_guest_that_loops_forever_runs_out_of_fuel_or_time() {
    let spinning = Guest::new(Hook::Admit, LOOP);
    assert_eq!(code(&spinning, &engine(|_| {})), DenyCode::PolicyFuel);
    let no_fuel_limit = |limits: &mut crate::config::Limits| {
        limits.fuel = u64::MAX;
        limits.deadline = Duration::from_millis(20);
    };
    assert_eq!(code(&spinning, &engine(no_fuel_limit)), DenyCode::PolicyDeadline);
}

#[test]
fn a80_a_manifest_can_lower_the_fuel_and_not_raise_it() {
    let spend = |loops: u32| {
        format!(
            "(local $i i32) (local.set $i (i32.const {loops}))
             (loop (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if 0 (local.get $i)))
             (i32.const {ANSWER})"
        )
    };
    let guest = |loops| {
        let answer = Bytes::default().word(0).word(1).reason("fine").done();
        Guest::new(Hook::Admit, &spend(loops)).data(ANSWER, &answer).text("fine")
    };
    let small = engine(|limits| limits.fuel = 100_000);
    assert!(admit(&guest(1000), &small).is_ok());
    assert_eq!(code(&guest(1000).manifest("fuel", json!(1000)), &small), DenyCode::PolicyFuel);
    assert_eq!(code(&guest(100_000).manifest("fuel", json!(u64::MAX)), &small), DenyCode::PolicyFuel);
}

#[test]
fn a80_the_fuel_is_for_all_hooks_of_one_login() {
    let spend = "(local $i i32) (local.set $i (i32.const 1000))
                 (loop (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if 0 (local.get $i)))";
    let terms = Bytes::default().word(0).word(60).word(60).word(0).done();
    let guest = Guest::new(Hook::Session, &format!("{spend} (i32.const {ANSWER})")).data(ANSWER, &terms);
    let policy = guest.load(&engine(|limits| limits.fuel = 16_000)).unwrap();
    let identity = VerifiedIdentity::assertion(identity());
    let maximum = SessionTerms { lifetime: 60, idle: 60, remember: false };
    let mut run = run(vec![policy]);
    let answers: Vec<_> = (0..4).map(|_| run.session(&identity, &[], maximum).map_err(|denial| denial.code)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2, "{answers:?}");
    assert_eq!(answers[3], Err(DenyCode::PolicyFuel));
}

#[test]
fn a80_a_guest_that_recurses_forever_runs_out_of_stack() {
    let recursing = Guest::new(Hook::Admit, "(call $down (i32.const 0))")
        .extra("(func $down (param i32) (result i32) (i32.add (call $down (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))");
    assert_eq!(code(&recursing, &engine(|_| {})), DenyCode::PolicyStack);
}

#[test]
fn a80_a_guest_that_loops_while_it_is_configured_is_not_loaded() {
    let spinning = allowing().configure(LOOP);
    let error = spinning.load(&engine(|limits| limits.fuel = 1_000_000)).unwrap_err();
    assert!(matches!(error, LoadError::Configure { code: DenyCode::PolicyFuel, .. }), "{error}");
    let error = spinning
        .load(&engine(|limits| {
            limits.fuel = u64::MAX;
            limits.compile_timeout = Duration::from_millis(300);
        }))
        .unwrap_err();
    let timed_out =
        matches!(error, LoadError::Configure { code: DenyCode::PolicyDeadline, .. } | LoadError::CompileTimeout(_));
    assert!(timed_out, "{error}");
}

#[test]
fn a81_a_guest_that_grows_its_memory_is_stopped_at_the_limit() {
    for pages in [64, 65_535] {
        let hog = Guest::new(Hook::Admit, &format!("(drop (memory.grow (i32.const {pages}))) (i32.const {ANSWER})"));
        assert_eq!(code(&hog, &engine(|_| {})), DenyCode::PolicyMemory);
    }
    let step_by_step = Guest::new(Hook::Admit, "(loop (drop (memory.grow (i32.const 1))) (br 0)) (i32.const 0)");
    assert_eq!(code(&step_by_step, &engine(|_| {})), DenyCode::PolicyMemory);
}

#[test]
fn a81_a_guest_that_begins_too_large_is_not_loaded() {
    let error = allowing().pages(65).load(&engine(|_| {})).unwrap_err();
    assert!(matches!(error, LoadError::Limits(_)), "{error}");
    let error = allowing().configure("(drop (memory.grow (i32.const 64))) (i32.const 512)").load(&engine(|_| {}));
    assert!(matches!(error, Err(LoadError::Configure { code: DenyCode::PolicyMemory, .. })), "{error:?}");
    let error = allowing().extra("(table 20000 funcref)").load(&engine(|_| {})).unwrap_err();
    assert!(matches!(error, LoadError::Limits(_)), "{error}");
}

#[test]
fn a81_a_guest_that_hands_out_too_much_is_stopped_at_the_limit() {
    let engine = engine(|_| {});
    let texts = |len: usize| {
        let answer = Bytes::default().word(1).list(TEXT, len).list(0, 0).done();
        Guest::answering(Hook::Admit, &answer).pages(60)
    };
    // Three megabytes that are there, ten that are not.
    assert_eq!(code(&texts(3 << 20), &engine), DenyCode::PolicyOutput);
    assert_eq!(code(&texts(10 << 20), &engine), DenyCode::PolicyAnswer);
    let groups = |len: usize| {
        let plan = Bytes::default().list(TEXT, len).word(0).list(0, 0).word(0).done();
        let policy = Guest::answering(Hook::Groups, &plan).pages(60).load(&engine).unwrap();
        let identity = VerifiedIdentity::assertion(identity());
        let plan = run(vec![policy]).groups(&identity, None, &Profile::default(), &Rules::default());
        plan.map_err(|denial| denial.code)
    };
    assert_eq!(groups(0), Ok(Plan::default()));
    assert_eq!(groups(100_000), Err(DenyCode::PolicyOutput));
    assert_eq!(groups(1_000_000), Err(DenyCode::PolicyAnswer));
    assert_eq!(groups(u32::MAX as usize), Err(DenyCode::PolicyAnswer));
}

#[test]
fn a81_a_guest_that_floods_the_log_is_stopped_and_its_lines_are_cut() {
    let flood = "(loop (call $log (i32.const 2) (i32.const 4096) (i32.const 3000)) (br 0)) (i32.const 0)";
    let policy = Guest::new(Hook::Admit, flood).text(&"é\u{1b}".repeat(1000)).load(&engine(|_| {})).unwrap();
    let mut run = run(vec![policy]);
    let denial = run.admit(&VerifiedIdentity::assertion(identity()), None).unwrap_err();
    assert_eq!(denial.code, DenyCode::PolicyLog);
    let trace = run.finish();
    assert_eq!(trace.answers[0].log.len(), 64);
    assert!(trace.answers[0].log.iter().all(|line| line.len() < 3200 && line.starts_with("warn: é\u{fffd}é")));
    assert!(!trace.answers[0].log[0].contains('\u{1b}'));
}

#[test]
fn a_guest_that_traps_denies() {
    let traps = [
        "(unreachable)",
        "(i32.div_s (i32.const 1) (i32.const 0))",
        "(i32.load (i32.const -1))",
        "(i32.trunc_f32_s (f32.const nan))",
    ];
    for trap in traps {
        assert_eq!(code(&Guest::new(Hook::Admit, trap), &engine(|_| {})), DenyCode::PolicyTrapped, "{trap}");
    }
}

#[test]
fn an_answer_that_is_no_value_of_the_contract_denies() {
    let engine = engine(|_| {});
    let unknown_case = Guest::answering(Hook::Admit, &Bytes::default().word(9).done());
    let outside = Guest::answering(Hook::Admit, &Bytes::default().word(1).list(u32::MAX, 4).list(0, 0).done());
    let beyond = Guest::new(Hook::Admit, "(i32.const -4)");
    let not_utf8 = Guest::answering(Hook::Admit, &Bytes::default().word(1).reason("1").done()).data(TEXT, b"\xff");
    let no_name = allowing().text("no name");
    for guest in [unknown_case, outside, beyond, not_utf8, no_name] {
        assert_eq!(code(&guest, &engine), DenyCode::PolicyAnswer);
    }
}

#[test]
fn a_guest_that_faults_denies_with_its_own_words() {
    let fault = Bytes::default().word(1).word(0).list(TEXT, 5).done();
    let guest = Guest::new(Hook::Admit, &format!("(i32.const {ANSWER})")).data(ANSWER, &fault).text("email");
    let denial = admit(&guest, &engine(|_| {})).unwrap_err();
    assert_eq!(denial.code, DenyCode::PolicyFault);
    assert_eq!((denial.reason.code.as_str(), denial.reason.detail.as_str()), ("missing-claim", "email"));
}

#[test]
fn a82_refuses_every_import_that_is_not_granted_and_names_them_all() {
    let engine = engine(|_| {});
    let names = [
        "wasi:filesystem/types@0.2.3",
        "wasi:sockets/tcp@0.2.3",
        "wasi:cli/environment@0.2.3",
        "wasi:random/random@0.2.3",
        "wasi:clocks/wall-clock@0.2.3",
        "wasi:http/outgoing-handler@0.2.3",
    ];
    let imports: String = names.iter().map(|name| format!("(import \"{name}\" (instance))")).collect();
    let component = |imports: &str| wat::parse_str(format!("(component {imports})")).unwrap();
    let error = Component::check(&engine, &component(&imports)).unwrap_err();
    let LoadError::Imports { imports } = &error else { panic!("{error}") };
    assert_eq!(imports, &names);
    assert!(error.to_string().contains("wasm32-unknown-unknown"), "{error}");
    for name in [
        "vestibule:policy/lookup@0.1.0",
        "vestibule:policy/admit@0.1.0",
        "other:package/log@0.1.0",
        "vestibule:policy2/log@0.1.0",
        "env",
    ] {
        let error = Component::check(&engine, &component(&format!("(import \"{name}\" (instance))"))).unwrap_err();
        assert!(matches!(&error, LoadError::Imports { imports } if imports == &[name]), "{name}: {error}");
    }
    for import in ["\"f\" (func)", "\"m\" (core module)", "\"c\" (component)"] {
        let error = Component::check(&engine, &component(&format!("(import {import})"))).unwrap_err();
        assert!(matches!(error, LoadError::Imports { .. }), "{import}: {error}");
    }
}

#[test]
fn a82_refuses_a_function_that_the_granted_interfaces_do_not_have() {
    for (interface, function) in [("types", "spy"), ("log", "read"), ("types", "write")] {
        let component = wat::parse_str(format!(
            "(component
                (import \"vestibule:policy/{interface}@0.1.0\"
                    (instance (export \"{function}\" (func (param \"what\" string)))))
                (instance $i)
                (export \"vestibule:policy/settings@0.1.0\" (instance $i))
                (export \"vestibule:policy/admit@0.1.0\" (instance $i)))",
        ))
        .unwrap();
        let error = Component::check(&engine(|_| {}), &component).unwrap_err();
        let expected = format!("vestibule:policy/{interface}@0.1.0#{function}");
        assert!(matches!(&error, LoadError::Imports { imports } if *imports == [expected]), "{error}");
    }
}

#[test]
fn refuses_the_wrong_world_and_the_wrong_version() {
    let engine = engine(|_| {});
    let exporting = |name: &str| {
        let component = wat::parse_str(format!("(component (instance $i) (export \"{name}\" (instance $i)))")).unwrap();
        Component::check(&engine, &component).unwrap_err()
    };
    assert!(matches!(exporting("wasi:http/incoming-handler@0.2.3"), LoadError::UnknownExports { .. }));
    assert!(matches!(exporting("vestibule:policy/admin@0.1.0"), LoadError::UnknownExports { .. }));
    assert!(matches!(exporting("vestibule:policy/admit@0.2.0"), LoadError::WitVersion { .. }));
    assert!(matches!(exporting("vestibule:policy/admit@1.1.0"), LoadError::WitVersion { .. }));
    assert!(matches!(exporting("vestibule:policy/admit@0.1.0"), LoadError::NoSettingsExport));
    assert!(matches!(exporting("vestibule:policy/settings@0.1.0"), LoadError::NoHook));
}

#[test]
fn refuses_hooks_whose_functions_have_other_types() {
    let engine = engine(|_| {});
    let component = wat::parse_str(
        "(component
            (core module $m (func (export \"f\")))
            (core instance $m (instantiate $m))
            (func $f (canon lift (core func $m \"f\")))
            (instance $settings (export \"configure\" (func $f)))
            (instance $admit (export \"decide\" (func $f)))
            (export \"vestibule:policy/settings@0.1.0\" (instance $settings))
            (export \"vestibule:policy/admit@0.1.0\" (instance $admit)))",
    )
    .unwrap();
    let component = with_manifest(component, br#"{"name":"a","version":"0.1.0","hooks":["admit"]}"#);
    let component = Component::check(&engine, &component).unwrap();
    let error = LoadedPolicy::load(&engine, "a", &component, &json!({})).unwrap_err();
    assert!(matches!(&error, LoadError::WrongType { interface, .. } if interface == "admit"), "{error}");
}

#[test]
fn refuses_what_is_no_component_and_says_what_it_is() {
    let engine = engine(|limits| {
        limits.component_bytes_max = 100_000;
        limits.interpreter.component_bytes_max = 100_000;
    });
    let refusal = |bytes: &[u8]| Component::check(&engine, bytes).unwrap_err().to_string();
    assert!(refusal(b"\xff\xd8\xff\xe0\0\x10JFIF").contains("a JPEG image"));
    assert!(refusal(b"").contains("an empty file"));
    assert!(refusal(b"version https://git-lfs.github.com/spec/v1").contains("Git LFS"));
    assert!(refusal(b"(component)").contains("text form"));
    assert!(refusal(&wat::parse_str("(module)").unwrap()).contains("core module"));
    assert!(refusal(&vec![0; 100_001]).contains("component-bytes-max"));
}

#[test]
fn refuses_a_component_that_was_cut_or_changed_and_never_panics() {
    let engine = engine(|_| {});
    let whole = allowing().component();
    assert!(Component::check(&engine, &whole).is_ok());
    for length in (0..whole.len()).step_by(3) {
        assert!(Component::check(&engine, &whole[..length]).is_err(), "length {length}");
    }
    for byte in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[byte] ^= 0x41;
        // Many a byte of a name or a number may be another; no change may bring us down.
        drop(Component::check(&engine, &changed));
    }
}

#[test]
fn refuses_a_manifest_that_lies_is_missing_twofold_or_malformed() {
    let engine = engine(|_| {});
    let bare = allowing().bare();
    assert!(matches!(Component::check(&engine, &bare), Err(LoadError::NoManifest)));
    let hooks =
        |hooks: &[&str]| json!({ "name": "a", "version": "0.1.0", "hooks": hooks, "access-paths": [] }).to_string();
    for lie in [&["session"][..], &["admit", "session"], &["admit", "groups", "route"]] {
        let error = Component::check(&engine, &with_manifest(bare.clone(), hooks(lie).as_bytes())).unwrap_err();
        assert!(matches!(error, LoadError::LyingManifest { .. }), "{lie:?}: {error}");
    }
    let twice = with_manifest(allowing().component(), hooks(&["admit"]).as_bytes());
    assert!(matches!(Component::check(&engine, &twice), Err(LoadError::ManyManifests(2))));
    let malformed = with_manifest(bare, b"{\"name\":");
    assert!(matches!(Component::check(&engine, &malformed), Err(LoadError::Manifest(_))));
}

#[test]
fn the_guests_own_problems_with_its_settings_come_all_at_once() {
    let problems = Bytes::default().word(1).list(2048, 2).done();
    let list = Bytes::default().list(TEXT, 2).list(TEXT + 2, 3).list(TEXT, 2).list(TEXT + 2, 3).done();
    let guest = allowing()
        .configure(&format!("(i32.const {})", 1536))
        .data(1536, &problems)
        .data(2048, &list)
        .data(TEXT, b"/abad");
    let Err(LoadError::Settings(problems)) = guest.load(&engine(|_| {})) else { panic!("loaded") };
    let problems: Vec<_> = problems.iter().map(|problem| (&*problem.pointer, &*problem.message)).collect();
    assert_eq!(problems, [("/a", "bad"), ("/a", "bad")]);
}

#[test]
fn a_compile_bomb_is_given_up_after_its_time() {
    let body = "(drop (i32.add (i32.const 1) (i32.const 2)))".repeat(200);
    let functions: String = (0..2000).map(|_| format!("(func {body})")).collect();
    let bomb = allowing().extra(&functions);
    let error = bomb.load(&engine(|limits| limits.compile_timeout = Duration::from_millis(1))).unwrap_err();
    assert!(matches!(error, LoadError::CompileTimeout(_)), "{error}");
}

#[test]
fn a_deadline_holds_for_parallel_decisions_beside_a_spinning_one() {
    let engine = engine(|limits| {
        limits.fuel = u64::MAX;
        limits.deadline = Duration::from_millis(100);
    });
    let spinning = Guest::new(Hook::Admit, LOOP).load(&engine).unwrap();
    let good = allowing().load(&engine).unwrap();
    let spin = std::thread::spawn(move || {
        run(vec![spinning]).admit(&VerifiedIdentity::assertion(identity()), None).unwrap_err().code
    });
    for _ in 0..100 {
        assert!(run(vec![Arc::clone(&good)]).admit(&VerifiedIdentity::assertion(identity()), None).is_ok());
    }
    assert_eq!(spin.join().unwrap(), DenyCode::PolicyDeadline);
}

#[test]
fn a_full_pool_refuses_the_next_decision_and_recovers() {
    let engine = engine(|limits| limits.decisions_max = 1);
    let policy = allowing().load(&engine).unwrap();
    let identity = VerifiedIdentity::assertion(identity());
    let mut first = run(vec![Arc::clone(&policy)]);
    assert!(first.admit(&identity, None).is_ok());
    let second = run(vec![Arc::clone(&policy)]).admit(&identity, None).unwrap_err();
    assert_eq!(second.code, DenyCode::Overloaded);
    drop(first);
    assert!(run(vec![policy]).admit(&identity, None).is_ok());
}

#[test]
fn native_code_is_known_by_the_code_and_by_nothing_that_is_said_of_it() {
    let engine = engine(|_| {});
    let key = |guest: &Guest| Component::check(&engine, &guest.component()).unwrap().code_key(b"kind", b"processor");
    let one = key(&allowing());
    assert_eq!(one, key(&allowing().manifest("description", json!("another"))));
    assert_ne!(one, key(&allowing().text("fime")));
    let component = Component::check(&engine, &allowing().component()).unwrap();
    assert_ne!(one, component.code_key(b"kind", b"another processor"));
    assert_ne!(one, component.code_key(b"another kind", b"processor"));
}
