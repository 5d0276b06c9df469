//! `[recording]`

use std::{collections::BTreeSet, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Check;

/// `[recording]`: what the policies were asked, so that they can be asked again.
#[derive(Clone, Debug)]
pub struct Recording {
    /// `directory`: where the files are, one for each day and start.
    pub directory: PathBuf,
    /// `keep-days`: older files are removed; default 30.
    pub keep_days: u32,
    /// `redact`: personal fields and claims that become pseudonyms; default none.
    pub redact: BTreeSet<String>,
    /// `redact-keeps-domain`: the pseudonym of an email address keeps its domain; default true.
    pub keeps_domain: bool,
    /// `queue-max`: decisions that may wait to be written; default 4096.
    pub queue_max: usize,
}

/// What the policies were asked in each login, sealed with the key ring, so that `vestibule replay` can ask a
/// candidate the same. Off where this section is missing.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRecording {
    /// The folder of the recording; made where it is missing, readable by its owner only.
    #[schemars(extend("x-required" = true))]
    directory: Option<String>,
    /// Files of days that are longer ago are removed.
    #[schemars(range(min = 1, max = 3660))]
    keep_days: u32,
    /// What becomes a keyed pseudonym before it is written, wherever the value stands: `subject`, `email`, `address`
    /// (the browser's), `identifier` (what was typed), and claims, attributes or facts by name.
    redact: Vec<String>,
    /// The pseudonym of an email address keeps its domain, by which most policies decide.
    redact_keeps_domain: bool,
    /// Decisions that may wait to be written. What comes on top is not recorded, and counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    queue_max: u32,
}

impl Default for RawRecording {
    fn default() -> Self {
        Self { directory: None, keep_days: 30, redact: Vec::new(), redact_keeps_domain: true, queue_max: 4096 }
    }
}

impl RawRecording {
    pub(super) fn check(self, check: &mut Check<'_>) -> Option<Recording> {
        let mut redact = BTreeSet::new();
        for (index, name) in self.redact.iter().enumerate() {
            let key = format!("recording.redact[{index}]");
            if name.trim().is_empty() {
                let expected = "`subject`, `email`, `address`, `identifier`, or the name of a claim";
                check.error(&key, "the name is empty", expected, "");
            } else if !redact.insert(name.clone()) {
                check.error(&key, format!("`{name}` is named twice"), "each once", "");
            }
        }
        let directory = check.path("recording.directory", &self.directory?);
        Some(Recording {
            directory,
            keep_days: self.keep_days,
            redact,
            keeps_domain: self.redact_keeps_domain,
            queue_max: usize::try_from(self.queue_max).unwrap_or(usize::MAX),
        })
    }
}
