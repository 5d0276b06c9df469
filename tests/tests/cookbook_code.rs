//! Every recipe of `docs/cookbook-code.md`, in each of its languages, held to its cases through the sandbox. The
//! code that runs here is the text of the page.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use serde_json::Value;
use vestibule::policy::{self, Cases};
use vestibule_tests::{
    interpreted::Interpreted,
    process::{root, vestibule},
};

/// A recipe: its files by their paths.
type Recipe = BTreeMap<String, String>;

/// The recipes of the page, by name.
fn recipes() -> BTreeMap<String, Recipe> {
    let page = fs::read_to_string(root().join("docs/cookbook-code.md")).expect("the page");
    let pattern = Regex::new(r"(?ms)^```\w+ file=([a-z-]+)/(\S+)\n(.*?)^```$").expect("a pattern");
    let mut recipes: BTreeMap<String, Recipe> = BTreeMap::new();
    for block in pattern.captures_iter(&page) {
        let files = recipes.entry(block[1].to_owned()).or_default();
        assert!(
            files.insert(block[2].to_owned(), block[3].to_owned()).is_none(),
            "{} has {} twice",
            &block[1],
            &block[2]
        );
    }
    for (name, files) in &recipes {
        let found: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(found, ["cases/recipe.toml", "policy.js", "policy.py", "policy.toml", "src/lib.rs"], "{name}");
    }
    assert_eq!(recipes.len(), page.matches("\n## ").count(), "a chapter is a recipe");
    recipes
}

/// An empty folder in this clone, which has the tools of all languages.
fn folder(name: &str) -> PathBuf {
    let folder = root().join("policies/target/projects/recipes").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// `vestibule policy`, which must succeed; what it printed.
fn policy(arguments: &[&str], folders: &[PathBuf]) -> Value {
    let toolchain = root().join("policies/target/toolchain");
    let mut command = Command::new(vestibule());
    command.args(["--json", "policy"]).args(arguments).arg("--std-cache").arg(toolchain).args(folders);
    let output = command.output().expect("a program");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).expect("JSON")
}

/// How many cases a recipe has.
fn count(recipe: &Recipe) -> usize {
    recipe["cases/recipe.toml"].matches("[[case]]").count()
}

#[test]
fn every_recipe_holds_in_rust() {
    let recipes = recipes();
    let desk = folder("rust");
    let members: Vec<&String> = recipes.keys().collect();
    // As in the SDK's own page, but one workspace for all: what they share is compiled once.
    let sdk = root().join("guest/rust");
    write(
        &desk.join("Cargo.toml"),
        &format!(
            "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[profile.release]\ncodegen-units = 1\nlto = true\n\
             panic = \"abort\"\nstrip = true\n"
        ),
    );
    write(
        &desk.join(".cargo/config.toml"),
        &format!("[build]\ntarget-dir = {:?}\n", root().join("policies/target/projects")),
    );
    let lock = fs::read(root().join("policies/Cargo.lock")).expect("a lock");
    fs::write(desk.join("Cargo.lock"), lock).expect("a file");
    for (name, files) in &recipes {
        let cargo = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
             [dependencies]\nvestibule-policy = {{ path = {sdk:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
             schemars = \"1\"\n"
        );
        write(&desk.join(name).join("Cargo.toml"), &cargo);
        for file in ["cases/recipe.toml", "policy.toml", "src/lib.rs"] {
            write(&desk.join(name).join(file), &files[file]);
        }
    }
    let folders: Vec<PathBuf> = members.iter().map(|name| desk.join(name)).collect();
    let tested = policy(&["test", "--inputs", "1"], &folders);
    let expected: usize = recipes.values().map(count).sum();
    assert_eq!((&tested["passed"], &tested["failed"]), (&expected.into(), &0.into()), "{tested:#}");
}

/// A component that holds the recipes, as the page says that several go into one, each held to its cases.
fn all_hold(language: &str, project: &Path, recipes: &BTreeMap<String, Recipe>) {
    let manifest = format!(
        "name = \"recipes\"\nversion = \"0.1.0\"\nlanguage = \"{language}\"\nhooks = [\"admit\"]\nreads-groups = []\n\n\
         [settings-default]\nrule = \"mfa-for-administrators\"\nadministrators = [\"admins\"]\nmethods = [\"mfa\"]\n"
    );
    write(&project.join("policy.toml"), &manifest);
    policy(&["build"], &[project.to_owned()]);
    let component = fs::read(project.join("target/components/recipes.wasm")).expect("a component");
    let interpreted = Interpreted::new(&component);
    let mut failures = String::new();
    for (name, recipe) in recipes {
        let manifest: toml::Table = toml::from_str(&recipe["policy.toml"]).expect("a manifest");
        let manifest = serde_json::to_value(manifest).expect("JSON");
        let component = interpreted.choosing(name, manifest).unwrap_or_else(|error| panic!("{name}: {error}"));
        let cases = project.join("cases-of").join(name);
        write(&cases.join("recipe.toml"), &recipe["cases/recipe.toml"]);
        let cases = Cases::folder(&cases).expect("cases");
        let results = policy::test(&interpreted.engine, &component, &cases).expect("results");
        assert_eq!(results.len(), count(recipe), "{name}");
        for result in results.iter().filter(|result| !result.passed()) {
            let _ = writeln!(failures, "{name}, line {}, {}: {:?}", result.line, result.name, result.differences);
        }
    }
    assert!(failures.is_empty(), "{language}:\n{failures}");
}

#[test]
fn every_recipe_holds_in_javascript() {
    let recipes = recipes();
    let project = folder("js");
    let (mut imports, mut rules) = (String::new(), String::new());
    for (index, (name, recipe)) in recipes.iter().enumerate() {
        write(&project.join(format!("{name}.js")), &recipe["policy.js"]);
        let _ = writeln!(imports, "import rule{index} from \"./{name}.js\";");
        let _ = writeln!(rules, "    \"{name}\": rule{index},");
    }
    let text = format!(
        "import {{ chooseBy }} from \"@vestibule/policy\";\n{imports}\nexport default chooseBy(\"rule\", {{\n{rules}}});\n"
    );
    write(&project.join("policy.js"), &text);
    all_hold("js", &project, &recipes);
}

#[test]
fn every_recipe_holds_in_python() {
    let recipes = recipes();
    let project = folder("python");
    let (mut imports, mut rules) = (String::new(), String::new());
    let class = Regex::new(r"(?m)^class (\w+):$").expect("a pattern");
    for (name, recipe) in &recipes {
        let module = name.replace('-', "_");
        write(&project.join(format!("{module}.py")), &recipe["policy.py"]);
        let class = &class.captures(&recipe["policy.py"]).expect("a class")[1];
        let _ = writeln!(imports, "from {module} import {class}");
        let _ = writeln!(rules, "    \"{name}\": {class},");
    }
    let text =
        format!("from vestibule_policy import choose_by\n\n{imports}\nPOLICY = choose_by(\"rule\", {{\n{rules}}})\n");
    write(&project.join("policy.py"), &text);
    all_hold("python", &project, &recipes);
}
