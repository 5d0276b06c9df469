//! What is wrong with `policy.toml`, told as a configuration's problems are: with line, column, key, what was found
//! and what was expected.

use std::path::Path;

use serde_json::Value;

use crate::{
    config::{Diagnostics, TextProblem, did_you_mean, nearest},
    policy::{ManifestError, locate, manifest::Manifest, settings},
};

const FILE: &str = "policy.toml";

/// How many references are followed, one after the other.
const REFERENCES_MAX: usize = 64;

/// Why `text`, the content of `file`, is no manifest.
pub(super) fn diagnose(file: &Path, text: &str, error: &ManifestError) -> Diagnostics {
    let problem = match error {
        ManifestError::Syntax { path, message, span } => {
            let key = if path == "." { String::new() } else { path.clone() };
            let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            match missing {
                Some(name) => {
                    let first_line = 0..text.find('\n').unwrap_or(text.len());
                    let message = format!("`{name}` is missing");
                    TextProblem { key: name.to_owned(), span: Some(first_line), message, ..TextProblem::default() }
                }
                None => TextProblem { key, span: span.clone(), ..split(message) },
            }
        }
        ManifestError::Value { key, message } => {
            let span = locate::span(text, &format!("/{key}"));
            TextProblem { key: (*key).to_owned(), span, ..split(message) }
        }
    };
    Diagnostics::of_text(FILE, file, text, vec![problem])
}

/// `… , expected …; did you mean …` as its parts.
fn split(message: &str) -> TextProblem {
    let (message, hint) = match message.split_once("; did you mean ") {
        Some((message, meant)) => (message, Some(format!("did you mean {meant}"))),
        None => (message, None),
    };
    let (message, expected) = match message.split_once(", expected ") {
        Some((message, expected)) => (message, Some(expected.to_owned())),
        None => (message, None),
    };
    TextProblem { message: message.to_owned(), expected, hint, ..TextProblem::default() }
}

/// Where the manifest contradicts itself: defaults that its own schema refuses, and settings that it reads from a
/// place that its schema does not have.
///
/// # Errors
///
/// Where the schema is none.
pub(super) fn contradictions(file: &Path, text: &str, manifest: &Manifest) -> Result<Diagnostics, String> {
    let of_defaults = settings::of_defaults(manifest).map_err(|error| error.to_string())?;
    let mut problems: Vec<TextProblem> = of_defaults
        .into_iter()
        .map(|problem| TextProblem {
            key: format!("settings-default{}", problem.pointer),
            span: locate::span(text, &format!("/settings-default{}", problem.pointer)),
            message: format!("the policy's own schema refuses this default: {}", problem.message),
            expected: problem.expected,
            hint: None,
        })
        .collect();
    let pointers = [
        ("reads-from-settings", &manifest.reads_from_settings),
        ("may-grant-from-settings", &manifest.may_grant_from_settings),
        ("access-paths-from-settings", &manifest.access_paths_from_settings),
    ];
    for (key, pointers) in pointers {
        for (index, pointer) in pointers.iter().enumerate() {
            let parts: Vec<&str> = pointer.split('/').skip(1).collect();
            let root = &manifest.settings_schema;
            let Err(Nowhere { message, expected, hint }) = leads(root, root, &parts, REFERENCES_MAX) else { continue };
            problems.push(TextProblem {
                key: format!("{key}[{index}]"),
                span: locate::span(text, &format!("/{key}/{index}")),
                message: format!("`{pointer}` names nothing: {message}"),
                expected,
                hint,
            });
        }
    }
    Ok(Diagnostics::of_text(FILE, file, text, problems))
}

/// Why a pointer leads to no text.
struct Nowhere {
    message: String,
    expected: Option<String>,
    hint: Option<String>,
}

fn nowhere(message: String) -> Nowhere {
    Nowhere { message, expected: None, hint: None }
}

