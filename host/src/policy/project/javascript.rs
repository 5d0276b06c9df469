//! A project in JavaScript. The SDK is not published, so its source goes along.

use std::collections::BTreeSet;

use super::{
    ProjectError,
    parts::{self, Embedded, guest, names},
    setting::Setting,
};
use crate::decision::Hook;

/// Where Node.js looks for the SDK: a link as `npm install` makes it for `file:sdk`, so that tests
/// need no installation.
pub(super) const LINK: (&str, &str) = ("node_modules/@vestibule/policy", "../../sdk");

/// The SDK as it is written into a project.
const SDK: Embedded = guest!(
    "js",
    [
        "README.md",
        "build.js",
        "package.json",
        "src/component.js",
        "src/email.js",
        "src/index.d.ts",
        "src/index.js",
        "src/letters.js",
        "src/names.js",
        "src/path.js",
        "src/pattern.js",
        "src/policy.schema.json",
        "src/reserved-names.json",
        "src/schema.js",
        "src/testing.d.ts",
        "src/testing.js",
        "src/types.d.ts",
    ]
);

/// What a project is made of. `{{name}}` stands for the policy's.
const TEMPLATE: Embedded = guest!(
    "js",
    [
        "template/README.md",
        "template/gitignore",
        "template/jsconfig.json",
        "template/package-json",
        "template/policy-test",
        "template/rules/access.js",
        "template/rules/access.test.js",
        "template/rules/admit.js",
        "template/rules/admit.test.js",
        "template/rules/groups.js",
        "template/rules/groups.test.js",
        "template/rules/logout.js",
        "template/rules/logout.test.js",
        "template/rules/profile.js",
        "template/rules/profile.test.js",
        "template/rules/provision.js",
        "template/rules/provision.test.js",
        "template/rules/route.js",
        "template/rules/route.test.js",
        "template/rules/session.js",
        "template/rules/session.test.js",
    ]
);

/// The files of a project, by their paths in it.
pub(super) fn files(name: &str, hooks: &BTreeSet<Hook>) -> Result<Vec<(String, String)>, ProjectError> {
    let template = |path: &str| parts::template(TEMPLATE, path);
    let listed: Vec<String> = names(hooks).into_iter().map(|name| format!("{name:?}")).collect();
    let test = template("policy-test")?.replace("{{hooks}}", &format!("[{}]", listed.join(", ")));
    let readme = parts::readme(template("README.md")?, name, hooks, |hook| format!("rules/{hook}.js"));
    let mut files = vec![
        (".gitignore".to_owned(), template("gitignore")?.to_owned()),
        ("README.md".to_owned(), readme),
        ("jsconfig.json".to_owned(), template("jsconfig.json")?.to_owned()),
        ("package.json".to_owned(), template("package-json")?.replace("{{name}}", name)),
        ("policy.js".to_owned(), policy(name, hooks)),
        ("policy.test.js".to_owned(), test),
        ("settings.schema.json".to_owned(), parts::schema(hooks, Setting::schema_alone)),
    ];
    for hook in hooks {
        for path in [format!("rules/{hook}.js"), format!("rules/{hook}.test.js")] {
            let text = template(&path)?.to_owned();
            files.push((path, text));
        }
    }
    files.extend(SDK.iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned())));
    Ok(files)
}

fn policy(name: &str, hooks: &BTreeSet<Hook>) -> String {
    let each = |line: &dyn Fn(&str) -> String| names(hooks).into_iter().map(line).collect::<String>();
    let mut imported = names(hooks);
    imported.sort_unstable();
    let imports: String =
        imported.into_iter().map(|hook| format!("import {hook} from \"./rules/{hook}.js\";\n")).collect();
    format!(
        "// What `{name}` decides: a rule for each hook.\nimport {{ definePolicy }} from \"@vestibule/policy\";\n\n\
         {imports}\nexport default definePolicy({{\n    \
         // The settings are read anew in each login: keep it short.\n    \
         configure: (settings, problems) => ({{\n{}    }}),\n\n{}}});\n",
        each(&|hook| format!("        {hook}: {hook}.configure(settings, problems),\n")),
        each(&|hook| format!("    {hook}: (question, rules) => {hook}.{hook}(question, rules.{hook}),\n")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_and_of_the_template_goes_along() {
        // The SDK's own tests, its lock and its policies stay where they are.
        let left =
            |path: &str| path == "package-lock.json" || path.starts_with("policies/") || path.starts_with("test/");
        parts::assert_embedded(&[SDK, TEMPLATE].concat(), "guest/js", left);
    }
}
