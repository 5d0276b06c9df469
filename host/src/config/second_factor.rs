//! `[second-factor]`

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Check;

/// `[second-factor]`: the gateway's own.
#[derive(Clone, Debug)]
pub struct SecondFactor {
    /// `file`: who has one.
    pub file: PathBuf,
    /// `name`: what authenticator apps and passkeys call this gateway; default its host.
    pub name: Option<String>,
    /// `codes-per-minute`: codes tried from one address; default 10.
    pub codes_per_minute: u32,
}

/// The gateway's own second factor, for upstreams that have none. A policy says when it is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSecondFactor {
    /// The file that keeps who has one; made when the first is set up.
    #[schemars(extend("x-required" = true))]
    file: Option<String>,
    /// What authenticator apps, and what keeps passkeys, call this gateway; default its host.
    name: Option<String>,
    /// Codes tried from one address.
    #[schemars(range(min = 1))]
    codes_per_minute: u32,
}

impl Default for RawSecondFactor {
    fn default() -> Self {
        Self { file: None, name: None, codes_per_minute: 10 }
    }
}

impl RawSecondFactor {
    pub(super) fn check(self, check: &mut Check<'_>) -> Option<SecondFactor> {
        // A colon would end the name where an app reads it.
        let is_name = |name: &String| {
            !name.trim().is_empty() && name.chars().count() <= 64 && !name.chars().any(|c| c == ':' || c.is_control())
        };
        if self.name.as_ref().is_some_and(|name| !is_name(name)) {
            let expected = "1 to 64 characters without colons";
            check.error("second-factor.name", "not a name for authenticator apps", expected, "");
        }
        let file = check.path("second-factor.file", &self.file?);
        Some(SecondFactor { file, name: self.name, codes_per_minute: self.codes_per_minute })
    }
}
