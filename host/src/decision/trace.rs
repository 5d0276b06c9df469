//! What happened in the sandbox, for the audit.

use serde::{Deserialize, Serialize};

use super::Hook;

/// A policy as a decision names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicyRef {
    /// The configured name.
    pub name: String,
    /// The version, from the manifest.
    pub version: String,
    /// sha-256 of the component, in lower-case hex.
    pub component: String,
    /// sha-256 of the settings as the guest got them, in lower-case hex.
    pub settings: String,
}

/// One policy's answer at one hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The configured name of the policy.
    pub policy: String,
    /// The hook.
    pub hook: Hook,
    /// The answer, as JSON; or the failure as `{"failed": CODE, "detail": …}`.
    pub answer: serde_json::Value,
    /// Instructions spent.
    pub fuel: u64,
    /// Wall time of the call, in microseconds.
    pub micros: u64,
    /// What the policy logged, as `level: message`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// Grants that the host took out (`groups` only), as `group: reason`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
}

/// Everything that a chain did for one decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The generation's number.
    pub generation: u64,
    /// The generation's digest: sha-256 over its policies, settings and configuration.
    pub generation_digest: String,
    /// The policies that took part, in the chain's order.
    pub policies: Vec<PolicyRef>,
    /// Their answers, in the order in which they were given.
    pub answers: Vec<Answer>,
}
