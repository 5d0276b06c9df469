//! Properties of a policy by hand: its settings say what it answers.

use serde_json::json;

use super::*;
use crate::policy::properties::subject::Asked;
use crate::policy::{Properties, fixture, testing};

/// The results for `properties`, with a case for each of these marks.
fn results(marks: &[&str], properties: &str) -> Vec<PropertyResult> {
    let case = |mark: &&str| {
        format!(
            "[[case]]\nname = \"{mark}\"\nhook = \"admit\"\nsettings = {{ mark = \"{mark}\" }}\n\
             input.identity = {{ subject = \"ann\", groups = [\"dev\"], upstream = \"corp\" }}\nexpect.log = []\n"
        )
    };
    let text: String = marks.iter().map(case).collect();
    let engine = testing::engine(|_| {});
    let bytes = fixture::policy("0.1.0", &[("a.toml", &text)]);
    let component = Component::check(&engine, &bytes).unwrap();
    let cases = Cases::embedded(&bytes).unwrap();
    let properties = Properties::new("p.toml", properties).unwrap();
    check(&engine, &component, &cases, &properties, &Corpus::default(), Search { seed: 1, inputs: 60 }, &|_| {})
        .unwrap()
}

fn one(marks: &[&str], property: &str) -> PropertyResult {
    results(marks, &format!("[[property]]\nname = \"n\"\n{property}\n")).remove(0)
}

#[test]
fn holds_where_nothing_breaks_it() {
    for property in ["never-faults = true", "never-denies = true", "order-of-groups-never-matters = true"] {
        let result = one(&["yes"], property);
        assert!(result.passed() && result.applied > 5, "{property}: {result:?}");
    }
}

#[test]
fn shows_the_smallest_input_and_the_settings_that_it_takes() {
    let result = one(&["yes", "deny-all"], "never-denies = true");
    let found = result.counterexample.unwrap();
    assert_eq!(found.what, "it was denied: deny-all");
    assert_eq!(
        found.case,
        "[[case]]\nname = \"n\"\nhook = \"admit\"\n[case.settings]\nmark = \"deny-all\"\n[case.expect]\nverdict = \"allow\"\n"
    );
    let result = one(&["trap"], "never-faults = true");
    let found = result.counterexample.unwrap();
    assert!(found.what.contains("policy-trapped") && found.case.contains("failed = false"), "{found:?}");
    let result = one(&["yes"], "never-admits = true\nunless.upstream = [\"idp\"]");
    let found = result.counterexample.unwrap();
    assert!(found.case.contains("upstream = ") && !found.case.contains("subject"), "{}", found.case);
}

#[test]
fn what_says_nothing_about_the_policy_does_not_pass() {
    let result = one(&["yes"], "never-grants = [\"admins\"]");
    assert!(result.problem.as_ref().is_some_and(|problem| problem.contains("no hook")), "{result:?}");
    let result = one(&["yes"], "never-denies = true\nwhen.email-verified = true\nunless.email-verified = true");
    assert!(result.problem.as_ref().is_some_and(|problem| problem.contains("none of")), "{result:?}");
    let result = one(&["trap"], "adding-a-group-never-removes-access = true\nwhen.acr = [\"x\"]\nunless.acr = [\"x\"]");
    assert!(!result.passed(), "{result:?}");
}

#[test]
fn a_condition_is_reached_by_the_values_that_it_names() {
    let when =
        "when = { email-domain = [\"odd.example\"], in-group = [\"very-odd-group\"], upstream = [\"far-away\"] }";
    let result = one(&["yes"], &format!("never-denies = true\n{when}"));
    // Three values that no case has, together in one input.
    let many = results(&["yes"], &format!("[[property]]\nname = \"n\"\nnever-denies = true\n{when}\n"));
    assert_eq!(many[0].applied, result.applied);
    let each = ["email-domain = [\"odd.example\"]", "in-group = [\"very-odd-group\"]", "upstream = [\"far-away\"]"];
    for condition in each {
        let result = one(&["yes"], &format!("never-denies = true\nwhen = {{ {condition} }}"));
        assert!(result.passed() && result.applied > 0, "{condition}: {result:?}");
    }
}

#[test]
fn a_property_may_name_the_settings_with_which_it_holds() {
    let result = one(&["deny-all"], "never-denies = true\nsettings.mark = \"yes\"");
    assert!(result.passed() && result.applied == 61, "{result:?}");
    let shared = "settings.mark = \"yes\"\n[[property]]\nname = \"n\"\nnever-denies = true\n";
    assert!(results(&["deny-all"], shared)[0].passed());
    let result = one(&["yes"], "never-denies = true\nsettings.mark = \"x-refused\"");
    assert!(result.problem.as_ref().is_some_and(|problem| problem.contains("does not take")), "{result:?}");
}

#[test]
fn the_same_seed_asks_the_same() {
    let of = |inputs: &[PropertyResult]| serde_json::to_string(inputs).unwrap();
    let property = "[[property]]\nname = \"n\"\nnever-admits = true\nunless.email-verified = false\n";
    assert_eq!(of(&results(&["yes", "deny"], property)), of(&results(&["yes", "deny"], property)));
}

#[test]
fn a_second_answer_that_gives_less_is_told_from_one_that_gives_more() {
    let asked = |hook: Hook, shown: Json, input: &str| Asked {
        input: toml::from_str::<crate::policy::cases::InputForm>(input).unwrap().build(hook).unwrap(),
        outcome: crate::policy::cases::Outcome::Configured,
        shown: shown.as_object().unwrap().clone(),
    };
    let verdict = |verdict: &str| asked(Hook::Admit, json!({ "verdict": verdict }), "");
    for (had, has, lost) in [
        ("allow", "deny", true),
        ("allow", "pass", true),
        ("step-up", "pass", true),
        ("pass", "deny", true),
        ("allow", "step-up", false),
        ("deny", "allow", false),
        ("pass", "pass", false),
    ] {
        assert_eq!(less(Hook::Admit, &verdict(had), &verdict(has)).is_some(), lost, "{had} {has}");
    }
    let after = |groups: &[&str]| asked(Hook::Groups, json!({ "after": groups }), "");
    assert_eq!(less(Hook::Groups, &after(&["a"]), &after(&["b", "a"])), None);
    let expected = less(Hook::Groups, &after(&["a"]), &after(&["b"])).unwrap();
    assert_eq!(Json::Object(expected), json!({ "after": ["a", "b"] }));

    let granted = asked(Hook::Groups, json!({ "grants": ["x-admin", "users"], "removed": ["local-1"] }), "");
    let kind = Kind::NeverGrants(vec!["*admin".into()]);
    assert_eq!(alone(&kind, Hook::Groups, &granted).unwrap().1["grants"], json!(["users"]));
    assert_eq!(
        alone(&Kind::NeverTakes(vec!["local-*".into()]), Hook::Groups, &granted).unwrap().1["removed"],
        json!([])
    );
    // What an earlier policy granted is none of this one's.
    let before = asked(Hook::Groups, json!({ "grants": ["x-admin"] }), "so-far.grants = [\"x-admin\"]");
    assert!(alone(&kind, Hook::Groups, &before).is_none());
    let sent = asked(Hook::Route, json!({ "direction": "choose", "upstreams": ["a", "partner"] }), "");
    assert!(alone(&Kind::NeverRoutesTo(vec!["partner".into()]), Hook::Route, &sent).unwrap().0.contains("partner"));
}
