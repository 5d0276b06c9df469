//! Checks properties: asks about the cases' inputs and about generated ones, and makes the first
//! input that breaks one as small as it gets.

use serde::Serialize;
use serde_json::{Map, Value as Json};
use toml::Table;

use super::{
    SHRINK_QUESTIONS_MAX, Search, case,
    corpus::Corpus,
    form::{Kind, Properties, Property},
    generate,
    judge::{alone, comparable, less, reordered, with_group},
    pool::{Filling, Pool},
    random::Random,
    shape::Topic,
    shrink::shrink,
    subject::{self, Subject, Written},
};
use crate::{
    decision::Hook,
    policy::{CaseError, Cases, Component, Engine},
};

/// What came of one property.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PropertyResult {
    /// The file.
    pub file: String,
    /// The line of its `[[property]]`.
    pub line: usize,
    /// What it says.
    pub name: String,
    /// Inputs that were asked about.
    pub inputs: usize,
    /// Of them, those that were recorded in real logins.
    pub recorded: usize,
    /// Of them, those that `when` and `unless` leave, and that the property says anything about.
    pub applied: usize,
    /// Why it says nothing about this policy.
    pub problem: Option<String>,
    /// An input that breaks it.
    pub counterexample: Option<Counterexample>,
}

/// An input that breaks a property: the smallest that was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counterexample {
    /// The hook.
    pub hook: String,
    /// What is wrong.
    pub what: String,
    /// The answer, in words.
    pub answer: String,
    /// A case that fails as long as the property does not hold: TOML for a file of `cases/`.
    pub case: String,
}

impl PropertyResult {
    /// Does it hold for all that was asked?
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.problem.is_none() && self.counterexample.is_none()
    }
}

/// What one question shows.
enum Trial {
    /// No case could have this input.
    Invalid,
    /// The property says nothing about it.
    Beside,
    Holds,
    Breaks(Box<Broken>),
}

struct Broken {
    what: String,
    answer: String,
    /// What is to be pasted: the input itself, or what was made of it.
    input: Table,
    expect: Map<String, Json>,
}

/// Checks `properties` against `component`, with the settings and values of `cases` and with the inputs of `corpus`.
/// `progress` hears of each property.
///
/// # Errors
///
/// Where a case or a property is malformed.
pub fn check(
    engine: &Engine,
    component: &Component,
    cases: &Cases,
    properties: &Properties,
    corpus: &Corpus,
    search: Search,
    progress: &dyn Fn(&str),
) -> Result<Vec<PropertyResult>, CaseError> {
    let parsed = properties.parse()?;
    if parsed.is_empty() {
        return Ok(Vec::new());
    }
    let written = subject::written(cases)?;
    let mut filling = Filling::default();
    subject::fill(&mut filling, component, &written);
    for property in &parsed {
        property.kind.words().iter().for_each(|word| filling.word(word));
        property.when.iter().chain(&property.unless).for_each(|condition| condition.fill(&mut filling));
        property.settings.iter().for_each(|settings| filling.json(settings));
    }
    let checker = Checker {
        engine,
        component,
        pool: filling.pool(),
        subjects: subject::subjects(engine, component, &written),
        then: subject::with(engine, component, corpus.settings(&component.manifest().name)),
        corpus,
        written,
        search,
    };
    let result = |(index, property): (usize, &Property)| {
        progress(&format!("checking `{}` on {} inputs (seed {})", property.name, search.inputs, search.seed));
        checker.check(index, properties.file(), property)
    };
    Ok(parsed.iter().enumerate().map(result).collect())
}

struct Checker<'a> {
    engine: &'a Engine,
    component: &'a Component,
    pool: Pool,
    subjects: Vec<Subject>,
    /// With the settings that a policy of this name had when the corpus was recorded.
    then: Vec<Subject>,
    corpus: &'a Corpus,
    written: Vec<Written>,
    search: Search,
}

