//! Who vouches for a component: a small statement about it, and detached minisign signatures
//! over the statement's bytes.
//!
//! Beside `NAME.wasm` are `NAME.wasm.statement` and `NAME.wasm.statement.minisig`; the latter
//! holds the signatures of all signers, one after the other. Where signatures are required,
//! nothing of a component is looked at before they are good.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minisign_verify::{PublicKey as Verifier, Signature};
use serde::{Deserialize, Serialize};

use super::{
    artifact::{CONTRACT, Component},
    assemble,
    manifest::Manifest,
};
use crate::config::{PublicKey, Trust, key_id};

/// The first line of every statement says what it is: a signature over it can be taken for
/// nothing else that its key signs.
const KIND: &str = "vestibule-policy-statement/1";

/// A statement is five short lines.
pub const STATEMENT_BYTES_MAX: usize = 4096;

/// And a signature four, of which two are comments.
pub const SIGNATURES_BYTES_MAX: usize = 64 << 10;

/// More signatures than that are no threshold but a flood.
const SIGNATURES_MAX: usize = 32;

/// Lines of one signature: comment, signature, trusted comment, signature over both.
const LINES: usize = 4;

/// What is said of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Statement {
    kind: String,
    /// The policy's name, as in its manifest.
    pub name: String,
    /// Its version, as in its manifest.
    pub version: String,
    /// `sha256:` and the component's digest in lower-case hex.
    pub component: String,
    /// The contract that it speaks: package and version.
    pub contract: String,
}

/// Why a component is not vouched for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is no statement.
    #[error("the component is not signed: {problem}; `vestibule policy sign` makes a statement and signs it")]
    Unsigned {
        /// What became of reading the file.
        problem: String,
    },
    /// The statement is no statement.
    #[error("the statement is malformed: {0}")]
    Malformed(String),
    /// The signatures are no signatures.
    #[error("the signatures are malformed: {0}")]
    Signatures(String),
    /// Not enough of the trusted keys have signed.
    #[error("{}", too_few(.signed, *.required, .missing, .faults))]
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
    /// The statement is about other bytes.
    #[error("the statement is about another component: it says {said}, the component's digest is sha256:{found}")]
    OtherComponent {
        /// What the statement says.
        said: String,
        /// What the component is.
        found: String,
    },
    /// It is about a policy of another name than the one that is configured.
    #[error(
        "the statement is about the policy `{said}`, the configuration wants `{expected}` (`signed-as` says otherwise)"
    )]
    OtherPolicy {
        /// What the statement says.
        said: String,
        /// What is configured.
        expected: String,
    },
    /// Statement and manifest do not say the same.
    #[error("the statement says {key} `{said}`, the component's manifest `{found}`")]
    OtherManifest {
        /// Which of the manifest's keys.
        key: &'static str,
        /// What the statement says.
        said: String,
        /// What the manifest says.
        found: String,
    },
    /// It was made for another contract.
    #[error("the statement is for the contract `{said}`, this gateway speaks `{}`", CONTRACT)]
    OtherContract {
        /// What the statement says.
        said: String,
    },
}

/// What is wrong with one signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It does not fit the statement.
    #[error("the signature by `{name}` does not fit: the statement or the signature was changed after signing")]
    Altered {
        /// The trusted key's name.
        name: String,
    },
    /// It was made in minisign's old way.
    #[error("the signature by `{name}` is of the legacy kind: sign again with minisign 0.10 or later, without `-l`")]
    Legacy {
        /// The trusted key's name.
        name: String,
    },
    /// Its key counts no more.
    #[error(
        "the signature by the key {id} counts for nothing: the key is revoked (`revoked-keys`), and another trusted key \
         must sign in its place"
    )]
    Revoked {
        /// The key's id.
        id: String,
    },
    /// Its key is not trusted.
    #[error("the signature by the key {id} counts for nothing: the key is unknown (none of the trusted keys)")]
    Unknown {
        /// The key's id.
        id: String,
    },
}

/// A component that enough keys vouch for.
#[derive(Clone, Debug)]
pub(super) struct Vouched {
    statement: Statement,
    /// The names of the keys that signed, in order.
    pub(super) signers: Vec<String>,
}

