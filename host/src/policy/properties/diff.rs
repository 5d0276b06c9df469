//! Searches for an input on which two versions of a policy answer differently.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use toml::Table;

use super::{
    SHRINK_QUESTIONS_MAX, Search, case, generate,
    pool::{Filling, Pool},
    random::Random,
    shrink::shrink,
    subject::{self, Asked, Subject, Written},
};
use crate::{
    decision::Hook,
    policy::{CaseError, Cases, Component, Engine, LoadError},
};

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The component.
    pub component: &'a Component,
    /// Its cases: they say which settings and values occur.
    pub cases: &'a Cases,
    /// Its settings; none takes the defaults and those of the cases.
    pub settings: Option<&'a Json>,
}

/// One difference: the smallest that was found at a hook.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The hook, or `configure` where only one of the two takes the settings.
    pub hook: String,
    /// What the old one answers, in words.
    pub old: String,
    /// What the new one answers.
    pub new: String,
    /// The input and the old answer, as a case; none where only one of them has the hook.
    pub case: Option<String>,
}

/// Why two policies could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// A case is malformed.
    #[error("failed to read the cases")]
    Cases(#[source] CaseError),
    /// One of the two does not take the settings that were given for it.
    #[error("failed to load the {which} policy with its settings")]
    Settings {
        /// `old` or `new`.
        which: &'static str,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// There are no settings that both take.
    #[error("no settings load with both policies: give them with --settings-old and --settings-new")]
    NoSettings,
}

/// Both with settings that both take.
struct Pair {
    old: Subject,
    new: Subject,
}

/// Searches for differences, at most one for each hook. `progress` hears of each hook.
///
/// # Errors
///
/// A malformed case, or no settings to compare with.
pub fn diff(
    engine: &Engine,
    old: Side<'_>,
    new: Side<'_>,
    search: Search,
    progress: &dyn Fn(&str),
) -> Result<Vec<Difference>, DiffError> {
    let mut written = subject::written(old.cases).map_err(DiffError::Cases)?;
    written.extend(subject::written(new.cases).map_err(DiffError::Cases)?);
    let mut filling = Filling::default();
    for side in [old, new] {
        subject::fill(&mut filling, side.component, &written);
        side.settings.iter().for_each(|settings| filling.json(settings));
    }
    let pool = filling.pool();
    let mut differences = Vec::new();
    let pairs = pairs(engine, old, new, &written, &mut differences)?;
    let (has, had) = (&new.component.manifest().hooks, &old.component.manifest().hooks);
    for hook in had.symmetric_difference(has) {
        let words = |is_there: bool| if is_there { "has the hook" } else { "does not have the hook" }.to_owned();
        differences.push(Difference {
            hook: hook.name().to_owned(),
            old: words(had.contains(hook)),
            new: words(has.contains(hook)),
            case: None,
        });
    }
    let both: BTreeSet<Hook> = had.intersection(has).copied().collect();
    for hook in both {
        progress(&format!("comparing at {hook} on {} inputs (seed {})", search.inputs, search.seed));
        differences.extend(at_hook(hook, &pairs, &written, &pool, search));
    }
    Ok(differences)
}

fn pairs(
    engine: &Engine,
    old: Side<'_>,
    new: Side<'_>,
    written: &[Written],
    differences: &mut Vec<Difference>,
) -> Result<Vec<Pair>, DiffError> {
    if old.settings.is_some() || new.settings.is_some() {
        let load = |side: Side<'_>, which| {
            let settings = side.settings.cloned().unwrap_or_else(subject::none);
            Subject::load(engine, side.component, &settings).map_err(|source| DiffError::Settings { which, source })
        };
        return Ok(vec![Pair { old: load(old, "old")?, new: load(new, "new")? }]);
    }
    let mut pairs = Vec::new();
    let mut told = false;
    for settings in subject::all_settings(written) {
        let load = |side: Side<'_>| Subject::load(engine, side.component, &settings);
        match (load(old), load(new)) {
            (Ok(old), Ok(new)) => pairs.push(Pair { old, new }),
            (Err(_), Err(_)) => {}
            // One such settings says it; each case of it would say it again.
            (of_old, of_new) if !told => {
                told = true;
                let words = |loaded: Result<Subject, LoadError>| match loaded {
                    Ok(_) => "takes the settings".to_owned(),
                    Err(error) => format!("does not take the settings: {error}"),
                };
                let expect = Map::from_iter([("configured".to_owned(), Json::Bool(true))]);
                differences.push(Difference {
                    hook: "configure".to_owned(),
                    old: words(of_old),
                    new: words(of_new),
                    case: Some(case::configure("only one of the two takes these settings", &settings, &expect)),
                });
            }
            _ => {}
        }
    }
    if pairs.is_empty() { Err(DiffError::NoSettings) } else { Ok(pairs) }
}

