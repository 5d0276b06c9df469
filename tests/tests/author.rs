//! A policy author's day: the program's own commands on a project of their own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use vestibule_tests::process::{node, root, vestibule};

/// Every project here is compiled into one target folder, one after the other.
static TARGET: Mutex<()> = Mutex::new(());

/// A folder for a project called `mine`. It is always the same one: what a project is compiled of
/// names its folder, so that in another one nothing would be compiled already.
struct Desk {
    folder: PathBuf,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Desk {
    fn new() -> Self {
        let turn = TARGET.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = Self::of("desk", Some(turn));
        fs::create_dir_all(desk.path(".cargo")).expect("a folder");
        let config = format!("[build]\ntarget-dir = {:?}\n", root().join("policies/target/projects"));
        fs::write(desk.path(".cargo/config.toml"), config).expect("a file");
        desk
    }

    /// An empty folder in this clone, which has the tools of JavaScript and Python.
    fn of(name: &str, turn: Option<MutexGuard<'static, ()>>) -> Self {
        let folder = root().join("policies/target/projects").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        Self { folder, _turn: turn }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(vestibule());
        command.arg("--json").arg("policy").args(arguments).current_dir(&self.folder);
        if ["build", "test", "call", "bench", "diff"].contains(&arguments[0]) {
            command.arg("--std-cache").arg(root().join("policies/target/toolchain"));
        }
        command
    }

    /// Runs a command; its exit code and its JSON.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.command(arguments).output().expect("a program");
        (output.status.code(), json(&output))
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        panic!("{error}: {out}\n{err}")
    })
}

fn change(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("text");
    assert!(text.contains(from), "{} has no {from:?}", path.display());
    fs::write(path, text.replace(from, to)).expect("a file");
}

const EVERY_HOOK: &str = "route,admit,profile,groups,provision,session,access,logout";

/// A project in the language of an interpreter: natively, and as a component.
fn a_new_project_is_whole(language: &str, mut native: Command) {
    let desk = Desk::of(language, None);
    let (code, made) = desk.run(&["new", "mine", "--lang", language, "--hooks", EVERY_HOOK]);
    assert_eq!(code, Some(0), "{made}");
    let native = native.current_dir(desk.path("mine")).output().expect("it starts");
    let said = [native.stdout, native.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert!(native.status.success(), "{said}");
    // None of the tests was overlooked: one for each rule, and those of the whole.
    let count = regex::Regex::new(r"(?m)^(?:# tests |Ran )(\d+)").expect("a pattern").captures(&said).expect("a count");
    assert!(count[1].parse::<u32>().expect("a number") > 8, "{said}");

    let (code, tested) = desk.run(&["test", "mine", "--inputs", "100"]);
    assert_eq!(code, Some(0), "{tested:#}");
    assert!(tested["passed"].as_u64() > Some(20) && tested["failed"] == 0, "{tested}");
    assert_eq!(tested["properties-passed"], 3, "{tested:#}");
    let component = tested["policies"][0]["component"].as_str().expect("a path").to_owned();
    let (_, inspected) = desk.run(&["inspect", &component]);
    assert_eq!(inspected["manifest"]["hooks"].as_array().map(Vec::len), Some(8), "{inspected}");
    assert_eq!(inspected["imports"], serde_json::json!(["vestibule:policy/log@0.1.0"]));
    assert_eq!(inspected["manifest"]["settings-default"]["allowed-domains"], "example.com", "{inspected}");
}

#[test]
fn a_new_project_in_javascript_builds_and_passes_its_own_tests() {
    let mut native = Command::new(node());
    native.arg("--test");
    a_new_project_is_whole("js", native);
}

/// TypeScript's own program, as an editor would ask it; what it has against the project.
fn types(project: &Path) -> String {
    let program = root().join("guest/js/node_modules/.bin/tsc");
    let checked = Command::new(program).args(["--project", "jsconfig.json"]).current_dir(project).output();
    let checked = checked.expect("tsc: run `scripts/setup test`");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.success(), said.is_empty(), "{said}");
    said
}

