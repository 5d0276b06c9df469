//! Policies in JavaScript and Python, as components: the ready-made policies' own cases hold
//! for them as they do for Rust.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Instant};

use serde_json::{Value, json};
use vestibule::{
    config::InterpreterLimits,
    decision::{Account, Context, Denial, DenyCode, Plan, Profile, Rules},
    identity::{GroupClaim, Identity, Protocol},
    policy::{self, Cases, Chain, Component, Form, LoadError, LoadedPolicy, Run},
};
use vestibule_tests::{
    interpreted::{self, Interpreted},
    process::root,
};

/// The policies that are there in every language.
const RULES: [&str; 10] = [
    "account-rules",
    "admin-reauth",
    "attribute-mapping",
    "default-groups",
    "domain-restriction",
    "emergency-access",
    "group-mapping",
    "redirection-rules",
    "second-factor",
    "session-terms",
];

/// The component of one language that has them all, and what it is called there.
const LANGUAGES: [(&str, &str); 2] = [
    ("js", "guest/js/policies/ready-made/target/components/ready-made-js.wasm"),
    ("python", "guest/python/policies/ready_made/target/components/ready-made-python.wasm"),
];

/// A component of many rules.
struct Bundle {
    language: &'static str,
    interpreted: Interpreted,
}

impl Bundle {
    fn read((language, path): (&'static str, &str)) -> Self {
        let bytes = fs::read(root().join(path)).unwrap_or_else(|error| {
            panic!("{path}: {error}; `make interpreters` builds it (`scripts/setup test` installs what it needs)")
        });
        Self { language, interpreted: Interpreted::new(&bytes) }
    }

    /// The component as the policy `rule`: its own manifest and schema, and the setting that
    /// chooses it.
    fn component(&self, rule: &str) -> Component {
        let component = self.interpreted.choosing(rule, interpreted::manifest(rule));
        component.unwrap_or_else(|error| panic!("{} {rule}: {error}", self.language))
    }

    fn load(&self, rule: &str, settings: &Value) -> Result<Arc<LoadedPolicy>, LoadError> {
        LoadedPolicy::load(&self.interpreted.engine, rule, &self.component(rule), settings)
    }
}

fn identity(groups: &[String]) -> Identity {
    Identity {
        upstream: "idp".into(),
        protocol: Protocol::Oidc,
        issuer: "https://idp.example".into(),
        subject: "ann".into(),
        email: None,
        groups: GroupClaim::Listed(groups.to_vec()),
        auth_time: None,
        acr: None,
        amr: Vec::new(),
        claims: BTreeMap::new(),
    }
}

fn run(policy: &Arc<LoadedPolicy>) -> Run {
    let chain = Chain::new(vec![Arc::clone(policy)]);
    let context = Context { application: "app".into(), ..Context::default() };
    Run::new(&chain, context, 1, "digest".into()).unwrap_or_else(|(denial, _)| panic!("{denial}"))
}

fn map(policy: &Arc<LoadedPolicy>, groups: &[String]) -> Result<Plan, Denial> {
    let account = Account { active: true, groups: vec!["old".into()], ..Account::default() };
    let (profile, plan, rules) = (Profile::default(), Plan::default(), Rules::default());
    run(policy).groups_case(&identity(groups), Some(&account), &profile, plan, &rules)
}

fn mapping(rows: usize) -> Value {
    let row = |row: usize| json!({ "group": format!("app-{row}"), "from": [format!("group-{row}")] });
    json!({ "manual": (0..rows).map(row).collect::<Vec<_>>() })
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("group-{number}")).collect()
}

