//! The log's file: opened, locked, its torn end taken out; appended to; its tip kept.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    AuditError,
    chain::{self, End},
    writer::Store,
};

/// How much of a log's end is read at start-up; the whole is `verify`'s.
const WINDOW_BYTES: u64 = 16 << 20;

const FILE_MODE: u32 = 0o600;

/// An opened log.
pub(super) struct Opened {
    pub(super) store: LogFile,
    pub(super) end: End,
    pub(super) repair: Repair,
}

/// What was found and done at start-up.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Repair {
    /// Bytes that a crash left of lines that nobody was told are written.
    torn_bytes: u64,
    /// Where they are kept.
    torn_file: Option<String>,
    /// Lines that the tip knows and the log lacks (without `sync` only).
    missing_lines: u64,
    /// The log has lines, and no tip says how many there should be.
    tip_missing: bool,
}

impl Repair {
    pub(super) const fn is_clean(&self) -> bool {
        self.torn_bytes == 0 && self.missing_lines == 0 && !self.tip_missing
    }
}

/// The log and its tip, open for appending.
pub(super) struct LogFile {
    log: File,
    tip: File,
    /// Where the next line goes: the length of what is durable.
    length: u64,
    sync: bool,
}

/// Opens the log for the one process that appends.
pub(super) fn open(path: &Path, sync: bool) -> Result<Opened, AuditError> {
    let fault = |source| AuditError::File { path: path.to_owned(), source };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(fault)?;
    }
    let mut log = open_or_create(path).map_err(fault)?;
    match log.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(AuditError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(fault(source)),
    }
    // A device or a pipe has no end to read, and cannot be cut back after a failure.
    if !log.metadata().map_err(fault)?.is_file() {
        return Err(fault(io::Error::other("not a regular file")));
    }
    let tip_path = beside(path, "tip");
    let tip = read_tip(&tip_path).map_err(fault)?;
    let (window, start) = read_end(&mut log).map_err(fault)?;
    let found = find_end(&window, start == 0).map_err(|why| AuditError::Broken { path: path.to_owned(), why })?;
    let mut repair = Repair { tip_missing: tip.is_none() && found.end.seq > 0, ..Repair::default() };
    if let Some(tip) = &tip {
        repair.missing_lines =
            compare(&found, tip, sync).map_err(|why| AuditError::Broken { path: path.to_owned(), why })?;
    }
    let length = start + found.length;
    let torn = window.get(usize::try_from(found.length).unwrap_or(usize::MAX)..).unwrap_or_default();
    if !torn.is_empty() {
        repair.torn_bytes = u64::try_from(torn.len()).unwrap_or(u64::MAX);
        repair.torn_file = Some(keep_torn(path, torn).map_err(fault)?);
        log.set_len(length).map_err(fault)?;
        log.sync_all().map_err(fault)?;
    }
    let tip = open_or_create(&tip_path).map_err(fault)?;
    let mut store = LogFile { log, tip, length, sync };
    store.write_tip(&found.end).map_err(fault)?;
    sync_directory(path).map_err(fault)?;
    Ok(Opened { store, end: found.end, repair })
}

impl Store for LogFile {
    fn append(&mut self, lines: &[u8], end: &End) -> io::Result<()> {
        self.log.seek(SeekFrom::Start(self.length))?;
        self.log.write_all(lines)?;
        if self.sync {
            self.log.sync_data()?;
        }
        // Only lines that are durable reach the tip; so it never needs a wait of its own.
        self.write_tip(end)?;
        self.length = self.length.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    fn undo(&mut self) -> io::Result<()> {
        self.log.set_len(self.length)?;
        if self.sync { self.log.sync_data() } else { Ok(()) }
    }
}

impl LogFile {
    /// Of one length always, in one write: a tip is never half of two.
    fn write_tip(&mut self, end: &End) -> io::Result<()> {
        self.tip.seek(SeekFrom::Start(0))?;
        self.tip.write_all(format!("{:020} {}\n", end.seq, end.hash).as_bytes())
    }
}

/// The tip that `path` names; none where there is none.
pub(super) fn read_tip(path: &Path) -> io::Result<Option<End>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let parsed = text.trim_end().split_once(' ').and_then(|(seq, hash)| Some((seq.parse().ok()?, hash.to_owned())));
    Ok(parsed.map(|(seq, hash)| End { seq, hash }))
}

