//! What a policy costs, hook by hook, on the inputs of its own cases: `vestibule policy bench`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::{
    ask::question,
    form::{Case, Input, Question},
    run::settings_of,
};
use crate::{
    decision::Hook,
    policy::{CaseError, Cases, Chain, Component, Engine, LoadError, LoadedPolicy},
};

/// What one hook costs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bench {
    /// The hook.
    pub hook: String,
    /// Cases whose inputs were asked; none where the default input had to do.
    pub cases: usize,
    /// Instructions: the fewest that a question took.
    pub fuel_min: u64,
    /// Instructions: the most that a question took.
    pub fuel_max: u64,
    /// From the component's bytes to the answer to its first question, in microseconds.
    pub cold_us: f64,
    /// One question, sandbox made and dropped, in microseconds: the median.
    pub warm_us: f64,
    /// The same: what 99 of 100 questions stay below or reach.
    pub p99_us: f64,
}

/// Why a policy could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A case is malformed.
    #[error("failed to read the cases")]
    Cases(#[source] CaseError),
    /// There is nothing to ask.
    #[error(
        "the hook `{hook}` has no case with settings that load{}, and the policy does not take its own default settings",
        in_words(.refused)
    )]
    NoInput {
        /// The hook.
        hook: String,
        /// Why the cases' settings are not taken: of each, the first.
        refused: Vec<String>,
        /// Why the defaults are not taken.
        #[source]
        source: LoadError,
    },
}

/// One policy with one settings, and what it is asked.
struct Group<'a> {
    settings: Json,
    /// The first case that has them.
    case: &'a Case,
    inputs: Vec<&'a Input>,
}

/// Measures each hook of `component` on the inputs of `cases`, `rounds` times each. `progress`
/// hears of each hook.
///
/// Takes as long as the component needs to compile, for each distinct settings.
///
/// # Errors
///
/// A malformed case, or a hook that nothing can be asked about.
pub fn bench(
    engine: &Engine,
    component: &Component,
    cases: &Cases,
    rounds: usize,
    progress: &dyn Fn(&str),
) -> Result<Vec<Bench>, BenchError> {
    let cases = cases.parse().map_err(BenchError::Cases)?;
    let name = &component.manifest().name;
    let hooks = component.manifest().hooks.iter().copied();
    hooks
        .map(|hook| {
            let progress = |step: &str| progress(&format!("measuring {name} at {hook}{step}"));
            bench_hook(engine, component, hook, &cases, rounds.max(1), &progress)
        })
        .collect()
}

fn bench_hook(
    engine: &Engine,
    component: &Component,
    hook: Hook,
    cases: &[Case],
    rounds: usize,
    progress: &dyn Fn(&str),
) -> Result<Bench, BenchError> {
    let default = Input::default_of(hook).map_err(|message| {
        let file = component.manifest().name.clone();
        BenchError::Cases(CaseError { file, line: None, message })
    })?;
    let mut measured = Measured::default();
    let groups = groups(hook, cases);
    let many = groups.len();
    let mut refused = Vec::new();
    for (index, group) in groups.into_iter().enumerate() {
        progress(&format!(", settings {} of {many}", index + 1));
        match load(engine, component, &group.settings) {
            Ok(chain) => {
                measured.cases += measured.ask(&chain, hook, &group.inputs, rounds);
                measured
                    .first
                    .get_or_insert_with(|| (group.settings, group.inputs.first().map(|input| (*input).clone())));
            }
            // A case about settings that are refused measures nothing.
            Err(error) => refused.extend(group.case.written.explain(&error).first().map(ToString::to_string)),
        }
    }
    if measured.samples.is_empty() {
        progress(" with the default input");
        let settings = Json::Object(Map::new());
        let chain = load(engine, component, &settings).map_err(|source| BenchError::NoInput {
            hook: hook.name().to_owned(),
            refused,
            source,
        })?;
        measured.ask(&chain, hook, &[&default], rounds);
        measured.first = Some((settings, None));
    }
    let (settings, input) = measured.first.take().unwrap_or_default();
    let cold = cold(engine, component, hook, &settings, input.as_ref().unwrap_or(&default));
    measured.samples.sort_unstable();
    let at = |part: usize| {
        let index = (measured.samples.len() * part / 100).min(measured.samples.len().saturating_sub(1));
        micros(measured.samples.get(index).copied().unwrap_or_default())
    };
    Ok(Bench {
        hook: hook.name().to_owned(),
        cases: measured.cases,
        fuel_min: measured.fuel.map_or(0, |(least, _)| least),
        fuel_max: measured.fuel.map_or(0, |(_, most)| most),
        cold_us: micros(cold),
        warm_us: at(50),
        p99_us: at(99),
    })
}

