//! What the documentation tells an operator to write is accepted as it stands there, and the tests that it names are there.

use std::{collections::BTreeSet, fs, process::Command};

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

/// A row of the tables in `docs/attacks.md`: what holds, and the tests.
struct Row<'t> {
    weakness: &'t str,
    holds: &'t str,
    tests: &'t str,
}

fn rows(page: &str) -> Vec<Row<'_>> {
    let lines = page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let cells = lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    let rows = cells.map(|cells| match cells.as_slice() {
        [weakness, holds, tests] => Row { weakness, holds, tests },
        other => panic!("a row of {} cells: {other:?}", other.len()),
    });
    rows.filter(|row| row.tests != "tests").collect()
}

/// What is wrong with a row.
fn problems(row: &Row<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let quoted = Regex::new("`([^`]+)`").expect("a pattern");
    for path in quoted.captures_iter(row.holds).map(|found| found[1].to_owned()).filter(|text| text.ends_with(".rs")) {
        if text_of(&path).is_none() {
            problems.push(format!("there is no {path}"));
        }
    }
    let unread = quoted.replace_all(row.tests, "").replace([',', ';', ' '], "");
    let named: Vec<String> = quoted.captures_iter(row.tests).map(|found| found[1].to_owned()).collect();
    if named.is_empty() || !unread.is_empty() {
        problems.push(format!("expected tests in backticks, found {:?}", row.tests));
    }
    let mut file = String::new();
    for name in named {
        if let Some((path, function)) = name.split_once("::") {
            if !path.is_empty() {
                file = path.to_owned();
            }
            if !text_of(&file).is_some_and(|text| runs(&text, function)) {
                problems.push(format!("{file} has no test {function}"));
            }
        } else if let Some((policy, case)) = name.split_once(": ") {
            if !cases(policy).contains(case) {
                problems.push(format!("{policy} has no case {case:?}"));
            }
        } else if !root().join(&name).is_file() {
            problems.push(format!("there is no {name}"));
        }
    }
    problems
}

/// The text of a file by its path on the page.
fn text_of(path: &str) -> Option<String> {
    let is_whole = ["tests/", "policies/", "guest/"].iter().any(|folder| path.starts_with(folder));
    let path = if is_whole { root().join(path) } else { root().join("host/src").join(path) };
    fs::read_to_string(path).ok()
}

/// Is this a test of the file: by its attribute, or as one of those that are run through each proxy?
fn runs(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &&str| line.split_once("fn ").is_some_and(|(_, rest)| rest.starts_with(&format!("{function}(")));
    let Some(at) = lines.iter().position(is_it) else { return false };
    let attributes = || lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("///"));
    let is_test = attributes().any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"));
    let is_skipped = attributes().any(|line| line.starts_with("#[ignore"));
    let through_each = text.split("through_each_proxy! {").nth(1).unwrap_or_default();
    !is_skipped && (is_test || through_each.contains(&format!(": {function},")))
}

/// The names of a policy's cases.
fn cases(policy: &str) -> BTreeSet<String> {
    let Ok(folder) = fs::read_dir(root().join("policies").join(policy).join("cases")) else { return BTreeSet::new() };
    let files = folder.map(|entry| entry.expect("an entry").path());
    let tables = files.map(|file| fs::read_to_string(file).expect("a file").parse::<toml::Table>().expect("cases"));
    let named = |case: &toml::Value| case.get("name")?.as_str().map(str::to_owned);
    tables
        .flat_map(|table| table["case"].as_array().expect("cases").iter().filter_map(named).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_attack_in_the_documentation_has_tests_that_are_there() {
    let page = fs::read_to_string(root().join("docs/attacks.md")).expect("the page");
    let rows = rows(&page);
    assert!(rows.len() > 80, "{} rows", rows.len());
    let problems: Vec<String> = rows
        .iter()
        .flat_map(|row| problems(row).into_iter().map(|problem| format!("{}: {problem}", row.weakness)))
        .collect();
    assert!(problems.is_empty(), "docs/attacks.md:\n{}", problems.join("\n"));
}

#[test]
fn a_row_whose_tests_are_gone_is_told() {
    let told = |holds: &str, tests: &str| problems(&Row { weakness: "", holds, tests }).len();
    let test = "`login/target.rs::a01_refuses_backslashes_wherever_they_are`";
    assert_eq!(told("`login/target.rs`", test), 0);
    assert_eq!(told("", "`domain-restriction: denies a zero byte`, `tests/guests/trap.wat`"), 0);
    assert_eq!(told("", "`tests/tests/gate/attacks.rs::headers_from_outside_do_not_arrive`"), 0);
    for (holds, tests) in [
        ("`login/nothing.rs`", test),
        ("", ""),
        ("", "none yet"),
        ("", "`login/target.rs::no_such_test`"),
        ("", "`login/nothing.rs::a01_refuses_backslashes_wherever_they_are`"),
        ("", "`login/target.rs::parse`"),
        ("", "`login/target.rs::a01_refuses_backslashes`"),
        ("", "`domain-restriction: no such case`"),
        ("", "`no-such-policy: denies a zero byte`"),
        ("", "`tests/guests/nothing.wat`"),
    ] {
        assert_eq!(told(holds, tests), 1, "{holds} {tests}");
    }
}
