//! The demo, as a person sees it: Chromium, the pages, the rules that change meanwhile.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use vestibule_tests::process::{Process, node, root, vestibule};

#[test]
fn a_person_logs_in_at_the_demo_with_a_real_browser() {
    let folder = TempDir::new().unwrap();
    let errors = fs::File::create(folder.path().join("demo.log")).unwrap();
    let mut command = Command::new(vestibule());
    command
        .args(["demo", "--json", "--directory"])
        .arg(folder.path().join("demo"))
        .args(["--components"])
        .arg(root().join("policies/target/components"))
        .stderr(errors);
    let (_demo, line, _output) = Process::start_with_line("vestibule demo", &mut command);
    let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
    assert!(ready["people"].as_array().is_some_and(|people| people.len() >= 4), "{ready}");
    // A second one in the same folder would take the first one's rules away.
    let second = Command::new(vestibule())
        .args(["demo", "--json", "--directory"])
        .arg(folder.path().join("demo"))
        .args(["--components"])
        .arg(root().join("policies/target/components"))
        .output()
        .expect("a program");
    assert_eq!(second.status.code(), Some(69), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stdout).contains("a demo runs already in"), "{second:?}");
    let done = Command::new(node())
        .arg(root().join("tests/peers/browser.mjs"))
        .env("DEMO", &line)
        .env("SHOTS", root().join("target/screenshots"))
        .env("NODE_NO_WARNINGS", "1")
        .stdin(Stdio::null())
        .output()
        .expect("node");
    let log = fs::read_to_string(folder.path().join("demo.log")).unwrap_or_default();
    assert!(
        done.status.success(),
        "{}{}\n--- the demo's log ---\n{log}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    // The terminal said which generation is in force, and why the broken settings were not.
    assert!(log.contains("generation"), "{log}");
    assert!(log.contains("allowed-domains"), "the refusal names no setting: {log}");
}