#[derive(Default)]
struct Measured {
    cases: usize,
    samples: Vec<Duration>,
    fuel: Option<(u64, u64)>,
    first: Option<(Json, Option<Input>)>,
}

impl Measured {
    /// Asks every input `rounds` times; returns how many inputs those are. A question that the
    /// policy is not asked (a path that is none of its own) costs nothing, and is left out.
    fn ask(&mut self, chain: &Chain, hook: Hook, inputs: &[&Input], rounds: usize) -> usize {
        let mut asked = 0;
        for round in 0..=rounds {
            for input in inputs {
                let context = input.context.clone();
                let began = Instant::now();
                let said = question(chain, context, hook, input);
                let took = began.elapsed();
                let Some(fuel) = said.fuel() else { continue };
                let (least, most) = self.fuel.unwrap_or((fuel, fuel));
                self.fuel = Some((least.min(fuel), most.max(fuel)));
                // The first time fills caches that no later question finds empty.
                if round > 0 {
                    self.samples.push(took);
                } else {
                    asked += 1;
                }
            }
        }
        asked
    }
}

fn in_words(refused: &[String]) -> String {
    if refused.is_empty() { String::new() } else { format!(" ({})", refused.join("; ")) }
}

fn load(engine: &Engine, component: &Component, settings: &Json) -> Result<Chain, LoadError> {
    let policy = LoadedPolicy::load(engine, &component.manifest().name, component, settings)?;
    Ok(Chain::new(vec![Arc::clone(&policy)]))
}

/// From the bytes to the first answer, with nothing kept from before.
fn cold(engine: &Engine, component: &Component, hook: Hook, settings: &Json, input: &Input) -> Duration {
    let (bytes, context) = (component.bytes().to_owned(), input.context.clone());
    let began = Instant::now();
    let chain = Component::check(engine, &bytes).and_then(|component| load(engine, &component, settings));
    if let Ok(chain) = chain {
        drop(question(&chain, context, hook, input));
    }
    began.elapsed()
}

/// The cases of one hook by their settings.
fn groups(hook: Hook, cases: &[Case]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for case in cases {
        let Question::Hook(of, input) = &case.question else { continue };
        if *of != hook {
            continue;
        }
        let settings = settings_of(case);
        match groups.iter_mut().find(|group| group.settings == settings) {
            Some(group) => group.inputs.push(input),
            None => groups.push(Group { settings, case, inputs: vec![input] }),
        }
    }
    groups
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{fixture, testing};

    fn measure(cases: &[(&str, &str)]) -> Bench {
        let engine = testing::engine(|_| {});
        let bytes = fixture::policy("0.1.0", cases);
        let component = Component::check(&engine, &bytes).unwrap();
        let cases = Cases::embedded(&bytes).unwrap();
        bench(&engine, &component, &cases, 5, &|_| {}).unwrap().remove(0)
    }

    #[test]
    fn measures_every_case_of_a_hook_that_its_settings_let_load() {
        let case = |mark: &str| {
            format!(
                "[[case]]\nname = \"{mark}\"\nhook = \"admit\"\nsettings = {{ mark = \"{mark}\" }}\nexpect.verdict = \"allow\"\n"
            )
        };
        // The second is refused by `configure`.
        let measured = measure(&[("a.toml", &(case("yes") + &case("xyz") + &case("deny") + &case("yes2")))]);
        assert_eq!((measured.hook.as_str(), measured.cases), ("admit", 3));
        assert!(0 < measured.fuel_min && measured.fuel_min < measured.fuel_max, "a denial takes more: {measured:?}");
        assert!(0.0 < measured.warm_us && measured.warm_us <= measured.p99_us, "{measured:?}");
        assert!(measured.cold_us > measured.warm_us, "{measured:?}");
    }

    #[test]
    fn a_hook_without_cases_is_asked_about_the_default_input() {
        let measured = measure(&[]);
        assert_eq!(measured.cases, 0);
        assert!(measured.fuel_min > 0 && measured.warm_us > 0.0, "{measured:?}");
    }
}
