//! Receipts: one decision, signed, with all that is needed to make it again.
//!
//! A receipt is a JWS (RFC 7515 §3.1) of the type `vestibule-receipt+jwt`. It has the chain (names, versions,
//! digests, settings, limits), the input and the output of the decision, and its place in the recording. What it
//! lacks are the components, which are found by their digests: whoever has them can run the decision again, and
//! must get the same bytes.

mod verify;

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

pub use verify::{Seen, Verified, verify};

use super::tally::fuel;
use crate::{
    config,
    decision::{Answered, Asked, Conclusion, Decided, DenyCode, Found, Recipe},
    jose::Fault,
    keys::{KeyError, KeyRing, Purpose},
    policy::{EngineError, LoadError},
    recording::{Damage, Entry, Kind, Line, Range, Reader, RecordingError},
    secret::{NoRandomness, random_bytes},
};

/// RFC 8725 §3.11: a receipt is taken for nothing else, and nothing else for a receipt.
pub(super) const TYPE: &str = "vestibule-receipt+jwt";

/// What a sealed input is tied to.
const BINDING: &str = "receipt";

/// What makes a commitment to a guessable input no hint of it.
const SALT_BYTES: usize = 32;

/// How the input stands in a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// For everybody to see: whoever has the components can verify it.
    Clear,
    /// As a commitment, and sealed with the key ring: whoever has that, too, can verify it.
    Sealed,
}

/// A receipt that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The receipt.
    pub text: String,
    /// The login's id.
    pub login: String,
    /// Which decision of the login it is of, from 1.
    pub number: usize,
    /// How many decisions the login had.
    pub of: usize,
}

/// There is no receipt, or it is worth nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The input is not the one that was committed to.
    #[error("the sealed input is not the one that the receipt commits to")]
    Commitment,
    /// No component has the digest.
    #[error("no component in {folder} has the sha-256 {digest} (policy {policy})")]
    ComponentMissing {
        /// The policy.
        policy: String,
        /// Its component's digest.
        digest: String,
        /// Where it was looked for.
        folder: String,
    },
    /// The line does not open.
    #[error("the decision's line in the recording is not as it was written: {0}")]
    Damaged(Damage),
    /// It comes out otherwise.
    #[error("the decision does not come out as the receipt says: {0}")]
    Differs(String),
    /// The sandbox cannot be set up with its limits.
    #[error("failed to make the sandbox")]
    Engine(#[from] EngineError),
    /// A file could not be read.
    #[error("failed to read {path}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The key ring refused.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A policy cannot be loaded.
    #[error("failed to load the policy {policy}: {source}")]
    Load {
        /// The policy.
        policy: String,
        /// Why.
        source: LoadError,
    },
    /// It has not the form of a receipt.
    #[error("it is no receipt: {0}")]
    Malformed(String),
    /// Its chain does not name a policy.
    #[error("the recording does not say what the chain of the decision was made of")]
    NoRecipe,
    /// The operating system has no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The decision hung on something that cannot be run again.
    #[error("the decision ended in `{0}`, which says something of that moment and cannot be run again")]
    NotRepeatable(DenyCode),
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The input is sealed, and there is no key ring to open it.
    #[error("the input is sealed: the key ring of the gateway that made the receipt opens it (`--config FILE`)")]
    Sealed,
    /// The signature, or who signed.
    #[error("its signature is worth nothing: {0}")]
    Signature(Fault),
    /// The settings that it has are not those of the digest.
    #[error("the settings of the policy {policy} have the sha-256 {found}, and the receipt says {expected}")]
    Settings {
        /// The policy.
        policy: String,
        /// What they have.
        found: String,
        /// What it says.
        expected: String,
    },
    /// The recording has no such decision.
    #[error(
        "the recording has no {} of the {of}{}",
        missing(*.number, *.decisions),
        if *.decisions == 0 { *.hint } else { "" }
    )]
    Unknown {
        /// The login or the request.
        of: String,
        /// What an id is.
        hint: &'static str,
        /// Which was asked for.
        number: usize,
        /// How many there are.
        decisions: usize,
    },
}

