//! Packs: the policies of a generation, configured, snapshotted and compiled elsewhere, in one signed file.
//!
//! A pack holds native code, which runs with the gateway's rights. So nothing of it is looked at before its
//! signatures are good, in this order: *head whole → enough keys signed the statement → the statement is a pack's, for
//! this gateway → its contents are those that it names → native code*. Packs are read whole, and what was checked is
//! what is loaded.
//!
//! ```text
//! "vestibule-pack/1\n"
//! length of the statement, length of the signatures      two numbers of 32 bits, the least significant byte first
//! the statement                                          JSON
//! the signatures over it                                 as minisign writes them, one after the other
//! sha-256 of all of the above                            tells damage from forgery; it vouches for nothing
//! the contents                                           of each policy: manifest, settings, native code
//! ```

#[cfg(feature = "compiler")]
mod make;
mod statement;

use aws_lc_rs::digest;

use super::{
    artifact::looks_like,
    cache::sha256,
    signed::{self, Fault, SignatureError},
};
use crate::config::Trust;

#[cfg(feature = "compiler")]
pub use make::{Draft, PackingError};
pub use statement::{MadeFor, PackStatement, PackedPolicy, Shape};

/// What a pack is called where policies have names: no policy has this one.
pub(super) const NAME: &str = "pack";

/// What a pack begins with.
const MAGIC: &[u8] = b"vestibule-pack/1\n";

/// What every pack begins with, whatever its format.
const MAGIC_OF_ALL: &[u8] = b"vestibule-pack/";

/// A statement has some hundred bytes for each policy.
const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// Bytes of one length.
const LENGTH_BYTES: usize = 4;

/// Bytes of the head's digest.
const DIGEST_BYTES: usize = 32;

/// Why a pack is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// Not a pack at all.
    #[error("expected a pack, as `vestibule generation pack` makes, found {found}")]
    NotAPack {
        /// What it looks like, as `a JPEG image`.
        found: &'static str,
    },
    /// A pack in another form.
    #[error(
        "the pack has the format `{found}`, this gateway knows `vestibule-pack/1`: pack with a Vestibule of its version"
    )]
    OtherFormat {
        /// What it says of itself.
        found: String,
    },
    /// It is not whole.
    #[error("the pack is damaged: {0}")]
    Damaged(&'static str),
    /// Not enough of the trusted keys have signed.
    #[error("{}", signed::too_few(.signed, *.required, .missing, .faults))]
    TooFew {
        /// The trusted keys that have signed: their names and ids.
        signed: Vec<String>,
        /// How many must have.
        required: usize,
        /// The trusted keys that have not signed, and may.
        missing: Vec<String>,
        /// What is wrong with other signatures.
        faults: Vec<Fault>,
    },
    /// The signatures are no signatures.
    #[error("the pack's signatures are malformed: {0}")]
    Signatures(String),
    /// What was signed is no statement about a pack.
    #[error("the pack's statement is malformed: {0}")]
    Malformed(String),
    /// It was made for another gateway.
    #[error("the pack was made for {what} {said}, this gateway has {ours}; pack again for it")]
    Foreign {
        /// What differs.
        what: &'static str,
        /// What the pack says.
        said: String,
        /// What is here.
        ours: String,
    },
    /// One of its policies cannot be used.
    #[error("policy {name}: {message}")]
    Policy {
        /// Its configured name.
        name: String,
        /// What is wrong.
        message: String,
    },
}

/// A pack that enough keys vouch for, whole.
#[derive(Debug)]
pub struct Pack {
    statement: PackStatement,
    signers: Vec<String>,
    bytes: Vec<u8>,
    contents_at: usize,
}

/// What a pack has of one policy.
pub(super) struct Packed<'a> {
    pub(super) about: &'a PackedPolicy,
    pub(super) manifest: &'a [u8],
    pub(super) settings: &'a [u8],
    pub(super) code: &'a [u8],
}

/// The parts of a file that looks like a pack.
struct Parts<'a> {
    statement: &'a [u8],
    signatures: &'a [u8],
    contents_at: usize,
}

impl Pack {
    /// Takes `bytes` for a pack, if the keys in `trust` vouch for it. At least one of them must, whatever
    /// `trust.required` says.
    ///
    /// Loads nothing, and does not ask whom it was made for: [`PackStatement::fits`] does.
    ///
    /// # Errors
    ///
    /// What is wrong, in the order of the checks.
    pub fn open(trust: &Trust, bytes: Vec<u8>) -> Result<Self, PackError> {
        let parts = Parts::of(&bytes)?;
        // Signatures first: what nobody vouches for is not parsed.
        let trust = Trust { required: trust.required.max(1), ..trust.clone() };
        let signers = signed::signers(&trust, parts.statement, parts.signatures).map_err(unsigned)?;
        let statement = PackStatement::parse(parts.statement)?;
        let contents_at = parts.contents_at;
        let contents = bytes.get(contents_at..).unwrap_or_default();
        if statement.contents_bytes() != Some(contents.len()) {
            return Err(PackError::Damaged("its contents are cut, or there is more than them"));
        }
        if statement.contents != format!("sha256:{}", sha256(contents)) {
            return Err(PackError::Damaged("its contents are not those that were signed"));
        }
        Ok(Self { statement, signers, bytes, contents_at })
    }

