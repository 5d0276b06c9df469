//! The policies of one application, in order.

use std::sync::Arc;

use super::instance::LoadedPolicy;

/// The policies of one application, in order. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain(Arc<[Arc<LoadedPolicy>]>);

impl Chain {
    /// A chain of `policies`. An empty one denies everybody.
    #[must_use]
    pub fn new(policies: Vec<Arc<LoadedPolicy>>) -> Self {
        Self(policies.into())
    }

    /// The policies, in order.
    #[must_use]
    pub fn policies(&self) -> &[Arc<LoadedPolicy>] {
        &self.0
    }

    /// Does a policy of the chain want to be asked about `path`?
    #[must_use]
    pub fn asks_access(&self, path: &str) -> bool {
        self.0.iter().any(|policy| policy.asks_access(path))
    }
}
