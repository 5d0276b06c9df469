//! A recording, read from its first file to its last, while it may be in use. The lines are followed one after
//! the other, which is cheap; [`Line::open`] opens them on as many threads as there are.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use super::{
    Entry, Kind, Opened, RecordingError,
    entry::FORMAT,
    line::{self, End, GENESIS, hash},
    log::{date, day_of, files, groups_digest},
};
use crate::{decision::Recipe, keys::KeyRing};

const SECONDS_PER_DAY: u64 = 86_400;

/// A longer line is none of a recording: nothing that a decision is made of comes near it.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// So many lines are handed out together.
const BATCH_LINES: usize = 128;

/// So many lines may follow the one that a tip names: what is written together, with room to spare.
const WINDOW: usize = 2048;

/// From when to when, in seconds since 1970-01-01 UTC; none is without an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first second.
    pub from: Option<u64>,
    /// The second after the last.
    pub to: Option<u64>,
}

impl Range {
    /// Does it hold the second `at`?
    #[must_use]
    pub fn has(&self, at: u64) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }

    /// May a file of this day have anything of it? What was decided at the end of a day may be written on the
    /// next one.
    fn may_be_in(&self, day: &str) -> bool {
        self.from.is_none_or(|from| day >= date(from / SECONDS_PER_DAY).as_str())
            && self.to.is_none_or(|to| day <= date((to / SECONDS_PER_DAY).saturating_add(1)).as_str())
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It does not open: it was changed or forged, or the line before it was changed, cut or put in.
    Changed,
    /// The file ends before the line that its tip names, or before the one that the next file names.
    CutAtEnd,
    /// A file that the next one names is missing.
    FileMissing,
    /// Lines before it are missing.
    LinesMissing,
    /// It is no line of a recording.
    Malformed,
    /// Another version wrote it.
    OtherForm,
    /// It is not the line that the tip, or the next file, names.
    OtherHistory,
    /// It stands where it was not written, or twice.
    Reordered,
    /// There is no tip, so that a cut at the end could not be found.
    TipMissing,
    /// The tip was changed or forged.
    TipChanged,
    /// The file does not say which one is before it.
    Unchained,
    /// The key that sealed it is not in the key ring (any more).
    UnknownKey,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "it does not open: it was changed or forged, or the line before it was",
            Self::CutAtEnd => "the file was cut: a later line is known of",
            Self::FileMissing => "the file that it says is before it is missing",
            Self::LinesMissing => "lines before it are missing",
            Self::Malformed => "it is no line of a recording",
            Self::OtherForm => "another version wrote it",
            Self::OtherHistory => "it is not the line that was written there",
            Self::Reordered => "it stands where it was not written, or twice",
            Self::TipMissing => "there is no tip (FILE.tip), so that nobody can say how many lines there should be",
            Self::TipChanged => "the tip (FILE.tip) was changed or forged",
            Self::Unchained => "it does not say which file is before it",
            Self::UnknownKey => "the key that sealed it is not in the key ring",
        })
    }
}

/// A place that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Damage {
    /// The file's name.
    pub file: String,
    /// The line in it, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: Fault,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.why)
    }
}

/// A line with a decision, still sealed.
#[derive(Clone, Debug)]
pub struct Line {
    /// The file's name.
    pub file: Arc<str>,
    /// The line in it, from 1.
    pub number: u64,
    /// [`Kind::Login`] or [`Kind::Way`].
    pub kind: Kind,
    /// The hash of the line before it.
    pub previous: String,
    text: Vec<u8>,
}

impl Line {
    /// Opens it in its place.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn open(&self, keys: &KeyRing) -> Result<Entry, Damage> {
        line::open(keys, &self.file, &self.previous, &self.text).map_err(|why| self.damage(why))
    }

    /// Its own hash.
    #[must_use]
    pub fn hash(&self) -> String {
        hash(&self.text)
    }

    /// Something is wrong with it.
    #[must_use]
    pub fn damage(&self, why: Fault) -> Damage {
        Damage { file: self.file.to_string(), line: self.number, why }
    }
}

/// Sets of groups, by their digests.
pub type KnownGroups = Arc<BTreeMap<String, Arc<BTreeSet<String>>>>;

/// Lines that follow each other.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The lines.
    pub lines: Vec<Line>,
    /// What they may name.
    pub known: KnownGroups,
}

