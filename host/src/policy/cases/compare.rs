//! Expected against actual: which keys a case may expect, what an answer looks like under
//! those keys, and the differences in words.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::form::Question;
use crate::decision::{Difference, Hook};

/// What came of a case's question.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Outcome {
    /// `configure` accepted the settings.
    Configured,
    /// The settings were refused: the pointers, and the problems in words.
    Problems(Vec<(String, String)>),
    /// The policy could not be loaded at all.
    NotLoaded(String),
    /// The hook answered.
    Answered(Answered),
    /// The policy, a limit or a contract ended the hook.
    Failed(Failed),
}

/// An answer, as the trace has it.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct Answered {
    pub(in crate::policy) answer: Json,
    pub(in crate::policy) log: Vec<String>,
    pub(in crate::policy) dropped: Vec<String>,
    /// What changes in the application; for `groups` only.
    pub(in crate::policy) difference: Option<Difference>,
}

/// A failure, as the trace has it.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct Failed {
    /// The host's code.
    pub(in crate::policy) code: String,
    /// What the host says of it.
    pub(in crate::policy) detail: String,
    /// The fault's kind, where the policy returned one.
    pub(in crate::policy) fault: Option<String>,
    pub(in crate::policy) log: Vec<String>,
}

/// What the outcome and the expectation do not agree on, a line each; none is a pass.
pub(super) fn differences(question: &Question, expect: &Map<String, Json>, outcome: &Outcome) -> Vec<String> {
    let actual = match (question, outcome) {
        (Question::Configure, Outcome::Configured) => {
            Map::from_iter([("configured".to_owned(), Json::Bool(true)), ("problems".to_owned(), json!([]))])
        }
        (Question::Configure, Outcome::Problems(problems)) => {
            let pointers: Vec<&str> = problems.iter().map(|(pointer, _)| pointer.as_str()).collect();
            Map::from_iter([("configured".to_owned(), Json::Bool(false)), ("problems".to_owned(), json!(pointers))])
        }
        (Question::Hook(hook, _), Outcome::Answered(answered)) => {
            let failure = expect.get("fault").or_else(|| expect.get("failed"));
            if let Some(expected) = failure.filter(|expected| **expected != Json::Bool(false)) {
                return vec![format!("expected the failure {expected}, the policy answered {}", answered.answer)];
            }
            shown(*hook, answered)
        }
        (Question::Hook(..), Outcome::Failed(failed)) => {
            let is_expected = |key| expect.get(key).is_some_and(|expected| *expected != Json::Bool(false));
            if !is_expected("fault") && !is_expected("failed") {
                let failure = format!("expected an answer, the hook failed: {} ({})", failed.code, failed.detail);
                // A panic's words are there, and nowhere else.
                let logged = failed.log.iter().map(|line| format!("it logged: {line}"));
                return std::iter::once(failure).chain(logged).collect();
            }
            Map::from_iter([
                ("fault".to_owned(), json!(failed.fault)),
                ("failed".to_owned(), json!(failed.code)),
                ("log".to_owned(), json!(failed.log)),
            ])
        }
        (_, Outcome::Problems(problems)) => {
            return problems
                .iter()
                .map(|(pointer, message)| match pointer.as_str() {
                    "" => format!("the case's settings are refused: {message}"),
                    pointer => format!("the case's settings are refused: {pointer}: {message}"),
                })
                .collect();
        }
        (_, Outcome::NotLoaded(message)) => return vec![format!("the policy could not be loaded: {message}")],
        (_, Outcome::Configured | Outcome::Answered(_) | Outcome::Failed(_)) => {
            return vec!["the question was not asked".to_owned()];
        }
    };
    expect.iter().filter_map(|(key, expected)| compare(key, expected, actual.get(key).unwrap_or(&Json::Null))).collect()
}

pub(super) const fn keys_of(hook: Hook) -> &'static [&'static str] {
    match hook {
        Hook::Access => &["verdict", "reason", "detail", "max-age", "acr-values"],
        Hook::Admit => &["verdict", "reason", "detail", "acr-values", "max-age"],
        Hook::Groups => &[
            "grants",
            "because",
            "replace",
            "create-missing",
            "exclude",
            "leave",
            "dropped",
            "added",
            "removed",
            "after",
        ],
        Hook::Logout => &["none", "at-upstream", "target"],
        Hook::Profile => &["match-key", "username", "email", "given-name", "family-name", "display-name", "attributes"],
        Hook::Provision => &["refuse-creation", "detail", "update-attributes", "reactivate"],
        Hook::Route => &[
            "direction",
            "upstream",
            "delay",
            "login-hint",
            "acr-values",
            "max-age",
            "upstreams",
            "choices",
            "reason",
            "detail",
        ],
        Hook::Session => &["lifetime", "idle", "remember"],
    }
}

