//! The sandbox: policies from file to decision. The only module that knows wasmtime.
//!
//! *bytes → [`Component`] (size, imports, manifest) → [`LoadedPolicy`] (settings, `configure`,
//! snapshot, native code) → [`Chain`] → [`Generation`] → [`Run`] → answers.*

mod artifact;
mod assemble;
mod bindings;
mod build;
mod cache;
mod cases;
mod chain;
mod contract;
mod convert;
mod engine;
mod error;
mod event;
#[cfg(test)]
mod fixture;
mod generation;
mod hooks;
mod instance;
mod json;
mod limits;
mod locate;
mod manifest;
mod paths;
mod run;
mod schema;
mod settings;
mod snapshot;
mod watch;
mod worker;

pub use artifact::{Component, Form};
pub use build::{BuildError, BuildOptions, Built, Source, ToolchainError, build};
pub use cache::{Cache, CacheError};
pub use cases::{CASES_SECTION, CaseError, CaseResult, Cases, test};
pub use chain::Chain;
pub use engine::Engine;
use error::NO_WASI;
pub use error::{EngineError, LoadError, ManifestError, SettingsProblem};
pub use event::{Cause, GenerationEvent, Outcome, PolicyProblem};
pub use generation::{Generation, Generations, Listener, problems};
pub use instance::LoadedPolicy;
pub use manifest::{Manifest, SECTION as MANIFEST_SECTION};
pub use run::Run;
pub use watch::{Watch, WatchError};

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
pub(crate) mod testing;
