//! The hooks in their order, with the host's contracts between them: from a question to what comes of it.
//!
//! Decides nothing that takes effect and writes nothing: [`super::decide`] makes of a yes what it is, and
//! [`super::again`] asks a second time. What must be looked up on the way comes from a [`Ground`].

use std::{cell::OnceCell, collections::BTreeSet, sync::Arc};

use super::{
    contracts::{hold_account_contracts, hold_assertion_contracts, hold_identity_contracts, hold_profile_contracts},
    directory::{Directories, Directory},
};
use crate::{
    config::{Application, Config},
    decision::{
        Account, Admit, Bounds, Conclusion, Denial, DenyCode, Found, Granted, Held, Hook, Plan, Profile, Rules, Search,
        SessionTerms, StepUp, difference,
    },
    identity::Identity,
    policy::Run,
};

/// What is asked, beside the context that the [`Run`] has.
pub(super) struct Inquiry<'a> {
    pub(super) identity: &'a Identity,
    pub(super) held: &'a Held,
    pub(super) may_step_up: bool,
    /// Seconds since the identity was proved.
    pub(super) elapsed: u32,
}

/// What the host knows of the application and its accounts. Each method is called at most once for a login,
/// in this order, and only as far as the login gets.
pub(super) trait Ground {
    /// May this upstream speak for this identity here?
    fn hold_identity(&self, identity: &Identity) -> Result<(), Denial>;

    /// What the application is told where no policy says anything.
    fn profile(&self, _: &Identity) -> Profile {
        Profile::default()
    }

    /// The groups that are granted where no policy says anything.
    fn plan(&self, _: &Identity) -> Plan {
        Plan::default()
    }

    /// The account that is linked to the identity.
    fn linked(&self, identity: &Identity) -> Result<Option<Account>, Denial>;

    /// May the application be told this profile?
    fn hold_profile(&self, profile: &Profile, identity: &Identity) -> Result<(), Denial>;

    /// The account that the profile's key finds.
    fn matched(&self, profile: &Profile, identity: &Identity) -> Result<Option<Account>, Denial>;

    /// What holds of the groups, whatever a policy says.
    fn rules(&self) -> Rules;

    /// Is it known which accounts there are?
    fn has_directory(&self) -> bool;

    /// What every session is clamped to.
    fn bounds(&self) -> Bounds;
}

/// What came of it.
pub(super) struct Judged {
    pub(super) conclusion: Conclusion,
    pub(super) found: Found,
    /// The groups that the application knows, where it got so far.
    pub(super) known: Option<BTreeSet<String>>,
}

/// What the policies came to.
enum Answers {
    StepUp(StepUp),
    Yes(Box<Granted>),
}

/// Contracts and hooks in their order, then the host's own say on time.
pub(super) fn judge(run: &mut Run, ground: &impl Ground, inquiry: &Inquiry<'_>) -> Judged {
    let mut judged = Judged {
        conclusion: Conclusion::Stale,
        found: Found { bounds: ground.bounds(), has_directory: ground.has_directory(), ..Found::default() },
        known: None,
    };
    judged.conclusion = match ask(run, ground, inquiry, &mut judged) {
        Err(denial) => Conclusion::Denied(denial),
        Ok(Answers::StepUp(step_up)) if inquiry.may_step_up => Conclusion::StepUp(step_up),
        Ok(Answers::StepUp(step_up)) => Conclusion::Denied(unmet(&step_up)),
        Ok(Answers::Yes(granted)) => settle(*granted, &judged.found.bounds, run, inquiry.elapsed),
    };
    judged
}

fn ask(run: &mut Run, ground: &impl Ground, inquiry: &Inquiry<'_>, judged: &mut Judged) -> Result<Answers, Denial> {
    let identity = inquiry.identity;
    let found = &mut judged.found;
    noted(ground.hold_identity(identity), &mut found.identity)?;
    if *inquiry.held == Held::TooOld {
        return Err(Denial::by_host(DenyCode::StepUpUnmet, "the upstream did not authenticate the subject anew"));
    }
    let linked = found.linked.insert(ground.linked(identity)).clone()?;
    match run.admit_case(identity, linked.as_ref())? {
        Admit::StepUp(step_up) => return Ok(Answers::StepUp(step_up)),
        Admit::Allow(_) => {}
    }
    if let Held::SecondFactorDue(step_up) = inquiry.held {
        return Ok(Answers::StepUp(step_up.clone()));
    }
    let profile = run.profile_case(identity, linked.as_ref(), ground.profile(identity))?;
    noted(ground.hold_profile(&profile, identity), &mut found.profile)?;
    let account = match linked {
        Some(linked) => Some(linked),
        None => {
            let search = Search { key: profile.match_key.clone(), found: ground.matched(&profile, identity) };
            found.account.insert(search).found.clone()?
        }
    };
    let rules = ground.rules();
    found.reached_groups = true;
    found.protected.clone_from(&rules.protected);
    let plan = run.groups_case(identity, account.as_ref(), &profile, ground.plan(identity), &rules)?;
    let groups = difference(&plan, account.as_ref(), &rules);
    judged.known = rules.known;
    let terms = run.provision_case(identity, account.as_ref(), &profile, &plan)?;
    hold_account_contracts(found.has_directory, account.as_ref(), &profile, &terms)?;
    let terms = run.session_case(identity, &groups.groups, maximum(&found.bounds))?;
    Ok(Answers::Yes(Box::new(Granted { profile, groups, terms })))
}

