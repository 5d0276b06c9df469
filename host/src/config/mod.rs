//! The configuration: one TOML file to typed sections, all problems reported at once.
//!
//! This module imports nothing that it configures, reads only the configuration file and
//! the files and environment variables that it names, and opens no socket.

mod application;
mod policies;
mod server;
mod upstream;

use std::{collections::BTreeMap, path::PathBuf};

pub use application::{Application, ForwardAuth, HandOver, IdentityHeaders, OidcClient};
pub use policies::{Limits, Policies, PolicySource};
pub use server::{Accounts, Audit, Fetch, Keys, Log, LogFormat, LoginLimits, Network, Server, Session};
pub use upstream::{ClientAuthn, Endpoints, Keying, OAuth2, Oidc, Upstream, UpstreamKind};

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// sha-256 of the file's bytes, in lower-case hex.
    pub digest: String,
    /// `[server]`
    pub server: Server,
    /// `[log]`
    pub log: Log,
    /// `[keys]`
    pub keys: Keys,
    /// `[session]`
    pub session: Session,
    /// `[audit]`
    pub audit: Audit,
    /// `[fetch]`
    pub fetch: Fetch,
    /// `[login]`
    pub login: LoginLimits,
    /// `[accounts]`: the local accounts, if there are any.
    pub accounts: Option<Accounts>,
    /// `[policies]` and `[policies.NAME]`
    pub policies: Policies,
    /// `[upstreams.ID]`, by id.
    pub upstreams: BTreeMap<String, Upstream>,
    /// `[applications.ID]`, by id.
    pub applications: BTreeMap<String, Application>,
}
