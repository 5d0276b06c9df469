//! What was recorded is asked again as it was.

use std::sync::Arc;

use super::*;
use crate::{
    decision::{
        Allowance, Asked, Denial, DenyCode, Difference, Found, Held, Ingredient, PolicyRef, Routed, Search,
        SessionTerms,
    },
    identity::{Email, Protocol},
    policy::{
        Cases, Component, Properties, Search as Extent,
        cases::{Input, InputForm},
        check, fixture, testing,
    },
};

fn claim(name: &str, value: decision::Value) -> Claim {
    Claim { name: name.to_owned(), value }
}

fn person() -> Identity {
    Identity {
        upstream: "corp".into(),
        protocol: Protocol::Saml,
        issuer: "https://corp.example".into(),
        subject: "ann".into(),
        email: Some(Email { address: "ann@corp.example".into(), verified: true }),
        groups: GroupClaim::Listed(vec!["dev".into(), "it".into()]),
        auth_time: Some(1_700_000_100),
        acr: Some("mfa".into()),
        amr: vec!["otp".into()],
        claims: [("dept".to_owned(), serde_json::json!(["it", 3, { "a": true }]))].into(),
    }
}

fn decided(conclusion: Conclusion) -> Decided {
    let facts = vec![
        claim("request.path", decision::Value::Text("/x".into())),
        claim("session.remembered", decision::Value::Boolean(true)),
    ];
    let attributes = vec![
        claim("dept", decision::Value::Texts(vec!["it".into()])),
        claim("level", decision::Value::Integer(3)),
        claim("more", decision::Value::Json("{\"a\":[1,\"x\"]}".into())),
        claim("share", decision::Value::Number(0.5)),
    ];
    let attempt = Attempt {
        identifier: Some("ann".into()),
        upstreams: vec!["corp".into(), "partner".into()],
        previous: Some("corp".into()),
        failed: vec!["partner".into()],
    };
    Decided {
        request: "r".into(),
        generation: Arc::from("g"),
        asked: Asked {
            context: Context {
                login: "l-1".into(),
                at: 1_700_000_123,
                tenant: "acme".into(),
                application: "wiki".into(),
                address: Some("203.0.113.9".into()),
                facts,
            },
            identity: person(),
            canary: false,
            routed: Some(Routed { attempt, direction: decision::Direction::LocalForm }),
            held: Held::Yes,
            may_step_up: true,
            elapsed: 1,
        },
        found: Found {
            reached_groups: true,
            protected: ["root".to_owned()].into(),
            linked: Some(Ok(None)),
            account: Some(Search {
                key: Some(MatchKey::Email("ann@corp.example".into())),
                found: Ok(Some(Account { active: false, groups: vec!["old".into()], attributes })),
            }),
            ..Found::default()
        },
        conclusion,
        answers: Vec::new(),
    }
}

fn yes() -> Conclusion {
    let profile = Profile {
        match_key: Some(MatchKey::Email("ann@corp.example".into())),
        username: Some("ann".into()),
        email: Some("ann@corp.example".into()),
        given_name: Some("Ann".into()),
        family_name: None,
        display_name: Some("Ann A.".into()),
        attributes: vec![claim("dept", decision::Value::Text("it".into()))],
    };
    let groups = Difference { added: vec!["new".into()], removed: vec![], groups: vec!["new".into(), "old".into()] };
    let terms = SessionTerms { lifetime: 60, idle: 60, remember: false };
    Conclusion::Admitted(Box::new(Granted { profile, groups, terms }))
}

fn input(corpus: &Corpus, hook: Hook) -> Input {
    let hooks = [hook];
    let (_, table) = corpus.inputs(&hooks).next().unwrap();
    let form: InputForm = Value::Table(table.clone()).try_into().unwrap();
    form.build(hook).unwrap()
}

