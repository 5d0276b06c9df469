//! One line: `NUMBER SEALED`. Each is sealed into its place: for its number, in the file of this one name (`epoch`), which
//! is a new one each time that the file is written anew. No input or output.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Memory;
use crate::keys::{KeyError, KeyRing, Purpose};

const FORMAT: u32 = 1;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) memory: Memory,
    pub(super) key: String,
    /// In seconds since 1970-01-01 UTC; in the past, the entry is gone.
    pub(super) until: u64,
    pub(super) value: Value,
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    epoch: String,
}

/// What the tip says: which file counts, and how long it is at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tip {
    pub(super) epoch: String,
    /// With the first one.
    pub(super) lines: u64,
    /// The file that is about to take its place.
    pub(super) next: Option<String>,
}

/// Why a line does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    ForeignKey,
    Malformed(&'static str),
}

pub(super) fn head(keys: &KeyRing, epoch: &str) -> Result<Vec<u8>, KeyError> {
    seal(keys, "head", 1, &Head { format: FORMAT, epoch: epoch.to_owned() })
}

pub(super) fn entry(keys: &KeyRing, epoch: &str, number: u64, entry: &Entry) -> Result<Vec<u8>, KeyError> {
    seal(keys, &binding(epoch, number), number, entry)
}

/// The epoch that a first line names.
pub(super) fn read_head(keys: &KeyRing, line: &[u8]) -> Result<String, Fault> {
    let head: Head = open(keys, "head", 1, line)?;
    if head.format == FORMAT { Ok(head.epoch) } else { Err(Fault::Malformed("it is of a format of another version")) }
}

pub(super) fn read_entry(keys: &KeyRing, epoch: &str, number: u64, line: &[u8]) -> Result<Entry, Fault> {
    open(keys, &binding(epoch, number), number, line)
}

pub(super) fn tip(keys: &KeyRing, tip: &Tip) -> Result<Vec<u8>, KeyError> {
    seal(keys, "tip", 1, tip)
}

pub(super) fn read_tip(keys: &KeyRing, line: &[u8]) -> Result<Tip, Fault> {
    open(keys, "tip", 1, line.strip_suffix(b"\n").unwrap_or(line))
}

fn binding(epoch: &str, number: u64) -> String {
    format!("entry/{epoch}/{number}")
}

fn seal(keys: &KeyRing, binding: &str, number: u64, what: &impl Serialize) -> Result<Vec<u8>, KeyError> {
    // Texts, numbers and what was JSON before: this does not fail, and an empty text would open as nothing.
    let text = serde_json::to_vec(what).unwrap_or_default();
    let sealed = keys.seal(Purpose::SessionState, binding, &text)?;
    Ok(format!("{number} {sealed}\n").into_bytes())
}

fn open<T: for<'a> Deserialize<'a>>(keys: &KeyRing, binding: &str, number: u64, line: &[u8]) -> Result<T, Fault> {
    let text = std::str::from_utf8(line).map_err(|_| Fault::Malformed("it is no text"))?;
    let (own, sealed) = text.split_once(' ').ok_or(Fault::Malformed("it is no number and a sealed text"))?;
    if own != number.to_string() {
        return Err(Fault::Malformed("its number is not the one that comes next"));
    }
    let opened = keys.open_sealed(Purpose::SessionState, binding, sealed).map_err(|_| {
        let foreign = sealed.starts_with("v1.") && !keys.knows_key_of(sealed);
        if foreign { Fault::ForeignKey } else { Fault::Malformed("it was changed, or comes from another place") }
    })?;
    serde_json::from_slice(&opened).map_err(|_| Fault::Malformed("it is not what this version of the gateway writes"))
}
