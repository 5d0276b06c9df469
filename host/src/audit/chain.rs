//! One line of the log: how it is made, and how it is read back. Pure.

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;

use super::Event;

/// What the first line has for the hash of the line before it.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const HASH_MEMBER: &str = ",\"hash\":\"";
const HASH_CHARS: usize = 64;

/// The end of a chain: what the next line follows.
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

    /// Appends the next line to `buffer`.
    pub(super) fn line(&mut self, at_ms: u64, members: &str, buffer: &mut Vec<u8>) {
        self.seq = self.seq.saturating_add(1);
        let body =
            format!("{{\"seq\":{},\"at\":\"{}\",\"prev\":\"{}\",{members}", self.seq, timestamp(at_ms), self.hash);
        self.hash = hash(&body);
        buffer.extend_from_slice(body.as_bytes());
        buffer.extend_from_slice(HASH_MEMBER.as_bytes());
        buffer.extend_from_slice(self.hash.as_bytes());
        buffer.extend_from_slice(b"\"}\n");
    }
}

/// What a line says of its place in the chain, once its own hash is right.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) prev: String,
    pub(super) hash: String,
}

/// The event's members, without braces: what stands between a line's head and its hash.
pub(super) fn members(event: &Event) -> Result<String, serde_json::Error> {
    let object = serde_json::to_string(event)?;
    let inner = object.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    Ok(inner.unwrap_or_default().to_owned())
}

/// Reads a line, without its line end. None where its hash is not the hash of its bytes.
pub(super) fn read(line: &[u8]) -> Option<Link> {
    let text = std::str::from_utf8(line).ok()?;
    let rest = text.strip_suffix("\"}")?;
    let (body, found) = rest.split_at_checked(rest.len().checked_sub(HASH_CHARS)?)?;
    let body = body.strip_suffix(HASH_MEMBER)?;
    if hash(body) != found {
        return None;
    }
    let link: Link = serde_json::from_str(text).ok()?;
    (link.hash == found).then_some(link)
}

/// sha-256 over the line without its last member, in lower-case hex.
fn hash(body: &str) -> String {
    // The brace that closes the line without its hash.
    let mut context = Context::new(&SHA256);
    context.update(body.as_bytes());
    context.update(b"}");
    hex(context.finish().as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// RFC 3339 with milliseconds, UTC.
fn timestamp(at_ms: u64) -> String {
    let nanos = i128::from(at_ms) * 1_000_000;
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}
