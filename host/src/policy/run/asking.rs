//! How one policy is asked, and what is written down of it.

use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use super::{Run, Slot};
use crate::{
    decision::{Answer, Context, Denial, DenyCode, Grant, Hook, Reason, Recorded},
    policy::{
        bindings::vestibule::policy::types,
        contract::{self, Broken},
        convert,
        instance::{LoadedPolicy, Sandbox},
        limits::Failure,
    },
};

/// A guest's own yes or no, or why there is none.
type Outcome<T> = Result<Result<T, types::Fault>, Failure>;

impl Run {
    /// The places of the policies that decide `hook`, in order.
    pub(super) fn with(&self, hook: Hook) -> Vec<usize> {
        let places = self.slots.iter().enumerate();
        places.filter(|(_, slot)| slot.policy.manifest().hooks.contains(&hook)).map(|(index, _)| index).collect()
    }

    /// Asks one policy. The trace gets a record of it, to which [`Run::note`] adds the
    /// answer.
    pub(super) fn ask<T>(
        &mut self,
        index: usize,
        hook: Hook,
        call: impl FnOnce(&LoadedPolicy, &Context, &mut Sandbox) -> wasmtime::Result<Result<T, types::Fault>>,
    ) -> Result<T, Denial> {
        if let Some(denied) = &self.denied {
            return Err(denied.clone());
        }
        let Some(slot) = self.slots.get_mut(index) else {
            return self.deny(Denial::by_host(DenyCode::Sandbox, "a policy of the chain is missing"));
        };
        let begin = Instant::now();
        let name = slot.policy.policy().name.clone();
        let (outcome, fuel, log) = slot.ask(&self.context, call);
        self.trace.answers.push(Answer {
            policy: name,
            hook,
            answer: Recorded::default(),
            fuel,
            micros: u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX),
            log,
            dropped: Vec::new(),
        });
        let (code, reason) = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(fault)) => (DenyCode::PolicyFault, convert::fault(fault)),
            Err(Failure { code, detail }) => (code, Reason::new(code.name(), detail)),
        };
        self.refuse(index, hook, code, reason)
    }

    /// Writes down the answer to the last question.
    pub(super) fn note(&mut self, answer: &impl Serialize) {
        if let Some(last) = self.trace.answers.last_mut() {
            last.answer = Recorded::of(answer);
        }
    }

    /// Writes down what the host took out of the last answer.
    pub(super) fn note_dropped(&mut self, dropped: &[Grant]) {
        if let Some(last) = self.trace.answers.last_mut() {
            last.dropped = dropped.iter().map(|grant| format!("{}: {}", grant.group, grant.because.code)).collect();
        }
    }

    /// Denies where the last answer broke a contract.
    pub(super) fn hold(&mut self, index: usize, hook: Hook, checked: Result<(), Broken>) -> Result<(), Denial> {
        match checked {
            Ok(()) => Ok(()),
            Err(Broken { code, detail }) => self.refuse(index, hook, code, Reason::new(code.name(), detail)),
        }
    }

    /// Denies because a policy said so.
    pub(super) fn deny_by<T>(&mut self, index: usize, hook: Hook, reason: Reason) -> Result<T, Denial> {
        self.hold(index, hook, contract::reason(&reason))?;
        let name = self.name(index);
        self.deny(Denial::by_policy(DenyCode::PolicyDenied, name, hook, reason))
    }

    /// Denies on account of a policy that failed or broke a contract, and writes it down in
    /// the place of its answer.
    fn refuse<T>(&mut self, index: usize, hook: Hook, code: DenyCode, reason: Reason) -> Result<T, Denial> {
        self.note(&json!({ "failed": code, "detail": reason.detail }));
        let name = self.name(index);
        self.deny(Denial::by_policy(code, name, hook, reason))
    }

    pub(super) fn deny<T>(&mut self, denial: Denial) -> Result<T, Denial> {
        let denial = self.denied.get_or_insert(denial).clone();
        // Nothing more is asked: give the places in the pool back.
        self.slots.iter_mut().for_each(|slot| slot.sandbox = None);
        Err(denial)
    }

    fn name(&self, index: usize) -> String {
        self.slots.get(index).map(|slot| slot.policy.policy().name.clone()).unwrap_or_default()
    }
}

impl Slot {
    /// Asks this policy's instance, which is made now if it is the first time. Also returns
    /// the fuel that the call took, and what the guest logged.
    fn ask<T>(
        &mut self,
        context: &Context,
        call: impl FnOnce(&LoadedPolicy, &Context, &mut Sandbox) -> wasmtime::Result<Result<T, types::Fault>>,
    ) -> (Outcome<T>, u64, Vec<String>) {
        let sandbox = match &mut self.sandbox {
            Some(sandbox) => sandbox,
            none => match self.policy.sandbox() {
                Ok(sandbox) => none.insert(sandbox),
                Err(failure) => return (Err(failure), 0, Vec::new()),
            },
        };
        let before = sandbox.begin();
        let outcome = call(&self.policy, context, sandbox).map_err(|error| Failure::of_call(&error));
        let fuel = before.saturating_sub(sandbox.fuel());
        let log = sandbox.store.data_mut().take_log();
        if outcome.is_err() {
            self.sandbox = None;
        }
        (outcome, fuel, log)
    }
}
