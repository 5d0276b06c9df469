//! How the gateway proves to an upstream's token endpoint who it is: from the keys of
//! `[upstreams.ID]` to [`ClientAuthn`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    check::{Check, Text, join},
    upstream::ClientAuthn,
};
use crate::secret::Secret;

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Authentication {
    /// Secret in the `Authorization` header.
    ClientSecretBasic,
    /// Secret in the body.
    ClientSecretPost,
    /// A public client; PKCE alone.
    None,
    /// An assertion signed with `private-key`.
    PrivateKeyJwt,
}

/// What proves the client, as written.
pub(super) struct Credentials {
    pub(super) authentication: Option<Authentication>,
    pub(super) secret: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) kid: Option<String>,
    pub(super) algorithm: Option<String>,
}

pub(super) fn client(
    check: &mut Check<'_>,
    section: &str,
    id: Option<String>,
    credentials: Credentials,
) -> (Option<String>, Option<ClientAuthn>) {
    if id.as_ref().is_none_or(String::is_empty) {
        check.missing(section, "client-id", "a text", "the identity provider gives it out at registration");
    }
    let authentication = credentials.authentication.unwrap_or(Authentication::ClientSecretBasic);
    let uses_key = authentication == Authentication::PrivateKeyJwt;
    let uses_secret = matches!(authentication, Authentication::ClientSecretBasic | Authentication::ClientSecretPost);
    for (key, given, used) in [
        ("client-secret", credentials.secret.is_some(), uses_secret),
        ("private-key", credentials.key.is_some(), uses_key),
        ("private-key-id", credentials.kid.is_some(), uses_key),
        ("private-key-algorithm", credentials.algorithm.is_some(), uses_key),
    ] {
        if given && !used {
            let message = "this way of client authentication does not use it";
            check.error(&join(section, key), message, "", "see `client-authentication`");
        }
    }
    let authn = match authentication {
        Authentication::None => Some(ClientAuthn::None),
        Authentication::ClientSecretBasic => secret(check, section, credentials.secret).map(ClientAuthn::SecretBasic),
        Authentication::ClientSecretPost => secret(check, section, credentials.secret).map(ClientAuthn::SecretPost),
        Authentication::PrivateKeyJwt => private_key(check, section, credentials),
    };
    (id, authn)
}

fn secret(check: &mut Check<'_>, section: &str, secret: Option<Text>) -> Option<Secret<String>> {
    let Some(text) = secret else {
        let hint = "a public client says `client-authentication = \"none\"`";
        check.missing(section, "client-secret", "a text, { env = … } or { file = … }", hint);
        return None;
    };
    check.text(&join(section, "client-secret"), &text).map(Secret::new)
}

fn private_key(check: &mut Check<'_>, section: &str, credentials: Credentials) -> Option<ClientAuthn> {
    let algorithm = credentials.algorithm.unwrap_or_else(|| "RS256".to_owned());
    if !matches!(algorithm.as_str(), "RS256" | "PS256" | "ES256" | "EdDSA") {
        let key = join(section, "private-key-algorithm");
        check.error(&key, "not a known algorithm", "RS256, PS256, ES256 or EdDSA", "");
    }
    let Some(text) = credentials.key else {
        check.missing(section, "private-key", "a text, { env = … } or { file = … }", "PEM, PKCS #8");
        return None;
    };
    let path = join(section, "private-key");
    let key = check.text(&path, &text)?;
    if !key.trim_start().starts_with("-----BEGIN PRIVATE KEY-----") {
        let hint = "`openssl pkcs8 -topk8 -nocrypt -in KEY` turns other forms into it";
        check.error(&path, "not a PEM private key in PKCS #8", "`-----BEGIN PRIVATE KEY-----`", hint);
        return None;
    }
    Some(ClientAuthn::PrivateKeyJwt { key: Secret::new(key), kid: credentials.kid, algorithm })
}
