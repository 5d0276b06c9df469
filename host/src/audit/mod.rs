//! The record of every decision and session change: one JSON line each, hash-chained.
//!
//! A line is `{"seq":…,"at":…,"prev":…,` then the event's fields, then `,"hash":"…"}`. Each
//! line carries the hash of the line before it, and its own: sha-256 over its bytes without
//! the last member. `FILE.tip` names the last durable line, so that a log that was cut at
//! its end does not look whole. Whoever may write both files can make a new history; against
//! that, keep the tip that [`verify`] prints in another place.
//!
//! What is written about a person is decided in `redact.rs`, by class of claim.

mod chain;
mod file;
mod redact;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::{fmt, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

pub use verify::{Break, Expected, Fault, NotExpected, Report, Tip, verify};

use crate::{
    clock::Clock,
    config,
    decision::{Denial, Trace},
    identity::Identity,
};
use redact::Redactor;
use writer::Writer;

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A request of a live session was decided by the `access` hook.
    #[serde(rename = "decision.access")]
    Access,
    /// An upstream, or our own form, did not prove who is there.
    #[serde(rename = "authentication.refused")]
    AuthenticationRefused,
    /// A login was decided.
    #[default]
    #[serde(rename = "decision.login")]
    Login,
    /// The way to an upstream was decided.
    #[serde(rename = "decision.route")]
    Route,
    /// A canary failed too often: the application's chain decides for everybody.
    #[serde(rename = "canary.ended")]
    CanaryEnded,
    /// A relying party was registered.
    #[serde(rename = "client.registered")]
    ClientRegistered,
    /// A registered relying party was removed.
    #[serde(rename = "client.removed")]
    ClientRemoved,
    /// Somebody agreed that a relying party is told who they are.
    #[serde(rename = "consent.given")]
    ConsentGiven,
    /// Somebody did not agree to that.
    #[serde(rename = "consent.refused")]
    ConsentRefused,
    /// A second factor was set up.
    #[serde(rename = "factor.enrolled")]
    FactorEnrolled,
    /// A second factor was not proved.
    #[serde(rename = "factor.failed")]
    FactorFailed,
    /// A second factor was proved.
    #[serde(rename = "factor.passed")]
    FactorPassed,
    /// An authenticator app was added to a second factor.
    #[serde(rename = "factor.app-added")]
    FactorAppAdded,
    /// A passkey was added to a second factor.
    #[serde(rename = "factor.passkey-added")]
    FactorPasskeyAdded,
    /// A passkey was taken away from a second factor.
    #[serde(rename = "factor.passkey-removed")]
    FactorPasskeyRemoved,
    /// A recovery code was used up.
    #[serde(rename = "factor.recovery-code-used")]
    FactorRecoveryCodeUsed,
    /// Somebody made a new set of recovery codes for themself.
    #[serde(rename = "factor.recovery-codes-renewed")]
    FactorRecoveryCodesRenewed,
    /// Somebody took their own second factor away.
    #[serde(rename = "factor.removed")]
    FactorRemoved,
    /// An operator took somebody's second factor away.
    #[serde(rename = "factor.reset")]
    FactorReset,
    /// A new generation came into force.
    #[serde(rename = "generation.swapped")]
    GenerationSwapped,
    /// An older generation is in force again.
    #[serde(rename = "generation.rolled-back")]
    GenerationRolledBack,
    /// A new generation was refused; the old one stays.
    #[serde(rename = "generation.refused")]
    GenerationRefused,
    /// An application was told by way of the browser that a session is over; it may still answer.
    #[serde(rename = "logout.asked")]
    LogoutAsked,
    /// An application was told that a session is over, and took it.
    #[serde(rename = "logout.sent")]
    LogoutSent,
    /// An application could not be told; it is tried again.
    #[serde(rename = "logout.failed")]
    LogoutFailed,
    /// An application was not told, and will not be.
    #[serde(rename = "logout.given-up")]
    LogoutGivenUp,
    /// The gateway opened the log, and what it repaired.
    #[serde(rename = "audit.opened")]
    Opened,
    /// The pinned policy decided about somebody at the emergency door.
    #[serde(rename = "emergency.decision")]
    EmergencyDecision,
    /// Nobody was proved at the emergency door.
    #[serde(rename = "emergency.refused")]
    EmergencyRefused,
    /// A chain in shadow would have decided otherwise. Nothing came of it.
    #[serde(rename = "shadow.differs")]
    ShadowDiffers,
    /// A chain in shadow was not asked, since more logins came than it could follow.
    #[serde(rename = "shadow.missed")]
    ShadowMissed,
    /// A session ended.
    #[serde(rename = "session.ended")]
    SessionEnded,
    /// A session began.
    #[serde(rename = "session.started")]
    SessionStarted,
}

