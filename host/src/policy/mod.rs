//! The sandbox: policies from file to decision. The only module that knows wasmtime.
//!
//! *bytes → [`Component`] (size, imports, manifest) → [`LoadedPolicy`] (settings, `configure`,
//! snapshot, native code) → [`Chain`] → [`Generation`] → [`Run`] → answers.*

mod artifact;
mod bindings;
mod cache;
mod chain;
mod contract;
mod convert;
mod engine;
mod error;
mod generation;
mod hooks;
mod instance;
mod limits;
mod manifest;
mod run;
mod settings;
mod snapshot;
mod worker;

pub use artifact::Component;
pub use cache::{Cache, CacheError};
pub use chain::Chain;
pub use engine::Engine;
pub use error::{EngineError, LoadError, ManifestError, SettingsProblem};
pub use generation::{Generation, Generations};
pub use instance::LoadedPolicy;
pub use manifest::{Manifest, SECTION as MANIFEST_SECTION};
pub use run::Run;
