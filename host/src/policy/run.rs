//! One decision: a fresh instance of each policy of one chain, used for the hooks of one
//! login and dropped.

use std::sync::Arc;

use super::chain::Chain;
use crate::{
    decision::{
        AccessRequest, AccessVerdict, Account, Admit, Attempt, Context, Denial, Direction, Ending, Plan, Profile,
        ProvisionTerms, Rules, SessionTerms, Trace,
    },
    identity::{Identity, VerifiedIdentity},
};

/// One decision under way. Every method may take up to the configured deadline for each
/// policy and does not yield: call it off the async threads.
#[derive(Debug)]
pub struct Run {}

impl Run {
    /// Begins a decision by `chain`. No sandbox is made before the first hook is asked.
    /// `generation` and `generation_digest` go into the trace.
    ///
    /// # Errors
    ///
    /// `no-policy` where the chain is empty.
    pub fn new(
        _chain: &Chain,
        _context: Context,
        _generation: u64,
        _generation_digest: Arc<str>,
    ) -> Result<Self, (Denial, Trace)> {
        todo!()
    }

    /// Which way? The first direction that is not `pass`.
    ///
    /// # Errors
    ///
    /// `no-route` where every policy passes; the broken contract or the failure otherwise.
    pub fn route(&mut self, _attempt: &Attempt) -> Result<Direction, Denial> {
        todo!()
    }

    /// May this identity log in?
    ///
    /// # Errors
    ///
    /// `policy-denied` with the policy's reason, `not-allowed` where nobody allowed, or
    /// the failure.
    pub fn admit(&mut self, _identity: &VerifiedIdentity, _account: Option<&Account>) -> Result<Admit, Denial> {
        todo!()
    }

    /// Who is it to the application?
    ///
    /// # Errors
    ///
    /// A broken contract or a failure.
    pub fn profile(&mut self, _identity: &VerifiedIdentity, _account: Option<&Account>) -> Result<Profile, Denial> {
        todo!()
    }

    /// Which groups? Already pruned by `rules`.
    ///
    /// # Errors
    ///
    /// A broken contract or a failure.
    pub fn groups(
        &mut self,
        _identity: &VerifiedIdentity,
        _account: Option<&Account>,
        _profile: &Profile,
        _rules: &Rules,
    ) -> Result<Plan, Denial> {
        todo!()
    }

    /// May the account be created, updated, reactivated? The most restrictive answer.
    ///
    /// # Errors
    ///
    /// A failure. A refusal to create is in the answer: the caller knows whether there is
    /// an account.
    pub fn provision(
        &mut self,
        _identity: &VerifiedIdentity,
        _account: Option<&Account>,
        _profile: &Profile,
        _plan: &Plan,
    ) -> Result<ProvisionTerms, Denial> {
        todo!()
    }

    /// For how long? Never more than `maximum`.
    ///
    /// # Errors
    ///
    /// A failure.
    pub fn session(
        &mut self,
        _identity: &VerifiedIdentity,
        _groups: &[String],
        _maximum: SessionTerms,
    ) -> Result<SessionTerms, Denial> {
        todo!()
    }

    /// May this request pass? `Deny` comes back as `policy-denied`.
    ///
    /// # Errors
    ///
    /// `policy-denied` or a failure.
    pub fn access(
        &mut self,
        _identity: &Identity,
        _groups: &[String],
        _request: &AccessRequest,
    ) -> Result<AccessVerdict, Denial> {
        todo!()
    }

    /// Where does the logout end? The first policy that says so; none leaves it to the
    /// host. The target is not yet checked against the allowed ones.
    ///
    /// # Errors
    ///
    /// A failure.
    pub fn logout(&mut self, _identity: &Identity, _requested: Option<&str>) -> Result<Option<Ending>, Denial> {
        todo!()
    }

    /// As [`Run::admit`], for a policy's cases: their identity was verified by nobody, and
    /// no admission comes of it.
    pub(super) fn admit_case(&mut self, _identity: &Identity, _account: Option<&Account>) -> Result<Admit, Denial> {
        todo!()
    }

    /// As [`Run::profile`], for cases: begins with what earlier policies left.
    pub(super) fn profile_case(
        &mut self,
        _identity: &Identity,
        _account: Option<&Account>,
        _so_far: Profile,
    ) -> Result<Profile, Denial> {
        todo!()
    }

    /// As [`Run::groups`], for cases: begins with what earlier policies left.
    pub(super) fn groups_case(
        &mut self,
        _identity: &Identity,
        _account: Option<&Account>,
        _profile: &Profile,
        _so_far: Plan,
        _rules: &Rules,
    ) -> Result<Plan, Denial> {
        todo!()
    }

    /// As [`Run::provision`], for cases.
    pub(super) fn provision_case(
        &mut self,
        _identity: &Identity,
        _account: Option<&Account>,
        _profile: &Profile,
        _plan: &Plan,
    ) -> Result<ProvisionTerms, Denial> {
        todo!()
    }

    /// As [`Run::session`], for cases.
    pub(super) fn session_case(
        &mut self,
        _identity: &Identity,
        _groups: &[String],
        _maximum: SessionTerms,
    ) -> Result<SessionTerms, Denial> {
        todo!()
    }

    /// What happened, for the audit.
    #[must_use]
    pub fn finish(self) -> Trace {
        todo!()
    }
}
