//! How a relying party proves who it is (OIDC Core §9, RFC 6749 §2.3): in the one way that it is
//! registered for, or by its secret in either place where it is configured with one.

use std::borrow::Cow;

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;

use super::{
    Provider,
    assertion::{self, ASSERTION_TYPE, Expected},
    client::Client,
    issuer, sha256,
    token::{TokenError, TokenRequest},
};
use crate::config::{ClientMethod, Config};

/// The credentials of a request, unverified.
struct Unverified {
    /// `client_id`, from the header, the body or the assertion.
    id: String,
    proof: Proof,
}

/// What came with it.
enum Proof {
    Assertion(String),
    Basic(String),
    Nothing,
    Post(String),
}

impl Proof {
    const fn method(&self) -> ClientMethod {
        match self {
            Self::Assertion(_) => ClientMethod::PrivateKeyJwt,
            Self::Basic(_) => ClientMethod::ClientSecretBasic,
            Self::Nothing => ClientMethod::None,
            Self::Post(_) => ClientMethod::ClientSecretPost,
        }
    }
}

impl Provider {
    /// The relying party that proved that it asks.
    ///
    /// # Errors
    ///
    /// [`TokenError::InvalidClient`], whatever is wrong with the proof: the log has the reason.
    pub(super) fn client<'c>(
        &self,
        config: &'c Config,
        organization: &str,
        request: &TokenRequest,
    ) -> Result<Client<'c>, TokenError> {
        let credentials = credentials(request)?.ok_or(TokenError::InvalidClient)?;
        let now = self.clock.now();
        // Not even the right one is taken from where so many wrong ones came: an answer would
        // tell which it is.
        if self.guesses.are_too_many(request.address, &credentials.id, now) {
            tracing::warn!("too many wrong client secrets from one address: it is not answered for a while");
            return Err(TokenError::InvalidClient);
        }
        let client = self.find(config, organization, &credentials.id).ok_or("client-unknown");
        let proved = client.and_then(|client| {
            self.prove(config, organization, &client, &credentials.proof, now)?;
            Ok(client)
        });
        proved.map_err(|reason| {
            tracing::info!(reason, method = credentials.proof.method().name(), "a client did not prove who it is");
            self.guesses.count(request.address, &credentials.id, now);
            TokenError::InvalidClient
        })
    }

    fn prove(
        &self,
        config: &Config,
        organization: &str,
        client: &Client<'_>,
        proof: &Proof,
        now: u64,
    ) -> Result<(), &'static str> {
        // What it was registered for is held to: whoever has found a secret in one place cannot use it in
        // another, and a client with a key needs its key.
        if !client.registration.methods.contains(&proof.method()) {
            return Err("client-method-not-registered");
        }
        match proof {
            Proof::Nothing if client.is_public() => Ok(()),
            Proof::Nothing => Err("client-secret-missing"),
            Proof::Basic(secret) | Proof::Post(secret) => {
                if is_secret(client, secret) {
                    Ok(())
                } else {
                    Err("client-secret-wrong")
                }
            }
            Proof::Assertion(text) => {
                let audiences = audiences(config, organization);
                let client_id = &client.registration.client_id;
                let expected = Expected { organization, client_id, audiences: &audiences, now };
                assertion::check(text, &client.registration.keys, &expected, &self.used)
            }
        }
    }
}

/// The names that a client may call this provider by (RFC 7523 §3 item 3, RFC 9126 §2).
fn audiences(config: &Config, organization: &str) -> Vec<String> {
    let issuer = issuer(config, organization);
    let endpoints = ["token", "par"].map(|endpoint| format!("{issuer}/oidc/{endpoint}"));
    [vec![issuer], endpoints.to_vec()].concat()
}

/// Reads client credentials. None where they are missing, malformed, or given in two ways at once, which
/// RFC 6749 §2.3 forbids.
fn credentials(request: &TokenRequest) -> Result<Option<Unverified>, TokenError> {
    let (id, secret) = (request.field("client_id")?, request.field("client_secret")?);
    let (kind, assertion) = (request.field("client_assertion_type")?, request.field("client_assertion")?);
    let header = request.authorization.as_deref();
    Ok(match (header, secret, kind, assertion) {
        (None, None, Some(ASSERTION_TYPE), Some(assertion)) => by_assertion(id, assertion),
        (Some(header), None, None, None) => by_header(header, id),
        (None, Some(secret), None, None) => {
            id.map(|id| Unverified { id: id.to_owned(), proof: Proof::Post(secret.to_owned()) })
        }
        (None, None, None, None) => id.map(|id| Unverified { id: id.to_owned(), proof: Proof::Nothing }),
        _ => None,
    })
}

/// RFC 7521 §4.2: `client_id` may be left out, and names the same client where it is not.
fn by_assertion(id: Option<&str>, assertion: &str) -> Option<Unverified> {
    let subject = assertion::unverified_subject(assertion)?;
    let proof = Proof::Assertion(assertion.to_owned());
    id.is_none_or(|id| id == subject).then_some(Unverified { id: subject, proof })
}

/// RFC 6749 §2.3.1.
fn by_header(header: &str, body_id: Option<&str>) -> Option<Unverified> {
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let form_decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(Cow::into_owned);
    let id = form_decode(id)?;
    if body_id.is_some_and(|body| body != id) {
        return None;
    }
    Some(Unverified { id, proof: Proof::Basic(form_decode(secret)?) })
}

/// Is this secret the client's? Takes the same time for every wrong one.
fn is_secret(client: &Client<'_>, given: &str) -> bool {
    client.secret_hash().is_some_and(|expected| {
        let given = sha256(&[given.as_bytes()]);
        constant_time::verify_slices_are_equal(&expected, &given).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: Option<&str>, fields: &[(&str, &str)]) -> Option<(String, Option<String>)> {
        let request = TokenRequest {
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            authorization: authorization.map(str::to_owned),
            ..TokenRequest::default()
        };
        let found = credentials(&request).ok()??;
        let secret = match found.proof {
            Proof::Basic(secret) | Proof::Post(secret) | Proof::Assertion(secret) => Some(secret),
            Proof::Nothing => None,
        };
        Some((found.id, secret))
    }

    #[test]
    fn reads_credentials_from_the_header_in_form_encoding() {
        let header = format!("Basic {}", STANDARD.encode("my%3Aid:a+b%26"));
        assert_eq!(read(Some(&header), &[]), Some(("my:id".into(), Some("a b&".into()))));
    }

    #[test]
    fn refuses_credentials_in_two_places() {
        let header = format!("Basic {}", STANDARD.encode("id:secret"));
        let (id, secret) = (("client_id", "id"), ("client_secret", "secret"));
        let (kind, assertion) = (("client_assertion_type", ASSERTION_TYPE), ("client_assertion", "e30.e30.e30"));
        assert!(read(Some(&header), &[id]).is_some());
        for (header, fields) in [
            (Some(&*header), &[id, secret][..]),
            (Some(&header), &[("client_id", "other")]),
            (Some("Bearer x"), &[id]),
            (Some("Basic %%%"), &[]),
            (None, &[secret]),
            (None, &[id, secret, kind, assertion]),
            (Some(&header), &[kind, assertion]),
            (None, &[id, assertion]),
            (None, &[id, kind]),
            (None, &[id, ("client_assertion_type", "jwt"), assertion]),
            (None, &[id, id]),
        ] {
            assert_eq!(read(header, fields), None, "{fields:?}");
        }
    }
}
