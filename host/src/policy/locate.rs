//! Settings files: from TOML or JSON to the JSON that a policy gets, and from a JSON
//! pointer back to the line that an operator can look at.
//!
//! Knows nothing of policies; reads no file.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Map, Value, value::RawValue};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::config::{did_you_mean, nearest};

/// How a settings file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

/// A line and a column, both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The text is not what its format says.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) message: String,
    pub(super) position: Option<Position>,
}

impl Format {
    /// By the file's extension: `.json` is JSON, everything else TOML.
    pub(super) fn of(path: &std::path::Path) -> Self {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            Self::Json
        } else {
            Self::Toml
        }
    }

    /// The text as JSON. Dates and times of TOML become texts: JSON has none.
    pub(super) fn parse(self, text: &str) -> Result<Value, Malformed> {
        match self {
            Self::Json => serde_json::from_str(text).map_err(|error| Malformed {
                message: error.to_string(),
                position: Some(Position { line: error.line(), column: error.column() }),
            }),
            Self::Toml => toml::from_str::<toml::Table>(text)
                .map(|table| json_of_table(&table))
                .map_err(|error| malformed_toml(text, &error)),
        }
    }

    /// Where in `text` the value at `pointer` stands; where there is none, its nearest
    /// parent that exists.
    pub(super) fn locate(self, text: &str, pointer: &str) -> Option<Position> {
        let path = parts(pointer);
        let offset = match self {
            Self::Json => locate_json(text, &path),
            Self::Toml => locate_toml(text, &path),
        }?;
        Some(position(text, offset))
    }
}

/// A TOML error as a message and a place, without the picture that toml draws.
pub(super) fn malformed_toml(text: &str, error: &toml::de::Error) -> Malformed {
    Malformed { message: message_of(error), position: error.span().map(|span| position(text, span.start)) }
}

/// A TOML error in one line. Where a name was misspelt, with the one that was probably meant.
pub(super) fn message_of(error: &toml::de::Error) -> String {
    with_hint(error.message().trim().replace('\n', ", "))
}

/// serde's words for an unknown name, and the name that was probably meant.
fn with_hint(message: String) -> String {
    match meant(&message) {
        Some(meant) => format!("{message}; {}", did_you_mean(meant)),
        None => message,
    }
}

/// Of serde's "unknown field `resaon`, expected one of `reason`, `detail`": the name that is nearest.
pub(super) fn meant(message: &str) -> Option<&str> {
    let (unknown, expected) = message.split_once(", expected ")?;
    let mut unknown = unknown.strip_prefix("unknown ")?.split('`').skip(1);
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    nearest(unknown.next()?, &known)
}

/// Where in a TOML text the value at `pointer` stands, in bytes: the key, where the value is a table; where there is
/// none, its nearest parent that exists.
pub(super) fn span(text: &str, pointer: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let path = parts(pointer);
    let mut table = Some(document.get_ref());
    let mut items: Option<&[Spanned<DeValue<'_>>]> = None;
    let mut span = None;
    for part in &path {
        let next = match (table, items) {
            (Some(table), _) => table.get_key_value(part.as_str()).map(|(key, value)| (Some(key.span()), value)),
            (None, Some(items)) => {
                part.parse::<usize>().ok().and_then(|index| items.get(index)).map(|value| (None, value))
            }
            (None, None) => None,
        };
        let Some((key, value)) = next else { break };
        table = value.get_ref().as_table();
        items = value.get_ref().as_array().map(|items| &**items);
        span = Some(if table.is_some() { key.unwrap_or_else(|| value.span()) } else { value.span() });
    }
    span
}

/// A JSON pointer's parts (RFC 6901 §4).
fn parts(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

/// The line and column of a byte offset.
pub(super) fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
    }
}

fn json_of_table(table: &toml::Table) -> Value {
    Value::Object(table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect::<Map<_, _>>())
}

/// One TOML value as JSON.
pub(super) fn json_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        // JSON has neither infinity nor NaN: null is then refused by whatever schema
        // asked for a number.
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::from(*truth),
        toml::Value::Datetime(datetime) => Value::from(datetime.to_string()),
        toml::Value::Array(items) => items.iter().map(json_of).collect(),
        toml::Value::Table(table) => json_of_table(table),
    }
}

fn locate_toml(text: &str, path: &[String]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let Some((first, rest)) = path.split_first() else { return Some(0) };
    // A key's own place is better than its value's: for a table under a header, the value
    // begins wherever its first line happens to be.
    let Some((key, value)) = document.get_ref().get_key_value(first.as_str()) else { return Some(0) };
    Some(walk_toml(key.span().start, value, rest))
}

