//! `[policies.rollback]` and `[control]`: how a generation goes back, by itself or by an operator's word.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Check;

/// `[policies.rollback]`: when a new generation has failed too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// `faults-percent`: so many of its decisions, or more; default 5.
    pub faults_percent: u32,
    /// `decisions-min`: not before so many decisions; default 50.
    pub decisions_min: u32,
    /// `window-s`: for so many seconds after it came into force; default 3600.
    pub window: u32,
    /// `cool-down-s`: after so many seconds it is tried again; none waits for its files to change.
    pub cool_down: Option<u32>,
}

/// `[control]`: how an operator's commands reach the gateway that runs.
#[derive(Clone, Debug)]
pub struct Control {
    /// `socket`: a Unix socket, for its owner alone.
    pub socket: PathBuf,
}

/// When a new generation has failed so often that the one before it comes back by itself. Failed policies and broken
/// contracts count, a policy's no does not. Off where this section is missing.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRollback {
    /// It failed in so many of a hundred decisions, or more. Ways, logins and requests are counted apart; one person's
    /// failures count once.
    #[schemars(range(min = 1, max = 100))]
    faults_percent: u32,
    /// Not before it has decided so many times.
    #[schemars(range(min = 1, max = 1_000_000))]
    decisions_min: u32,
    /// For so long after it came into force.
    #[schemars(range(min = 1, max = 2_592_000))]
    window_s: u32,
    /// After so long it is tried again, although nothing changed. Without it, its files must change.
    #[schemars(range(min = 1, max = 2_592_000))]
    cool_down_s: Option<u32>,
}

impl Default for RawRollback {
    fn default() -> Self {
        Self { faults_percent: 5, decisions_min: 50, window_s: 3600, cool_down_s: None }
    }
}

/// Where `vestibule generation` reaches the gateway that runs. Off where this section is missing.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawControl {
    /// A Unix socket, which the gateway makes, readable by its owner only. Its folder must be there.
    #[schemars(extend("x-required" = true))]
    socket: Option<String>,
}

impl RawRollback {
    pub(super) const fn check(self) -> Rollback {
        Rollback {
            faults_percent: self.faults_percent,
            decisions_min: self.decisions_min,
            window: self.window_s,
            cool_down: self.cool_down_s,
        }
    }
}

impl RawControl {
    pub(super) fn check(self, check: &mut Check<'_>) -> Option<Control> {
        Some(Control { socket: check.path("control.socket", &self.socket?) })
    }
}
