//! A gateway without a compiler: policies that were packed elsewhere decide whole logins, and a pack that nobody may
//! vouch for decides none.

use std::fs;

use serde_json::{Value, json};
use vestibule_tests::{
    browser::Browser,
    gateway::{Gateway, run_in},
    guests,
};

use crate::scene::{CHAIN, Scene, policies};

/// How a node is configured.
const PACK: &str = "[policies.pack]\nfile = \"generation.pack\"\ntrusted-keys = { ann = { file = \"ann.pub\" } }\n\n";

/// Packs the policies of the gateway's configuration with a compiler, and leaves a node that has neither that nor
/// components: a program, a configuration and a pack.
fn move_to_the_edge(gateway: &mut Gateway) {
    let folder = gateway.path("");
    for name in ["ann", "eve"] {
        let (code, output, errors) = run_in(&folder, &["policy", "keygen", name, "--no-password"]);
        assert_eq!(code, 0, "{output}{errors}");
    }
    let text = fs::read_to_string(gateway.path("vestibule.toml")).expect("a file");
    gateway.write("packer.toml", &text);
    pack(gateway, "generation.pack", "1.0.0");
    let cache = text.lines().find(|line| line.starts_with("cache = ")).expect("a cache");
    let text = text.replace(&policies(&CHAIN), PACK).replace(cache, "versions-file = \"versions.json\"");
    assert!(text.contains(PACK), "{text}");
    gateway.write("vestibule.toml", &text);
    fs::rename(gateway.path("policies"), gateway.path("elsewhere")).expect("a folder");
    gateway.be_at_the_edge();
}

/// Packs with Ann's key, under another name first: a node that watches sees it whole.
fn pack(gateway: &Gateway, file: &str, version: &str) -> Value {
    let arguments = ["generation", "pack", "--config", "packer.toml", "--out", file, "--version", version];
    let arguments = [&arguments[..], &["--key", "ann.key", "--no-password", "--json"]].concat();
    let (code, output, errors) = run_in(&gateway.path(""), &arguments);
    assert_eq!(code, 0, "{output}{errors}");
    serde_json::from_str(&output).expect("JSON")
}

