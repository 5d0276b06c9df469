//! What a policy says of itself, in the custom section `vestibule:manifest` (JSON) of its
//! component; `policy.toml` is the same in TOML.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    error::{ManifestError, SettingsProblem},
    locate,
};
use crate::decision::Hook;

/// The custom section's name.
pub const SECTION: &str = "vestibule:manifest";

/// Facts other than `header.NAME` that the host knows.
const FACTS: [&str; 5] = ["request.host", "request.path", "request.method", "request.target", "session.remembered"];

/// Headers that carry a credential, and so never reach a guest (invariant 3).
const CREDENTIAL_HEADERS: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
    "x-forwarded-access-token",
    "x-vestibule-assertion",
    "sec-websocket-protocol",
];

/// Claims that carry a credential, and so never reach a guest (invariant 3).
const CREDENTIAL_CLAIMS: [&str; 7] =
    ["access_token", "client_secret", "code", "code_verifier", "id_token", "password", "refresh_token"];

/// A name is at most this long.
const NAME_BYTES_MAX: usize = 64;

/// Groups that a policy may want to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// Those that the account has.
    Account,
    /// Those that the subject is granted in this login: at `provision`, `session`, `access`. What
    /// a policy at `groups` adds to is always given whole.
    Granted,
    /// Those that the upstream reported.
    Reported,
}

/// What a policy is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// JavaScript or TypeScript.
    Js,
    /// Python.
    Python,
    /// Rust.
    Rust,
}

/// What a policy is, what it reads, and what it may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// The policy's own name, in kebab-case.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// What it is written in, for whoever builds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// The hooks that it decides: exactly those that the component exports.
    pub hooks: BTreeSet<Hook>,
    /// The claims that it wants to see; `*` stands for any text.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Where in the settings the names of further claims stand that it wants to see: JSON
    /// pointers (RFC 6901) in which the part `*` stands for every element.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads_from_settings: Vec<String>,
    /// The groups that it wants to see; all, where the manifest does not say.
    #[serde(default = "all_groups")]
    pub reads_groups: BTreeSet<Groups>,
    /// The facts that it wants to see.
    #[serde(default)]
    pub facts: Vec<String>,
    /// Globs of the groups that it may grant; none may grant none.
    #[serde(default)]
    pub may_grant: Vec<String>,
    /// Where in the settings the names of further groups stand that it may grant, as in
    /// `reads-from-settings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_grant_from_settings: Vec<String>,
    /// Globs of the paths for which `access` is asked; `*` stops at a slash, `**` does not.
    #[serde(default)]
    pub access_paths: Vec<String>,
    /// Where in the settings further such paths stand, as in `reads-from-settings`. In them
    /// `*` stands for any text, and neither case nor `;parameters` count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_paths_from_settings: Vec<String>,
    /// JSON Schema of the settings.
    #[serde(default = "any_object")]
    pub settings_schema: Value,
    /// What settings hold where they say nothing.
    #[serde(default = "no_settings")]
    pub settings_default: Value,
    /// Instructions that suffice for one login, where that is less than the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
}

