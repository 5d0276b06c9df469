use super::*;

fn one(text: &str) -> Result<Case, CaseError> {
    parse("cases/a.toml", text).map(|mut cases| cases.remove(0))
}

fn input(text: &str) -> Input {
    match one(text).unwrap().question {
        Question::Hook(_, input) => *input,
        Question::Configure => panic!("configure has no input"),
    }
}

#[test]
fn the_documented_sample_is_a_case_file() {
    let cases = parse("cases.toml", include_str!("../../../../../docs/examples/cases.toml")).unwrap();
    let mut hooks: Vec<&str> = cases
        .iter()
        .map(|case| match &case.question {
            Question::Configure => "configure",
            Question::Hook(hook, _) => hook.name(),
        })
        .collect();
    hooks.sort_unstable();
    hooks.dedup();
    assert_eq!(hooks.len(), 9, "{hooks:?}");
}

#[test]
fn fills_in_the_documented_defaults() {
    let input = input("[[case]]\nname = \"n\"\nhook = \"admit\"\n[case.expect]\nverdict = \"pass\"\n");
    assert_eq!((input.context.application.as_str(), input.context.at), ("app", 1_700_000_000));
    assert_eq!((input.identity.upstream.as_str(), input.identity.subject.as_str()), ("idp", "s-1"));
    assert_eq!(input.identity.groups, GroupClaim::Absent);
    assert!(input.account.is_none() && input.identity.email.is_none());
    assert_eq!(input.terms_so_far, SessionTerms { lifetime: 28_800, idle: 3_600, remember: true });
}

#[test]
fn tells_absent_groups_from_an_empty_list_and_from_overage() {
    let groups = |value: &str| {
        input(&format!(
            "[[case]]\nname = \"n\"\nhook = \"groups\"\ninput.identity.groups = {value}\nexpect.leave = false\n"
        ))
        .identity
        .groups
    };
    assert_eq!(groups("\"absent\""), GroupClaim::Absent);
    assert_eq!(groups("\"overage\""), GroupClaim::Overage);
    assert_eq!(groups("[]"), GroupClaim::Listed(vec![]));
}

/// A case at `hook` that ends with these lines, the first of which is the fourth of the file.
fn case(hook: &str, rest: &str) -> String {
    format!("[[case]]\nname = \"n\"\nhook = \"{hook}\"\n{rest}\n")
}

#[test]
fn refuses_what_would_test_nothing_and_says_where() {
    for (text, line, part) in [
        (case("admit", "expect.verdct = \"deny\""), 4, "unknown expectation `verdct`; did you mean `verdict`?"),
        (case("admit", "expect.resaon = \"x\""), 4, "did you mean `reason`?"),
        (case("admit", "[case.expect]\nverdict = \"deny\"\nresaon = \"x\""), 6, "did you mean `reason`?"),
        (case("admit", "expect.direction = \"pass\""), 4, "direction"),
        (case("admit", "expect = {}"), 4, "expects nothing"),
        (case("admitt", "expect.verdict = \"deny\""), 3, "unknown hook `admitt`; did you mean `admit`?"),
        (case("admit", "input.plan = {}\nexpect.verdict = \"deny\""), 4, "input.plan"),
        (case("admit", "input.idntity = {}\nexpect.verdict = \"deny\""), 4, "did you mean `identity`?"),
        (case("session", "input.so-far.grants = []\nexpect.idle = 1"), 4, "unknown field `grants`"),
        (case("admit", "exepct.verdict = \"deny\""), 4, "did you mean `expect`?"),
    ] {
        let error = one(&text).unwrap_err();
        assert_eq!(error.line, Some(line), "{error}");
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[test]
fn refuses_a_word_that_no_answer_has_in_place_of_calling_the_answer_wrong() {
    for (hook, expect, part) in [
        ("admit", "verdict = \"alow\"", "`verdict` is never \"alow\", expected one of \"pass\", \"allow\""),
        ("admit", "verdict = \"alow\"", "did you mean `allow`?"),
        ("admit", "verdict = \"reauthenticate\"", "\"step-up\""),
        ("admit", "verdict = false", "is never false"),
        ("admit", "verdict = [\"deny\"]", "is never [\"deny\"]"),
        ("access", "verdict = \"allow\"", "\"reauthenticate\""),
        ("route", "direction = \"redirct\"", "did you mean `redirect`?"),
        ("provision", "update-attributes = \"always\"", "\"every-login\""),
        ("groups", "fault = \"missing-clam\"", "did you mean `missing-claim`?"),
        ("groups", "failed = \"policy-traped\"", "did you mean `policy-trapped`?"),
    ] {
        let error = one(&case(hook, &format!("expect.{expect}"))).unwrap_err();
        assert_eq!(error.line, Some(4), "{error}");
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    for (hook, expect) in [
        ("admit", "fault = false"),
        ("groups", "failed = false"),
        ("provision", "refuse-creation = false"),
        ("admit", "reason = \"any-word-of-the-policys\""),
    ] {
        one(&case(hook, &format!("expect.{expect}"))).unwrap();
    }
}

#[test]
fn refuses_a_file_without_cases_and_two_cases_of_one_name() {
    for text in ["", "# nothing yet\n", "[settings]\na = 1\n", "case = []\n"] {
        let error = parse("c.toml", text).unwrap_err().to_string();
        assert!(error.starts_with("c.toml: the file has no `[[case]]`"), "{error}");
    }
    let one = case("admit", "expect.verdict = \"deny\"");
    let error = parse("c.toml", &format!("{one}{one}")).unwrap_err();
    assert_eq!(error.to_string(), "c.toml:6: the case of line 1 is called `n`, too: which of them failed?");
}

#[test]
fn a_case_overrides_the_settings_of_its_file_key_by_key() {
    let case =
        one("[settings]\na = 1\nb = { c = 2 }\n[[case]]\nname = \"n\"\nhook = \"configure\"\nsettings = { b = 3 }\n\
         expect.configured = true\n")
        .unwrap();
    assert_eq!(case.settings, Some(serde_json::json!({"a": 1, "b": 3})));
}

#[test]
fn types_claims_as_the_contract_does() {
    let facts = input(
        "[[case]]\nname = \"n\"\nhook = \"admit\"\nexpect.verdict = \"pass\"\n[case.input.context.facts]\n\
         t = \"x\"\nl = [\"a\"]\ni = 1\nf = 0.5\nb = true\no = { z = 1, a = 2 }\nm = [1, \"x\"]\n",
    )
    .context
    .facts;
    let value = |name: &str| facts.iter().find(|fact| fact.name == name).unwrap().value.clone();
    assert_eq!(value("t"), Value::Text("x".into()));
    assert_eq!(value("l"), Value::Texts(vec!["a".into()]));
    assert_eq!(value("i"), Value::Integer(1));
    assert_eq!(value("f"), Value::Number(0.5));
    assert_eq!(value("b"), Value::Boolean(true));
    assert_eq!(value("m"), Value::Json("[1,\"x\"]".into()));
}
