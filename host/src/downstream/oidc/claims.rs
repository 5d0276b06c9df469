//! Which claims a relying party gets: those of its scopes (OIDC Core §5.4), from the
//! profile and groups that the policies decided.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::sha256;
use crate::{
    decision::{self, Admitted},
    identity::Identity,
};

/// The scopes that this provider knows.
pub(crate) const SCOPES: [&str; 4] = ["openid", "profile", "email", "groups"];

/// `sub` toward relying parties: stable, unique over all upstreams, and silent about the
/// upstream's own identifier.
pub(crate) fn subject(identity: &Identity) -> String {
    URL_SAFE_NO_PAD.encode(sha256(&[identity.issuer.as_bytes(), &[0], identity.subject.as_bytes()]))
}

/// The claims of `scopes`.
pub(crate) fn claims(admitted: &Admitted, scopes: &[String]) -> Map<String, Value> {
    let has = |scope: &str| scopes.iter().any(|candidate| candidate == scope);
    let profile = &admitted.profile;
    let mut claims = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value);
        }
    };
    if has("profile") {
        let text = |value: &Option<String>| value.clone().map(Value::String);
        put("preferred_username", text(&profile.username));
        put("name", text(&profile.display_name));
        put("given_name", text(&profile.given_name));
        put("family_name", text(&profile.family_name));
        for attribute in &profile.attributes {
            put(&attribute.name, Some(value(&attribute.value)));
        }
    }
    if has("email")
        && let Some(address) = &profile.email
    {
        // A policy may write another address than the upstream vouched for.
        let verified =
            admitted.identity.email.as_ref().is_some_and(|email| email.verified && email.address == *address);
        put("email", Some(json!(address)));
        put("email_verified", Some(json!(verified)));
    }
    if has("groups") {
        put("groups", Some(json!(admitted.groups.groups)));
    }
    claims
}

/// Those of `claims` that `scopes` still cover, where a refresh asked for fewer.
pub(crate) fn of_scopes(claims: &Map<String, Value>, scopes: &str) -> Map<String, Value> {
    let has = |scope: &str| scopes.split(' ').any(|candidate| candidate == scope);
    let covered = |name: &str| match name {
        "email" | "email_verified" => has("email"),
        "groups" => has("groups"),
        // Names and attributes: `profile` is what they came with.
        _ => has("profile"),
    };
    claims.iter().filter(|(name, _)| covered(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn value(value: &decision::Value) -> Value {
    match value {
        decision::Value::Text(text) => json!(text),
        decision::Value::Texts(texts) => json!(texts),
        decision::Value::Integer(number) => json!(number),
        decision::Value::Number(number) => json!(number),
        decision::Value::Boolean(truth) => json!(truth),
        decision::Value::Json(text) => serde_json::from_str(text).unwrap_or(Value::Null),
    }
}