/// `FILE.suffix`
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// What the end of a log looks like.
struct FoundEnd {
    end: End,
    /// How many bytes of the window are whole lines.
    length: u64,
    /// Number and hash of each whole line in the window.
    lines: Vec<End>,
}

/// Finds the last whole line. What follows it is torn, unless whole lines follow that.
fn find_end(window: &[u8], from_start: bool) -> Result<FoundEnd, String> {
    let mut lines: Vec<End> = Vec::new();
    let mut length = 0_usize;
    let mut torn: Option<usize> = None;
    let mut first = true;
    for line in window.split_inclusive(|byte| *byte == b'\n') {
        // A window that begins inside a line begins with its rest.
        let rest = std::mem::take(&mut first) && !from_start;
        let link = line.strip_suffix(b"\n").and_then(chain::read);
        match link {
            _ if rest => length += line.len(),
            Some(_) if torn.is_some() => return Err("a line before the last does not verify".to_owned()),
            Some(link) => {
                let follows = match lines.last() {
                    Some(last) => link.seq == last.seq.saturating_add(1) && link.prev == last.hash,
                    None => !from_start || (link.seq == 1 && link.prev == chain::GENESIS),
                };
                if !follows {
                    return Err(format!("line {} does not follow the line before it", link.seq));
                }
                lines.push(End { seq: link.seq, hash: link.hash });
                length += line.len();
            }
            None => torn = torn.or(Some(length)),
        }
    }
    if let Some(rest) = torn.and_then(|start| window.get(start..)).filter(|rest| !is_torn(rest)) {
        let shown = rest.iter().filter(|byte| **byte == b'\n').count();
        return Err(format!("its last {shown} lines do not verify"));
    }
    if lines.is_empty() && !from_start {
        return Err(format!("its last {WINDOW_BYTES} bytes hold no whole line"));
    }
    let end = lines.last().cloned().unwrap_or_else(End::genesis);
    Ok(FoundEnd { end, length: u64::try_from(length).unwrap_or(u64::MAX), lines })
}

/// Is this what a crash leaves of a write? The beginning of a line, or blocks that were
/// never written. Whole lines that do not verify are something else.
fn is_torn(rest: &[u8]) -> bool {
    const BEGINNING: &[u8] = b"{\"seq\":";
    let begins = rest.starts_with(BEGINNING) || BEGINNING.starts_with(rest);
    rest.contains(&0) || (begins && !rest.contains(&b'\n'))
}

/// Holds the log's end to its tip; returns how many lines are missing.
fn compare(found: &FoundEnd, tip: &End, sync: bool) -> Result<u64, String> {
    if tip.seq > found.end.seq {
        let missing = tip.seq - found.end.seq;
        // Without `sync` a power cut may take lines that were written. With it, it cannot:
        // somebody cut the log.
        return if sync {
            Err(format!("it ends at line {}, and its tip is line {}", found.end.seq, tip.seq))
        } else {
            Ok(missing)
        };
    }
    let same = found.lines.iter().find(|line| line.seq == tip.seq).is_none_or(|line| line.hash == tip.hash);
    if same { Ok(0) } else { Err(format!("line {} is not the one that its tip names", tip.seq)) }
}

/// The end of the file, and where in the file it begins.
fn read_end(log: &mut File) -> io::Result<(Vec<u8>, u64)> {
    let length = log.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(WINDOW_BYTES);
    log.seek(SeekFrom::Start(start))?;
    let mut window = Vec::new();
    log.read_to_end(&mut window)?;
    Ok((window, start))
}

/// Keeps `torn` beside the log, under the first free name.
fn keep_torn(path: &Path, torn: &[u8]) -> io::Result<String> {
    for number in 1_u32.. {
        let kept = beside(path, &format!("torn-{number}"));
        match options().create_new(true).open(&kept) {
            Ok(mut file) => {
                file.write_all(torn)?;
                file.sync_all()?;
                return Ok(kept.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no free name for the torn end"))
}

fn open_or_create(path: &Path) -> io::Result<File> {
    options().create(true).open(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
    options
}

/// A new file's name is durable only with its directory.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(parent)?.sync_all()
}