fn at_hook(hook: Hook, pairs: &[Pair], written: &[Written], pool: &Pool, search: Search) -> Option<Difference> {
    let of_hook: Vec<&Written> = written.iter().filter(|case| case.hook == Some(hook)).collect();
    let cases: Vec<&Table> = of_hook.iter().map(|case| &case.input).collect();
    // A case's own settings first; the two may have got others.
    let known = of_hook.iter().flat_map(|case| {
        let own = pairs.iter().filter(|pair| pair.old.settings == case.settings);
        own.chain(pairs.first()).map(|pair| (pair, case.input.clone()))
    });
    let generated = (0..search.inputs).filter_map(|number| {
        let mut random = Random::new(search.seed, u64::try_from(number).unwrap_or_default());
        let pair = pairs.get(number % pairs.len())?;
        Some((pair, generate::input(hook, pool, &cases, &mut random)))
    });
    let differs = |pair: &Pair, input: &Table| {
        let (old, new) = (pair.old.ask(hook, input)?, pair.new.ask(hook, input)?);
        (told(&old) != told(&new)).then_some((old, new))
    };
    let (pair, input) = known.chain(generated).find(|(pair, input)| differs(pair, input).is_some())?;
    let input = shrink(input, SHRINK_QUESTIONS_MAX, &mut |input| differs(pair, input).is_some());
    let (old, new) = differs(pair, &input)?;
    let expect = match old.failure() {
        Some((code, _)) => Map::from_iter([("failed".to_owned(), Json::from(code))]),
        None => old.shown.iter().filter(|(key, value)| new.shown.get(*key) != Some(value)).map(expected).collect(),
    };
    Some(Difference {
        hook: hook.name().to_owned(),
        old: old.in_words(),
        new: new.in_words(),
        case: Some(case::case("what the old one answers", hook, &pair.old.settings, &input, &expect)),
    })
}

/// What is not there is expected with `false`.
fn expected((key, value): (&String, &Json)) -> (String, Json) {
    (key.clone(), if value.is_null() { Json::Bool(false) } else { value.clone() })
}

/// What counts as the answer: not the words of a failure, which name the component's insides.
fn told(asked: &Asked) -> (Option<&str>, &Map<String, Json>) {
    (asked.failure().map(|(code, _)| code), &asked.shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{fixture, testing};

    fn differences(marks: [&str; 2], settings: bool) -> Result<Vec<Difference>, DiffError> {
        let engine = testing::engine(|_| {});
        let text = "[[case]]\nname = \"n\"\nhook = \"admit\"\ninput.identity.subject = \"ann\"\nexpect.log = []\n";
        let bytes = fixture::policy("0.1.0", &[("a.toml", text)]);
        let component = Component::check(&engine, &bytes).unwrap();
        let cases = Cases::embedded(&bytes).unwrap();
        let [old, new] = marks.map(|mark| serde_json::json!({ "mark": mark }));
        let side = |of| Side { component: &component, cases: &cases, settings: Some(of).filter(|_| settings) };
        diff(&engine, side(&old), side(&new), Search { seed: 0, inputs: 20 }, &|_| {})
    }

    #[test]
    fn finds_what_two_settings_answer_differently_and_makes_it_small() {
        let found = differences(["yes", "deny"], true).unwrap().remove(0);
        assert_eq!(found.hook, "admit");
        assert!(found.old.contains("allow") && found.new.contains("deny"), "{found:?}");
        let case = found.case.unwrap();
        assert!(!case.contains("ann") && case.contains("verdict = \"allow\""), "{case}");
        let found = differences(["yes", "trap"], true).unwrap().remove(0);
        assert!(found.new.contains("policy-trapped"), "{found:?}");
    }

    #[test]
    fn finds_nothing_where_there_is_nothing() {
        assert!(differences(["yes", "yes"], true).unwrap().is_empty());
        assert!(differences(["", ""], false).unwrap().is_empty());
    }

    #[test]
    fn says_which_of_the_two_does_not_take_its_settings() {
        let error = differences(["yes", "x-refused"], true).unwrap_err();
        assert!(matches!(error, DiffError::Settings { which: "new", .. }), "{error}");
    }
}
