//! What a decision costs: one ready-made policy, a login through a chain of five, where the
//! time goes, and what a second thread brings.
//!
//! `benches/README.md` says how to read the figures. The components come from
//! `policies/target/components` (`make policies`), or from the folder that
//! `VESTIBULE_COMPONENTS` names.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench, not the gateway")]

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    path::PathBuf,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use criterion::Criterion;
use serde_json::{Value, json};
use vestibule::{
    config::Limits,
    decision::{Account, Context, Plan, Profile, Rules, SessionTerms, Trace},
    identity::{Email, GroupClaim, Identity, Protocol},
    policy::{Chain, Component, Engine, LoadedPolicy, Run},
};
/// Decisions for each table: enough for a p99.
const ROUNDS: usize = 20_000;

/// The policies of the chain, in the order of the hooks, with their settings.
fn chain_of_five() -> [(&'static str, Value); 5] {
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

fn main() {
    let engine = Engine::new(&Limits::default(), None).expect("the sandbox can be set up");
    let identity = identity();
    let Some(one) = load(&engine, "domain-restriction", &chain_of_five()[0].1) else {
        println!("no components found: `make policies` builds them");
        return;
    };
    let one = Chain::new(vec![one]);
    let five: Option<Vec<_>> =
        chain_of_five().into_iter().map(|(name, settings)| load(&engine, name, &settings)).collect();
    let five = five.map(Chain::new);

    where_the_time_goes(&one, &identity);
    distribution("one policy", || admit(&one, &identity));
    if let Some(five) = &five {
        by_hook(five, &identity);
        distribution("chain of five", || drop(login(five, &identity, |_| {})));
    }
    two_threads(&one, &identity);

    let mut criterion = Criterion::default().warm_up_time(Duration::from_secs(1)).configure_from_args();
    criterion.bench_function("decision/one policy", |bencher| bencher.iter(|| admit(&one, &identity)));
    if let Some(five) = &five {
        criterion.bench_function("decision/chain of five", |bencher| bencher.iter(|| login(five, &identity, |_| {})));
    }
    criterion.final_summary();
}

/// One decision: begin, ask, drop.
fn admit(chain: &Chain, identity: &Identity) {
    let mut run = begin(chain);
    black_box(run.admit_case(black_box(identity), None)).expect("the policy allows");
}

/// One login: every hook that comes after the verification.
fn login(chain: &Chain, identity: &Identity, mut mark: impl FnMut(&Run)) -> Trace {
    let mut run = begin(chain);
    let account = Account { active: true, groups: vec!["app-1".into()], ..Account::default() };
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

fn begin(chain: &Chain) -> Run {
    let context = Context {
        login: "0123456789abcdef".into(),
        at: 1_700_000_000,
        tenant: "default".into(),
        application: "wiki".into(),
        address: Some("192.0.2.7".into()),
        ..Context::default()
    };
    Run::new(chain, context, 1, Arc::from("digest")).expect("the chain is not empty")
}

/// An instance is made when the first hook is asked, so the second question to the same run
/// is the call alone.
fn where_the_time_goes(chain: &Chain, identity: &Identity) {
    let mut parts: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut run = begin(chain);
        let begun = start.elapsed();
        let start = Instant::now();
        run.admit_case(identity, None).expect("the policy allows");
        let first = start.elapsed();
        let start = Instant::now();
        run.admit_case(identity, None).expect("the policy allows");
        let second = start.elapsed();
        let start = Instant::now();
        drop(run);
        for (part, time) in parts.iter_mut().zip([begun, first.saturating_sub(second), second, start.elapsed()]) {
            part.push(time);
        }
    }
    println!("\nwhere the time of one policy goes (median, µs)");
    for (name, part) in ["begin the run", "make the instance", "call", "drop"].into_iter().zip(&mut parts) {
        part.sort_unstable();
        println!("  {name:<20} {:>7.2}", micros(at(part, 50)));
    }
}

/// What each hook of a login takes as a whole, and what of it is the guest: its instance and
/// the call. The rest is the host's: contracts, and the answer as the audit has it.
fn by_hook(chain: &Chain, identity: &Identity) {
    let mut times: BTreeMap<usize, (Vec<Duration>, Vec<u64>)> = BTreeMap::new();
    let mut last = Trace::default();
    for _ in 0..ROUNDS / 10 {
        let mut marks = vec![Instant::now()];
        last = login(chain, identity, |run| {
            black_box(run);
            marks.push(Instant::now());
        });
        let end = Instant::now();
        for (hook, pair) in marks.windows(2).enumerate() {
            let [from, to] = pair else { continue };
            let (whole, guest) = times.entry(hook).or_default();
            whole.push(to.duration_since(*from));
            guest.extend(last.answers.get(hook).map(|answer| answer.micros));
        }
        if let Some(from) = marks.last() {
            times.entry(marks.len()).or_default().0.push(end.duration_since(*from));
        }
    }
    println!("\na login by hook (median)");
    let names = last.answers.iter().map(|answer| (answer.policy.as_str(), answer.fuel)).chain([("drop", 0)]);
    for ((name, fuel), (whole, guest)) in names.zip(times.values_mut()) {
        whole.sort_unstable();
        guest.sort_unstable();
        let guest = guest.get(guest.len() / 2).copied().unwrap_or_default();
        println!("  {name:<20} {:>7.2} µs, guest {guest:>3} µs, {fuel:>6} instructions", micros(at(whole, 50)));
    }
}

fn distribution(name: &str, mut decide: impl FnMut()) {
    (0..1000).for_each(|_| decide());
    let mut times = Vec::with_capacity(ROUNDS);
    let faults = page_faults();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        decide();
        times.push(start.elapsed());
    }
    let faults = page_faults() - faults;
    times.sort_unstable();
    let (median, p99) = (micros(at(&times, 50)), micros(at(&times, 99)));
    println!(
        "\n{name}: median {median:.2} µs, p99 {p99:.2} µs ({:.1} times the median), {:.4} page faults a decision",
        p99 / median,
        f64::from(u32::try_from(faults).unwrap_or(u32::MAX)) / ROUNDS as f64,
    );
}

/// How many times the decisions of one thread two make in the same time.
fn two_threads(chain: &Chain, identity: &Identity) {
    let rate = |threads: usize| {
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1000).for_each(|_| admit(chain, identity));
                        barrier.wait();
                        let start = Instant::now();
                        (0..ROUNDS).for_each(|_| admit(chain, identity));
                        ROUNDS as f64 / start.elapsed().as_secs_f64()
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("no decision panics")).sum::<f64>()
        })
    };
    let mut ratios: Vec<f64> = (0..5).map(|_| rate(2) / rate(1)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    println!(
        "\ntwo threads make {:.2} times the decisions of one (median of 5)\n",
        ratios.get(2).copied().unwrap_or(0.0)
    );
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Minor page faults of this thread so far.
fn page_faults() -> i64 {
    #[expect(unsafe_code, reason = "the standard library has no getrusage")]
    // SAFETY: `rusage` is plain integers, for which zero is a value, and getrusage writes
    // nothing but the struct that it is given.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage.ru_minflt
    }
}