#[test]
fn the_ready_made_cases_pass_in_javascript_and_python() {
    for language in LANGUAGES {
        let bundle = Bundle::read(language);
        let mut failures = Vec::new();
        let mut passed = 0;
        for rule in RULES {
            let component = bundle.component(rule);
            assert_eq!(component.form(), Form::Json);
            let cases = Cases::folder(&root().join("policies").join(rule).join("cases")).expect("cases");
            let results = policy::test(&bundle.interpreted.engine, &component, &cases).expect("cases");
            assert!(!results.is_empty(), "{rule} has no cases");
            passed += results.iter().filter(|result| result.passed()).count();
            failures.extend(results.into_iter().filter(|result| !result.passed()).map(|result| {
                format!("{rule}: {} ({}:{}): {:?}", result.name, result.file, result.line, result.differences)
            }));
        }
        assert!(failures.is_empty(), "{}: {} failed:\n{}", bundle.language, failures.len(), failures.join("\n"));
        assert!(passed > 300, "{}: {passed}", bundle.language);
        limits_hold(&bundle);
        println!("{}: {passed} cases; {}", bundle.language, measured(&bundle));
    }
}

/// Each limit of the tier ends what goes past it, and the pool takes the next.
fn limits_hold(bundle: &Bundle) {
    let language = bundle.language;
    let policy = bundle.load("group-mapping", &mapping(30)).expect("a policy");
    let plan = map(&policy, &names(20)).expect("a plan");
    assert_eq!(plan.grants.len(), 20, "{language}");
    // Two logins share nothing: an answer is the same each time.
    assert_eq!(map(&policy, &names(20)).expect("a plan"), plan, "{language}");

    // The rule's own schema holds.
    let refused = bundle.load("group-mapping", &json!({ "manual": [], "odd": 1 })).expect_err("odd");
    assert!(matches!(refused, LoadError::Settings(_)), "{language}: {refused}");
    let component = bundle.component("group-mapping");
    let bytes = component.bytes();
    let strict = |change: &dyn Fn(&mut InterpreterLimits)| {
        let engine = bundle.interpreted.engine_with(change);
        let component = Component::check(&engine, bytes)?;
        LoadedPolicy::load(&engine, "group-mapping", &component, &mapping(30))
    };
    let small = strict(&|limits| limits.component_bytes_max = 1 << 20).expect_err("a small limit");
    assert!(matches!(small, LoadError::TooLarge { .. }), "{language}: {small}");
    let few = strict(&|limits| limits.fuel = 10_000).expect_err("little fuel");
    assert!(matches!(few, LoadError::Configure { code: DenyCode::PolicyFuel, .. }), "{language}: {few}");
    let memory = strict(&|limits| limits.memory_bytes_max = 1 << 20).expect_err("little memory");
    assert!(memory.to_string().contains("memory"), "{language}: {memory}");
}

/// What a login costs: medians of the whole decision, a fresh instance each.
fn measured(bundle: &Bundle) -> String {
    let mut texts = Vec::new();
    for rows in [1, 30] {
        let policy = bundle.load("group-mapping", &mapping(rows)).expect("a policy");
        let groups = names(20);
        let mut micros: Vec<u128> = (0..60)
            .map(|_| {
                let begin = Instant::now();
                map(&policy, &groups).expect("a plan");
                begin.elapsed().as_micros()
            })
            .collect();
        micros.sort_unstable();
        let mut once = run(&policy);
        let (account, profile) = (Account::default(), Profile::default());
        let asked = |run: &mut Run| {
            let begin = Instant::now();
            let plan = Plan::default();
            run.groups_case(&identity(&groups), Some(&account), &profile, plan, &Rules::default()).expect("a plan");
            begin.elapsed().as_micros()
        };
        asked(&mut once);
        let again: Vec<u128> = (0..3).map(|_| asked(&mut once)).collect();
        let fuel: Vec<u64> = once.finish().answers.iter().map(|answer| answer.fuel).collect();
        texts.push(format!("{rows} rows: {} µs fresh, {again:?} µs again, fuel {fuel:?}", micros[micros.len() / 2]));
    }
    texts.join("; ")
}

#[test]
fn the_components_that_are_tested_are_of_the_languages_that_they_should_be() {
    for (language, path) in LANGUAGES {
        let folder: PathBuf = root().join(path);
        let policy = folder.ancestors().nth(3).expect("a folder").join("policy.toml");
        let manifest: toml::Table = toml::from_str(&fs::read_to_string(policy).expect("a manifest")).expect("TOML");
        assert_eq!(manifest["language"].as_str(), Some(language));
    }
}