fn missing(number: usize, decisions: usize) -> String {
    if decisions == 0 { "decision".to_owned() } else { format!("decision {number}: there are {decisions}") }
}

const OF_LOGIN: &str =
    " (an id is `login` in the audit's line; `--request` takes what an error page shows, which is its `request`)";

const OF_REQUEST: &str = " (an id is the reference that an error page shows, and `request` in the audit's line; not every \
                          error page is about a decision)";

/// What is signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Receipt {
    /// Who states it: the gateway's address.
    pub(super) iss: String,
    /// When the receipt was made, in seconds since 1970-01-01 UTC.
    pub(super) iat: u64,
    pub(super) login: String,
    pub(super) tenant: String,
    pub(super) application: String,
    /// When it was decided.
    pub(super) at: u64,
    /// Where it stands in the recording.
    pub(super) recorded: Place,
    /// What stands as a pseudonym in it.
    pub(super) redacted: BTreeSet<String>,
    /// What decided.
    pub(super) chain: Recipe,
    /// Instructions that it took, over all policies.
    pub(super) fuel: u64,
    /// What was asked and what came of it.
    pub(super) content: Content,
}

/// A place in the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: u64,
    /// The hash of the line before it.
    pub(super) previous: String,
    /// The hash of the line itself.
    pub(super) hash: String,
}

/// Input and output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Content {
    Clear(Box<Body>),
    Sealed {
        /// sha-256 over salt and body.
        commitment: String,
        /// Salt and body, sealed with the key ring.
        sealed: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Body {
    pub(super) asked: Asked,
    pub(super) found: Found,
    /// The groups that the application knew.
    pub(super) known: Option<BTreeSet<String>>,
    pub(super) output: Output,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Output {
    pub(super) conclusion: Conclusion,
    pub(super) answers: Vec<Answered>,
}

/// By what a decision is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// The login's id, as the audit has it.
    Login(&'a str),
    /// The request's id, which an error page shows as its reference.
    Request(&'a str),
}

impl Of<'_> {
    fn is(self, decided: &Decided) -> bool {
        match self {
            Self::Login(id) => decided.asked.context.login == id,
            Self::Request(id) => decided.request == id,
        }
    }
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(id) => write!(f, "login {id}"),
            Self::Request(id) => write!(f, "request {id}"),
        }
    }
}

/// What is to be exported.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose decision.
    pub of: Of<'a>,
    /// Which of its decisions, from 1; none is the last.
    pub number: Option<usize>,
    /// When it was, as far as that is known.
    pub range: Range,
    /// How the input is to stand in it.
    pub input: Input,
    /// What it is signed with: `EdDSA` or `ES256`.
    pub algorithm: &'a str,
    /// Now, in seconds since 1970-01-01 UTC.
    pub now: u64,
}

