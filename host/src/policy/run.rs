//! One decision: a fresh instance of each policy of one chain, used for the hooks of one
//! login and dropped.
//!
//! The semantics of a chain are those that `wit/policy.wit` documents for each hook. A
//! denial ends the decision: whatever is asked afterwards is denied for the same reason.

mod asking;

use std::{fmt, sync::Arc};

use super::{
    chain::Chain,
    contract,
    convert::{self, Named, Question, Verdict},
    instance::{LoadedPolicy, Sandbox},
    manifest::Groups,
    tally::{Matter, Seen, Tally},
};
use crate::{
    decision::{
        AccessRequest, AccessVerdict, Account, Admit, Attempt, Context, Denial, DenyCode, Direction, Ending, Hook,
        Plan, Profile, ProvisionTerms, Reason, Rules, SessionTerms, StepUp, Trace, Update, prune,
    },
    identity::{Identity, VerifiedIdentity},
};

/// One decision under way. Every method may take up to the configured deadline for each
/// policy and does not yield: call it off the async threads.
pub struct Run {
    context: Context,
    slots: Vec<Slot>,
    trace: Trace,
    denied: Option<Denial>,
    /// Who counts it, where somebody does.
    tally: Option<Arc<Tally>>,
    matter: Matter,
    /// Whom it concerns, for the tally.
    who: Option<u64>,
}

/// A policy of the chain, and its instance once a hook was asked.
struct Slot {
    policy: Arc<LoadedPolicy>,
    sandbox: Option<Sandbox>,
}

impl Run {
    /// Begins a decision by `chain`. No sandbox is made before the first hook is asked.
    /// `generation` and `generation_digest` go into the trace.
    ///
    /// # Errors
    ///
    /// `no-policy` where the chain is empty.
    pub fn new(
        chain: &Chain,
        context: Context,
        generation: u64,
        generation_digest: Arc<str>,
    ) -> Result<Self, (Denial, Trace)> {
        let policies = chain.policies();
        let trace = Trace {
            generation,
            generation_digest,
            canary: false,
            policies: Arc::clone(chain.refs()),
            // Most policies decide one hook.
            answers: Vec::with_capacity(policies.len()),
        };
        if policies.is_empty() {
            let detail = format!("the chain of `{}` names no policy", context.application);
            return Err((Denial::by_host(DenyCode::NoPolicy, detail), trace));
        }
        let slots = policies.iter().map(|policy| Slot { policy: Arc::clone(policy), sandbox: None }).collect();
        Ok(Self { context, slots, trace, denied: None, tally: None, matter: Matter::Way, who: None })
    }

    /// Has `tally` count it, once it is over and if a policy was asked at all.
    pub(super) fn counted_by(mut self, tally: &Arc<Tally>) -> Self {
        self.tally = Some(Arc::clone(tally));
        self
    }

    /// Which way? The first direction that is not `pass`.
    ///
    /// # Errors
    ///
    /// `no-route` where every policy passes; the broken contract or the failure otherwise.
    pub fn route(&mut self, attempt: &Attempt) -> Result<Direction, Denial> {
        const HOOK: Hook = Hook::Route;
        let (upstreams, failed) = (convert::strs(&attempt.upstreams), convert::strs(&attempt.failed));
        for index in self.with(HOOK) {
            let direction = self.ask(index, HOOK, |policy, context, sandbox| {
                let question = Question::new(policy, context, None, None);
                let params = question.params();
                let attempt = params.attempt(context, attempt, &upstreams, &failed);
                policy.hooks().route(sandbox, attempt)
            })?;
            let Some(direction) = convert::direction(direction) else {
                self.note(&"pass");
                continue;
            };
            self.note(&direction);
            self.hold(index, HOOK, contract::direction(&direction, attempt))?;
            return Ok(direction);
        }
        self.deny(Denial::by_host(DenyCode::NoRoute, "no policy of the chain gave a direction"))
    }

    /// May this identity log in?
    ///
    /// # Errors
    ///
    /// `policy-denied` with the policy's reason, `not-allowed` where nobody allowed, or
    /// the failure.
    pub fn admit(&mut self, identity: &VerifiedIdentity, account: Option<&Account>) -> Result<Admit, Denial> {
        self.admit_case(identity, account)
    }

    /// Who is it to the application?
    ///
    /// # Errors
    ///
    /// A broken contract or a failure.
    pub fn profile(&mut self, identity: &VerifiedIdentity, account: Option<&Account>) -> Result<Profile, Denial> {
        self.profile_case(identity, account, Profile::default())
    }

