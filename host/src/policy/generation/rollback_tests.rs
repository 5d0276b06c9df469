//! Going back: by itself where a new generation fails too often, and by an operator's word.

use std::{fs, sync::mpsc::Receiver};

use super::{
    signing_tests::Signed,
    tests::{Folder, context, identity, marks},
    *,
};
use crate::{
    decision::Admit,
    identity::Identity,
    policy::{Matter, RollbackError, Watch},
};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

const TERMS: &str = "rollback = { faults-percent = 5, decisions-min = 20, window-s = 600 }\n";

fn folder(terms: &str) -> Folder {
    let folder = Folder::new();
    folder.configure(terms, &[("wiki", "\"a\", \"b\"")]);
    folder
}

/// One login, by a person of its own, in second `at`.
fn log_in(generation: &Arc<Generation>, at: u64) -> Result<(), Denial> {
    let person = Identity { subject: format!("person-{at}"), ..identity() };
    let context = Context { at, ..context("wiki") };
    let mut run = generation.begin(context).map_err(|(denial, _)| denial)?;
    match run.admit_case(&person, None)? {
        Admit::Allow(_) => Ok(()),
        Admit::StepUp(_) => panic!("the fixture asks for no step-up"),
    }
}

fn next(events: &Receiver<GenerationEvent>, outcome: Outcome) -> GenerationEvent {
    loop {
        let event = events.recv_timeout(PATIENCE).unwrap();
        if event.outcome == outcome {
            return event;
        }
    }
}

/// A new generation that traps in one second of twenty, after the logins that give it away.
fn failed(folder: &Folder, generations: &Arc<Generations>) {
    folder.write("b.toml", "mark = \"vary\"\n");
    assert_eq!(generations.reload().outcome, Outcome::InForce);
    let bad = generations.current();
    for at in 1..=20 {
        assert_eq!(generations.current().number(), bad.number(), "gone back too early: {at}");
        let trapped = log_in(&bad, at).is_err();
        assert_eq!(trapped, at == 20);
    }
}

#[test]
fn a_generation_that_traps_on_one_login_in_twenty_goes_back_at_once() {
    let folder = folder(TERMS);
    let (generations, _, events) = folder.open();
    let good = generations.current();
    failed(&folder, &generations);
    assert!(Arc::ptr_eq(&good, &generations.current()), "not at once");

    let event = next(&events, Outcome::RolledBack);
    assert_eq!((event.cause, event.generation, &*event.digest), (Cause::Faults, 1, good.digest()), "{event}");
    let back = event.rolled_back.clone().unwrap();
    let failed = back.failed.unwrap();
    assert_eq!((back.from, failed.decisions, failed.faults, failed.matter), (2, 20, 1, Matter::Login));
    assert_eq!(
        event.to_string(),
        "generation 1 is in force again in the place of generation 2: its policies failed in 1 of 20 logins: \
         b: policy-trapped (1)"
    );
    // Whoever began with it is decided by it.
    let begun = generations.by_number(2).unwrap();
    assert_eq!(begun.digest(), back.from_digest);
    assert!(log_in(&begun, 40).is_err());
    assert_eq!(marks(&generations.current()), ["one", "one"]);
}

#[test]
fn what_was_rolled_back_is_not_taken_again_until_its_files_change() {
    let folder = folder(TERMS);
    let (generations, clock, events) = folder.open();
    failed(&folder, &generations);
    next(&events, Outcome::RolledBack);
    for _ in 0..2 {
        let event = generations.reload();
        assert_eq!((event.outcome, event.generation), (Outcome::Refused, 1), "{event}");
        assert!(event.to_string().contains("generation 2 of the same files was rolled back"), "{event}");
        clock.advance(1_000_000);
        assert!(!generations.is_due());
    }
    // Other files, and the same again: they are not better for that.
    folder.write("b.toml", "mark = \"new\"\n");
    assert_eq!(generations.reload().generation, 3);
    folder.write("b.toml", "mark = \"vary\"\n");
    assert_eq!((generations.reload().outcome, generations.current().number()), (Outcome::Refused, 3));
    // A good one goes on, whatever happens later.
    clock.advance(601);
    (1..100).for_each(|at| assert!(log_in(&generations.current(), at).is_ok()));
    assert_eq!(generations.current().number(), 3);
}

