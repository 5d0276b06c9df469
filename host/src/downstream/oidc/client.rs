//! Relying parties as the configuration has them, and how they prove who they are.

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;

use super::sha256;
use crate::config::{Application, Config, HandOver, OidcClient};

/// An application that is a relying party.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'c> {
    /// The application.
    pub(crate) application: &'c Application,
    /// Its registration.
    pub(crate) registration: &'c OidcClient,
}

/// The organization's relying party with this `client_id`, if there is one.
pub(crate) fn find<'c>(config: &'c Config, organization: &str, client_id: &str) -> Option<Client<'c>> {
    let mut own = config.applications.values().filter(|application| application.tenant == organization);
    own.find_map(|application| match &application.hand_over {
        HandOver::Oidc(registration) if registration.client_id == client_id => {
            Some(Client { application, registration })
        }
        HandOver::Oidc(_) | HandOver::ForwardAuth(_) | HandOver::Saml(_) => None,
    })
}

/// The credentials of a token request, unverified.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unverified {
    /// `client_id`, from the header or the body.
    pub(crate) id: String,
    /// `client_secret`, from the header or the body.
    pub(crate) secret: Option<String>,
}

/// Reads client credentials (RFC 6749 §2.3.1). None where they are missing, malformed, or
/// given in two ways at once, which the section forbids.
pub(crate) fn credentials(
    authorization: Option<&str>,
    body_id: Option<&str>,
    body_secret: Option<&str>,
) -> Option<Unverified> {
    let Some(header) = authorization else {
        return Some(Unverified { id: body_id?.to_owned(), secret: body_secret.map(str::to_owned) });
    };
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || body_secret.is_some() {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let form_decode =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let id = form_decode(id)?;
    if body_id.is_some_and(|body| body != id) {
        return None;
    }
    Some(Unverified { id, secret: Some(form_decode(secret)?) })
}

/// Is this secret the client's? Takes the same time for every wrong one. A public client
/// has no secret, and must not send one.
pub(crate) fn proves(client: &Client<'_>, secret: Option<&str>) -> bool {
    match (&client.registration.client_secret, secret) {
        (None, None) => true,
        (Some(expected), Some(given)) => {
            let expected = sha256(&[expected.expose().as_bytes()]);
            let given = sha256(&[given.as_bytes()]);
            constant_time::verify_slices_are_equal(&expected, &given).is_ok()
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_credentials_from_the_header_in_form_encoding() {
        let header = format!("Basic {}", STANDARD.encode("my%3Aid:a+b%26"));
        let found = credentials(Some(&header), None, None).expect("credentials");
        assert_eq!(found.id, "my:id");
        assert_eq!(found.secret.as_deref(), Some("a b&"));
    }

    #[test]
    fn refuses_credentials_in_two_places() {
        let header = format!("Basic {}", STANDARD.encode("id:secret"));
        assert!(credentials(Some(&header), Some("id"), Some("secret")).is_none());
        assert!(credentials(Some(&header), Some("other"), None).is_none());
        assert!(credentials(Some("Bearer x"), Some("id"), None).is_none());
        assert!(credentials(Some("Basic %%%"), None, None).is_none());
        assert!(credentials(None, None, Some("secret")).is_none());
    }
}
