//! The files of a recording, written: one for each day and start, chained, older ones removed.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Entry, Kind, Opened, Previous, RecordingError,
    entry::{Dropped, FORMAT},
    line::{End, hash},
    redact::Redactor,
};
use crate::{
    clock::Clock,
    config,
    decision::{Decided, Recipe, WayChosen},
    keys::KeyRing,
};

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const SECONDS_PER_DAY: u64 = 86_400;

/// What the names of files end in.
pub(super) const SUFFIX: &str = ".vrec";

/// Held by the one process that writes.
const LOCK: &str = "recording.lock";

/// A decision that is to be recorded.
#[derive(Clone, Debug)]
pub enum Noted {
    /// Of the hooks from `admit` to `session`.
    Login {
        /// What was decided.
        decided: Box<Decided>,
        /// The groups that the application knows.
        known: Option<BTreeSet<String>>,
        /// What decided.
        recipe: Option<Arc<Recipe>>,
    },
    /// Of `route` alone.
    Way {
        /// What was decided.
        chosen: Box<WayChosen>,
        /// What decided.
        recipe: Option<Arc<Recipe>>,
    },
}

/// A recording that is open for writing. One process writes; any that has the key ring may read.
pub struct Log {
    directory: PathBuf,
    keep_days: u32,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    redactor: Redactor,
    segment: Option<Segment>,
    // Unlocks when it is dropped.
    _lock: File,
}

