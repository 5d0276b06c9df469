//! A project in Rust. The SDK is not published, so its source goes along.

mod setting;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::setting::{Setting, settings};
use super::ProjectError;
use crate::decision::Hook;

/// Files of the SDK's folder, by their paths in it.
macro_rules! sdk {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../guest/rust/", $path)))),+]
    };
}

/// The SDK as it is written into a project.
const SDK: &[(&str, &str)] = sdk![
    "Cargo.toml",
    "README.md",
    "src/alloc.rs",
    "src/bindings.rs",
    "src/email.rs",
    "src/email/domains.rs",
    "src/email/label.rs",
    "src/export.rs",
    "src/hooks.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/names.rs",
    "src/pattern.rs",
    "src/settings.rs",
    "src/testing.rs",
    "src/types.rs",
    "wit/policy.wit",
    "wit/reserved-names.txt",
];

/// What a project is made of. `{{name}}` stands for the policy's.
const TEMPLATE: &[(&str, &str)] = sdk![
    "template/Cargo.lock",
    "template/Cargo.toml",
    "template/README.md",
    "template/cases/access.toml",
    "template/cases/admit.toml",
    "template/cases/groups.toml",
    "template/cases/logout.toml",
    "template/cases/profile.toml",
    "template/cases/provision.toml",
    "template/cases/route.toml",
    "template/cases/session.toml",
    "template/gitignore",
    "template/rustfmt.toml",
    "template/src/access.rs",
    "template/src/admit.rs",
    "template/src/groups.rs",
    "template/src/logout.rs",
    "template/src/profile.rs",
    "template/src/provision.rs",
    "template/src/route.rs",
    "template/src/session.rs",
];

/// Words that no crate can be called.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// What speaks against a package of that name.
pub(super) fn problem(name: &str) -> Option<String> {
    let is_dependency = |lock: &str| lock.lines().any(|line| line == format!("name = \"{name}\""));
    if RESERVED.contains(&name) {
        return Some("Rust has this word for itself".to_owned());
    }
    let lock = template("Cargo.lock").unwrap_or_default();
    is_dependency(lock).then(|| "a package that the policy depends on is called so".to_owned())
}

/// The files of a project, by their paths in it.
pub(super) fn files(name: &str, hooks: &BTreeSet<Hook>) -> Result<Vec<(String, String)>, ProjectError> {
    let mut files = vec![
        (".gitignore".to_owned(), template("gitignore")?.to_owned()),
        ("Cargo.lock".to_owned(), lock(name)?),
        ("Cargo.toml".to_owned(), template("Cargo.toml")?.replace("{{name}}", name)),
        ("README.md".to_owned(), readme(name, hooks)?),
        ("policy.toml".to_owned(), manifest(name, hooks)),
        ("properties.toml".to_owned(), properties(hooks)),
        ("rustfmt.toml".to_owned(), template("rustfmt.toml")?.to_owned()),
        ("settings.schema.json".to_owned(), format!("{:#}\n", schema(hooks))),
        ("settings.toml".to_owned(), settings_file(name, hooks)),
        ("src/lib.rs".to_owned(), library(name, hooks)),
        ("src/settings.rs".to_owned(), settings_source(hooks)),
    ];
    for hook in hooks {
        for path in [format!("src/{hook}.rs"), format!("cases/{hook}.toml")] {
            let text = template(&path)?.to_owned();
            files.push((path, text));
        }
    }
    files.extend(SDK.iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned())));
    files.sort();
    Ok(files)
}

fn template(path: &str) -> Result<&'static str, ProjectError> {
    let found = TEMPLATE.iter().find(|(at, _)| at.strip_prefix("template/") == Some(path));
    found.map(|(_, text)| *text).ok_or_else(|| ProjectError::Template { part: path.to_owned() })
}