/// The answer under the keys that a case's `expect` can have.
pub(in crate::policy) fn answer(hook: Hook, answered: &Answered) -> Map<String, Json> {
    let mut shown = shown(hook, answered);
    shown.retain(|key, _| keys_of(hook).contains(&key.as_str()));
    shown
}

/// The answer under the keys that cases use, and others that it has.
fn shown(hook: Hook, answered: &Answered) -> Map<String, Json> {
    let answer = kebab(&answered.answer);
    let mut shown = match hook {
        Hook::Access | Hook::Admit => {
            let (verdict, payload) = variant(&answer);
            let mut shown = fields(payload);
            // An access verdict's step-up has a list with the one reason.
            let first = payload.get("reasons").and_then(|reasons| reasons.get(0));
            lift_reason(&mut shown, first.unwrap_or(payload));
            shown.insert("verdict".to_owned(), json!(verdict));
            shown
        }
        Hook::Route => {
            let (direction, payload) = variant(&answer);
            let mut shown = fields(payload);
            if direction == "choose" {
                let among = payload.as_array().map(Vec::as_slice).unwrap_or_default();
                shown.insert(
                    "upstreams".to_owned(),
                    among.iter().filter_map(|to| to.get("upstream")).cloned().collect(),
                );
                let whole = |to: &Json| {
                    let mut choice = fields(to);
                    choice.retain(|_, value| !value.is_null());
                    Json::Object(choice)
                };
                shown.insert("choices".to_owned(), among.iter().map(whole).collect());
            }
            lift_reason(&mut shown, payload);
            shown.insert("direction".to_owned(), json!(direction));
            shown
        }
        Hook::Profile => {
            let mut shown = fields(&answer);
            let attributes: Map<String, Json> = claims(answer.get("attributes"));
            shown.insert("attributes".to_owned(), Json::Object(attributes));
            shown
        }
        Hook::Groups => groups(&answer, answered),
        Hook::Provision => {
            let mut shown = fields(&answer);
            if let Some(reason) = answer.get("refuse-creation").filter(|reason| !reason.is_null()) {
                shown.insert("refuse-creation".to_owned(), reason.get("code").cloned().unwrap_or_default());
                shown.insert("detail".to_owned(), reason.get("detail").cloned().unwrap_or_default());
            }
            shown
        }
        Hook::Session => fields(&answer),
        Hook::Logout => {
            let mut shown = fields(&answer);
            shown.insert("none".to_owned(), json!(answer.is_null()));
            shown
        }
    };
    shown.insert("log".to_owned(), json!(answered.log));
    shown
}

fn groups(answer: &Json, answered: &Answered) -> Map<String, Json> {
    let mut shown = fields(answer);
    let grants = answer.get("grants").and_then(Json::as_array).cloned().unwrap_or_default();
    let names: Vec<Json> = grants.iter().filter_map(|grant| grant.get("group").cloned()).collect();
    let because: Map<String, Json> = grants
        .iter()
        .filter_map(|grant| {
            Some((
                grant.get("group")?.as_str()?.to_owned(),
                grant.pointer("/because/code").cloned().unwrap_or_default(),
            ))
        })
        .collect();
    let dropped: BTreeMap<&str, &str> =
        answered.dropped.iter().filter_map(|dropped| dropped.rsplit_once(": ")).collect();
    shown.insert("grants".to_owned(), Json::Array(names));
    shown.insert("because".to_owned(), Json::Object(because));
    shown.insert("dropped".to_owned(), json!(dropped));
    if let Some(difference) = &answered.difference {
        shown.insert("added".to_owned(), json!(difference.added));
        shown.insert("removed".to_owned(), json!(difference.removed));
        shown.insert("after".to_owned(), json!(difference.groups));
    }
    shown
}

/// `"pass"` or `{"deny": …}`: the case and what it carries.
fn variant(answer: &Json) -> (&str, &Json) {
    match answer {
        Json::String(name) => (name, &Json::Null),
        Json::Object(object) => object.iter().next().map_or(("", &Json::Null), |(name, payload)| (name, payload)),
        _ => ("", &Json::Null),
    }
}

fn fields(value: &Json) -> Map<String, Json> {
    value.as_object().cloned().unwrap_or_default()
}

/// A reason is the payload itself (`deny`), or one of its fields (`step-up`).
fn lift_reason(shown: &mut Map<String, Json>, payload: &Json) {
    let reason = payload.get("reason").unwrap_or(payload);
    if let Some(code) = reason.get("code") {
        shown.insert("reason".to_owned(), code.clone());
        // A reason without a detail is written without the key.
        shown.insert("detail".to_owned(), reason.get("detail").cloned().unwrap_or_else(|| json!("")));
    }
}

