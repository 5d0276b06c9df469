//! The sandbox: policies from file to decision. The only module that knows wasmtime.
//!
//! *bytes → [`Component`] (size, imports, manifest) → [`LoadedPolicy`] (settings, `configure`,
//! snapshot, native code) → [`Chain`] → [`Generation`] → [`Run`] → answers.*
//!
//! Without the feature `compiler` there is no way from a component to native code, and [`Pack`]s take its place.

mod artifact;
mod assemble;
mod bindings;
mod cache;
mod case_files;
mod chain;
mod configurable;
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
mod pack;
mod paths;
mod run;
mod schema;
mod settings;
mod signed;
mod tally;
mod unpack;
mod versions;
mod watch;
mod worker;

// What an edge node does not do: from source to component, from component to native code.
#[cfg(feature = "compiler")]
mod build;
#[cfg(feature = "compiler")]
mod cases;
#[cfg(feature = "compiler")]
mod compiler;
#[cfg(feature = "compiler")]
mod load;
#[cfg(feature = "compiler")]
mod project;
#[cfg(feature = "compiler")]
mod properties;
#[cfg(feature = "compiler")]
mod rlimits;
#[cfg(feature = "compiler")]
mod settings_file;
#[cfg(feature = "compiler")]
mod snapshot;

pub use artifact::{CASES_SECTION, Component, Form, PROPERTIES_SECTION};
#[cfg(feature = "compiler")]
pub use build::{BuildError, BuildOptions, Built, Source, ToolchainError, build};
pub use cache::{Cache, CacheError};
#[cfg(feature = "compiler")]
pub use cases::{Bench, BenchError, Call, CallFailed, Called, CaseError, CaseResult, Cases, bench, test};
pub use chain::Chain;
#[cfg(feature = "compiler")]
pub use compiler::{COMMAND as COMPILE_WORKER, Compiler, compile_worker};
pub use engine::Engine;
pub use error::{EngineError, LoadError, ManifestError, SettingsProblem};
pub use event::{CanaryEnded, Cause, GenerationEvent, Outcome, PolicyProblem, RolledBack};
pub use generation::{
    Generation, Generations, Listed, ListedCanary, Listener, Listing, RollbackError, SetAside, problems,
};
pub use instance::LoadedPolicy;
pub use manifest::{Language, Manifest, SECTION as MANIFEST_SECTION};
#[cfg(feature = "compiler")]
pub use pack::{Draft, PackingError};
pub use pack::{
    MadeFor, Pack, PackError, PackStatement, PackedPolicy, Shape, statement_and_signatures, with_signatures,
};
#[cfg(feature = "compiler")]
pub use project::{ProjectError, new_project};
#[cfg(feature = "compiler")]
pub use properties::{
    CORPUS_INPUTS_MAX, Corpus, Counterexample, DiffError, Difference, Differences, Properties, PropertyResult, Search,
    Side, Stated, Weight, check, diff,
};
pub use run::Run;
#[cfg(feature = "compiler")]
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
