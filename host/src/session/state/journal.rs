//! The file: read at the start, appended to, and written anew when most of its lines count no more.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    ENTRIES_MAX, Entries, Memory, StateError, file,
    line::{self, Entry, Fault, Tip},
};
use crate::{
    keys::{KeyError, KeyRing},
    secret::random_token,
};

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// What may wait for a disk that takes nothing, in bytes; what is past that is lost with the process.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// The file is written anew when it has twice as many lines as it began with, and so many more.
const SLACK_LINES: u64 = 20_000;

/// The journal of one process.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    keys: Arc<KeyRing>,
    inner: Mutex<Inner>,
    /// How much is on the disk. One waits for it at a time, for all who came meanwhile.
    synced: Mutex<u64>,
    /// Held for as long as the process lives.
    _lock: File,
}

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    epoch: String,
    /// The last line's number.
    number: u64,
    /// The number at which the file is written anew.
    due: u64,
    /// Where the next line goes.
    length: u64,
    /// Lines that could not be written yet.
    waiting: Vec<u8>,
    /// All lines that were ever appended, in all files.
    appended: u64,
    /// Something was lost, since more waited than may.
    lost: bool,
}

/// What was read.
struct Found {
    epoch: String,
    lines: u64,
    entries: Entries,
    /// Bytes that a crash left of a line.
    torn: u64,
}