impl Manifest {
    /// Reads a manifest from JSON, as a component has it.
    ///
    /// # Errors
    ///
    /// Where it is malformed, or asks for what no policy may have.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let manifest: Self = serde_path_to_error::deserialize(&mut deserializer).map_err(syntax)?;
        deserializer.end().map_err(|error| ManifestError::Syntax {
            path: String::new(),
            message: error.to_string(),
            span: None,
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads a manifest from TOML, as `policy.toml` has it.
    ///
    /// # Errors
    ///
    /// As [`Manifest::from_json`].
    pub fn from_toml(text: &str) -> Result<Self, ManifestError> {
        let refuse = |path: String, error: &toml::de::Error| ManifestError::Syntax {
            path,
            message: locate::message_of(error),
            span: error.span(),
        };
        let deserializer = toml::Deserializer::parse(text).map_err(|error| refuse(String::new(), &error))?;
        let manifest: Self = serde_path_to_error::deserialize(deserializer)
            .map_err(|error| refuse(error.path().to_string(), error.inner()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The JSON that goes into the component.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The globs of the claims that the policy sees with `settings`: those of `reads`, and
    /// the names that the settings hold, each for itself alone.
    ///
    /// # Errors
    ///
    /// Where the settings name a credential.
    pub fn reads_with(&self, settings: &Value) -> Result<Vec<String>, Vec<SettingsProblem>> {
        let mut reads = self.reads.clone();
        let mut problems = Vec::new();
        for (pointer, name) in named(&self.reads_from_settings, settings) {
            if is_credential_claim(name) {
                problems.push(SettingsProblem {
                    pointer,
                    message: format!("`{name}` is a credential, and no policy sees one"),
                    expected: None,
                });
            } else {
                reads.push(globset::escape(name));
            }
        }
        if problems.is_empty() { Ok(reads) } else { Err(problems) }
    }

    /// The globs of the groups that the policy may grant with `settings`: those of
    /// `may-grant`, and the names that the settings hold, each for itself alone.
    #[must_use]
    pub fn may_grant_with(&self, settings: &Value) -> Vec<String> {
        let named = named(&self.may_grant_from_settings, settings).into_iter().map(|(_, name)| globset::escape(name));
        self.may_grant.iter().cloned().chain(named).collect()
    }

    /// The paths that the settings name beside `access-paths`.
    #[must_use]
    pub fn access_paths_with(&self, settings: &Value) -> Vec<String> {
        named(&self.access_paths_from_settings, settings).into_iter().map(|(_, path)| path.to_owned()).collect()
    }

    fn check(&self) -> Result<(), ManifestError> {
        let refuse = |key, message: String| Err(ManifestError::Value { key, message });
        let is_kebab = !self.name.is_empty()
            && self.name.len() <= NAME_BYTES_MAX
            && self.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_kebab {
            return refuse("name", format!("expected kebab-case of at most {NAME_BYTES_MAX} characters"));
        }
        if self.version.len() > NAME_BYTES_MAX {
            return refuse("version", format!("expected a version of at most {NAME_BYTES_MAX} characters"));
        }
        // Only of two such versions can it be told which one is lower (`policies.versions-file`).
        if let Err(error) = semver::Version::parse(&self.version) {
            let message = format!(
                "`{}` is no semantic version: {error}, expected one such as `0.1.0`",
                self.version.escape_debug()
            );
            return refuse("version", message);
        }
        if self.hooks.is_empty() {
            return refuse("hooks", "a policy decides at least one hook".to_owned());
        }
        for claim in &self.reads {
            if claim.is_empty() {
                return refuse("reads", "a claim's name is not empty".to_owned());
            }
            if is_credential_claim(claim) {
                return refuse("reads", format!("`{claim}` is a credential, and no policy sees one"));
            }
        }
        for fact in &self.facts {
            check_fact(fact)?;
        }
        let pointers = [
            ("reads-from-settings", &self.reads_from_settings),
            ("may-grant-from-settings", &self.may_grant_from_settings),
            ("access-paths-from-settings", &self.access_paths_from_settings),
        ];
        for (key, pointers) in pointers {
            if let Some(wrong) = pointers.iter().find(|pointer| !pointer.starts_with('/')) {
                return refuse(key, format!("`{wrong}` is no JSON pointer: it begins with `/`"));
            }
        }
        GrantPatterns::new(&self.may_grant)?;
        path_patterns(&self.access_paths)?;
        let names_paths = !(self.access_paths.is_empty() && self.access_paths_from_settings.is_empty());
        if self.hooks.contains(&Hook::Access) && !names_paths {
            return refuse("access-paths", "a policy with the hook `access` names the paths that it wants".to_owned());
        }
        if names_paths && !self.hooks.contains(&Hook::Access) {
            return refuse(
                "access-paths",
                "they are for the hook `access`, which this policy does not have".to_owned(),
            );
        }
        if !(self.settings_schema.is_object() || self.settings_schema.is_boolean()) {
            return refuse("settings-schema", "expected a JSON Schema".to_owned());
        }
        if !self.settings_default.is_object() {
            return refuse("settings-default", "expected an object".to_owned());
        }
        if self.fuel == Some(0) {
            return refuse("fuel", "with none, the policy could decide nothing".to_owned());
        }
        Ok(())
    }
}

/// Is `name` a claim that no guest sees, whatever its manifest reads?
pub(crate) fn is_credential_claim(name: &str) -> bool {
    CREDENTIAL_CLAIMS.iter().any(|credential| credential.eq_ignore_ascii_case(name))
}

/// Is `name` a fact that no guest sees, whatever its manifest names?
pub(crate) fn is_credential_fact(name: &str) -> bool {
    name.strip_prefix("header.").is_some_and(|header| {
        let header = header.replace('_', "-");
        CREDENTIAL_HEADERS.iter().any(|credential| credential.eq_ignore_ascii_case(&header))
    })
}

/// The globs of `may-grant`: `*` stands for any text, a slash too. Most are plain names or
/// the one `*`, which need no matching, and every grant of every login is held against them.
#[derive(Debug)]
pub(crate) struct GrantPatterns {
    any: bool,
    names: BTreeSet<String>,
    globs: GlobSet,
}

impl GrantPatterns {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, ManifestError> {
        let (names, patterns): (Vec<_>, Vec<_>) = patterns.iter().cloned().partition(|pattern| is_plain(pattern));
        Ok(Self {
            any: patterns.iter().any(|pattern| pattern == "*"),
            names: names.into_iter().collect(),
            globs: globs("may-grant", &patterns, false)?,
        })
    }

    /// Is there a pattern for `group`?
    pub(crate) fn cover(&self, group: &str) -> bool {
        self.any || self.names.contains(group) || self.globs.is_match(group)
    }
}

/// Does the glob stand for itself alone?
pub(crate) fn is_plain(pattern: &str) -> bool {
    !pattern.is_empty() && !pattern.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// The globs of `access-paths`: `*` stops at a slash, `**` does not.
pub(crate) fn path_patterns(patterns: &[String]) -> Result<GlobSet, ManifestError> {
    globs("access-paths", patterns, true)
}

/// The globs of `reads`.
pub(crate) fn claim_patterns(patterns: &[String]) -> Result<GlobSet, ManifestError> {
    globs("reads", patterns, false)
}

/// The texts in `settings` at `pointers`, each with its own pointer. Empty ones name nothing.
fn named<'s>(pointers: &[String], settings: &'s Value) -> Vec<(String, &'s str)> {
    let mut found = Vec::new();
    for pointer in pointers {
        let mut places = vec![(String::new(), settings)];
        for part in pointer.split('/').skip(1) {
            places = places.into_iter().flat_map(|(at, place)| step(&at, place, part)).collect();
        }
        found.extend(
            places.into_iter().filter_map(|(at, place)| Some((at, place.as_str().filter(|name| !name.is_empty())?))),
        );
    }
    found
}

/// What `part` of a pointer leads to from `place`.
fn step<'s>(at: &str, place: &'s Value, part: &str) -> Vec<(String, &'s Value)> {
    match (place, part) {
        (Value::Array(list), "*") => {
            list.iter().enumerate().map(|(index, next)| (format!("{at}/{index}"), next)).collect()
        }
        (Value::Object(table), "*") => table
            .iter()
            .map(|(key, next)| (format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), next))
            .collect(),
        _ => place.pointer(&format!("/{part}")).map(|next| (format!("{at}/{part}"), next)).into_iter().collect(),
    }
}

fn globs(key: &'static str, patterns: &[String], literal_separator: bool) -> Result<GlobSet, ManifestError> {
    let refuse = |error: globset::Error| ManifestError::Value { key, message: error.to_string() };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if pattern.is_empty() {
            return Err(ManifestError::Value { key, message: "a pattern is not empty".to_owned() });
        }
        let glob = GlobBuilder::new(pattern)
            .literal_separator(literal_separator)
            .backslash_escape(true)
            .build()
            .map_err(refuse)?;
        set.add(glob);
    }
    set.build().map_err(refuse)
}

fn check_fact(fact: &str) -> Result<(), ManifestError> {
    let refuse = |message: String| Err(ManifestError::Value { key: "facts", message });
    if FACTS.contains(&fact) {
        return Ok(());
    }
    let Some(header) = fact.strip_prefix("header.") else {
        return refuse(format!("`{fact}` is no fact; there are {} and header.NAME", FACTS.join(", ")));
    };
    if is_credential_fact(fact) {
        return refuse(format!("`{fact}` is a credential, and no policy sees one"));
    }
    // RFC 9110 §5.6.2 `token`, in lower case; without `_`, which servers fold into `-`.
    let is_name = !header.is_empty()
        && header.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_name { Ok(()) } else { refuse(format!("`{fact}`: a header's name is in lower case, with digits and `-`")) }
}

fn syntax(error: serde_path_to_error::Error<serde_json::Error>) -> ManifestError {
    ManifestError::Syntax { path: error.path().to_string(), message: error.inner().to_string(), span: None }
}

fn any_object() -> Value {
    serde_json::json!({ "type": "object" })
}

fn all_groups() -> BTreeSet<Groups> {
    [Groups::Account, Groups::Granted, Groups::Reported].into()
}

fn no_settings() -> Value {
    Value::Object(serde_json::Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Value)) -> Result<Manifest, ManifestError> {
        let mut manifest = serde_json::json!({ "name": "a-policy", "version": "0.1.0", "hooks": ["admit"] });
        change(&mut manifest);
        Manifest::from_json(manifest.to_string().as_bytes())
    }

    #[test]
    fn reads_the_same_manifest_from_json_and_toml() {
        let toml = "name = \"a\"\nversion = \"0.1.0\"\nhooks = [\"groups\", \"admit\"]\nmay-grant = [\"app-*\"]\n\
                    [settings-default]\nrows = []\n";
        let manifest = Manifest::from_toml(toml).unwrap();
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap(), manifest);
        assert_eq!(manifest.hooks, [Hook::Admit, Hook::Groups].into());
    }

