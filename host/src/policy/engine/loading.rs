//! The engines of a gateway without a compiler: they run native code that was made elsewhere.

use wasmtime::Config;

use super::{Engine, Purpose};
use crate::{
    config::Limits,
    policy::{cache::Cache, error::EngineError},
};

/// wasmtime tells its hash to those that compile; its own check holds native code to everything that is in it.
pub(crate) struct Compatibility;

/// There is nothing to compile with.
pub(super) struct Means;

impl Engine {
    /// Sets up the sandbox for `limits`. A cache is of no use.
    ///
    /// # Errors
    ///
    /// Where a limit makes no sense, or the machine does not give what is needed.
    pub fn of_gateway(limits: &Limits, _cache: Option<Cache>) -> Result<Self, EngineError> {
        Self::with_means(limits, Means)
    }
}

pub(super) fn compatibility(_engine: &wasmtime::Engine) -> Compatibility {
    Compatibility
}

pub(super) fn set_up(_config: &mut Config, _purpose: Purpose) {}