impl Statement {
    /// What there is to say of `component`.
    #[must_use]
    pub fn of(component: &Component) -> Self {
        let Manifest { name, version, .. } = component.manifest();
        Self {
            kind: KIND.to_owned(),
            name: name.clone(),
            version: version.clone(),
            component: format!("sha256:{}", component.digest()),
            contract: CONTRACT.to_owned(),
        }
    }

    /// The statement as it is signed: the same statement gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a statement.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let statement: Self =
            serde_json::from_slice(bytes).map_err(|error| SignatureError::Malformed(error.to_string()))?;
        if statement.kind != KIND {
            let message = format!("its kind is `{}`, expected `{KIND}`", statement.kind);
            return Err(SignatureError::Malformed(message));
        }
        Ok(statement)
    }

    /// Is it about the component with this digest (sha-256, lower-case hex), for this contract?
    ///
    /// # Errors
    ///
    /// [`SignatureError::OtherComponent`], [`SignatureError::OtherContract`].
    pub fn fits(&self, digest: &str) -> Result<(), SignatureError> {
        if self.component != format!("sha256:{digest}") {
            let (said, found) = (self.component.clone(), digest.to_owned());
            return Err(SignatureError::OtherComponent { said, found });
        }
        if self.contract != CONTRACT {
            return Err(SignatureError::OtherContract { said: self.contract.clone() });
        }
        Ok(())
    }

    /// Does the component say the same of itself?
    ///
    /// # Errors
    ///
    /// [`SignatureError::OtherManifest`].
    pub fn agrees(&self, manifest: &Manifest) -> Result<(), SignatureError> {
        for (key, said, found) in [("name", &self.name, &manifest.name), ("version", &self.version, &manifest.version)]
        {
            if said != found {
                return Err(SignatureError::OtherManifest { key, said: said.clone(), found: found.clone() });
            }
        }
        Ok(())
    }
}

impl Vouched {
    pub(super) fn agrees(&self, manifest: &Manifest) -> Result<(), SignatureError> {
        self.statement.agrees(manifest)
    }
}

/// Where the statement about the component at `component` is.
#[must_use]
pub fn statement_path(component: &Path) -> PathBuf {
    with_end(component, ".statement")
}

/// Where the signatures over the statement about the component at `component` are.
#[must_use]
pub fn signatures_path(component: &Path) -> PathBuf {
    with_end(component, ".statement.minisig")
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Reads what is beside `component`, whose digest is `digest`, and holds it to `trust`. The
/// statement must be about the policy `expected`.
///
/// # Errors
///
/// The file to look at, and what is wrong.
pub(super) fn vouched(
    trust: &Trust,
    component: &Path,
    digest: &str,
    expected: &str,
) -> Result<Vouched, (PathBuf, SignatureError)> {
    let (statement_file, signatures_file) = (statement_path(component), signatures_path(component));
    let read = |path: &Path, max| {
        assemble::read(path, max, "").map_err(|problem| {
            let problem = format!("{}: {problem}", path.file_name().unwrap_or_default().to_string_lossy());
            (component.to_owned(), SignatureError::Unsigned { problem })
        })
    };
    let bytes = read(&statement_file, STATEMENT_BYTES_MAX)?;
    let signatures = read(&signatures_file, SIGNATURES_BYTES_MAX)?;
    // Signatures first: what nobody vouches for is not parsed.
    let signers = signers(trust, &bytes, &signatures).map_err(|error| (signatures_file, error))?;
    let about = |error| (statement_file.clone(), error);
    let statement = Statement::parse(&bytes).map_err(about)?;
    if statement.name != expected {
        let (said, expected) = (statement.name, expected.to_owned());
        return Err(about(SignatureError::OtherPolicy { said, expected }));
    }
    statement.fits(digest).map_err(about)?;
    Ok(Vouched { statement, signers })
}

/// Holds the component at `path` to what is beside it, and to its own manifest: statement and signers.
///
/// # Errors
///
/// The file to look at, and what is wrong.
pub fn verify_signed(
    trust: &Trust,
    path: &Path,
    component: &Component,
    expected: &str,
) -> Result<(Statement, Vec<String>), (PathBuf, SignatureError)> {
    let Vouched { statement, signers } = vouched(trust, path, component.digest(), expected)?;
    statement.agrees(component.manifest()).map_err(|error| (statement_path(path), error))?;
    Ok((statement, signers))
}

/// The names of the trusted keys that signed `statement`, if they are enough.
///
/// # Errors
///
/// [`SignatureError::Signatures`], [`SignatureError::TooFew`].
pub fn signers(trust: &Trust, statement: &[u8], signatures: &[u8]) -> Result<Vec<String>, SignatureError> {
    let mut good = BTreeSet::new();
    let mut faults = Vec::new();
    for text in split(signatures)? {
        match judge(trust, statement, &text)? {
            Ok(name) => {
                good.insert(name);
            }
            Err(fault) if !faults.contains(&fault) => faults.push(fault),
            Err(_) => {}
        }
    }
    // Signatures that count for nothing do no harm beside those that do.
    if good.len() < trust.required {
        let may_sign = trust.keys.iter().filter(|(_, key)| !trust.is_revoked(key));
        let (signed, missing): (Vec<_>, Vec<_>) = may_sign.partition(|(name, _)| good.contains(*name));
        let described = |keys: Vec<(&String, &PublicKey)>| keys.into_iter().map(described).collect();
        let (signed, missing) = (described(signed), described(missing));
        return Err(SignatureError::TooFew { signed, required: trust.required, missing, faults });
    }
    Ok(good.into_iter().collect())
}

/// The text of each signature.
fn split(signatures: &[u8]) -> Result<Vec<String>, SignatureError> {
    let malformed = |message: String| SignatureError::Signatures(message);
    let text = std::str::from_utf8(signatures).map_err(|_| malformed("expected text".to_owned()))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return Err(malformed("the file is empty".to_owned()));
    }
    if !lines.len().is_multiple_of(LINES) {
        return Err(malformed(format!("expected {LINES} lines for each signature, found {} in all", lines.len())));
    }
    if lines.len() / LINES > SIGNATURES_MAX {
        return Err(malformed(format!("more than {SIGNATURES_MAX} signatures")));
    }
    Ok(lines.chunks(LINES).map(|lines| lines.join("\n")).collect())
}

