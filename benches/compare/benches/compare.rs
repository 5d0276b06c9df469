//! One run over all engines. Before it measures, each answers about 800 logins, and all answers must be alike.

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use criterion::Criterion;
use vestibule::identity::Identity;
use vestibule_compare::{
    engines::{Cedar, Cel, Decide, Native, Rego, Rhai, Sandboxed},
    login::{Kind, logins, mix},
    memory::{Counting, Taken, taken},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rounds of the table. In each, every engine is asked about all logins, one engine after the other.
const ROUNDS: usize = 60;
/// An engine that takes longer for the logins of a kind than this has fewer rounds.
const SLOW: Duration = Duration::from_millis(100);
const ROUNDS_OF_SLOW: usize = 5;

struct Engine {
    name: &'static str,
    decides: Box<dyn Decide>,
}

fn main() {
    let mut engines = engines();
    let kinds: Vec<(&str, Vec<Identity>)> =
        Kind::ALL.into_iter().map(|kind| (kind.name(), logins(kind))).chain([("the mix", mix())]).collect();
    all_agree(&mut engines, &kinds);
    memory(&mut engines, &kinds);
    table(&mut engines, &kinds);

    let mut criterion = Criterion::default().warm_up_time(Duration::from_secs(1)).configure_from_args();
    let (_, mapped) = &kinds[0];
    for engine in &mut engines {
        let mut next = 0;
        criterion.bench_function(&format!("mapped/{}", engine.name), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % mapped.len();
                engine.decides.decide(black_box(&mapped[next]))
            });
        });
    }
    criterion.final_summary();
}

fn engines() -> Vec<Engine> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut engines = vec![Engine { name: "native Rust", decides: Box::new(Native::new()) }];
    for (name, component) in [
        ("Vestibule, Rust", "policy/target/components/compared.wasm"),
        ("Vestibule, JavaScript", "javascript/target/components/compared.wasm"),
        ("Vestibule, Python", "python/target/components/compared.wasm"),
    ] {
        match Sandboxed::load(&here.join(component)) {
            Some(engine) => engines.push(Engine { name, decides: Box::new(engine) }),
            None => println!("left out: {name}; there is no {component} (README.md says how to build it)"),
        }
    }
    engines.push(Engine { name: "regorus", decides: Box::new(Rego::new()) });
    engines.push(Engine { name: "cel", decides: Box::new(Cel::new()) });
    engines.push(Engine { name: "Rhai", decides: Box::new(Rhai::new()) });
    engines.push(Engine { name: "Cedar", decides: Box::new(Cedar::new()) });
    engines
}

fn all_agree(engines: &mut [Engine], kinds: &[(&str, Vec<Identity>)]) {
    let mut native = Native::new();
    for ((_, logins), kind) in kinds.iter().zip(Kind::ALL) {
        let strangers = logins.iter().filter(|login| !kind.is(&native.decide(login))).count();
        assert_eq!(strangers, 0, "logins that are not {}", kind.name());
    }
    let logins: Vec<&Identity> = kinds.iter().flat_map(|(_, logins)| logins).collect();
    let expected: Vec<_> = logins.iter().map(|login| native.decide(login)).collect();
    for engine in engines {
        for (login, expected) in logins.iter().zip(&expected) {
            assert_eq!(engine.decides.decide(login), *expected, "{} about {:?}", engine.name, login.email);
        }
    }
    println!("all agree about {} logins\n", logins.len());
}

/// Of a login that is mapped.
fn memory(engines: &mut [Engine], kinds: &[(&str, Vec<Identity>)]) {
    println!("memory of a decision (mapped; the most of 200 logins)");
    println!(
        "  {:<24} {:>14} {:>8} {:>14} {:>22}",
        "", "bytes asked", "blocks", "in use at once", "sandbox's own memory"
    );
    let (_, mapped) = &kinds[0];
    for Engine { name, decides } in engines {
        let most =
            mapped.iter().map(|login| taken(|| decides.decide(login))).fold(Taken::default(), |most, one| Taken {
                bytes: most.bytes.max(one.bytes),
                blocks: most.blocks.max(one.blocks),
                peak: most.peak.max(one.peak),
            });
        let own = decides.sandbox_bytes().map_or_else(|| "-".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
        println!("  {name:<24} {:>14} {:>8} {:>14} {own:>22}", most.bytes, most.blocks, most.peak);
    }
}

/// The engines in turn, so that what else the machine does meets all of them alike.
fn table(engines: &mut [Engine], kinds: &[(&str, Vec<Identity>)]) {
    println!("\nmicroseconds a decision (median of {ROUNDS} rounds of 200 logins, the engines in turn)");
    println!("  {:<24} {}", "", kinds.iter().map(|(kind, _)| format!("{kind:>14}")).collect::<String>());
    let mut times = vec![vec![Vec::new(); kinds.len()]; engines.len()];
    for _ in 0..ROUNDS {
        for (engine, of_kinds) in engines.iter_mut().zip(&mut times) {
            for ((_, logins), of_kind) in kinds.iter().zip(of_kinds) {
                if of_kind.len() >= ROUNDS_OF_SLOW && of_kind.iter().all(|time| *time > SLOW) {
                    continue;
                }
                let start = Instant::now();
                for login in logins {
                    black_box(engine.decides.decide(black_box(login)));
                }
                of_kind.push(start.elapsed());
            }
        }
    }
    let figure = |mut times: Vec<Duration>, logins: usize| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e6 / logins as f64
    };
    let figures: Vec<Vec<f64>> = times
        .into_iter()
        .map(|of_kinds| {
            of_kinds.into_iter().zip(kinds).map(|(times, (_, logins))| figure(times, logins.len())).collect()
        })
        .collect();
    for (Engine { name, .. }, figures) in engines.iter().zip(&figures) {
        println!("  {name:<24} {}", figures.iter().map(|figure| format!("{figure:>14.2}")).collect::<String>());
    }
    let Some(ours) = engines.iter().position(|engine| engine.name == "Vestibule, Rust") else { return };
    println!("\nhow many times what our Rust component takes");
    for (engine, other) in engines.iter().zip(&figures) {
        if !engine.name.starts_with("Vestibule") {
            let ratios = other.iter().zip(&figures[ours]).map(|(other, ours)| format!("{:>14.2}", other / ours));
            println!("  {:<24} {}", engine.name, ratios.collect::<String>());
        }
    }
    println!();
}