fn walk_toml(here: usize, value: &Spanned<DeValue<'_>>, path: &[String]) -> usize {
    let Some((first, rest)) = path.split_first() else { return here };
    match value.get_ref() {
        DeValue::Table(table) => {
            table.get_key_value(first.as_str()).map_or(here, |(key, value)| walk_toml(key.span().start, value, rest))
        }
        DeValue::Array(items) => first
            .parse::<usize>()
            .ok()
            .and_then(|index| items.get(index))
            .map_or(here, |value| walk_toml(value.span().start, value, rest)),
        _ => here,
    }
}

/// Borrowed raw values are slices of `text`: their address tells their place.
fn locate_json(text: &str, path: &[String]) -> Option<usize> {
    let mut here: &RawValue = serde_json::from_str(text).ok()?;
    for part in path {
        let object: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(here.get()).ok();
        let inner = match object {
            Some(mut object) => object.remove(part),
            None => {
                let items: Vec<&RawValue> = serde_json::from_str(here.get()).unwrap_or_default();
                part.parse::<usize>().ok().and_then(|index| items.get(index).copied())
            }
        };
        let Some(inner) = inner else { break };
        here = inner;
    }
    (here.get().as_ptr() as usize).checked_sub(text.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "# rows\nallowed = \"a.com\"\n\n[[rows]]\ngroup = \"g\"\n\n[[rows]]\ngroup = \"h\"\nglob = \"[\"\n\n[deep]\n\"a/b\" = { c = 1 }\n";
    const JSON: &str = "{\n  \"rows\": [\n    {\"group\": \"g\"},\n    {\"group\": \"h\",\n     \"glob\": \"[\"}\n  ],\n  \"ünicode\": 1, \"x\": 2\n}\n";

    fn line(format: Format, text: &str, pointer: &str) -> usize {
        format.locate(text, pointer).unwrap().line
    }

    #[test]
    fn finds_the_line_of_a_pointer_in_toml() {
        assert_eq!(line(Format::Toml, TOML, "/allowed"), 2);
        assert_eq!(line(Format::Toml, TOML, "/rows/1/glob"), 9);
        assert_eq!(line(Format::Toml, TOML, "/deep/a~1b/c"), 12);
    }

    #[test]
    fn finds_the_line_of_a_pointer_in_json() {
        assert_eq!(Format::Json.locate(JSON, "/rows/1/glob"), Some(Position { line: 5, column: 14 }));
        assert_eq!(Format::Json.locate(JSON, "/x"), Some(Position { line: 7, column: 22 }));
    }

    #[test]
    fn points_at_the_nearest_parent_of_a_missing_key() {
        assert_eq!(line(Format::Toml, TOML, "/rows/1/missing"), 7);
        assert_eq!(line(Format::Toml, TOML, "/missing"), 1);
        assert_eq!(line(Format::Json, JSON, "/rows/0/missing"), 3);
    }

    #[test]
    fn finds_the_bytes_of_a_value_or_of_a_tables_key() {
        let at = |pointer: &str| TOML.get(span(TOML, pointer).unwrap()).unwrap();
        assert_eq!(at("/allowed"), "\"a.com\"");
        assert_eq!(at("/rows/1/glob"), "\"[\"");
        assert_eq!(at("/deep/a~1b"), "\"a/b\"");
        assert_eq!(at("/deep/a~1b/c/d"), "1");
        assert_eq!(span(TOML, "/none"), None);
    }

    #[test]
    fn says_where_a_text_is_malformed() {
        let toml = Format::Toml.parse("a = 1\nb = = 2\n").unwrap_err();
        assert_eq!(toml.position.unwrap().line, 2);
        let json = Format::Json.parse("{\"a\": 1,\n oops}").unwrap_err();
        assert_eq!(json.position.unwrap().line, 2);
    }

    #[test]
    fn says_which_name_was_probably_meant() {
        let known = "unknown field `resaon`, expected one of `detail`, `reason`, `verdict`";
        assert_eq!(meant(known), Some("reason"));
        assert_eq!(with_hint(known.to_owned()), format!("{known}; did you mean `reason`?"));
        let far = "unknown variant `nonsense`, expected `settings` or `case`";
        assert_eq!(with_hint(far.to_owned()), far);
        assert_eq!(meant("invalid type: string \"a\", expected `reason`"), None);
    }

    #[test]
    fn turns_every_kind_of_toml_value_into_json() {
        let value = Format::Toml
            .parse("t = \"x\"\ni = -1\nf = 0.5\nb = true\nd = 2026-01-02\na = [1, \"x\"]\n[s]\nk = 1\n")
            .unwrap();
        assert_eq!(
            value,
            serde_json::json!({"t": "x", "i": -1, "f": 0.5, "b": true, "d": "2026-01-02", "a": [1, "x"], "s": {"k": 1}})
        );
    }
}