#[test]
fn an_editor_finds_an_answer_that_the_contract_does_not_have() {
    let desk = Desk::of("types", None);
    let (code, made) = desk.run(&["new", "mine", "--lang", "js", "--hooks", EVERY_HOOK]);
    assert_eq!(code, Some(0), "{made}");
    assert_eq!(types(&desk.path("mine")), "");
    change(&desk.path("mine/rules/provision.js"), "\"every-login\"", "\"each-login\"");
    change(&desk.path("mine/rules/admit.js"), "email.verified", "email.verifed");
    let said = types(&desk.path("mine"));
    assert!(said.contains("each-login") && said.contains("verifed") && said.lines().count() < 12, "{said}");
}

#[test]
fn a_policy_in_typescript_is_built_as_it_is() {
    let readme = fs::read_to_string(root().join("guest/js/README.md")).expect("the page");
    let block = |kind: &str, first: &str| {
        let (_, text) =
            blocks(&readme).into_iter().find(|(of, text)| of == kind && text.starts_with(first)).expect(first);
        text
    };
    let desk = Desk::of("typescript", None);
    let (code, made) = desk.run(&["new", "in-group", "--lang", "js", "--hooks", "admit"]);
    assert_eq!(code, Some(0), "{made}");
    let write = |file: &str, text: &str| fs::write(desk.path("in-group").join(file), text).expect("a file");
    write("policy.ts", &block("ts", "// policy.ts"));
    write("policy.toml", &block("toml", "# policy.toml"));
    write(
        "settings.schema.json",
        "{ \"type\": \"object\", \"properties\": { \"group\": { \"type\": \"string\" } }, \"required\": [\"group\"] }",
    );
    write(
        "cases/admit.toml",
        "[settings]\ngroup = \"staff\"\n\n[[case]]\nname = \"a member\"\nhook = \"admit\"\ninput.identity.groups = [\"staff\"]\n\
         expect.verdict = \"allow\"\n\n[[case]]\nname = \"a blank\"\nhook = \"configure\"\nsettings = { group = \" \" }\n\
         expect.problems = [\"/group\"]\n",
    );
    change(&desk.path("in-group/package.json"), "policy.js", "policy.ts");
    for file in ["policy.js", "policy.test.js", "properties.toml", "rules/admit.js", "rules/admit.test.js"] {
        fs::remove_file(desk.path("in-group").join(file)).expect(file);
    }
    assert_eq!(types(&desk.path("in-group")), "");
    let (code, tested) = desk.run(&["test", "in-group"]);
    assert_eq!((code, &tested["passed"], &tested["failed"]), (Some(0), &2.into(), &0.into()), "{tested:#}");
    change(&desk.path("in-group/policy.ts"), "allow(\"in-group\", group)", "{ alow: 7 }");
    assert!(types(&desk.path("in-group")).contains("alow"));
}

#[test]
fn a_new_project_in_python_builds_and_passes_its_own_tests() {
    let mut native = Command::new("python3");
    native.args(["-B", "-m", "unittest"]);
    a_new_project_is_whole("python", native);
}

