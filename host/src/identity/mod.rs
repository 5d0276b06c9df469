//! Who somebody is, as an upstream stated it. Pure data.
//!
//! [`VerifiedIdentity`] is the first type on the one way in
//! (`UnverifiedToken → VerifiedIdentity → Admission → Session`). It can be made by the
//! upstream module's verifier alone; everything later asks for it by type.

use std::{collections::BTreeMap, ops::Deref};

use serde::{Deserialize, Serialize};

/// The `acr` of an identity that passed the gateway's own second factor. A policy asks for it by this
/// name; from an upstream it counts for nothing.
pub const SECOND_FACTOR: &str = "urn:vestibule:second-factor";

/// The `acr` of an identity that passed it by a passkey, where that was what was asked for. Whoever has
/// this has the other, too.
pub const PHISHING_RESISTANT: &str = "urn:vestibule:second-factor:phishing-resistant";

/// Is it the gateway's own to state?
#[must_use]
pub fn is_reserved_acr(acr: &str) -> bool {
    [SECOND_FACTOR, PHISHING_RESISTANT].contains(&acr)
}

/// The upstream of an identity that was proved at the emergency door. No configured upstream has this id.
pub const EMERGENCY_DOOR: &str = "emergency-door";

/// How the identity was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// A local account of this gateway.
    Local,
    /// OAuth 2.0 with a userinfo endpoint, without an ID token.
    Oauth2,
    /// OpenID Connect.
    Oidc,
    /// SAML 2.0.
    Saml,
}

/// The groups as the upstream reported them.
///
/// `Absent` and `Overage` are no lists: neither takes a group from anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupClaim {
    /// The upstream sent no group claim at all.
    #[default]
    Absent,
    /// It sent a reference in place of a list that is too long (Entra ID's overage).
    Overage,
    /// The names, exactly as sent.
    Listed(Vec<String>),
}

/// An email address and whether the upstream vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The address as sent.
    pub address: String,
    /// True only where the upstream said so and is trusted to say so.
    pub verified: bool,
}

/// What an upstream stated about a subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The configured id of the upstream.
    pub upstream: String,
    /// How the identity was proved.
    pub protocol: Protocol,
    /// The issuer's URL.
    pub issuer: String,
    /// Unique only together with `issuer`.
    pub subject: String,
    /// The email address, if one was stated.
    pub email: Option<Email>,
    /// The groups, or why there are none.
    #[serde(default)]
    pub groups: GroupClaim,
    /// When the subject last authenticated, in seconds since 1970-01-01 UTC.
    pub auth_time: Option<u64>,
    /// Authentication context class (OIDC Core §2, `acr`).
    pub acr: Option<String>,
    /// Authentication methods (OIDC Core §2, `amr`).
    #[serde(default)]
    pub amr: Vec<String>,
    /// Every further claim by name, as JSON. Never holds a credential: the verifier
    /// leaves out what is one.
    #[serde(default)]
    pub claims: BTreeMap<String, serde_json::Value>,
}

impl Identity {
    /// Was it proved at the emergency door?
    #[must_use]
    pub fn is_of_the_door(&self) -> bool {
        self.protocol == Protocol::Local && self.upstream == EMERGENCY_DOOR
    }
}

/// An identity whose signature, issuer, audience, nonce and times were checked.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedIdentity(Identity);

impl VerifiedIdentity {
    /// States that `identity` was verified.
    ///
    /// Called by `upstream/verify.rs` alone, and by `session/` for an identity that it
    /// sealed itself; a test holds that.
    pub(crate) const fn assertion(identity: Identity) -> Self {
        Self(identity)
    }

    /// Gives up the statement and keeps the data.
    #[must_use]
    pub fn into_inner(self) -> Identity {
        self.0
    }
}

impl Deref for VerifiedIdentity {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.0
    }
}
