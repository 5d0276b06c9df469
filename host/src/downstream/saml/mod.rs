//! The SAML 2.0 identity provider: applications that are service providers of this gateway.
//!
//! | endpoint | file | specification |
//! |---|---|---|
//! | `/saml/{application}/metadata` | `metadata.rs` | SAML Metadata §2.4 |
//! | `/saml/{application}/sso` | `authn_request.rs`, `response.rs` | SAML Core §3.4, Profiles §4.1 |
//! | `/saml/{application}/slo` | `logout.rs`, `logout_sent.rs` | SAML Core §3.7, Profiles §4.4 |
//!
//! `binding.rs` has how messages travel (SAML Bindings §3.4, §3.5). `xml.rs` reads, and takes
//! much less than XML is; `write.rs` writes canonical XML and nothing else, so that `sign.rs`
//! signs what was written; `signature.rs` checks what service providers signed, and says what
//! the signature covers: nothing else is consumed (`docs/adr/0004-saml-and-xml.md`).
//!
//! Data in, data out: `http` has the routes, and `login` has the login. An assertion is made
//! from an [`Admission`](crate::decision::Admission) only. No other module knows XML.

mod authn_request;
mod binding;
mod import;
mod instant;
mod logout;
mod logout_sent;
mod metadata;
mod response;
mod sign;
mod signature;
mod status;
mod write;
mod xml;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

pub use authn_request::{Answer, Asked, Wish};
pub use binding::{Inbound, Message, Unreadable};
pub use import::{ImportError, import};
pub use logout::Farewell;
pub use logout_sent::LogoutAnswer;
pub use metadata::{Details, details};

use crate::{
    clock::Clock,
    config::{Application, Config, HandOver, ServiceProvider},
    keys::{KeyError, KeyRing, Purpose},
    secret::random_bytes,
};

/// Lengths and times that the provider keeps to.
mod limits {
    /// Of one message, inflated.
    pub(super) const XML_BYTES_MAX: usize = 64 * 1024;
    /// Of one element within another.
    pub(super) const XML_DEPTH_MAX: u32 = 24;
    /// Of `RelayState`. SAML Bindings §3.4.3 has 80; service providers send more.
    pub(super) const RELAY_STATE_BYTES_MAX: usize = 1024;
    /// Of a request's `ID`.
    pub(super) const ID_BYTES_MAX: usize = 256;
    /// How old a request may be, in seconds: somebody may leave a page open over lunch.
    pub(super) const REQUEST_AGE_MAX: u64 = 3600;
    /// How far two clocks may differ, in seconds.
    pub(super) const CLOCK_SKEW: u64 = 120;
    /// How long a sealed request waits for its login, in seconds.
    pub(super) const SEALED_LIFETIME: u64 = 3600;
}

/// XML namespaces, protocol names and formats.
mod names {
    pub(super) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
    pub(super) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
    pub(super) const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
    pub(super) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";

    pub(super) const EXCLUSIVE_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
    pub(super) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
    pub(super) const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
    pub(super) const RSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384";
    pub(super) const RSA_SHA512: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512";
    pub(super) const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
    pub(super) const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
    pub(super) const SHA512: &str = "http://www.w3.org/2001/04/xmlenc#sha512";

    pub(super) const HTTP_POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";
    pub(super) const HTTP_REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
    pub(super) const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
    pub(super) const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";
    pub(super) const NAME_ID_EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
    pub(super) const NAME_ID_PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
    pub(super) const NAME_ID_TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
    pub(super) const NAME_ID_UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";
    pub(super) const CONTEXT_UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified";
}

/// A refusal that is shown on our own page: nobody may be sent anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// A stable name in kebab-case.
    pub code: &'static str,
    /// For the log; nothing of a message.
    pub detail: &'static str,
}

impl Refused {
    const fn new(code: &'static str, detail: &'static str) -> Self {
        Self { code, detail }
    }
}

/// A message to a service provider by HTTP-POST: the form that a browser brings (SAML Bindings
/// §3.5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// A registered address.
    pub to: Url,
    /// The parameter that it is.
    pub kind: Message,
    /// Base64.
    pub message: String,
    /// `RelayState`
    pub relay_state: Option<String>,
}

/// A logout message on its way to a service provider, by the binding that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// By a form.
    Form(Delivery),
    /// The address has it all.
    Redirect(Url),
}

/// The identity provider: the keys, and the time.
pub struct IdentityProvider {
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

impl IdentityProvider {
    /// An identity provider. It has no memory: what it must remember travels sealed.
    #[must_use]
    pub fn new(keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock }
    }

    fn seal(&self, what: &str, value: &impl Serialize) -> Result<String, Refused> {
        let failed = || Refused::new("sealing-failed", "a request could not be sealed");
        let bytes = serde_json::to_vec(value).map_err(|_| failed())?;
        self.keys.seal(Purpose::SamlRequest, what, &bytes).map_err(|_| failed())
    }

    fn unseal<T: DeserializeOwned>(&self, what: &str, sealed: &str) -> Result<T, Refused> {
        let refused = || Refused::new("saml-request-invalid", "not what was sealed here");
        let bytes = self.keys.open_sealed(Purpose::SamlRequest, what, sealed).map_err(|_| refused())?;
        serde_json::from_slice(&bytes).map_err(|_| refused())
    }
}

/// An application that is a service provider.
#[derive(Clone, Copy, Debug)]
struct Party<'c> {
    application: &'c Application,
    provider: &'c ServiceProvider,
}

/// The service provider behind an application's id.
fn party<'c>(config: &'c Config, application: &str) -> Result<Party<'c>, Refused> {
    config
        .applications
        .get(application)
        .and_then(|application| match &application.hand_over {
            HandOver::Saml(provider) => Some(Party { application, provider }),
            HandOver::ForwardAuth(_) | HandOver::Oidc(_) => None,
        })
        .ok_or(Refused::new("unknown-service-provider", "no application with SAML has this id"))
}

/// Our own addresses toward one service provider. Each has an identity provider of its own, so
/// that what is said to one is nothing to another.
struct Addresses {
    base: String,
}

impl Addresses {
    fn of(config: &Config, application: &str) -> Self {
        Self { base: format!("{}/saml/{application}", config.server.public_url.as_str().trim_end_matches('/')) }
    }

    /// SAML Metadata §4.1: an entity id that is the address of the metadata.
    fn entity_id(&self) -> String {
        format!("{}/metadata", self.base)
    }

    fn sso(&self) -> String {
        format!("{}/sso", self.base)
    }

    fn slo(&self) -> String {
        format!("{}/slo", self.base)
    }
}

/// A new message's or assertion's `ID`: 128 random bits and more, and an `xs:ID` (SAML Core §1.3.4).
fn new_id() -> Result<String, Refused> {
    let bytes = random_bytes::<20>().map_err(|_| Refused::new("no-randomness", "there is no randomness"))?;
    Ok(bytes.iter().fold("_".to_owned(), |mut id, byte| {
        use std::fmt::Write as _;
        let _infallible = write!(id, "{byte:02x}");
        id
    }))
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A message could not be made.
fn unsigned(error: &KeyError) -> Refused {
    tracing::error!(%error, "a SAML message could not be signed");
    Refused::new("saml-signing-failed", "a message could not be signed")
}

impl From<write::Unwritable> for Refused {
    fn from(_: write::Unwritable) -> Self {
        Self::new("unsafe-value", "a value has a character that XML has not")
    }
}
