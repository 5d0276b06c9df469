//! The JSON form of the hooks, for interpreters: a question as one text, an answer as one
//! text, both of the shapes that `wit/policy.schema.json` gives the contract's types.
//!
//! What comes back is a stranger's: no key twice, nothing nested deep, no key or case that the
//! contract does not have. What does not fit is told by its place and kind; what the answer
//! held there is not repeated, since it may be about a person.

mod answer;
mod parameter;
mod strict;

use std::{collections::BTreeMap, sync::LazyLock};

use jsonschema::Validator;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

pub(crate) use answer::Answer;
pub(crate) use parameter::Parameter;

use super::bindings::vestibule::policy::types;
use crate::decision::Hook;

/// The contract's types in JSON.
const SCHEMA: &str = include_str!("../../../wit/policy.schema.json");

/// A name that an answer made up is cut to so many characters.
const NAME_CHARS_MAX: usize = 100;

/// An answer that is none of the contract's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AnswerError {
    /// Not JSON, or JSON that two readers could read differently.
    #[error("the answer is not JSON that can be taken: {0}")]
    Syntax(String),
    /// JSON of another shape.
    #[error("the answer does not fit `{hook}.answer` of the contract's schema, at `{pointer}`: {message}")]
    Shape {
        /// The hook that was asked.
        hook: Hook,
        /// JSON pointer to what does not fit; empty for all of it.
        pointer: String,
        /// What is wrong there.
        message: String,
    },
}

/// The question of one hook: its function's parameters, by name.
pub(crate) fn question(parameters: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    let named = parameters.into_iter().map(|(name, value)| (name.replace('_', "-"), value));
    Value::Object(named.collect::<Map<_, _>>()).to_string()
}

/// Reads the answer of `hook`.
///
/// # Errors
///
/// What does not fit, and where.
pub(crate) fn read<T: Answer>(hook: Hook, text: &str) -> Result<Result<T, types::Fault>, AnswerError> {
    let value = strict::parse(text).map_err(AnswerError::Syntax)?;
    let shape = |pointer: String, message: String| AnswerError::Shape { hook, pointer, message };
    // Our own types first, since they tell better what is wrong; then the schema, since it is
    // what authors were promised. A test holds that neither takes what the other refuses.
    let outcome = typed::<answer::Outcome<T::Wire>>(&value).map_err(|(pointer, message)| shape(pointer, message))?;
    let validators = VALIDATORS.as_ref().map_err(|message| shape(String::new(), message.clone()))?;
    let validator = validators.get(hook.name()).ok_or_else(|| shape(String::new(), "no schema".to_owned()))?;
    validator
        .validate(&value)
        .map_err(|error| shape(error.instance_path().to_string(), error.masked_with("it").to_string()))?;
    Ok(match outcome {
        answer::Outcome::Ok(answer) => Ok(T::of(answer)),
        answer::Outcome::Err(fault) => Err(fault.into()),
    })
}

/// `value` as `T`; else where it is not, and why.
fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = pointer(error.path());
        let found = value.pointer(&pointer).unwrap_or(value);
        let message = without_values(&error.inner().to_string(), found);
        (pointer, message)
    })
}

/// An RFC 6901 pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                let name: String = legible(name);
                pointer.push_str(&format!("/{}", name.replace('~', "~0").replace('/', "~1")));
            }
            Segment::Unknown => break,
        }
    }
    pointer
}

/// serde's message, without the value that it is about.
fn without_values(message: &str, found: &Value) -> String {
    let is_about_a_value = message.starts_with("invalid type") || message.starts_with("invalid value");
    match message.rsplit_once(", expected ").filter(|_| is_about_a_value) {
        Some((_, expected)) => format!("expected {expected}, found {}", kind(found)),
        None => legible(message),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn legible(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}").chars().take(NAME_CHARS_MAX).collect()
}

/// Each hook's answers.
static VALIDATORS: LazyLock<Result<BTreeMap<&str, Validator>, String>> = LazyLock::new(|| {
    let all = Hook::ALL.into_iter();
    all.map(|hook| Ok((hook.name(), validator(&format!("{}.answer", hook.name()))?))).collect()
});

fn validator(definition: &str) -> Result<Validator, String> {
    let mut schema: Value = serde_json::from_str(SCHEMA).map_err(|error| error.to_string())?;
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$ref".to_owned(), format!("#/$defs/{definition}").into());
    }
    jsonschema::options().should_validate_formats(false).build(&schema).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