fn load(engine: &Engine, name: &str, settings: &Value) -> Option<Arc<LoadedPolicy>> {
    let folder = std::env::var_os("VESTIBULE_COMPONENTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/target/components")),
        PathBuf::from,
    );
    let bytes = fs::read(folder.join(format!("{name}.wasm"))).ok()?;
    let component = Component::check(engine, &bytes).expect("the component is a policy");
    let start = Instant::now();
    let policy = LoadedPolicy::load(engine, name, &component, settings).expect("the settings fit");
    println!("{name}: {} kB, loaded in {:.0} ms", bytes.len() / 1000, start.elapsed().as_secs_f64() * 1e3);
    Some(policy)
}

/// A login as a company's has it: 12 claims, 20 groups.
fn identity() -> Identity {
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
    Identity {
        upstream: "corp".into(),
        protocol: Protocol::Oidc,
        issuer: "https://login.example.com/tenant".into(),
        subject: "a1b2c3d4e5f6".into(),
        email: Some(Email { address: "ann.smith@example.com".into(), verified: true }),
        groups: GroupClaim::Listed((0..20).map(|group| format!("up-{group}")).collect()),
        auth_time: Some(1_699_999_990),
        acr: Some("mfa".into()),
        amr: vec!["pwd".into(), "otp".into()],
        claims,
    }
}