#[test]
fn every_hook_is_asked_what_it_was_asked() {
    let mut corpus = Corpus::default();
    let decided = decided(yes());
    let known: BTreeSet<String> = ["new".to_owned(), "old".to_owned()].into();
    corpus.login(&decided, Some(&known));
    assert_eq!(corpus.len(), 6);
    let (asked, found) = (&decided.asked, &decided.found);
    for hook in [Hook::Route, Hook::Admit, Hook::Profile, Hook::Groups, Hook::Provision, Hook::Session] {
        let input = input(&corpus, hook);
        assert_eq!(input.context, asked.context, "{hook}");
        if hook != Hook::Route {
            assert_eq!(input.identity, asked.identity, "{hook}");
        }
    }
    assert_eq!(input(&corpus, Hook::Route).attempt, asked.routed.as_ref().unwrap().attempt);
    assert_eq!(input(&corpus, Hook::Admit).account, None, "nothing is linked");
    let Conclusion::Admitted(granted) = &decided.conclusion else { panic!("no yes") };
    let groups = input(&corpus, Hook::Groups);
    assert_eq!(groups.account.as_ref(), found.account.as_ref().unwrap().found.as_ref().unwrap().as_ref());
    assert_eq!(groups.profile, granted.profile);
    assert_eq!((&groups.rules.protected, groups.rules.known.as_ref()), (&found.protected, Some(&known)));
    assert_eq!(input(&corpus, Hook::Session).groups, granted.groups.groups);
    assert_eq!(input(&corpus, Hook::Provision).plan.grants.len(), 2);
}

#[test]
fn a_hook_that_was_never_reached_is_not_asked() {
    let mut corpus = Corpus::default();
    let no = Conclusion::Denied(Denial::by_host(DenyCode::NotAllowed, ""));
    let mut refused = decided(no.clone());
    refused.found.reached_groups = false;
    corpus.login(&refused, None);
    assert_eq!(corpus.inputs.keys().copied().collect::<Vec<_>>(), [Hook::Route, Hook::Admit]);
    let mut by_host = decided(no);
    by_host.asked.routed = None;
    by_host.found.linked = None;
    let mut corpus = Corpus::default();
    corpus.login(&by_host, None);
    assert!(corpus.is_empty());
}

#[test]
fn keeps_the_newest_and_counts_what_it_leaves_out() {
    let mut corpus = Corpus::default();
    for at in 0..=CORPUS_INPUTS_MAX {
        let context = Context { at: u64::try_from(at).unwrap(), ..Context::default() };
        corpus.put(Hook::Route, route(&context, &Attempt::default()));
    }
    assert_eq!((corpus.len(), corpus.left_out()), (CORPUS_INPUTS_MAX, 1));
    assert_eq!(input(&corpus, Hook::Route).context.at, 1);
}

/// With these settings at the time of the recording.
fn recipe(mark: &str) -> Recipe {
    let policy =
        PolicyRef { name: "fixture".into(), version: "0.1.0".into(), component: "c".into(), settings: "s".into() };
    let settings = Arc::from(format!("{{\"mark\":\"{mark}\"}}"));
    Recipe {
        generation: Arc::from("g"),
        application: "wiki".into(),
        policies: vec![Ingredient { policy, settings }],
        limits: Allowance {
            fuel: 1,
            memory_bytes: 1,
            table_elements: 1,
            stack_bytes: 1,
            output_bytes: 1,
            log_lines: 1,
            log_line_bytes: 1,
        },
    }
}

#[test]
fn a_recorded_login_that_breaks_a_property_is_found_and_made_small() {
    let engine = testing::engine(|_| {});
    let component = Component::check(&engine, &fixture::policy("0.1.0", &[])).unwrap();
    let property = "[[property]]\nname = \"n\"\nnever-denies = true\nwhen = { claim = { dept = [\"it\"] } }\n";
    let properties = Properties::new("p.toml", property).unwrap();
    let mut corpus = Corpus::default();
    corpus.login(&decided(yes()), None);
    let run = |corpus: &Corpus| {
        let search = Extent { seed: 0, inputs: 1 };
        check(&engine, &component, &Cases::default(), &properties, corpus, search, &|_| {}).unwrap().remove(0)
    };
    let holds = run(&corpus);
    assert!(holds.recorded == 1 && holds.applied >= 1 && holds.passed(), "{holds:?}");
    corpus.recipe(&recipe("deny-then"));
    let broken = run(&corpus);
    let found = broken.counterexample.expect("one");
    assert!(found.case.contains("dept = [\"it\"]") && found.case.contains("mark = \"deny-then\""), "{}", found.case);
    assert!(!found.case.contains("ann") && !found.case.contains("context"), "{}", found.case);
}
