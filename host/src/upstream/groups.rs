//! The groups as the upstream reported them: a list, one name, none at all, or Entra
//! ID's reference to a list that is too long for a token.

use serde_json::{Map, Value};

use super::error::{UpstreamError, refuse};
use crate::identity::GroupClaim;

/// Reads the claim `name` (a JSON pointer, RFC 6901, where it begins with `/`).
///
/// The signed claims win over userinfo. An absent claim and an empty list differ; so does
/// an overage, which is no list either, and which no list elsewhere overrules.
///
/// # Errors
///
/// `groups-malformed` where the claim is there and is neither a list of names nor one
/// name: guessing could take groups away, or give some.
pub(super) fn reported(
    name: &str,
    signed: Option<&Map<String, Value>>,
    userinfo: Option<&Map<String, Value>>,
) -> Result<GroupClaim, UpstreamError> {
    let sources: Vec<&Map<String, Value>> = signed.into_iter().chain(userinfo).collect();
    if sources.iter().any(|claims| is_overage(name, claims)) {
        return Ok(GroupClaim::Overage);
    }
    match sources.iter().find_map(|claims| find(name, claims)) {
        None => Ok(GroupClaim::Absent),
        Some(Value::String(one)) if one.is_empty() => Ok(GroupClaim::Listed(Vec::new())),
        Some(Value::String(one)) => Ok(GroupClaim::Listed(vec![one.clone()])),
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| item.as_str().map(ToOwned::to_owned))
            .collect::<Option<Vec<String>>>()
            .map(GroupClaim::Listed)
            .ok_or_else(|| refuse("groups-malformed", "the group claim lists something that is no text")),
        Some(_) => Err(refuse("groups-malformed", "the group claim is neither a list nor a text")),
    }
}

/// The claim's value. Null counts as absent, as everywhere in OpenID Connect.
fn find<'a>(name: &str, claims: &'a Map<String, Value>) -> Option<&'a Value> {
    let value = match name.strip_prefix('/') {
        None => claims.get(name)?,
        Some(path) => {
            let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
            claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)?
        }
    };
    if value.is_null() { None } else { Some(value) }
}

/// Entra ID replaces `groups` by `_claim_names`, or by `hasgroups` in implicit flows, for
/// subjects with more than 200 groups.
fn is_overage(name: &str, claims: &Map<String, Value>) -> bool {
    let referenced = claims
        .get("_claim_names")
        .and_then(Value::as_object)
        .is_some_and(|names| names.contains_key("groups") || names.contains_key(name));
    let flagged = matches!(claims.get("hasgroups"), Some(Value::Bool(true)))
        || claims.get("hasgroups").and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    referenced || flagged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, signed: Value, userinfo: Value) -> Result<GroupClaim, UpstreamError> {
        reported(name, signed.as_object(), userinfo.as_object())
    }

    fn listed(names: &[&str]) -> Result<GroupClaim, UpstreamError> {
        Ok(GroupClaim::Listed(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn a74_a75_tells_an_empty_list_from_an_absent_claim() {
        assert_eq!(read("groups", json!({"groups": []}), json!({})), listed(&[]));
        assert_eq!(read("groups", json!({"groups": ""}), json!({})), listed(&[]));
        assert_eq!(read("groups", json!({}), json!({})), Ok(GroupClaim::Absent));
        assert_eq!(read("groups", json!({"groups": null}), json!(null)), Ok(GroupClaim::Absent));
    }

    #[test]
    fn a75_recognizes_entras_overage_in_each_of_its_forms() {
        for claims in [
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}}),
            json!({"hasgroups": true}),
            json!({"hasgroups": "true"}),
            // A list beside it is not the whole list.
            json!({"hasgroups": true, "groups": ["a"]}),
        ] {
            assert_eq!(read("groups", claims.clone(), json!({})), Ok(GroupClaim::Overage), "{claims}");
            assert_eq!(read("groups", claims, json!({"groups": ["b"]})), Ok(GroupClaim::Overage));
        }
        let other = json!({"_claim_names": {"wids": "src1"}, "hasgroups": false, "groups": ["a"]});
        assert_eq!(read("groups", other, json!({})), listed(&["a"]));
    }

    #[test]
    fn takes_names_exactly_as_sent() {
        let names = json!({"cognito:groups": ["A", "a", " b ", "c,d"]});
        assert_eq!(read("cognito:groups", names, json!({})), listed(&["A", "a", " b ", "c,d"]));
        assert_eq!(read("groups", json!({"groups": "a,b"}), json!({})), listed(&["a,b"]));
    }

    #[test]
    fn follows_a_json_pointer() {
        let keycloak = json!({"realm_access": {"roles": ["x"]}, "a/b": {"m~n": ["y"]}});
        assert_eq!(read("/realm_access/roles", keycloak.clone(), json!({})), listed(&["x"]));
        assert_eq!(read("/a~1b/m~0n", keycloak.clone(), json!({})), listed(&["y"]));
        assert_eq!(read("/realm_access/none", keycloak.clone(), json!({})), Ok(GroupClaim::Absent));
        assert_eq!(read("/nobody", keycloak, json!({})), Ok(GroupClaim::Absent));
        assert_eq!(
            read("https://acme.example/groups", json!({"https://acme.example/groups": ["z"]}), json!({})),
            listed(&["z"])
        );
    }

    #[test]
    fn the_signed_list_wins_over_userinfo() {
        assert_eq!(read("groups", json!({"groups": ["a"]}), json!({"groups": ["admins"]})), listed(&["a"]));
        assert_eq!(read("groups", json!({"groups": []}), json!({"groups": ["admins"]})), listed(&[]));
        assert_eq!(read("groups", json!({}), json!({"groups": ["b"]})), listed(&["b"]));
    }

    #[test]
    fn refuses_what_is_no_list_of_names() {
        for groups in [json!([1]), json!(["a", null]), json!([["a"]]), json!({"a": true}), json!(7), json!(true)] {
            let outcome = read("groups", json!({"groups": groups}), json!({}));
            assert_eq!(outcome.map_err(|error| error.code), Err("groups-malformed"), "{groups}");
        }
    }
}