impl Journal {
    pub(super) fn open(path: &Path, keys: Arc<KeyRing>, now: u64) -> Result<(Self, Entries), StateError> {
        let lock = file::lock(path)?;
        let (found, tip) = (read(path, &keys)?, read_tip(path, &keys)?);
        let before = agree(path, found.as_ref(), tip)?;
        let mut entries = Entries::new();
        if let Some(found) = found {
            if found.torn > 0 {
                let torn_bytes = found.torn;
                tracing::warn!(torn_bytes, "the end of the sessions' state was torn by a crash, and is taken out");
            }
            entries = bounded(found.entries, now);
        }
        let inner = Inner::write(path, &keys, before, &entries)?;
        let (inner, synced) = (Mutex::new(inner), Mutex::new(0));
        Ok((Self { path: path.to_owned(), keys, inner, synced, _lock: lock }, entries))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line. What cannot be written waits for the next one, or for [`Journal::sync`].
    pub(super) fn append(&self, entry: &Entry, now: u64) {
        let mut inner = self.lock();
        if let Err(error) = self.try_append(&mut inner, entry) {
            tracing::error!(%error, "the sessions' state is not written: a restart now would forget it");
        }
        if inner.number >= inner.due
            && inner.waiting.is_empty()
            && let Err(error) = self.shorten(&mut inner, now)
        {
            tracing::error!(%error, "the sessions' state could not be written anew");
            inner.due = inner.number.saturating_add(SLACK_LINES);
        }
    }

    pub(super) fn sync(&self) -> Result<(), StateError> {
        let wanted = self.lock().appended;
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= wanted {
            return Ok(());
        }
        let (file, appended) = {
            let mut inner = self.lock();
            inner.flush(&self.path)?;
            if inner.lost {
                return Err(StateError::TooMuch { path: self.path.clone() });
            }
            (Arc::clone(&inner.file), inner.appended)
        };
        // Not while others wait to append.
        file.sync_data().map_err(file::failed(&self.path))?;
        *synced = appended;
        Ok(())
    }

    pub(super) fn close(&self) -> Result<(), StateError> {
        self.sync()?;
        let inner = self.lock();
        let tip = Tip { epoch: inner.epoch.clone(), lines: inner.number, next: None };
        write_tip(&self.path, &self.keys, &tip)
    }

    fn try_append(&self, inner: &mut Inner, entry: &Entry) -> Result<(), StateError> {
        if inner.waiting.len() >= WAITING_BYTES_MAX {
            inner.lost = true;
            inner.appended = inner.appended.saturating_add(1);
            return Err(StateError::TooMuch { path: self.path.clone() });
        }
        let number = inner.number.saturating_add(1);
        let sealed = line::entry(&self.keys, &inner.epoch, number, entry).map_err(sealing(&self.path))?;
        inner.waiting.extend_from_slice(&sealed);
        inner.number = number;
        inner.appended = inner.appended.saturating_add(1);
        inner.flush(&self.path)
    }

    /// Writes the file anew, without what counts no more. Nobody appends meanwhile.
    fn shorten(&self, inner: &mut Inner, now: u64) -> Result<(), StateError> {
        let Some(found) = read(&self.path, &self.keys)? else {
            return Err(StateError::Missing { path: self.path.clone(), missing: self.path.clone() });
        };
        if (found.epoch.as_str(), found.lines) != (inner.epoch.as_str(), inner.number) {
            return Err(StateError::Older { path: self.path.clone() });
        }
        let before = Tip { epoch: found.epoch, lines: found.lines, next: None };
        let new = Inner::write(&self.path, &self.keys, Some(before), &bounded(found.entries, now))?;
        *inner = Inner { appended: inner.appended, lost: inner.lost, ..new };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole after every statement: a poisoned lock is as good as another.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Writes a new file, and the tips before and after it, so that a crash at any time leaves a file that its tip
    /// knows.
    fn write(path: &Path, keys: &KeyRing, before: Option<Tip>, entries: &Entries) -> Result<Self, StateError> {
        let epoch = random_token().map_err(|error| sealing(path)(error.into()))?;
        let before = before.map_or_else(
            || Tip { epoch: epoch.clone(), lines: 0, next: None },
            |before| Tip { next: Some(epoch.clone()), ..before },
        );
        write_tip(path, keys, &before)?;
        let (mut number, mut length) = (1_u64, 0_u64);
        let file = file::replace(path, |out| {
            let mut put = |text: Vec<u8>| {
                length = length.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
                out.write_all(&text).map_err(file::failed(path))
            };
            put(line::head(keys, &epoch).map_err(sealing(path))?)?;
            for ((memory, key), (until, value)) in entries {
                number = number.saturating_add(1);
                let entry = Entry { memory: *memory, key: key.clone(), until: *until, value: value.clone() };
                put(line::entry(keys, &epoch, number, &entry).map_err(sealing(path))?)?;
            }
            Ok(())
        })?;
        write_tip(path, keys, &Tip { epoch: epoch.clone(), lines: number, next: None })?;
        let due = number.saturating_mul(2).saturating_add(SLACK_LINES);
        let (file, waiting) = (Arc::new(file), Vec::new());
        Ok(Self { file, epoch, number, due, length, waiting, appended: 0, lost: false })
    }

    /// Writes what waits; where that fails, what came of it is taken back, and waits on.
    fn flush(&mut self, path: &Path) -> Result<(), StateError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if let Err(source) = self.file.write_all_at(&self.waiting, self.length) {
            // At the next try the same bytes go to the same place.
            let _ = self.file.set_len(self.length);
            return Err(file::failed(path)(source));
        }
        self.length = self.length.saturating_add(u64::try_from(self.waiting.len()).unwrap_or(u64::MAX));
        self.waiting.clear();
        Ok(())
    }
}

/// Is the file the one that the tip knows? The tip to begin from; none where there is neither.
fn agree(path: &Path, found: Option<&Found>, tip: Option<Tip>) -> Result<Option<Tip>, StateError> {
    let (path, tip_path) = (path.to_owned(), file::beside(path, "tip"));
    match (found, tip) {
        (None, None) => Ok(None),
        // The very first start was over before there was a file.
        (None, Some(tip)) if tip.lines == 0 => Ok(None),
        (None, Some(_)) => Err(StateError::Missing { path: tip_path, missing: path }),
        (Some(_), None) => Err(StateError::Missing { path, missing: tip_path }),
        (Some(found), Some(tip)) if tip.next.as_ref() == Some(&found.epoch) => {
            Ok(Some(Tip { epoch: found.epoch.clone(), lines: found.lines, next: None }))
        }
        (Some(found), Some(tip)) if tip.epoch != found.epoch => Err(StateError::Older { path }),
        (Some(found), Some(tip)) if found.lines < tip.lines => {
            Err(StateError::Cut { path, found: found.lines, expected: tip.lines })
        }
        (Some(found), Some(tip)) => Ok(Some(Tip { lines: found.lines, next: None, ..tip })),
    }
}

fn read_tip(path: &Path, keys: &KeyRing) -> Result<Option<Tip>, StateError> {
    let path = file::beside(path, "tip");
    let Some(file) = file::open(&path)? else { return Ok(None) };
    let mut text = Vec::new();
    file.take(LINE_BYTES_MAX).read_to_end(&mut text).map_err(file::failed(&path))?;
    line::read_tip(keys, &text).map(Some).map_err(fault(&path, 1))
}

fn write_tip(path: &Path, keys: &KeyRing, tip: &Tip) -> Result<(), StateError> {
    let path = file::beside(path, "tip");
    let text = line::tip(keys, tip).map_err(sealing(&path))?;
    file::replace(&path, |out| out.write_all(&text).map_err(file::failed(&path))).map(drop)
}

/// Reads every line. An end without a line end is what a crash left of a write: it was told to nobody.
fn read(path: &Path, keys: &KeyRing) -> Result<Option<Found>, StateError> {
    let Some(file) = file::open(path)? else { return Ok(None) };
    let mut input = BufReader::new(file);
    let mut found = Found { epoch: String::new(), lines: 0, entries: Entries::new(), torn: 0 };
    let mut text = Vec::new();
    loop {
        text.clear();
        let bytes = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut text).map_err(file::failed(path))?;
        let number = found.lines.saturating_add(1);
        let Some(line) = text.strip_suffix(b"\n") else {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            if bytes >= LINE_BYTES_MAX {
                return Err(fault(path, number)(Fault::Malformed("it is too long")));
            }
            if found.lines == 0 {
                // The first one is written with the file, which is there whole or not at all.
                return Err(fault(path, 1)(Fault::Malformed("it is not whole")));
            }
            found.torn = bytes;
            return Ok(Some(found));
        };
        if number == 1 {
            found.epoch = line::read_head(keys, line).map_err(fault(path, 1))?;
        } else {
            let entry = line::read_entry(keys, &found.epoch, number, line).map_err(fault(path, number))?;
            let Entry { memory, key, until, value } = entry;
            // Whatever the time: what is gone is told by an end in the past.
            if until == 0 {
                found.entries.remove(&(memory, key));
            } else {
                found.entries.insert((memory, key), (until, value));
            }
        }
        found.lines = number;
    }
}

