//! `[consent]`

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Check;

/// `[consent]`
#[derive(Clone, Debug)]
pub struct Consent {
    /// `file`: who agreed to what.
    pub file: PathBuf,
}

/// What people agreed to share with relying parties that have `consent`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawConsent {
    /// The file that keeps who agreed to what, by `sub`; made when the first person answers.
    #[schemars(extend("x-required" = true))]
    file: Option<String>,
}

impl RawConsent {
    pub(super) fn check(self, check: &mut Check<'_>) -> Option<Consent> {
        let file = check.path("consent.file", &self.file?);
        Some(Consent { file })
    }
}