/// A list of claims as a table.
fn claims(list: Option<&Json>) -> Map<String, Json> {
    let claims = list.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    claims
        .iter()
        .filter_map(|claim| {
            let name = claim.get("name")?.as_str()?.to_owned();
            let (_, value) = variant(claim.get("value")?);
            Some((name, value.clone()))
        })
        .collect()
}

/// The host's own JSON has `snake_case` fields, cases have the contract's kebab-case.
/// Claims' names are values there, and so stay as they are.
fn kebab(value: &Json) -> Json {
    match value {
        Json::Object(object) => {
            Json::Object(object.iter().map(|(key, value)| (key.replace('_', "-"), kebab(value))).collect())
        }
        Json::Array(items) => items.iter().map(kebab).collect(),
        other => other.clone(),
    }
}

fn compare(key: &str, expected: &Json, actual: &Json) -> Option<String> {
    let holds = match (key, expected, actual) {
        // TOML has no null: false asks for nothing to be there.
        (_, Json::Bool(false), Json::Null) => true,
        ("grants" | "exclude" | "problems" | "added" | "removed" | "after", Json::Array(_), Json::Array(_)) => {
            sorted(expected) == sorted(actual)
        }
        ("attributes" | "because" | "dropped", Json::Object(expected), Json::Object(actual)) => {
            let wrong: Vec<String> = expected
                .iter()
                .filter_map(|(name, expected)| {
                    compare("", expected, actual.get(name).unwrap_or(&Json::Null))
                        .map(|difference| format!("{key}.{name}{difference}"))
                })
                .collect();
            return if wrong.is_empty() { None } else { Some(wrong.join("; ")) };
        }
        ("log", Json::Array(expected), Json::Array(lines)) => expected.iter().all(|part| {
            part.as_str()
                .is_some_and(|part| lines.iter().any(|line| line.as_str().is_some_and(|line| line.contains(part))))
        }),
        _ => expected == actual,
    };
    if holds { None } else { Some(format!("{key}: expected {}, found {}", in_words(expected), in_words(actual))) }
}

fn sorted(list: &Json) -> Vec<String> {
    let mut items: Vec<String> =
        list.as_array().map(|items| items.iter().map(Json::to_string).collect()).unwrap_or_default();
    items.sort_unstable();
    items
}

