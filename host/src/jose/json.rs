//! JSON from outside, read strictly: an object that names a member twice is refused.
//!
//! RFC 7519 §4 and RFC 7515 §4 let a reader refuse such objects or take the last member.
//! Two readers that choose differently can be shown two different tokens under one
//! signature, so we refuse.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, error::Category};

/// Why a text is not the JSON that we accept. Tells where, never what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// An object names a member twice.
    #[error("an object has two members of the same name (line {line}, column {column})")]
    Duplicate {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// It is no JSON, or nested too deeply.
    #[error("not JSON (line {line}, column {column})")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// It is JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
}

/// Reads one JSON object, and nothing after it.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match value(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Reads one JSON value, and nothing after it.
pub fn value(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Strict.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // The visitor takes every type, so a data error can only be its own.
        if error.classify() == Category::Data {
            JsonError::Duplicate { line, column }
        } else {
            JsonError::Malformed { line, column }
        }
    })
}

/// Builds a [`Value`]; serde_json's own keeps the last of two members in silence.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(de::Error::custom("duplicate member"));
            }
            let value = members.next_value_seed(Self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_every_kind_of_value() {
        let text = br#"{"a":[1,-2,3.5,null,true,"x"],"b":{"c":18446744073709551615}}"#;
        let expected = json!({"a": [1, -2, 3.5, null, true, "x"], "b": {"c": u64::MAX}});
        assert_eq!(value(text), Ok(expected));
    }

    #[test]
    fn refuses_a_member_that_is_named_twice_at_any_depth() {
        for text in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"a":{"x":1,"x":1}}"#,
            r#"[{"x":1,"x":2}]"#,
            // The same name, written differently.
            r#"{"sub":"a","\u0073ub":"b"}"#,
        ] {
            assert!(matches!(value(text.as_bytes()), Err(JsonError::Duplicate { .. })), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_json_or_more_than_json() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "{} {}", "{}x", "nul", "<html>", "NaN", deep.as_str(), "\u{feff}{}"] {
            assert!(matches!(value(text.as_bytes()), Err(JsonError::Malformed { .. })), "{text:.20}");
        }
        assert_eq!(object(b"[]"), Err(JsonError::NotAnObject));
    }
}