/// cargo takes a lock file as it is only where the packages are in their order.
fn lock(name: &str) -> Result<String, ProjectError> {
    const HEAD: &str = "[[package]]\n";
    let text = template("Cargo.lock")?.replace("{{name}}", name);
    let mut packages = text.split(HEAD);
    let head = packages.next().unwrap_or_default();
    let mut packages: Vec<&str> = packages.map(str::trim_end).collect();
    packages.sort_by_key(|package| package.lines().next().map(|line| line.trim_start_matches("name = ").to_owned()));
    let packages: Vec<String> = packages.into_iter().map(|package| format!("{HEAD}{package}\n")).collect();
    Ok(format!("{head}{}", packages.join("\n")))
}

fn names(hooks: &BTreeSet<Hook>) -> Vec<&'static str> {
    // In the order of a login, which is that of the enum.
    hooks.iter().map(|hook| hook.name()).collect()
}

fn readme(name: &str, hooks: &BTreeSet<Hook>) -> Result<String, ProjectError> {
    let rows: Vec<String> = hooks.iter().map(|hook| format!("| `src/{hook}.rs` | the rule at `{hook}` |")).collect();
    let listed: Vec<String> = hooks.iter().map(|hook| format!("`{hook}`")).collect();
    Ok(template("README.md")?
        .replace("{{name}}", name)
        .replace("{{hooks}}", &listed.join(", "))
        .replace("{{first}}", names(hooks).first().copied().unwrap_or_default())
        .replace("{{rows}}", &rows.join("\n")))
}

fn manifest(name: &str, hooks: &BTreeSet<Hook>) -> String {
    let mut text = format!(
        "# What the policy is. What it does not name here, it does not see and may not do.\n\
         name = \"{name}\"\nversion = \"0.1.0\"\ndescription = \"What {name} decides, in a sentence\"\n\
         hooks = {:?}\n",
        names(hooks)
    );
    if hooks.contains(&Hook::Profile) {
        text.push_str("# Claims that it sees.\nreads = [\"given_name\", \"family_name\"]\n");
    }
    text.push_str(
        "# Groups that it sees: \"reported\" by the upstream, of the \"account\", \"granted\" in this login.\n",
    );
    let granted = if hooks.contains(&Hook::Provision) { "[\"granted\"]" } else { "[]" };
    text.push_str(&format!("reads-groups = {granted}\n"));
    if hooks.contains(&Hook::Groups) {
        text.push_str("# Groups that it may grant: those that the settings name.\n");
        text.push_str("may-grant-from-settings = [\"/default-groups/*\"]\n");
    }
    if hooks.contains(&Hook::Access) {
        text.push_str("# Paths about which it is asked: those that the settings name.\n");
        text.push_str("access-paths-from-settings = [\"/protected-paths/*\"]\n");
    }
    text.push_str("\n[settings-default]\n");
    for setting in all(hooks) {
        text.push_str(&format!("{} = {}\n", setting.name, setting.kind.written()));
    }
    text
}

fn properties(hooks: &BTreeSet<Hook>) -> String {
    let mut text = "# What must hold for every input. `vestibule policy test` checks it on generated ones.\n\n\
                    [[property]]\nname = \"always answers\"\nnever-faults = true\n"
        .to_owned();
    if hooks.contains(&Hook::Admit) {
        text.push_str(
            "\n[[property]]\nname = \"nobody comes in by an address that is not verified\"\nnever-admits = true\n\
             unless.email-verified = true\n",
        );
    }
    if hooks.contains(&Hook::Groups) {
        text.push_str(
            "\n[[property]]\nname = \"makes nobody an administrator\"\nnever-grants = [\"*administrators*\"]\n",
        );
    }
    text
}

fn settings_file(name: &str, hooks: &BTreeSet<Hook>) -> String {
    let mut text = format!("# Settings of `{name}`, each with its default.\n");
    for setting in all(hooks) {
        text.push_str(&format!("\n# {}\n{} = {}\n", setting.documentation, setting.name, setting.kind.written()));
    }
    text
}