    /// Which groups? Already pruned by `rules`.
    ///
    /// # Errors
    ///
    /// A broken contract or a failure.
    pub fn groups(
        &mut self,
        identity: &VerifiedIdentity,
        account: Option<&Account>,
        profile: &Profile,
        rules: &Rules,
    ) -> Result<Plan, Denial> {
        self.groups_case(identity, account, profile, Plan::default(), rules)
    }

    /// May the account be created, updated, reactivated? The most restrictive answer.
    /// Where the chain has no such policy, an account may be created and updated, and not
    /// reactivated.
    ///
    /// # Errors
    ///
    /// A failure. A refusal to create is in the answer: the caller knows whether there is
    /// an account.
    pub fn provision(
        &mut self,
        identity: &VerifiedIdentity,
        account: Option<&Account>,
        profile: &Profile,
        plan: &Plan,
    ) -> Result<ProvisionTerms, Denial> {
        self.provision_case(identity, account, profile, plan)
    }

    /// For how long? Never more than `maximum`.
    ///
    /// # Errors
    ///
    /// A failure.
    pub fn session(
        &mut self,
        identity: &VerifiedIdentity,
        groups: &[String],
        maximum: SessionTerms,
    ) -> Result<SessionTerms, Denial> {
        self.session_case(identity, groups, maximum)
    }

    /// May this request pass? `Deny` comes back as `policy-denied`.
    ///
    /// # Errors
    ///
    /// `policy-denied` or a failure.
    pub fn access(
        &mut self,
        identity: &Identity,
        groups: &[String],
        request: &AccessRequest,
    ) -> Result<AccessVerdict, Denial> {
        const HOOK: Hook = Hook::Access;
        self.is_about(Matter::Request, identity);
        let groups = convert::strs(groups);
        let mut step_up: Option<StepUp> = None;
        for index in self.with(HOOK) {
            if !self.slots.get(index).is_some_and(|slot| slot.policy.asks_access(&request.path)) {
                continue;
            }
            let verdict = self.ask(index, HOOK, |policy, context, sandbox| {
                let question = Question::new(policy, context, Some(identity), None);
                let params = question.params();
                policy.hooks().access(
                    sandbox,
                    params.context(context),
                    params.identity(identity),
                    if policy.reads_groups(Groups::Granted) { &groups } else { &[] },
                    convert::request_param(request),
                )
            })?;
            let verdict = convert::access_verdict(verdict);
            self.note(&verdict);
            match verdict {
                AccessVerdict::Pass => {}
                AccessVerdict::Deny(reason) => return self.deny_by(index, HOOK, reason),
                AccessVerdict::Reauthenticate(StepUp { acr_values, max_age, reasons }) => {
                    let reasons_hold = reasons.iter().try_for_each(contract::reason);
                    self.hold(index, HOOK, reasons_hold.and_then(|()| contract::acr_values(&acr_values)))?;
                    let so_far = step_up.get_or_insert_default();
                    reasons.into_iter().for_each(|reason| add_step_up(so_far, acr_values.clone(), max_age, reason));
                }
            }
        }
        Ok(step_up.map_or(AccessVerdict::Pass, AccessVerdict::Reauthenticate))
    }

    /// Where does the logout end? The first policy that says so; none leaves it to the
    /// host. The target is not yet checked against the allowed ones.
    ///
    /// # Errors
    ///
    /// A failure.
    pub fn logout(&mut self, identity: &Identity, requested: Option<&str>) -> Result<Option<Ending>, Denial> {
        const HOOK: Hook = Hook::Logout;
        self.is_about(Matter::Request, identity);
        for index in self.with(HOOK) {
            let ending = self.ask(index, HOOK, |policy, context, sandbox| {
                let question = Question::new(policy, context, Some(identity), None);
                let params = question.params();
                policy.hooks().logout(sandbox, params.context(context), params.identity(identity), requested)
            })?;
            let ending = ending.map(convert::ending);
            self.note(&ending);
            if let Some(ending) = ending {
                self.hold(index, HOOK, contract::ending(&ending))?;
                return Ok(Some(ending));
            }
        }
        Ok(None)
    }

    /// Does a policy of the chain have `hook`?
    #[must_use]
    pub fn has(&self, hook: Hook) -> bool {
        self.slots.iter().any(|slot| slot.policy.manifest().hooks.contains(&hook))
    }

