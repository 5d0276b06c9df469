//! The policies of one application, in order.

use std::sync::Arc;

use super::instance::LoadedPolicy;
use crate::{
    config::Limits,
    decision::{Allowance, Hook, Ingredient, PolicyRef, Recipe},
};

/// The policies of one application, in order. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    policies: Arc<[Arc<LoadedPolicy>]>,
    refs: Arc<[PolicyRef]>,
}

impl Chain {
    /// A chain of `policies`. An empty one denies everybody.
    #[must_use]
    pub fn new(policies: Vec<Arc<LoadedPolicy>>) -> Self {
        let refs = policies.iter().map(|policy| policy.policy().clone()).collect();
        Self { policies: policies.into(), refs }
    }

    /// The policies, in order.
    #[must_use]
    pub fn policies(&self) -> &[Arc<LoadedPolicy>] {
        &self.policies
    }

    /// How decisions name them, in the same order.
    pub(crate) fn refs(&self) -> &Arc<[PolicyRef]> {
        &self.refs
    }

    /// What it is made of, where it decides for `application` in a generation of this digest.
    pub(crate) fn recipe(&self, generation: Arc<str>, application: &str, limits: &Limits) -> Recipe {
        let ingredient = |policy: &Arc<LoadedPolicy>| Ingredient {
            policy: policy.policy().clone(),
            settings: Arc::clone(policy.settings()),
        };
        Recipe {
            generation,
            application: application.to_owned(),
            policies: self.policies.iter().map(ingredient).collect(),
            limits: Allowance {
                fuel: limits.fuel,
                memory_bytes: limits.memory_bytes_max,
                table_elements: limits.table_elements_max,
                stack_bytes: limits.stack_bytes_max,
                output_bytes: limits.output_bytes_max,
                log_lines: limits.log_lines_max,
                log_line_bytes: limits.log_line_bytes_max,
            },
        }
    }

    /// Does a policy of the chain have `hook`?
    #[must_use]
    pub fn has(&self, hook: Hook) -> bool {
        self.policies.iter().any(|policy| policy.manifest().hooks.contains(&hook))
    }

    /// Does a policy of the chain want to be asked about `path`?
    #[must_use]
    pub fn asks_access(&self, path: &str) -> bool {
        self.policies.iter().any(|policy| policy.asks_access(path))
    }
}
