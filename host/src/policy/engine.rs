//! The engines: one that decides, one that configures, one for interpreters, and their clock.
//!
//! *Deciding* takes instances from a pool whose slots are all of one size and keep their
//! pages, so that an instance costs no page fault. *Configuring* runs code that is
//! instrumented for the snapshot, once, and needs more memory: it allocates on demand.
//! *Interpreters* need memory, time and room for code of another order, and so a pool of their
//! own.

#[cfg(feature = "compiler")]
mod compiling;
#[cfg(not(feature = "compiler"))]
#[path = "engine/loading.rs"]
mod compiling;

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use wasmtime::{
    Config, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures,
    component::{HasSelf, Linker},
};

use super::{artifact::Form, bindings::vestibule::policy::log, error::EngineError, limits::Guest};
use crate::config::Limits;
#[cfg(feature = "compiler")]
pub(super) use compiling::compile_alone;
use compiling::{Compatibility, Means};

/// Bytes of an instance's memory that stay resident between two decisions. Resetting them
/// costs 0.8 µs for each 64 KiB that the guest has; a page that is not kept costs a fault
/// of some 3.6 µs when it is written.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// What an instance is made of, at most.
#[derive(Clone, Copy)]
struct Parts {
    core_instances: u32,
    tables: u32,
    keep_resident_bytes: usize,
}

/// A component made of a Rust crate has three core instances: the module, and two small
/// ones that the encoder adds for its imports. One table is the module's own, one the encoder's.
const PARTS: Parts = Parts { core_instances: 8, tables: 4, keep_resident_bytes: KEEP_RESIDENT_BYTES };

/// An interpreter is many modules that are linked when it is instantiated: Python's are some
/// eighty. Of its ten megabytes it touches pages here and there; to keep the first of them
/// would be to copy what nobody wrote to.
const PARTS_OF_INTERPRETERS: Parts = Parts { core_instances: 160, tables: 8, keep_resident_bytes: 0 };

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
    records: Tier,
    json: Tier,
    configure: Side,
    means: Means,
    features: WasmFeatures,
    tick: Duration,
    // Dropped with the engine; the thread ends then.
    _ticker: Ticker,
}

/// What components of one form run in, and up to which limits.
struct Tier {
    limits: Limits,
    decide: Side,
    ticks_per_deadline: u64,
}

/// One of the engines, with what its guests may import.
pub(crate) struct Side {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) linker: Linker<Guest>,
    /// Stands for compiler, settings and processor: native code is good for just these.
    pub(crate) compatibility: Compatibility,
    pub(super) purpose: Purpose,
}

/// Which of the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Purpose {
    /// Takes snapshots.
    Configure,
    /// Decides, from a snapshot.
    Decide,
    /// Decides, in an interpreter.
    Interpret,
}

impl Engine {
    fn with_means(limits: &Limits, means: Means) -> Result<Self, EngineError> {
        check(limits)?;
        let configure = Side::new(Purpose::Configure, limits)?;

        let interpreted = limits.for_interpreters();
        let tick = (limits.deadline.min(interpreted.deadline) / TICKS_PER_DEADLINE).clamp(TICK.0, TICK.1);
        let records = Tier::new(Purpose::Decide, limits, tick)?;
        let json = Tier::new(Purpose::Interpret, &interpreted, tick)?;
        let features = records.decide.engine.get_wasm_features();
        let engines = [&records.decide, &json.decide, &configure].map(|side| side.engine.clone());
        let ticker = Ticker::start(tick, engines)?;
        Ok(Self(Arc::new(Shared { records, json, configure, means, features, tick, _ticker: ticker })))
    }

