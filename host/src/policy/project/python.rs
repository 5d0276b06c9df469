//! A project in Python. The SDK is not published, so its source goes along.

use std::collections::BTreeSet;

use super::{
    ProjectError,
    parts::{self, Embedded, guest, names},
    setting::Setting,
};
use crate::decision::Hook;

/// The SDK as it is written into a project.
const SDK: Embedded = guest!(
    "python",
    [
        "README.md",
        "pyproject.toml",
        "requirements-build.txt",
        "vestibule_policy/__init__.py",
        "vestibule_policy/component.py",
        "vestibule_policy/email.py",
        "vestibule_policy/letters.py",
        "vestibule_policy/names.py",
        "vestibule_policy/path.py",
        "vestibule_policy/pattern.py",
        "vestibule_policy/policy.schema.json",
        "vestibule_policy/py.typed",
        "vestibule_policy/reserved-names.json",
        "vestibule_policy/schema.py",
        "vestibule_policy/testing.py",
        "vestibule_policy/types.py",
    ]
);

/// What a project is made of. `{{name}}` stands for the policy's.
const TEMPLATE: Embedded = guest!(
    "python",
    [
        "template/README.md",
        "template/gitignore",
        "template/pyproject.toml",
        "template/rules/__init__.py",
        "template/rules/access.py",
        "template/rules/admit.py",
        "template/rules/groups.py",
        "template/rules/logout.py",
        "template/rules/profile.py",
        "template/rules/provision.py",
        "template/rules/route.py",
        "template/rules/session.py",
        "template/tests/__init__.py",
        "template/tests/test_access.py",
        "template/tests/test_admit.py",
        "template/tests/test_groups.py",
        "template/tests/test_logout.py",
        "template/tests/test_policy.py",
        "template/tests/test_profile.py",
        "template/tests/test_provision.py",
        "template/tests/test_route.py",
        "template/tests/test_session.py",
    ]
);

/// The files of a project, by their paths in it.
pub(super) fn files(name: &str, hooks: &BTreeSet<Hook>) -> Result<Vec<(String, String)>, ProjectError> {
    let template = |path: &str| parts::template(TEMPLATE, path);
    let readme = parts::readme(template("README.md")?, name, hooks, |hook| format!("rules/{hook}.py"));
    let mut files = vec![
        (".gitignore".to_owned(), template("gitignore")?.to_owned()),
        ("README.md".to_owned(), readme),
        ("policy.py".to_owned(), policy(name, hooks)),
        ("pyproject.toml".to_owned(), template("pyproject.toml")?.replace("{{name}}", name)),
        ("settings.schema.json".to_owned(), parts::schema(hooks, Setting::schema_alone)),
    ];
    let fixed = ["rules/__init__.py", "tests/__init__.py", "tests/test_policy.py"].map(str::to_owned);
    let of_hooks = hooks.iter().flat_map(|hook| [format!("rules/{hook}.py"), format!("tests/test_{hook}.py")]);
    for path in fixed.into_iter().chain(of_hooks) {
        let text = template(&path)?.to_owned();
        files.push((path, text));
    }
    files.extend(SDK.iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned())));
    Ok(files)
}

fn policy(name: &str, hooks: &BTreeSet<Hook>) -> String {
    let each = |line: &dyn Fn(&str) -> String| names(hooks).into_iter().map(line).collect::<String>();
    let mut imported = names(hooks);
    imported.sort_unstable();
    let imports: String =
        imported.into_iter().map(|hook| format!("from rules.{hook} import {}\n", class(hook))).collect();
    format!(
        "\"\"\"What `{name}` decides: a rule for each hook.\"\"\"\n\n{imports}from vestibule_policy import policy\n\n\n\
         @policy\nclass Rules:\n    def __init__(self):\n{}\n    \
         # The settings are read anew in each login: keep it short.\n    \
         def configure(self, settings, problems):\n{}{}",
        each(&|hook| format!("        self._{hook} = {}()\n", class(hook))),
        each(&|hook| format!("        self._{hook}.configure(settings, problems)\n")),
        each(&|hook| {
            format!("\n    def {hook}(self, **question):\n        return self._{hook}.{hook}(**question)\n")
        }),
    )
}

/// The class of a hook's rule.
fn class(hook: &str) -> String {
    let mut letters = hook.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_and_of_the_template_goes_along() {
        // The SDK's own tests and its policies stay where they are.
        let left = |path: &str| path.starts_with("policies/") || path.starts_with("tests/");
        parts::assert_embedded(&[SDK, TEMPLATE].concat(), "guest/python", left);
    }
}