/// As schemars derives it from the struct; the project's own test holds the two together.
fn schema(hooks: &BTreeSet<Hook>) -> Value {
    let properties: Map<String, Value> = all(hooks)
        .map(|setting| {
            let mut schema = setting.kind.schema();
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".to_owned(), Value::from(setting.documentation));
            }
            (setting.name.to_owned(), schema)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings",
        "description": "What an operator can set.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn settings_source(hooks: &BTreeSet<Hook>) -> String {
    let mut text = "//! The settings as the operator writes them.\n\nuse vestibule_policy::prelude::*;\n\n\
                    /// What an operator can set.\n#[derive(Debug, PartialEq, Deserialize, JsonSchema)]\n\
                    #[serde(rename_all = \"kebab-case\", deny_unknown_fields, default)]\npub struct Settings {\n"
        .to_owned();
    let field = |setting: &Setting| setting.name.replace('-', "_");
    for setting in all(hooks) {
        text.push_str(&format!(
            "    /// {}\n    pub {}: {},\n",
            setting.documentation,
            field(setting),
            setting.kind.in_rust()
        ));
    }
    text.push_str("}\n\nimpl Default for Settings {\n    fn default() -> Self {\n        Self {\n");
    for setting in all(hooks) {
        text.push_str(&format!("            {}: {},\n", field(setting), setting.kind.default_in_rust()));
    }
    text.push_str("        }\n    }\n}\n");
    text
}

fn library(name: &str, hooks: &BTreeSet<Hook>) -> String {
    let each = |line: &dyn Fn(&str) -> String| names(hooks).into_iter().map(line).collect::<String>();
    let mut modules: Vec<&str> = names(hooks);
    modules.push("settings");
    modules.sort_unstable();
    let modules: String = modules.into_iter().map(|module| format!("mod {module};\n")).collect();
    format!(
        "//! What `{name}` decides: a module for each hook.\n\n{modules}\n\
         use vestibule_policy::prelude::*;\n\npub use settings::Settings;\n\n\
         /// The policy: a rule for each hook.\n#[derive(Debug)]\npub struct Rules {{\n{}}}\n\n\
         impl Policy for Rules {{\n    type Settings = Settings;\n\n    \
         // Parse, compile and sort here: it is done once, and costs no login anything.\n    \
         fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {{\n        \
         let mut problems = Problems::new();\n        let rules = Self {{\n{}        }};\n        \
         problems.into_result(rules)\n    }}\n}}\n\n\
         vestibule_policy::export!(Rules: {});\n\n\
         #[cfg(test)]\nmod tests {{\n    use super::*;\n\n    vestibule_policy::settings_tests!(Settings);\n}}\n",
        each(&|hook| format!("    {hook}: {hook}::Rule,\n")),
        each(&|hook| format!("            {hook}: {hook}::Rule::read(&settings, &mut problems),\n")),
        names(hooks).join(", "),
    )
}

fn all(hooks: &BTreeSet<Hook>) -> impl Iterator<Item = &'static Setting> {
    hooks.iter().flat_map(|hook| settings(*hook))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_sdk_and_of_the_template_goes_along() {
        fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() && !entry.ends_with("target") {
                    walk(&entry, root, found);
                } else if !entry.is_dir() {
                    found.insert(entry.strip_prefix(root).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/rust");
        let mut there = BTreeSet::new();
        walk(&root, &root, &mut there);
        // The project has a lock of its own; the contract's README is for whoever changes it, and its schema for
        // interpreters.
        there.retain(|path| !["Cargo.lock", "wit/README.md", "wit/policy.schema.json"].contains(&&**path));
        let embedded: BTreeSet<String> = SDK.iter().chain(TEMPLATE).map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(embedded, there);
    }

    #[test]
    fn the_lock_is_in_cargos_order_whatever_the_name() {
        for name in ["aaa", "mine", "zzz"] {
            let lock = lock(name).unwrap();
            let names: Vec<&str> = lock.lines().filter(|line| line.starts_with("name = ")).collect();
            assert!(names.len() > 20 && names.is_sorted(), "{name}: {names:?}");
            assert!(lock.starts_with("# This file") && lock.ends_with("]\n") || lock.ends_with("\"\n"), "{name}");
        }
    }
}