#[test]
fn after_a_cool_down_it_is_tried_again() {
    let folder = folder("rollback = { decisions-min = 20, cool-down-s = 300 }\npoll-ms = 20\n");
    let (generations, clock, events) = folder.open();
    failed(&folder, &generations);
    next(&events, Outcome::RolledBack);
    assert_eq!(generations.reload().outcome, Outcome::Refused);
    clock.advance(299);
    assert!(!generations.is_due());
    assert_eq!(generations.list().set_aside[0].until, Some(1_300));
    let _watch = Watch::start(Arc::clone(&generations)).unwrap();
    next(&events, Outcome::Refused);
    clock.advance(1);
    let event = next(&events, Outcome::InForce);
    assert_eq!((event.cause, event.generation), (Cause::CoolDown, 3), "{event}");
    // It is watched as it was before.
    (1..=20).for_each(|at| drop(log_in(&generations.current(), at)));
    assert_eq!(next(&events, Outcome::RolledBack).generation, 1);
}

#[test]
fn nothing_goes_back_without_terms_nor_after_the_window_nor_for_a_no() {
    for (terms, mark, later) in [("", "trap", 0), (TERMS, "trap", 600), (TERMS, "deny", 0)] {
        let folder = folder(terms);
        let (generations, clock, _) = folder.open();
        folder.write("b.toml", format!("mark = \"{mark}\"\n"));
        assert_eq!(generations.reload().generation, 2);
        clock.advance(later);
        for at in 0..100 {
            assert!(log_in(&generations.current(), at).is_err());
        }
        assert_eq!(generations.current().number(), 2, "{terms} {mark} {later}");
    }
}

#[test]
fn what_came_back_is_not_given_up_in_its_turn() {
    let folder = folder(TERMS);
    let (generations, ..) = folder.open();
    folder.write("b.toml", "mark = \"new\"\n");
    generations.reload();
    failed(&folder, &generations);
    assert_eq!(generations.current().number(), 2);
    // Even if it failed, too.
    let two = generations.current();
    for at in 0..100 {
        let seen = crate::policy::tally::Seen {
            matter: Matter::Login,
            fault: Some(("b", DenyCode::PolicyTrapped)),
            who: Some(at),
        };
        two.tally.note(&seen);
    }
    assert_eq!(generations.current().number(), 2);
}

#[test]
fn a_secret_that_is_rotated_meanwhile_changes_nothing_of_the_probation() {
    let folder = folder(TERMS);
    folder.write("secret", "one");
    folder.change_configuration("client-secret = \"s\"", "client-secret = { file = \"secret\" }");
    let (generations, _, events) = folder.open();
    folder.write("b.toml", "mark = \"vary\"\n");
    generations.reload();
    (1..=10).for_each(|at| log_in(&generations.current(), at).unwrap());
    folder.write("secret", "two");
    assert_eq!(generations.reload().generation, 3);
    (11..=20).for_each(|at| drop(log_in(&generations.current(), at)));
    let event = next(&events, Outcome::RolledBack);
    assert_eq!((event.generation, event.rolled_back.unwrap().from), (1, 3));
}

#[test]
fn an_operator_goes_back_and_it_stays_until_something_changes() {
    let folder = folder("");
    let (generations, clock, events) = folder.open();
    assert!(matches!(generations.roll_back(None, "me"), Err(RollbackError::NoneBefore(1))));
    for mark in ["new", "other"] {
        folder.write("b.toml", format!("mark = \"{mark}\"\n"));
        generations.reload();
    }
    assert!(matches!(generations.roll_back(Some(3), "me"), Err(RollbackError::InForce(3))));
    let error = generations.roll_back(Some(7), "me").unwrap_err();
    assert_eq!(error.to_string(), "there is no generation 7 to go back to: kept are 1, 2, 3");

    let event = generations.roll_back(None, "user id 7").unwrap();
    assert_eq!((event.cause, event.outcome, event.generation), (Cause::Rollback, Outcome::RolledBack, 2));
    assert_eq!(event.notes, ["asked for by user id 7"]);
    assert_eq!(next(&events, Outcome::RolledBack).generation, 2);
    assert_eq!(marks(&generations.current()), ["one", "new"]);
    // And one further.
    assert_eq!(generations.roll_back(None, "me").unwrap().generation, 1);
    clock.advance(1_000_000);
    assert_eq!(generations.reload().outcome, Outcome::Refused);
    assert_eq!(marks(&generations.current()), ["one", "one"]);
    // A change counts as one.
    folder.write("b.toml", "mark = \"four\"\n");
    assert_eq!(generations.reload().generation, 4);
    assert_eq!(marks(&generations.current()), ["one", "four"]);
}