/// How much an event wants to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As every day.
    #[default]
    Normal,
    /// Somebody should look at once, at a yes as at a no.
    Alert,
}

impl Level {
    /// Is it what is not written?
    #[must_use]
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

/// One event, before redaction. The same fields for a yes and a no.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about.
    pub kind: Kind,
    /// How much it wants to be seen; left out where that is normal.
    #[serde(default, skip_serializing_if = "Level::is_normal")]
    pub level: Level,
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
    /// A line before the end does not fit the chain.
    #[error(
        "the audit log {path} is broken: {why}; `vestibule audit verify` says where. Move it and its .tip away to begin a new one"
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The event could not be turned into a line.
    #[error("failed to write the event as JSON: {0}")]
    Event(#[from] serde_json::Error),
    /// The file could not be used.
    #[error("failed to use the audit log {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process appends to the file.
    #[error("another process writes to the audit log {path}")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The line did not reach the file.
    #[error("failed to append to the audit log: {0}")]
    Write(Arc<std::io::Error>),
}

/// Turns personal data into pseudonyms.
pub type Pseudonym = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// An open audit log. One process appends; any may read.
pub struct Audit {
    writer: Writer,
    redactor: Redactor,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

impl Audit {
    /// Opens the log for appending; a last line that a crash cut off is taken out, kept
    /// beside the log as `FILE.torn-N`, and an `audit.opened` event says so.
    ///
    /// # Errors
    ///
    /// Where the file cannot be used or the chain's end is broken.
    pub fn open(config: &config::Audit, clock: Arc<dyn Clock>, pseudonym: Pseudonym) -> Result<Self, AuditError> {
        let opened = file::open(&config.file, config.sync)?;
        let writer = Writer::new(Box::new(opened.store), opened.end);
        let audit = Self { writer, redactor: Redactor::new(pseudonym, config.personal_data), clock };
        // The host's own words about its own file: nothing to redact.
        audit.append(&Event {
            kind: Kind::Opened,
            granted: opened.repair.is_clean(),
            input: Some(serde_json::to_value(&opened.repair)?),
            ..Event::default()
        })?;
        Ok(audit)
    }

    /// A log on a disk that is full as soon as somebody says so.
    #[cfg(test)]
    pub(crate) fn on_a_disk(full: Arc<std::sync::atomic::AtomicBool>, clock: Arc<dyn Clock>) -> Self {
        struct Disk(Arc<std::sync::atomic::AtomicBool>);
        impl writer::Store for Disk {
            fn append(&mut self, _: &[u8], _: &chain::End) -> std::io::Result<()> {
                let is_full = self.0.load(std::sync::atomic::Ordering::Relaxed);
                if is_full { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            }
            fn undo(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let writer = Writer::new(Box::new(Disk(full)), chain::End::genesis());
        Self { writer, redactor: Redactor::new(Arc::new(|_: &str| String::new()), false), clock }
    }

    /// Appends one event; returns when it is durable (with `sync`) or written (without).
    /// Blocks. Events of many threads share one wait for the disk. A decision whose event
    /// cannot be written is denied by the caller.
    ///
    /// # Errors
    ///
    /// Where the line did not reach the file.
    pub fn record(&self, event: &Event) -> Result<(), AuditError> {
        self.append(&self.redactor.event(event))
    }

    fn append(&self, event: &Event) -> Result<(), AuditError> {
        let members = chain::members(event)?;
        self.writer.append(self.clock.now_ms(), &members)
    }
}
