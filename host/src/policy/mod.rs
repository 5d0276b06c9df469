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
mod compiler;
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
mod project;
mod properties;
mod rlimits;
mod run;
mod schema;
mod settings;
mod settings_file;
mod signed;
mod snapshot;
mod tally;
mod versions;
mod watch;
mod worker;

pub use artifact::{Component, Form};
pub use build::{BuildError, BuildOptions, Built, Source, ToolchainError, build};
pub use cache::{Cache, CacheError};
pub use cases::{
    Bench, BenchError, CASES_SECTION, Call, CallFailed, Called, CaseError, CaseResult, Cases, bench, test,
};
pub use chain::Chain;
pub use compiler::{COMMAND as COMPILE_WORKER, Compiler, compile_worker};
pub use engine::Engine;
use error::NO_WASI;
pub use error::{EngineError, LoadError, ManifestError, SettingsProblem};
pub use event::{CanaryEnded, Cause, GenerationEvent, Outcome, PolicyProblem, RolledBack};
pub use generation::{
    Generation, Generations, Listed, ListedCanary, Listener, Listing, RollbackError, SetAside, problems,
};
pub use instance::LoadedPolicy;
pub use manifest::{Language, Manifest, SECTION as MANIFEST_SECTION};
pub use project::{ProjectError, new_project};
pub use properties::{
    CORPUS_INPUTS_MAX, Corpus, Counterexample, DiffError, Difference, Differences, PROPERTIES_SECTION, Properties,
    PropertyResult, Search, Side, Stated, Weight, check, diff,
};
pub use run::Run;
pub use settings_file::SettingsFile;
pub use signed::{
    Fault, SIGNATURES_BYTES_MAX, STATEMENT_BYTES_MAX, SignatureError, Statement, described as described_key,
    signatures_path, signers, statement_path, verify_signed,
};
pub use tally::{Failed, Failing, Matter};
pub use versions::{Versions, VersionsError, allow_downgrade};
pub use watch::{Watch, WatchError};

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
pub(crate) mod testing;
