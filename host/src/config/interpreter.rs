//! `[policies.limits.interpreter]`: what differs for policies in JavaScript and Python.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::policies::{narrow, wide};

/// `[policies.limits.interpreter]`: what differs for policies in JavaScript and Python, whose
/// components bring an interpreter along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterpreterLimits {
    /// `fuel`: instructions, for all hooks of one login, and as many again for `configure`;
    /// default 200000000.
    pub fuel: u64,
    /// `deadline-ms`: wall time of one hook; default 500.
    pub deadline: Duration,
    /// `memory-bytes-max`: default 67108864 (64 MiB).
    pub memory_bytes_max: usize,
    /// `table-elements-max`: default 40000.
    pub table_elements_max: usize,
    /// `stack-bytes-max`: default 1048576 (1 MiB).
    pub stack_bytes_max: usize,
    /// `component-bytes-max`: default 67108864 (64 MiB).
    pub component_bytes_max: usize,
    /// `compile-timeout-ms`: for one component; default 300000.
    pub compile_timeout: Duration,
    /// `decisions-max`: instances alive at one time; default 32.
    pub decisions_max: u32,
}

impl Default for InterpreterLimits {
    fn default() -> Self {
        Self {
            fuel: 200_000_000,
            deadline: Duration::from_millis(500),
            memory_bytes_max: 64 << 20,
            table_elements_max: 40_000,
            stack_bytes_max: 1 << 20,
            component_bytes_max: 64 << 20,
            compile_timeout: Duration::from_secs(300),
            decisions_max: 32,
        }
    }
}

/// Policies in JavaScript and Python bring an interpreter along, and get more of each. The other
/// limits are those of all policies.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawInterpreter {
    /// Instructions, for all hooks of one login, and as many again for `configure`, which is a
    /// part of each login.
    #[schemars(range(min = 1000))]
    fuel: u64,
    /// Wall time of one hook.
    #[schemars(range(min = 1, max = 60_000))]
    deadline_ms: u32,
    /// Linear memory.
    #[schemars(range(min = 65_536))]
    memory_bytes_max: u32,
    /// Elements of tables.
    #[schemars(range(min = 1))]
    table_elements_max: u32,
    /// Stack of the host's calls.
    #[schemars(range(min = 65_536, max = 4_194_304))]
    stack_bytes_max: u32,
    /// Largest component.
    #[schemars(range(min = 1024))]
    component_bytes_max: u32,
    /// For one component.
    #[schemars(range(min = 100))]
    compile_timeout_ms: u32,
    /// Instances alive at one time.
    #[schemars(range(min = 1))]
    decisions_max: u32,
}

impl Default for RawInterpreter {
    fn default() -> Self {
        let limits = InterpreterLimits::default();
        Self {
            fuel: limits.fuel,
            deadline_ms: narrow(limits.deadline.as_millis()),
            memory_bytes_max: narrow(limits.memory_bytes_max),
            table_elements_max: narrow(limits.table_elements_max),
            stack_bytes_max: narrow(limits.stack_bytes_max),
            component_bytes_max: narrow(limits.component_bytes_max),
            compile_timeout_ms: narrow(limits.compile_timeout.as_millis()),
            decisions_max: limits.decisions_max,
        }
    }
}

impl RawInterpreter {
    pub(super) fn check(self) -> InterpreterLimits {
        InterpreterLimits {
            fuel: self.fuel,
            deadline: Duration::from_millis(self.deadline_ms.into()),
            memory_bytes_max: wide(self.memory_bytes_max),
            table_elements_max: wide(self.table_elements_max),
            stack_bytes_max: wide(self.stack_bytes_max),
            component_bytes_max: wide(self.component_bytes_max),
            compile_timeout: Duration::from_millis(self.compile_timeout_ms.into()),
            decisions_max: self.decisions_max,
        }
    }
}
