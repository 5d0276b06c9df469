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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Policies, Severity, parse};

    /// From minisign's own documentation.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    /// `[policies]` with `above` in it and `pack` in its pack, or the keys that are wrong.
    fn read(above: &str, pack: &str) -> Result<Policies, Vec<String>> {
        let text = format!(
            "[server]\npublic-url = \"https://login.example.com\"\n[upstreams.main]\npreset = \"google\"\nclient-id = \"c\"\n\
             client-secret = \"s\"\n[policies]\n{above}\n[policies.pack]\n{pack}\n[applications.web]\n\
             upstreams = [\"main\"]\nchain = [\"whatever-the-pack-has\"]\nurl = \"https://web.example.com/\"\n\
             [applications.web.forward-auth]\n"
        );
        let parsed = parse(&text, Path::new("/etc/vestibule/vestibule.toml"), &|_| None);
        let config = parsed.map_err(|problems| {
            let errors = problems.problems().iter().filter(|problem| problem.severity == Severity::Error);
            errors.map(|problem| problem.key.clone()).collect::<Vec<_>>()
        })?;
        Ok(config.policies)
    }

    #[test]
    fn a_pack_has_a_file_and_somebody_who_vouches_for_it() {
        let good = format!("file = \"generation.pack\"\ntrusted-keys = {{ ann = \"{KEY}\" }}");
        let policies = read("versions-file = \"versions.json\"", &good).unwrap();
        let pack = policies.pack.as_ref().unwrap();
        assert_eq!((pack.file.as_path(), pack.trust.required), (Path::new("/etc/vestibule/generation.pack"), 1));
        assert!(policies.vouching().keys.contains_key("ann"));
        for (above, lines, wrong) in [
            ("versions-file = \"v\"", "", vec!["policies.pack.file", "policies.pack.trusted-keys"]),
            ("versions-file = \"v\"", "file = \"p\"", vec!["policies.pack.trusted-keys"]),
            ("", &good, vec!["policies.versions-file"]),
            (
                "versions-file = \"v\"",
                &format!("{good}\nsignatures-required = 2"),
                vec!["policies.pack.signatures-required"],
            ),
            (
                "versions-file = \"v\"",
                &format!("{good}\nsignatures-required = 0"),
                vec!["policies.pack.signatures-required"],
            ),
            (
                "versions-file = \"v\"",
                &format!("{good}\nrevoked-keys = [\"{KEY}\"]"),
                vec!["policies.pack.trusted-keys"],
            ),
            ("versions-file = \"v\"", &format!("{good}\ncomponent = \"a.wasm\""), vec!["policies.pack.component"]),
        ] {
            assert_eq!(read(above, lines).unwrap_err(), wrong, "{lines}");
        }
    }

    #[test]
    fn what_nobody_would_look_at_beside_a_pack_is_an_error() {
        let good = format!("file = \"generation.pack\"\ntrusted-keys = {{ ann = \"{KEY}\" }}");
        let policy = format!("{good}\n[policies.a]\ncomponent = \"a.wasm\"");
        assert_eq!(read("versions-file = \"v\"", &policy).unwrap_err(), ["policies.a"]);
        for (line, wrong) in [
            (format!("trusted-keys = {{ bob = \"{KEY}\" }}"), "policies.trusted-keys"),
            (format!("revoked-keys = [\"{KEY}\"]"), "policies.revoked-keys"),
            ("signatures-required = 1".to_owned(), "policies.signatures-required"),
        ] {
            let above = format!("versions-file = \"v\"\n{line}");
            assert_eq!(read(&above, &good).unwrap_err(), [wrong], "{line}");
        }
    }
}
