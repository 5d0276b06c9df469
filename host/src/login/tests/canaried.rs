//! Requirements on canaries: some are decided by other policies, always the same ones, until those fail too often.

use super::*;
use crate::{
    decision::{Context, Decided},
    identity::{GroupClaim, Identity, Protocol},
    policy::Outcome,
    recording::{Entry, Range, Reader},
};

/// A gateway whose chain is `p0` and `p1`, with the rest in the canary.
fn gate(guests: &[Guest], who: &str, rest: &str) -> Gate {
    let canary: Vec<String> = (2..guests.len()).map(|index| format!("\"p{index}\"")).collect();
    let all: Vec<String> = (0..guests.len()).map(|index| format!("\"p{index}\"")).collect();
    let gate = Gate::with(guests, rest);
    let line = format!("chain = [\"p0\", \"p1\"]\ncanary-chain = [{}]\n{who}\n", canary.join(", "));
    change(&gate, &format!("chain = [{}]\n", all.join(", ")), &line);
    gate
}

fn change(gate: &Gate, from: &str, to: &str) {
    let path = gate.folder.path().join("vestibule.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
    let event = gate.generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
}

fn person(number: usize) -> Identity {
    Identity {
        upstream: "corp".into(),
        protocol: Protocol::Oidc,
        issuer: "https://corp.example.net".into(),
        subject: format!("person-{number}"),
        email: None,
        groups: GroupClaim::Absent,
        auth_time: None,
        acr: None,
        amr: vec![],
        claims: BTreeMap::new(),
    }
}

/// The numbers of the people whom the canary of `wiki` decides.
fn chosen(gate: &Gate) -> Vec<usize> {
    let (generation, keys) = (gate.generations.current(), testing::keys());
    (0..1000).filter(|number| canary::decides(&generation, "wiki", &person(*number), &keys)).collect()
}

#[tokio::test]
async fn whom_the_configuration_names_is_decided_by_the_canary_and_the_audit_says_so() {
    let named = gate(&[form(), allow(), deny()], "canary-subjects = [\"ann\"]", "");
    let denied = refused(named.prove(&mut Browser::default()).await);
    let event = named.recorded("decision.login").remove(0);
    assert_eq!(event["denial"]["reason"]["code"], "not-today", "{denied:?}");
    assert_eq!((&event["trace"]["canary"], &event["trace"]["policies"][0]["name"]), (&json!(true), &json!("p2")));
    // By the pseudonym that the audit has.
    let pseudonym = testing::keys().pseudonym("ann");
    let by_pseudonym = format!("canary-subjects = [\"pseudonym:{pseudonym}\"]");
    refused(gate(&[form(), allow(), deny()], &by_pseudonym, "").prove(&mut Browser::default()).await);
    // Everybody else by the application's own.
    let other = gate(&[form(), allow(), deny()], "canary-subjects = [\"bob\"]", "");
    other.log_in(&mut Browser::default()).await;
    let event = other.recorded("decision.login").remove(0);
    assert_eq!((&event["granted"], event["trace"].get("canary")), (&json!(true), None));
}

#[tokio::test]
async fn a_share_is_always_the_same_people_and_a_larger_one_has_them_all() {
    let gate = gate(&[form(), allow(), deny()], "canary-percent = 10", "");
    let tenth = chosen(&gate);
    assert!((60..140).contains(&tenth.len()), "{} of 1000", tenth.len());
    change(&gate, "canary-percent = 10", "canary-percent = 30");
    let third = chosen(&gate);
    assert!((250..350).contains(&third.len()), "{} of 1000", third.len());
    assert!(tenth.iter().all(|number| third.contains(number)));
    change(&gate, "canary-percent = 30", "canary-percent = 10");
    assert_eq!(chosen(&gate), tenth);
    change(&gate, "canary-percent = 10", "canary-percent = 100");
    assert_eq!(chosen(&gate).len(), 1000);
    change(&gate, "canary-percent = 100", "canary-percent = 0");
    assert_eq!(chosen(&gate), Vec::<usize>::new());
}

#[tokio::test]
async fn the_way_is_the_chains_also_where_the_canary_decides_in_the_same_request() {
    // The canary has no policy for the way.
    let gate = gate(&[form(), allow(), allow(), terms(120, 60, false)], "canary-percent = 100", "");
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    // With the single sign-on session, way and decision are one request.
    redirected(gate.begin(&mut browser, "/Other").await);
    let events = gate.recorded("decision.login");
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!((&event["granted"], &event["trace"]["canary"]), (&json!(true), &json!(true)), "{event}");
        assert_eq!(event["outcome"]["terms"]["lifetime"], 120);
        assert!(event["trace"]["policies"].as_array().unwrap().iter().all(|policy| policy["name"] != "p0"));
    }
}

