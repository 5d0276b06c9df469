//! What the documentation tells an operator to write is accepted as it stands there.

use std::{fs, process::Command};

use regex::Regex;
use tempfile::TempDir;
use vestibule_tests::process::{root, vestibule};

#[test]
fn every_upstream_in_the_documentation_passes_the_check() {
    let text = fs::read_to_string(root().join("docs/upstreams.md")).expect("the documentation");
    let blocks: Vec<String> = Regex::new(r"(?s)```toml\n(.*?)```")
        .expect("a pattern")
        .captures_iter(&text)
        .map(|block| block[1].to_owned())
        .collect();
    let ids: Vec<String> = Regex::new(r"\[upstreams\.([a-z0-9-]+)\]")
        .expect("a pattern")
        .captures_iter(&text)
        .map(|id| id[1].to_owned())
        .collect();
    let upstreams = blocks.iter().filter(|block| block.starts_with("[upstreams.")).count();
    assert!(ids.len() >= 11 && ids.len() == upstreams, "{ids:?}");
    let folder = TempDir::new().expect("a folder");
    let configuration = format!(
        "[server]\npublic-url = \"https://gate.example.com\"\ntrusted-proxies = [\"10.0.0.1\"]\n\
         [accounts]\nfile = \"accounts.toml\"\n{}\n\
         [applications.app]\nurl = \"https://app.example.com/\"\nupstreams = {ids:?}\nchain = []\n\
         [applications.app.forward-auth]\n",
        blocks.concat()
    );
    fs::write(folder.path().join("vestibule.toml"), configuration).expect("a file");
    fs::write(folder.path().join("accounts.toml"), "").expect("a file");
    let keys = ["keys", "generate", "--directory", "keys"];
    assert!(Command::new(vestibule()).args(keys).current_dir(folder.path()).status().expect("a program").success());
    let mut command = Command::new(vestibule());
    command.arg("check").current_dir(folder.path());
    for name in Regex::new(r#"env = "(\w+)""#).expect("a pattern").captures_iter(&text) {
        command.env(&name[1], "a secret that is long enough");
    }
    let done = command.output().expect("a program");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}
