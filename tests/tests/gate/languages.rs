//! Whole logins through a chain of three languages: while its settings change, and while a policy of it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use vestibule_tests::{
    browser::Browser,
    interpreted,
    process::{root, vestibule},
};

use crate::scene::{CHAIN, Scene, With};

/// The machine is busy with other tests: what ends a decision here is its fuel.
const LIMITS: &str = "\n[policies.limits.interpreter]\ndeadline-ms = 60000\ncompile-timeout-ms = 900000\n";

/// A policy in JavaScript, or in Python, that fails for whom its settings name (`tests/guests/LANGUAGE`).
pub(crate) fn misbehaving(language: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let out = BUILT.get_or_init(|| {
        let out = root().join("policies/target/misbehaving");
        let mut command = Command::new(vestibule());
        command.args(["policy", "build", "--json", "--out"]).arg(&out);
        let done = command.args(["js", "python"].map(|language| root().join("tests/guests").join(language))).output();
        let done = done.expect("a program");
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(done.status.success(), "{said}");
        out
    });
    out.join(format!("misbehaves-{language}.wasm"))
}

/// Puts the policy `rule` of `language` in the place of the one in Rust.
fn in_language(scene: &Scene, language: &str, rule: &str) {
    let path = scene.gateway.path(&format!("policies/{rule}.wasm"));
    fs::write(path, interpreted::ready_made(language, rule)).expect("a file");
}

