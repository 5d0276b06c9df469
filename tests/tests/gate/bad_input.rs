//! Bad input: a clear refusal that names the place, and nothing that was in force changes.

use std::fs;

use vestibule_tests::{browser::Browser, gateway::Gateway, guests};

use crate::scene::{self, Scene, With};

fn checked(gateway: &Gateway) -> (i32, String) {
    let (code, output, errors) = gateway.run(&["check", "--config", "vestibule.toml", "--json"]);
    (code, output + &errors)
}

/// A gateway's folder with a configuration that is right.
fn folder() -> Gateway {
    let gateway = Gateway::new();
    for name in scene::CHAIN {
        gateway.write(&format!("settings/{name}.toml"), "");
    }
    gateway.write("settings/domain-restriction.toml", "allowed-domains = \"example.test\"\n");
    scene::configure(&gateway, "https://idp.example", "http://127.0.0.1:9", "");
    gateway
}

#[test]
fn a_configuration_that_is_right_passes_the_check() {
    let gateway = folder();
    let (code, said) = checked(&gateway);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_command_line_that_is_wrong_is_told_in_json_too() {
    let gateway = Gateway::new();
    for arguments in [&["check", "--json", "--nope"][..], &["--json", "chek"], &["audit", "verify", "--json"]] {
        let (code, output, _) = gateway.run(arguments);
        let told: serde_json::Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        assert_eq!((code, &told["ok"]), (2, &serde_json::Value::Bool(false)), "{output}");
        assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()), "{output}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_its_neighbour() {
    let gateway = folder();
    let text = fs::read_to_string(gateway.path("vestibule.toml")).unwrap();
    gateway.write("vestibule.toml", &text.replace("listen =", "lisen ="));
    let (code, said) = checked(&gateway);
    assert_eq!(code, 64, "{said}");
    for part in ["vestibule.toml", "lisen", "listen"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let line = text.lines().position(|line| line.starts_with("listen")).unwrap() + 1;
    assert!(said.contains(&format!("\"line\":{line}")) || said.contains(&format!("\"line\": {line}")), "{said}");
}

#[test]
fn a_settings_file_with_three_errors_is_told_all_three() {
    let gateway = folder();
    gateway.write(
        "settings/domain-restriction.toml",
        "allowed-domains = 7\nno-such-key = 1\nrequire-verified = \"perhaps\"\n",
    );
    let (code, said) = checked(&gateway);
    assert_ne!(code, 0, "{said}");
    for part in ["domain-restriction", "allowed-domains", "no-such-key", "require-verified"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn what_the_policy_has_against_settings_is_told_with_what_the_schema_has() {
    let gateway = folder();
    gateway.write(
        "settings/domain-restriction.toml",
        "require-verified = \"perhaps\"\nno-such-key = 1\nallowed-domains = \"a@b\"\n",
    );
    let (_, said) = checked(&gateway);
    for part in ["/require-verified", "/no-such-key", "/allowed-domains"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn a_configuration_that_is_wrong_hides_no_problem_of_its_policies() {
    let gateway = folder();
    let text = fs::read_to_string(gateway.path("vestibule.toml")).unwrap();
    gateway.write("vestibule.toml", &text.replacen("public-url", "publc-url", 1));
    fs::remove_file(gateway.path("settings/session-terms.toml")).unwrap();
    let (code, said) = checked(&gateway);
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("did you mean `public-url`?") && said.contains("session-terms.toml"), "{said}");
}

#[test]
fn what_would_serve_nobody_is_told_before_it_is_served() {
    let gateway = folder();
    fs::rename(gateway.path("keys"), gateway.path("keys-elsewhere")).unwrap();
    let (code, said) = checked(&gateway);
    assert!(code == 64 && said.contains("key ring"), "{said}");
    fs::rename(gateway.path("keys-elsewhere"), gateway.path("keys")).unwrap();
    let text = fs::read_to_string(gateway.path("vestibule.toml")).unwrap();
    let from = text.find("chain = [").unwrap();
    let to = from + text[from..].find(']').unwrap() + 1;
    gateway.write("vestibule.toml", &text.replace(&text[from..to], "chain = [\"session-terms\"]"));
    let (code, said) = checked(&gateway);
    assert!(code == 0 && said.contains("application app lets nobody in"), "{said}");
    let admits = "chain = [\"domain-restriction\", \"attribute-mapping\"]";
    gateway.write("vestibule.toml", &text.replace(&text[from..to], admits));
    let (code, said) = checked(&gateway);
    assert!(code == 0 && said.contains("application app sends nobody to log in"), "{said}");
}

#[test]
fn a_component_that_is_a_jpeg_is_told_so() {
    let gateway = folder();
    fs::write(gateway.path("policies/domain-restriction.wasm"), [&[0xff, 0xd8, 0xff, 0xe0][..], &[0; 64]].concat())
        .unwrap();
    let (code, said) = checked(&gateway);
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("domain-restriction") && said.to_lowercase().contains("component"), "{said}");
}

#[test]
fn a_policy_without_a_manifest_is_told_so() {
    let gateway = folder();
    fs::write(gateway.path("policies/domain-restriction.wasm"), guests::without_manifest("well-behaved")).unwrap();
    let (code, said) = checked(&gateway);
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("manifest"), "{said}");
}

#[test]
fn an_empty_component_is_told_what_it_lacks() {
    let gateway = folder();
    fs::write(gateway.path("policies/domain-restriction.wasm"), [0, b'a', b's', b'm', 0x0d, 0, 1, 0]).unwrap();
    let (code, said) = checked(&gateway);
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("vestibule:policy/settings"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_was_cut_is_no_session() {
    let scene = Scene::start(With::Nginx).await;
    let mut browser = Browser::new();
    assert_eq!(scene.log_in(&mut browser, "alice").await.status, 200);
    for (name, value) in browser.cookies("127.0.0.1") {
        let cut = &value[..value.len().saturating_sub(1)];
        let mut other = browser.clone();
        for ((kept, ..), cookie) in &mut other.jar {
            if *kept == name {
                cut.clone_into(&mut cookie.value);
            }
        }
        let page = other.peek(&format!("{}/", scene.site)).await;
        if name == "vestibule-app-app" {
            assert_ne!(page.status, 200, "{name}");
        }
    }
    assert_eq!(browser.peek(&format!("{}/", scene.site)).await.status, 200, "the whole cookie still holds");
}