/// What was read, decisions aside.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// The files.
    pub files: Vec<String>,
    /// Decisions that a full queue or disk kept from being recorded.
    pub dropped: u64,
    /// What became a pseudonym before it was written.
    pub redacted: BTreeSet<String>,
    /// Bytes after the last whole line of a file: a write under way, or what a crash left of one.
    pub torn_bytes: u64,
    /// The places that are wrong.
    pub damage: Vec<Damage>,
}

/// Reads a recording.
pub struct Reader<'k> {
    keys: &'k KeyRing,
    directory: PathBuf,
    waiting: VecDeque<String>,
    current: Option<Current>,
    /// The file that was read before.
    last: Option<Ended>,
    known: KnownGroups,
    recipes: BTreeMap<(String, String), Recipe>,
    summary: Summary,
}

/// The file that is being read.
struct Current {
    name: Arc<str>,
    reader: BufReader<File>,
    tip: Option<String>,
    number: u64,
    ended: Ended,
}

/// How far a file was followed.
struct Ended {
    file: String,
    end: End,
    /// Its last lines.
    window: VecDeque<(u64, String)>,
}

impl Ended {
    /// Has it this line?
    fn has(&self, seq: u64, hash: &str) -> Result<(), Fault> {
        if seq > self.end.seq {
            return Err(Fault::CutAtEnd);
        }
        let is_same = seq == 0 || self.window.iter().any(|(own, known)| *own == seq && known == hash);
        if is_same { Ok(()) } else { Err(Fault::OtherHistory) }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl<'k> Reader<'k> {
    /// Reads the files in `directory` that may have something of `range`.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be read.
    pub fn open(directory: &Path, keys: &'k KeyRing, range: Range) -> Result<Self, RecordingError> {
        let names = files(directory).map_err(|source| RecordingError::File { path: directory.to_owned(), source })?;
        let waiting = names.into_iter().filter(|name| day_of(name).is_some_and(|day| range.may_be_in(day)));
        Ok(Self {
            keys,
            directory: directory.to_owned(),
            waiting: waiting.collect(),
            current: None,
            last: None,
            known: Arc::default(),
            recipes: BTreeMap::new(),
            summary: Summary::default(),
        })
    }

    /// The next lines with decisions; none at the end.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read. What is wrong in it is no error, and stands in the [`Summary`].
    pub fn next_batch(&mut self) -> Result<Option<Batch>, RecordingError> {
        let mut lines = Vec::new();
        while lines.len() < BATCH_LINES {
            let Some(mut current) = self.current.take() else {
                let Some(name) = self.waiting.pop_front() else { break };
                self.current = Some(self.begin(&name)?);
                continue;
            };
            let mut text = Vec::new();
            let path = self.directory.join(&*current.name);
            let read = current.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
            read.map_err(|source| RecordingError::File { path, source })?;
            let is_whole = text.pop_if(|last| *last == b'\n').is_some();
            if !is_whole {
                self.end(current, &text);
                continue;
            }
            self.follow(&mut current, text, &mut lines);
            self.current = Some(current);
        }
        let is_over = lines.is_empty() && self.current.is_none() && self.waiting.is_empty();
        Ok((!is_over).then(|| Batch { lines, known: Arc::clone(&self.known) }))
    }

    /// What decided, by the digest of the generation and the application: as far as it was read.
    #[must_use]
    pub fn recipe(&self, generation: &str, application: &str) -> Option<&Recipe> {
        self.recipes.get(&(generation.to_owned(), application.to_owned()))
    }

    /// What was read so far, decisions aside.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    fn begin(&mut self, name: &str) -> Result<Current, RecordingError> {
        let path = self.directory.join(name);
        // The tip first: what it names was in the file before we look there.
        let tip = std::fs::read_to_string(self.directory.join(format!("{name}.tip")));
        let tip = match tip {
            Ok(tip) => Some(tip),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // A tip that is no text is none of ours.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(String::new()),
            Err(source) => return Err(RecordingError::File { path, source }),
        };
        let file = File::open(&path).map_err(|source| RecordingError::File { path, source })?;
        self.summary.files.push(name.to_owned());
        let ended = Ended { file: name.to_owned(), end: End::genesis(), window: VecDeque::new() };
        Ok(Current { name: Arc::from(name), reader: BufReader::with_capacity(1 << 18, file), tip, number: 0, ended })
    }

    /// Takes a line in. What a decision's line names stands before it.
    fn follow(&mut self, current: &mut Current, text: Vec<u8>, lines: &mut Vec<Line>) {
        current.number += 1;
        let previous = std::mem::replace(&mut current.ended.end.hash, hash(&text));
        let Some(outside) = line::parse(&text) else {
            self.damaged(current, Fault::Malformed);
            return;
        };
        let (seq, kind) = (outside.seq, outside.kind);
        let expected = current.ended.end.seq.saturating_add(1);
        if seq < expected {
            self.damaged(current, Fault::Reordered);
            return;
        }
        if seq > expected {
            self.damaged(current, Fault::LinesMissing);
        }
        current.ended.end.seq = seq;
        current.ended.window.push_back((seq, current.ended.end.hash.clone()));
        if current.ended.window.len() > WINDOW {
            current.ended.window.pop_front();
        }
        let line = Line { file: Arc::clone(&current.name), number: current.number, kind, previous, text };
        let is_first = line.number == 1;
        if is_first != (kind == Kind::Opened) || (is_first && line.previous != GENESIS) {
            self.damaged(current, Fault::Unchained);
            return;
        }
        if matches!(kind, Kind::Login | Kind::Way) {
            lines.push(line);
            return;
        }
        match line.open(self.keys) {
            Ok(entry) => self.take(current, entry),
            Err(damage) => self.summary.damage.push(damage),
        }
    }

    fn take(&mut self, current: &Current, entry: Entry) {
        match entry {
            Entry::Dropped(dropped) => self.summary.dropped = self.summary.dropped.saturating_add(dropped.decisions),
            Entry::KnownGroups(groups) => {
                Arc::make_mut(&mut self.known).insert(groups_digest(&groups), Arc::new(groups));
            }
            Entry::Recipe(recipe) => {
                self.recipes.insert((recipe.generation.to_string(), recipe.application.clone()), recipe);
            }
            Entry::Opened(opened) => {
                if let Err(why) = self.follows(&opened) {
                    self.damaged(current, why);
                }
                self.summary.redacted.extend(opened.redacted);
            }
            // Not among those that are opened here.
            Entry::Login(_) | Entry::Way(_) => {}
        }
    }

    /// Does a file that begins like this follow the one that was read before?
    fn follows(&mut self, opened: &Opened) -> Result<(), Fault> {
        if opened.format != FORMAT {
            return Err(Fault::OtherForm);
        }
        let Some(last) = &self.last else { return Ok(()) };
        let previous = opened.previous.as_ref().ok_or(Fault::Unchained)?;
        if previous.file != last.file {
            return Err(Fault::FileMissing);
        }
        // The place is in the file that is not as it was.
        if let Err(why) = last.has(previous.lines, &previous.hash) {
            let line = if why == Fault::CutAtEnd { last.end.seq.saturating_add(1) } else { previous.lines };
            let damage = Damage { file: last.file.clone(), line, why };
            if !self.summary.damage.contains(&damage) {
                self.summary.damage.push(damage);
            }
        }
        Ok(())
    }

    /// The file is over: does it end where its tip says?
    fn end(&mut self, current: Current, torn: &[u8]) {
        let Current { name, tip, mut ended, number, .. } = current;
        let torn = u64::try_from(torn.len()).unwrap_or(u64::MAX);
        let place = |why| Damage { file: name.to_string(), line: number.saturating_add(1), why };
        if torn >= LINE_BYTES_MAX {
            self.summary.damage.push(place(Fault::Malformed));
        } else {
            self.summary.torn_bytes = self.summary.torn_bytes.saturating_add(torn);
        }
        let checked = match tip {
            None => Err(Fault::TipMissing),
            Some(tip) => match End::of_tip(self.keys, &name, &tip) {
                Some(tip) => ended.has(tip.seq, &tip.hash),
                None if self.keys.knows_key_of(tip.trim_end()) => Err(Fault::TipChanged),
                None => Err(if tip.starts_with("v1.") { Fault::UnknownKey } else { Fault::TipChanged }),
            },
        };
        if let Err(why) = checked {
            self.summary.damage.push(place(why));
        }
        ended.window.shrink_to_fit();
        self.last = Some(ended);
    }

    fn damaged(&mut self, current: &Current, why: Fault) {
        self.summary.damage.push(Damage { file: current.name.to_string(), line: current.number, why });
    }
}
