//! Searches for an input on which two versions of a policy answer differently.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
};

use serde::Serialize;
use serde_json::{Map, Value as Json};
use toml::Table;

use super::{
    SHRINK_QUESTIONS_MAX, Search, case, generate,
    pool::{Filling, Pool},
    random::Random,
    shrink::shrink,
    stated::{Stated, stated},
    subject::{self, Subject, Written},
    weight::{self, Change, Holders, Weight},
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

/// What differs between the two.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Differences {
    /// What they say of themselves, the weightiest first; not name, version and description.
    pub manifest: Vec<Stated>,
    /// What they answer, the weightiest first.
    pub differences: Vec<Difference>,
}

/// One difference: of those of its kind at a hook, the smallest that was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The hook, or `configure` where only one of the two takes the settings.
    pub hook: String,
    /// How much it matters.
    pub weight: Weight,
    /// What the new one does, in words.
    pub what: String,
    /// The group that somebody gains or loses, and how powerful it is: from 0 to 999.
    pub group: Option<(String, u32)>,
    /// What the old one answers, in words.
    pub old: String,
    /// What the new one answers.
    pub new: String,
    /// The input and the old answer, as a case.
    pub case: String,
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
    #[error(
        "no settings load with both policies: give them with --settings-old and --settings-new \
         (its own defaults: the old one {old}; the new one {new})"
    )]
    NoSettings {
        /// What the old one says to its defaults.
        old: String,
        /// What the new one says to its own.
        new: String,
    },
}

impl Differences {
    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.manifest.is_empty() && self.differences.is_empty()
    }
}

/// Both with settings that both take.
struct Pair {
    old: Subject,
    new: Subject,
}

/// Searches for differences: at each hook, of each kind the smallest. `progress` hears of each hook.
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
) -> Result<Differences, DiffError> {
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
    let both: BTreeSet<Hook> = had.intersection(has).copied().collect();
    for hook in both {
        progress(&format!("comparing at {hook} on {} inputs (seed {})", search.inputs, search.seed));
        differences.extend(at_hook(hook, &pairs, &written, &pool, search));
    }
    let power = |difference: &Difference| difference.group.as_ref().map_or(0, |(_, power)| *power);
    // What weighs the same stays in the order of the hooks.
    differences.sort_by_key(|difference| (difference.weight, Reverse(power(difference))));
    Ok(Differences { manifest: stated(old.component, new.component), differences })
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
                    weight: Weight::Settings,
                    what: "only one of the two takes these settings".to_owned(),
                    group: None,
                    old: words(of_old),
                    new: words(of_new),
                    case: case::configure("only one of the two takes these settings", &settings, &expect),
                });
            }
            _ => {}
        }
    }
    if !pairs.is_empty() {
        return Ok(pairs);
    }
    let says = |side: Side<'_>| match Subject::load(engine, side.component, &subject::none()) {
        Ok(_) => "takes them".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(DiffError::NoSettings { old: says(old), new: says(new) })
}

/// The smallest input that shows a change, with the pair that was asked.
struct Smallest<'p> {
    length: usize,
    pair: &'p Pair,
    input: Table,
}

/// Asks about every input; of each kind of change, keeps the smallest and makes it smaller.
fn at_hook(hook: Hook, pairs: &[Pair], written: &[Written], pool: &Pool, search: Search) -> Vec<Difference> {
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
    let mut holders = Holders::default();
    let mut found: BTreeMap<Change, Smallest<'_>> = BTreeMap::new();
    for (pair, input) in known.chain(generated) {
        let (Some(old), Some(new)) = (pair.old.ask(hook, &input), pair.new.ask(hook, &input)) else { continue };
        holders.note(&old);
        let changes = weight::changes(hook, &old, &new);
        if changes.is_empty() {
            continue;
        }
        let length = input.to_string().len();
        for change in changes {
            if found.get(&change).is_none_or(|known| length < known.length) {
                found.insert(change, Smallest { length, pair, input: input.clone() });
            }
        }
    }
    chosen(found, &holders)
        .into_iter()
        .filter_map(|(change, power, smallest)| told(hook, &change, power, smallest))
        .collect()
}