/// Makes a receipt of a decision in the recording.
///
/// # Errors
///
/// Where there is none, or one that cannot be run again.
pub fn export(
    recording: &config::Recording,
    issuer: &str,
    keys: &KeyRing,
    wanted: &Wanted<'_>,
) -> Result<Exported, ReceiptError> {
    let mut reader = Reader::open(&recording.directory, keys, wanted.range)?;
    let mut found: Option<Match> = None;
    let mut decisions = 0;
    while let Some(batch) = reader.next_batch()? {
        for line in batch.lines.iter().filter(|line| line.kind == Kind::Login) {
            // What does not open may be of any login; if it is of this one, there is one decision fewer.
            let Ok(Entry::Login(decided)) = line.open(keys) else { continue };
            if !wanted.of.is(&decided) {
                continue;
            }
            decisions += 1;
            if wanted.number.is_none_or(|number| number == decisions) {
                let known = decided.found.known.as_ref().map(|digest| batch.known.get(digest).map(|it| (**it).clone()));
                found = Some(Match { decided: *decided, line: line.clone(), known, number: decisions });
            }
        }
    }
    let unknown = || ReceiptError::Unknown {
        of: wanted.of.to_string(),
        hint: if let Of::Login(_) = wanted.of { OF_LOGIN } else { OF_REQUEST },
        number: wanted.number.unwrap_or_default(),
        decisions,
    };
    let Match { decided, line, known, number } = found.ok_or_else(unknown)?;
    if let Some(damage) = reader.summary().damage.iter().find(|damage| is_of(damage, &line)) {
        return Err(ReceiptError::Damaged(damage.clone()));
    }
    let known = match known {
        None => None,
        Some(Some(known)) => Some(known),
        Some(None) => return Err(ReceiptError::Damaged(line.damage(crate::recording::Fault::LinesMissing))),
    };
    let context = &decided.asked.context;
    let recipe = reader.recipe(&decided.generation, &context.application).ok_or(ReceiptError::NoRecipe)?;
    repeatable(&decided)?;
    let receipt = Receipt {
        iss: issuer.to_owned(),
        iat: wanted.now,
        login: context.login.clone(),
        tenant: context.tenant.clone(),
        application: context.application.clone(),
        at: context.at,
        recorded: Place {
            file: line.file.to_string(),
            line: line.number,
            previous: line.previous.clone(),
            hash: line.hash(),
        },
        redacted: reader.summary().redacted.clone(),
        chain: recipe.clone(),
        fuel: fuel(&decided.answers),
        content: content(keys, decided, known, wanted.input)?,
    };
    let claims = serde_json::to_value(&receipt).map_err(RecordingError::Entry)?;
    let text = keys.sign(wanted.algorithm, TYPE, &claims)?;
    Ok(Exported { text, login: receipt.login, number, of: decisions })
}

/// A decision that was found, and where.
struct Match {
    decided: Decided,
    line: Line,
    /// None within where the line that has them is missing.
    known: Option<Option<BTreeSet<String>>>,
    number: usize,
}

fn is_of(damage: &Damage, line: &Line) -> bool {
    damage.file == *line.file && damage.line == line.number
}

/// A decision that the clock or the machine ended is none that anybody can make again.
fn repeatable(decided: &Decided) -> Result<(), ReceiptError> {
    match &decided.conclusion {
        Conclusion::Denied(denial)
            if matches!(
                denial.code,
                DenyCode::ChainUnavailable | DenyCode::Overloaded | DenyCode::PolicyDeadline | DenyCode::Sandbox
            ) =>
        {
            Err(ReceiptError::NotRepeatable(denial.code))
        }
        _ => Ok(()),
    }
}

fn content(
    keys: &KeyRing,
    decided: Decided,
    known: Option<BTreeSet<String>>,
    input: Input,
) -> Result<Content, ReceiptError> {
    let Decided { asked, found, conclusion, answers, .. } = decided;
    let body = Box::new(Body { asked, found, known, output: Output { conclusion, answers } });
    if input == Input::Clear {
        return Ok(Content::Clear(body));
    }
    let body = serde_json::to_string(&body).map_err(RecordingError::Entry)?;
    let salted = format!("{}.{body}", URL_SAFE_NO_PAD.encode(random_bytes::<SALT_BYTES>()?));
    let sealed = keys.seal(Purpose::Receipt, BINDING, salted.as_bytes())?;
    Ok(Content::Sealed { commitment: commitment(salted.as_bytes()), sealed })
}

/// Opens what [`content`] sealed.
fn opened(keys: &KeyRing, expected: &str, sealed: &str) -> Result<Body, ReceiptError> {
    let salted = keys.open_sealed(Purpose::Receipt, BINDING, sealed)?;
    if commitment(&salted) != expected {
        return Err(ReceiptError::Commitment);
    }
    let text = std::str::from_utf8(&salted).map_err(|_| ReceiptError::Commitment)?;
    let (_, body) = text.split_once('.').ok_or(ReceiptError::Commitment)?;
    serde_json::from_str(body).map_err(|error| ReceiptError::Malformed(error.to_string()))
}

fn commitment(salted: &[u8]) -> String {
    digest(&SHA256, salted).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
