//! A project in Rust. The SDK is not published, so its source goes along.

use std::collections::BTreeSet;

use super::{
    ProjectError,
    parts::{self, Embedded, all, guest, names},
    setting::Setting,
};
use crate::decision::Hook;

/// The SDK as it is written into a project.
const SDK: Embedded = guest!(
    "rust",
    [
        "Cargo.toml",
        "README.md",
        "src/alloc.rs",
        "src/bindings.rs",
        "src/email.rs",
        "src/email/domains.rs",
        "src/email/label.rs",
        "src/export.rs",
        "src/hooks.rs",
        "src/letters.rs",
        "src/lib.rs",
        "src/log.rs",
        "src/names.rs",
        "src/path.rs",
        "src/pattern.rs",
        "src/settings.rs",
        "src/testing.rs",
        "src/types.rs",
        "wit/policy.wit",
        "wit/reserved-names.txt",
    ]
);

/// What a project is made of. `{{name}}` stands for the policy's.
const TEMPLATE: Embedded = guest!(
    "rust",
    [
        "template/Cargo.lock",
        "template/Cargo.toml",
        "template/README.md",
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
    ]
);

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
        ("rustfmt.toml".to_owned(), template("rustfmt.toml")?.to_owned()),
        ("settings.schema.json".to_owned(), parts::schema(hooks, Setting::schema_in_rust)),
        ("src/lib.rs".to_owned(), library(name, hooks)),
        ("src/settings.rs".to_owned(), settings_source(hooks)),
    ];
    for hook in hooks {
        let path = format!("src/{hook}.rs");
        let text = template(&path)?.to_owned();
        files.push((path, text));
    }
    files.extend(SDK.iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned())));
    Ok(files)
}

fn template(path: &str) -> Result<&'static str, ProjectError> {
    parts::template(TEMPLATE, path)
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

fn readme(name: &str, hooks: &BTreeSet<Hook>) -> Result<String, ProjectError> {
    Ok(parts::readme(template("README.md")?, name, hooks, |hook| format!("src/{hook}.rs")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_and_of_the_template_goes_along() {
        // The project has a lock of its own; the contract's README is for whoever changes it, and its schema for
        // interpreters.
        let left = |path: &str| ["Cargo.lock", "wit/README.md", "wit/policy.schema.json"].contains(&path);
        let embedded = [SDK, TEMPLATE, parts::CASES].concat();
        parts::assert_embedded(&embedded, "guest/rust", left);
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
