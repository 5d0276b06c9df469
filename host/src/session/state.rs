//! What of the sessions outlives the process: which were ended, who took part in which, what was granted from them.
//! A session lives in its cookie and goes on after a restart; so must its end.
//!
//! The memories are in memory, as ever. Each change of them is a sealed line of a file, which is read at the start
//! (`docs/adr/0010-what-outlives-a-restart.md`). Without a file nothing is kept.

mod file;
mod journal;
mod line;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::keys::{KeyError, KeyRing};
use journal::Journal;

/// Entries of one memory that are kept at most; those that expire first go first. No less than what the memories
/// themselves hold.
const ENTRIES_MAX: usize = 200_000;

/// Which memory an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memory {
    /// Assertions of relying parties that were used.
    Assertions,
    /// Sessions that were ended here.
    Ended,
    /// Sessions that an upstream ended, and proved it.
    EndedAtUpstream,
    /// Sessions that an upstream ended, as a browser said.
    EndedByBrowser,
    /// What was granted to relying parties.
    Grants,
    /// Logout tokens that were used.
    LogoutTokens,
    /// Who took part in a session.
    Participants,
    /// Logouts that go through a browser.
    Rounds,
}

/// The file could not be used. Nobody is let in then: who was logged out might be among them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It has fewer lines than it had.
    #[error(
        "{path} was cut: it has {found} lines, and had {expected} at least; restore it, or remove it and its tip to begin \
         with nothing: then who was logged out is let in by a copied cookie until that expires"
    )]
    Cut {
        /// The file.
        path: PathBuf,
        /// Lines that there are.
        found: u64,
        /// Lines that there were.
        expected: u64,
    },
    /// It could not be read or written.
    #[error("failed to use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its key is not in the ring.
    #[error(
        "{path}, line {line}, is sealed with a key that the key ring does not have; with another key ring no session is \
         good any more: remove the file and its tip to begin with nothing"
    )]
    ForeignKey {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
    },
    /// Another process writes to it.
    #[error("another process uses {path}; each gateway needs a `session.state-file` of its own")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Not as the gateway wrote it; never what stands there.
    #[error("{path}, line {line}, is not as the gateway wrote it: {detail}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        detail: &'static str,
    },
    /// The file or its tip is there, and the other one is not.
    #[error(
        "{missing} is missing beside {path}; restore it, or remove both to begin with nothing: then who was logged out is \
         let in by a copied cookie until that expires"
    )]
    Missing {
        /// The one that is there.
        path: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// It is another one than the one that was used last.
    #[error("{path} is not the file that was used last, but an older one or another gateway's; restore the right one")]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// Others may read or replace it.
    #[error("{path} has mode {mode:03o}, so that others may use it; `chmod 600` it")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// What it has.
        mode: u32,
    },
    /// An entry could not be sealed.
    #[error("failed to seal an entry of {path}")]
    Seal {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// More waits to be written than is kept waiting.
    #[error("{path} cannot be written, and no more is kept waiting for it")]
    TooMuch {
        /// The file.
        path: PathBuf,
    },
}

/// What the file holds: by memory and key, until when, and what.
type Entries = HashMap<(Memory, String), (u64, Value)>;

/// The same by memory, as each takes its own.
type Found = BTreeMap<Memory, Vec<(String, u64, Value)>>;

/// Keeps what must outlive the process; by default nothing.
#[derive(Debug, Default)]
pub struct State {
    journal: Option<Journal>,
    /// What was there at the start, until each memory took its own.
    found: Mutex<Found>,
}

impl State {
    /// Reads `path` and writes it anew, without what has expired. Blocks.
    ///
    /// # Errors
    ///
    /// [`StateError`]: where it is not as it was left. What a crash left of the last line is taken out, and told.
    pub fn open(path: &Path, keys: Arc<KeyRing>, now: u64) -> Result<Self, StateError> {
        let (journal, entries) = Journal::open(path, keys, now)?;
        let mut found = Found::new();
        for ((memory, key), (until, value)) in entries {
            found.entry(memory).or_default().push((key, until, value));
        }
        Ok(Self { journal: Some(journal), found: Mutex::new(found) })
    }

    /// Does anything outlive the process?
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.journal.is_some()
    }

    /// Keeps `value` until `until`, in place of what was kept of `key`. Two changes of one key come in the order in
    /// which they are to count: call it while nobody else can change that key. A failure is in the log, and told by
    /// [`State::sync`].
    pub fn put(&self, memory: Memory, key: &str, value: &impl Serialize, until: u64, now: u64) {
        let Some(journal) = &self.journal else { return };
        let value = match serde_json::to_value(value) {
            Ok(value) => value,
            Err(error) => return tracing::error!(%error, "an entry of the sessions' state has no text"),
        };
        journal.append(&line::Entry { memory, key: key.to_owned(), until, value }, now);
    }

    /// Forgets what was kept of `key`; as [`State::put`].
    pub fn forget(&self, memory: Memory, key: &str, now: u64) {
        self.put(memory, key, &(), 0, now);
    }

    /// Gives out what was there of `memory` at the start, once: key, until when, and what.
    ///
    /// # Errors
    ///
    /// [`StateError::Malformed`] where it is not what this version keeps.
    pub fn take<T: DeserializeOwned>(&self, memory: Memory) -> Result<Vec<(String, u64, T)>, StateError> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(&memory).unwrap_or_default();
        let read = |(key, until, value)| {
            let value = serde_json::from_value(value).map_err(|_| StateError::Malformed {
                path: self.journal.as_ref().map(|journal| journal.path().to_owned()).unwrap_or_default(),
                line: 1,
                detail: "an entry is not what this version of the gateway keeps",
            })?;
            Ok((key, until, value))
        };
        found.into_iter().map(read).collect()
    }

    /// Waits until all that was put so far is on the disk. Blocks.
    ///
    /// # Errors
    ///
    /// Where it is not: a restart would forget it. Later calls try again.
    pub fn sync(&self) -> Result<(), StateError> {
        self.journal.as_ref().map_or(Ok(()), Journal::sync)
    }

    /// Notes how long the file is, so that the next start sees whether it was cut. Blocks.
    pub fn close(&self) {
        if let Some(journal) = &self.journal
            && let Err(error) = journal.close()
        {
            tracing::error!(%error, "the sessions' state is not whole on the disk");
        }
    }
}
