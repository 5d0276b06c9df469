//! Chains that decide for some subjects of an application. For whom is not decided here.
//!
//! A canary is over when its policies fail too often (`[policies.rollback]`): everybody is decided by the
//! application's own chain then. It stays so as long as its chain is the same, whatever else changes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{ChainState, Generation, Ready, chain, in_force::InForce};
use crate::{
    config::Config,
    decision::{Context, Denial, Recipe, Trace},
    policy::{Run, event::PolicyProblem, tally::Tally},
};

/// What a recording names a canary's chain by, after the generation's digest.
const SUFFIX: &str = "+canary";

/// One application's canary in one generation.
#[derive(Debug)]
pub(super) struct Canary {
    chain: ChainState,
    /// None where the chain could not be loaded.
    recipe: Option<Arc<Recipe>>,
    pub(super) state: Arc<State>,
}

/// How it does; the same for all generations that have this chain.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tally: Arc<Tally>,
    is_over: AtomicBool,
}

impl State {
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// The canaries that `config` has.
pub(super) fn canaries(
    config: &Config,
    digest: &str,
    ready: &BTreeMap<String, Ready>,
    failed: &BTreeMap<String, Vec<PolicyProblem>>,
) -> BTreeMap<String, Canary> {
    let canary = |(id, application): (&String, &crate::config::Application)| {
        let chain = chain(&application.canary.as_ref()?.chain, ready, failed);
        let recipe = match &chain {
            ChainState::Ready(chain) => {
                let of = Arc::from(format!("{digest}{SUFFIX}"));
                Some(Arc::new(chain.recipe(of, id, &config.policies.limits)))
            }
            ChainState::Unavailable(_) => None,
        };
        Some((id.clone(), Canary { chain, recipe, state: Arc::default() }))
    };
    config.applications.iter().filter_map(canary).collect()
}

impl Canary {
    /// Why it decides for nobody, where its policies could not be loaded.
    pub(super) fn unavailable(&self) -> Option<&str> {
        match &self.chain {
            ChainState::Ready(_) => None,
            ChainState::Unavailable(why) => Some(why),
        }
    }

    /// Goes on where the canary of the generation before was, if it is the same one.
    pub(super) fn follow(&mut self, before: &Self) {
        if let (ChainState::Ready(chain), ChainState::Ready(other)) = (&self.chain, &before.chain)
            && chain.refs() == other.refs()
        {
            self.state = Arc::clone(&before.state);
        }
    }
}

impl Generation {
    /// Does a canary decide for some subjects of the application?
    #[must_use]
    pub fn has_canary(&self, application: &str) -> bool {
        self.canaries
            .get(application)
            .is_some_and(|canary| matches!(canary.chain, ChainState::Ready(_)) && !canary.state.is_over())
    }

    /// As [`Generation::begin`], by the canary's chain; by the application's own where there is no canary.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn begin_canary(self: &Arc<Self>, context: Context) -> Result<Run, (Denial, Trace)> {
        match self.canaries.get(&context.application) {
            Some(Canary { chain: ChainState::Ready(chain), state, .. }) if !state.is_over() => {
                let run = Run::new(chain, context, self.number, Arc::clone(&self.digest))?;
                Ok(run.counted_by(&state.tally).of_canary())
            }
            _ => self.begin(context),
        }
    }

    /// What the canary's chain is made of; none where there is none.
    #[must_use]
    pub fn canary_recipe(&self, application: &str) -> Option<&Arc<Recipe>> {
        self.canaries.get(application)?.recipe.as_ref()
    }
}

impl InForce {
    /// Counts how often the canaries' policies fail, for as long as there are terms.
    pub(super) fn watch_canaries(self: &Arc<Self>, generation: &Generation) {
        let Some(terms) = &generation.config.policies.rollback else { return };
        for (application, canary) in &generation.canaries {
            let (this, application) = (Arc::downgrade(self), application.clone());
            // Not the state itself, which has the tally that keeps this.
            let state = Arc::downgrade(&canary.state);
            canary.state.tally.watch(
                terms.clone(),
                || true,
                move |failed| {
                    let (Some(this), Some(state)) = (this.upgrade(), state.upgrade()) else { return };
                    state.is_over.store(true, Ordering::Relaxed);
                    this.canary_is_over(&application, failed);
                },
            );
        }
    }
}
