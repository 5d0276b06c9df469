//! What a guest may use up, and how it is told from the outside which limit it hit.

use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Trap};

use super::bindings::vestibule::policy::log;
use crate::{config::Limits, decision::DenyCode};

/// A page of WebAssembly's. The snapshot's accessors write into one of their own behind each memory.
pub(crate) const WASM_PAGE_BYTES: usize = 1 << 16;

/// `configure` may spend this many times the fuel of one login: it compiles what the
/// logins then use.
pub(crate) const CONFIGURE_FUEL_TIMES: u64 = 100;

/// A failure's detail is cut to so many characters.
const DETAIL_CHARS_MAX: usize = 300;

/// What wasmtime says where a guest hands out more than its hostcall fuel; the type is
/// private to it. `a81_…` holds that the two agree.
const HOSTCALL_FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// A guest's state on the host's side: what it may still use up, and what it logged.
#[derive(Debug)]
pub(crate) struct Guest {
    memory_bytes_left: usize,
    table_elements_left: usize,
    log_lines_left: usize,
    log_line_bytes_max: usize,
    log: Vec<String>,
}

impl Guest {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes_left: limits.memory_bytes_max,
            table_elements_left: limits.table_elements_max,
            log_lines_left: limits.log_lines_max,
            log_line_bytes_max: limits.log_line_bytes_max,
            log: Vec::new(),
        }
    }

    /// Takes the lines that were logged since the last call.
    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// Allows `bytes` more of memory, for the snapshot's own use.
    pub(crate) fn allow_memory(&mut self, bytes: usize) {
        self.memory_bytes_left = self.memory_bytes_left.saturating_add(bytes);
    }
}

/// A guest went past a limit that the host keeps.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Breach {
    #[error("it wrote more log lines than `policies.limits.log-lines-max` allows")]
    Log,
    #[error("it asked for more memory than `policies.limits.memory-bytes-max` allows")]
    Memory,
    #[error("it asked for more table elements than `policies.limits.table-elements-max` allows")]
    Table,
}

// An error from here ends the guest at once. A mere `false` would let it go on without the
// memory, and most guests then trap somewhere else for no visible reason.
impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let left = self.memory_bytes_left.checked_sub(desired.saturating_sub(current));
        self.memory_bytes_left = left.ok_or(Breach::Memory)?;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let left = self.table_elements_left.checked_sub(desired.saturating_sub(current));
        self.table_elements_left = left.ok_or(Breach::Table)?;
        Ok(true)
    }

    // An instance's place in the pool is as large as the limit: what a guest may have on top of it for its snapshot
    // does not fit in. CPython would go on without the memory, and give up elsewhere.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Breach::Memory.into())
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Breach::Table.into())
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, mut message: String) -> wasmtime::Result<()> {
        self.log_lines_left = self.log_lines_left.checked_sub(1).ok_or(Breach::Log)?;
        if message.len() > self.log_line_bytes_max {
            message.truncate(message.floor_char_boundary(self.log_line_bytes_max));
            message.push('…');
        }
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
        };
        self.log.push(format!("{level}: {}", message.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")));
        Ok(())
    }
}

/// Why a guest did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: DenyCode,
    pub(crate) detail: String,
}

impl Failure {
    /// What went wrong while an instance was made.
    pub(crate) fn of_instance(error: &wasmtime::Error) -> Self {
        Self::of(error, DenyCode::Sandbox)
    }

    /// What went wrong in a call. Whatever is no trap and no limit is an answer that is
    /// not a value of the contract's types: text that is not UTF-8, a case that does not
    /// exist, a list outside the memory.
    pub(crate) fn of_call(error: &wasmtime::Error) -> Self {
        Self::of(error, DenyCode::PolicyAnswer)
    }

    fn of(error: &wasmtime::Error, otherwise: DenyCode) -> Self {
        let root = error.root_cause().to_string();
        let code = if let Some(breach) = error.downcast_ref::<Breach>() {
            match breach {
                Breach::Log => DenyCode::PolicyLog,
                Breach::Memory | Breach::Table => DenyCode::PolicyMemory,
            }
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            match trap {
                Trap::OutOfFuel => DenyCode::PolicyFuel,
                Trap::Interrupt => DenyCode::PolicyDeadline,
                Trap::StackOverflow => DenyCode::PolicyStack,
                Trap::AllocationTooLarge => DenyCode::PolicyMemory,
                _ => DenyCode::PolicyTrapped,
            }
        } else if error.is::<PoolConcurrencyLimitError>() {
            DenyCode::Overloaded
        } else if root.contains(HOSTCALL_FUEL_EXHAUSTED) {
            DenyCode::PolicyOutput
        } else {
            otherwise
        };
        let mut detail: String = root.chars().take(DETAIL_CHARS_MAX).collect();
        if matches!(error.downcast_ref::<Trap>(), Some(Trap::MemoryOutOfBounds)) {
            // A guest's stack grows down to address 0, and then beyond it.
            detail.push_str("; perhaps its own stack is full (`vestibule policy build --stack-bytes`)");
        }
        Self { code, detail }
    }
}
