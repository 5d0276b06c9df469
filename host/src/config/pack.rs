//! `[policies.pack]`: policies that were configured and compiled elsewhere, in one file.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    check::{Check, Text},
    signing::{RawTrust, Trust},
};

const SECTION: &str = "policies.pack";

/// `[policies.pack]`
#[derive(Clone, Debug)]
pub struct PackFile {
    /// `file`: the pack.
    pub file: PathBuf,
    /// `trusted-keys`, `signatures-required`, `revoked-keys`: who must have signed it. At least one key must.
    pub trust: Trust,
}

/// Policies that were compiled elsewhere, in one signed file, in the place of components and their settings. Its native
/// code runs with the gateway's rights, so that its keys are others than those for components.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawPack {
    /// The file, as `vestibule generation pack` makes it.
    #[schemars(extend("x-required" = true))]
    file: Option<String>,
    /// Who may sign packs, by name: minisign public keys.
    trusted_keys: BTreeMap<String, Text>,
    /// How many of the trusted keys must have signed the pack; 1, unless said otherwise.
    #[schemars(range(min = 1))]
    signatures_required: Option<u32>,
    /// Keys that count no more: public keys, or their ids.
    revoked_keys: Vec<String>,
}

impl RawPack {
    /// `remembers`: is there a `versions-file`?
    pub(super) fn check(self, check: &mut Check<'_>, remembers: bool) -> Option<PackFile> {
        if self.trusted_keys.is_empty() {
            let hint = "a pack is native code, and runs with the gateway's rights: somebody must vouch for it";
            check.missing(SECTION, "trusted-keys", "a table of minisign public keys", hint);
            return None;
        }
        let trust =
            RawTrust { keys: self.trusted_keys, required: self.signatures_required, revoked: self.revoked_keys };
        let trust = trust.check(check, SECTION, remembers);
        Some(PackFile { file: check.path("policies.pack.file", &self.file?), trust })
    }
}