/// Can settings of this schema have a text where `parts` lead? Where the schema leaves it open, they can.
fn leads(root: &Value, schema: &Value, parts: &[&str], references: usize) -> Result<(), Nowhere> {
    let Some(object) = schema.as_object() else {
        return if schema.as_bool() == Some(false) {
            Err(nowhere("nothing may stand there".to_owned()))
        } else {
            Ok(())
        };
    };
    if let Some(to) = object.get("$ref").and_then(Value::as_str) {
        let target = to.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).filter(|_| references > 0);
        return target.map_or(Ok(()), |target| leads(root, target, parts, references.saturating_sub(1)));
    }
    let alternatives: Vec<&Value> =
        ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| object.get(*key)?.as_array()).flatten().collect();
    let says = ["type", "properties", "items", "additionalProperties", "patternProperties"];
    let mut refused = None;
    if alternatives.is_empty() || says.iter().any(|key| object.contains_key(*key)) {
        match here(root, schema, parts, references) {
            Ok(()) => return Ok(()),
            Err(nowhere) => refused = Some(nowhere),
        }
    }
    for alternative in alternatives {
        match leads(root, alternative, parts, references.saturating_sub(1)) {
            Ok(()) => return Ok(()),
            Err(nowhere) => refused = refused.or(Some(nowhere)),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// The same, by what stands in the schema itself.
fn here(root: &Value, schema: &Value, parts: &[&str], references: usize) -> Result<(), Nowhere> {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let may_be = |kind: &str| types.is_empty() || types.contains(&kind);
    let Some((part, rest)) = parts.split_first() else {
        if may_be("string") {
            return Ok(());
        }
        let hint = may_be("array").then(|| "`/*` at the end names its elements".to_owned());
        let message = format!("what stands there is of the type {}", types.join(" or "));
        return Err(Nowhere { message, expected: Some("the place of a text".to_owned()), hint });
    };
    let go = |schema: &Value| leads(root, schema, rest, references);
    let is_index = *part == "*" || part.parse::<usize>().is_ok();
    let listed = schema.get("items").filter(|_| is_index && may_be("array"));
    if let Some(items) = listed {
        return go(items);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    let is_open = schema.get("patternProperties").is_some()
        || others.and_then(Value::as_bool) == Some(true)
        || (properties.is_none() && others.is_none() && (may_be("object") || (is_index && may_be("array"))));
    if *part == "*" {
        let inner = properties.into_iter().flat_map(|properties| properties.values()).chain(others);
        if is_open || inner.map(go).any(|led| led.is_ok()) {
            return Ok(());
        }
        return Err(nowhere("there is no list or table whose elements `*` could stand for".to_owned()));
    }
    let name = part.replace("~1", "/").replace("~0", "~");
    if let Some(inner) = properties.and_then(|properties| properties.get(&name)) {
        return go(inner);
    }
    if is_open {
        return Ok(());
    }
    if let Some(others) = others.filter(|others| others.is_object()) {
        return go(others);
    }
    let known: Vec<&str> = properties.into_iter().flat_map(|known| known.keys()).map(String::as_str).collect();
    Err(Nowhere {
        message: format!("the settings' schema has no `{name}` there"),
        expected: (!known.is_empty()).then(|| format!("one of {}", known.join(", "))),
        hint: nearest(&name, &known).map(did_you_mean),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HEAD: &str = "name = \"p\"\nversion = \"0.1.0\"\nhooks = [\"groups\"]\n";

    fn told(text: &str) -> String {
        let error = Manifest::from_toml(text).unwrap_err();
        diagnose(Path::new("policy.toml"), text, &error).in_lines()
    }

    #[test]
    fn names_line_column_key_what_was_found_and_what_was_expected() {
        let syntax = told(&format!("{HEAD}fuel = \"much\"\n"));
        assert!(syntax.starts_with("policy.toml:4:8: fuel: invalid type: string \"much\"; expected "), "{syntax}");
        let unknown = told(&format!("{HEAD}may_grant = []\n"));
        assert!(unknown.starts_with("policy.toml:4:1: ") && unknown.contains("did you mean `may-grant`?"), "{unknown}");
        let hook = told("name = \"p\"\nversion = \"0.1.0\"\nhooks = [\n  \"groups\",\n  \"admitt\",\n]\n");
        assert!(hook.starts_with("policy.toml:5:3: hooks[1]: unknown variant `admitt`"), "{hook}");
        assert!(hook.contains("did you mean `admit`?"), "{hook}");
        let value = told("name = \"p\"\nversion = \"1\"\nhooks = [\"groups\"]\n");
        assert!(value.starts_with("policy.toml:2:11: version: `1` is no semantic version"), "{value}");
        assert!(value.ends_with("; expected one such as `0.1.0`"), "{value}");
        let missing = told("version = \"0.1.0\"\nhooks = [\"groups\"]\n");
        assert_eq!(missing, "policy.toml:1:1: name: `name` is missing");
        assert!(told("name = = 1\n").starts_with("policy.toml:1:8: "));
    }

    #[test]
    fn is_shown_as_annotated_source() {
        let text = format!("{HEAD}fuel = \"much\"\n");
        let shown = diagnose(Path::new("policy.toml"), &text, &Manifest::from_toml(&text).unwrap_err()).render(false);
        for part in
            ["error: fuel: invalid type", "--> policy.toml:4:8", "4 | fuel = \"much\"", "policy.toml has 1 error"]
        {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
    }

    fn refused(rest: &str, schema: Value) -> Vec<String> {
        let text = format!("{HEAD}{rest}");
        let manifest = Manifest { settings_schema: schema, ..Manifest::from_toml(&text).unwrap() };
        let found = contradictions(Path::new("policy.toml"), &text, &manifest).unwrap();
        found.in_lines().lines().map(str::to_owned).collect()
    }

    #[test]
    fn refuses_defaults_that_the_schema_refuses_and_leaves_what_is_required() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["domains"],
            "properties": { "domains": { "type": "string" }, "rows": { "type": "array", "items": { "type": "integer" } } },
        });
        let found = refused("[settings-default]\nrows = [\n 1,\n \"x\",\n]\ndomain = \"a\"\n", schema.clone());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("policy.toml:7:2: settings-default/rows/1: "), "{found:?}");
        assert!(found[0].contains("expected a value of the type integer"), "{found:?}");
        assert!(found[1].starts_with("policy.toml:9:10: settings-default/domain: "), "{found:?}");
        assert!(found[1].contains("did you mean `domains`?"), "{found:?}");
        assert_eq!(refused("[settings-default]\nrows = [1]\n", schema), [] as [&str; 0]);
    }

    #[test]
    fn refuses_a_place_in_the_settings_that_the_schema_does_not_have() {
        let schema = json!({
            "type": "object", "additionalProperties": false,
            "$defs": { "row": { "type": "object", "properties": { "group": { "type": "string" } } } },
            "properties": {
                "rows": { "type": "array", "items": { "$ref": "#/$defs/row" } },
                "extra": { "type": "array", "items": { "type": "string" } },
                "by": { "type": "object", "additionalProperties": { "type": ["string", "null"] } },
                "open": { "type": "object" }, "number": { "type": "integer" },
                "either": { "anyOf": [{ "type": "integer" }, { "type": "array", "items": { "type": "string" } }] },
            },
        });
        let of = |pointer: &str| refused(&format!("may-grant-from-settings = [\n  {pointer:?},\n]\n"), schema.clone());
        for good in ["/rows/*/group", "/rows/0/group", "/extra/*", "/by/*", "/by/x", "/open/a/b", "/either/*", "/*/*"] {
            assert_eq!(of(good), [] as [&str; 0], "{good}");
        }
        for (bad, part) in [
            ("/row/*/group", "did you mean `rows`?"),
            ("/rows/*/gruop", "did you mean `group`?"),
            ("/rows/group", "has no `group` there"),
            ("/extra", "`/*` at the end names its elements"),
            ("/number", "of the type integer"),
            ("/number/*", "no list or table"),
            ("/either", "names nothing"),
        ] {
            let found = of(bad).join("\n");
            assert!(found.starts_with("policy.toml:5:3: may-grant-from-settings[0]: `/"), "{bad}: {found}");
            assert!(found.contains(part), "{bad}: {found}");
        }
    }
}
