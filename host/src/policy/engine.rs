//! The engines: one that decides, one that configures, and the clock of both.
//!
//! *Deciding* takes instances from a pool whose slots are all of one size and keep their
//! pages, so that an instance costs no page fault. *Configuring* runs code that is
//! instrumented for the snapshot, once, and needs more memory: it allocates on demand.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use aws_lc_rs::digest;
use wasmtime::{
    Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy, WasmFeatures,
    component::{HasSelf, Linker},
};

use super::{
    bindings::vestibule::policy::log,
    cache::Cache,
    error::{EngineError, LoadError},
    limits::Guest,
    worker::{WorkerError, Workers},
};
use crate::config::Limits;

/// Bytes of an instance's memory that stay resident between two decisions. Resetting them
/// costs 0.8 µs for each 64 KiB that the guest has; a page that is not kept costs a fault
/// of some 3.6 µs when it is written.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// A component made of a Rust crate has three core instances: the module, and two small
/// ones that the encoder adds for its imports.
const CORE_INSTANCES_PER_POLICY: u32 = 8;

/// One table of the module's own, one of the encoder's.
const TABLES_PER_POLICY: u32 = 4;

/// The epoch moves at most so often, and at least so often.
const TICK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// How many ticks a deadline has, so that no guest runs on for more than a fifth longer.
const TICKS_PER_DEADLINE: u32 = 5;

/// Wasm that a policy may use: all of WebAssembly 2.0, but nothing whose result could
/// differ between machines or threads (invariant 9), and nothing that the snapshot cannot
/// see.
const FORBIDDEN: WasmFeatures = WasmFeatures::THREADS
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::STACK_SWITCHING);

/// Everything that policies share: compiler, pool of instances, deadlines, cache. Cheap to
/// clone.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    limits: Limits,
    decide: Side,
    configure: Side,
    cache: Option<Cache>,
    workers: Workers,
    features: WasmFeatures,
    ticks_per_deadline: u64,
    tick: Duration,
    // Dropped with the engine; the thread ends then.
    _ticker: Ticker,
}

/// One of the two engines, with what its guests may import.
pub(crate) struct Side {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) linker: Linker<Guest>,
    /// Stands for compiler, settings and processor: native code is good for just these.
    pub(crate) compatibility: [u8; 32],
    config: Config,
}

impl Engine {
    /// Sets up the sandbox for `limits`.
    ///
    /// # Errors
    ///
    /// Where a limit makes no sense, or the machine does not give what is needed.
    pub fn new(limits: &Limits, cache: Option<Cache>) -> Result<Self, EngineError> {
        check(limits)?;
        let mut config = base(limits);
        config.cranelift_opt_level(OptLevel::None);
        let configure = Side::new(config.clone())?;
        config.cranelift_opt_level(OptLevel::Speed);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
        let decide = Side::new(config)?;
        let features = decide.engine.get_wasm_features();

        let tick = (limits.deadline / TICKS_PER_DEADLINE).clamp(TICK.0, TICK.1);
        let ticker = Ticker::start(tick, [decide.engine.clone(), configure.engine.clone()])?;
        let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
        Ok(Self(Arc::new(Shared {
            limits: limits.clone(),
            decide,
            configure,
            cache,
            workers: Workers::new(threads),
            features,
            ticks_per_deadline: ticks(limits.deadline, tick),
            tick,
            _ticker: ticker,
        })))
    }

