//! Which claims travel on, and which stay behind.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::config::Upstream;

/// Claims that have a field of their own in the identity, or have done their work.
const SPENT: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "azp",
    "at_hash",
    "c_hash",
    "s_hash",
    "auth_time",
    "acr",
    "amr",
    // Whether an address is verified is decided in `email`; the raw claim beside that
    // decision would be a second, weaker truth.
    "email_verified",
];

/// Entra's references to further claims; the sources can hold access tokens (OIDC Core
/// §5.6.2). What they mean for groups was read already.
const REFERENCES: [&str; 3] = ["_claim_names", "_claim_sources", "hasgroups"];

/// All further claims. A signed claim wins over userinfo's of the same name; credentials
/// are dropped, wherever they are nested.
pub(super) fn further(
    upstream: &Upstream,
    signed: Option<&Map<String, Value>>,
    userinfo: Option<&Map<String, Value>>,
) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    // userinfo first, so that the signed claims overwrite.
    for (name, value) in userinfo.into_iter().chain(signed).flatten() {
        all.insert(name.clone(), value.clone());
    }
    all.retain(|name, _| {
        let name = name.as_str();
        !SPENT.contains(&name)
            && !REFERENCES.contains(&name)
            && name != upstream.email_verified_claim
            && !is_credential_name(name)
    });
    all.into_iter().filter_map(|(name, value)| without_credentials(value).map(|value| (name, value))).collect()
}

/// The texts of a list; what is no list of texts gives none.
pub(super) fn list_of_texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array);
    items.map(|items| items.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()).unwrap_or_default()
}

pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// `value` without credentials; none where nothing else is left of it.
fn without_credentials(value: Value) -> Option<Value> {
    match value {
        Value::String(text) if is_token(&text) => None,
        Value::Array(items) => Some(items.into_iter().filter_map(without_credentials).collect()),
        Value::Object(members) => Some(Value::Object(
            members
                .into_iter()
                .filter(|(name, _)| !is_credential_name(name))
                .filter_map(|(name, value)| without_credentials(value).map(|value| (name, value)))
                .collect(),
        )),
        other => Some(other),
    }
}

/// `access_token`, `refreshToken`, `idp-access-token`, `client_secret`, `password` …
fn is_credential_name(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    ["token", "secret", "password", "passwd", "assertion", "apikey", "privatekey"]
        .iter()
        .any(|ending| letters.ends_with(ending))
}

/// A JWT, whatever its name: its header is a JSON object, so it begins with `{"` in
/// base64url.
fn is_token(text: &str) -> bool {
    text.starts_with("eyJ")
        && matches!(text.matches('.').count(), 2 | 4)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::upstream::tests::upstream;

    #[test]
    fn drops_credentials_by_name_and_by_shape_wherever_they_are() {
        let userinfo = json!({
            "name": "Alice", "access_token": "at", "refreshToken": "rt", "id_token": "it", "c_hash": "h",
            "client_secret": "s", "custom": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln",
            "identities": [{"provider": "x", "access_token": "nested", "deep": {"password": "p", "ok": 1}}],
            "list": ["eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "plain"],
            "_claim_sources": {"src1": {"access_token": "t"}}, "_claim_names": {"groups": "src1"},
        });
        let all = further(&upstream(), None, userinfo.as_object());
        let expected = json!({
            "name": "Alice",
            "identities": [{"provider": "x", "deep": {"ok": 1}}],
            "list": ["plain"],
        });
        assert_eq!(serde_json::to_value(all).unwrap(), expected);
    }

    #[test]
    fn a_signed_claim_wins_over_userinfo() {
        let signed = json!({"name": "signed", "department": "a"});
        let userinfo = json!({"name": "unsigned", "phone": "1"});
        let all = further(&upstream(), signed.as_object(), userinfo.as_object());
        assert_eq!(serde_json::to_value(all).unwrap(), json!({"name": "signed", "department": "a", "phone": "1"}));
    }

    #[test]
    fn what_has_a_field_of_its_own_is_no_further_claim() {
        let signed = json!({
            "iss": "i", "sub": "s", "aud": "a", "exp": 1, "iat": 1, "nonce": "n", "acr": "x", "amr": ["pwd"],
            "email": "a@example.com", "email_verified": true, "sid": "s1",
        });
        let all = further(&upstream(), signed.as_object(), None);
        assert_eq!(serde_json::to_value(all).unwrap(), json!({"email": "a@example.com", "sid": "s1"}));
    }
}