    /// Did a policy answer at `hook`?
    #[must_use]
    pub fn was_asked(&self, hook: Hook) -> bool {
        self.trace.answers.iter().any(|answer| answer.hook == hook)
    }

    /// What happened, for the audit.
    #[must_use]
    pub fn finish(mut self) -> Trace {
        self.count();
        std::mem::take(&mut self.trace)
    }

    /// The chain is a canary's.
    pub(super) fn of_canary(mut self) -> Self {
        self.trace.canary = true;
        self
    }

    fn is_about(&mut self, matter: Matter, identity: &Identity) {
        self.matter = matter;
        self.who = self.tally.as_ref().map(|tally| tally.who(identity));
    }

    /// Tells the tally, once.
    fn count(&mut self) {
        let Some(tally) = self.tally.take().filter(|_| !self.trace.answers.is_empty()) else { return };
        let fault = self.denied.as_ref().filter(|denied| denied.code.is_fault());
        let fault = fault.map(|denied| (denied.policy.as_deref().unwrap_or_default(), denied.code));
        let who = self.who.or_else(|| self.context.address.as_deref().map(|address| tally.who_at(address)));
        tally.note(&Seen { matter: self.matter, fault, who });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.count();
    }
}

// What cases, replays and benches may ask, too: their identity was verified by nobody, and
// no admission comes of it; and they may say what earlier policies left.
impl Run {
    /// As [`Run::admit`], for a policy's cases.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn admit_case(&mut self, identity: &Identity, account: Option<&Account>) -> Result<Admit, Denial> {
        const HOOK: Hook = Hook::Admit;
        self.is_about(Matter::Login, identity);
        let mut allowed = Vec::new();
        let mut step_up: Option<StepUp> = None;
        for index in self.with(HOOK) {
            let verdict = self.ask(index, HOOK, |policy, context, sandbox| {
                let question = Question::new(policy, context, Some(identity), account);
                let params = question.params();
                policy.hooks().admit(
                    sandbox,
                    params.context(context),
                    params.identity(identity),
                    params.account(account),
                )
            })?;
            let verdict = convert::verdict(verdict);
            self.note(&verdict);
            match verdict {
                Verdict::Pass => {}
                Verdict::Deny(reason) => return self.deny_by(index, HOOK, reason),
                Verdict::Allow(reason) => {
                    self.hold(index, HOOK, contract::reason(&reason))?;
                    allowed.push(reason);
                }
                Verdict::StepUp { acr_values, max_age, reason } => {
                    let checked = contract::reason(&reason).and_then(|()| contract::acr_values(&acr_values));
                    self.hold(index, HOOK, checked)?;
                    let so_far = step_up.get_or_insert_default();
                    add_step_up(so_far, acr_values, max_age, reason);
                }
            }
        }
        if allowed.is_empty() {
            return self.deny(Denial::by_host(DenyCode::NotAllowed, "no policy of the chain allowed the login"));
        }
        Ok(step_up.map_or(Admit::Allow(allowed), Admit::StepUp))
    }

    /// As [`Run::profile`], for cases: begins with what earlier policies left.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn profile_case(
        &mut self,
        identity: &Identity,
        account: Option<&Account>,
        mut so_far: Profile,
    ) -> Result<Profile, Denial> {
        const HOOK: Hook = Hook::Profile;
        for index in self.with(HOOK) {
            let profile = self.ask(index, HOOK, |policy, context, sandbox| {
                let question = Question::new(policy, context, Some(identity), account);
                let params = question.params();
                let attributes: Vec<Named<'_>> = so_far.attributes.iter().map(Named::of_claim).collect();
                let attributes = convert::params(&attributes);
                policy.hooks().profile(
                    sandbox,
                    params.context(context),
                    params.identity(identity),
                    params.account(account),
                    convert::profile_param(&so_far, &attributes),
                )
            })?;
            so_far = convert::profile(profile);
            self.note(&so_far);
            self.hold(index, HOOK, contract::profile(&so_far))?;
        }
        Ok(so_far)
    }

    /// As [`Run::groups`], for cases: begins with what earlier policies left.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn groups_case(
        &mut self,
        identity: &Identity,
        account: Option<&Account>,
        profile: &Profile,
        mut so_far: Plan,
        rules: &Rules,
    ) -> Result<Plan, Denial> {
        const HOOK: Hook = Hook::Groups;
        let attributes: Vec<Named<'_>> = profile.attributes.iter().map(Named::of_claim).collect();
        let attributes = convert::params(&attributes);
        for index in self.with(HOOK) {
            let plan = self.ask(index, HOOK, |policy, context, sandbox| {
                let question = Question::new(policy, context, Some(identity), account);
                let params = question.params();
                let (grants, exclude) = (convert::grant_params(&so_far), convert::strs(&so_far.exclude));
                policy.hooks().groups(
                    sandbox,
                    params.context(context),
                    params.identity(identity),
                    params.account(account),
                    convert::profile_param(profile, &attributes),
                    convert::plan_param(&so_far, &grants, &exclude),
                )
            })?;
            let mut plan = convert::plan(plan);
            self.note(&plan);
            let may_grant = self.slots.get(index).map(|slot| Arc::clone(&slot.policy));
            let may_grant = |group: &str| may_grant.as_ref().is_some_and(|policy| policy.may_grant(group));
            self.hold(index, HOOK, contract::plan(&plan, &so_far, may_grant))?;
            // What one policy excluded stays excluded: a later one may add, not take away.
            for group in so_far.exclude {
                if !plan.exclude.contains(&group) {
                    plan.exclude.push(group);
                }
            }
            self.note_dropped(&prune(&mut plan, rules));
            so_far = plan;
        }
        Ok(so_far)
    }

    /// As [`Run::provision`], for cases.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn provision_case(
        &mut self,
        identity: &Identity,
        account: Option<&Account>,
        profile: &Profile,
        plan: &Plan,
    ) -> Result<ProvisionTerms, Denial> {
        const HOOK: Hook = Hook::Provision;
        let attributes: Vec<Named<'_>> = profile.attributes.iter().map(Named::of_claim).collect();
        let attributes = convert::params(&attributes);
        let granted = convert::granted_params(plan);
        let mut together: Option<ProvisionTerms> = None;
        for index in self.with(HOOK) {
            let terms = self.ask(index, HOOK, |policy, context, sandbox| {
                let question = Question::new(policy, context, Some(identity), account);
                let params = question.params();
                policy.hooks().provision(
                    sandbox,
                    params.context(context),
                    params.identity(identity),
                    params.account(account),
                    convert::profile_param(profile, &attributes),
                    if policy.reads_groups(Groups::Granted) { &granted } else { &[] },
                )
            })?;
            let terms = convert::provision_terms(terms);
            self.note(&terms);
            self.hold(index, HOOK, terms.refuse_creation.as_ref().map_or(Ok(()), contract::reason))?;
            together = Some(match together {
                None => terms,
                Some(earlier) => ProvisionTerms {
                    refuse_creation: earlier.refuse_creation.or(terms.refuse_creation),
                    update_attributes: earlier.update_attributes.min(terms.update_attributes),
                    reactivate: earlier.reactivate && terms.reactivate,
                },
            });
        }
        Ok(together.unwrap_or(ProvisionTerms {
            refuse_creation: None,
            update_attributes: Update::EveryLogin,
            reactivate: false,
        }))
    }

    /// As [`Run::session`], for cases.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn session_case(
        &mut self,
        identity: &Identity,
        groups: &[String],
        maximum: SessionTerms,
    ) -> Result<SessionTerms, Denial> {
        const HOOK: Hook = Hook::Session;
        let groups = convert::strs(groups);
        let mut so_far = maximum;
        for index in self.with(HOOK) {
            let terms = self.ask(index, HOOK, |policy, context, sandbox| {
                let question = Question::new(policy, context, Some(identity), None);
                let params = question.params();
                policy.hooks().session(
                    sandbox,
                    params.context(context),
                    params.identity(identity),
                    if policy.reads_groups(Groups::Granted) { &groups } else { &[] },
                    convert::terms_param(so_far),
                )
            })?;
            let terms = convert::session_terms(&terms);
            self.note(&terms);
            let lifetime = terms.lifetime.min(so_far.lifetime);
            so_far = SessionTerms {
                lifetime,
                idle: terms.idle.min(so_far.idle).min(lifetime),
                remember: terms.remember && so_far.remember,
            };
        }
        Ok(so_far)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("login", &self.context.login).field("denied", &self.denied).finish_non_exhaustive()
    }
}

/// Step-ups add up: each one's `acr` values, and the newest authentication that any asks
/// for.
fn add_step_up(so_far: &mut StepUp, acr_values: Vec<String>, max_age: Option<u32>, reason: Reason) {
    for acr in acr_values {
        if !so_far.acr_values.contains(&acr) {
            so_far.acr_values.push(acr);
        }
    }
    so_far.max_age = match (so_far.max_age, max_age) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    so_far.reasons.push(reason);
}
