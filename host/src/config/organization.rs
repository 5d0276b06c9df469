//! `[organizations.ID]`: an organization whose relying parties are registered while the gateway
//! runs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::{Check, join};

/// What an admin token's hash begins with.
const HASH: &str = "sha256:";

/// `[organizations.ID]`
#[derive(Clone, Debug)]
pub struct Organization {
    /// `client-application`: the application whose policies decide for registered clients.
    pub client_application: String,
    /// `clients-file`: where they are kept.
    pub clients_file: PathBuf,
    /// `admin-tokens`: sha-256 of each.
    pub admin_tokens: Vec<[u8; 32]>,
}

/// An organization (an application's `tenant`) whose relying parties are registered over
/// `POST /api/v1/organizations/ID/clients`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawOrganization {
    /// The application whose chain and upstreams decide for whoever registers: one with `oidc`, of this organization.
    #[schemars(extend("x-required" = true))]
    pub(super) client_application: Option<String>,
    /// The file that keeps the registered clients; made when the first one comes.
    #[schemars(extend("x-required" = true))]
    clients_file: Option<String>,
    /// Who may register: `sha256:` and the hash of a token, both made by `vestibule tokens generate`.
    #[schemars(extend("x-required" = true))]
    admin_tokens: Option<Vec<String>>,
}

impl RawOrganization {
    /// None where something needed is missing or wrong, which was reported.
    pub(super) fn check(self, check: &mut Check<'_>, id: &str) -> Option<Organization> {
        let section = join("organizations", id);
        check.id(&section, id);
        let mut admin_tokens = Vec::new();
        for (index, text) in self.admin_tokens.iter().flatten().enumerate() {
            match text.strip_prefix(HASH).and_then(digest) {
                Some(digest) => admin_tokens.push(digest),
                None => {
                    let hint = "`vestibule tokens generate` makes a token and its hash";
                    let key = format!("{section}.admin-tokens[{index}]");
                    check.error(&key, "not the hash of a token", "`sha256:` and 64 hexadecimal digits", hint);
                }
            }
        }
        let clients_file = self.clients_file.map(|file| check.path(&join(&section, "clients-file"), &file));
        Some(Organization {
            client_application: self.client_application?,
            clients_file: clients_file?,
            admin_tokens: self.admin_tokens.map(|_| admin_tokens)?,
        })
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}
