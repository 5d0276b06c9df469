//! One criterion run over all engines. Before it measures, each answers about 200 logins, and all answers must be alike.

use std::{hint::black_box, path::Path, time::Duration};

use criterion::Criterion;
use vestibule::identity::Identity;
use vestibule_compare::{
    engines::{Cedar, Cel, Decide, Native, Rego, Rhai, Sandboxed},
    login::logins,
    memory::{Counting, asked_for},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut engines: Vec<(&str, Box<dyn Decide>)> = vec![("native Rust", Box::new(Native::new()))];
    for (name, component) in [
        ("Vestibule, Rust", "policy/target/components/compared.wasm"),
        ("Vestibule, JavaScript", "javascript/target/components/compared.wasm"),
        ("Vestibule, Python", "python/target/components/compared.wasm"),
    ] {
        match Sandboxed::load(&here.join(component)) {
            Some(engine) => engines.push((name, Box::new(engine))),
            None => println!("left out: {name}; there is no {component} (README.md says how to build it)"),
        }
    }
    engines.push(("regorus", Box::new(Rego::new())));
    engines.push(("cel", Box::new(Cel::new())));
    engines.push(("rhai", Box::new(Rhai::new())));
    engines.push(("Cedar", Box::new(Cedar::new())));

    let logins = logins();
    let expected: Vec<_> = logins.iter().map(|login| Native::new().decide(login)).collect();
    let admitted = expected.iter().flatten().count();
    assert!(admitted > 100 && admitted < 150, "{admitted} of {} may come in", expected.len());
    for (name, engine) in &mut engines {
        for (login, expected) in logins.iter().zip(&expected) {
            assert_eq!(engine.decide(login), *expected, "{name} about {:?}", login.email);
        }
    }
    println!("all agree about {} logins, of which {admitted} may come in", logins.len());

    println!("\nbytes that a decision allocates (the linear memory of a sandbox is reused, and not in it)");
    for (name, engine) in &mut engines {
        let before = asked_for();
        logins.iter().for_each(|login| drop(black_box(engine.decide(login))));
        println!("  {name:<24} {:>9}", (asked_for() - before) / logins.len() as u64);
    }
    println!();

    let mut criterion = Criterion::default().warm_up_time(Duration::from_secs(1)).configure_from_args();
    for (name, engine) in &mut engines {
        let mut next = 0;
        criterion.bench_function(&format!("decision/{name}"), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % logins.len();
                let login: &Identity = &logins[next];
                black_box(engine.decide(black_box(login)))
            });
        });
    }
    criterion.final_summary();
}
