//! A new generation that fails goes back by itself, and an operator goes back and forth.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;
use vestibule_tests::{browser::Browser, guests};

use crate::scene::{Scene, With};

/// Terms that one login is enough for, and a socket for commands.
const MORE: &str = "\n[policies.rollback]\ndecisions-min = 1\n\n[control]\nsocket = \"control.sock\"\n";

fn generation(scene: &Scene, arguments: &[&str]) -> (i32, Value) {
    let config = scene.gateway.path("vestibule.toml");
    let config = config.to_str().expect("a path");
    let all = [&["--json", "generation"], arguments, &["--config", config]].concat();
    let (code, printed, errors) = scene.gateway.run(&all);
    let value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}{errors}"));
    (code, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_traps_costs_one_login_and_the_rules_of_before_decide_the_next() {
    let scene = Scene::start_with(With::Nginx, MORE).await;
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "{}", scene.gateway.log());
    let component = scene.gateway.path("policies/redirection-rules.wasm");
    let good = fs::read(&component).unwrap();
    fs::write(&component, guests::component("trap")).unwrap();
    scene
        .gateway
        .wait_for("that the trap is in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;

    let page = Browser::new().get(&format!("{}/", scene.site)).await;
    assert!(page.status.as_u16() >= 400, "{} {}", page.status, page.body);
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "{}", scene.gateway.log());
    let told = scene.gateway.wait_for("that it went back", |event| event["kind"] == "generation.rolled-back").await;
    let outcome = &told["outcome"];
    assert_eq!((&outcome["generation"], &outcome["rolled-back"]["from"]), (&1.into(), &2.into()), "{told}");
    let failed = &outcome["rolled-back"]["failed"];
    assert_eq!((&failed["decisions"], &failed["faults"], &failed["matter"]), (&1.into(), &1.into(), &"way".into()));
    assert_eq!(failed["policies"][0]["policy"], "redirection-rules");
    assert!(scene.gateway.log().contains("generation 1 is in force again"), "{}", scene.gateway.log());

    let (code, listing) = generation(&scene, &["list"]);
    let listing = &listing["result"];
    assert_eq!((code, &listing["in-force"], &listing["set-aside"][0]["generation"]), (0, &1.into(), &2.into()));
    // Other files are another matter.
    fs::write(&component, good).unwrap();
    scene.gateway.write("settings/session-terms.toml", "lifetime-s = 3000\n");
    scene
        .gateway
        .wait_for("that other files are in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 3
        })
        .await;
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "{}", scene.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_goes_back_and_forth_and_the_audit_says_who() {
    let mut scene = Scene::start_with(With::Nginx, MORE).await;
    let mode = fs::metadata(scene.gateway.path("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, refused) = generation(&scene, &["rollback"]);
    assert_eq!(code, 1);
    assert!(refused["error"].as_str().unwrap().contains("no generation before generation 1"), "{refused}");

    scene.gateway.write("settings/domain-restriction.toml", "allowed-domains = \"evil.test\"\n");
    scene
        .gateway
        .wait_for("that the settings are in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 403);
    let (code, back) = generation(&scene, &["rollback"]);
    assert_eq!((code, &back["result"]["generation"], &back["result"]["cause"]), (0, &1.into(), &"rollback".into()));
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200);
    let told = scene.gateway.events("generation.rolled-back").remove(0);
    assert!(told["outcome"]["notes"][0].as_str().unwrap().starts_with("asked for by the user id "), "{told}");
    let (code, _) = generation(&scene, &["rollback", "1"]);
    assert_eq!(code, 1, "it is in force");

    // A slip in the configuration takes nobody's command away, nor do secrets that this shell does not have.
    let path = scene.gateway.path("vestibule.toml");
    let good = fs::read_to_string(&path).unwrap();
    let secret = "client-secret = \"a-secret-of-the-test-which-is-long\"";
    assert!(good.contains(secret));
    let slip = good.replace(secret, "client-secret = { env = \"NOBODY_HAS_SET_THIS\" }\nclient-secrets = 1");
    scene.gateway.write("vestibule.toml", &slip);
    scene.gateway.wait_for("that the slip is refused", |event| event["kind"] == "generation.refused").await;
    let (code, listing) = generation(&scene, &["list"]);
    assert_eq!((code, &listing["result"]["in-force"]), (0, &1.into()), "{listing}");
    assert!(listing["result"]["last-refusal"].to_string().contains("client-secrets"), "{listing}");
    scene.gateway.write("vestibule.toml", &good);

    let (code, forward) = generation(&scene, &["promote"]);
    assert_eq!((code, &forward["result"]["generation"]), (0, &3.into()), "{forward}");
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 403);
    // Nobody is there any more.
    scene.gateway.stop();
    let (code, gone) = generation(&scene, &["list"]);
    assert_eq!(code, 69);
    assert!(gone["error"].as_str().unwrap().contains("no gateway answers"), "{gone}");
}
