//! Runs cases: loads the policy once for each distinct settings, asks the hook through a
//! chain of one, compares.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::{
    ask::{ask_in_time, refused},
    compare::{self, Outcome},
    form::{Case, Input, Question},
};
use crate::{
    identity::GroupClaim,
    policy::{Component, Engine, LoadError, LoadedPolicy, manifest::Groups},
};

/// What came of one case.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CaseResult {
    /// The file.
    pub file: String,
    /// The line of its `[[case]]`.
    pub line: usize,
    /// What it shows.
    pub name: String,
    /// The hook, or `configure`.
    pub hook: String,
    /// What is not as expected; empty is a pass.
    pub differences: Vec<String>,
    /// The answer, as the audit would have it.
    pub answer: Json,
    /// Instructions that the hook took.
    pub fuel: u64,
}

impl CaseResult {
    /// Is everything as expected?
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Runs `cases` against `component`, in their order.
///
/// Takes up to the compile timeout, once; the cases are spread over the machine's cores.
pub(in crate::policy) fn run(engine: &Engine, component: &Component, cases: &[Case]) -> Vec<CaseResult> {
    let mut by_settings: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        by_settings.entry(settings_of(case).to_string()).or_default().push(index);
    }
    let groups: Vec<Vec<usize>> = by_settings.into_values().collect();
    let next = AtomicUsize::new(0);
    // All of them together get no longer than the component itself.
    let (began, limit) = (Instant::now(), engine.limits_of(component.form()).compile_timeout);
    let results: Mutex<Vec<Option<CaseResult>>> = Mutex::new(vec![None; cases.len()]);
    let work = |most: usize| {
        for _ in 0..most {
            let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let Some(first) = group.first().and_then(|index| cases.get(*index)) else { continue };
            let loaded = LoadedPolicy::load_case(engine, component, &settings_of(first));
            for index in group {
                let Some(case) = cases.get(*index) else { continue };
                let result =
                    if began.elapsed() < limit { run_one(case, &loaded) } else { not_run(case, limit.as_millis()) };
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(slot) = results.get_mut(*index) {
                    *slot = Some(result);
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(groups.len()).min(WORKERS_MAX);
    // The first one compiles what all the others then share.
    work(1);
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|| work(usize::MAX));
        }
        work(usize::MAX);
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}

/// Each takes a core.
const WORKERS_MAX: usize = 4;

pub(super) fn settings_of(case: &Case) -> Json {
    case.settings.clone().unwrap_or_else(|| Json::Object(Map::new()))
}

fn run_one(case: &Case, loaded: &Result<Arc<LoadedPolicy>, LoadError>) -> CaseResult {
    let (hook, outcome, fuel) = match (&case.question, loaded) {
        (Question::Configure, Ok(_)) => ("configure", Outcome::Configured, 0),
        (Question::Configure, Err(error)) => ("configure", refused(error), 0),
        (Question::Hook(hook, _), Err(error)) => (hook.name(), refused(error), 0),
        (Question::Hook(hook, input), Ok(policy)) => {
            let (outcome, fuel) = ask_in_time(policy, *hook, input);
            (hook.name(), outcome, fuel)
        }
    };
    let mut differences = compare::differences(&case.question, &case.expect, &outcome);
    if let (Outcome::Problems(_), Err(error), false) = (&outcome, loaded, differences.is_empty()) {
        // What is wrong is written somewhere: in the case, or at the head of its file.
        let explained = case.written.explain(error);
        let told = explained.iter().map(|problem| format!("the case's settings are refused: {problem}"));
        match &case.question {
            Question::Configure => differences.extend(told),
            Question::Hook(..) => differences = told.collect(),
        }
    }
    if !differences.is_empty()
        && let (Question::Hook(_, input), Ok(policy)) = (&case.question, loaded)
    {
        differences.extend(withheld(policy, input));
    }
    CaseResult {
        file: case.file.clone(),
        line: case.line,
        name: case.name.clone(),
        hook: hook.to_owned(),
        differences,
        answer: match outcome {
            Outcome::Answered(answered) => answered.answer,
            _ => Json::Null,
        },
        fuel,
    }
}

/// What the case gives and the manifest keeps from the policy: where an answer is not the expected one, that may be why.
fn withheld(policy: &LoadedPolicy, input: &Input) -> Vec<String> {
    let mut withheld = Vec::new();
    let is_listed = |groups: &GroupClaim| matches!(groups, GroupClaim::Listed(groups) if !groups.is_empty());
    if is_listed(&input.identity.groups) && !policy.reads_groups(Groups::Reported) {
        withheld.push("the case gives `identity.groups`, and `reads-groups` has no \"reported\"".to_owned());
    }
    let has_groups = input.account.as_ref().is_some_and(|account| !account.groups.is_empty());
    if has_groups && !policy.reads_groups(Groups::Account) {
        withheld.push("the case gives `account.groups`, and `reads-groups` has no \"account\"".to_owned());
    }
    let seen: BTreeSet<&str> = policy.reads().of(&input.identity.claims).map(|(name, _)| name).collect();
    let unseen: Vec<String> = input
        .identity
        .claims
        .keys()
        .filter(|name| !seen.contains(name.as_str()))
        .map(|name| format!("`{name}`"))
        .collect();
    if !unseen.is_empty() {
        withheld.push(format!("the case gives the claims {}, which `reads` does not name", unseen.join(", ")));
    }
    let note = |what: String| format!("note: the policy did not see all of it: {what}");
    withheld.into_iter().map(note).collect()
}

fn not_run(case: &Case, limit_ms: u128) -> CaseResult {
    let late = format!("not run: the cases took longer than {limit_ms} ms (`policies.limits.compile-timeout-ms`)");
    CaseResult {
        file: case.file.clone(),
        line: case.line,
        name: case.name.clone(),
        hook: match &case.question {
            Question::Configure => "configure".to_owned(),
            Question::Hook(hook, _) => hook.name().to_owned(),
        },
        differences: vec![late],
        answer: Json::Null,
        fuel: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{cases::form, fixture, testing};

    #[test]
    fn a_case_that_fails_says_what_of_it_the_policy_did_not_see() {
        let engine = testing::engine(|_| {});
        let component = Component::check(&engine, &fixture::policy("0.1.0", &[])).unwrap();
        let text = "[[case]]\nname = \"n\"\nhook = \"admit\"\nsettings = { mark = \"yes\" }\n\
                    input.identity = { groups = [\"a\"], claims = { odd = 1 } }\ninput.account.groups = [\"b\"]\n";
        let ran = |expect: &str| {
            let cases = form::parse("c.toml", &format!("{text}expect.verdict = \"{expect}\"\n")).unwrap();
            run(&engine, &component, &cases).remove(0).differences
        };
        assert_eq!(ran("allow"), [] as [&str; 0]);
        let notes = ran("deny").into_iter().filter(|line| line.starts_with("note: ")).collect::<Vec<_>>().join("\n");
        assert!(notes.contains("the claims `odd`, which `reads` does not name"), "{notes}");
        let manifest = component.manifest();
        assert_eq!(notes.contains("`identity.groups`"), !manifest.reads_groups.contains(&Groups::Reported), "{notes}");
        assert_eq!(notes.contains("`account.groups`"), !manifest.reads_groups.contains(&Groups::Account), "{notes}");
    }
}
