//! The policies of one application, in order.

use std::sync::Arc;

use super::instance::LoadedPolicy;

/// The policies of one application, in order. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {}

impl Chain {
    /// A chain of `policies`. An empty one denies everybody.
    #[must_use]
    pub fn new(_policies: Vec<Arc<LoadedPolicy>>) -> Self {
        todo!()
    }

    /// The policies, in order.
    #[must_use]
    pub fn policies(&self) -> &[Arc<LoadedPolicy>] {
        todo!()
    }

    /// Does a policy of the chain want to be asked about `path`?
    #[must_use]
    pub fn asks_access(&self, _path: &str) -> bool {
        todo!()
    }
}
