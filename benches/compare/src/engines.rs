//! Each engine, loaded once with the rules, then asked about one login after the other. What it takes to hand over the
//! login is part of each question, and so is whatever the engine makes anew for it.
//!
//! Each gets what the rules need of the same [`Identity`] and nothing else, and has every limit switched on that it
//! knows, as a gateway would have to: ours always has them.

mod cedar;
mod cel;
mod rego;
mod rhai;

use std::{fs, path::Path, sync::Arc, time::Duration};

use vestibule::{
    config::Limits,
    decision::{Context, Plan, Profile, Rules},
    identity::Identity,
    policy::{Chain, Component, Engine, LoadedPolicy, Run},
};
use vestibule_policy::prelude::{self as sdk, Admit as _, AssignGroups as _};

pub use self::{cedar::Cedar, cel::Cel, rego::Rego, rhai::Rhai};
use crate::{
    login::{Decision, groups, settings},
    native::Compared,
};

/// What a guest of ours may take of the wall's clock; the others get the same, where they know a time limit.
const DEADLINE: Duration = Duration::from_millis(50);

fn rule(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(name)).expect("the rules")
}

/// Answers about logins.
pub trait Decide {
    /// One decision.
    fn decide(&mut self, identity: &Identity) -> Decision;

    /// The memory that is set apart for one question, in bytes; none where questions share the process's.
    fn sandbox_bytes(&self) -> Option<usize> {
        None
    }
}

/// A component, as the gateway runs it: a fresh sandbox, contracts, trace.
pub struct Sandboxed {
    chain: Chain,
    bytes: usize,
}

impl Sandboxed {
    /// Loads the component at `path`, where there is one.
    #[must_use]
    pub fn load(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let engine = Engine::new(&Limits::default(), None).expect("the sandbox can be set up");
        let component = Component::check(&engine, &bytes).expect("the component is a policy");
        let policy = LoadedPolicy::load(&engine, "compared", &component, &settings()).expect("the settings fit");
        Some(Self { bytes: policy.memory_bytes(), chain: Chain::new(vec![policy]) })
    }
}

impl Decide for Sandboxed {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let context = Context {
            login: "0123456789abcdef".into(),
            at: 1_700_000_000,
            tenant: "default".into(),
            application: "wiki".into(),
            ..Context::default()
        };
        let mut run = Run::new(&self.chain, context, 1, Arc::from("digest")).expect("the chain is not empty");
        run.admit_case(identity, None).ok()?;
        let plan = run
            .groups_case(identity, None, &Profile::default(), Plan::default(), &Rules::default())
            .expect("there is a plan");
        Some(plan.grants.into_iter().map(|grant| grant.group).collect())
    }

    fn sandbox_bytes(&self) -> Option<usize> {
        Some(self.bytes)
    }
}

/// The guest's source, called as a library.
pub struct Native(Compared);

impl Native {
    /// With the settings.
    #[must_use]
    pub fn new() -> Self {
        Self(vestibule_policy::testing::configure(&settings()).expect("the settings fit"))
    }
}

impl Default for Native {
    fn default() -> Self {
        Self::new()
    }
}

impl Decide for Native {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let context = sdk::Context::default();
        let identity = sdk::Identity {
            email: identity
                .email
                .as_ref()
                .map(|email| sdk::Email { address: email.address.clone(), verified: email.verified }),
            groups: sdk::GroupClaim::Listed(groups(identity).to_vec()),
            ..sdk::Identity::default()
        };
        let verdict = self.0.decide(&context, &identity, None).expect("it decides");
        if !matches!(verdict, vestibule_policy::admit::Verdict::Allow(_)) {
            return None;
        }
        let plan = self
            .0
            .assign(&context, &identity, None, &sdk::Profile::default(), sdk::Plan::default())
            .expect("there is a plan");
        Some(plan.grants.into_iter().map(|grant| grant.group).collect())
    }
}