fn in_words(value: &Json) -> String {
    if value.is_null() { "nothing".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cases::form;

    /// The differences between `expect` (TOML) and `answer` at `hook`.
    fn diff(hook: &str, expect: &str, answered: Answered) -> Vec<String> {
        let text = format!("[[case]]\nname = \"n\"\nhook = \"{hook}\"\n[case.expect]\n{expect}\n");
        let case = form::parse("c.toml", &text).unwrap().remove(0);
        differences(&case.question, &case.expect, &Outcome::Answered(answered))
    }

    fn answer(answer: Json) -> Answered {
        Answered { answer, ..Answered::default() }
    }

    #[test]
    fn compares_only_what_is_expected() {
        let deny = answer(json!({"deny": {"code": "domain-not-allowed", "detail": "c.com"}}));
        assert!(diff("admit", "verdict = \"deny\"", deny.clone()).is_empty());
        assert_eq!(
            diff("admit", "verdict = \"deny\"\nreason = \"other\"", deny),
            ["reason: expected \"other\", found \"domain-not-allowed\""]
        );
        assert_eq!(
            diff("admit", "verdict = \"allow\"", answer(json!("pass"))),
            ["verdict: expected \"allow\", found \"pass\""]
        );
    }

    #[test]
    fn reads_a_step_up_and_its_reason() {
        let step_up = answer(json!({"step-up": {"acr_values": ["mfa"], "max_age": 300, "reason": {"code": "old"}}}));
        let expect = "verdict = \"step-up\"\nacr-values = [\"mfa\"]\nmax-age = 300\nreason = \"old\"";
        assert_eq!(diff("admit", expect, step_up), [""; 0]);
    }

    #[test]
    fn false_asks_for_nothing_to_be_there() {
        let profile = answer(json!({"username": "u", "given_name": null, "match_key": {"username": "u"},
            "attributes": [{"name": "de_pt", "value": {"text": "it"}}]}));
        let good = "given-name = false\nmatch-key = { username = \"u\" }\nattributes = { de_pt = \"it\", x = false }";
        assert_eq!(diff("profile", good, profile.clone()), [""; 0]);
        assert_eq!(diff("profile", "username = false", profile.clone()), ["username: expected false, found \"u\""]);
        assert_eq!(
            diff("profile", "attributes = { de_pt = \"hr\" }", profile),
            ["attributes.de_pt: expected \"hr\", found \"it\""]
        );
    }

    #[test]
    fn compares_groups_without_order_and_knows_why() {
        let plan = Answered {
            answer: json!({"grants": [{"group": "b", "because": {"code": "default"}}, {"group": "a", "because": {"code": "mapped"}}],
                "replace": true, "create_missing": false, "exclude": ["y", "x"], "leave": false}),
            dropped: vec!["odd: name: group-excluded".to_owned()],
            difference: Some(Difference {
                added: vec!["a".into()],
                removed: vec![],
                groups: vec!["a".into(), "b".into()],
            }),
            ..Answered::default()
        };
        let good = "grants = [\"a\", \"b\"]\nbecause = { a = \"mapped\" }\nreplace = true\ncreate-missing = false\n\
                    exclude = [\"x\", \"y\"]\ndropped = { \"odd: name\" = \"group-excluded\" }\nadded = [\"a\"]\n\
                    removed = []\nafter = [\"b\", \"a\"]";
        assert_eq!(diff("groups", good, plan.clone()), [""; 0]);
        assert_eq!(diff("groups", "grants = [\"a\"]", plan.clone()).len(), 1);
        assert_eq!(diff("groups", "grants = [\"a\", \"b\", \"b\"]", plan).len(), 1);
    }

    #[test]
    fn an_answer_never_satisfies_an_expected_failure_nor_a_failure_an_expected_answer() {
        assert_eq!(diff("groups", "fault = \"missing-claim\"", answer(json!({}))).len(), 1);
        let text = "[[case]]\nname = \"n\"\nhook = \"session\"\nexpect.remember = false\n";
        let case = form::parse("c.toml", text).unwrap().remove(0);
        let failed = Outcome::Failed(Failed { code: "policy-trapped".into(), ..Failed::default() });
        assert_eq!(differences(&case.question, &case.expect, &failed).len(), 1);
        let text = "[[case]]\nname = \"n\"\nhook = \"session\"\nexpect.fault = \"bad-claim\"\n";
        let case = form::parse("c.toml", text).unwrap().remove(0);
        assert_eq!(differences(&case.question, &case.expect, &failed).len(), 1);
    }

    #[test]
    fn an_expected_failure_of_false_asks_for_any_answer() {
        assert_eq!(diff("groups", "failed = false", answer(json!({}))), [""; 0]);
        assert_eq!(diff("groups", "fault = false\nleave = true", answer(json!({"leave": false}))).len(), 1);
        let text = "[[case]]\nname = \"n\"\nhook = \"groups\"\nexpect.failed = false\n";
        let case = form::parse("c.toml", text).unwrap().remove(0);
        let failed = Outcome::Failed(Failed { code: "policy-trapped".into(), ..Failed::default() });
        let found = differences(&case.question, &case.expect, &failed);
        assert!(found.len() == 1 && found[0].contains("policy-trapped"), "{found:?}");
    }

    #[test]
    fn reads_directions_access_verdicts_and_endings() {
        assert_eq!(
            diff(
                "route",
                "direction = \"choose\"\nupstreams = [\"b\", \"a\"]",
                answer(json!({"choose": [{"upstream": "b"}, {"upstream": "a"}]}))
            ),
            [""; 0]
        );
        assert_eq!(diff("route", "direction = \"ask-identifier\"", answer(json!("ask-identifier"))), [""; 0]);
        let redirect = answer(json!({"redirect": {"upstream": "p", "delay": 0, "login_hint": "u@a.com"}}));
        assert_eq!(diff("route", "upstream = \"p\"\ndelay = 0\nlogin-hint = \"u@a.com\"", redirect), [""; 0]);
        assert_eq!(
            diff(
                "access",
                "verdict = \"reauthenticate\"\nmax-age = 300\nreason = \"old\"",
                answer(json!({"reauthenticate": {"max_age": 300, "acr_values": [], "reasons": [{"code": "old"}]}}))
            ),
            [""; 0]
        );
        assert_eq!(diff("logout", "none = true", answer(Json::Null)), [""; 0]);
        assert_eq!(
            diff("logout", "at-upstream = true\ntarget = false", answer(json!({"at_upstream": true, "target": null}))),
            [""; 0]
        );
        let terms = answer(
            json!({"refuse_creation": {"code": "no-mapped-group"}, "update_attributes": "every-login", "reactivate": false}),
        );
        assert_eq!(
            diff(
                "provision",
                "refuse-creation = \"no-mapped-group\"\nupdate-attributes = \"every-login\"",
                terms.clone()
            ),
            [""; 0]
        );
        assert_eq!(diff("provision", "refuse-creation = false", terms).len(), 1);
    }
}
