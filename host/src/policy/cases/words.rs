//! The words that a case may use: which keys an answer has, and which of its values are one of a few. A misspelt one
//! would be an expectation that no answer meets, and read as if the policy were wrong.

use serde_json::{Map, Value as Json};

use super::{super::locate, compare::keys_of, form::Question};
use crate::{
    config::{did_you_mean, nearest},
    decision::{DenyCode, Hook},
};

/// What a policy can return in place of an answer (`types.fault` in `wit/policy.wit`).
const FAULTS: [&str; 4] = ["missing-claim", "bad-claim", "lookup-failed", "internal"];

/// Expectations that every hook has: about a failure, and about what was logged.
const FAILURE: [&str; 3] = ["fault", "failed", "log"];

/// What is wrong with a hook's name.
pub(super) fn unknown_hook(name: &str) -> String {
    let known: Vec<&str> = Hook::ALL.iter().map(|hook| hook.name()).chain(["configure"]).collect();
    let expected = known.join(", ");
    match nearest(name, &known) {
        Some(meant) => format!("unknown hook `{name}`; {} expected one of {expected}", did_you_mean(meant)),
        None => format!("unknown hook `{name}`, expected one of {expected}"),
    }
}

/// Refuses expectations that the question's answer cannot have, and the empty one.
///
/// # Errors
///
/// The key, if it is one, and what is wrong with it.
pub(super) fn check(question: &Question, expect: &Map<String, Json>) -> Result<(), (Option<String>, String)> {
    let (keys, failure): (&[&str], &[&str]) = match question {
        Question::Configure => (&["configured", "problems"], &[]),
        Question::Hook(hook, _) => (keys_of(*hook), &FAILURE),
    };
    if expect.is_empty() {
        return Err((None, "`expect` expects nothing, so the case would always hold".to_owned()));
    }
    let known: Vec<&str> = keys.iter().chain(failure).copied().collect();
    for (key, value) in expect {
        let refuse = |message| Err((Some(key.clone()), message));
        if !known.contains(&key.as_str()) {
            let expected = known.join(", ");
            return refuse(match nearest(key, &known) {
                Some(meant) => {
                    format!("unknown expectation `{key}`; {} expected one of {expected}", did_you_mean(meant))
                }
                None => format!("unknown expectation `{key}`, expected one of {expected}"),
            });
        }
        let Question::Hook(hook, _) = question else { continue };
        let wrong = if key == "failed" { host_code(value) } else { word(*hook, key, value) };
        if let Some(message) = wrong {
            return refuse(message);
        }
    }
    Ok(())
}

/// What is wrong with a name under which a failure is known: a fault's, or a code of the host's.
pub(in crate::policy) fn failure(name: &str) -> Option<String> {
    if FAULTS.contains(&name) {
        return None;
    }
    let unknown = host_code(&Json::from(name))?;
    Some(match nearest(name, &FAULTS) {
        Some(meant) => format!("`{name}` is no failure; {}", did_you_mean(meant)),
        None => unknown,
    })
}

/// The values of a key that has only a few.
const fn words(hook: Hook, key: &str) -> Option<&'static [&'static str]> {
    Some(match (hook, key.as_bytes()) {
        (Hook::Admit, b"verdict") => &["pass", "allow", "deny", "step-up"],
        (Hook::Access, b"verdict") => &["pass", "deny", "reauthenticate"],
        (Hook::Route, b"direction") => {
            &["pass", "redirect", "ask-identifier", "choose", "local-form", "application-form", "refuse"]
        }
        (Hook::Provision, b"update-attributes") => &["never", "on-creation", "every-login"],
        (_, b"fault") => &FAULTS,
        _ => return None,
    })
}

fn word(hook: Hook, key: &str, value: &Json) -> Option<String> {
    let words = words(hook, key)?;
    let is_known = value.as_str().is_some_and(|text| words.contains(&text));
    // No fault at all is something to expect; no verdict is not.
    if is_known || (key == "fault" && *value == Json::Bool(false)) {
        return None;
    }
    let expected = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let hint = value.as_str().and_then(|text| nearest(text, words));
    let hint = hint.map(|meant| format!("; {}", did_you_mean(meant))).unwrap_or_default();
    Some(format!("`{key}` is never {value}, expected one of {expected}{hint}"))
}

fn host_code(value: &Json) -> Option<String> {
    if *value == Json::Bool(false) {
        return None;
    }
    let error = serde_json::from_value::<DenyCode>(value.clone()).err()?.to_string();
    let hint = locate::meant(&error).map(|meant| format!("; {}", did_you_mean(meant))).unwrap_or_default();
    Some(format!("{value} is no code of the host's, such as \"policy-trapped\" or \"unsafe-value\"{hint}"))
}
