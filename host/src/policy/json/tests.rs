use serde_json::json;

use super::*;
use crate::policy::bindings::exports::vestibule::policy::{access, admit, logout, provision, route, session};

type Read = Result<(), AnswerError>;

fn read_any(hook: Hook, text: &str) -> Read {
    match hook {
        Hook::Route => read::<route::Direction>(hook, text).map(drop),
        Hook::Admit => read::<admit::Verdict>(hook, text).map(drop),
        Hook::Profile => read::<types::ProfileResult>(hook, text).map(drop),
        Hook::Groups => read::<types::PlanResult>(hook, text).map(drop),
        Hook::Provision => read::<provision::Terms>(hook, text).map(drop),
        Hook::Session => read::<session::Terms>(hook, text).map(drop),
        Hook::Access => read::<access::Verdict>(hook, text).map(drop),
        Hook::Logout => read::<Option<logout::Ending>>(hook, text).map(drop),
    }
}

fn refusal(hook: Hook, text: &str) -> (String, String) {
    match read_any(hook, text) {
        Err(AnswerError::Shape { pointer, message, .. }) => (pointer, message),
        Err(AnswerError::Syntax(message)) => ("syntax".to_owned(), message),
        Ok(()) => panic!("taken: {text}"),
    }
}

/// Answers that are right, one of each case and with every field.
fn right() -> Vec<(Hook, Value)> {
    let reason = json!({ "code": "c", "detail": "d" });
    let step_up = json!({ "acr-values": ["a"], "max-age": 60, "reason": reason });
    let redirect = json!({ "upstream": "u", "delay": 0, "login-hint": "h", "acr-values": [], "max-age": 1 });
    let values = [
        json!({ "text": "t" }),
        json!({ "texts": ["t"] }),
        json!({ "integer": -1 }),
        json!({ "number": 1.5 }),
        json!({ "boolean": true }),
        json!({ "json": "{}" }),
    ];
    let attributes: Vec<_> = values.iter().map(|value| json!({ "name": "n", "value": value })).collect();
    let plan = json!({
        "grants": [{ "group": "g", "because": reason }], "replace": true, "create-missing": false,
        "exclude": ["x"], "leave": false,
    });
    let mut answers = vec![
        (Hook::Route, json!("pass")),
        (Hook::Route, json!("ask-identifier")),
        (Hook::Route, json!("local-form")),
        (Hook::Route, json!("application-form")),
        (Hook::Route, json!({ "redirect": redirect })),
        (Hook::Route, json!({ "redirect": { "upstream": "u", "delay": 4_294_967_295_u32, "acr-values": [] } })),
        (Hook::Route, json!({ "choose": [redirect] })),
        (Hook::Route, json!({ "refuse": reason })),
        (Hook::Admit, json!("pass")),
        (Hook::Admit, json!({ "allow": reason })),
        (Hook::Admit, json!({ "deny": reason })),
        (Hook::Admit, json!({ "step-up": step_up })),
        (Hook::Admit, json!({ "step-up": { "acr-values": [], "max-age": null, "reason": reason } })),
        (
            Hook::Profile,
            json!({ "match-key": { "email": "e" }, "username": "u", "email": "e", "given-name": "g",
            "family-name": "f", "display-name": "d", "attributes": attributes }),
        ),
        (Hook::Profile, json!({ "match-key": { "username": "u" }, "attributes": [] })),
        (Hook::Profile, json!({ "match-key": null, "username": null, "attributes": [] })),
        (Hook::Groups, plan),
        (Hook::Provision, json!({ "refuse-creation": reason, "update-attributes": "never", "reactivate": true })),
        (Hook::Provision, json!({ "update-attributes": "on-creation", "reactivate": false })),
        (Hook::Provision, json!({ "refuse-creation": null, "update-attributes": "every-login", "reactivate": false })),
        (Hook::Session, json!({ "lifetime": 1, "idle": 1, "remember": false })),
        (Hook::Access, json!("pass")),
        (Hook::Access, json!({ "deny": reason })),
        (Hook::Access, json!({ "reauthenticate": step_up })),
        (Hook::Logout, json!(null)),
        (Hook::Logout, json!({ "at-upstream": true, "target": "https://a.example/" })),
        (Hook::Logout, json!({ "at-upstream": false })),
    ]
    .into_iter()
    .map(|(hook, answer)| (hook, json!({ "ok": answer })))
    .collect::<Vec<_>>();
    for case in ["missing-claim", "bad-claim", "lookup-failed", "internal"] {
        answers.push((Hook::Admit, json!({ "err": { case: "why" } })));
    }
    answers
}

