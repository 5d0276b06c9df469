//! A policy that is ready to decide, and the instances that are made of it.

use std::sync::Arc;

use serde_json::Value;

use super::{artifact::Component, engine::Engine, error::LoadError, manifest::Manifest};
use crate::decision::PolicyRef;

/// A component with its settings: configured, snapshotted, compiled.
#[derive(Debug)]
pub struct LoadedPolicy {}

impl LoadedPolicy {
    /// Makes `component` ready under the configured `name`. `settings` are what the
    /// operator wrote: a top-level key that they leave out takes the manifest's default.
    ///
    /// Takes up to the compile timeout: call it off the async threads.
    ///
    /// # Errors
    ///
    /// All problems of the settings at once, or the step that failed.
    pub fn load(
        _engine: &Engine,
        _name: &str,
        _component: &Component,
        _settings: &Value,
    ) -> Result<Arc<Self>, LoadError> {
        todo!()
    }

    /// How decisions name it.
    #[must_use]
    pub fn policy(&self) -> &PolicyRef {
        todo!()
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        todo!()
    }
}
