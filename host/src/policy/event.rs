//! What became of an attempt at a new generation, for the terminal and the audit.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::Serialize;

use super::tally::Failed;
use crate::decision::PolicyRef;

/// Why a new generation was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody asked for it: a signal, a command.
    Asked,
    /// A file changed.
    Change,
    /// A generation that had failed is tried again.
    CoolDown,
    /// The policies of the generation in force failed too often.
    Faults,
    /// An operator wants what the files say.
    Promote,
    /// An operator wants an older generation.
    Rollback,
    /// The gateway started.
    Start,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is in force.
    InForce,
    /// A canary failed too often and decides for nobody any more; the generation stays.
    CanaryEnded,
    /// It failed, and the one before it stays in force.
    Refused,
    /// One that was in force before is in force again.
    RolledBack,
    /// Nothing differs from the one in force.
    Unchanged,
}

/// One attempt at a new generation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GenerationEvent {
    /// Why it was attempted.
    pub cause: Cause,
    /// What became of it.
    pub outcome: Outcome,
    /// The number of the generation that is now in force.
    pub generation: u64,
    /// The digest of the generation that is now in force.
    pub digest: String,
    /// Its policies, by name.
    pub policies: Vec<PolicyRef>,
    /// Policies that were loaded for it, by name.
    pub loaded: Vec<String>,
    /// Policies that were taken over as they were, by name.
    pub reused: Vec<String>,
    /// Who signed the policies that are now in force, by the policies' names, where signatures are required.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub signers: BTreeMap<String, Vec<String>>,
    /// What is wrong: all of it where the attempt was refused, and at start-up what makes
    /// applications unavailable.
    pub problems: Vec<PolicyProblem>,
    /// Which generation was in force until now, where an older one is in force again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// Which canary is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryEnded>,
    /// Applications that now deny everybody, and why.
    pub unavailable: BTreeMap<String, String>,
    /// What the operator should know: changes that need a restart, warnings.
    pub notes: Vec<String>,
    /// From when the change was noticed to now.
    #[serde(rename = "took-ms", serialize_with = "milliseconds")]
    pub took: Duration,
}

/// The generation in the place of which an older one came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RolledBack {
    /// Its number.
    pub from: u64,
    /// Its digest.
    pub from_digest: String,
    /// How often it failed, where that was why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
}

/// A canary that failed too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CanaryEnded {
    /// Whose.
    pub application: String,
    /// How often it failed.
    pub failed: Failed,
}

/// One thing that is wrong with a policy or the configuration that names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyProblem {
    /// The configured name; none where the configuration itself is refused.
    pub policy: Option<String>,
    /// The file to look at.
    pub file: Option<PathBuf>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: Option<usize>,
    /// JSON pointer of the setting, or the case's name.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What the file says there, unless it is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for GenerationEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_millis();
        match self.outcome {
            Outcome::InForce => {
                write!(f, "generation {} is in force ({took} ms", self.generation)?;
                if !self.loaded.is_empty() {
                    write!(f, "; loaded {}", self.loaded.join(", "))?;
                }
                if !self.reused.is_empty() {
                    write!(f, "; kept {}", self.reused.join(", "))?;
                }
                f.write_str(")")?;
            }
            Outcome::Refused => {
                write!(f, "the change is refused, generation {} stays in force ({took} ms)", self.generation)?;
            }
            Outcome::CanaryEnded => match &self.canary {
                Some(CanaryEnded { application, failed }) => {
                    write!(
                        f,
                        "the canary of application {application} is over, its chain decides for everybody: {failed}"
                    )?;
                }
                None => f.write_str("a canary is over")?,
            },
            Outcome::RolledBack => {
                write!(f, "generation {} is in force again", self.generation)?;
                match &self.rolled_back {
                    Some(RolledBack { from, failed: Some(failed), .. }) => {
                        write!(f, " in the place of generation {from}: {failed}")?;
                    }
                    Some(RolledBack { from, failed: None, .. }) => write!(f, " in the place of generation {from}")?,
                    None => {}
                }
            }
            Outcome::Unchanged => write!(f, "nothing changed, generation {} stays in force", self.generation)?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        for (application, why) in &self.unavailable {
            write!(f, "\n  application {application} denies everybody: {why}")?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(policy) = &self.policy {
            write!(f, "policy {policy}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        let more = [("found", &self.found), ("expected", &self.expected), ("help", &self.hint)];
        for (what, text) in more.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?))) {
            write!(f, "\n    {what}: {text}")?;
        }
        Ok(())
    }
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1_000_000.0).round() / 1000.0)
}
