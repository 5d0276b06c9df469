//! The settings as the operator writes them.

use vestibule_policy::{pattern::Pattern, prelude::*};

/// Which of the upstream's groups become which of the application's.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// `false` maps nothing and changes nothing.
    pub enabled: bool,
    /// Rows of the application's groups and the upstream's groups that lead to them.
    pub manual: Vec<Row>,
    /// Grant the upstream's groups under their own names.
    pub on_the_fly: bool,
    /// Of these, only the ones that a pattern fits. None: all of them.
    pub include: Vec<Pattern>,
    /// Groups that a login never changes: neither granted nor taken, whatever the upstream
    /// says. Compared without case and without blanks around them.
    pub exclude: Vec<String>,
    /// Keep the groups that an account has. `false` takes those that were not granted.
    pub keep_existing: bool,
    /// Create groups that the application does not know. `false` drops them.
    pub create_missing: bool,
    /// Leave the groups of existing accounts as they are; only new ones get theirs.
    pub disabled_for_existing: bool,
    /// Compare names without case.
    pub fold_case: bool,
    /// Take the groups out of this claim. Empty: those that the upstream is configured for.
    pub groups_claim: String,
    /// JSON pointer to the list within that claim, such as `/roles`. Empty: the claim itself.
    pub groups_pointer: String,
    /// Split a text into several groups at this text. Empty: a text is one group.
    pub groups_separator: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            manual: Vec::new(),
            on_the_fly: false,
            include: Vec::new(),
            exclude: Vec::new(),
            keep_existing: true,
            create_missing: false,
            disabled_for_existing: false,
            fold_case: false,
            groups_claim: String::new(),
            groups_pointer: String::new(),
            groups_separator: String::new(),
        }
    }
}

/// One row.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Row {
    /// The application's group.
    pub group: String,
    /// The upstream's groups, each of which leads to it.
    pub from: Vec<String>,
}