    /// The limits that it holds policies to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.records.limits
    }

    /// The limits of components of one form.
    #[must_use]
    pub fn limits_of(&self, form: Form) -> &Limits {
        &self.tier(form).limits
    }

    /// The largest component of any form.
    pub(crate) fn component_bytes_max(&self) -> usize {
        self.0.records.limits.component_bytes_max.max(self.0.json.limits.component_bytes_max)
    }

    pub(crate) fn decide(&self, form: Form) -> &Side {
        &self.tier(form).decide
    }

    fn tier(&self, form: Form) -> &Tier {
        match form {
            Form::Records => &self.0.records,
            Form::Json => &self.0.json,
        }
    }

    pub(crate) fn configure(&self) -> &Side {
        &self.0.configure
    }

    pub(crate) fn features(&self) -> WasmFeatures {
        self.0.features
    }

    /// A hook's deadline, in epochs.
    pub(crate) fn ticks_per_deadline(&self, form: Form) -> u64 {
        self.tier(form).ticks_per_deadline
    }

    /// `limit` in epochs.
    pub(crate) fn ticks(&self, limit: Duration) -> u64 {
        ticks(limit, self.0.tick)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("limits", self.limits()).finish_non_exhaustive()
    }
}

impl Tier {
    fn new(purpose: Purpose, limits: &Limits, tick: Duration) -> Result<Self, EngineError> {
        let ticks_per_deadline = ticks(limits.deadline, tick);
        Ok(Self { limits: limits.clone(), decide: Side::new(purpose, limits)?, ticks_per_deadline })
    }
}

impl Side {
    fn new(purpose: Purpose, limits: &Limits) -> Result<Self, EngineError> {
        let config = config(purpose, limits);
        let engine = wasmtime::Engine::new(&config).map_err(EngineError::Wasmtime)?;
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest).map_err(EngineError::Wasmtime)?;
        let compatibility = compiling::compatibility(&engine);
        Ok(Self { engine, linker, compatibility, purpose })
    }

    /// The component whose native code is `code`.
    ///
    /// # Safety
    ///
    /// `code` came from `Engine::compile` for this side: here, before an authenticated cache, or before a pack that was
    /// authenticated.
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
        ("compile-memory-bytes-max", limits.compile_memory_bytes_max > 0),
        ("compile-timeout-ms", !limits.compile_timeout.is_zero()),
        ("decisions-max", limits.decisions_max > 0),
        ("interpreter.fuel", limits.interpreter.fuel > 0),
        ("interpreter.deadline-ms", !limits.interpreter.deadline.is_zero()),
        ("interpreter.memory-bytes-max", limits.interpreter.memory_bytes_max > 0),
        ("interpreter.stack-bytes-max", limits.interpreter.stack_bytes_max > 0),
        ("interpreter.component-bytes-max", limits.interpreter.component_bytes_max > 0),
        ("interpreter.compile-timeout-ms", !limits.interpreter.compile_timeout.is_zero()),
        ("interpreter.decisions-max", limits.interpreter.decisions_max > 0),
    ];
    match positive.into_iter().find(|(_, is_positive)| !is_positive) {
        Some((key, _)) => Err(EngineError::Limit { key, problem: "must not be 0" }),
        None => Ok(()),
    }
}

fn config(purpose: Purpose, limits: &Limits) -> Config {
    let mut config = base(limits);
    compiling::set_up(&mut config, purpose);
    let parts = match purpose {
        Purpose::Configure => return config,
        Purpose::Decide => PARTS,
        Purpose::Interpret => PARTS_OF_INTERPRETERS,
    };
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, parts)));
    config
}

fn base(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .wasm_features(FORBIDDEN, false)
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

fn pool(limits: &Limits, parts: Parts) -> PoolingAllocationConfig {
    // What runs beside the logins takes none of their places.
    let instances = limits.decisions_max.saturating_add(limits.beside);
    let table_bytes = limits.table_elements_max.saturating_mul(size_of::<usize>());
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .max_core_instances_per_component(parts.core_instances)
        .total_core_instances(instances.saturating_mul(parts.core_instances))
        .max_memories_per_component(1)
        .total_memories(instances)
        .max_memory_size(limits.memory_bytes_max)
        .linear_memory_keep_resident(limits.memory_bytes_max.min(parts.keep_resident_bytes))
        .max_tables_per_component(parts.tables)
        .total_tables(instances.saturating_mul(parts.tables))
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
    fn start(tick: Duration, engines: [wasmtime::Engine; 3]) -> Result<Self, EngineError> {
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
