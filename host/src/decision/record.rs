//! One decision whole: what was asked, what the host found on the way, what came of it. This is what is
//! recorded of a login, run again and signed.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Account, Answer, Attempt, Context, Denial, Difference, Direction, Hook, MatchKey, PolicyRef, Profile, Recorded,
    SessionTerms, StepUp,
};
use crate::identity::Identity;

/// A decision of the hooks from `admit` to `session`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Decided {
    /// The request's id, as in the audit.
    pub request: String,
    /// The digest of the generation that decided.
    pub generation: Arc<str>,
    /// What was asked.
    pub asked: Asked,
    /// What the host found on the way.
    pub found: Found,
    /// What came of it.
    pub conclusion: Conclusion,
    /// What each policy answered.
    pub answers: Vec<Answered>,
}

/// What is asked of a chain in one login.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Asked {
    /// The context, with all facts.
    pub context: Context,
    /// The identity, with all claims.
    pub identity: Identity,
    /// Was the canary's chain asked?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// What the same sandbox was asked before: the way.
    pub routed: Option<Routed>,
    /// Is the identity what was demanded of it?
    pub held: Held,
    /// May the login be sent back for more?
    pub may_step_up: bool,
    /// Seconds since the identity was proved.
    pub elapsed: u32,
}

/// A question of the way, and the direction that was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Routed {
    /// The question.
    pub attempt: Attempt,
    /// Where to.
    pub direction: Direction,
}

/// A decision of the hook `route` alone: the login goes on at an upstream, or ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WayChosen {
    /// The request's id, as in the audit.
    pub request: String,
    /// The digest of the generation that decided.
    pub generation: Arc<str>,
    /// The context, with all facts.
    pub context: Context,
    /// The question.
    pub attempt: Attempt,
    /// Where to, or why not.
    pub direction: Result<Direction, Denial>,
    /// What each policy answered.
    pub answers: Vec<Answered>,
}

/// Is an identity what was demanded of it before the policies were asked?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// Yes.
    Yes,
    /// Not yet: a second factor of ours is to come.
    SecondFactorDue(StepUp),
    /// No: it was proved too long ago.
    TooOld,
}

/// What the host knew, or found out between two hooks. None where it did not get there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Found {
    /// What every session is clamped to.
    pub bounds: Bounds,
    /// Is it known which accounts the application has?
    pub has_directory: bool,
    /// Did it get as far as the groups?
    pub reached_groups: bool,
    /// Groups that a login never changes.
    pub protected: BTreeSet<String>,
    /// Stands for the groups that the application knows: sha-256 over them, in lower-case hex.
    pub known: Option<String>,
    /// Why the identity counts for nothing here.
    pub identity: Option<Denial>,
    /// The account that is linked to the identity.
    pub linked: Option<Result<Option<Account>, Denial>>,
    /// Why the profile must not be told to the application.
    pub profile: Option<Denial>,
    /// The account that the profile finds, where none is linked.
    pub account: Option<Search>,
}

/// An account was looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Search {
    /// By what; none finds nothing.
    pub key: Option<MatchKey>,
    /// What was found.
    pub found: Result<Option<Account>, Denial>,
}

/// What every session is clamped to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bounds {
    /// In seconds.
    pub lifetime: u32,
    /// In seconds.
    pub idle: u32,
    /// In seconds, of a session that is remembered.
    pub remember_lifetime: u32,
    /// May a session be remembered?
    pub remember: bool,
}

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Yes.
    Admitted(Box<Granted>),
    /// No.
    Denied(Denial),
    /// Not with a proof this old.
    Stale,
    /// Not without more.
    StepUp(StepUp),
}

/// What a yes comes with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Granted {
    /// Who to the application.
    pub profile: Profile,
    /// Which groups.
    pub groups: Difference,
    /// On what terms.
    pub terms: SessionTerms,
}

/// One policy's answer at one hook: an [`Answer`] without the time that it took, which is never twice the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Answered {
    /// The configured name of the policy.
    pub policy: String,
    /// The hook.
    pub hook: Hook,
    /// The answer, or the failure.
    pub answer: Recorded,
    /// Instructions spent.
    pub fuel: u64,
    /// What the policy logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// Grants that the host took out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
}

impl From<&Answer> for Answered {
    fn from(answer: &Answer) -> Self {
        let Answer { policy, hook, answer, fuel, micros: _, log, dropped } = answer.clone();
        Self { policy, hook, answer, fuel, log, dropped }
    }
}

/// What a chain is made of: with the components, enough to make it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// The generation's digest.
    pub generation: Arc<str>,
    /// The application.
    pub application: String,
    /// The policies, in the chain's order.
    pub policies: Vec<Ingredient>,
    /// What each may use up in one login.
    pub limits: Allowance,
}

/// A policy with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ingredient {
    /// Name, version and digests.
    pub policy: PolicyRef,
    /// The settings as the guest got them: JSON with sorted keys.
    pub settings: Arc<str>,
}

/// The limits on which an answer can hang. The deadline is none of them: it is not the same twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Allowance {
    /// Instructions.
    pub fuel: u64,
    /// Bytes of memory.
    pub memory_bytes: usize,
    /// Elements of tables.
    pub table_elements: usize,
    /// Bytes of stack.
    pub stack_bytes: usize,
    /// Bytes that one hook may hand out.
    pub output_bytes: usize,
    /// Lines in the log.
    pub log_lines: usize,
    /// Bytes of one line.
    pub log_line_bytes: usize,
}

impl Denial {
    /// Did a policy fail or break a contract, rather than decide?
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.policy.is_some() && self.code != super::DenyCode::PolicyDenied
    }
}
