//! The login of all benches: 12 claims, 20 groups, a chain of five ready-made policies.

use std::{collections::BTreeMap, fs, hint::black_box, path::PathBuf, sync::Arc, time::Instant};

use serde_json::{Value, json};
use vestibule::{
    decision::{Account, Context, Plan, Profile, Rules, SessionTerms, Trace},
    identity::{Email, GroupClaim, Identity, Protocol},
    policy::{Chain, Component, Engine, LoadedPolicy, Run},
};

/// The policies of the chain, in the order of the hooks, with their settings.
#[must_use]
pub fn chain_of_five() -> [(&'static str, Value); 5] {
    [
        ("domain-restriction", json!({ "allowed-domains": "example.com; .example.com" })),
        ("attribute-mapping", json!({ "attributes": [{ "name": "department", "claim": "department" }] })),
        (
            "group-mapping",
            json!({ "manual": (0..30).map(|row| json!({ "group": format!("app-{row}"), "from": [format!("up-{row}")] }))
                .collect::<Vec<_>>() }),
        ),
        ("account-rules", json!({})),
        ("session-terms", json!({ "lifetime-s": 3600 })),
    ]
}

/// Where the ready-made components are: `make policies` leaves them there, or
/// `VESTIBULE_COMPONENTS` names another folder.
#[must_use]
pub fn components() -> PathBuf {
    std::env::var_os("VESTIBULE_COMPONENTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/target/components")),
        PathBuf::from,
    )
}

/// Loads a ready-made policy as a gateway does; none where it was not built.
///
/// # Panics
///
/// Where it is no policy, or its settings do not fit.
#[must_use]
pub fn load(engine: &Engine, name: &str, settings: &Value) -> Option<Arc<LoadedPolicy>> {
    let bytes = fs::read(components().join(format!("{name}.wasm"))).ok()?;
    let component = Component::check(engine, &bytes).expect("the component is a policy");
    let start = Instant::now();
    let policy = LoadedPolicy::load(engine, name, &component, settings).expect("the settings fit");
    println!(
        "{name}: {} kB, loaded in {:.0} ms, {} KiB of memory for each instance",
        bytes.len() / 1000,
        start.elapsed().as_secs_f64() * 1e3,
        policy.memory_bytes() / 1024
    );
    Some(policy)
}

/// Loads the chain of five; none where the components were not built.
#[must_use]
pub fn load_chain(engine: &Engine) -> Option<Chain> {
    let loaded: Option<Vec<_>> =
        chain_of_five().into_iter().map(|(name, settings)| load(engine, name, &settings)).collect();
    loaded.map(Chain::new)
}

/// What the host knows of the login.
#[must_use]
pub fn context() -> Context {
    Context {
        login: "0123456789abcdef".into(),
        at: 1_700_000_000,
        tenant: "default".into(),
        application: "wiki".into(),
        address: Some("192.0.2.7".into()),
        ..Context::default()
    }
}

/// A sandbox for one login through `chain`.
///
/// # Panics
///
/// Where the chain is empty.
#[must_use]
pub fn begin(chain: &Chain) -> Run {
    Run::new(chain, context(), 1, Arc::from("digest")).expect("the chain is not empty")
}

/// One decision: begin, ask, drop.
///
/// # Panics
///
/// Where it is a no.
pub fn admit(chain: &Chain, identity: &Identity) {
    black_box(begin(chain).admit_case(black_box(identity), None)).expect("the policy allows");
}

/// One login: every hook that comes after the verification. `mark` is called before the first
/// and after each.
///
/// # Panics
///
/// Where a policy denies.
pub fn decide(mut run: Run, identity: &Identity, mut mark: impl FnMut(&Run)) -> Trace {
    let account = Account { active: true, groups: vec!["app-1".into()], ..Account::default() };
    mark(&run);
    run.admit_case(identity, Some(&account)).expect("the policies allow");
    mark(&run);
    let profile = run.profile_case(identity, Some(&account), Profile::default()).expect("there is a profile");
    mark(&run);
    let plan = run
        .groups_case(identity, Some(&account), &profile, Plan::default(), &Rules::default())
        .expect("there is a plan");
    mark(&run);
    run.provision_case(identity, Some(&account), &profile, &plan).expect("there are terms");
    mark(&run);
    let groups: Vec<String> = plan.grants.into_iter().map(|grant| grant.group).collect();
    let maximum = SessionTerms { lifetime: 28_800, idle: 3_600, remember: false };
    black_box(run.session_case(identity, &groups, maximum)).expect("there is a session");
    mark(&run);
    run.finish()
}

/// The claims of [`identity`].
#[must_use]
pub fn claims() -> BTreeMap<String, Value> {
    let mut claims = BTreeMap::new();
    for name in ["preferred_username", "given_name", "family_name", "name", "department", "locale"] {
        claims.insert(name.to_owned(), json!(format!("some {name}")));
    }
    for (name, value) in [("tid", json!("t-1")), ("oid", json!("o-1")), ("ver", json!(2)), ("roles", json!(["a", "b"]))]
    {
        claims.insert(name.to_owned(), value);
    }
    claims.insert("address".into(), json!({ "locality": "Bern", "country": "CH" }));
    claims.insert("vip".into(), json!(false));
    claims
}

/// The groups of [`identity`].
#[must_use]
pub fn groups() -> Vec<String> {
    (0..20).map(|group| format!("up-{group}")).collect()
}

/// Somebody as a company has her.
#[must_use]
pub fn identity() -> Identity {
    Identity {
        upstream: "corp".into(),
        protocol: Protocol::Oidc,
        issuer: "https://login.example.com/tenant".into(),
        subject: "a1b2c3d4e5f6".into(),
        email: Some(Email { address: "ann.smith@example.com".into(), verified: true }),
        groups: GroupClaim::Listed(groups()),
        auth_time: Some(1_699_999_990),
        acr: Some("mfa".into()),
        amr: vec!["pwd".into(), "otp".into()],
        claims: claims(),
    }
}