/// The file of a day.
struct Segment {
    day: u64,
    name: String,
    file: File,
    tip: File,
    /// What is written: its length, and its end.
    length: u64,
    end: End,
    /// What its lines may name since it stands in an earlier one.
    known: BTreeSet<String>,
    recipes: BTreeSet<(String, Arc<str>)>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Log {
    /// Makes the folder where it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be used, or another process writes there.
    pub fn open(config: &config::Recording, keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Result<Self, RecordingError> {
        let directory = config.directory.clone();
        let fault = |source| RecordingError::File { path: directory.clone(), source };
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, DIRECTORY_MODE);
        builder.create(&directory).map_err(fault)?;
        let lock = options().create(true).open(directory.join(LOCK)).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RecordingError::Locked { directory }),
            Err(TryLockError::Error(source)) => return Err(fault(source)),
        }
        let redactor = Redactor::new(config);
        let mut log =
            Self { directory, keep_days: config.keep_days, keys, clock, redactor, segment: None, _lock: lock };
        // What cannot be written is found out now, and not at the first login.
        log.segment()?;
        Ok(log)
    }

    /// Writes what was decided, and that `dropped` decisions are missing before it.
    ///
    /// # Errors
    ///
    /// Where it did not reach the file; nothing of it is there then, and the next call begins a new file.
    pub fn append(&mut self, noted: &[Noted], dropped: u64) -> Result<(), RecordingError> {
        let result = self.try_append(noted, dropped);
        if result.is_err()
            && let Some(segment) = self.segment.take()
        {
            // Best effort: what stays of it does not follow the tip, and a reader says so.
            let _ = segment.file.set_len(segment.length);
        }
        result
    }

    fn try_append(&mut self, noted: &[Noted], dropped: u64) -> Result<(), RecordingError> {
        let mut lines: Vec<(Kind, Vec<u8>)> = Vec::new();
        if dropped > 0 {
            let entry = Entry::Dropped(Dropped { decisions: dropped });
            lines.push((entry.kind(), serde_json::to_vec(&entry)?));
        }
        self.segment()?;
        for noted in noted {
            self.lines_of(noted, &mut lines)?;
        }
        let keys = Arc::clone(&self.keys);
        let directory = self.directory.clone();
        let segment = self.segment()?;
        segment.write(&keys, &lines).map_err(|error| match error {
            Written::File(source) => RecordingError::File { path: directory.join(&segment.name), source },
            Written::Sealed(error) => error,
        })
    }

    /// A decision's line, after those that it names.
    fn lines_of(&mut self, noted: &Noted, lines: &mut Vec<(Kind, Vec<u8>)>) -> Result<(), RecordingError> {
        let (tree, kind, recipe) = match noted {
            Noted::Way { chosen, recipe } => (self.redactor.way(&self.keys, chosen)?, Kind::Way, recipe),
            Noted::Login { decided, known, recipe } => {
                let mut tree = self.redactor.login(&self.keys, decided)?;
                if let Some(known) = known {
                    let entry = serde_json::to_vec(&Entry::KnownGroups(known.clone()))?;
                    let digest = groups_digest(known);
                    if let Some(found) = tree.get_mut("found").and_then(serde_json::Value::as_object_mut) {
                        found.insert("known".to_owned(), digest.clone().into());
                    }
                    if self.segment()?.known.insert(digest) {
                        lines.push((Kind::KnownGroups, entry));
                    }
                }
                (tree, Kind::Login, recipe)
            }
        };
        if let Some(recipe) = recipe {
            let segment = self.segment()?;
            // A canary's chain and the application's own take turns.
            if segment.recipes.insert((recipe.application.clone(), Arc::clone(&recipe.generation))) {
                lines.push((Kind::Recipe, serde_json::to_vec(&Entry::Recipe(Recipe::clone(recipe)))?));
            }
        }
        let name = if kind == Kind::Way { "way" } else { "login" };
        lines.push((kind, serde_json::to_vec(&serde_json::json!({ name: tree }))?));
        Ok(())
    }

    /// Today's file; begun, and the oldest removed, where today is another day.
    fn segment(&mut self) -> Result<&mut Segment, RecordingError> {
        let day = self.clock.now() / SECONDS_PER_DAY;
        if self.segment.as_ref().is_none_or(|segment| segment.day != day) {
            let path = self.directory.clone();
            let begun = self.begin(day).map_err(|error| match error {
                Written::File(source) => RecordingError::File { path, source },
                Written::Sealed(error) => error,
            })?;
            self.segment = Some(begun);
            self.remove_older_than(day);
        }
        self.segment.as_mut().ok_or_else(|| RecordingError::File {
            path: self.directory.clone(),
            source: io::Error::other("no file could be begun"),
        })
    }

    fn begin(&mut self, day: u64) -> Result<Segment, Written> {
        let before = files(&self.directory)?;
        let previous = match (self.segment.take(), before.last()) {
            (Some(segment), _) => {
                segment.file.sync_data()?;
                Some(Previous { file: segment.name, lines: segment.end.seq, hash: segment.end.hash })
            }
            (None, Some(name)) => self.end_of(name),
            (None, None) => None,
        };
        let (name, file) = self.create(day, before.last().map(String::as_str))?;
        let tip = options().create(true).open(self.directory.join(format!("{name}.tip")))?;
        let mut segment = Segment {
            day,
            name,
            file,
            tip,
            length: 0,
            end: End::genesis(),
            known: BTreeSet::new(),
            recipes: BTreeSet::new(),
        };
        let opened = Entry::Opened(Opened { format: FORMAT, previous, redacted: self.redactor.names().clone() });
        let content = serde_json::to_vec(&opened).map_err(RecordingError::from)?;
        if let Err(error) = segment.write(&self.keys, &[(Kind::Opened, content)]) {
            // A file without its first line would break the chain.
            let _ = fs::remove_file(self.directory.join(&segment.name));
            let _ = fs::remove_file(self.directory.join(format!("{}.tip", segment.name)));
            return Err(error);
        }
        File::open(&self.directory)?.sync_all()?;
        Ok(segment)
    }

    /// The end of a file that an earlier run wrote, as its tip names it.
    fn end_of(&self, name: &str) -> Option<Previous> {
        let tip = fs::read_to_string(self.directory.join(format!("{name}.tip"))).ok()?;
        let end = End::of_tip(&self.keys, name, &tip);
        if end.is_none() {
            tracing::warn!(file = name, "the end of the recording's last file is not known");
        }
        end.map(|end| Previous { file: name.to_owned(), lines: end.seq, hash: end.hash })
    }

    /// A file of a name that none had, and that comes after all others.
    fn create(&self, day: u64, last: Option<&str>) -> io::Result<(String, File)> {
        const PER_DAY_MAX: u32 = 9999;
        for number in 1..=PER_DAY_MAX {
            let name = format!("{}-{number:04}{SUFFIX}", date(day));
            // A clock that was set back must not put a file before its predecessor.
            if last.is_some_and(|last| name.as_str() <= last) {
                continue;
            }
            match options().create_new(true).open(self.directory.join(&name)) {
                Ok(file) => return Ok((name, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no free name for today's file, or files of later days are there"))
    }

    fn remove_older_than(&self, day: u64) {
        let oldest = date(day.saturating_sub(u64::from(self.keep_days)));
        for name in files(&self.directory).unwrap_or_default() {
            if day_of(&name).is_some_and(|day| day < oldest.as_str()) {
                let removed = fs::remove_file(self.directory.join(&name));
                let _ = fs::remove_file(self.directory.join(format!("{name}.tip")));
                if let Err(error) = removed {
                    tracing::warn!(file = name, %error, "an old file of the recording could not be removed");
                }
            }
        }
    }
}

/// Why nothing was written.
enum Written {
    File(io::Error),
    Sealed(RecordingError),
}

impl From<io::Error> for Written {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<RecordingError> for Written {
    fn from(error: RecordingError) -> Self {
        Self::Sealed(error)
    }
}

impl Segment {
    /// Appends lines, and names the last of them in the tip once they are on the disk.
    fn write(&mut self, keys: &KeyRing, lines: &[(Kind, Vec<u8>)]) -> Result<(), Written> {
        let (mut end, mut buffer) = (self.end.clone(), Vec::new());
        for (kind, content) in lines {
            end.line(keys, &self.name, *kind, content, &mut buffer)?;
        }
        let tip = end.tip(keys, &self.name)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&buffer)?;
        self.file.sync_data()?;
        self.tip.seek(SeekFrom::Start(0))?;
        self.tip.write_all(format!("{tip}\n").as_bytes())?;
        self.length = self.length.saturating_add(u64::try_from(buffer.len()).unwrap_or(u64::MAX));
        self.end = end;
        Ok(())
    }
}

/// The files of a recording, in the order in which they were written.
pub(super) fn files(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        if let Ok(name) = entry?.file_name().into_string()
            && day_of(&name).is_some()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The day in a file's name: `2026-11-29-0001.vrec`.
pub(super) fn day_of(name: &str) -> Option<&str> {
    let (day, number) = name.strip_suffix(SUFFIX)?.rsplit_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (day.len() == 10 && number.len() == 4 && digits(number) && day.split('-').all(digits)).then_some(day)
}

/// Stands for a set of groups.
pub(super) fn groups_digest(groups: &BTreeSet<String>) -> String {
    hash(serde_json::to_string(groups).unwrap_or_default().as_bytes())
}

/// A day since 1970-01-01 UTC, as `2026-11-29`.
pub(super) fn date(day: u64) -> String {
    let seconds = i64::try_from(day.saturating_mul(SECONDS_PER_DAY)).unwrap_or(i64::MAX);
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day())
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
    options
}
