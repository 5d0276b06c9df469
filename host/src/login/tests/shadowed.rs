//! Requirements on chains in shadow: asked, told of, and never in the way.

use super::*;

/// A gateway whose chain is `p0` and `p1`, with the rest in shadow.
fn gate(guests: &[Guest]) -> Gate {
    let shadow: Vec<String> = (2..guests.len()).map(|index| format!("\"p{index}\"")).collect();
    let line = format!("chain = [\"p0\", \"p1\"]\nshadow-chain = [{}]\n", shadow.join(", "));
    let all: Vec<String> = (0..guests.len()).map(|index| format!("\"p{index}\"")).collect();
    let gate = Gate::new(guests);
    let path = gate.folder.path().join("vestibule.toml");
    let text = fs::read_to_string(&path).unwrap();
    let own = format!("chain = [{}]\n", all.join(", "));
    assert!(text.contains(&own), "{text}");
    fs::write(path, text.replace(&own, &line)).unwrap();
    let event = gate.generations.reload();
    assert_eq!(event.outcome, crate::policy::Outcome::InForce, "{event}");
    gate
}

fn told(gate: &Gate) -> Vec<Value> {
    gate.login.close_shadow();
    gate.recorded("shadow.differs")
}

#[tokio::test]
async fn what_a_chain_in_shadow_would_have_denied_is_told_and_nothing_comes_of_it() {
    let gate = gate(&[form(), allow(), deny()]);
    gate.log_in(&mut Browser::default()).await;
    let told = told(&gate);
    let [event] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        (&event["outcome"]["decided"]["code"], &event["outcome"]["shadow"]["code"]),
        (&json!("admitted"), &json!("not-today"))
    );
    assert_eq!((&event["granted"], &event["application"]), (&json!(false), &json!("wiki")));
    assert_eq!(event["denial"]["policy"], "p2");
    let decided = gate.recorded("decision.login");
    assert_eq!((&decided[0]["granted"], &decided[0]["login"]), (&json!(true), &event["login"]));
    assert!(!event.to_string().contains("ann@"), "{event}");
}

#[tokio::test]
async fn a_chain_in_shadow_that_fails_fails_no_login_and_one_that_agrees_is_silent() {
    let trap = Guest::new(Hook::Admit, "unreachable");
    let shadowed = gate(&[form(), allow(), trap]);
    shadowed.log_in(&mut Browser::default()).await;
    assert_eq!(told(&shadowed)[0]["denial"]["code"], "policy-trapped");
    let agreed = gate(&[form(), allow(), allow()]);
    agreed.log_in(&mut Browser::default()).await;
    assert_eq!(told(&agreed), Vec::<Value>::new());
    // After its end as before it.
    agreed.log_in(&mut Browser::default()).await;
}

#[tokio::test]
async fn one_that_would_let_in_whom_the_chain_denies_is_told_too() {
    let gate = gate(&[form(), deny(), allow(), terms(60, 60, false)]);
    refused(gate.prove(&mut Browser::default()).await);
    let told = told(&gate);
    assert_eq!(
        (&told[0]["outcome"]["decided"]["code"], &told[0]["outcome"]["shadow"]["code"]),
        (&json!("not-today"), &json!("admitted"))
    );
    assert_eq!(told[0]["granted"], true);
}

#[tokio::test]
async fn a_loop_in_shadow_keeps_nobody_waiting() {
    let forever = Guest::new(Hook::Admit, "(loop $on (br $on)) (i32.const 1024)");
    let gate = gate(&[form(), allow(), forever]);
    for _ in 0..3 {
        gate.log_in(&mut Browser::default()).await;
    }
    let told = told(&gate);
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|event| event["denial"]["code"] == "policy-fuel"), "{told:?}");
}