    /// What was signed.
    #[must_use]
    pub const fn statement(&self) -> &PackStatement {
        &self.statement
    }

    /// The names of the keys that signed it, in order.
    #[must_use]
    pub fn signers(&self) -> &[String] {
        &self.signers
    }

    /// Its policies, in its order.
    pub(super) fn policies(&self) -> impl Iterator<Item = Packed<'_>> {
        let mut rest = self.bytes.get(self.contents_at..).unwrap_or_default();
        self.statement.policies.iter().map(move |about| {
            // They add up to what is there: that was checked when it was opened.
            let mut take = |length: u64| {
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
                let (part, after) = rest.split_at_checked(length).unwrap_or_default();
                rest = after;
                part
            };
            let (manifest, settings) = (take(about.manifest_bytes), take(about.settings_bytes));
            Packed { about, manifest, settings, code: take(about.code_bytes) }
        })
    }
}

/// The statement in `bytes` and the signatures over it, held to nobody's key: for whoever adds a signature.
///
/// # Errors
///
/// Where it is no pack, or not whole.
pub fn statement_and_signatures(bytes: &[u8]) -> Result<(&[u8], &[u8]), PackError> {
    Parts::of(bytes).map(|parts| (parts.statement, parts.signatures))
}

/// A pack of the same statement and contents as `bytes`, with `signatures` in the place of its own.
///
/// # Errors
///
/// As [`statement_and_signatures`]; or where there are too many signatures.
pub fn with_signatures(bytes: &[u8], signatures: &[u8]) -> Result<Vec<u8>, PackError> {
    let parts = Parts::of(bytes)?;
    sealed(parts.statement, signatures, bytes.get(parts.contents_at..).unwrap_or_default())
}

/// All parts in their order. Checks lengths, and nothing that they say.
pub(super) fn sealed(statement: &[u8], signatures: &[u8], contents: &[u8]) -> Result<Vec<u8>, PackError> {
    let mut pack = head(statement, signatures)?;
    pack.extend_from_slice(contents);
    Ok(pack)
}

/// All of a pack that comes before its contents.
fn head(statement: &[u8], signatures: &[u8]) -> Result<Vec<u8>, PackError> {
    let mut head = MAGIC.to_vec();
    for (part, max, what) in [
        (statement, STATEMENT_BYTES_MAX, "its statement would be too long"),
        (signatures, signed::SIGNATURES_BYTES_MAX, "its signatures would be too long"),
    ] {
        let length = u32::try_from(part.len()).ok().filter(|_| part.len() <= max).ok_or(PackError::Damaged(what))?;
        head.extend_from_slice(&length.to_le_bytes());
    }
    head.extend_from_slice(statement);
    head.extend_from_slice(signatures);
    let digest = digest::digest(&digest::SHA256, &head);
    head.extend_from_slice(digest.as_ref());
    Ok(head)
}

impl<'a> Parts<'a> {
    /// Allocates nothing, whatever the lengths say.
    fn of(bytes: &'a [u8]) -> Result<Self, PackError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| not_ours(bytes))?;
        let (statement_bytes, rest) = length(rest)?;
        let (signatures_bytes, rest) = length(rest)?;
        if statement_bytes > STATEMENT_BYTES_MAX || signatures_bytes > signed::SIGNATURES_BYTES_MAX {
            return Err(PackError::Damaged("its head is too long"));
        }
        let cut = PackError::Damaged("its head is cut");
        let (statement, rest) = rest.split_at_checked(statement_bytes).ok_or_else(|| cut.clone())?;
        let (signatures, rest) = rest.split_at_checked(signatures_bytes).ok_or_else(|| cut.clone())?;
        let (said, contents) = rest.split_at_checked(DIGEST_BYTES).ok_or(cut)?;
        let contents_at = bytes.len() - contents.len();
        let head = bytes.get(..contents_at - DIGEST_BYTES).unwrap_or_default();
        if digest::digest(&digest::SHA256, head).as_ref() != said {
            return Err(PackError::Damaged("its head is not what its digest says"));
        }
        Ok(Self { statement, signatures, contents_at })
    }
}

fn length(bytes: &[u8]) -> Result<(usize, &[u8]), PackError> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or(PackError::Damaged("its head is cut"))?;
    Ok((usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX), rest))
}

/// What it is instead.
fn not_ours(bytes: &[u8]) -> PackError {
    if bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes) && !bytes.is_empty() {
        return PackError::Damaged("its head is cut");
    }
    if bytes.starts_with(MAGIC_OF_ALL) {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let found = String::from_utf8_lossy(line).escape_debug().take(60).collect();
        return PackError::OtherFormat { found };
    }
    if bytes.starts_with(b"\0asm") {
        return PackError::NotAPack { found: "a WebAssembly component" };
    }
    PackError::NotAPack { found: looks_like(bytes) }
}

fn unsigned(error: SignatureError) -> PackError {
    match error {
        SignatureError::TooFew { signed, required, missing, faults } => {
            PackError::TooFew { signed, required, missing, faults }
        }
        SignatureError::Signatures(problem) => PackError::Signatures(problem),
        other => PackError::Signatures(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
