//! A policy's settings: what the operator wrote over the manifest's defaults, checked
//! against the manifest's JSON Schema.

use jsonschema::{
    PatternOptions, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

use super::{
    cache::sha256,
    error::{LoadError, ManifestError, SettingsProblem},
    manifest::Manifest,
    schema,
};
use crate::config::{did_you_mean, nearest};

/// At most so many problems are told at once.
const PROBLEMS_MAX: usize = 100;

/// A regular expression of a schema may compile to at most so many bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// How the message about an unknown key begins.
pub(super) const NO_SUCH: &str = "no such setting";

/// Settings as the guest gets them.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// JSON with sorted keys, so that equal settings have one text and one digest.
    pub(crate) json: String,
    /// sha-256 of that text, in lower-case hex.
    pub(crate) digest: String,
    /// Globs of the claims that the policy sees with them.
    pub(crate) reads: Vec<String>,
    /// Globs of the groups that it may grant with them.
    pub(crate) may_grant: Vec<String>,
    /// Paths that they name, for which `access` is asked.
    pub(crate) access_paths: Vec<String>,
}

impl Settings {
    /// `written` over the defaults of `manifest`: a top-level key that it leaves out takes
    /// the default.
    pub(crate) fn new(manifest: &Manifest, written: &Value, bytes_max: usize) -> Result<Self, LoadError> {
        let mut settings = merge(&manifest.settings_default, written)?;
        settings.sort_all_objects();
        let json = settings.to_string();
        if json.len() > bytes_max {
            return Err(LoadError::SettingsTooLarge { bytes: json.len(), max: bytes_max });
        }
        let problems: Vec<SettingsProblem> = validator(&manifest.settings_schema)?
            .iter_errors(&settings)
            .flat_map(|error| problems_of(&error, &manifest.settings_schema))
            .take(PROBLEMS_MAX)
            .collect();
        if !problems.is_empty() {
            return Err(LoadError::Settings(problems));
        }
        let reads = manifest.reads_with(&settings).map_err(LoadError::Settings)?;
        Ok(Self {
            digest: sha256(json.as_bytes()),
            json,
            reads,
            may_grant: manifest.may_grant_with(&settings),
            access_paths: manifest.access_paths_with(&settings),
        })
    }
}

/// What is left of `written` without the settings that `problems` are about: so that the policy can
/// be asked what it thinks of the others.
pub(crate) fn without(written: &Value, problems: &[SettingsProblem]) -> Value {
    let mut rest = written.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.retain(|key, _| !problems.iter().any(|problem| problem.setting() == Some(key.as_str())));
    }
    rest
}

/// What the manifest's defaults have against its own schema. What they leave to the operator is no problem: a key
/// that is required, and has no default.
///
/// # Errors
///
/// Where the schema is none that can be used.
pub(crate) fn of_defaults(manifest: &Manifest) -> Result<Vec<SettingsProblem>, LoadError> {
    let problems = validator(&manifest.settings_schema)?
        .iter_errors(&manifest.settings_default)
        .flat_map(|error| problems_of(&error, &manifest.settings_schema))
        .filter(|problem| !problem.pointer.is_empty())
        .take(PROBLEMS_MAX)
        .collect();
    Ok(problems)
}

/// An unknown key is a problem of that key, not of the object that it stands in.
fn problems_of(error: &ValidationError<'_>, schema: &Value) -> Vec<SettingsProblem> {
    let pointer = error.instance_path().to_string();
    let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() else {
        return vec![SettingsProblem { pointer, message: error.to_string(), expected: expected(error.kind()) }];
    };
    let beside = error.schema_path().to_string();
    let known = beside.rsplit_once('/').and_then(|(parent, _)| schema.pointer(&format!("{parent}/properties")));
    let known: Vec<&str> =
        known.and_then(Value::as_object).map(|known| known.keys().map(String::as_str).collect()).unwrap_or_default();
    unexpected
        .iter()
        .map(|key| SettingsProblem {
            pointer: format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
            message: match known.as_slice() {
                [] => NO_SUCH.to_owned(),
                known => {
                    let hint = nearest(key, known).map(|meant| format!("; {}", did_you_mean(meant)));
                    format!("{NO_SUCH}; expected one of {}{}", known.join(", "), hint.unwrap_or_default())
                }
            },
            expected: None,
        })
        .collect()
}