    #[test]
    fn names_the_key_of_what_is_unknown_or_mistyped() {
        let error = with(|manifest| manifest["may_grant"] = serde_json::json!(["*"])).unwrap_err();
        assert!(error.to_string().contains("unknown field `may_grant`"), "{error}");
        let error = with(|manifest| manifest["hooks"] = serde_json::json!(["admit", "admin"])).unwrap_err();
        assert!(error.to_string().contains("hooks[1]"), "{error}");
        let error = with(|manifest| manifest["fuel"] = serde_json::json!("much")).unwrap_err();
        assert!(error.to_string().starts_with("`fuel`: "), "{error}");
    }

    #[test]
    fn refuses_credentials_in_every_spelling() {
        for fact in ["header.authorization", "header.cookie", "header.proxy-authorization", "header.Cookie"] {
            assert!(with(|manifest| manifest["facts"] = serde_json::json!([fact])).is_err(), "{fact}");
        }
        for fact in ["header.proxy_authorization", "header.", "header.a b", "cookie", "request.body"] {
            assert!(with(|manifest| manifest["facts"] = serde_json::json!([fact])).is_err(), "{fact}");
        }
        for claim in ["access_token", "ID_TOKEN", "refresh_token", "password", ""] {
            assert!(with(|manifest| manifest["reads"] = serde_json::json!([claim])).is_err(), "{claim}");
        }
        assert!(with(|manifest| manifest["facts"] = serde_json::json!(["header.accept-language"])).is_ok());
    }

