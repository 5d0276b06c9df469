//! One question to one policy, and what came of it in the words of a case.

use std::sync::Arc;

use super::{
    compare::{Answered, Failed, Outcome},
    form::Input,
};
use crate::{
    decision::{self, Context, Denial, DenyCode, Hook, Plan, SessionTerms, Trace},
    policy::{Chain, LoadError, LoadedPolicy, Run},
};

/// How often a question may be late.
const ATTEMPTS_MAX: usize = 3;

/// What was said to a question. The sandbox that said it is gone.
pub(super) struct Said {
    result: Result<(), Denial>,
    trace: Trace,
    plan: Option<Plan>,
    terms: Option<SessionTerms>,
}

impl Said {
    /// Instructions that the hook took; none where the policy was not asked.
    pub(super) fn fuel(&self) -> Option<u64> {
        self.trace.answers.last().map(|answer| answer.fuel)
    }
}

/// The wall clock is all of a question that is not the same each time: a machine that was busy
/// elsewhere says nothing about the policy. One that needs too long needs it again.
pub(in crate::policy) fn ask_in_time(policy: &Arc<LoadedPolicy>, hook: Hook, input: &Input) -> (Outcome, u64) {
    let late = DenyCode::PolicyDeadline.name();
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
    let said = question(&chain, input.context.clone(), hook, input);
    let fuel = said.fuel().unwrap_or_default();
    (outcome(hook, said, input), fuel)
}

/// The question alone: makes the sandbox, asks, and drops the sandbox. What a login does, and
/// nothing that only a case does.
pub(super) fn question(chain: &Chain, context: Context, hook: Hook, input: &Input) -> Said {
    let (mut plan, mut terms) = (None, None);
    let mut run = match Run::new(chain, context, 0, Arc::from("")) {
        Ok(run) => run,
        Err((denial, trace)) => return Said { result: Err(denial), trace, plan, terms },
    };
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
    Said { result, trace: run.finish(), plan, terms }
}

/// The plan after the host's pruning, and what comes of it.
struct Change {
    plan: Plan,
    difference: decision::Difference,
}

fn outcome(hook: Hook, said: Said, input: &Input) -> Outcome {
    let Said { result, trace, plan, terms } = said;
    let account = input.account.as_ref();
    let change = plan.map(|plan| Change { difference: decision::difference(&plan, account, &input.rules), plan });
    let mut outcome = answered(hook, result, change, &trace);
    if let (Outcome::Answered(answered), Some(terms)) = (&mut outcome, terms) {
        // Shortened to what earlier policies left, as in a chain.
        answered.answer = serde_json::to_value(terms).unwrap_or_default();
    }
    outcome
}

fn answered(hook: Hook, result: Result<(), Denial>, change: Option<Change>, trace: &Trace) -> Outcome {
    let last = trace.answers.iter().rev().find(|answer| answer.hook == hook);
    let log = last.map(|answer| answer.log.clone()).unwrap_or_default();
    let last = last.map(|last| (last, last.answer.tree())).filter(|(_, answer)| answer.get("failed").is_none());
    let Some((last, answer)) = last else {
        return match result {
            Err(denial) => failed(&denial, log),
            // The path is none of the manifest's `access-paths`: the policy is not asked.
            Ok(()) if hook == Hook::Access => {
                Outcome::Answered(Answered { answer: serde_json::Value::from("pass"), ..Answered::default() })
            }
            Ok(()) => failed(&Denial::by_host(DenyCode::NoPolicy, format!("the policy has no hook `{hook}`")), log),
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
    matches!(denial.code, DenyCode::NoRoute | DenyCode::NotAllowed | DenyCode::PolicyDenied)
}

fn failed(denial: &Denial, log: Vec<String>) -> Outcome {
    let is_fault = denial.code == DenyCode::PolicyFault;
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

/// Settings that were not taken.
pub(super) fn refused(error: &LoadError) -> Outcome {
    match error {
        LoadError::Settings(problems) => Outcome::Problems(
            problems.iter().map(|problem| (problem.pointer.clone(), problem.message.clone())).collect(),
        ),
        other => Outcome::NotLoaded(other.to_string()),
    }
}