/// One signature: whose it is, or why it does not count.
fn judge(trust: &Trust, statement: &[u8], text: &str) -> Result<Result<String, Fault>, SignatureError> {
    let malformed = |what: &str| SignatureError::Signatures(what.to_owned());
    let signature = Signature::decode(text).map_err(|error| malformed(&error.to_string()))?;
    let id = text.lines().nth(1).and_then(|line| STANDARD.decode(line.trim()).ok());
    let id = id.and_then(|bytes| bytes.get(2..10).map(key_id)).ok_or_else(|| malformed("one has no key id"))?;
    if trust.is_revoked_id(&id) {
        return Ok(Err(Fault::Revoked { id }));
    }
    let Some((name, key)) = trust.keys.iter().find(|(_, key)| key.id() == id) else {
        return Ok(Err(Fault::Unknown { id }));
    };
    // A key may be revoked under another id than the one it is trusted under.
    if trust.is_revoked(key) {
        return Ok(Err(Fault::Revoked { id }));
    }
    Ok(verify(key, statement, &signature).map(|()| name.clone()).map_err(|error| {
        let name = name.clone();
        match error {
            minisign_verify::Error::UnexpectedAlgorithm => Fault::Legacy { name },
            _ => Fault::Altered { name },
        }
    }))
}

fn verify(key: &PublicKey, statement: &[u8], signature: &Signature) -> Result<(), minisign_verify::Error> {
    Verifier::from_base64(&key.to_base64())?.verify(statement, signature, false)
}

/// A trusted key, by its name and its id.
#[must_use]
pub fn described((name, key): (&String, &PublicKey)) -> String {
    format!("{name} (key {})", key.id())
}

pub(super) fn too_few(signed: &[String], required: usize, missing: &[String], faults: &[Fault]) -> String {
    let signatures = if required == 1 { "signature that is" } else { "signatures that are" };
    let by = if signed.is_empty() { "none of the trusted keys".to_owned() } else { signed.join(", ") };
    let mut text = format!("{} of the {required} {signatures} required: signed by {by}", signed.len());
    if !missing.is_empty() {
        text.push_str(&format!("; not signed by {}", missing.join(", ")));
    }
    for fault in faults {
        text.push_str(&format!("; {fault}"));
    }
    text
}

#[cfg(test)]
#[path = "signed_tests.rs"]
mod tests;
