//! The record of every decision and session change: one JSON line each, hash-chained.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    config,
    decision::{Denial, Trace},
    identity::Identity,
};

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A request of a live session was decided by the `access` hook.
    #[serde(rename = "decision.access")]
    Access,
    /// A login was decided.
    #[default]
    #[serde(rename = "decision.login")]
    Login,
    /// The way to an upstream was decided.
    #[serde(rename = "decision.route")]
    Route,
    /// A new generation came into force.
    #[serde(rename = "generation.swapped")]
    GenerationSwapped,
    /// A new generation was refused; the old one stays.
    #[serde(rename = "generation.refused")]
    GenerationRefused,
    /// The gateway opened the log, and what it repaired.
    #[serde(rename = "audit.opened")]
    Opened,
    /// A session ended.
    #[serde(rename = "session.ended")]
    SessionEnded,
    /// A session began.
    #[serde(rename = "session.started")]
    SessionStarted,
}

/// One event, before redaction. The same fields for a yes and a no.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about.
    pub kind: Kind,
    /// Yes or no.
    pub granted: bool,
    /// The request's id, as on the error page and in the log.
    pub request: Option<String>,
    /// The login's id.
    pub login: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The application.
    pub application: Option<String>,
    /// The upstream.
    pub upstream: Option<String>,
    /// The user agent's address.
    pub address: Option<String>,
    /// The session's public id (never the cookie).
    pub session: Option<String>,
    /// Who, redacted by class of claim when written.
    pub identity: Option<Identity>,
    /// Further input of the decision, redacted when written.
    pub input: Option<serde_json::Value>,
    /// What came out of a yes (profile, groups, terms), redacted when written.
    pub outcome: Option<serde_json::Value>,
    /// Why not.
    pub denial: Option<Denial>,
    /// What the policies did.
    pub trace: Option<Trace>,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// The audit could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file could not be used.
    #[error("failed to use the audit log {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Turns personal data into pseudonyms.
pub type Pseudonym = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// An open audit log. One process appends; any may read.
pub struct Audit {}

impl Audit {
    /// Opens the log for appending; a last line that a crash cut off is taken out, kept
    /// beside the log, and an `audit.opened` event says so.
    ///
    /// # Errors
    ///
    /// Where the file cannot be used or the chain's end is broken.
    pub fn open(_config: &config::Audit, _clock: Arc<dyn Clock>, _pseudonym: Pseudonym) -> Result<Self, AuditError> {
        todo!()
    }

    /// Appends one event. A decision whose event cannot be written is denied by the
    /// caller.
    ///
    /// # Errors
    ///
    /// Where the line did not reach the file.
    pub fn record(&self, _event: &Event) -> Result<(), AuditError> {
        todo!()
    }
}

/// Checks a log's chain from its first line to its last.
///
/// # Errors
///
/// Where the file cannot be read.
pub fn verify(_path: &Path) -> Result<serde_json::Value, AuditError> {
    todo!()
}
