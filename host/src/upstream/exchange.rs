//! The code for tokens (RFC 6749 §4.1.3), with the verifier (RFC 7636 §4.5) and a proof of
//! who we are (OIDC Core §9). No redirect is followed: the code, the verifier and our
//! secret go to the configured token endpoint or nowhere.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openidconnect::{ExtraTokenFields, OAuth2TokenResponse as _, StandardTokenResponse, core::CoreTokenType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::{
    Exchange,
    error::{UpstreamError, printable_code, refuse},
    fetch::{Answer, Call, Fetcher, Redirects},
    json,
};
use crate::{
    config::ClientAuthn,
    secret::{Secret, random_token},
};

/// How long a client assertion lives.
const ASSERTION_S: u64 = 60;

/// What the token endpoint gave.
#[derive(Debug)]
pub(super) struct Tokens {
    /// For userinfo.
    pub(super) access_token: Secret<String>,
    /// Unverified.
    pub(super) unverified_id_token: Option<Secret<String>>,
}

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    pub(super) token_endpoint: &'a Url,
    pub(super) client_id: &'a str,
    pub(super) authn: &'a ClientAuthn,
}

/// Redeems `code`.
///
/// # Errors
///
/// `token-refused` where the endpoint says so in JSON; else what was wrong with its answer.
pub(super) async fn redeem(
    fetcher: &Fetcher,
    client: Client<'_>,
    exchange: &Exchange,
    code: &str,
    now: u64,
) -> Result<Tokens, UpstreamError> {
    let answer = fetcher.send(token_request(client, exchange, code, now)?).await?;
    tokens(&answer)
}

fn token_request(client: Client<'_>, exchange: &Exchange, code: &str, now: u64) -> Result<Call, UpstreamError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", exchange.redirect_uri.as_str())
        .append_pair("code_verifier", &exchange.verifier);
    match client.authn {
        ClientAuthn::None => {
            form.append_pair("client_id", client.client_id);
        }
        ClientAuthn::SecretPost(secret) => {
            form.append_pair("client_id", client.client_id).append_pair("client_secret", secret.expose());
        }
        ClientAuthn::SecretBasic(secret) => {
            headers.insert(AUTHORIZATION, basic(client.client_id, secret)?);
        }
        ClientAuthn::PrivateKeyJwt { key, kid, algorithm } => {
            form.append_pair("client_id", client.client_id)
                .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                .append_pair("client_assertion", &assertion(client, key, kid.as_ref(), algorithm, now)?);
        }
    }
    Ok(Call {
        what: "token endpoint",
        method: Method::POST,
        url: client.token_endpoint.clone(),
        headers,
        body: Bytes::from(form.finish()),
        redirects: Redirects::Refuse,
    })
}

/// RFC 6749 §2.3.1: id and secret are form-encoded before they are joined, so that a
/// colon or a percent sign in either arrives as it is.
fn basic(client_id: &str, secret: &Secret<String>) -> Result<HeaderValue, UpstreamError> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(secret.expose())));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}"))
        .map_err(|_| refuse("client-authn-impossible", "the client's secret makes no header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 7523 §3, OIDC Core §9. The audience is the very URL that the assertion is sent to,
/// so that it is of no use anywhere else.
fn assertion(
    client: Client<'_>,
    key: &Secret<String>,
    kid: Option<&String>,
    algorithm: &str,
    now: u64,
) -> Result<String, UpstreamError> {
    // The library's error could quote the key, so it is left out.
    let unusable = || refuse("client-key-unusable", "the key for private_key_jwt does not fit its algorithm");
    let pem = key.expose().as_bytes();
    let (algorithm, key) = match algorithm {
        "RS256" => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
        "PS256" => (Algorithm::PS256, EncodingKey::from_rsa_pem(pem)),
        "ES256" => (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
        "EdDSA" => (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem)),
        _ => return Err(unusable()),
    };
    let key = key.map_err(|_| unusable())?;
    let jti = random_token().map_err(|error| refuse("no-randomness", error.to_string()))?;
    let mut header = Header::new(algorithm);
    header.kid = kid.cloned();
    let claims = json!({
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": client.token_endpoint.as_str(),
        "jti": jti,
        "iat": now,
        "exp": now.saturating_add(ASSERTION_S),
    });
    jsonwebtoken::encode(&header, &claims, &key).map_err(|_| unusable())
}

fn tokens(answer: &Answer) -> Result<Tokens, UpstreamError> {
    let status = answer.status.as_u16();
    if !is_json(&answer.media_type) {
        return Err(refuse("token-response-not-json", format!("the token endpoint answers {status} without JSON")));
    }
    let body = json::object(&answer.body)
        .map_err(|error| refuse("token-response-malformed", format!("the token endpoint's answer is {error}")))?;
    // GitHub answers errors with status 200.
    if let Some(error) = body.get("error") {
        let error = printable_code(error.as_str().unwrap_or_default());
        return Err(refuse("token-refused", format!("the token endpoint answers {status}, {error}")));
    }
    if answer.status != StatusCode::OK {
        return Err(refuse("token-status", format!("the token endpoint answers {status}")));
    }
    let malformed = |detail: &str| refuse("token-response-malformed", detail);
    let response = Response::deserialize(Value::Object(body))
        .map_err(|_| malformed("the token endpoint's answer lacks a member or has one of the wrong type"))?;
    if *response.token_type() != CoreTokenType::Bearer {
        return Err(malformed("the access token is no bearer token"));
    }
    let access_token = response.access_token().secret();
    // RFC 6750 §2.1; anything else would break the header that carries it.
    if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(malformed("the access token has characters that none has"));
    }
    Ok(Tokens {
        access_token: Secret::new(access_token.clone()),
        unverified_id_token: response.extra_fields().id_token.clone().map(Secret::new),
    })
}

/// `application/json`, or a type built on it.
pub(super) fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

type Response = StandardTokenResponse<IdTokenMember, CoreTokenType>;

/// OIDC Core §3.1.3.3. As text: openidconnect's own type would already have read the
/// claims.
#[derive(Deserialize, Serialize)]
struct IdTokenMember {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenMember {}

impl fmt::Debug for IdTokenMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