#[test]
fn a_new_project_with_every_hook_builds_and_passes_its_own_tests() {
    let desk = Desk::new();
    let (code, made) = desk.run(&["new", "mine", "--lang", "rust", "--hooks", EVERY_HOOK]);
    assert_eq!(code, Some(0), "{made}");
    let (code, tested) = desk.run(&["test", "mine"]);
    assert_eq!(code, Some(0), "{tested:#}");
    assert!(tested["passed"].as_u64() > Some(20) && tested["failed"] == 0, "{tested}");
    assert_eq!(tested["properties-passed"], 3, "{tested:#}");
    // The lock file is whole: cargo changes nothing of it. Natively, too, all holds.
    let native = Command::new("cargo")
        .args(["test", "--locked", "--quiet"])
        .current_dir(desk.path("mine"))
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("cargo");
    assert!(native.status.success(), "{}", String::from_utf8_lossy(&native.stderr));
    let formatted = Command::new("cargo").args(["fmt", "--check"]).current_dir(desk.path("mine")).output();
    let formatted = formatted.expect("cargo");
    assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stdout));

    // What it is, what it answers, what it costs.
    let component = tested["policies"][0]["component"].as_str().expect("a path").to_owned();
    let (_, inspected) = desk.run(&["inspect", &component]);
    assert_eq!(inspected["manifest"]["hooks"].as_array().map(Vec::len), Some(8), "{inspected}");
    assert_eq!(inspected["properties"], 3, "{inspected}");
    let imports = inspected["imports"].as_array().expect("imports");
    assert!(imports.contains(&"vestibule:policy/log@0.1.0".into()), "{inspected}");
    assert!(inspected["limits"]["fuel"].as_u64() > Some(0), "{inspected}");
    fs::write(
        desk.path("question.toml"),
        "[input.identity]\nemail = { address = \"u@example.org\", verified = true }\n",
    )
    .expect("a file");
    let (code, called) = desk.run(&["call", "admit", "--input", "question.toml", &component]);
    assert_eq!((code, &called["answer"]["reason"]), (Some(0), &"domain-not-allowed".into()), "{called}");
    fs::write(desk.path("s.toml"), "allowed-domains = \"example.org\"\n").expect("a file");
    let (_, called) = desk.run(&["call", "admit", "--input", "question.toml", "--settings", "s.toml", &component]);
    assert_eq!(called["answer"]["verdict"], "allow", "{called}");
    let of_case = ["call", "groups", "--input", "mine/cases/groups.toml", "--case", "grants the default groups"];
    let (_, called) = desk.run(&[&of_case[..], &[&component]].concat());
    assert_eq!(called["answer"]["grants"], serde_json::json!(["users"]), "{called}");
    let (code, measured) = desk.run(&["bench", "--rounds", "3", &component]);
    assert_eq!(code, Some(0), "{measured}");
    let rows = measured["policies"][0]["hooks"].as_array().expect("rows");
    assert_eq!(rows.len(), 8);
    // The third is about a path about which the policy is not asked.
    let access = rows.iter().find(|row| row["hook"] == "access").expect("a row");
    assert_eq!(access["cases"], 2, "{access}");
    for row in rows {
        let number = |key: &str| row[key].as_f64().expect("a number");
        assert!(number("cold-us") > number("warm-us") && number("warm-us") > 0.0, "{row}");
        assert!(
            number("cases") >= 2.0 && number("fuel-min") > 0.0 && number("fuel-min") <= number("fuel-max"),
            "{row}"
        );
    }
}

#[test]
fn a_property_that_does_not_hold_comes_with_a_case_that_fails_until_it_does() {
    let desk = Desk::new();
    desk.run(&["new", "mine", "--lang", "rust", "--hooks", "groups"]);
    let source = desk.path("mine/src/groups.rs");
    // A slip that no case shows: whoever reports a group with a certain name gets more.
    let slip = "        if identity.groups.listed().is_some_and(|g| g.iter().any(|g| g.starts_with(\"staff\"))) {\n            \
                plan.grant(\"jira-administrators\", Reason::new(\"staff\", \"\"));\n        }\n        Ok(plan)\n";
    change(&source, "        Ok(plan)\n", slip);
    change(&source, "        _: &Identity,\n", "        identity: &Identity,\n");
    let manifest = desk.path("mine/policy.toml");
    change(&manifest, "reads-groups = []", "reads-groups = [\"reported\"]\nmay-grant = [\"*\"]");
    let (code, tested) = desk.run(&["test", "mine"]);
    assert_eq!(code, Some(1), "{tested:#}");
    let properties = tested["policies"][0]["properties"].as_array().expect("properties");
    let broken: Vec<&Value> = properties.iter().filter(|property| !property["counterexample"].is_null()).collect();
    assert_eq!(broken.len(), 1, "{tested:#}");
    let case = broken[0]["counterexample"]["case"].as_str().expect("a case");
    // The smallest: one group, and of its name only what it takes.
    assert!(case.contains("groups = [\"staff\"]"), "{case}");
    assert!(!case.contains("context") && !case.contains("account"), "{case}");
    // Another run finds the same.
    let (_, again) = desk.run(&["test", "mine"]);
    assert_eq!(again["policies"][0]["properties"], tested["policies"][0]["properties"]);

    // Pasted, it fails; with the slip repaired, it passes.
    fs::write(desk.path("mine/cases/found.toml"), case).expect("a file");
    let (code, tested) = desk.run(&["test", "mine", "--inputs", "1"]);
    let failed = tested["policies"][0]["cases"].as_array().expect("cases").iter();
    let failed: Vec<&Value> = failed.filter(|case| case["differences"] != serde_json::json!([])).collect();
    assert_eq!((code, failed.len()), (Some(1), 1), "{tested:#}");
    let before = desk.path("before.wasm");
    fs::copy(tested["policies"][0]["component"].as_str().expect("a path"), &before).expect("a copy");
    change(&source, slip, "        Ok(plan)\n");
    let (code, tested) = desk.run(&["test", "mine"]);
    assert_eq!(code, Some(0), "{tested:#}");

    // What the repair changed, and nothing else.
    let (code, differs) = desk.run(&["diff", "before.wasm", "mine"]);
    let found = differs["differences"].as_array().expect("differences");
    // The weightiest first; where the application does not know the group, it is dropped: another kind.
    let kinds: Vec<&Value> = found.iter().map(|difference| &difference["weight"]).collect();
    assert_eq!((code, kinds), (Some(1), vec![&Value::from("groups"), &Value::from("otherwise")]), "{differs:#}");
    let difference = &found[0];
    assert!(difference["old"].as_str().expect("words").contains("jira-administrators"), "{difference}");
    assert_eq!((&difference["weight"], &difference["group"][0]), (&"groups".into(), &"jira-administrators".into()));
    assert_eq!(differs["manifest"], serde_json::json!([]), "{differs:#}");
    assert!(difference["case"].as_str().expect("a case").contains("groups = [\"staff\"]"), "{difference}");
    let (code, differs) = desk.run(&["diff", "mine", "mine"]);
    assert_eq!((code, &differs["ok"]), (Some(0), &true.into()), "{differs}");
}

