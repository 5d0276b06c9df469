//! From a policy's source to a component: cargo for all of them at once and the component
//! encoder, or the tools of JavaScript and Python; then manifest and cases embedded. Ends in the same check that the gateway makes
//! when it loads the component.
//!
//! The only part of the gateway that starts other programs. It prints nothing: what it
//! does is told through a callback.

mod cargo;
mod encode;
mod interpreter;
mod manifest_file;
mod source;
mod strip;
mod toolchain;
mod tools;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{CaseError, Component, Engine, LoadError, PROPERTIES_SECTION, cache::sha256, manifest::Language};
use crate::config::Diagnostics;
pub(in crate::policy) use encode::component;
pub use source::Source;
pub use toolchain::ToolchainError;

/// How to build.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Where the components go; none puts them into `components` in cargo's target folder, or in
    /// `target` beside a policy in another language.
    pub out: Option<PathBuf>,
    /// Where a standard library for the target is kept, if one must be built.
    pub cache: PathBuf,
    /// The guest's stack, in bytes. It comes first in a guest's memory, and every page
    /// costs each decision.
    pub stack_bytes: u32,
}

/// A component that was built.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Built {
    /// The policy's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The folder of its source.
    pub source: PathBuf,
    /// The component.
    pub component: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Its sha-256, in lower-case hex.
    pub digest: String,
    /// The embedded cases.
    pub cases: usize,
}

/// Why a policy was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A case is malformed.
    #[error("failed to read the cases")]
    Cases(#[source] CaseError),
    /// A property is malformed.
    #[error("failed to read the properties")]
    Properties(#[source] CaseError),
    /// cargo could not be started.
    #[error("failed to run cargo")]
    CargoMissing(#[source] io::Error),
    /// cargo failed, and has said why on its own.
    #[error("cargo failed to compile the policies (its message is above)")]
    Compile,
    /// The folder is not one of a Rust package.
    #[error("failed to read the package in {directory}: {message}")]
    Metadata {
        /// The folder.
        directory: PathBuf,
        /// What cargo says.
        message: String,
    },
    /// A file could not be read or written.
    #[error("failed to use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest is refused.
    #[error("{}", .0.in_lines())]
    Manifest(Diagnostics),
    /// The settings' schema is not JSON, or is there twice.
    #[error("failed to read {path}: {message}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The package makes no WebAssembly module.
    #[error("package {package} makes no WebAssembly module: it needs `crate-type = [\"cdylib\"]` under [lib]")]
    NoModule {
        /// The package.
        package: String,
    },
    /// A tool that a language needs is not there.
    #[error("{what} is not there for {directory}: {install}")]
    Missing {
        /// The tool.
        what: &'static str,
        /// The policy's folder.
        directory: PathBuf,
        /// What to do about it.
        install: String,
    },
    /// The language's tool failed.
    #[error("failed to build {policy} with {program}:\n{message}")]
    Interpreter {
        /// The policy.
        policy: String,
        /// The tool.
        program: &'static str,
        /// What it said.
        message: String,
    },
    /// It cannot be told in which language a policy is written, or where.
    #[error("failed to find the source in {directory}: {message}")]
    Language {
        /// The folder or file.
        directory: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The module is no policy.
    #[error("failed to make a component of {policy}: {message}")]
    Encode {
        /// The policy.
        policy: String,
        /// What the encoder says.
        message: String,
    },
    /// The component would not be loaded.
    #[error("policy {policy} was built, and no gateway would load it")]
    Refused {
        /// The policy.
        policy: String,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// Two folders hold policies of the same name.
    #[error("{one} and {other} are both called {name}")]
    SameName {
        /// The name.
        name: String,
        /// The one folder.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// There is no compiler for WebAssembly.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
}

/// Builds the policies in `directories`; `progress` hears of each step.
///
/// Takes as long as cargo does: minutes, where a standard library has to be built first.
///
/// # Errors
///
/// The first policy that fails, and at which step.
pub fn build(
    engine: &Engine,
    directories: &[PathBuf],
    options: &BuildOptions,
    progress: &dyn Fn(&str),
) -> Result<Vec<Built>, BuildError> {
    let sources = directories.iter().map(|directory| Source::read(directory)).collect::<Result<Vec<_>, _>>()?;
    refuse_same_names(&sources)?;
    let mut built = Vec::with_capacity(sources.len());
    let (mut crates, mut others) = (Vec::new(), Vec::new());
    for source in sources {
        match source.language()? {
            Language::Rust => crates.push(source),
            language => others.push((source, language)),
        }
    }
    for workspace in cargo::workspaces(&crates)? {
        let toolchain = toolchain::find(&workspace.root, &options.cache, progress)?;
        let names: Vec<&str> = workspace.members.iter().map(|member| member.source.manifest.name.as_str()).collect();
        progress(&format!("compiling {}", names.join(", ")));
        let modules = cargo::compile(&workspace, &toolchain, options.stack_bytes)?;
        for (member, module) in workspace.members.iter().zip(modules) {
            let out = options.out.clone().unwrap_or_else(|| workspace.target.join("components"));
            let module = fs::read(&module).map_err(|source| BuildError::File { path: module, source })?;
            let bytes = component(&module, &member.source.manifest, &member.source.cases)
                .map_err(|message| BuildError::Encode { policy: member.source.manifest.name.clone(), message })?;
            built.push(finish(engine, member.source, bytes, &out)?);
        }
    }
    for (source, language) in &others {
        progress(&format!("making a component of {} (about twenty seconds)", source.manifest.name));
        let work = interpreter::work_folder(source, options.out.as_deref());
        let bytes = interpreter::component(source, *language, &work)?;
        let out = options.out.clone().unwrap_or_else(|| source.directory.join("target/components"));
        built.push(finish(engine, source, encode::embed(bytes, &source.manifest, &source.cases), &out)?);
    }
    Ok(built)
}

fn finish(engine: &Engine, source: &Source, mut bytes: Vec<u8>, out: &Path) -> Result<Built, BuildError> {
    let name = &source.manifest.name;
    if !source.properties.is_empty() {
        encode::append(&mut bytes, PROPERTIES_SECTION, source.properties.text().as_bytes());
    }
    Component::check(engine, &bytes).map_err(|source| BuildError::Refused { policy: name.clone(), source })?;
    let component = out.join(format!("{name}.wasm"));
    write(&component, &bytes).map_err(|source| BuildError::File { path: component.clone(), source })?;
    Ok(Built {
        name: name.clone(),
        version: source.manifest.version.clone(),
        source: source.directory.clone(),
        digest: sha256(&bytes),
        bytes: bytes.len(),
        cases: source.cases.count().map_err(BuildError::Cases)?,
        component,
    })
}

/// Written beside and renamed: a gateway that watches the file never sees half of it. The
/// same bytes are not written again, so that nobody is woken for nothing.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = path.with_extension("wasm.part");
    fs::write(&part, bytes)?;
    fs::rename(&part, path)
}

fn refuse_same_names(sources: &[Source]) -> Result<(), BuildError> {
    let mut seen = std::collections::BTreeMap::new();
    for source in sources {
        if let Some(one) = seen.insert(&source.manifest.name, &source.directory) {
            return Err(BuildError::SameName {
                name: source.manifest.name.clone(),
                one: one.clone(),
                other: source.directory.clone(),
            });
        }
    }
    Ok(())
}
