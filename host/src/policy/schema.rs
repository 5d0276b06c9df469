//! What a settings schema may be. It comes from a component, and so is untrusted: a few lines
//! of references can stand for more work than there is time, or for a recursion without end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How deep a schema may be nested.
const DEPTH_MAX: usize = 64;

/// How many parts a schema may have, each reference counted as what it refers to.
const PARTS_MAX: u64 = 20_000;

/// Refuses a schema that refers to anything but a place in itself, that contains itself, or
/// that is larger than any settings need.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn hold(schema: &Value) -> Result<(), String> {
    let mut reader = Reader { root: schema, known: BTreeMap::new(), open: BTreeSet::new() };
    reader.parts(schema, 0).map(drop)
}

struct Reader<'a> {
    root: &'a Value,
    /// The parts of what was referred to before.
    known: BTreeMap<&'a str, u64>,
    /// References that are being followed.
    open: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    fn parts(&mut self, schema: &'a Value, depth: usize) -> Result<u64, String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX}"));
        }
        let mut parts = 1_u64;
        match schema {
            Value::Array(items) => {
                for item in items {
                    parts = parts.saturating_add(self.parts(item, depth + 1)?);
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    let more = match (key.as_str(), value) {
                        ("$ref", Value::String(to)) => self.referred(to, depth + 1)?,
                        ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                            return Err(format!("it has `{key}`: only `$ref` is followed"));
                        }
                        _ => self.parts(value, depth + 1)?,
                    };
                    parts = parts.saturating_add(more);
                }
            }
            _ => {}
        }
        if parts > PARTS_MAX {
            return Err(format!("with its references followed, it has more than {PARTS_MAX} parts"));
        }
        Ok(parts)
    }

    fn referred(&mut self, to: &'a str, depth: usize) -> Result<u64, String> {
        if let Some(parts) = self.known.get(to) {
            return Ok(*parts);
        }
        let pointer = to.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let Some(target) = pointer.and_then(|pointer| self.root.pointer(pointer)) else {
            return Err(format!("`$ref` = `{}` is no place in it, such as `#/$defs/Row`", to.escape_default()));
        };
        if !self.open.insert(to) {
            return Err(format!("`{}` contains itself", to.escape_default()));
        }
        let parts = self.parts(target, depth)?;
        self.open.remove(to);
        self.known.insert(to, parts);
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn takes_what_policies_derive() {
        let schema = json!({
            "type": "object",
            "properties": { "rows": { "type": "array", "items": { "$ref": "#/$defs/Row" } }, "one": { "$ref": "#/$defs/Row" } },
            "$defs": { "Row": { "properties": { "pattern": { "$ref": "#/$defs/Pattern" } } }, "Pattern": { "type": "string" } },
        });
        assert_eq!(hold(&schema), Ok(()));
    }

    #[test]
    fn refuses_what_refers_elsewhere_or_to_nothing() {
        for to in ["https://example.com/schema.json", "file:///etc/passwd", "other.json", "#anchor", "#/$defs/Missing"]
        {
            assert!(hold(&json!({ "$ref": to })).unwrap_err().contains("no place in it"), "{to}");
        }
        assert!(hold(&json!({ "$dynamicRef": "#meta" })).is_err());
    }

    #[test]
    fn refuses_what_contains_itself_by_any_way() {
        for schema in [
            json!({ "$ref": "#" }),
            json!({ "allOf": [{ "$ref": "#" }] }),
            json!({ "properties": { "a": { "$ref": "#" } } }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "not": { "$ref": "#/$defs/a" } } } }),
        ] {
            assert!(hold(&schema).unwrap_err().contains("contains itself"), "{schema}");
        }
    }

    #[test]
    fn refuses_a_diamond_that_stands_for_more_than_anybody_has_time_for() {
        let defs: serde_json::Map<String, Value> = (0..40)
            .map(|level| {
                let to = format!("#/$defs/l{}", level + 1);
                (format!("l{level}"), json!({ "allOf": [{ "$ref": to }, { "$ref": to }] }))
            })
            .chain([("l40".to_owned(), json!({ "type": "string" }))])
            .collect();
        assert!(hold(&json!({ "$ref": "#/$defs/l0", "$defs": defs })).is_err());
        // Wide rather than deep.
        let wide: Vec<Value> = (0..30_000).map(|_| json!({ "type": "string" })).collect();
        assert!(hold(&json!({ "anyOf": wide })).unwrap_err().contains("more than"));
    }

    #[test]
    fn refuses_what_is_nested_too_deep() {
        let deep = (0..100).fold(json!({}), |inner, _| json!({ "not": inner }));
        assert!(hold(&deep).unwrap_err().contains("nested deeper"));
        let chain: serde_json::Map<String, Value> = (0..200)
            .map(|level| (format!("l{level}"), json!({ "$ref": format!("#/$defs/l{}", level + 1) })))
            .chain([("l200".to_owned(), json!(true))])
            .collect();
        assert!(hold(&json!({ "$ref": "#/$defs/l0", "$defs": chain })).unwrap_err().contains("nested deeper"));
    }
}