impl Checker<'_> {
    fn check(&self, index: usize, file: &str, property: &Property) -> PropertyResult {
        let mut result = PropertyResult {
            file: file.to_owned(),
            line: property.line,
            name: property.name.clone(),
            inputs: 0,
            recorded: 0,
            applied: 0,
            problem: None,
            counterexample: None,
        };
        let has = &self.component.manifest().hooks;
        let hooks: Vec<Hook> = property.hooks.iter().copied().filter(|hook| has.contains(hook)).collect();
        let own = property.settings.as_ref().map(|settings| Subject::load(self.engine, self.component, settings));
        if hooks.is_empty() {
            let names: Vec<&str> = property.hooks.iter().map(|hook| hook.name()).collect();
            result.problem = Some(format!("the policy has no hook that it is about ({})", names.join(", ")));
        } else {
            match &own {
                Some(Err(error)) => {
                    result.problem = Some(format!("the policy does not take the property's settings: {error}"));
                }
                Some(Ok(own)) => self.search(index, property, &hooks, std::slice::from_ref(own), &mut result),
                None => self.search(index, property, &hooks, &self.subjects, &mut result),
            }
        }
        result
    }

    fn search(
        &self,
        index: usize,
        property: &Property,
        hooks: &[Hook],
        subjects: &[Subject],
        result: &mut PropertyResult,
    ) {
        if subjects.is_empty() {
            result.problem = Some("the policy takes neither its default settings nor those of any case".to_owned());
            return;
        }
        // First what somebody thought of, then what nobody did.
        let written = self.written.iter().filter_map(|case| {
            let hook = case.hook.filter(|hook| hooks.contains(hook))?;
            let own = |subject: &&Subject| subject.settings == case.settings || property.settings.is_some();
            let subject = subjects.iter().find(own)?;
            Some((hook, subject, case.input.clone(), None))
        });
        let generated = (0..self.search.inputs).filter_map(|number| {
            let stream = u64::try_from(index * self.search.inputs + number).unwrap_or_default();
            let mut random = Random::new(self.search.seed, stream);
            let hook = *hooks.get(number % hooks.len())?;
            let subject = subjects.get((number / hooks.len()) % subjects.len())?;
            let of_hook = |case: &&Written| case.hook == Some(hook);
            let cases: Vec<&Table> = self.written.iter().filter(of_hook).map(|case| &case.input).collect();
            let mut input = generate::input(hook, &self.pool, &cases, &mut random);
            if random.percent(50) {
                property.when.iter().for_each(|when| when.impose(hook, &mut input, &mut random));
            }
            Some((hook, subject, input, Some(random)))
        });
        // A recorded input with what was in force then; where that is not known, with all that occurs.
        let then = if property.settings.is_some() || self.then.is_empty() { subjects } else { &self.then };
        let recorded = self
            .corpus
            .inputs(hooks)
            .flat_map(|(hook, input)| then.iter().map(move |subject| (hook, subject, input.clone(), None)));
        let written = written.map(|question| (question, false));
        let asked = written.chain(recorded.map(|question| (question, true)));
        for ((hook, subject, input, random), is_recorded) in asked.chain(generated.map(|question| (question, false))) {
            result.recorded += usize::from(is_recorded);
            let mut random = random.unwrap_or_else(|| Random::new(self.search.seed, 0));
            let more = self.pool.text(Topic::Group, &mut random);
            result.inputs += 1;
            match try_one(property, subject, hook, &input, &more) {
                Trial::Invalid | Trial::Beside => {}
                Trial::Holds => result.applied += 1,
                Trial::Breaks(_) => {
                    result.applied += 1;
                    result.counterexample = Some(self.smallest(property, subject, hook, input, &more));
                    return;
                }
            }
        }
        if result.applied == 0 {
            result.problem = Some(format!("none of {} inputs is one that it says anything about", result.inputs));
        }
    }

    /// The smallest input, with the fewest settings, that still breaks the property.
    fn smallest(&self, property: &Property, subject: &Subject, hook: Hook, input: Table, more: &str) -> Counterexample {
        let breaks = |subject: &Subject, input: &Table| match try_one(property, subject, hook, input, more) {
            Trial::Breaks(broken) => Some(*broken),
            _ => None,
        };
        let input = shrink(input, SHRINK_QUESTIONS_MAX, &mut |input| breaks(subject, input).is_some());
        let mut fewer = None;
        for key in subject.settings.as_object().into_iter().flat_map(Map::keys) {
            let mut settings = fewer.as_ref().unwrap_or(subject).settings.clone();
            settings.as_object_mut().and_then(|settings| settings.remove(key));
            let less = Subject::load(self.engine, self.component, &settings).ok();
            fewer = less.filter(|less| breaks(less, &input).is_some()).or(fewer);
        }
        let subject = fewer.as_ref().unwrap_or(subject);
        let broken = breaks(subject, &input).unwrap_or_else(|| Broken {
            what: "the answer is not the same each time".to_owned(),
            answer: String::new(),
            input: input.clone(),
            expect: Map::new(),
        });
        Counterexample {
            hook: hook.name().to_owned(),
            case: case::case(&property.name, hook, &subject.settings, &broken.input, &broken.expect),
            what: broken.what,
            answer: broken.answer,
        }
    }
}

fn try_one(property: &Property, subject: &Subject, hook: Hook, input: &Table, more: &str) -> Trial {
    let Some(asked) = subject.ask(hook, input) else { return Trial::Invalid };
    let applies = property.when.as_ref().is_none_or(|when| when.holds(&asked.input))
        && !property.unless.as_ref().is_some_and(|unless| unless.holds(&asked.input));
    if !applies {
        return Trial::Beside;
    }
    let other = match &property.kind {
        Kind::AddingAGroupNeverRemovesAccess => with_group(hook, input, more),
        Kind::OrderOfGroupsNeverMatters => reordered(input),
        kind => {
            return match alone(kind, hook, &asked) {
                None => Trial::Holds,
                Some((what, expect)) => {
                    Trial::Breaks(Box::new(Broken { what, answer: asked.in_words(), input: input.clone(), expect }))
                }
            };
        }
    };
    // What failed before has nothing to lose.
    let Some(other) = other.filter(|_| asked.failure().is_none()) else { return Trial::Beside };
    let Some(then) = subject.ask(hook, &other) else { return Trial::Invalid };
    let broken = match &property.kind {
        Kind::AddingAGroupNeverRemovesAccess => less(hook, &asked, &then).map(|expect| {
            (
                format!("with the group {more:?} more, the answer grants less than without ({})", asked.in_words()),
                expect,
            )
        }),
        _ => (comparable(&asked) != comparable(&then) || then.failure().is_some())
            .then(|| (format!("in another order, the answer is {}", asked.in_words()), comparable(&asked))),
    };
    match broken {
        None => Trial::Holds,
        Some((what, expect)) => Trial::Breaks(Box::new(Broken { what, answer: then.in_words(), input: other, expect })),
    }
}

#[cfg(test)]
mod tests;
