//! Other policies for some: who, how it ends, and that a candidate which fails now and then changes nothing.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use vestibule_tests::{browser::Browser, guests};

use crate::{
    languages::misbehaving,
    scene::{CROWD, Scene, With, policies},
};

/// A canary's policies: its own terms for the session, so that a decision shows whose it was.
const POLICIES: [&str; 2] = ["misbehaves-js", "canary-terms"];

/// A scene whose application has a canary for `who`. Its first policy fails for whom its settings name.
async fn scene(who: &str, more: &str) -> Scene {
    let mut scene = Scene::start(With::Nginx).await;
    fs::copy(misbehaving("js"), scene.gateway.path("policies/misbehaves-js.wasm")).expect("a copy");
    let terms = scene.gateway.path("policies/session-terms.wasm");
    fs::copy(terms, scene.gateway.path("policies/canary-terms.wasm")).expect("a copy");
    scene.gateway.write("settings/misbehaves-js.toml", "");
    scene.gateway.write("settings/canary-terms.toml", "lifetime-s = 1800\n");
    let before = format!(
        "[login]\nattempts-per-minute = 100000\n\n[control]\nsocket = \"control.sock\"\n\n\
         [policies.limits.interpreter]\ndeadline-ms = 60000\ncompile-timeout-ms = 900000\n\n{more}\n{}[applications.app]\n",
        policies(&POLICIES)
    );
    let canary = format!(
        "canary-chain = [\"misbehaves-js\", \"domain-restriction\", \"attribute-mapping\", \"group-mapping\", \
         \"canary-terms\"]\n{who}\n[applications.app.forward-auth]\n"
    );
    scene.restart_with(&[("[applications.app]\n", &before), ("[applications.app.forward-auth]\n", &canary)]);
    scene
}

/// Changes the configuration that is in force, and waits until it is.
async fn change(scene: &Scene, from: &str, to: &str) {
    let text = fs::read_to_string(scene.gateway.path("vestibule.toml")).expect("the configuration");
    assert!(text.contains(from), "{text}");
    let next = scene.gateway.events("generation.swapped").len() + 1;
    scene.gateway.write("vestibule.toml", &text.replace(from, to));
    swapped(scene, next).await;
}

/// Waits until generations came into force so many times.
async fn swapped(scene: &Scene, times: usize) {
    let count = || scene.gateway.events("generation.swapped").len();
    scene.gateway.wait_for("another generation", |_| count() >= times).await;
}

/// Logs everybody of the crowd in; by name, whether the canary decided, and with which code it was denied.
async fn crowd(scene: &Scene) -> BTreeMap<usize, (bool, Value)> {
    let mut decided = BTreeMap::new();
    for number in 0..CROWD {
        let before = scene.gateway.events("decision.login").len();
        let page = scene.log_in(&mut Browser::new(), &format!("person-{number}")).await;
        let event = scene.gateway.events("decision.login").split_off(before).remove(0);
        let is_canary = event["trace"]["canary"] == true;
        assert_eq!(page.status == 200, event["granted"] == true, "{event}\n{}", page.body);
        if event["granted"] == true {
            let lifetime = if is_canary { 1800 } else { 3600 };
            assert_eq!(event["outcome"]["terms"]["lifetime"], lifetime, "{event}");
        }
        decided.insert(number, (is_canary, event["denial"]["code"].clone()));
    }
    decided
}

fn listing(scene: &Scene) -> Value {
    let config = scene.gateway.path("vestibule.toml");
    let (code, printed, errors) =
        scene.gateway.run(&["--json", "generation", "list", "--config", config.to_str().expect("a path")]);
    assert_eq!(code, 0, "{printed}{errors}");
    let value: Value = serde_json::from_str(&printed).expect("JSON");
    value["result"].clone()
}

