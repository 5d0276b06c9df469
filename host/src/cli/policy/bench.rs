//! `vestibule policy bench`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{BuildArguments, about, components, open};
use crate::{
    cli::output::{Exit, Failure, Output, table},
    policy::{self, Bench, Cases, Engine},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Components (.wasm), or folders of policies, which are built first.
    #[arg(required = true, value_name = "DIR|FILE")]
    policies: Vec<PathBuf>,
    /// How often each input is asked.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    #[command(flatten)]
    build: BuildArguments,
}

pub(super) fn run(engine: &Engine, arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let rounds = usize::try_from(arguments.rounds).unwrap_or(usize::MAX);
    let mut rows = vec![["POLICY", "HOOK", "CASES", "FUEL", "COLD", "WARM", "P99"].map(str::to_owned).to_vec()];
    let mut reports = Vec::new();
    for file in components(engine, &arguments.policies, &arguments.build, output)? {
        let (component, bytes) = open(engine, &file)?;
        let cases = Cases::of(&bytes, &file).map_err(|error| about(&file, &error))?;
        let hooks = policy::bench(engine, &component, &cases, rounds, &|step| output.progress(step))
            .map_err(|error| about(&file, &error))?;
        rows.extend(hooks.iter().map(|hook| row(&component.manifest().name, hook)));
        reports.push(json!({ "component": file, "policy": component.manifest().name, "hooks": hooks }));
    }
    output.result(table(&rows), &json!({ "ok": true, "rounds": rounds, "policies": reports }));
    Ok(Exit::Done)
}

fn row(policy: &str, hook: &Bench) -> Vec<String> {
    let fuel = if hook.fuel_min == hook.fuel_max {
        hook.fuel_min.to_string()
    } else {
        format!("{}–{}", hook.fuel_min, hook.fuel_max)
    };
    let cold = format!("{:.1} ms", hook.cold_us / 1000.0);
    let micros = |micros: f64| format!("{micros:.1} µs");
    vec![
        policy.to_owned(),
        hook.hook.clone(),
        hook.cases.to_string(),
        fuel,
        cold,
        micros(hook.warm_us),
        micros(hook.p99_us),
    ]
}
