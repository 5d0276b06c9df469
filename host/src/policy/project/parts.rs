//! What a project has in whatever language: the manifest, the settings and their schema, cases
//! and properties.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    ProjectError,
    setting::{Setting, settings},
};
use crate::{decision::Hook, policy::manifest::Language};

/// Files of the folder `guest/LANGUAGE`, by their paths in it.
macro_rules! guest {
    ($language:literal, [$($path:literal),+ $(,)?]) => {
        &[$(($path, include_str!(concat!("../../../../guest/", $language, "/", $path)))),+]
    };
}
pub(super) use guest;

/// Files that go along: their paths, and the texts.
pub(super) type Embedded = &'static [(&'static str, &'static str)];

/// The cases of each hook's rule; it is the same rule in each language.
pub(super) const CASES: Embedded = guest!(
    "rust",
    [
        "template/cases/access.toml",
        "template/cases/admit.toml",
        "template/cases/groups.toml",
        "template/cases/logout.toml",
        "template/cases/profile.toml",
        "template/cases/provision.toml",
        "template/cases/route.toml",
        "template/cases/session.toml",
    ]
);

/// The file of a project's template at `path`.
pub(super) fn template(files: Embedded, path: &str) -> Result<&'static str, ProjectError> {
    let found = files.iter().find(|(at, _)| at.strip_prefix("template/") == Some(path));
    found.map(|(_, text)| *text).ok_or_else(|| ProjectError::Template { part: path.to_owned() })
}

/// The files that do not depend on the language, by their paths in the project.
pub(super) fn files(
    name: &str,
    language: Language,
    hooks: &BTreeSet<Hook>,
) -> Result<Vec<(String, String)>, ProjectError> {
    let mut files = vec![
        ("policy.toml".to_owned(), manifest(name, language, hooks)),
        ("properties.toml".to_owned(), properties(hooks)),
        ("settings.toml".to_owned(), settings_file(name, hooks)),
    ];
    for hook in hooks {
        let path = format!("cases/{hook}.toml");
        let text = template(CASES, &path)?.to_owned();
        files.push((path, text));
    }
    Ok(files)
}

/// The hooks' names, in the order of a login, which is that of the enum.
pub(super) fn names(hooks: &BTreeSet<Hook>) -> Vec<&'static str> {
    hooks.iter().map(|hook| hook.name()).collect()
}

/// The settings of all rules.
pub(super) fn all(hooks: &BTreeSet<Hook>) -> impl Iterator<Item = &'static Setting> {
    hooks.iter().flat_map(|hook| settings(*hook))
}

/// `template` filled in; `rule` is the path of a hook's rule.
pub(super) fn readme(template: &str, name: &str, hooks: &BTreeSet<Hook>, rule: impl Fn(Hook) -> String) -> String {
    let rows: Vec<String> = hooks.iter().map(|hook| format!("| `{}` | the rule at `{hook}` |", rule(*hook))).collect();
    let listed: Vec<String> = hooks.iter().map(|hook| format!("`{hook}`")).collect();
    template
        .replace("{{name}}", name)
        .replace("{{hooks}}", &listed.join(", "))
        .replace("{{first}}", names(hooks).first().copied().unwrap_or_default())
        .replace("{{rows}}", &rows.join("\n"))
}

/// The schema of the settings, each as `of_setting` has it.
pub(super) fn schema(hooks: &BTreeSet<Hook>, of_setting: impl Fn(&Setting) -> Value) -> String {
    let properties: Map<String, Value> =
        all(hooks).map(|setting| (setting.name.to_owned(), of_setting(setting))).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings",
        "description": "What an operator can set.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
}

fn manifest(name: &str, language: Language, hooks: &BTreeSet<Hook>) -> String {
    // A Rust project is told by its Cargo.toml.
    let language = match language {
        Language::Rust => String::new(),
        _ => format!("language = {:?}\n", language.name()),
    };
    let mut text = format!(
        "# What the policy is. Claims that it does not name here it does not see, and what it may not do it cannot.\n\
         name = \"{name}\"\nversion = \"0.1.0\"\ndescription = \"What {name} decides, in a sentence\"\n\
         {language}hooks = {:?}\n",
        names(hooks)
    );
    if hooks.contains(&Hook::Profile) {
        text.push_str("# Claims that it sees.\nreads = [\"given_name\", \"family_name\"]\n");
    }
    text.push_str(
        "# Groups that it sees: \"reported\" by the upstream, of the \"account\", \"granted\" in this login. Without this line:\n\
         # all of them.\n",
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

/// Every file under `folder`, but for what `is_left_out`, is one of `embedded`.
#[cfg(test)]
pub(super) fn assert_embedded(embedded: &[(&str, &str)], folder: &str, is_left_out: impl Fn(&str) -> bool) {
    fn walk(folder: &std::path::Path, root: &std::path::Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if !entry.is_dir() {
                found.insert(entry.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            } else if !["target", "node_modules", "__pycache__", ".venv", "build", "vestibule_policy.egg-info"]
                .iter()
                .any(|name| entry.ends_with(name))
            {
                walk(&entry, root, found);
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut there = BTreeSet::new();
    walk(&root, &root, &mut there);
    there.retain(|path| !is_left_out(path));
    let embedded: BTreeSet<String> = embedded.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(embedded, there);
}