    #[test]
    fn refuses_a_manifest_that_contradicts_itself() {
        assert!(with(|manifest| manifest["hooks"] = serde_json::json!([])).is_err());
        assert!(with(|manifest| manifest["hooks"] = serde_json::json!(["access"])).is_err());
        assert!(with(|manifest| manifest["access-paths"] = serde_json::json!(["/admin/**"])).is_err());
        assert!(with(|manifest| manifest["may-grant"] = serde_json::json!(["a["])).is_err());
        assert!(with(|manifest| manifest["settings-default"] = serde_json::json!([])).is_err());
        assert!(with(|manifest| manifest["name"] = serde_json::json!("../x")).is_err());
    }

    #[test]
    fn refuses_a_version_that_cannot_be_compared() {
        for version in ["", "1", "1.0", "v1.0.0", "01.0.0", "latest", "1.0.0\n"] {
            let error = with(|manifest| manifest["version"] = serde_json::json!(version)).unwrap_err().to_string();
            assert!(error.starts_with("`version`: ") && error.contains("expected one such as `0.1.0`"), "{error}");
        }
        for version in ["0.1.0", "1.2.3-rc.1+build.5"] {
            assert!(with(|manifest| manifest["version"] = serde_json::json!(version)).is_ok(), "{version}");
        }
    }