/// A command of the node's own program, with what it says as JSON.
fn run(gateway: &Gateway, arguments: &[&str]) -> (i32, Value) {
    let (code, output, errors) = gateway.run(&[arguments, &["--json"]].concat());
    (code, serde_json::from_str(&output).unwrap_or_else(|_| panic!("{arguments:?}: {output}{errors}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_decided_without_a_compiler_and_a_new_pack_takes_its_place() {
    let scene = Scene::start_prepared(move_to_the_edge).await;
    let gateway = &scene.gateway;
    let mut browser = Browser::new();
    let page = scene.log_in(&mut browser, "alice").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let told = page.json();
    assert_eq!(told["headers"]["x-forwarded-groups"][0], "jira-software-users");
    let refused = scene.log_in(&mut Browser::new(), "mallory").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let first = &gateway.events("generation.swapped")[0];
    assert_eq!(first["outcome"]["signers"]["domain-restriction"], json!(["ann"]), "{first}");

    // The packer changes its mind about domains.
    let (settings, beside) = ("settings/domain-restriction.toml", gateway.path("new.pack"));
    gateway.write(settings, "allowed-domains = \"example.test; evil.test\"\n");
    fs::rename(gateway.path("elsewhere"), gateway.path("policies")).expect("a folder");
    pack(gateway, "new.pack", "1.1.0");
    fs::rename(&beside, gateway.path("generation.pack")).expect("a file");
    let swapped = gateway
        .wait_for("that the new pack is in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;
    assert_eq!(swapped["outcome"]["loaded"], json!(["domain-restriction"]), "{swapped}");
    let page = scene.log_in(&mut Browser::new(), "mallory").await;
    assert_eq!(page.status, 200, "{}", page.body);

    // What nobody may vouch for changes nothing: damaged, lower, another's.
    let good = fs::read(gateway.path("generation.pack")).expect("a file");
    let mut damaged = good.clone();
    *damaged.last_mut().expect("a byte") ^= 1;
    let put = |bytes: &[u8]| {
        fs::write(&beside, bytes).expect("a file");
        fs::rename(&beside, gateway.path("generation.pack")).expect("a file");
    };
    let refusal = |says: &'static str| {
        move |event: &Value| {
            event["kind"] == "generation.refused"
                && event["outcome"]["generation"] == 2
                && event["outcome"]["problems"].to_string().contains(says)
        }
    };
    put(&damaged);
    gateway.wait_for("that the pack is damaged", refusal("its contents are not those that were signed")).await;
    pack(gateway, "new.pack", "1.0.9");
    fs::rename(&beside, gateway.path("generation.pack")).expect("a file");
    gateway.wait_for("that the pack is older", refusal("version 1.0.9 is lower than 1.1.0")).await;
    put(&good);

    // What there is of commands: no way from a component, but all that an operator of a node needs.
    let (code, said) = run(gateway, &["generation", "verify", "generation.pack", "--config", "vestibule.toml"]);
    assert_eq!((code, &said["signers"]), (0, &json!(["ann"])), "{said}");
    assert_eq!(said["statement"]["policies"].as_array().map(Vec::len), Some(CHAIN.len()), "{said}");
    let (code, said) = run(gateway, &["generation", "verify", "generation.pack", "--key", "eve.pub"]);
    assert_eq!(code, 1, "{said}");
    assert!(said["error"].as_str().is_some_and(|error| error.contains("is unknown")), "{said}");
    let (code, said) = run(gateway, &["check", "--config", "vestibule.toml"]);
    assert_eq!((code, &said["ok"]), (0, &json!(true)), "{said}");
    let (code, said) = run(gateway, &["policy", "allow-downgrade", "pack", "--to", "1.0.9"]);
    assert_eq!((code, &said["highest"]), (0, &json!("1.1.0")), "{said}");
    for arguments in [&["policy", "build", "x"][..], &["generation", "pack"], &["replay"], &["compile-worker"]] {
        let (code, said) = run(gateway, arguments);
        assert_eq!(code, 2, "{said}");
    }
    // A configuration with components is none for this program.
    let (code, said) = run(gateway, &["check", "--config", "packer.toml"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.to_string().contains("this gateway has no compiler"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_pack_that_another_key_signed_lets_nobody_in_and_says_why() {
    let scene = Scene::start_prepared(|gateway| {
        move_to_the_edge(gateway);
        let text = fs::read_to_string(gateway.path("vestibule.toml")).expect("a file");
        gateway.write("vestibule.toml", &text.replace("ann.pub", "eve.pub"));
    })
    .await;
    let page = Browser::new().get(&format!("{}/", scene.site)).await;
    assert!(page.status.is_client_error() || page.status.is_server_error(), "{} {}", page.status, page.body);
    let first = &scene.gateway.events("generation.swapped")[0];
    let why = first["outcome"]["unavailable"]["app"].as_str().unwrap_or_default();
    assert!(why.contains("0 of the 1 signature that is required") && why.contains("is unknown"), "{first}");
}

#[test]
fn policies_of_interpreters_are_packed_too() {
    let mut gateway = Gateway::new();
    fs::write(gateway.path("policies/it.wasm"), guests::component("json-well-behaved")).expect("a file");
    let rest = "[upstreams.main]\npreset = \"keycloak\"\nbase-url = \"https://id.example.com\"\nrealm = \"r\"\n\
                client-id = \"c\"\nclient-secret = \"s\"\n\
                [applications.wiki]\nupstreams = [\"main\"]\nchain = [\"it\"]\nurl = \"https://wiki.example.com/\"\n\
                [applications.wiki.forward-auth]\n";
    gateway.configure(&format!("[policies.it]\ncomponent = \"policies/it.wasm\"\n{rest}"));
    let text = fs::read_to_string(gateway.path("vestibule.toml")).expect("a file");
    gateway.write("packer.toml", &text);
    let (code, output, errors) = run_in(&gateway.path(""), &["policy", "keygen", "ann", "--no-password"]);
    assert_eq!(code, 0, "{output}{errors}");
    let packed = pack(&gateway, "generation.pack", "1.0.0");
    assert_eq!(packed["statement"]["policies"][0]["form"], "json", "{packed}");
    let cache = text.lines().find(|line| line.starts_with("cache = ")).expect("a cache");
    let text = text.replace(cache, "versions-file = \"versions.json\"");
    gateway.write("vestibule.toml", &text.replace("[policies.it]\ncomponent = \"policies/it.wasm\"\n", PACK));
    fs::remove_dir_all(gateway.path("policies")).expect("a folder");
    gateway.be_at_the_edge();
    let (code, said) = run(&gateway, &["check", "--config", "vestibule.toml"]);
    assert_eq!((code, &said["ok"]), (0, &json!(true)), "{said}");
    assert_eq!(said["policies"]["policies"][0]["name"], "it", "{said}");
}