#[test]
fn watching_builds_and_tests_again_when_a_case_changes() {
    let desk = Desk::new();
    desk.run(&["new", "mine", "--lang", "rust", "--hooks", "session"]);
    let mut command = desk.command(&["build", "mine", "--watch"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a program");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON") };
    let first = next();
    assert_eq!((&first["ok"], &first["test"]["failed"]), (&true.into(), &0.into()), "{first:#}");
    change(&desk.path("mine/cases/session.toml"), "idle = 3600,", "idle = 7200,");
    let second = next();
    assert_eq!((&second["ok"], &second["test"]["failed"]), (&false.into(), &1.into()), "{second:#}");
    change(&desk.path("mine/policy.toml"), "hooks = ", "hoks = ");
    let third = next();
    assert!(third["error"].as_str().is_some_and(|error| error.contains("policy.toml")), "{third}");
    child.kill().expect("it ends");
    child.wait().expect("it ended");
}

#[test]
fn refuses_what_it_cannot_do_and_says_why() {
    let desk = Desk::new();
    for (arguments, code, part) in [
        (&["new", "Mine", "--lang", "rust"][..], 2, "kebab-case"),
        (&["new", "Mine", "--lang", "js"], 2, "kebab-case"),
        (&["new", "mine", "--lang", "cobol"], 2, "expected rust or js or python"),
        (&["new", "mine", "--lang", "ts"], 2, "for TypeScript take js"),
        (&["new", "mine", "--lang", "rust", "--hooks", "admin"], 2, "admin"),
        (&["new", ".cargo", "--lang", "rust"], 2, ".cargo"),
        (&["call", "admit", "--input", "none.toml", "none.wasm"], 74, "none.toml"),
        (&["bench", "none.wasm"], 74, "none.wasm"),
        (&["bench", "--rounds", "0", "none.wasm"], 2, "rounds"),
        (&["test", "--inputs", "0", "none.wasm"], 2, "inputs"),
        (&["diff", "--inputs", "0", "none.wasm", "none.wasm"], 2, "inputs"),
        (&["test", "--from", "2026-11-29", "none.wasm"], 2, "--recorded"),
        (&["test", "--recorded", "none.toml", "none.wasm"], 64, "none.toml"),
        (&["diff", "none.wasm", "none.wasm"], 74, "none.wasm"),
        (&["test", "--properties", "none.toml", "none.wasm"], 74, "none.toml"),
    ] {
        let (found, json) = desk.run(arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {json}");
        assert!(json.to_string().contains(part), "{arguments:?}: {json}");
    }
    fs::create_dir(desk.path("there")).expect("a folder");
    let (code, json) = desk.run(&["new", "there", "--lang", "rust"]);
    assert_eq!(code, Some(74), "{json}");
}

/// Refused before anything is compiled, each with file, line and what was probably meant.
#[test]
fn what_is_wrong_with_a_project_is_told_with_its_place() {
    let desk = Desk::new();
    desk.run(&["new", "mine", "--lang", "rust", "--hooks", "admit,groups"]);
    let manifest = desk.path("mine/policy.toml");
    let good = fs::read_to_string(&manifest).expect("the manifest");
    let head = |line: &str| format!("{line}\n{good}");
    let default =
        regex::Regex::new(r"(?m)^allowed-domains = .*$").expect("a pattern").replace(&good, "allowed-domains = 7");
    for (text, key, part) in [
        (good.replace("version = \"0.1.0\"", "version = \"1\""), "version", "0.1.0"),
        (good.replace("\"admit\"", "\"admitt\""), "hooks[0]", "did you mean `admit`?"),
        (head("reeds = []"), "", "did you mean `reads`?"),
        (
            good.replace("/default-groups/*", "/default-group/*"),
            "may-grant-from-settings[0]",
            "did you mean `default-groups`?",
        ),
        (default.into_owned(), "settings-default/allowed-domains", "the policy's own schema refuses this default"),
    ] {
        fs::write(&manifest, &text).expect("a file");
        let (code, refused) = desk.run(&["build", "mine"]);
        let problem = &refused["problems"][0];
        let is_placed = problem["line"].as_u64() > Some(0) && problem["column"].as_u64() > Some(0);
        assert!(code == Some(1) && is_placed, "{refused:#}");
        assert!(key.is_empty() || problem["key"] == key, "{problem:#}");
        assert!(problem["file"].as_str().is_some_and(|file| file.ends_with("policy.toml")), "{problem:#}");
        assert!(problem.to_string().contains(part), "{part}: {problem:#}");
    }
    fs::write(&manifest, &good).expect("a file");
    let case = |rest: &str| format!("[[case]]\nname = \"n\"\nhook = \"admit\"\n{rest}\n");
    for (file, text, part) in [
        ("x.toml", case("expect.verdict = \"alow\""), "x.toml:4: `verdict` is never \\\"alow\\\""),
        ("x.toml", case("expect.resaon = \"a\""), "did you mean `reason`?"),
        ("x.toml", String::new(), "no `[[case]]`"),
        ("x.yaml", "name: n\n".to_owned(), "x.yaml: cases are TOML"),
    ] {
        let path = desk.path("mine/cases").join(file);
        fs::write(&path, text).expect("a file");
        let (code, refused) = desk.run(&["test", "mine"]);
        assert!(code == Some(1) && refused.to_string().contains(part), "{part}: {refused}");
        fs::remove_file(&path).expect("removed");
    }
}

/// The blocks of a page: what stands behind the backticks, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let pattern = regex::Regex::new(r"(?ms)^```(\S[^\n]*)\n(.*?)^```$").expect("a pattern");
    pattern.captures_iter(page).map(|block| (block[1].to_owned(), block[2].to_owned())).collect()
}

