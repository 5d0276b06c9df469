//! Checks a log from its first line to its last, while it may be in use.

use std::{
    fmt,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    str::FromStr,
};

use serde::Serialize;

use super::{
    AuditError,
    chain::{self, End},
    file,
};

/// What was found in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Is every line as it was written, and none missing? Where there is no tip and nobody
    /// says what to expect, nobody can tell, and this is false.
    pub ok: bool,
    /// How many lines follow each other from the first.
    pub lines: u64,
    /// The hash of the last of them: keep it elsewhere, and a later log must have it.
    pub last_hash: String,
    /// What the tip says.
    pub tip: Tip,
    /// The first place that is wrong.
    pub broken: Option<Break>,
    /// Bytes after the last whole line: a write under way, or what a crash left of one.
    pub torn_bytes: u64,
}

/// How the log fits its tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tip {
    /// The tip's line is in the log.
    Matches,
    /// There is no tip: a cut at the end cannot be found.
    Missing,
    /// The log lacks the tip's line, or has another in its place.
    Refuted,
}

/// The first place that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Break {
    /// The line in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: Fault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Its bytes are not those that were hashed, or it is no line of a log at all.
    Changed,
    /// Lines before it are missing.
    LinesMissing,
    /// It stands where it was not written, or it was written twice.
    Reordered,
    /// It follows another line than the one before it.
    OtherHistory,
    /// The log ends before its tip's line.
    CutAtEnd,
    /// It is not the line that the tip names.
    NotTheTip,
    /// It is not the line that was expected, or the log ends before that.
    NotExpected,
}

/// A line that was noted elsewhere: `SEQ:HASH`, as an earlier [`Report`] has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    seq: u64,
    hash: String,
}

/// What was given is no `SEQ:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected SEQ:HASH, a line's number and the 64 hex digits of its hash")]
pub struct NotExpected;

impl FromStr for Expected {
    type Err = NotExpected;

    fn from_str(text: &str) -> Result<Self, NotExpected> {
        let (seq, hash) = text.split_once(':').ok_or(NotExpected)?;
        let seq = seq.parse().map_err(|_| NotExpected)?;
        if seq == 0 || hash.len() != chain::GENESIS.len() || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotExpected);
        }
        Ok(Self { seq, hash: hash.to_ascii_lowercase() })
    }
}

impl Fault {
    const fn words(self) -> &'static str {
        match self {
            Self::Changed => "it was changed, or is no line of an audit log",
            Self::LinesMissing => "lines before it are missing",
            Self::Reordered => "it stands where it was not written, or twice",
            Self::OtherHistory => "it does not follow the line before it",
            Self::CutAtEnd => "the log was cut: its tip names a later line",
            Self::NotTheTip => "it is not the line that the tip names",
            Self::NotExpected => "it is not the line that was expected",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.broken {
            Some(broken) => writeln!(f, "broken at line {}: {}", broken.line, broken.why.words())?,
            None if self.ok => writeln!(f, "whole: {} lines", self.lines)?,
            None => writeln!(f, "{} lines follow each other, and nobody says how many there should be", self.lines)?,
        }
        if self.broken.is_some() {
            writeln!(f, "{} lines before it are as they were written", self.lines)?;
        }
        if self.tip == Tip::Missing {
            writeln!(
                f,
                "there is no tip (FILE.tip); `--expect SEQ:HASH` with what was noted elsewhere stands in for it"
            )?;
        }
        if self.torn_bytes > 0 {
            writeln!(
                f,
                "{} bytes after the last whole line: a write under way, or one that a crash cut",
                self.torn_bytes
            )?;
        }
        write!(f, "last line {}:{}", self.lines, self.last_hash)
    }
}

/// Checks a log's chain from its first line to its last, and that it has the line that is
/// expected, if one is.
///
/// # Errors
///
/// Where the file cannot be read.
pub fn verify(path: &Path, expected: Option<&Expected>) -> Result<Report, AuditError> {
    let fault = |source| AuditError::File { path: path.to_owned(), source };
    // The tip first: what it names was in the log before we look there.
    let tip = file::read_tip(&file::beside(path, "tip")).map_err(fault)?;
    let mut reader = BufReader::new(File::open(path).map_err(fault)?);
    let mut end = End::genesis();
    let mut broken = None;
    let mut torn_bytes = 0;
    let mut refuted = false;
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(fault)? == 0 {
            break;
        }
        let Some(whole) = line.strip_suffix(b"\n") else {
            torn_bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
            break;
        };
        let number = end.seq.saturating_add(1);
        match follow(&end, whole) {
            Ok(next) => end = next,
            Err(why) => {
                broken = Some(Break { line: number, why });
                break;
            }
        }
        if expected.is_some_and(|expected| expected.seq == end.seq && expected.hash != end.hash) {
            broken = Some(Break { line: end.seq, why: Fault::NotExpected });
            break;
        }
        if let Some(tip) = tip.as_ref().filter(|tip| tip.seq == end.seq && tip.hash != end.hash) {
            refuted = true;
            broken = Some(Break { line: tip.seq, why: Fault::NotTheTip });
            break;
        }
    }
    if broken.is_none() && tip.as_ref().is_some_and(|tip| tip.seq > end.seq) {
        refuted = true;
        broken = Some(Break { line: end.seq.saturating_add(1), why: Fault::CutAtEnd });
    }
    if broken.is_none() && expected.is_some_and(|expected| expected.seq > end.seq) {
        broken = Some(Break { line: end.seq.saturating_add(1), why: Fault::NotExpected });
    }
    // An empty log is no exception: whoever emptied it takes the tip, too.
    let is_known = tip.is_some() || expected.is_some();
    let tip = match tip {
        None => Tip::Missing,
        Some(tip) if refuted || tip.seq > end.seq => Tip::Refuted,
        Some(_) => Tip::Matches,
    };
    Ok(Report { ok: broken.is_none() && is_known, lines: end.seq, last_hash: end.hash, tip, broken, torn_bytes })
}

/// The end of the chain after `line`.
fn follow(end: &End, line: &[u8]) -> Result<End, Fault> {
    let link = chain::read(line).ok_or(Fault::Changed)?;
    let expected = end.seq.saturating_add(1);
    if link.seq == expected && link.prev == end.hash {
        return Ok(End { seq: link.seq, hash: link.hash });
    }
    Err(match link.seq.cmp(&expected) {
        std::cmp::Ordering::Greater => Fault::LinesMissing,
        std::cmp::Ordering::Less => Fault::Reordered,
        std::cmp::Ordering::Equal => Fault::OtherHistory,
    })
}