/// What counts at `now`, within the limit of each memory.
fn bounded(mut entries: Entries, now: u64) -> Entries {
    entries.retain(|_, (until, _)| now < *until);
    let mut ends: std::collections::BTreeMap<Memory, Vec<u64>> = std::collections::BTreeMap::new();
    for ((memory, _), (until, _)) in &entries {
        ends.entry(*memory).or_default().push(*until);
    }
    ends.retain(|_, ends| ends.len() > ENTRIES_MAX);
    for (memory, mut ends) in ends {
        let surplus = ends.len() - ENTRIES_MAX;
        let (_, limit, _) = ends.select_nth_unstable(surplus);
        let limit = *limit;
        entries.retain(|(own, _), (until, _)| *own != memory || limit <= *until);
        tracing::warn!(?memory, "more is remembered than can be kept: what expires first is forgotten");
    }
    entries
}

fn fault(path: &Path, line: u64) -> impl FnOnce(Fault) -> StateError {
    let path = path.to_owned();
    move |fault| match fault {
        Fault::ForeignKey => StateError::ForeignKey { path, line },
        Fault::Malformed(detail) => StateError::Malformed { path, line, detail },
    }
}

fn sealing(path: &Path) -> impl Fn(KeyError) -> StateError {
    move |source| StateError::Seal { path: path.to_owned(), source }
}
