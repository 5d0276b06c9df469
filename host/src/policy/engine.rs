//! The engines: one that decides, one that configures, and the clock of both.

use super::{cache::Cache, error::EngineError};
use crate::config::Limits;

/// Everything that policies share: compiler, pool of instances, deadlines, cache.
#[derive(Clone, Debug)]
pub struct Engine {}

impl Engine {
    /// Sets up the sandbox for `limits`.
    ///
    /// # Errors
    ///
    /// Where a limit makes no sense, or the machine does not give what is needed.
    pub fn new(_limits: &Limits, _cache: Option<Cache>) -> Result<Self, EngineError> {
        todo!()
    }

    /// The limits that it holds policies to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        todo!()
    }
}