#[test]
fn promoting_takes_what_the_files_say() {
    let folder = folder("");
    let (generations, ..) = folder.open();
    assert_eq!(generations.promote("me").outcome, Outcome::Unchanged);
    folder.write("b.toml", "mark = \"new\"\n");
    generations.reload();
    generations.roll_back(None, "me").unwrap();
    let event = generations.promote("user id 7");
    assert_eq!((event.cause, event.outcome, event.generation), (Cause::Promote, Outcome::InForce, 3), "{event}");
    assert!(event.notes.contains(&"asked for by user id 7".to_owned()));
    assert_eq!(marks(&generations.current()), ["one", "new"]);
}

#[test]
fn lists_what_is_kept_and_how_it_does() {
    let folder = folder(TERMS);
    let (generations, clock, events) = folder.open();
    clock.advance(5);
    failed(&folder, &generations);
    next(&events, Outcome::RolledBack);
    let listing = generations.list();
    assert_eq!(listing.in_force, 1);
    let [one, two] = &listing.generations[..] else { panic!("{listing:?}") };
    assert_eq!((one.in_force, one.since, one.came_after), (true, 1_005, None));
    assert_eq!((two.decisions, two.faults, two.came_after), (20, 1, Some(1)));
    assert_eq!(two.policies[1].name, "b");
    assert_eq!((listing.set_aside[0].generation, &listing.set_aside[0].digest), (2, &two.digest));
    let text = listing.to_string();
    assert!(text.contains("* 1  ") && text.contains("20 decisions, 1 faults"), "{text}");
    assert!(text.contains("set aside: generation 2") && text.contains("b: policy-trapped (1)"), "{text}");

    folder.write("b.toml", "nonsense = 1\n");
    generations.reload();
    let listing = generations.list();
    assert!(listing.last_refusal.iter().any(|problem| problem.contains("nonsense")), "{listing:?}");
}

#[test]
fn keeps_a_few_and_always_the_one_to_go_back_to() {
    let folder = folder("");
    let (generations, ..) = folder.open();
    for number in 2..20_u64 {
        folder.write("b.toml", format!("mark = \"n-{number}\"\n"));
        generations.reload();
    }
    let numbers: Vec<u64> = generations.list().generations.iter().map(|listed| listed.generation).collect();
    assert_eq!(numbers, [15, 16, 17, 18, 19]);
    let error = generations.roll_back(Some(3), "me").unwrap_err();
    assert!(error.to_string().ends_with("kept are 15, 16, 17, 18, 19"), "{error}");
    assert_eq!(generations.roll_back(Some(15), "me").unwrap().generation, 15);
}

#[test]
fn an_older_signed_version_comes_back_by_an_operators_word() {
    let place = Signed::new();
    let (generations, ..) = place.folder.open();
    place.replace("1.2.0", &place.ann);
    assert_eq!(generations.reload().outcome, Outcome::InForce);
    let event = generations.roll_back(None, "me").unwrap();
    assert_eq!(event.policies[1].version, "1.0.0", "{event}");
    // The files do not: there an operator must allow it.
    place.replace("1.0.0", &place.ann);
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::Refused);
    assert!(event.to_string().contains("version 1.0.0 is lower than 1.2.0"), "{event}");
}

#[test]
fn what_a_revoked_key_signed_does_not_come_back() {
    let place = Signed::new();
    let (generations, ..) = place.folder.open();
    place.replace("1.2.0", &place.bob);
    let bytes = fs::read(place.folder.path("a.wasm")).unwrap();
    place.folder.write("a.wasm", bytes);
    place.sign("a", &place.bob);
    place.configure(
        "signatures-required = 1\nrollback = { decisions-min = 1 }",
        &format!("\"{}\"", place.ann.pk.to_base64()),
    );
    assert_eq!(generations.reload().outcome, Outcome::InForce);
    let error = generations.roll_back(None, "me").unwrap_err();
    assert_eq!(
        error.to_string(),
        "generation 1 cannot come back: policy a has 0 of the 1 signatures that are required now"
    );
    assert_eq!(generations.current().number(), 2);
}
