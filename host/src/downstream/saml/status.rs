//! How a service provider is told no (SAML Core §3.2.2.2).

use super::write::{Unwritable, Writer};

/// What was asked for was done.
pub(super) const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";

/// But not everywhere.
pub(super) const PARTIAL_LOGOUT: &str = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout";

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Success,
    /// The session has ended, and not everybody who took part in it could be told (SAML Core §3.7.3.2).
    PartialLogout,
    /// `IsPassive`, and the person would have had to be asked.
    NoPassive,
    /// None of the authentication contexts that were asked for.
    NoAuthnContext,
    /// Decided, and the answer is no.
    RequestDenied,
    /// Something was asked for that we do not do.
    RequestUnsupported,
    /// Another format of `NameID` than the configured one.
    InvalidNameIdPolicy,
    /// Another binding than HTTP-POST.
    UnsupportedBinding,
}

impl Status {
    const fn codes(self) -> (&'static str, Option<&'static str>) {
        const REQUESTER: &str = "urn:oasis:names:tc:SAML:2.0:status:Requester";
        const RESPONDER: &str = "urn:oasis:names:tc:SAML:2.0:status:Responder";
        match self {
            Self::Success => (SUCCESS, None),
            Self::PartialLogout => (SUCCESS, Some(PARTIAL_LOGOUT)),
            Self::NoPassive => (RESPONDER, Some("urn:oasis:names:tc:SAML:2.0:status:NoPassive")),
            Self::NoAuthnContext => (RESPONDER, Some("urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext")),
            Self::RequestDenied => (RESPONDER, Some("urn:oasis:names:tc:SAML:2.0:status:RequestDenied")),
            Self::RequestUnsupported => (REQUESTER, Some("urn:oasis:names:tc:SAML:2.0:status:RequestUnsupported")),
            Self::InvalidNameIdPolicy => (REQUESTER, Some("urn:oasis:names:tc:SAML:2.0:status:InvalidNameIDPolicy")),
            Self::UnsupportedBinding => (REQUESTER, Some("urn:oasis:names:tc:SAML:2.0:status:UnsupportedBinding")),
        }
    }

    /// What a refusal of the login's is to a service provider.
    pub(super) fn of(code: &str) -> Self {
        match code {
            "interaction-required" | "login-required" => Self::NoPassive,
            "acr-not-met" | "step-up-unmet" => Self::NoAuthnContext,
            _ => Self::RequestDenied,
        }
    }

    /// `samlp:Status`; `message` is a code of ours, never a guest's or an upstream's words.
    pub(super) fn write(self, writer: &mut Writer, message: Option<&str>) -> Result<(), Unwritable> {
        let (first, second) = self.codes();
        writer.open("samlp:Status", &[])?;
        writer.open("samlp:StatusCode", &[("Value", first)])?;
        if let Some(second) = second {
            writer.element("samlp:StatusCode", &[("Value", second)], "")?;
        }
        writer.close();
        if let Some(message) = message {
            writer.element("samlp:StatusMessage", &[], message)?;
        }
        writer.close();
        Ok(())
    }
}
