//! The reference of all keys, made from the raw structs' JSON Schema: `docs/configuration.md`.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    check::join,
    structure::{kind, names, resolve, type_name},
};

/// One table of the configuration.
pub(super) struct Section<'s> {
    /// As in `[upstreams.ID]`.
    pub(super) path: String,
    description: String,
    /// Key and schema, in the order of the raw struct.
    pub(super) properties: Vec<(&'s str, &'s Value)>,
}

/// The reference as Markdown.
#[must_use]
pub fn reference() -> String {
    let schema = super::schema();
    let mut text = INTRODUCTION.to_owned();
    for section in sections(&schema) {
        if section.properties.is_empty() {
            continue;
        }
        let _infallible = write!(text, "\n## `[{}]`\n\n", section.path);
        if !section.description.is_empty() {
            let _infallible = write!(text, "{}\n\n", section.description);
        }
        text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for (key, inner) in section.properties {
            let resolved = resolve(&schema, inner);
            let default = match inner.get("default") {
                _ if inner.get("x-required").is_some() => "**required**".to_owned(),
                None | Some(Value::Null) => String::new(),
                Some(default) => format!("`{default}`"),
            };
            let meaning = meaning(inner, resolved);
            let _infallible =
                writeln!(text, "| `{key}` | {} | {default} | {meaning} |", type_name(resolved).replace('|', "\\|"));
        }
    }
    text
}

/// Every table, outer ones first.
pub(super) fn sections(schema: &Value) -> Vec<Section<'_>> {
    let mut found = Vec::new();
    collect(schema, schema, "", &mut found);
    found
}

fn collect<'s>(root: &'s Value, schema: &'s Value, path: &str, found: &mut Vec<Section<'s>>) {
    let schema = resolve(root, schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    let is_table = |inner: &Value| {
        let inner = resolve(root, inner);
        kind(inner) == "object" && (inner.get("properties").is_some() || holds_tables(root, inner))
    };
    if let Some(properties) = properties {
        let own = properties.iter().filter(|(_, inner)| !is_table(inner));
        found.push(Section {
            path: path.to_owned(),
            description: description(schema),
            properties: own.map(|(key, inner)| (key.as_str(), inner)).collect(),
        });
    }
    for (key, inner) in properties.into_iter().flatten().filter(|(_, inner)| is_table(inner)) {
        collect(root, inner, &join(path, key), found);
    }
    if holds_tables(root, schema)
        && let Some(inner) = schema.get("additionalProperties")
    {
        let placeholder = if path == "policies" { "NAME" } else { "ID" };
        collect(root, inner, &join(path, placeholder), found);
    }
}

fn holds_tables(root: &Value, schema: &Value) -> bool {
    let inner = schema.get("additionalProperties").filter(|inner| inner.is_object());
    inner.is_some_and(|inner| resolve(root, inner).get("properties").is_some())
}

fn description(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The key's own description, and those of its values.
fn meaning(schema: &Value, resolved: &Value) -> String {
    let mut text = description(schema).replace('\n', " ");
    if names(resolved).is_some() {
        for variant in resolved.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(name), Some(meaning)) =
                (variant.get("const").and_then(Value::as_str), variant.get("description"))
            {
                let meaning = meaning.as_str().unwrap_or_default().replace('\n', " ");
                let _infallible = write!(text, " `{name}`: {meaning}");
            }
        }
    }
    text.replace('|', "\\|")
}

const INTRODUCTION: &str = "\
# The configuration

<!-- Generated from `host/src/config/`: UPDATE_DOCS=1 cargo test --release -p vestibule --lib config::reference -->

One TOML file, given to `vestibule serve` and `vestibule check`. Every problem is reported
at once, with its line, what was found and what was expected; nothing starts with a
configuration that has one.

- An unknown key is an error.
- A relative path is relative to the configuration file.
- Times have their unit in the key: `-s` seconds, `-ms` milliseconds.
- Ids (`[upstreams.ID]`, `[applications.ID]`, `[policies.NAME]`, `tenant`) are kebab-case.
- URLs are https; http is for loopback only. No URL has user information or a fragment.
- *A text, { env = … } or { file = … }* may stand in the file, in an environment variable, or in a file of its
  own: `client-secret = { env = \"SECRET\" }`, `client-secret = { file = \"secrets/idp\" }`. A secret in the
  configuration itself is possible and discouraged.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the switch that rewrites the file")]
    fn docs_configuration_md_is_what_the_raw_structs_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        if std::env::var("UPDATE_DOCS").is_ok() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).unwrap();
            std::fs::write(path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == reference(), "docs/configuration.md is out of date: run this test with UPDATE_DOCS=1");
    }

    #[test]
    fn every_key_has_a_meaning() {
        let schema = crate::config::schema();
        for section in sections(&schema) {
            for (key, inner) in &section.properties {
                assert!(!description(inner).is_empty(), "[{}] {key}", section.path);
            }
        }
    }
}