async fn wait_for_generation(scene: &Scene, number: u64) {
    scene
        .gateway
        .wait_for("that the change is in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"].as_u64() >= Some(number)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_three_languages_decides_and_is_swapped_while_people_log_in() {
    let mut scene = Scene::start(With::Nginx).await;
    scene.gateway.stop();
    in_language(&scene, "js", "domain-restriction");
    in_language(&scene, "python", "group-mapping");
    fs::remove_file(scene.gateway.path("audit.jsonl")).expect("the record of the start in Rust");
    let fast = format!("[login]\nattempts-per-minute = 100000\n{LIMITS}\n[applications.app]\n");
    scene.restart_with(&[("[applications.app]\n", &fast)]);
    let page = scene.log_in(&mut Browser::new(), "alice").await;
    assert_eq!(page.status, 200, "{}\n{}", page.body, scene.gateway.log());
    assert_eq!(page.json()["headers"]["x-forwarded-groups"][0], "jira-software-users", "{}", page.body);
    assert_eq!(scene.log_in(&mut Browser::new(), "mallory").await.status, 403);
    let denied = scene.gateway.events("decision.login").pop().expect("a decision");
    assert_eq!(denied["denial"]["policy"], "domain-restriction", "{denied}");
    assert_eq!(denied["denial"]["reason"]["code"], "domain-not-allowed", "{denied}");

    // The settings of both, one after the other, while people log in.
    let is_over = AtomicBool::new(false);
    let changes = async {
        let mut next = 2;
        for round in 0..3 {
            let mapping = format!("[[manual]]\ngroup = \"round-{round}\"\nfrom = [\"dev\"]\n");
            scene.gateway.write("settings/group-mapping.toml", &mapping);
            wait_for_generation(&scene, next).await;
            let domains = format!("allowed-domains = \"example.test; round-{round}.test\"\n");
            scene.gateway.write("settings/domain-restriction.toml", &domains);
            wait_for_generation(&scene, next + 1).await;
            next += 2;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let logins = async {
        let mut last = false;
        // One more when the last change is in force.
        while !last {
            last = is_over.load(Ordering::Relaxed);
            let page = scene.log_in(&mut Browser::new(), "alice").await;
            assert_eq!(page.status, 200, "{}\n{}", page.body, scene.gateway.log());
        }
    };
    tokio::join!(changes, logins);
    let decided = scene.gateway.events("decision.login");
    let mut groups: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for event in decided.iter().filter(|event| event["granted"] == true) {
        let policies = event["trace"]["policies"].as_array().expect("policies");
        assert_eq!(policies.len(), CHAIN.len(), "{event}");
        let generation = event["trace"]["generation"].as_u64().expect("a generation");
        groups.entry(generation).or_default().insert(event["outcome"]["groups"].to_string());
    }
    // Each generation has one mapping, and so has each login.
    assert!(
        groups.len() > 2 && groups.contains_key(&7) && groups.values().all(|groups| groups.len() == 1),
        "{groups:?}"
    );

    // What is wrong is refused by the policy itself, in its own words, and changes nothing.
    scene.gateway.write("settings/domain-restriction.toml", "allowed-domains = \"a b.test\"\n");
    let refused = scene.gateway.wait_for("a refusal", |event| event["kind"] == "generation.refused").await;
    assert!(refused.to_string().contains("`a b.test` is no domain; domains are separated by `;`"), "{refused}");
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200);
    let last = scene.gateway.events("generation.swapped").pop().expect("a generation");
    scene.gateway.write("settings/domain-restriction.toml", "allowed-domains = \"evil.test\"\n");
    wait_for_generation(&scene, last["outcome"]["generation"].as_u64().expect("a number") + 1).await;
    assert_eq!(scene.log_in(&mut Browser::new(), "mallory").await.status, 200, "{}", scene.gateway.log());
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 403);
}

/// The codes with which the logins of the people were denied, `null` where they were let in.
fn codes(scene: &Scene, from: usize) -> Vec<Value> {
    let decided = scene.gateway.events("decision.login").split_off(from);
    decided.iter().map(|event| event["denial"]["code"].clone()).collect()
}

async fn a_policy_that_fails_denies_that_login(language: &str) {
    let mut scene = Scene::start(With::Nginx).await;
    let name = format!("misbehaves-{language}");
    fs::copy(misbehaving(language), scene.gateway.path(&format!("policies/{name}.wasm"))).expect("a copy");
    let settings = "recurse = [\"person-0\"]\nloop = [\"person-1\"]\nhoard = [\"person-2\"]\nthrow = [\"person-3\"]\n";
    scene.gateway.write(&format!("settings/{name}.toml"), settings);
    let policy = format!(
        "[login]\nattempts-per-minute = 100000\n{LIMITS}\n{}[applications.app]\n",
        crate::scene::policies(&[&name])
    );
    let chain = format!("\"domain-restriction\", \"{name}\", ");
    scene.restart_with(&[("[applications.app]\n", &policy), ("\"domain-restriction\", ", &chain)]);

    // What the language itself notices is a fault of the policy's, the rest is ended by the sandbox.
    let failing = [
        ("person-0", "policy-fault"),
        ("person-1", "policy-fuel"),
        ("person-2", "policy-memory"),
        ("person-3", "policy-fault"),
    ];
    for (person, code) in failing {
        let from = scene.gateway.events("decision.login").len();
        // Others log in meanwhile, and notice nothing.
        let (denied, other) = tokio::join!(async { scene.log_in(&mut Browser::new(), person).await }, async {
            scene.log_in(&mut Browser::new(), "person-9").await
        },);
        assert_eq!(other.status, 200, "{person}: {}\n{}", other.body, scene.gateway.log());
        assert!(denied.status.as_u16() >= 400, "{person}: {} {}", denied.status, denied.body);
        // The page says what became of it, and nothing of the policy.
        assert!(!denied.body.contains(&name), "{}", denied.body);
        let mut found = codes(&scene, from);
        found.sort_by_key(Value::to_string);
        assert_eq!(found, [Value::from(code), Value::Null], "{person}\n{}", scene.gateway.log());
        let events = scene.gateway.events("decision.login");
        let event = events.iter().rfind(|event| event["granted"] == false).expect("a denial");
        assert_eq!((&event["denial"]["policy"], &event["denial"]["hook"]), (&name.as_str().into(), &"admit".into()));
    }
    // The generation stays, and so does the process.
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "{}", scene.gateway.log());
    let generations: BTreeSet<u64> = scene
        .gateway
        .events("decision.login")
        .iter()
        .map(|event| event["trace"]["generation"].as_u64().expect("a generation"))
        .collect();
    assert_eq!(generations, BTreeSet::from([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a81_a_policy_in_javascript_that_fails_denies_that_login_and_no_other() {
    a_policy_that_fails_denies_that_login("js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a81_a_policy_in_python_that_fails_denies_that_login_and_no_other() {
    a_policy_that_fails_denies_that_login("python").await;
}
