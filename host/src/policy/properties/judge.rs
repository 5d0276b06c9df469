//! What an answer, or two of them, mean for a property.

use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

use super::{form::Kind, subject::Asked};
use crate::{decision::Hook, policy::manifest::GrantPatterns};

/// What is wrong with one answer, and what a case could expect in its place.
pub(super) fn alone(kind: &Kind, hook: Hook, asked: &Asked) -> Option<(String, Map<String, Json>)> {
    let expect = |key: &str, value: Json| Map::from_iter([(key.to_owned(), value)]);
    let text = |key: &str| asked.shown.get(key).and_then(Json::as_str);
    match kind {
        Kind::NeverFaults { except } => {
            let (code, detail) = asked.failure()?;
            let is_excepted = except.iter().any(|except| except == code);
            (!is_excepted).then(|| (format!("the hook failed: {detail}"), expect("failed", json!(false))))
        }
        Kind::NeverAdmits => {
            (text("verdict") == Some("allow")).then(|| ("it was admitted".to_owned(), expect("verdict", json!("deny"))))
        }
        Kind::NeverDenies => denied(hook, asked),
        Kind::NeverGrants(globs) => {
            let before: Vec<&str> = asked.input.plan_so_far.grants.iter().map(|grant| grant.group.as_str()).collect();
            let (bad, good): (Vec<String>, Vec<String>) = texts(&asked.shown, "grants")
                .into_iter()
                .partition(|group| covers(globs, group) && !before.contains(&group.as_str()));
            (!bad.is_empty()).then(|| (format!("it granted {}", bad.join(", ")), expect("grants", json!(good))))
        }
        Kind::NeverTakes(globs) => {
            let (bad, good): (Vec<String>, Vec<String>) =
                texts(&asked.shown, "removed").into_iter().partition(|group| covers(globs, group));
            (!bad.is_empty()).then(|| (format!("it took {}", bad.join(", ")), expect("removed", json!(good))))
        }
        Kind::NeverRoutesTo(upstreams) => {
            let to: Vec<String> =
                text("upstream").map(str::to_owned).into_iter().chain(texts(&asked.shown, "upstreams")).collect();
            let bad: Vec<String> = to.into_iter().filter(|to| covers(upstreams, to)).collect();
            (!bad.is_empty())
                .then(|| (format!("it was sent to {}", bad.join(", ")), expect("direction", json!("pass"))))
        }
        Kind::AddingAGroupNeverRemovesAccess | Kind::OrderOfGroupsNeverMatters => None,
    }
}

fn denied(hook: Hook, asked: &Asked) -> Option<(String, Map<String, Json>)> {
    let (key, good) = match hook {
        Hook::Admit => ("verdict", json!("allow")),
        Hook::Access => ("verdict", json!("pass")),
        Hook::Provision => ("refuse-creation", json!(false)),
        _ => ("direction", json!("pass")),
    };
    let answer = asked.shown.get(key).unwrap_or(&Json::Null);
    let what = match (asked.failure(), hook, answer.as_str()) {
        (Some((_, detail)), ..) => format!("the hook failed: {detail}"),
        (None, Hook::Provision, Some(code)) => format!("no account is created: {code}"),
        (None, _, Some("deny" | "refuse")) => {
            format!("it was denied: {}", asked.shown.get("reason").and_then(Json::as_str).unwrap_or_default())
        }
        _ => return None,
    };
    Some((what, Map::from_iter([(key.to_owned(), good)])))
}

/// What the second answer must be, where it is less than the first.
pub(super) fn less(hook: Hook, first: &Asked, then: &Asked) -> Option<Map<String, Json>> {
    let text = |asked: &Asked| asked.shown.get("verdict").and_then(Json::as_str).unwrap_or("failed").to_owned();
    // A demand for a stronger authentication takes nothing from who can meet it.
    let rank = |verdict: &str| match verdict {
        "allow" | "step-up" => 2,
        "pass" | "reauthenticate" => 1,
        _ => 0,
    };
    if hook == Hook::Groups {
        let (had, has) = (texts(&first.shown, "after"), texts(&then.shown, "after"));
        let lost = then.failure().is_some() || had.iter().any(|group| !has.contains(group));
        let mut all = had.clone();
        all.extend(has.into_iter().filter(|group| !had.contains(group)));
        return lost.then(|| Map::from_iter([("after".to_owned(), json!(all))]));
    }
    let (had, has) = (text(first), text(then));
    (rank(&has) < rank(&had)).then(|| Map::from_iter([("verdict".to_owned(), json!(had))]))
}

/// The answer without what may depend on an order: words for the administrator.
pub(super) fn comparable(asked: &Asked) -> Map<String, Json> {
    let mut shown = asked.shown.clone();
    shown.retain(|key, value| key != "detail" && key != "reasons" && !value.is_null());
    for list in shown.values_mut().filter_map(Json::as_array_mut) {
        list.sort_by_key(Json::to_string);
    }
    shown
}

/// The same with one group more, where there is a list that it can join.
pub(super) fn with_group(hook: Hook, input: &Table, more: &str) -> Option<Table> {
    let mut other = input.clone();
    let list = if hook == Hook::Access {
        other.get_mut("groups")
    } else {
        other.get_mut("identity").and_then(|identity| identity.get_mut("groups"))
    };
    let list = list?.as_array_mut()?;
    let more = Value::String(more.to_owned());
    if list.contains(&more) {
        return None;
    }
    list.push(more);
    Some(other)
}

/// The same with every list of groups in the opposite order.
pub(super) fn reordered(input: &Table) -> Option<Table> {
    let mut other = input.clone();
    for path in [&["groups"][..], &["identity", "groups"], &["account", "groups"], &["plan", "grants"]] {
        let (first, rest) = path.split_first()?;
        let place = other.get_mut(*first);
        let place = rest.iter().fold(place, |place, part| place.and_then(|place| place.get_mut(*part)));
        if let Some(list) = place.and_then(Value::as_array_mut) {
            list.reverse();
        }
    }
    (other != *input).then_some(other)
}

pub(super) fn texts(shown: &Map<String, Json>, key: &str) -> Vec<String> {
    let list = shown.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn covers(globs: &[String], name: &str) -> bool {
    GrantPatterns::new(globs).is_ok_and(|patterns| patterns.cover(name))
}
