//! Requirements on what is kept of a login, and that the same comes of it when it is asked again.

use super::*;
use crate::{
    decision::{Conclusion, Decided, WayChosen},
    recording::{Entry, Range, Reader},
};

const RECORDING: &str = "[recording]\ndirectory = \"recording\"\n";

/// What was recorded, once all of it is written.
fn recorded(gate: &Gate) -> (Vec<WayChosen>, Vec<Decided>) {
    let recorder = gate.login.parts.recorder.as_ref().unwrap();
    recorder.close();
    let keys = testing::keys();
    let mut reader = Reader::open(&gate.folder.path().join("recording"), &keys, Range::default()).unwrap();
    let (mut ways, mut logins) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch().unwrap() {
        for line in &batch.lines {
            match line.open(&keys).unwrap() {
                Entry::Way(way) => ways.push(*way),
                Entry::Login(login) => logins.push(*login),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(reader.summary().damage, []);
    (ways, logins)
}

#[tokio::test]
async fn all_that_the_policies_were_asked_is_kept_and_gives_the_same_again() {
    let gate = Gate::with(&[form(), allow(), terms(120, 60, false)], RECORDING);
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    // Another application, with the single sign-on session: the way and the decision in one sandbox.
    gate.clock.advance(5);
    let again = gate.begin(&mut browser, "/Other").await;
    redirected(again);
    let (ways, logins) = recorded(&gate);
    assert_eq!((ways.len(), logins.len()), (1, 2));
    assert!(matches!(ways[0].direction, Ok(crate::decision::Direction::LocalForm)));
    let audited = gate.recorded("decision.login");
    let candidate = Candidate::new(gate.generations.current());
    for (decided, event) in logins.iter().zip(&audited) {
        assert_eq!(event["login"], json!(decided.asked.context.login));
        assert_eq!(event["trace"]["generation_digest"], json!(decided.generation));
        let Conclusion::Admitted(granted) = &decided.conclusion else { panic!("{decided:?}") };
        assert_eq!(event["outcome"]["terms"], json!(granted.terms));
        let fuel = |answers: &[crate::decision::Answered]| answers.iter().map(|answer| answer.fuel).sum::<u64>();
        let again = candidate.decide(&decided.asked, &decided.found, None);
        assert_eq!(again.conclusion, decided.conclusion);
        assert_eq!(again.answers, decided.answers);
        assert!(fuel(&again.answers) > 0);
        assert_eq!(decided.asked.identity.email.as_ref().unwrap().address, "ann@example.com");
    }
    assert!(logins[0].asked.routed.is_none() && logins[1].asked.routed.is_some());
    assert_eq!(logins[1].asked.elapsed, 5);
    assert!(gate.generations.current().recipe("wiki").is_some_and(|recipe| recipe.policies.len() == 3));
}

#[tokio::test]
async fn a_no_is_kept_like_a_yes() {
    let gate = Gate::with(&[form(), deny()], RECORDING);
    refused(gate.prove(&mut Browser::default()).await);
    let (_, logins) = recorded(&gate);
    let [decided] = &logins[..] else { panic!("{logins:?}") };
    let Conclusion::Denied(denial) = &decided.conclusion else { panic!("{decided:?}") };
    assert_eq!(denial.reason.code, "not-today");
    assert_eq!(
        Candidate::new(gate.generations.current()).decide(&decided.asked, &decided.found, None).conclusion,
        decided.conclusion
    );
}

#[tokio::test]
async fn a_recording_that_has_ended_fails_no_login() {
    let gate = Gate::with(&[form(), allow()], RECORDING);
    gate.login.parts.recorder.as_ref().unwrap().close();
    gate.log_in(&mut Browser::default()).await;
    assert_eq!(recorded(&gate).1.len(), 0);
}

#[tokio::test]
async fn nothing_is_kept_where_nobody_asked_for_it() {
    let gate = Gate::new(&[form(), allow()]);
    gate.log_in(&mut Browser::default()).await;
    assert!(gate.login.parts.recorder.is_none());
    assert!(!gate.folder.path().join("recording").exists());
}
