//! Why a policy cannot be loaded: a variant for each step, with what is wrong and where.

use std::{fmt, ops::Range, time::Duration};

use serde::Serialize;

/// Why the sandbox itself cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// wasmtime does not take the configuration, or the machine does not have what it needs.
    #[error("failed to set up the sandbox: {0}")]
    Wasmtime(#[source] wasmtime::Error),
    /// The thread that moves the epoch forward did not start: no deadline would hold.
    #[error("failed to start the thread that keeps the deadlines")]
    Ticker(#[source] std::io::Error),
    /// A limit is zero or contradicts another.
    #[error("`policies.limits.{key}` {problem}")]
    Limit {
        /// The configuration key.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// One thing that is wrong with a policy's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingsProblem {
    /// JSON pointer to the offending setting; empty for the settings as a whole.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
    /// What would be right, where the message does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}

impl SettingsProblem {
    /// The top-level setting that it is about.
    pub(super) fn setting(&self) -> Option<&str> {
        self.pointer.strip_prefix('/')?.split('/').next()
    }
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a component or its settings are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// More bytes than `component-bytes-max` of its tier.
    #[error("the component has {bytes} bytes, more than `policies.limits.{key}` ({max}) allows")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
        /// The configuration key, below `policies.limits`.
        key: &'static str,
    },
    /// Not WebAssembly at all.
    #[error("expected a WebAssembly component, found {found}")]
    NotWasm {
        /// What it looks like, as `a JPEG image`.
        found: &'static str,
    },
    /// A core module where a component is needed.
    #[error(
        "expected a WebAssembly component, found a core module; `vestibule policy build` makes a component of the crate"
    )]
    CoreModule,
    /// WebAssembly that is cut or invalid.
    #[error("the component is damaged or uses what is not allowed (at byte {offset}): {message}")]
    Malformed {
        /// Where in the file.
        offset: u64,
        /// What the validator says.
        message: String,
    },
    /// It asks for something that no policy gets.
    #[error(
        "the component asks for {}; a policy gets nothing but `vestibule:policy/log`. {}",
        list(imports),
        how_to_avoid(imports)
    )]
    Imports {
        /// Every import that is refused, as named by the component.
        imports: Vec<String>,
    },
    /// It was made for another version of the contract.
    #[error(
        "the component speaks version {found} of `vestibule:policy`, this gateway speaks {expected}; build it with the SDK of that version"
    )]
    WitVersion {
        /// The component's.
        found: String,
        /// Ours.
        expected: &'static str,
    },
    /// It exports what is no part of the contract.
    #[error("the component exports {}, which `vestibule:policy` does not have", list(exports))]
    UnknownExports {
        /// Every such export.
        exports: Vec<String>,
    },
    /// It lacks the interface that every policy exports.
    #[error("the component does not export `vestibule:policy/settings`, as every policy must")]
    NoSettingsExport,
    /// It exports no hook at all.
    #[error("the component exports no hook, so it would decide nothing")]
    NoHook,
    /// It exports hooks, and the interface that stands for all of them.
    #[error("the component exports hooks and `json`: which of them would be asked?")]
    TwoForms,
    /// An export has another type than the contract's.
    #[error("the component's `{interface}` is not the contract's: {message}")]
    WrongType {
        /// The interface.
        interface: String,
        /// What differs.
        message: String,
    },
    /// No manifest.
    #[error(
        "the component has no manifest (custom section `vestibule:manifest`); `vestibule policy build` puts it in from policy.toml"
    )]
    NoManifest,
    /// More than one manifest: which of them would hold?
    #[error("the component has {0} manifests, and must have one")]
    ManyManifests(usize),
    /// The manifest is malformed or asks for what it may not have.
    #[error("the manifest is refused: {0}")]
    Manifest(#[from] ManifestError),
    /// The manifest's hooks are not those that the component exports.
    #[error("the manifest is not true: it names the hooks {}, the component exports {}", list(manifest), list(exports))]
    LyingManifest {
        /// What the manifest says.
        manifest: Vec<String>,
        /// What the component has.
        exports: Vec<String>,
    },
    /// More bytes than `settings-bytes-max`.
    #[error("the settings have {bytes} bytes, more than `policies.limits.settings-bytes-max` ({max}) allows")]
    SettingsTooLarge {
        /// What they have.
        bytes: usize,
        /// What they may have.
        max: usize,
    },
    /// The settings do not fit, by the manifest's schema or by the policy's own check.
    #[error("the settings are refused: {}", problems(.0))]
    Settings(Vec<SettingsProblem>),
    /// `configure` failed rather than answered.
    #[error("the policy failed while it was configured: {message} ({code})")]
    Configure {
        /// The code that the same failure has in a decision.
        code: crate::decision::DenyCode,
        /// What happened.
        message: String,
    },
    /// No snapshot could be taken.
    #[error("failed to take the snapshot of the configured policy: {0}")]
    Snapshot(String),
    /// wasmtime does not compile it.
    #[error("failed to compile the component: {0}")]
    Compile(String),
    /// It took longer than `compile-timeout-ms`.
    #[error("the component was not compiled within {} ms (`policies.limits.compile-timeout-ms`)", .0.as_millis())]
    CompileTimeout(Duration),
    /// It took more memory than `compile-memory-bytes-max`.
    #[error(
        "compiling the component took more than {max} bytes of memory (`policies.limits.compile-memory-bytes-max`)"
    )]
    CompileMemory {
        /// What it may take.
        max: usize,
    },
    /// Earlier compilations that ran into their time limit still hold every worker.
    #[error("earlier components still hold every compile worker; restart the gateway to be rid of them")]
    CompileBusy,
    /// The compiler itself failed.
    #[error("the compiler failed on this component: {0}")]
    CompilerPanicked(String),
    /// What a pack has of it does not fit together, or does not run here.
    #[error("{0}")]
    Packed(String),
    /// It needs more than the limits give before it has decided anything.
    #[error("the component does not fit the limits: {0}")]
    Limits(String),
}

/// Why a manifest is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not JSON or TOML, a missing or an unknown key, or a value of the wrong type.
    #[error("{at}{message}", at = at(path))]
    Syntax {
        /// The key, dotted; empty for the document.
        path: String,
        /// What the parser says.
        message: String,
        /// Where in the text, in bytes; none where it is not known.
        span: Option<Range<usize>>,
    },
    /// A value that may not be.
    #[error("`{key}`: {message}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
}

fn at(path: &str) -> String {
    if path.is_empty() || path == "." { String::new() } else { format!("`{path}`: ") }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn problems(problems: &[SettingsProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What to do about a guest that asks for WASI.
pub(super) const NO_WASI: &str = "Build it for wasm32-unknown-unknown and make the component with `vestibule policy \
     build`, so that it asks for no WASI: no clock, files, network, randomness or environment";

fn how_to_avoid(imports: &[String]) -> &'static str {
    let is = |prefix: &str| imports.iter().any(|import| import.starts_with(prefix));
    if is("wasi:") {
        NO_WASI
    } else if is("vestibule:policy/lookup") {
        "`lookup` is granted to no policy yet: decide by claims, groups and facts"
    } else {
        "Build it with the SDK and for wasm32-unknown-unknown"
    }
}