fn noted(held: Result<(), Denial>, place: &mut Option<Denial>) -> Result<(), Denial> {
    *place = held.as_ref().err().cloned();
    held
}

/// What every policy's answer is clamped to.
fn maximum(bounds: &Bounds) -> SessionTerms {
    let lifetime = if bounds.remember { bounds.remember_lifetime.max(bounds.lifetime) } else { bounds.lifetime };
    SessionTerms { lifetime, idle: bounds.idle, remember: bounds.remember }
}

/// A session's time counts from the proof.
fn settle(mut granted: Granted, bounds: &Bounds, run: &Run, elapsed: u32) -> Conclusion {
    let terms = settle_terms(granted.terms, bounds, run.was_asked(Hook::Session));
    match terms.lifetime.checked_sub(elapsed) {
        Some(lifetime) if lifetime > 0 => {
            granted.terms = SessionTerms { lifetime, ..terms };
            Conclusion::Admitted(Box::new(granted))
        }
        _ if elapsed > 0 => Conclusion::Stale,
        _ => Conclusion::Denied(Denial::by_host(DenyCode::SessionTooShort, "the session would have no lifetime")),
    }
}

/// Carries out the terms. A session is remembered only where a policy had the say and
/// said so; one that is not has the ordinary maximum; one that is may be left alone for
/// its whole life, unless a policy shortened the idle time.
fn settle_terms(terms: SessionTerms, bounds: &Bounds, somebody_said_so: bool) -> SessionTerms {
    let remember = terms.remember && bounds.remember && somebody_said_so;
    if remember {
        let lifetime = terms.lifetime.min(bounds.remember_lifetime.max(bounds.lifetime));
        let idle = if terms.idle < bounds.idle { terms.idle } else { lifetime };
        SessionTerms { lifetime, idle, remember }
    } else {
        let lifetime = terms.lifetime.min(bounds.lifetime);
        SessionTerms { lifetime, idle: terms.idle.min(bounds.idle), remember }
    }
}

fn unmet(step_up: &StepUp) -> Denial {
    let mut denial = Denial::by_host(DenyCode::StepUpUnmet, "the upstream gave no stronger proof");
    if let Some(reason) = step_up.reasons.first() {
        denial.reason.detail = format!("{}: {}", denial.reason.detail, reason.code);
    }
    denial
}

/// The application as it is configured, and its accounts as they are now.
pub(super) struct Live<'a> {
    config: &'a Config,
    application: &'a Application,
    directories: &'a Directories,
    directory: OnceCell<Result<Option<Arc<Directory>>, Denial>>,
}

impl<'a> Live<'a> {
    pub(super) fn new(config: &'a Config, application: &str, directories: &'a Directories) -> Result<Self, Denial> {
        let application = config
            .applications
            .get(application)
            .ok_or_else(|| Denial::by_host(DenyCode::UnknownApplication, "not in the configuration"))?;
        Ok(Self { config, application, directories, directory: OnceCell::new() })
    }

    pub(super) const fn protected(&self) -> &'a BTreeSet<String> {
        &self.application.protected_groups
    }

    /// Read once in a login, so that its hooks see one state of it.
    fn directory(&self) -> Result<Option<Arc<Directory>>, Denial> {
        let read = || {
            let Some(path) = &self.application.directory else { return Ok(None) };
            let read = self.directories.read(path);
            read.map(Some).map_err(|error| Denial::by_host(DenyCode::DirectoryUnavailable, describe(&error)))
        };
        self.directory.get_or_init(read).clone()
    }
}

impl Ground for Live<'_> {
    fn hold_identity(&self, identity: &Identity) -> Result<(), Denial> {
        hold_identity_contracts(self.config, self.application, identity)
    }

    fn linked(&self, identity: &Identity) -> Result<Option<Account>, Denial> {
        self.directory()?.map_or(Ok(None), |directory| directory.linked(identity))
    }

    fn hold_profile(&self, profile: &Profile, identity: &Identity) -> Result<(), Denial> {
        hold_profile_contracts(self.config, profile, identity)?;
        hold_assertion_contracts(self.application, profile)
    }

    fn matched(&self, profile: &Profile, identity: &Identity) -> Result<Option<Account>, Denial> {
        let upstream = hold_profile_contracts(self.config, profile, identity)?;
        match (self.directory()?, &profile.match_key) {
            (Some(directory), Some(key)) => directory.matched(key, identity, upstream),
            _ => Ok(None),
        }
    }

    fn rules(&self) -> Rules {
        let directory = self.directory().ok().flatten();
        Rules {
            protected: self.application.protected_groups.clone(),
            known: directory.and_then(|directory| directory.groups.clone()),
        }
    }

    fn has_directory(&self) -> bool {
        self.application.directory.is_some()
    }

    fn bounds(&self) -> Bounds {
        let session = &self.config.session;
        Bounds {
            lifetime: session.lifetime,
            idle: session.idle,
            remember_lifetime: session.remember_lifetime,
            remember: session.remember,
        }
    }
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
