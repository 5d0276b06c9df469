//! Passkeys: WebAuthn (Level 3) credentials that are bound to the gateway's own host. What a browser
//! is asked, and what its answer is worth; what is kept of it is `passkeys.rs`.
//!
//! The user is always to be verified, by a PIN or a finger; no attestation is asked for, so that of
//! an authenticator nothing is known but its key.

use serde::{Deserialize, Serialize};
use url::Url;
use webauthn_rs::{
    Webauthn, WebauthnBuilder,
    prelude::{
        AuthenticationResult, CredentialID, Passkey, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
        RegisterPublicKeyCredential, Uuid, WebauthnError,
    },
};

use super::file::Name;
use crate::secret::Secret;

/// How many passkeys one subject may have.
pub const PASSKEYS_MAX: usize = 10;
/// Longer answers of a browser are none: an RSA key's takes some 2 KiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Characters of a passkey's name; what is longer is cut.
const NAME_CHARS_MAX: usize = 64;
/// WebAuthn §7.1 step 25.
const ID_BYTES_MAX: usize = 1023;

/// The gateway, as browsers and authenticators know it: its host is the RP ID.
#[derive(Debug)]
pub struct RelyingParty(Webauthn);

impl RelyingParty {
    /// `public_url` is the one origin from which an answer is taken; `name` is for people. None where
    /// the host is an address: no browser has passkeys for one (WebAuthn §5.1.3, "effective domain").
    #[must_use]
    pub fn new(public_url: &Url, name: &str) -> Option<Self> {
        let builder = WebauthnBuilder::new(public_url.domain()?, public_url).ok()?;
        builder.rp_name(name).allow_subdomains(false).allow_any_port(false).build().ok().map(Self)
    }

    /// Asks for one of these passkeys.
    pub(super) fn request(&self, passkeys: &[Passkey]) -> Option<(String, Request)> {
        let (asked, state) = self.0.start_passkey_authentication(passkeys).ok()?;
        Some((serde_json::to_string(&asked.public_key).ok()?, Request(state)))
    }

    /// Asks for a new one, on an authenticator that has none of `known`.
    pub(super) fn creation(&self, handle: Uuid, account: &str, known: Vec<CredentialID>) -> Option<(String, Creation)> {
        let excluded = Some(known.clone());
        let (asked, state) = self.0.start_passkey_registration(handle, account, account, excluded).ok()?;
        Some((serde_json::to_string(&asked.public_key).ok()?, Creation { state, handle, known }))
    }

    /// WebAuthn §7.2. Whether the counter fits what is kept by now, and whose it is, is yet to be
    /// looked at.
    pub(super) fn proved(&self, asked: &Request, answer: &str) -> Result<AuthenticationResult, Refused> {
        let answer: PublicKeyCredential = read(answer)?;
        of_our_own_page(&answer.response.client_data_json)?;
        let result = self.0.finish_passkey_authentication(&answer, &asked.0).map_err(|error| Refused::of(&error))?;
        // Asked for and checked; here once more, since all else stands on it.
        if result.user_verified() { Ok(result) } else { Err(Refused::UserNotVerified) }
    }

    /// Looks at a new passkey (WebAuthn §7.1): it is not kept yet.
    ///
    /// # Errors
    ///
    /// Where the answer is none to what was asked, or not from here.
    pub fn made(&self, asked: Option<Ceremonies>, form: &PasskeyForm) -> Result<NewPasskey, Refused> {
        let Some(Ceremonies { whose, creation: Some(creation), .. }) = asked else { return Err(Refused::NotAsked) };
        let answer: RegisterPublicKeyCredential = read(form.attestation.expose())?;
        of_our_own_page(&answer.response.client_data_json)?;
        if creation.known.iter().any(|id| AsRef::<[u8]>::as_ref(id) == AsRef::<[u8]>::as_ref(&answer.raw_id)) {
            return Err(Refused::Known);
        }
        let passkey =
            self.0.finish_passkey_registration(&answer, &creation.state).map_err(|error| Refused::of(&error))?;
        if passkey.cred_id().len() > ID_BYTES_MAX {
            return Err(Refused::Malformed);
        }
        let name: String = form.name.trim().chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        Ok(NewPasskey { whose, name, kept: Kept { handle: creation.handle, counter: 0, passkey } })
    }
}

/// What a browser was asked for, of whom; each is asked for once.
#[derive(Debug)]
pub struct Ceremonies {
    pub(super) whose: Name,
    pub(super) request: Option<Request>,
    pub(super) creation: Option<Creation>,
}

/// What a page hands to the browser: `PublicKeyCredentialRequestOptionsJSON` and
/// `PublicKeyCredentialCreationOptionsJSON` (WebAuthn §5.1), as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// For `navigator.credentials.get`.
    pub request: Option<String>,
    /// For `navigator.credentials.create`.
    pub creation: Option<String>,
}

