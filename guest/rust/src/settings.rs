//! From JSON to a settings struct, with a JSON pointer to each problem.

use std::fmt::{Display, Write};

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::types::Problem;

/// Reads settings.
///
/// # Errors
///
/// The first misfit. The host has checked the JSON Schema before, and reported all misfits
/// at once; what arrives here is what a schema does not catch.
pub fn parse<S: DeserializeOwned>(json: &str) -> Result<S, Vec<Problem>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let settings = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| vec![Problem { path: pointer(error.path()), message: error.inner().to_string() }])?;
    deserializer.end().map_err(|error| vec![Problem::new("", error.to_string())])?;
    Ok(settings)
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                let _ = write!(pointer, "/{index}");
            }
            Segment::Map { key } => push(&mut pointer, key),
            // The variant's name is a key in the JSON.
            Segment::Enum { variant } => push(&mut pointer, variant),
            Segment::Unknown => {}
        }
    }
    pointer
}

fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// Collects what is wrong with settings, so that the operator sees everything at once.
///
/// ```
/// use vestibule_policy::{prelude::*, types::Problem};
///
/// fn ports(texts: &[&str]) -> Result<Vec<u16>, Vec<Problem>> {
///     let mut problems = Problems::new();
///     let ports = texts.iter().enumerate().filter_map(|(index, text)| {
///         problems.take(format!("/ports/{index}"), text.parse::<u16>())
///     });
///     let ports = ports.collect();
///     problems.into_result(ports)
/// }
/// assert_eq!(ports(&["80", "x", "99999"]).unwrap_err().len(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// No problem so far.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes a problem with the setting to which the JSON pointer `path` leads.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem::new(path, message));
    }

    /// The value, or none and a noted problem.
    pub fn take<T, E: Display>(&mut self, path: impl Into<String>, outcome: Result<T, E>) -> Option<T> {
        outcome.map_err(|error| self.add(path, error.to_string())).ok()
    }

    /// Notes what is wrong with a name that a decision will use: a group, a username, a value.
    /// The host's contracts deny a login for such a name; here the operator hears of it.
    pub fn check_name(&mut self, path: impl Into<String>, what: &str, name: &str) {
        if let Some(problem) = crate::names::problem(name) {
            self.add(path, format!("{what} {problem}"));
        }
    }

    /// Notes what is wrong with one of the `acr_values` (OIDC Core §3.1.2.1: separated by blanks).
    pub fn check_acr(&mut self, path: impl Into<String>, acr: &str) {
        let problem = crate::names::problem(acr).or_else(|| acr.contains(' ').then_some("has a blank"));
        if let Some(problem) = problem {
            self.add(path, format!("an acr value {problem}"));
        }
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value`, where there is no problem.
    ///
    /// # Errors
    ///
    /// All problems.
    pub fn into_result<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
    #[derive(Default)]
    struct Settings {
        rules: Vec<Rule>,
        seconds: u32,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    struct Rule {
        #[serde(rename = "a/b~c")]
        odd: u8,
    }

    #[test]
    fn names_the_place_of_a_misfit() {
        for (json, path) in [
            (r#"{"seconds":-1}"#, "/seconds"),
            (r#"{"seconds":4294967296}"#, "/seconds"),
            (r#"{"rules":[{"a/b~c":1},{"a/b~c":"x"}]}"#, "/rules/1/a~1b~0c"),
            (r#"{"rules":[{"a/b~c":1},{}]}"#, "/rules/1"),
            (r#"{"second":1}"#, "/second"),
            ("[]x", ""),
            ("", ""),
        ] {
            let problems = parse::<Settings>(json).expect_err(json);
            let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
            assert_eq!(paths, [path], "{json}: {problems:?}");
        }
    }

    #[test]
    fn refuses_what_follows_the_settings() {
        parse::<Settings>("{} {}").expect_err("two documents");
    }

    #[test]
    fn reads_an_empty_object_as_the_defaults() {
        let settings: Settings = parse("{}").expect("defaults");
        assert_eq!((settings.rules.len(), settings.seconds), (0, 0));
        assert_eq!(parse::<Settings>(r#"{"rules":[{"a/b~c":7}]}"#).expect("one rule").rules[0].odd, 7);
    }
}