/// Every value that differs from `value` in one place: left out, more, or of another kind.
fn spoilt(value: &Value) -> Vec<Value> {
    let mut all: Vec<Value> =
        [json!(null), json!(7), json!(-7), json!(0.5), json!("odd"), json!([]), json!({}), json!(true)]
            .into_iter()
            .filter(|other| other != value)
            .collect();
    match value {
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert("odd".to_owned(), json!(1));
            all.push(Value::Object(more));
            for (key, member) in members {
                let mut fewer = members.clone();
                fewer.remove(key);
                all.push(Value::Object(fewer));
                for other in spoilt(member) {
                    let mut changed = members.clone();
                    changed.insert(key.clone(), other);
                    all.push(Value::Object(changed));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for other in spoilt(item) {
                    let mut changed = items.clone();
                    changed[index] = other;
                    all.push(Value::Array(changed));
                }
            }
        }
        _ => {}
    }
    all
}

#[test]
fn takes_every_answer_that_the_contract_has() {
    for (hook, answer) in right() {
        assert_eq!(read_any(hook, &answer.to_string()), Ok(()), "{hook} {answer}");
    }
}

#[test]
fn types_and_schema_refuse_the_same() {
    let (mut refused, mut taken) = (0, 0);
    for (hook, answer) in right() {
        let validator = validator(&format!("{}.answer", hook.name())).unwrap();
        for other in spoilt(&answer) {
            let is_typed = match read_any(hook, &other.to_string()) {
                Ok(()) => true,
                Err(AnswerError::Shape { message, .. }) => {
                    // What only the schema refused would say so in the schema's words.
                    assert!(!message.starts_with("it "), "{hook} {other}: {message}");
                    false
                }
                Err(error) => panic!("{other}: {error}"),
            };
            assert_eq!(is_typed, validator.is_valid(&other), "{hook} {other}");
            if is_typed { taken += 1 } else { refused += 1 }
        }
    }
    assert!(refused > 500 && taken > 20, "{refused} refused, {taken} taken");
}