    #[test]
    fn sees_and_grants_what_the_settings_name_and_nothing_beside_it() {
        let manifest = with(|manifest| {
            manifest["reads"] = serde_json::json!(["tid"]);
            manifest["reads-from-settings"] = serde_json::json!(["/username-claim", "/attributes/*/claim", "/by/*"]);
            manifest["may-grant-from-settings"] = serde_json::json!(["/groups/*"]);
        })
        .unwrap();
        let settings = serde_json::json!({
            "username-claim": "cognito:*",
            "attributes": [{ "claim": "dept" }, { "claim": "" }, { "claim": 7 }, { "name": "x" }],
            "by": { "a/b": "c" },
            "groups": ["staff", "a*"],
        });
        let reads = manifest.reads_with(&settings).unwrap();
        let reads = claim_patterns(&reads).unwrap();
        for (claim, seen) in
            [("tid", true), ("cognito:*", true), ("dept", true), ("c", true), ("cognito:x", false), ("x", false)]
        {
            assert_eq!(reads.is_match(claim), seen, "{claim}");
        }
        let grants = GrantPatterns::new(&manifest.may_grant_with(&settings)).unwrap();
        for (group, covered) in [("staff", true), ("a*", true), ("admins", false), ("", false)] {
            assert_eq!(grants.cover(group), covered, "{group}");
        }
        assert!(with(|manifest| manifest["reads-from-settings"] = serde_json::json!(["claim"])).is_err());
    }

    #[test]
    fn sees_all_groups_unless_it_says_which() {
        let reads = |text: &str| Manifest::from_toml(text).map(|manifest| manifest.reads_groups);
        let of = |line: &str| reads(&format!("name = \"a\"\nversion = \"0.1.0\"\nhooks = [\"admit\"]\n{line}"));
        assert_eq!(of("").unwrap(), all_groups());
        assert_eq!(of("reads-groups = []").unwrap(), BTreeSet::new());
        assert_eq!(of("reads-groups = [\"reported\"]").unwrap(), [Groups::Reported].into());
        let error = of("reads-groups = [\"all\"]").unwrap_err().to_string();
        assert!(error.contains("reads-groups") && error.contains("`reported`"), "{error}");
    }

    #[test]
    fn refuses_settings_that_name_a_credential_and_says_where() {
        let manifest = with(|manifest| manifest["reads-from-settings"] = serde_json::json!(["/rows/*/claim"])).unwrap();
        let settings = serde_json::json!({ "rows": [{ "claim": "ok" }, { "claim": "Access_Token" }] });
        let problems = manifest.reads_with(&settings).unwrap_err();
        assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/rows/1/claim"]);
    }
}
