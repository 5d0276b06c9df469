//! Generations: policies, settings and configuration as one immutable whole behind one
//! pointer.

use std::{path::Path, sync::Arc};

use super::Run;
use crate::{
    config::Config,
    decision::{Context, Denial, Trace},
};

/// Policies, their settings and the configuration that names them, immutable.
#[derive(Debug)]
pub struct Generation {}

impl Generation {
    /// Counts up from 1 within one run of the gateway.
    #[must_use]
    pub fn number(&self) -> u64 {
        todo!()
    }

    /// sha-256 over all that the generation is made of, in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        todo!()
    }

    /// The configuration of this generation.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        todo!()
    }

    /// Begins one decision for `context.application`: a fresh sandbox, made when a hook is
    /// first asked and dropped with the [`Run`].
    ///
    /// # Errors
    ///
    /// `unknown-application`, `no-policy`, `chain-unavailable` or `overloaded`.
    pub fn begin(self: &Arc<Self>, _context: Context) -> Result<Run, (Denial, Trace)> {
        todo!()
    }

    /// Does a policy of the application's chain want to be asked about `path`?
    #[must_use]
    pub fn asks_access(&self, _application: &str, _path: &str) -> bool {
        todo!()
    }
}

/// The generation in force, those that logins under way still hold, and how to get a new
/// one.
#[derive(Debug)]
pub struct Generations {}

impl Generations {
    /// The generation in force. Wait-free.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        todo!()
    }

    /// A generation by its number, while a login that it began may still be under way.
    #[must_use]
    pub fn by_number(&self, _number: u64) -> Option<Arc<Generation>> {
        todo!()
    }

    /// Where the configuration is.
    #[must_use]
    pub fn path(&self) -> &Path {
        todo!()
    }
}
