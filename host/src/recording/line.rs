//! One line: how it is sealed into its place, and how it is read back. No input or output.

use aws_lc_rs::digest::{SHA256, digest};

use super::{Entry, Fault, RecordingError};
use crate::keys::{KeyRing, Purpose};

/// What the first line has for the hash of the line before it.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a line is about: all of it that can be seen without the key ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// [`Entry::Dropped`]
    Dropped,
    /// [`Entry::KnownGroups`]
    KnownGroups,
    /// [`Entry::Login`]
    Login,
    /// [`Entry::Opened`]
    Opened,
    /// [`Entry::Recipe`]
    Recipe,
    /// [`Entry::Way`]
    Way,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Dropped, Self::KnownGroups, Self::Login, Self::Opened, Self::Recipe, Self::Way];

    const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::KnownGroups => "known-groups",
            Self::Login => "login",
            Self::Opened => "opened",
            Self::Recipe => "recipe",
            Self::Way => "way",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The end of a file: what the next line follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The last line's number; 0 before the first.
    pub(super) seq: u64,
    /// The last line's hash.
    pub(super) hash: String,
}

impl End {
    pub(super) fn genesis() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned() }
    }

    /// Appends the next line of `file` to `buffer`.
    pub(super) fn line(
        &mut self,
        keys: &KeyRing,
        file: &str,
        kind: Kind,
        content: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), RecordingError> {
        let seq = self.seq.saturating_add(1);
        let sealed = keys.seal(Purpose::Recording, &binding(file, seq, kind, &self.hash), content)?;
        let line = format!("{seq} {} {sealed}", kind.name());
        *self = Self { seq, hash: hash(line.as_bytes()) };
        buffer.extend_from_slice(line.as_bytes());
        buffer.push(b'\n');
        Ok(())
    }

    /// As it stands in the tip of `file`: of one length always.
    pub(super) fn tip(&self, keys: &KeyRing, file: &str) -> Result<String, RecordingError> {
        let text = format!("{:020} {}", self.seq, self.hash);
        Ok(keys.seal(Purpose::Recording, &format!("tip/{file}"), text.as_bytes())?)
    }

    /// Reads a tip; none where it is none of `file`'s.
    pub(super) fn of_tip(keys: &KeyRing, file: &str, sealed: &str) -> Option<Self> {
        let text = keys.open_sealed(Purpose::Recording, &format!("tip/{file}"), sealed.trim_end()).ok()?;
        let (seq, hash) = std::str::from_utf8(&text).ok()?.split_once(' ')?;
        Some(Self { seq: seq.parse().ok()?, hash: hash.to_owned() })
    }
}

/// What can be seen of a line without the key ring.
pub(super) struct Outside<'l> {
    pub(super) seq: u64,
    pub(super) kind: Kind,
    pub(super) sealed: &'l str,
}

/// Takes a line apart, without its line end.
pub(super) fn parse(line: &[u8]) -> Option<Outside<'_>> {
    let text = std::str::from_utf8(line).ok()?;
    let (seq, rest) = text.split_once(' ')?;
    let (kind, sealed) = rest.split_once(' ')?;
    let number: u64 = seq.parse().ok()?;
    // One number has one text.
    (number.to_string() == seq).then_some(())?;
    Some(Outside { seq: number, kind: Kind::named(kind)?, sealed })
}

/// Opens a line in its place.
pub(super) fn open(keys: &KeyRing, file: &str, previous: &str, line: &[u8]) -> Result<Entry, Fault> {
    let outside = parse(line).ok_or(Fault::Malformed)?;
    let binding = binding(file, outside.seq, outside.kind, previous);
    let content = keys
        .open_sealed(Purpose::Recording, &binding, outside.sealed)
        .map_err(|_| if keys.knows_key_of(outside.sealed) { Fault::Changed } else { Fault::UnknownKey })?;
    let entry: Entry = serde_json::from_slice(&content).map_err(|_| Fault::OtherForm)?;
    if entry.kind() == outside.kind { Ok(entry) } else { Err(Fault::OtherForm) }
}

/// No part but the last holds a slash, so that no two places have one name.
fn binding(file: &str, seq: u64, kind: Kind, previous: &str) -> String {
    format!("line/{file}/{seq}/{}/{previous}", kind.name())
}

/// sha-256, in lower-case hex.
pub(super) fn hash(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    digest(&SHA256, bytes).as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