#[test]
fn says_where_an_answer_does_not_fit_and_not_what_stands_there() {
    let cases = [
        (r#"{"ok":{"allow":{"code":3,"detail":""}}}"#, "/ok/allow/code", "expected a string, found a number"),
        (r#"{"ok":{"allow":{"code":"c"}}}"#, "/ok/allow", "missing field `detail`"),
        (r#"{"ok":{"allow":{"code":"c","detail":"","more":1}}}"#, "/ok/allow/more", "unknown field `more`"),
        (r#"{"ok":{"alow":{"code":"c","detail":""}}}"#, "/ok", "unknown variant `alow`, expected one of `pass`"),
        (r#"{"ok":"alice@example.com"}"#, "/ok", "unknown variant"),
        (
            r#"{"ok":{"step-up":{"acr-values":["a",4],"reason":{"code":"c","detail":""}}}}"#,
            "/ok/step-up/acr-values/1",
            "found a number",
        ),
        (
            r#"{"ok":{"step-up":{"acr-values":[],"max-age":-1,"reason":{"code":"c","detail":""}}}}"#,
            "/ok/step-up/max-age",
            "expected u32",
        ),
        (r#"{"ok":{"deny":"alice@example.com"}}"#, "/ok/deny", "found a string"),
        (r#""pass""#, "", ""),
        (r#"{"pass":null}"#, "", "unknown variant `pass`, expected `ok` or `err`"),
        (r#"{"ok":"pass","err":{"internal":""}}"#, "", ""),
        ("[]", "", ""),
        ("null", "", ""),
    ];
    for (text, pointer, words) in cases {
        let (found, message) = refusal(Hook::Admit, text);
        assert_eq!(found, pointer, "{text}: {message}");
        assert!(message.contains(words), "{text}: {message}");
    }
    let (_, message) = refusal(Hook::Admit, r#"{"ok":{"deny":{"code":["alice@example.com"],"detail":""}}}"#);
    assert!(!message.contains("alice"), "{message}");
}

#[test]
fn refuses_what_is_no_json_or_could_be_read_in_two_ways() {
    let deep = format!("{}{}", r#"{"ok":"#.repeat(400), "}".repeat(400));
    let cases = [
        ("", "EOF"),
        ("pass", "expected"),
        (r#"{"ok":"pass"} "#, "a"),
        (r#"{"ok":"pass"}x"#, "trailing"),
        (r#"{"ok":"pass","ok":{"deny":{"code":"c","detail":""}}}"#, "a key twice"),
        (r#"{"ok":{"allow":{"code":"a","code":"b","detail":""}}}"#, "a key twice"),
        (r#"{"ok":1e999}"#, "out of range"),
        (r#"{"ok":NaN}"#, "expected"),
        ("{\"ok\":\"\\ud800\"}", "hex escape"),
        (deep.as_str(), "recursion limit"),
        ("{\"ok\":\"pass\"}\u{0}", "trailing"),
    ];
    for (text, words) in cases {
        let outcome = read_any(Hook::Admit, text);
        if text.ends_with(' ') {
            assert_eq!(outcome, Ok(()), "blanks around JSON are no fault");
            continue;
        }
        let Err(AnswerError::Syntax(message)) = outcome else { panic!("{text}: {outcome:?}") };
        assert!(message.contains(words), "{text}: {message}");
    }
}

#[test]
fn every_question_fits_the_schema() {
    let values = [
        types::ValueParam::Text("t"),
        types::ValueParam::Texts(&["a", "b"]),
        types::ValueParam::Integer(i64::MIN),
        types::ValueParam::Number(0.5),
        types::ValueParam::Boolean(false),
        types::ValueParam::Json("{}"),
    ];
    let claims = values.map(|value| types::ClaimParam { name: "n", value });
    let grants = [types::GrantParam { group: "g", because: types::ReasonParam { code: "c", detail: "" } }];
    let context = || types::Context { login: "l", at: 1, tenant: "t", application: "a", address: None, facts: &claims };
    let email = || Some(types::Email { address: "a@b.c", verified: true });
    let identity = |groups, email| types::Identity {
        upstream: "u",
        protocol: "oidc",
        issuer: "i",
        subject: "s",
        email,
        groups,
        auth_time: Some(u64::MAX),
        acr: None,
        amr: &["pwd"],
        claims: &claims,
    };
    let account = || Some(types::Account { active: true, groups: &["g"], attributes: &claims });
    let profile = |match_key| types::ProfileParam {
        match_key,
        username: Some("u"),
        email: None,
        given_name: None,
        family_name: None,
        display_name: None,
        attributes: &claims,
    };
    let plan =
        || types::PlanParam { grants: &grants, replace: true, create_missing: true, exclude: &["x"], leave: false };
    let granted = [provision::Granted { group: "g", because: "c" }];
    let attempt =
        || route::Attempt { context: context(), identifier: Some("i"), upstreams: &["u"], previous: None, failed: &[] };
    let listed = || identity(types::GroupClaim::Listed(&["g"]), email());
    let no_account: Option<types::Account<'_>> = None;
    let none: Option<&str> = None;
    let granted: &[provision::Granted<'_>] = &granted;
    let groups: &[&str] = &["g"];
    let terms = session::Terms { lifetime: 1, idle: u32::MAX, remember: true };
    let request = access::Request { method: "GET", host: "h", path: "/" };
    let key = Some(types::MatchKeyParam::Email("e"));
    let name = Some(types::MatchKeyParam::Username("u"));
    let questions = [
        (Hook::Route, question([("attempt", attempt().to_json())])),
        (
            Hook::Admit,
            question([
                ("context", context().to_json()),
                ("identity", listed().to_json()),
                ("account", no_account.to_json()),
            ]),
        ),
        (
            Hook::Profile,
            question([
                ("context", context().to_json()),
                ("identity", identity(types::GroupClaim::Absent, None).to_json()),
                ("account", account().to_json()),
                ("so_far", profile(key).to_json()),
            ]),
        ),
        (
            Hook::Groups,
            question([
                ("context", context().to_json()),
                ("identity", identity(types::GroupClaim::Overage, None).to_json()),
                ("account", account().to_json()),
                ("profile", profile(name).to_json()),
                ("so_far", plan().to_json()),
            ]),
        ),
        (
            Hook::Provision,
            question([
                ("context", context().to_json()),
                ("identity", identity(types::GroupClaim::Withheld, None).to_json()),
                ("account", account().to_json()),
                ("profile", profile(None).to_json()),
                ("granted", granted.to_json()),
            ]),
        ),
        (
            Hook::Session,
            question([
                ("context", context().to_json()),
                ("identity", listed().to_json()),
                ("groups", groups.to_json()),
                ("so_far", terms.to_json()),
            ]),
        ),
        (
            Hook::Access,
            question([
                ("context", context().to_json()),
                ("identity", listed().to_json()),
                ("groups", groups.to_json()),
                ("request", request.to_json()),
            ]),
        ),
        (
            Hook::Logout,
            question([
                ("context", context().to_json()),
                ("identity", listed().to_json()),
                ("requested", none.to_json()),
            ]),
        ),
    ];
    for (hook, question) in questions {
        let question: Value = serde_json::from_str(&question).unwrap();
        let validator = validator(&format!("{}.question", hook.name())).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&question).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{hook}: {errors:?}\n{question:#}");
    }
}
