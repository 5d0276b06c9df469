//! `[policies]`: where components and settings are, and what a guest may use up.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// `[policies]`
#[derive(Clone, Debug)]
pub struct Policies {
    /// `[policies.limits]`
    pub limits: Limits,
    /// `cache`: folder of compiled components; none compiles at each start.
    pub cache: Option<PathBuf>,
    /// `poll-ms`: how often the files' contents are compared, behind the directory watch;
    /// default 2000.
    pub poll: Duration,
    /// `[policies.NAME]`, by name.
    pub sources: BTreeMap<String, PolicySource>,
}

/// `[policies.NAME]`
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// `component`: the `.wasm` file.
    pub component: PathBuf,
    /// `settings`: a TOML or JSON file; none takes the manifest's defaults.
    pub settings: Option<PathBuf>,
    /// `digest`: sha-256 that the component must have, in lower-case hex.
    pub digest: Option<String>,
}

/// `[policies.limits]`: what one policy may use up in one decision.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `fuel`: instructions, for all hooks of one login; default 20000000. A manifest may
    /// ask for less.
    pub fuel: u64,
    /// `deadline-ms`: wall time of one hook; default 50.
    pub deadline: Duration,
    /// `memory-bytes-max`: default 4194304 (4 MiB).
    pub memory_bytes_max: usize,
    /// `table-elements-max`: default 10000.
    pub table_elements_max: usize,
    /// `stack-bytes-max`: default 524288 (512 KiB).
    pub stack_bytes_max: usize,
    /// `output-bytes-max`: what one hook may hand out; default 262144 (256 KiB).
    pub output_bytes_max: usize,
    /// `log-lines-max`: lines in one login; default 64.
    pub log_lines_max: usize,
    /// `log-line-bytes-max`: a longer line is cut; default 1024.
    pub log_line_bytes_max: usize,
    /// `component-bytes-max`: default 16777216 (16 MiB).
    pub component_bytes_max: usize,
    /// `settings-bytes-max`: default 1048576 (1 MiB).
    pub settings_bytes_max: usize,
    /// `compile-timeout-ms`: for one component; default 60000.
    pub compile_timeout: Duration,
    /// `decisions-max`: instances alive at one time; default 256.
    pub decisions_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 20_000_000,
            deadline: Duration::from_millis(50),
            memory_bytes_max: 4 << 20,
            table_elements_max: 10_000,
            stack_bytes_max: 512 << 10,
            output_bytes_max: 256 << 10,
            log_lines_max: 64,
            log_line_bytes_max: 1024,
            component_bytes_max: 16 << 20,
            settings_bytes_max: 1 << 20,
            compile_timeout: Duration::from_secs(60),
            decisions_max: 256,
        }
    }
}