impl Ceremonies {
    /// What was asked for of the passkeys that there are, and of a new one: each for its own answer.
    #[must_use]
    pub fn split(asked: Option<Self>) -> (Option<Self>, Option<Self>) {
        let Some(Self { whose, request, creation }) = asked else { return (None, None) };
        let request = request.map(|request| Self { whose: whose.clone(), request: Some(request), creation: None });
        (request, creation.map(|creation| Self { whose, request: None, creation: Some(creation) }))
    }
}

#[derive(Debug)]
pub(super) struct Request(PasskeyAuthentication);

#[derive(Debug)]
pub(super) struct Creation {
    state: PasskeyRegistration,
    handle: Uuid,
    known: Vec<CredentialID>,
}

/// A new passkey, as a form brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyForm {
    /// What its owner calls it; may be empty.
    pub name: String,
    /// The browser's answer: `RegistrationResponseJSON` (WebAuthn §5.1).
    pub attestation: Secret<String>,
}

/// A new passkey that was looked at.
#[derive(Debug)]
pub struct NewPasskey {
    pub(super) whose: Name,
    pub(super) name: String,
    pub(super) kept: Kept,
}

/// What is kept of a passkey, sealed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The user handle (WebAuthn §5.4.3): random, the same for all passkeys of a subject.
    pub(super) handle: Uuid,
    /// The newest signature counter; stays 0 where the authenticator has none (§6.1.1).
    pub(super) counter: u32,
    pub(super) passkey: Passkey,
}

/// Why a passkey's answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The authenticator made a key of a kind that was not asked for.
    Algorithm,
    /// The answer is to another challenge.
    Challenge,
    /// The signature counter did not go forward: there may be a copy of the authenticator.
    Counter,
    /// It is somebody's passkey already.
    Known,
    /// The answer cannot be read, or lacks something.
    Malformed,
    /// Nothing was asked for here, or it was answered already, or too long ago.
    NotAsked,
    /// Another site's page, or a page within another site's.
    Origin,
    /// A passkey of another host.
    RelyingParty,
    /// The signature is wrong.
    Signature,
    /// There are as many as may be.
    TooMany,
    /// It is none of this subject's passkeys.
    Unknown,
    /// Nobody touched the authenticator.
    UserNotPresent,
    /// The authenticator did not verify who uses it.
    UserNotVerified,
}

impl Refused {
    /// A stable name, for the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Algorithm => "passkey-algorithm",
            Self::Challenge => "passkey-challenge",
            Self::Counter => "passkey-counter",
            Self::Known => "passkey-known",
            Self::Malformed => "passkey-malformed",
            Self::NotAsked => "passkey-not-asked",
            Self::Origin => "passkey-origin",
            Self::RelyingParty => "passkey-relying-party",
            Self::Signature => "passkey-signature",
            Self::TooMany => "passkey-too-many",
            Self::Unknown => "passkey-unknown",
            Self::UserNotPresent => "passkey-user-not-present",
            Self::UserNotVerified => "passkey-user-not-verified",
        }
    }

    const fn of(error: &WebauthnError) -> Self {
        match error {
            WebauthnError::MismatchedChallenge => Self::Challenge,
            WebauthnError::InvalidRPOrigin | WebauthnError::CredentialCrossOrigin => Self::Origin,
            WebauthnError::InvalidRPIDHash => Self::RelyingParty,
            WebauthnError::UserNotPresent => Self::UserNotPresent,
            WebauthnError::UserNotVerified => Self::UserNotVerified,
            WebauthnError::CredentialNotFound => Self::Unknown,
            WebauthnError::CredentialPossibleCompromise => Self::Counter,
            WebauthnError::CredentialAlteredAlgFromRequest
            | WebauthnError::CredentialInsecureCryptography
            | WebauthnError::COSEKeyInvalidAlgorithm
            | WebauthnError::COSEKeyInvalidType
            | WebauthnError::COSEKeyEDUnsupported => Self::Algorithm,
            WebauthnError::CredentialAlreadyExists | WebauthnError::CredentialExcludedFromRequest => Self::Known,
            WebauthnError::AuthenticationFailure
            | WebauthnError::AttestationStatementSigInvalid
            | WebauthnError::SignatureInvalid => Self::Signature,
            _ => Self::Malformed,
        }
    }
}

/// `CollectedClientData` (WebAuthn §5.8.1), as far as the library does not look at it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Collected {
    cross_origin: Option<bool>,
    top_origin: Option<serde::de::IgnoredAny>,
}

/// No page of ours stands in another site's (WebAuthn §7.1 steps 10 and 11, §7.2 steps 13 and 14): of a
/// proof, the library takes that.
fn of_our_own_page(client_data: &[u8]) -> Result<(), Refused> {
    let collected: Collected = serde_json::from_slice(client_data).map_err(|_| Refused::Malformed)?;
    let is_framed = collected.cross_origin == Some(true) || collected.top_origin.is_some();
    if is_framed { Err(Refused::Origin) } else { Ok(()) }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, Refused> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(Refused::Malformed);
    }
    serde_json::from_str(answer).map_err(|_| Refused::Malformed)
}
