//! What a decision costs: one ready-made policy, a login through a chain of five, where the
//! time goes, and what a second thread brings.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench, not the gateway")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use criterion::Criterion;
use vestibule::{
    config::Limits,
    decision::Trace,
    identity::Identity,
    policy::{Chain, Engine},
};
use vestibule_benches::{
    load::median,
    login::{admit, begin, chain_of_five, decide, identity, load, load_chain},
    measure::{ROUNDS, Times, distribution},
    native::Native,
};

fn main() {
    let engine = Engine::new(&Limits::default(), None).expect("the sandbox can be set up");
    let identity = identity();
    let [(name, settings), ..] = chain_of_five();
    let (Some(one), Some(five)) = (load(&engine, name, &settings), load_chain(&engine)) else {
        println!("no components found: `make policies` builds them");
        return;
    };
    let one = Chain::new(vec![one]);
    let native = Native::new();

    where_the_time_goes(&one, &identity);
    by_hook(&five, &identity);
    println!();
    let in_sandbox = distribution("one policy", || admit(&one, &identity));
    let called = distribution("the same, native", || native.admit());
    let chain_in_sandbox = distribution("chain of five", || drop(login(&five, &identity)));
    let chain_called = distribution("the same, native", || native.login());
    println!(
        "\nwhat the sandbox adds: {:.2} µs to one policy, {:.2} µs to a login through five",
        in_sandbox - called,
        chain_in_sandbox - chain_called
    );
    two_threads(&one, &identity);

    let mut criterion = Criterion::default().warm_up_time(Duration::from_secs(1)).configure_from_args();
    criterion.bench_function("decision/one policy", |bencher| bencher.iter(|| admit(&one, &identity)));
    criterion.bench_function("decision/one policy, native", |bencher| bencher.iter(|| native.admit()));
    criterion.bench_function("decision/chain of five", |bencher| bencher.iter(|| login(&five, &identity)));
    criterion.bench_function("decision/chain of five, native", |bencher| bencher.iter(|| native.login()));
    criterion.final_summary();
}

fn login(chain: &Chain, identity: &Identity) -> Trace {
    decide(begin(chain), identity, |_| {})
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
    println!("\nwhere the time of one policy goes (median)");
    for (name, part) in ["begin the run", "make the instance", "call", "drop"].into_iter().zip(parts) {
        println!("  {name:<20} {:>7.2} µs", Times::of(part).median());
    }
}

/// What each hook of a login takes as a whole, and what of it is the guest: its instance and
/// the call. The rest is the host's: contracts, and the answer as the audit has it.
fn by_hook(chain: &Chain, identity: &Identity) {
    let mut times: BTreeMap<usize, (Vec<Duration>, Vec<Duration>)> = BTreeMap::new();
    let mut last = Trace::default();
    for _ in 0..ROUNDS / 10 {
        let mut marks = Vec::with_capacity(8);
        last = decide(begin(chain), identity, |_| marks.push(Instant::now()));
        let end = Instant::now();
        for (hook, pair) in marks.windows(2).enumerate() {
            let [from, to] = pair else { continue };
            let (whole, guest) = times.entry(hook).or_default();
            whole.push(to.duration_since(*from));
            guest.extend(last.answers.get(hook).map(|answer| Duration::from_micros(answer.micros)));
        }
        if let Some(from) = marks.last() {
            times.entry(marks.len()).or_default().0.push(end.duration_since(*from));
        }
    }
    println!("\na login by hook (median)");
    let names = last.answers.iter().map(|answer| (&*answer.policy, answer.fuel)).chain([("drop", 0)]);
    for ((name, fuel), (whole, guest)) in names.zip(times.into_values()) {
        let (whole, guest) = (Times::of(whole).median(), Times::of(guest).median());
        println!("  {name:<20} {whole:>7.2} µs, guest {guest:>3.0} µs, {fuel:>6} instructions");
    }
}

/// How many times the decisions of one thread two make in the same time; and how many times the work two make that
/// shares nothing and touches no memory, which is what this machine has to give.
fn two_threads(chain: &Chain, identity: &Identity) {
    let decide = || admit(chain, identity);
    let length = Times::take(decide).median();
    let turns = turns_of(length);
    let (mut decisions, mut control) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        control.push(rate(2, || reckon(turns)) / rate(1, || reckon(turns)));
        decisions.push(rate(2, decide) / rate(1, decide));
    }
    let (decisions, control) = (median(decisions), median(control));
    println!(
        "two threads make {decisions:.2} times the decisions of one, and {control:.2} times the work that shares nothing: \
         {:.0} % of what this machine gives (median of 7)\n",
        decisions / control * 100.0
    );
}

/// How often each second `threads` do `work`.
fn rate(threads: usize, work: impl Fn() + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    (0..1000).for_each(|_| work());
                    barrier.wait();
                    let start = Instant::now();
                    (0..ROUNDS).for_each(|_| work());
                    ROUNDS as f64 / start.elapsed().as_secs_f64()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no work panics")).sum::<f64>()
    })
}

/// Work in the registers of one processor.
fn reckon(turns: u64) {
    black_box((0..turns).fold(black_box(1_u64), |state, turn| (state ^ turn).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
}

/// How many turns of [`reckon`] take `micros`.
fn turns_of(micros: f64) -> u64 {
    const SAMPLE: u64 = 10_000;
    let each = Times::take(|| reckon(SAMPLE)).median() / SAMPLE as f64;
    (micros / each).round() as u64
}
