//! The engines of a gateway that compiles: with what, and where it keeps the outcome.

use std::{
    hash::{Hash, Hasher},
    thread,
};

use aws_lc_rs::digest;
use wasmtime::{Config, OptLevel, Strategy};

use super::{Engine, Purpose, Side, config};
use crate::{
    config::Limits,
    policy::{
        artifact::Form,
        cache::Cache,
        compiler::{self, Compiler, Recipe},
        error::{EngineError, LoadError},
        worker::{WorkerError, Workers},
    },
};

/// Of wasmtime's hash, as strong as the digests beside it.
pub(crate) type Compatibility = [u8; 32];

/// What compiles, within which bounds, and where native code is kept.
pub(super) struct Means {
    cache: Option<Cache>,
    compiler: Compiler,
    workers: Workers,
}

impl Engine {
    /// Sets up the sandbox for `limits`.
    ///
    /// # Errors
    ///
    /// Where a limit makes no sense, or the machine does not give what is needed.
    pub fn new(limits: &Limits, cache: Option<Cache>) -> Result<Self, EngineError> {
        Self::with_compiler(limits, cache, Compiler::Here)
    }

    /// As [`Engine::new`], for a gateway: a process of this program compiles.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn of_gateway(limits: &Limits, cache: Option<Cache>) -> Result<Self, EngineError> {
        Self::with_compiler(limits, cache, Compiler::this_program())
    }

    /// As [`Engine::new`], and `compiler` compiles.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_compiler(limits: &Limits, cache: Option<Cache>, compiler: Compiler) -> Result<Self, EngineError> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
        Self::with_means(limits, Means { cache, compiler, workers: Workers::new(threads) })
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.0.means.cache.as_ref()
    }

    /// The native code of `wasm` for `side`, in the form that is kept in the cache.
    pub(crate) fn compile(&self, side: &Side, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
        let limits = match side.purpose {
            Purpose::Configure | Purpose::Decide => &self.0.records.limits,
            Purpose::Interpret => &self.0.json.limits,
        };
        let recipe = Recipe::new(side.purpose, limits);
        match &self.0.means.compiler {
            Compiler::Here => match compile_alone(&recipe, wasm) {
                Ok((_, code)) => Ok(code),
                Err(error) => Err(LoadError::Compile(format!("{error:#}"))),
            },
            Compiler::Program(program) => compiler::compile(program, &recipe, wasm, &side.compatibility, limits),
        }
    }

    /// Runs work on untrusted bytes within the compile timeout.
    pub(crate) fn bounded<T: Send + 'static>(
        &self,
        form: Form,
        job: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let limit = self.limits_of(form).compile_timeout;
        self.0.means.workers.run(limit, job).map_err(|error| match error {
            WorkerError::Busy => LoadError::CompileBusy,
            WorkerError::TimedOut => LoadError::CompileTimeout(limit),
            WorkerError::Failed(message) => LoadError::CompilerPanicked(message),
        })?
    }
}

/// The native code of `wasm`, and the compatibility hash of the engine that it is for.
///
/// Compiles in an engine of its own: an engine keeps the compiler's working memory for as
/// long as it lives, which is most of what a gateway would hold. How many instances its pool has
/// makes no difference to the code.
pub(in crate::policy) fn compile_alone(recipe: &Recipe, wasm: &[u8]) -> wasmtime::Result<([u8; 32], Vec<u8>)> {
    let engine = wasmtime::Engine::new(&config(recipe.purpose, &Limits { decisions_max: 1, ..recipe.limits() }))?;
    Ok((compatibility(&engine), engine.precompile_component(wasm)?))
}

/// Stands for compiler, settings and processor.
pub(super) fn compatibility(engine: &wasmtime::Engine) -> Compatibility {
    let mut hasher = Sha256Hasher(digest::Context::new(&digest::SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut compatibility = [0; 32];
    for (to, from) in compatibility.iter_mut().zip(hasher.0.finish().as_ref()) {
        *to = *from;
    }
    compatibility
}

/// The compiler's part of an engine's configuration.
pub(super) fn set_up(config: &mut Config, purpose: Purpose) {
    let level = match purpose {
        Purpose::Configure => OptLevel::None,
        Purpose::Decide | Purpose::Interpret => OptLevel::Speed,
    };
    config.strategy(Strategy::Cranelift).cranelift_nan_canonicalization(true).cranelift_opt_level(level);
}

/// Lets wasmtime's compatibility hash be as strong as the digests beside it.
struct Sha256Hasher(digest::Context);

impl Hasher for Sha256Hasher {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