#[tokio::test]
async fn a_canary_that_fails_too_often_is_over_and_stays_so() {
    let trap = Guest::new(Hook::Admit, "unreachable");
    let rest = "[policies.rollback]\ndecisions-min = 2\nfaults-percent = 50\n";
    let gate = gate(&[form(), allow(), trap], "canary-percent = 100", rest);
    // One person alone does not end it.
    for _ in 0..5 {
        refused(gate.prove(&mut Browser::default()).await);
    }
    let generation = gate.generations.current();
    assert!(generation.has_canary("wiki"));
    let context = Context { application: "wiki".into(), ..Context::default() };
    let mut run = generation.begin_canary(context).unwrap();
    run.admit_case(&person(1), None).unwrap_err();
    drop(run);
    assert!(!generation.has_canary("wiki"));
    gate.log_in(&mut Browser::default()).await;
    let listing = gate.generations.list();
    assert!(listing.generations.last().unwrap().canaries["wiki"].is_over, "{listing}");
    assert_eq!(gate.generations.current().number(), generation.number(), "the generation stays");
    // Whatever else changes.
    change(&gate, "canary-percent = 100", "canary-percent = 99");
    assert!(!gate.generations.current().has_canary("wiki"));
    // Another chain is another canary.
    fs::write(gate.folder.path().join("p2.wasm"), deny().component()).unwrap();
    assert_eq!(gate.generations.reload().outcome, Outcome::InForce);
    assert!(gate.generations.current().has_canary("wiki"));
}

#[tokio::test]
async fn what_a_canary_decided_is_recorded_with_its_chain_and_gives_the_same_again() {
    let gate = gate(
        &[form(), allow(), allow(), terms(120, 60, false)],
        "canary-percent = 100",
        "[recording]\ndirectory = \"recording\"\n",
    );
    let mut browser = Browser::default();
    gate.log_in(&mut browser).await;
    redirected(gate.begin(&mut browser, "/Other").await);
    let (logins, recipes) = recorded(&gate);
    assert_eq!(logins.len(), 2);
    let candidate = Candidate::new(gate.generations.current());
    for (decided, recipe) in logins.iter().zip(&recipes) {
        assert!(decided.asked.canary && decided.asked.routed.is_none());
        assert_eq!(recipe, &["p2", "p3"]);
        let again = candidate.decide(&decided.asked, &decided.found, None);
        assert_eq!((&again.conclusion, &again.answers), (&decided.conclusion, &decided.answers));
    }
}

/// The logins that were recorded, and the policies of the chains that they name.
fn recorded(gate: &Gate) -> (Vec<Decided>, Vec<Vec<String>>) {
    gate.login.parts.recorder.as_ref().unwrap().close();
    let keys = testing::keys();
    let mut reader = Reader::open(&gate.folder.path().join("recording"), &keys, Range::default()).unwrap();
    let (mut logins, mut recipes) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch().unwrap() {
        for line in &batch.lines {
            if let Entry::Login(login) = line.open(&keys).unwrap() {
                let recipe = reader.recipe(&login.generation, "wiki").unwrap();
                recipes.push(recipe.policies.iter().map(|ingredient| ingredient.policy.name.clone()).collect());
                logins.push(*login);
            }
        }
    }
    (logins, recipes)
}
