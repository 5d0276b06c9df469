//! Runs cases: loads the policy once for each distinct settings, asks the hook through a
//! chain of one, compares.

use std::{
    collections::BTreeMap,
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
    compare::{self, Answered, Failed, Outcome},
    form::{Case, Input, Question},
};
use crate::{
    decision::{self, Denial, Hook, Plan, Trace},
    policy::{Chain, Component, Engine, LoadError, LoadedPolicy, Run},
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

/// How often a case may be late.
const ATTEMPTS_MAX: usize = 3;

/// Each takes a core.
const WORKERS_MAX: usize = 4;

fn settings_of(case: &Case) -> Json {
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
    CaseResult {
        file: case.file.clone(),
        line: case.line,
        name: case.name.clone(),
        hook: hook.to_owned(),
        differences: compare::differences(&case.question, &case.expect, &outcome),
        answer: match outcome {
            Outcome::Answered(answered) => answered.answer,
            _ => Json::Null,
        },
        fuel,
    }
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

fn refused(error: &LoadError) -> Outcome {
    match error {
        LoadError::Settings(problems) => Outcome::Problems(
            problems.iter().map(|problem| (problem.pointer.clone(), problem.message.clone())).collect(),
        ),
        other => Outcome::NotLoaded(other.to_string()),
    }
}

/// The wall clock is all of a case that is not the same each time: a machine that was busy
/// elsewhere says nothing about the policy. One that needs too long needs it again.
fn ask_in_time(policy: &Arc<LoadedPolicy>, hook: Hook, input: &Input) -> (Outcome, u64) {
    let late = decision::DenyCode::PolicyDeadline.name();
    let mut asked = ask(policy, hook, input);
    for _ in 1..ATTEMPTS_MAX {
        if !matches!(&asked.0, Outcome::Failed(failed) if failed.code == late) {
            break;
        }
        asked = ask(policy, hook, input);
    }
    asked
}

/// Asks one hook of one policy. The chain's own conclusions (nobody allowed, no direction)
/// are not the policy's: what the trace has is.
fn ask(policy: &Arc<LoadedPolicy>, hook: Hook, input: &Input) -> (Outcome, u64) {
    let chain = Chain::new(vec![Arc::clone(policy)]);
    let mut run = match Run::new(&chain, input.context.clone(), 0, Arc::from("")) {
        Ok(run) => run,
        Err((denial, trace)) => return (outcome(hook, Err(denial), None, &trace), 0),
    };
    let mut plan = None;
    let mut terms = None;
    let account = input.account.as_ref();
    let result = match hook {
        Hook::Route => run.route(&input.attempt).map(drop),
        Hook::Admit => run.admit_case(&input.identity, account).map(drop),
        Hook::Profile => run.profile_case(&input.identity, account, input.profile_so_far.clone()).map(drop),
        Hook::Groups => run
            .groups_case(&input.identity, account, &input.profile, input.plan_so_far.clone(), &input.rules)
            .map(|answer| plan = Some(answer)),
        Hook::Provision => run.provision_case(&input.identity, account, &input.profile, &input.plan).map(drop),
        Hook::Session => {
            run.session_case(&input.identity, &input.groups, input.terms_so_far).map(|answer| terms = Some(answer))
        }
        Hook::Access => run.access(&input.identity, &input.groups, &input.request).map(drop),
        Hook::Logout => run.logout(&input.identity, input.requested.as_deref()).map(drop),
    };
    let trace = run.finish();
    let fuel = trace.answers.last().map_or(0, |answer| answer.fuel);
    let change = plan.map(|plan| Change { difference: decision::difference(&plan, account, &input.rules), plan });
    let mut outcome = outcome(hook, result, change, &trace);
    if let (Outcome::Answered(answered), Some(terms)) = (&mut outcome, terms) {
        // Shortened to what earlier policies left, as in a chain.
        answered.answer = serde_json::to_value(terms).unwrap_or_default();
    }
    (outcome, fuel)
}

/// The plan after the host's pruning, and what comes of it.
struct Change {
    plan: Plan,
    difference: decision::Difference,
}

fn outcome(hook: Hook, result: Result<(), Denial>, change: Option<Change>, trace: &Trace) -> Outcome {
    let last = trace.answers.iter().rev().find(|answer| answer.hook == hook);
    let log = last.map(|answer| answer.log.clone()).unwrap_or_default();
    let last = last.map(|last| (last, last.answer.tree())).filter(|(_, answer)| answer.get("failed").is_none());
    let Some((last, answer)) = last else {
        return match result {
            Err(denial) => failed(&denial, log),
            // The path is none of the manifest's `access-paths`: the policy is not asked.
            Ok(()) if hook == Hook::Access => {
                Outcome::Answered(Answered { answer: Json::from("pass"), ..Answered::default() })
            }
            Ok(()) => {
                failed(&Denial::by_host(decision::DenyCode::NoPolicy, format!("the policy has no hook `{hook}`")), log)
            }
        };
    };
    if let Err(denial) = &result
        && !is_conclusion(denial)
    {
        return failed(denial, log);
    }
    let mut answered = Answered { answer, log, dropped: last.dropped.clone(), difference: None };
    if let Some(change) = change {
        answered.answer = serde_json::to_value(&change.plan).unwrap_or_default();
        answered.difference = Some(change.difference);
    }
    Outcome::Answered(answered)
}

/// Does the denial only conclude from an answer that is as good as any other?
const fn is_conclusion(denial: &Denial) -> bool {
    use decision::DenyCode::{NoRoute, NotAllowed, PolicyDenied};
    matches!(denial.code, NoRoute | NotAllowed | PolicyDenied)
}

fn failed(denial: &Denial, log: Vec<String>) -> Outcome {
    let is_fault = denial.code == decision::DenyCode::PolicyFault;
    let kind = denial.reason.code.clone();
    Outcome::Failed(Failed {
        code: denial.code.name(),
        detail: if denial.reason.detail.is_empty() {
            kind.clone()
        } else {
            format!("{kind}: {}", denial.reason.detail)
        },
        fault: is_fault.then_some(kind),
        log,
    })
}