    /// The limits that it holds policies to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn decide(&self) -> &Side {
        &self.0.decide
    }

    pub(crate) fn configure(&self) -> &Side {
        &self.0.configure
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }

    pub(crate) fn features(&self) -> WasmFeatures {
        self.0.features
    }

    /// A hook's deadline, in epochs.
    pub(crate) fn ticks_per_deadline(&self) -> u64 {
        self.0.ticks_per_deadline
    }

    /// `limit` in epochs.
    pub(crate) fn ticks(&self, limit: Duration) -> u64 {
        ticks(limit, self.0.tick)
    }

    /// Runs work on untrusted bytes within the compile timeout.
    pub(crate) fn bounded<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let limit = self.0.limits.compile_timeout;
        self.0.workers.run(limit, job).map_err(|error| match error {
            WorkerError::Busy => LoadError::CompileBusy,
            WorkerError::TimedOut => LoadError::CompileTimeout(limit),
            WorkerError::Failed(message) => LoadError::CompilerPanicked(message),
        })?
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Side {
    fn new(config: Config) -> Result<Self, EngineError> {
        let engine = wasmtime::Engine::new(&config).map_err(EngineError::Wasmtime)?;
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest).map_err(EngineError::Wasmtime)?;
        let mut hasher = Sha256Hasher(digest::Context::new(&digest::SHA256));
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let mut compatibility = [0; 32];
        for (to, from) in compatibility.iter_mut().zip(hasher.0.finish().as_ref()) {
            *to = *from;
        }
        Ok(Self { engine, linker, compatibility, config })
    }

    /// The native code of `wasm`, in the form that is kept in the cache.
    ///
    /// Compiles in an engine of its own: an engine keeps the compiler's working memory for as
    /// long as it lives, which is most of what a gateway would hold.
    pub(crate) fn compile(&self, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
        wasmtime::Engine::new(&self.config)?.precompile_component(wasm)
    }

    /// The component whose native code is `code`.
    ///
    /// # Safety
    ///
    /// `code` came from [`Side::compile`], here or before an authenticated cache.
    #[expect(unsafe_code, reason = "native code is trusted: whoever calls this says where it came from")]
    pub(crate) unsafe fn component(&self, code: &[u8]) -> wasmtime::Result<wasmtime::component::Component> {
        // SAFETY: passed on to the caller.
        unsafe { wasmtime::component::Component::deserialize(&self.engine, code) }
    }
}

fn check(limits: &Limits) -> Result<(), EngineError> {
    let positive = [
        ("fuel", limits.fuel > 0),
        ("deadline-ms", !limits.deadline.is_zero()),
        ("memory-bytes-max", limits.memory_bytes_max > 0),
        ("stack-bytes-max", limits.stack_bytes_max > 0),
        ("output-bytes-max", limits.output_bytes_max > 0),
        ("component-bytes-max", limits.component_bytes_max > 0),
        ("compile-timeout-ms", !limits.compile_timeout.is_zero()),
        ("decisions-max", limits.decisions_max > 0),
    ];
    match positive.into_iter().find(|(_, is_positive)| !is_positive) {
        Some((key, _)) => Err(EngineError::Limit { key, problem: "must not be 0" }),
        None => Ok(()),
    }
}

fn base(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_features(FORBIDDEN, false)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes_max)
        // Calls are synchronous: the machinery for concurrent ones costs each decision.
        .concurrency_support(false)
        // A guest's trap is told by its kind; a stack of a stripped guest says nothing.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false);
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    // What runs beside the logins takes none of their places.
    let instances = limits.decisions_max.saturating_add(limits.beside);
    let table_bytes = limits.table_elements_max.saturating_mul(size_of::<usize>());
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_POLICY)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_POLICY))
        .max_memories_per_component(1)
        .total_memories(instances)
        .max_memory_size(limits.memory_bytes_max)
        .linear_memory_keep_resident(limits.memory_bytes_max.min(KEEP_RESIDENT_BYTES))
        .max_tables_per_component(TABLES_PER_POLICY)
        .total_tables(instances.saturating_mul(TABLES_PER_POLICY))
        .table_elements(limits.table_elements_max)
        .table_keep_resident(table_bytes);
    pool
}

fn ticks(limit: Duration, tick: Duration) -> u64 {
    let ticks = limit.as_nanos().div_ceil(tick.as_nanos().max(1));
    // The current tick may be about to end.
    u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1)
}

/// The thread that moves the epoch forward. Without it a deadline would never come.
struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(tick: Duration, engines: [wasmtime::Engine; 2]) -> Result<Self, EngineError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::Builder::new()
            .name("policy-epoch".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(tick) == Err(mpsc::RecvTimeoutError::Timeout) {
                    engines.iter().for_each(wasmtime::Engine::increment_epoch);
                }
            })
            .map_err(EngineError::Ticker)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It only counts; it cannot have panicked.
            drop(thread.join());
        }
    }
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
