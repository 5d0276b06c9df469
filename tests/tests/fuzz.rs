//! The fuzz targets for a short time: their seeds, and changes of these. `VESTIBULE_FUZZ_ROUNDS` makes it longer, and
//! `tests/fuzz/README.md` says how to run them with feedback.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vestibule_tests::fuzz::{Mutator, Target, corpus, targets};

/// The seeds that the gateway takes: were none taken, the targets would hold nothing.
const TAKEN: &[(&str, &[&str])] = &[
    ("authn_request", &["enveloped.xml", "redirect.query"]),
    ("logout_request", &["enveloped.xml", "redirect.query"]),
    ("tokens", &["ec.jwt", "ed.jwt", "rsa.jwt"]),
    ("cookies", &["01", "02", "04"]),
    ("packs", &["good.pack"]),
    ("redirect_targets", &["00", "01", "02", "03", "05"]),
    ("paths", &["00", "01", "02", "03", "05", "08", "09"]),
];

const ROUNDS: usize = 20_000;

#[expect(clippy::disallowed_methods, reason = "a test is told by its environment how long it may take")]
fn rounds() -> usize {
    std::env::var("VESTIBULE_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

fn hold(target: &dyn Target, data: &[u8], what: &str) -> bool {
    let name = target.name();
    catch_unwind(AssertUnwindSafe(|| target.take(data))).unwrap_or_else(|_| {
        panic!("{name}, {what}: put this into tests/fuzz/corpus/{name}/: \"{}\"", data.escape_ascii())
    })
}

#[test]
fn the_seeds_come_out_as_they_should() {
    for target in targets() {
        let taken: Vec<String> = corpus(target.name())
            .into_iter()
            .filter(|(name, seed)| hold(&*target, seed, name))
            .map(|(name, _)| name)
            .collect();
        let (_, expected) = TAKEN.iter().find(|(name, _)| *name == target.name()).expect("a row for each target");
        assert_eq!(taken, *expected, "{}", target.name());
    }
}

#[test]
fn whatever_is_sent_holds_what_must_be_true() {
    for target in targets() {
        let seeds = corpus(target.name());
        let mut mutator = Mutator::new(1);
        for round in 0..rounds() {
            hold(&*target, &mutator.input(&seeds), &format!("round {round}"));
        }
    }
}