/// Of the groups that are gained, the most powerful one, and of those that are lost; of each other kind the one that
/// there is.
fn chosen<'p>(found: BTreeMap<Change, Smallest<'p>>, holders: &Holders) -> Vec<(Change, Option<u32>, Smallest<'p>)> {
    let mut chosen: Vec<(Change, Option<u32>, Smallest<'p>)> = Vec::new();
    for (change, smallest) in found {
        let power = match &change {
            Change::Plain(_) => None,
            Change::Gained(group) | Change::Lost(group) => Some(holders.power(group)),
        };
        let is_same_kind = |(known, ..): &&mut (Change, _, _)| discriminant(known) == discriminant(&change);
        match chosen.iter_mut().filter(|_| power.is_some()).find(is_same_kind) {
            // Of equally powerful ones, the smaller input.
            Some(known) if (known.1, Reverse(known.2.length)) < (power, Reverse(smallest.length)) => {
                *known = (change, power, smallest);
            }
            Some(_) => {}
            None => chosen.push((change, power, smallest)),
        }
    }
    chosen
}

/// The difference as it is told, its input made smaller as long as it shows the same change.
fn told(hook: Hook, change: &Change, power: Option<u32>, smallest: Smallest<'_>) -> Option<Difference> {
    let Smallest { pair, input, .. } = smallest;
    let both = |input: &Table| Some((pair.old.ask(hook, input)?, pair.new.ask(hook, input)?));
    let shows =
        |input: &Table| both(input).is_some_and(|(old, new)| weight::changes(hook, &old, &new).contains(change));
    let input = shrink(input, SHRINK_QUESTIONS_MAX, &mut |input| shows(input));
    let (old, new) = both(&input)?;
    let expect = match old.failure() {
        Some((code, _)) => Map::from_iter([("failed".to_owned(), Json::from(code))]),
        None => old.shown.iter().filter(|(key, value)| new.shown.get(*key) != Some(value)).map(expected).collect(),
    };
    let group = match change {
        Change::Plain(_) => None,
        Change::Gained(group) | Change::Lost(group) => Some((group.clone(), power.unwrap_or_default())),
    };
    Some(Difference {
        hook: hook.name().to_owned(),
        weight: change.weight(),
        what: in_words(hook, change),
        group,
        old: old.in_words(),
        new: new.in_words(),
        case: case::case("what the old one answers", hook, &pair.old.settings, &input, &expect),
    })
}

fn in_words(hook: Hook, change: &Change) -> String {
    match (change, hook) {
        (Change::Gained(group), _) => format!("the new one gives the group {group:?}"),
        (Change::Lost(group), _) => format!("the new one does not give the group {group:?}"),
        (Change::Plain(Weight::Admitted), Hook::Admit) => "the new one admits, or no longer denies".to_owned(),
        (Change::Plain(Weight::Admitted), _) => "the new one lets through whom the old one refuses".to_owned(),
        (Change::Plain(Weight::Refused), Hook::Admit) => "the new one denies, or no longer admits".to_owned(),
        (Change::Plain(Weight::Refused), _) => "the new one refuses whom the old one lets through".to_owned(),
        (Change::Plain(Weight::Elsewhere), _) => "the new one sends elsewhere, or asks for more or less".to_owned(),
        (Change::Plain(_), _) => "the new one answers otherwise".to_owned(),
    }
}

/// What is not there is expected with `false`.
fn expected((key, value): (&String, &Json)) -> (String, Json) {
    (key.clone(), if value.is_null() { Json::Bool(false) } else { value.clone() })
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
        let found = diff(&engine, side(&old), side(&new), Search { seed: 0, inputs: 60 }, &|_| {})?;
        assert_eq!(found.manifest, [], "the two are one component");
        Ok(found.differences)
    }

    #[test]
    fn finds_what_two_settings_answer_differently_and_makes_it_small() {
        let found = differences(["yes", "deny"], true).unwrap().remove(0);
        assert_eq!((found.hook.as_str(), found.weight), ("admit", Weight::Refused));
        assert!(found.old.contains("allow") && found.new.contains("deny"), "{found:?}");
        assert!(!found.case.contains("ann") && found.case.contains("verdict = \"allow\""), "{}", found.case);
        let found = differences(["yes", "trap"], true).unwrap().remove(0);
        assert!(found.weight == Weight::Refused && found.new.contains("policy-trapped"), "{found:?}");
        let found = differences(["deny", "yes"], true).unwrap().remove(0);
        assert_eq!(found.weight, Weight::Admitted);
    }

    #[test]
    fn shows_who_is_refused_before_what_is_said_otherwise() {
        // It traps in one second of twenty, and gives another reason in all others: the first input that differs is
        // none of the weightiest.
        let found = differences(["yes", "volatile"], true).unwrap();
        let weights: Vec<Weight> = found.iter().map(|difference| difference.weight).collect();
        assert_eq!(weights, [Weight::Refused, Weight::Otherwise], "{found:#?}");
        assert!(found[0].new.contains("policy-trapped") && found[1].new.contains("volatile"), "{found:#?}");
    }

    #[test]
    fn of_groups_chooses_the_most_powerful_and_then_the_smallest_input() {
        let engine = testing::engine(|_| {});
        let component = Component::check(&engine, &fixture::policy("0.1.0", &[])).unwrap();
        let subject = || Subject::load(&engine, &component, &subject::none()).unwrap();
        let pair = Pair { old: subject(), new: subject() };
        let of = |length| Smallest { length, pair: &pair, input: Table::new() };
        let mut holders = Holders::default();
        for groups in [&["staff", "admins"][..], &["staff"], &["staff"], &["staff"]] {
            let mut asked = pair.old.ask(Hook::Admit, &Table::new()).unwrap();
            asked.shown = Map::from_iter([("after".to_owned(), serde_json::json!(groups))]);
            holders.note(&asked);
        }
        let found = BTreeMap::from([
            (Change::Plain(Weight::Otherwise), of(1)),
            (Change::Gained("admins".into()), of(90)),
            (Change::Gained("staff".into()), of(10)),
            (Change::Lost("staff".into()), of(10)),
            (Change::Lost("new-one".into()), of(50)),
            (Change::Lost("new-two".into()), of(40)),
        ]);
        let chosen: Vec<(Change, Option<u32>)> =
            chosen(found, &holders).into_iter().map(|(change, power, _)| (change, power)).collect();
        let expected = [
            (Change::Plain(Weight::Otherwise), None),
            (Change::Gained("admins".into()), Some(750)),
            (Change::Lost("new-two".into()), Some(999)),
        ];
        assert_eq!(chosen, expected);
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