/// What the schema asks for, where that is a matter of few words.
fn expected(kind: &ValidationErrorKind) -> Option<String> {
    Some(match kind {
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => format!("a value of the type {kind}"),
        ValidationErrorKind::Type { kind: TypeKind::Multiple(kinds) } => {
            format!("one of the types {}", kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(", "))
        }
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
            format!("one of {}", options.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
        }
        ValidationErrorKind::Pattern { pattern } => format!("a text that fits {pattern}"),
        ValidationErrorKind::Minimum { limit } => format!("at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("at most {limit}"),
        ValidationErrorKind::Required { property } => format!("the key {property}"),
        _ => return None,
    })
}

fn merge(defaults: &Value, written: &Value) -> Result<Value, LoadError> {
    let (Value::Object(defaults), Value::Object(written)) = (defaults, written) else {
        let message = "expected an object".to_owned();
        return Err(LoadError::Settings(vec![SettingsProblem { pointer: String::new(), message, expected: None }]));
    };
    let mut settings = defaults.clone();
    settings.extend(written.clone());
    Ok(Value::Object(settings))
}

/// The schema comes from the component, and so is untrusted: patterns run in linear time,
/// and a reference out of the schema leads nowhere, since no resolver is compiled in.
fn validator(schema: &Value) -> Result<Validator, LoadError> {
    schema::hold(schema).map_err(|message| ManifestError::Value { key: "settings-schema", message })?;
    jsonschema::options()
        .should_validate_formats(false)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
        .build(schema)
        .map_err(|error| {
            let message = format!("it is no JSON Schema that can be used: {error}");
            ManifestError::Value { key: "settings-schema", message }.into()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let manifest = serde_json::json!({
            "name": "a", "version": "0.1.0", "hooks": ["admit"],
            "settings-schema": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "domains": { "type": "array", "items": { "type": "string", "pattern": "^[a-z.]+$" } },
                    "verified": { "type": "boolean" },
                },
                "required": ["domains"],
            },
            "settings-default": { "verified": true },
        });
        Manifest::from_json(manifest.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn takes_the_default_for_what_is_left_out() {
        let settings = Settings::new(&manifest(), &serde_json::json!({ "domains": ["a.example"] }), 1000).unwrap();
        assert_eq!(settings.json, r#"{"domains":["a.example"],"verified":true}"#);
    }

    #[test]
    fn equal_settings_have_one_digest_whatever_their_order() {
        let one = serde_json::from_str(r#"{"verified":false,"domains":[]}"#).unwrap();
        let other = serde_json::from_str(r#"{"domains":[],"verified":false}"#).unwrap();
        let digest = |settings| Settings::new(&manifest(), settings, 1000).unwrap().digest;
        assert_eq!(digest(&one), digest(&other));
    }

    #[test]
    fn tells_every_problem_at_once_with_its_pointer() {
        let written = serde_json::json!({ "domains": ["a.example", 7, "A!"], "verified": "yes", "more": 1 });
        let Err(LoadError::Settings(mut problems)) = Settings::new(&manifest(), &written, 1000) else {
            panic!("not refused");
        };
        problems.sort_by(|one, other| one.pointer.cmp(&other.pointer));
        let pointers: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, ["/domains/1", "/domains/2", "/more", "/verified"]);
        assert_eq!(problems[2].message, "no such setting; expected one of domains, verified");
    }

    #[test]
    fn refuses_settings_that_are_no_object_or_too_large() {
        assert!(matches!(Settings::new(&manifest(), &Value::Null, 1000), Err(LoadError::Settings(_))));
        let large = serde_json::json!({ "domains": ["a".repeat(2000)] });
        assert!(matches!(Settings::new(&manifest(), &large, 1000), Err(LoadError::SettingsTooLarge { .. })));
    }

    #[test]
    fn refuses_a_schema_that_reaches_out_or_takes_its_time() {
        let with = |schema| Settings::new(&Manifest { settings_schema: schema, ..manifest() }, &no(), 1000);
        let no_schema = |result| matches!(result, Err(LoadError::Manifest(ManifestError::Value { .. })));
        assert!(no_schema(with(serde_json::json!({ "$ref": "https://127.0.0.1:1/schema.json" }))));
        assert!(no_schema(with(serde_json::json!({ "$ref": "file:///etc/passwd" }))));
        assert!(no_schema(with(serde_json::json!({ "$ref": "#" }))));
        assert!(no_schema(with(serde_json::json!({ "type": "objekt" }))));
        assert!(no_schema(with(serde_json::json!({ "properties": { "a": { "pattern": "(?=a)" } } }))));
    }

    fn no() -> Value {
        serde_json::json!({ "domains": [] })
    }
}
