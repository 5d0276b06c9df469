//! What is to be asked: another configuration, or the present one with some of its policies replaced.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    config::{self, Config, Diagnostics},
    policy::{Engine, EngineError, Generation, PolicyProblem},
};

/// The name that makes a folder a configuration of its own.
const CONFIGURATION: &str = "vestibule.toml";

/// A machine that is busy elsewhere must not change what comes out: only the fuel ends a loop.
const DEADLINE: Duration = Duration::from_secs(600);

/// Nobody waits at a login for it.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);

/// The candidate cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CandidateError {
    /// A configuration is refused.
    #[error("the configuration is refused")]
    Configuration(Diagnostics),
    /// The folder replaces nothing.
    #[error("{folder} has no NAME.wasm, NAME.toml or NAME.json that would replace a policy's component or settings")]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// The sandbox cannot be set up.
    #[error("failed to make the sandbox")]
    Engine(#[from] EngineError),
    /// The folder or a file in it cannot be read.
    #[error("failed to read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file in the folder replaces nothing: probably its name is misspelt.
    #[error("{file} replaces nothing: expected NAME.wasm, NAME.toml or NAME.json with NAME one of {}", .policies.join(", "))]
    Foreign {
        /// The file.
        file: PathBuf,
        /// The policies that the configuration names.
        policies: Vec<String>,
    },
    /// Two files would be one policy's settings.
    #[error("{file} and another file of that name would both be settings of the policy {policy}")]
    Twice {
        /// One of them.
        file: PathBuf,
        /// The policy.
        policy: String,
    },
    /// Policies of the candidate cannot be loaded.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Policies(Vec<PolicyProblem>),
}

/// Reads the candidate's configuration: `candidate` itself where it is a file or holds a `vestibule.toml`;
/// otherwise `present`, with the components (`NAME.wasm`) and settings (`NAME.toml`, `NAME.json`) of the folder in
/// the place of those of `[policies.NAME]`.
///
/// # Errors
///
/// Where it cannot be read, or where a file in the folder replaces nothing.
pub fn read(present: &Path, candidate: &Path) -> Result<Config, CandidateError> {
    let own = candidate.join(CONFIGURATION);
    if candidate.is_file() {
        return config::load(candidate).map_err(CandidateError::Configuration);
    }
    if own.is_file() {
        return config::load(&own).map_err(CandidateError::Configuration);
    }
    let mut config = config::load(present).map_err(CandidateError::Configuration)?;
    let fault = |path: &Path| {
        let path = path.to_owned();
        |source| CandidateError::File { path, source }
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(candidate).map_err(fault(candidate))? {
        files.push(entry.map_err(fault(candidate))?.path());
    }
    files.sort();
    let mut settings_of: Vec<String> = Vec::new();
    let mut replaced = 0;
    for file in files {
        let part = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let (name, extension) =
            (part(file.file_stem()).unwrap_or_default(), part(file.extension()).unwrap_or_default());
        // Cases lie beside a component.
        if extension == "cases" && file.is_dir() {
            continue;
        }
        let policies = config.policies.sources.keys().cloned().collect();
        let Some(source) = config.policies.sources.get_mut(&name) else {
            return Err(CandidateError::Foreign { file, policies });
        };
        match extension.as_str() {
            "wasm" => {
                source.component = file;
                // It is another one on purpose.
                source.digest = None;
            }
            "toml" | "json" if settings_of.contains(&name) => {
                return Err(CandidateError::Twice { file, policy: name });
            }
            "toml" | "json" => {
                source.settings = Some(file);
                settings_of.push(name);
            }
            _ => return Err(CandidateError::Foreign { file, policies }),
        }
        replaced += 1;
    }
    if replaced == 0 {
        return Err(CandidateError::Empty { folder: candidate.to_owned() });
    }
    Ok(config)
}

/// Loads it, to be asked by so many threads at once. Nothing of it comes into force.
///
/// # Errors
///
/// Everything that is wrong with its policies, at once.
pub fn load(mut config: Config, threads: usize) -> Result<Arc<Generation>, CandidateError> {
    let longest = config.applications.values().map(|application| application.chain.len()).max().unwrap_or_default();
    let at_once = u32::try_from(threads.saturating_mul(longest)).unwrap_or(u32::MAX);
    let limits = &mut config.policies.limits;
    limits.deadline = DEADLINE;
    limits.compile_timeout = COMPILE_TIMEOUT;
    limits.decisions_max = limits.decisions_max.max(at_once);
    let engine = Engine::new(limits, None)?;
    Generation::beside(config, &engine).map_err(CandidateError::Policies)
}
