//! What happened in the sandbox, for the audit.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, value::RawValue};

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
    /// The answer; or the failure as `{"failed": CODE, "detail": …}`.
    pub answer: Recorded,
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
    pub generation_digest: Arc<str>,
    /// Did the canary's chain decide?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// The policies that took part, in the chain's order.
    pub policies: Arc<[PolicyRef]>,
    /// Their answers, in the order in which they were given.
    pub answers: Vec<Answer>,
}

/// An answer as JSON text, made once: a tree of it would cost a decision more than the
/// policy does, and only the record ever reads it.
#[derive(Clone)]
pub struct Recorded(Box<RawValue>);

impl Recorded {
    /// `answer` as JSON.
    #[must_use]
    pub fn of(answer: &impl Serialize) -> Self {
        // The answers' types have text keys and no errors of their own: this cannot fail.
        Self(serde_json::value::to_raw_value(answer).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// The answer as a tree.
    #[must_use]
    pub fn tree(&self) -> Value {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl Default for Recorded {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}

impl PartialEq for Recorded {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recorded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}