#[test]
fn every_step_of_the_tutorial_does_what_it_says() {
    let desk = Desk::new();
    // Where the program looks for what it compiles with, and for itself.
    let toolchain = root().join("policies/target/toolchain");
    fs::create_dir_all(&toolchain).expect("a folder");
    fs::create_dir(desk.path(".cache")).expect("a folder");
    std::os::unix::fs::symlink(&toolchain, desk.path(".cache/vestibule")).expect("a link");
    let programs = vestibule().parent().expect("a folder").to_owned();
    let page = fs::read_to_string(root().join("docs/writing-a-policy.md")).expect("the page");
    let (mut files, mut commands) = (0, 0);
    for (kind, text) in blocks(&page) {
        if let Some((_, file)) = kind.split_once("file=") {
            files += 1;
            fs::write(desk.path(file), &text).expect("a file");
        }
        for line in text.lines().filter(|_| kind == "sh") {
            commands += 1;
            let expected = i32::from(line.ends_with("# exits with 1"));
            let output = Command::new("sh")
                .args(["-ec", &format!("PATH=\"$PROGRAMS:$PATH\"\n{line}")])
                .current_dir(&desk.folder)
                .env("PROGRAMS", &programs)
                .env("XDG_CACHE_HOME", desk.path(".cache"))
                .env_remove("CARGO_TARGET_DIR")
                .output()
                .expect("a shell");
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.code(), Some(expected), "{line}\n{out}\n{err}");
            // The counterexample and the difference are those that the page tells of.
            if expected == 1 {
                assert!(out.contains("contractors"), "{line}\n{out}");
            }
            if line.contains("policy call") {
                assert!(out.contains("outside-office-hours"), "{line}\n{out}");
            }
        }
    }
    assert!(files >= 8 && commands >= 10, "{files} files, {commands} commands");
}