fn newest(listing: &Value) -> &Value {
    listing["generations"].as_array().and_then(|all| all.last()).expect("a generation")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_people_is_always_the_same_and_named_ones_belong_to_it() {
    let mut scene = scene("canary-percent = 40", "").await;
    let first = crowd(&scene).await;
    let chosen = |decided: &BTreeMap<usize, (bool, Value)>| -> Vec<usize> {
        decided.iter().filter(|(_, (is_canary, _))| *is_canary).map(|(number, _)| *number).collect()
    };
    let share = chosen(&first);
    // One key ring in a hundred thousand would have none of twenty, or all.
    assert!(!share.is_empty() && share.len() < CROWD, "{share:?}");
    assert!(first.values().all(|(_, code)| code.is_null()), "{first:?}");
    assert_eq!(crowd(&scene).await, first, "the same people the second time");
    scene.gateway.stop();
    scene.gateway.start();
    assert_eq!(crowd(&scene).await, first, "and after a restart");

    // Somebody of the others by name, and by the pseudonym that the audit has.
    let mut others = (0..CROWD).filter(|number| !share.contains(number));
    let (named, other) = (others.next().expect("somebody"), others.next().expect("somebody else"));
    let events = scene.gateway.events("decision.login");
    let pseudonym =
        events[events.len() - CROWD + other]["identity"]["subject"].as_str().expect("a pseudonym").to_owned();
    assert!(pseudonym.starts_with("pseudonym:"), "{pseudonym}");
    let names = format!("canary-percent = 40\ncanary-subjects = [\"person-{named}\", \"{pseudonym}\"]");
    change(&scene, "canary-percent = 40", &names).await;
    let mut expected = [share.as_slice(), &[named, other]].concat();
    expected.sort_unstable();
    assert_eq!(chosen(&crowd(&scene).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_fails_for_one_in_twenty_goes_on_and_one_that_fails_more_often_is_over() {
    let terms = "[policies.rollback]\nfaults-percent = 10\ndecisions-min = 20\n";
    let scene = scene("canary-percent = 100", terms).await;
    scene.gateway.write("settings/misbehaves-js.toml", "loop = [\"person-7\"]\n");
    swapped(&scene, scene.gateway.events("generation.swapped").len() + 1).await;
    let decided = crowd(&scene).await;
    for (number, found) in &decided {
        let expected = if *number == 7 { json!("policy-fuel") } else { Value::Null };
        assert_eq!(found, &(true, expected), "person-{number}");
    }
    // Counted, and nothing more: the generation and its canary stay.
    let list = listing(&scene);
    let canary = &newest(&list)["canaries"]["app"];
    assert_eq!((&canary["decisions"], &canary["faults"], &canary["is-over"]), (&json!(20), &json!(1), &json!(false)));
    assert_eq!(newest(&list)["faults"], 0, "the generation's own: {list:#}");
    assert!(scene.gateway.events("canary.ended").is_empty());

    // Three of twenty are too many.
    scene.gateway.write("settings/misbehaves-js.toml", "loop = [\"person-7\", \"person-8\", \"person-19\"]\n");
    swapped(&scene, scene.gateway.events("generation.swapped").len() + 1).await;
    let generation = listing(&scene)["in-force"].clone();
    crowd(&scene).await;
    let told = scene.gateway.wait_for("that the canary is over", |event| event["kind"] == "canary.ended").await;
    let ended = &told["outcome"]["canary"];
    assert_eq!((&ended["application"], &ended["failed"]["matter"]), (&json!("app"), &json!("login")), "{told}");
    assert_eq!((&ended["failed"]["decisions"], &ended["failed"]["faults"]), (&json!(20), &json!(3)), "{told}");
    let by = &ended["failed"]["policies"][0];
    assert_eq!((&by["policy"], &by["code"], &by["times"]), (&json!("misbehaves-js"), &json!("policy-fuel"), &json!(3)));
    assert!(scene.gateway.log().contains("the canary of application app is over"), "{}", scene.gateway.log());
    // Everybody is decided by the chain now, and the generation is the same.
    assert!(crowd(&scene).await.values().all(|found| found == &(false, Value::Null)));
    let list = listing(&scene);
    assert_eq!((&list["in-force"], &newest(&list)["canaries"]["app"]["is-over"]), (&generation, &json!(true)));
    assert_eq!(scene.gateway.events("canary.ended").len(), 1, "told once");
    // Not even other settings elsewhere begin it anew; its own do.
    change(&scene, "canary-percent = 100", "canary-percent = 99").await;
    assert_eq!(newest(&listing(&scene))["canaries"]["app"]["is-over"], true);
    scene.gateway.write("settings/misbehaves-js.toml", "");
    swapped(&scene, scene.gateway.events("generation.swapped").len() + 1).await;
    assert_eq!(newest(&listing(&scene))["canaries"]["app"]["is-over"], false);
    let (code, output, errors) = scene.gateway.run(&["audit", "verify", "audit.jsonl", "--json"]);
    assert_eq!(code, 0, "{output}{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_on_one_login_in_twenty_is_counted_in_shadow_and_in_a_replay() {
    let shadow = "shadow-chain = [\"misbehaves-js\", \"domain-restriction\", \"attribute-mapping\", \"group-mapping\", \
                  \"default-groups\", \"session-terms\"]\ncanary-percent = 0";
    let mut scene = scene(shadow, "[recording]\ndirectory = \"recording\"\n").await;
    scene.gateway.write("settings/misbehaves-js.toml", "loop = [\"person-7\"]\n");
    swapped(&scene, scene.gateway.events("generation.swapped").len() + 1).await;
    let generation = scene.gateway.events("generation.swapped").pop().expect("a generation")["outcome"].clone();
    let decided = crowd(&scene).await;
    assert!(decided.values().all(|found| found == &(false, Value::Null)), "no login notices: {decided:?}");
    scene.gateway.wait_for("that it differs", |event| event["kind"] == "shadow.differs").await;
    // What waits is asked when the gateway ends.
    scene.gateway.stop();
    let differs = scene.gateway.events("shadow.differs");
    assert_eq!(differs.len(), 1, "{differs:#?}");
    assert_eq!((&differs[0]["granted"], &differs[0]["denial"]["code"]), (&json!(false), &json!("policy-fuel")));
    let denied = &scene.gateway.events("decision.login")[7];
    assert_eq!(differs[0]["login"], denied["login"], "{differs:#?}");
    let last = scene.gateway.events("generation.swapped").pop().expect("a generation");
    assert_eq!(last["outcome"], generation, "nothing in force changed");

    // A whole candidate configuration of which it is a part.
    let text = fs::read_to_string(scene.gateway.path("vestibule.toml")).expect("the configuration");
    let chain = "chain = [\"redirection-rules\", ";
    assert!(text.contains(chain));
    scene.gateway.write("candidate.toml", &text.replace(chain, &format!("{chain}\"misbehaves-js\", ")));
    let arguments = ["replay", "--config", "vestibule.toml", "--candidate", "candidate.toml", "--json"];
    let (code, printed, errors) = scene.gateway.run(&arguments);
    assert_eq!(code, 0, "{printed}{errors}");
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((&report["recording"]["logins"], &report["counts"]["denied"]), (&json!(20), &json!(1)), "{report:#}");
    let faults = report["faults"].as_array().expect("faults");
    assert_eq!(faults.len(), 1, "{report:#}");
    assert!(faults[0].to_string().contains("misbehaves-js") && faults[0].to_string().contains("policy-fuel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_was_rolled_back_is_tried_again_when_it_has_cooled_down() {
    let more = "\n[policies.rollback]\ndecisions-min = 1\ncool-down-s = 2\n\n[control]\nsocket = \"control.sock\"\n";
    let scene = Scene::start_with(With::Nginx, more).await;
    let component = scene.gateway.path("policies/redirection-rules.wasm");
    fs::write(&component, guests::component("trap")).expect("a file");
    swapped(&scene, 2).await;
    let page = Browser::new().get(&format!("{}/", scene.site)).await;
    assert!(page.status.as_u16() >= 400, "{} {}", page.status, page.body);
    let told = scene.gateway.wait_for("that it went back", |event| event["kind"] == "generation.rolled-back").await;
    assert_eq!(told["outcome"]["cause"], "faults", "{told}");
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "{}", scene.gateway.log());
    let aside = listing(&scene)["set-aside"][0].clone();
    assert_eq!(aside["until"].as_u64(), aside["at"].as_u64().map(|at| at + 2), "{aside}");

    // Nobody touches a file: after its time it is in force again, on probation, and goes back again.
    swapped(&scene, 3).await;
    let again = scene.gateway.events("generation.swapped").pop().expect("a generation");
    let (second, third) =
        (&scene.gateway.events("generation.swapped")[1]["outcome"]["digest"], &again["outcome"]["digest"]);
    assert_eq!(second, third, "the same files");
    let page = Browser::new().get(&format!("{}/", scene.site)).await;
    assert!(page.status.as_u16() >= 400, "{} {}", page.status, page.body);
    scene
        .gateway
        .wait_for("that it went back again", |event| {
            event["kind"] == "generation.rolled-back" && event["outcome"]["rolled-back"]["from"] == 3
        })
        .await;
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "{}", scene.gateway.log());
}
