//! From real logins to a report and to receipts, as an operator makes them.

use std::fs;

use serde_json::{Value, json};
use vestibule_tests::browser::Browser;

use crate::scene::{Scene, With};

const RECORDING: &str = "\n[recording]\ndirectory = \"recording\"\n";

/// A scene whose logins are recorded: alice twice, bob, and mallory, who is refused.
async fn recorded() -> Scene {
    let mut scene = Scene::start(With::Nginx).await;
    let text = fs::read_to_string(scene.gateway.path("vestibule.toml")).expect("the configuration");
    scene.gateway.stop();
    scene.gateway.write("vestibule.toml", &format!("{text}{RECORDING}"));
    scene.gateway.start();
    for (name, status) in [("alice", 200), ("alice", 200), ("bob", 200), ("mallory", 403)] {
        assert_eq!(scene.log_in(&mut Browser::new(), name).await.status, status, "{name}");
    }
    // What waits is written when the gateway ends.
    scene.gateway.stop();
    scene
}

fn replay(scene: &Scene, arguments: &[&str]) -> (i32, Value) {
    let all = [&["replay", "--config", "vestibule.toml", "--json"], arguments].concat();
    let (code, output, errors) = scene.gateway.run(&all);
    let report = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}{errors}"));
    (code, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_asked_what_real_people_were_decided_by() {
    let scene = recorded().await;
    // What is in force decides as it decided: each hook, each group, each second.
    let (code, report) = replay(&scene, &["--candidate", "vestibule.toml"]);
    assert_eq!((code, &report["same"]), (0, &json!(true)), "{report:#}");
    assert_eq!(report["recording"]["logins"], 4, "{report:#}");

    let (code, _) = replay(&scene, &["--candidate", "vestibule.toml", "--fail-on-change"]);
    assert_eq!(code, 0, "nothing changes");

    // The other domain may enter, and this one no longer; its people get another group.
    fs::create_dir(scene.gateway.path("candidate")).expect("a folder");
    scene.gateway.write("candidate/domain-restriction.toml", "allowed-domains = \"evil.test\"\n");
    scene.gateway.write("candidate/group-mapping.toml", "[[manual]]\ngroup = \"jira-developers\"\nfrom = [\"dev\"]\n");
    let (code, report) = replay(&scene, &["--candidate", "candidate", "--html", "report.html"]);
    assert_eq!((code, &report["ok"], &report["same"]), (0, &json!(true), &json!(false)), "{report:#}");
    assert_eq!((&report["counts"]["denied"], &report["counts"]["admitted"]), (&json!(3), &json!(1)), "{report:#}");
    let denied = &report["denied"][0];
    assert_eq!(
        (&denied["to"], &denied["moved"]["people"]),
        (&json!("denied by domain-restriction at admit: domain-not-allowed"), &json!(2))
    );
    assert_eq!(report["admitted"][0]["moved"]["who"][0]["email"], "mallory@evil.test");
    let gained = |group: &str| {
        let rows = report["groups"].as_array().expect("groups");
        rows.iter()
            .find(|row| row["group"] == group)
            .map(|row| (row["gained"]["people"].clone(), row["lost"]["people"].clone()))
    };
    assert_eq!(gained("jira-developers"), Some((json!(1), json!(0))));
    assert_eq!(gained("jira-software-users"), Some((json!(0), json!(1))));
    // Whoever has no mapped group gets it: bob had it, and would no longer come so far.
    assert_eq!(gained("everybody"), Some((json!(0), json!(1))), "{report:#}");
    let page = fs::read_to_string(scene.gateway.path("report.html")).expect("a page");
    assert!(page.contains("mallory@evil.test") && !page.contains("<script"), "{page}");

    let (code, changed) = replay(&scene, &["--candidate", "candidate", "--fail-on-change"]);
    assert_eq!((code, &changed["ok"], &changed["counts"]), (3, &json!(false), &report["counts"]));

    // The same bytes again, on one core, and in words.
    let again = replay(&scene, &["--candidate", "candidate", "--threads", "1"]);
    assert_eq!(again, (0, report));
    let words =
        scene.gateway.run(&["replay", "--config", "vestibule.toml", "--candidate", "candidate", "--names", "0"]);
    assert!(words.0 == 0 && words.1.contains("jira-developers") && !words.1.contains("mallory"), "{words:?}");
    assert!(words.2.contains("a second"), "{words:?}");

    // What must hold of a policy is asked about them, too: mallory breaks it, with the settings of that time.
    let property = "[[property]]\nname = \"n\"\nnever-denies = true\nwhen.email-domain = [\"evil.test\"]\n";
    scene.gateway.write("properties.toml", property);
    let test = ["policy", "test", "policies/domain-restriction.wasm", "--properties", "properties.toml", "--json"];
    let (code, said, errors) = scene.gateway.run(&[&test[..], &["--recorded", "vestibule.toml"]].concat());
    let tested: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{errors}"));
    let checked = tested["policies"][0]["properties"].as_array().expect("properties").last().expect("ours");
    assert!(code == 1 && checked["recorded"].as_u64() > Some(0), "{checked:#}");
    let case = checked["counterexample"]["case"].as_str().expect("a case");
    assert!(case.contains("@evil.test") && !case.contains("context"), "{case}");
    let (code, said, _) =
        scene.gateway.run(&[&test[..], &["--recorded", "vestibule.toml", "--to", "2020-01-01"]].concat());
    assert!(code == 1 && said.contains("no decision of this period"), "{code} {said}");

    // Nobody of that time: a report would say that nothing changes for anybody.
    let arguments = ["replay", "--config", "vestibule.toml", "--candidate", "candidate", "--to", "2020-01-01"];
    let (code, report, errors) = scene.gateway.run(&arguments);
    assert!(code != 0 && (report + &errors).contains("no decision of this period"), "{code} {errors}");

    // Forged, it is refused with its place, and counted where that is asked for.
    let folder = scene.gateway.path("recording");
    let name = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .find(|name| name.ends_with(".vrec"))
        .expect("a file");
    let mut bytes = fs::read(folder.join(&name)).expect("the recording");
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    fs::write(folder.join(&name), bytes).expect("written");
    let (code, refused) = replay(&scene, &["--candidate", "candidate"]);
    let why = refused["error"].as_str().unwrap_or_default();
    assert!(code == 1 && why.contains(&format!("{name}:")) && why.contains("--skip-damaged"), "{refused}");
    let (code, counted) = replay(&scene, &["--candidate", "candidate", "--skip-damaged"]);
    assert_eq!((code, &counted["recording"]["damaged"]), (0, &json!(2)), "{counted:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_verified_by_somebody_who_has_the_components_alone() {
    let mut scene = recorded().await;
    let login = scene.gateway.events("decision.login").first().expect("a login")["login"].clone();
    let login = login.as_str().expect("an id");
    let export = ["receipt", "export", "--config", "vestibule.toml", "--login", login];
    let (code, said, errors) = scene.gateway.run(&[&export[..], &["--out", "decision.jws"]].concat());
    assert_eq!(code, 0, "{said}{errors}");

    // The same one by what an error page of it would have shown.
    let request = scene.gateway.events("decision.login").first().expect("a login")["request"].clone();
    let by_request = ["receipt", "export", "--config", "vestibule.toml", "--json", "--request"];
    let (code, said, errors) = scene.gateway.run(&[&by_request[..], &[request.as_str().expect("an id")]].concat());
    let exported: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{errors}"));
    assert_eq!((code, &exported["login"]), (0, &json!(login)), "{said}");
    let both = scene.gateway.run(&[&export[..], &["--request", "x"]].concat());
    assert_eq!(both.0, 2, "one of the two: {both:?}");

    // Elsewhere: the receipt, the components, the public keys.
    let elsewhere = tempfile::TempDir::new().expect("a folder");
    let path = |name: &str| elsewhere.path().join(name);
    fs::copy(scene.gateway.path("decision.jws"), path("decision.jws")).expect("copied");
    fs::create_dir(path("components")).expect("a folder");
    for (index, component) in fs::read_dir(scene.gateway.path("policies")).expect("a folder").enumerate() {
        let component = component.expect("an entry").path();
        if component.extension().is_some_and(|extension| extension == "wasm") {
            fs::copy(component, path(&format!("components/{index}.wasm"))).expect("copied");
        }
    }
    scene.gateway.start();
    fs::write(path("jwks.json"), jwks(&scene).await).expect("written");
    let verify = ["receipt", "verify", "decision.jws", "--components", "components", "--key", "jwks.json", "--json"];
    let run = |arguments: &[&str]| vestibule_tests::gateway::run_in(elsewhere.path(), arguments);
    let (code, said, errors) = run(&verify);
    let verified: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{errors}"));
    assert_eq!((code, &verified["ok"], &verified["login"]), (0, &json!(true), &json!(login)), "{said}{errors}");

    let (code, said, _) = run(&verify[..5]);
    assert!(code == 2, "without a key, nobody says whose signature it must be: {said}");
    let good = fs::read(path("decision.jws")).expect("the receipt");
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 1;
    fs::write(path("decision.jws"), changed).expect("written");
    let (code, said, _) = run(&verify);
    assert!(code == 1 && said.contains("its signature is worth nothing"), "{said}");
    fs::write(path("decision.jws"), good).expect("written");
    fs::remove_dir_all(path("components")).expect("removed");
    fs::create_dir(path("components")).expect("a folder");
    let (code, said, _) = run(&verify);
    assert!(code == 1 && said.contains("no component in components has the sha-256"), "{said}");
    let unknown = scene.gateway.run(&["receipt", "export", "--config", "vestibule.toml", "--login", "nobody"]);
    assert!(unknown.0 == 1 && unknown.2.contains("no decision of the login nobody"), "{unknown:?}");
}

/// What the gateway publishes.
async fn jwks(scene: &Scene) -> String {
    let mut browser = Browser::new();
    browser.get(&format!("{}/.well-known/jwks.json", scene.gateway.url())).await.body
}
