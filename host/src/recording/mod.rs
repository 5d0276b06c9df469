//! The recording: what the policies were asked in each login, so that they can be asked again.
//!
//! The audit says what was decided, and little of whom; this has all that a decision hangs on, and is therefore
//! sealed with the key ring. A line is `SEQ KIND SEALED`, where SEALED opens only in its place: what it is
//! sealed for names the file, the number, the kind and the hash of the line before it. `FILE.tip` names the last
//! line, sealed too; the first line of the next file names the last of this one. So a line that was changed, cut,
//! put in, moved or forged does not open, and [`Reader`] says where.
//!
//! Nothing here can slow or fail a login: what a full queue does not take is counted, and the count recorded.

mod entry;
mod line;
mod log;
mod read;
mod recorder;
mod redact;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use entry::{Dropped, Entry, Opened, Previous};
pub use line::Kind;
pub use log::{Log, Noted};
pub use read::{Batch, Damage, Fault, KnownGroups, Line, Range, Reader, Summary};
pub use recorder::Recorder;

use crate::keys::KeyError;

/// The recording could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// An entry could not be turned into a line.
    #[error("failed to write an entry of the recording as JSON: {0}")]
    Entry(#[from] serde_json::Error),
    /// A file or the folder could not be used.
    #[error("failed to use {path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process writes there.
    #[error("another process writes the recording in {directory}")]
    Locked {
        /// The folder.
        directory: PathBuf,
    },
    /// A line could not be sealed.
    #[error("failed to seal a line of the recording: {0}")]
    Seal(#[from] KeyError),
    /// The thread that writes could not be started.
    #[error("failed to start the recording's thread: {0}")]
    Thread(#[source] std::io::Error),
}
