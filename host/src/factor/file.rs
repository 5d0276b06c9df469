//! The state file: who has a second factor. Mode 0600; replaced as a whole, so that a crash leaves
//! the old one or the new one. Secrets in it are sealed with the key ring.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{FactorError, Whose, passkeys::PasskeyEntry, recovery::RecoveryCodes};

/// Without passkeys; what a program that knows none can read.
const FORMAT: u32 = 1;
/// With passkeys.
const FORMAT_WITH_PASSKEYS: u32 = 2;
/// Resets that nobody recorded; the oldest go first.
const RESETS_MAX: usize = 1000;
const FILE_MODE: u32 = 0o600;

/// The stable name of a subject: issuer and subject. An address may pass to somebody else.
pub(super) type Name = (String, String);

/// One subject's factor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Entry {
    pub(super) issuer: String,
    pub(super) subject: String,
    /// When it was set up, in seconds since 1970-01-01 UTC, as is every time here.
    pub(super) enrolled: u64,
    /// When it was passed last.
    pub(super) passed: u64,
    /// The secret that an authenticator app shares, sealed for this subject; none where there are only
    /// passkeys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    /// The newest time step of which a code was taken: none up to it is taken again.
    pub(super) step: u64,
    /// Wrong codes since the last right one.
    pub(super) failures: u32,
    /// No code of the authenticator is looked at before that.
    pub(super) locked_until: u64,
    pub(super) recovery: RecoveryCodes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) passkeys: Vec<PasskeyEntry>,
}

impl Entry {
    /// A factor that is set up now, without any means to prove it but the recovery codes.
    pub(super) fn new(whose: Whose<'_>, now: u64, recovery: RecoveryCodes) -> Self {
        let (issuer, subject) = whose.name();
        Self {
            issuer,
            subject,
            enrolled: now,
            passed: now,
            secret: None,
            step: 0,
            failures: 0,
            locked_until: 0,
            recovery,
            passkeys: Vec::new(),
        }
    }

    pub(super) fn whose(&self) -> Whose<'_> {
        Whose { issuer: &self.issuer, subject: &self.subject }
    }
}

/// An operator took somebody's factor or passkey away, and the gateway has not yet recorded it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reset {
    /// The issuer.
    pub issuer: String,
    /// The subject there.
    pub subject: String,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// The passkey's name, where it was not the whole factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey: Option<String>,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) entries: BTreeMap<Name, Entry>,
    pub(super) resets: Vec<Reset>,
}

impl State {
    /// Remembers a reset until it is on record.
    pub(super) fn record(&mut self, reset: Reset) {
        self.resets.push(reset);
        let surplus = self.resets.len().saturating_sub(RESETS_MAX);
        self.resets.drain(..surplus);
    }

    fn format(&self) -> u32 {
        let is_old = |entry: &Entry| entry.passkeys.is_empty() && entry.secret.is_some();
        let is_old = self.entries.values().all(is_old) && self.resets.iter().all(|reset| reset.passkey.is_none());
        if is_old { FORMAT } else { FORMAT_WITH_PASSKEYS }
    }
}

/// The file as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    subjects: Vec<Entry>,
    #[serde(default)]
    resets: Vec<Reset>,
}

/// Tells one version of the file from another: each is a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64, u64, i64, i64);

/// Which version of the file is there now; none where there is no file.
pub(super) fn mark(path: &Path) -> Result<Option<Mark>, FactorError> {
    match fs::metadata(path) {
        Ok(known) => Ok(Some(Mark(known.ino(), known.size(), known.mtime(), known.mtime_nsec()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FactorError::File { path: path.to_owned(), source }),
    }
}

/// Reads and checks the file, not yet the secrets in it. Without one, nobody has a factor.
pub(super) fn read(path: &Path) -> Result<State, FactorError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(source) => return Err(FactorError::File { path: path.to_owned(), source }),
    };
    check_mode(path)?;
    let malformed = |detail: String| FactorError::Malformed { path: path.to_owned(), detail };
    let document: Document = serde_json::from_str(&text).map_err(|error| {
        // serde's own message may quote the value.
        malformed(format!("line {}, column {}: not what stands there", error.line(), error.column()))
    })?;
    if !matches!(document.format, FORMAT | FORMAT_WITH_PASSKEYS) {
        let detail = format!("its format is {}, and this program knows {FORMAT_WITH_PASSKEYS}", document.format);
        return Err(malformed(detail));
    }
    let mut state = State { entries: BTreeMap::new(), resets: document.resets };
    let mut ids = BTreeSet::new();
    for (index, entry) in document.subjects.into_iter().enumerate() {
        if !entry.recovery.is_sound() {
            return Err(malformed(format!("subjects[{index}].recovery: not what stands there")));
        }
        if entry.secret.is_none() && entry.passkeys.is_empty() {
            return Err(malformed(format!("subjects[{index}]: neither a secret nor a passkey")));
        }
        for passkey in &entry.passkeys {
            if !ids.insert(passkey.id.clone()) {
                return Err(malformed(format!("subjects[{index}].passkeys: one is there twice")));
            }
        }
        let name = (entry.issuer.clone(), entry.subject.clone());
        if state.entries.insert(name, entry).is_some() {
            return Err(malformed(format!("subjects[{index}]: the subject is there twice")));
        }
    }
    Ok(state)
}

/// Beside the file, then in its place: whoever reads finds the old one or the new one.
pub(super) fn write(path: &Path, state: &State) -> Result<(), FactorError> {
    let failed = |source| FactorError::File { path: path.to_owned(), source };
    let subjects = state.entries.values().cloned().collect();
    let document = Document { format: state.format(), subjects, resets: state.resets.clone() };
    let mut text = serde_json::to_vec_pretty(&document).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    let beside = with_end(path, ".new");
    // One that a crash left, with whatever mode it had, or a link that somebody put there.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&beside).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Keeps every other process from changing the file until it is dropped: the gateway and the
/// command line change it both.
pub(super) fn lock(path: &Path) -> Result<fs::File, FactorError> {
    let path = with_end(path, ".lock");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(FILE_MODE);
    let locked = options.open(&path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|source| FactorError::File { path, source })
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn check_mode(path: &Path) -> Result<(), FactorError> {
    let known = fs::metadata(path).map_err(|source| FactorError::File { path: path.to_owned(), source })?;
    let mode = known.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FactorError::Permissions { path: path.to_owned(), mode }) }
}
