//! The sections that concern the gateway itself.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::check::{Check, UrlUse};

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// `listen`: the address to listen on. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// `public-url`: the gateway's own address as browsers see it, without a path.
    pub public_url: Url,
    /// `trusted-proxies`: the peers from whom `X-Forwarded-*` is believed. Empty trusts
    /// nobody.
    pub trusted_proxies: Vec<Network>,
    /// `request-timeout-ms`: default 30000.
    pub request_timeout: Duration,
    /// `header-bytes-max`: default 65536.
    pub header_bytes_max: usize,
    /// `body-bytes-max`: default 65536.
    pub body_bytes_max: usize,
}

/// An address range, such as `10.0.0.0/8` or `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The range's first address.
    pub address: std::net::IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// `format`: `human` or `json`.
    pub format: LogFormat,
    /// `filter`: as in `RUST_LOG`; default `info`.
    pub filter: String,
}

/// `[keys]`
#[derive(Clone, Debug)]
pub struct Keys {
    /// `directory`: where the key ring lives. `vestibule keys generate` makes one.
    pub directory: PathBuf,
}

/// `[session]`: the maxima to which every policy's answer is clamped.
#[derive(Clone, Debug)]
pub struct Session {
    /// `lifetime-s`: default 28800 (8 hours).
    pub lifetime: u32,
    /// `idle-s`: default 3600.
    pub idle: u32,
    /// `remember-lifetime-s`: the maximum for sessions that survive the browser; default
    /// 2592000 (30 days).
    pub remember_lifetime: u32,
    /// `remember`: may a policy let a session survive the browser? Default true.
    pub remember: bool,
    /// `cookie-name`: default `vestibule`. On https it gets the prefix `__Host-`.
    pub cookie_name: String,
    /// `cookie-chunks-max`: default 8, of about 3.8 kB each.
    pub cookie_chunks_max: usize,
    /// `state-file`: what of the sessions outlives a restart, above all that some were ended. Default: nothing.
    pub state_file: Option<PathBuf>,
}

/// `[audit]`
#[derive(Clone, Debug)]
pub struct Audit {
    /// `file`: the log to append to.
    pub file: PathBuf,
    /// `sync`: wait for the disk at each line; default true.
    pub sync: bool,
    /// `personal-data`: write email addresses and names in clear, not as keyed hashes;
    /// default false.
    pub personal_data: bool,
}

/// `[fetch]`: limits of every request that the gateway makes.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// `timeout-ms`: default 10000, for the whole exchange.
    pub timeout: Duration,
    /// `body-bytes-max`: default 1048576.
    pub body_bytes_max: usize,
    /// `redirects-max`: default 0 for endpoints; discovery and JWKS only.
    pub redirects_max: u8,
    /// `allow-private-addresses`: networks that may be fetched although they are private,
    /// loopback or link-local; default none.
    pub allow_private: Vec<Network>,
    /// `ca-file`: further certificate authorities, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// `[login]`
#[derive(Clone, Debug)]
pub struct LoginLimits {
    /// `pending-s`: how long a login may take; default 600.
    pub pending: u32,
    /// `attempts-per-minute`: logins begun from one address; default 60.
    pub attempts_per_minute: u32,
    /// `passwords-per-minute`: passwords tried from one address or for one account;
    /// default 10.
    pub passwords_per_minute: u32,
    /// `step-ups-max`: how often one login may be sent back for more; default 2.
    pub step_ups_max: u8,
}

/// `[accounts]`: local accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// `file`: TOML with `[accounts.USERNAME]`; passwords as argon2id PHC strings.
    pub file: PathBuf,
}

/// The gateway itself: where it listens, how browsers see it, whom it believes.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawServer {
    /// The address to listen on. Port 0 takes a free one.
    listen: String,
    /// The gateway's own address as browsers see it, without a path.
    #[schemars(extend("x-required" = true))]
    public_url: Option<String>,
    /// The peers from whom `X-Forwarded-*` is believed: addresses or CIDR ranges. Empty trusts nobody.
    trusted_proxies: Vec<String>,
    /// How long a request may take.
    #[schemars(range(min = 1))]
    request_timeout_ms: u32,
    /// Longest request head.
    #[schemars(range(min = 1024, max = 1_048_576))]
    header_bytes_max: u32,
    /// Longest request body.
    #[schemars(range(min = 1024))]
    body_bytes_max: u32,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            public_url: None,
            trusted_proxies: Vec::new(),
            request_timeout_ms: 30_000,
            header_bytes_max: 65_536,
            body_bytes_max: 65_536,
        }
    }
}

impl RawServer {
    /// None where a required key is missing or wrong, which was reported.
    pub(super) fn check(self, check: &mut Check<'_>) -> Option<Server> {
        let listen = self.listen.parse().ok();
        if listen.is_none() {
            check.error(
                "server.listen",
                "not an address to listen on",
                "ADDRESS:PORT",
                "such as `127.0.0.1:8080`, `[::1]:0`",
            );
        }
        let trusted_proxies = check.networks("server.trusted-proxies", &self.trusted_proxies);
        let public_url = check.url_opt("server.public-url", self.public_url.as_deref(), UrlUse::Origin);
        Some(Server {
            listen: listen?,
            public_url: public_url?,
            trusted_proxies,
            request_timeout: millis(self.request_timeout_ms),
            header_bytes_max: bytes(self.header_bytes_max),
            body_bytes_max: bytes(self.body_bytes_max),
        })
    }
}

/// What the gateway writes to its log.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLog {
    /// How a line looks.
    format: LogFormat,
    /// What is written, as in `RUST_LOG`: `info`, `warn,vestibule::login=debug`.
    filter: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info".to_owned() }
    }
}

impl RawLog {
    pub(super) fn check(self, check: &mut Check<'_>) -> Log {
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&self.filter) {
            check.error(
                "log.filter",
                error.to_string(),
                "a filter as in RUST_LOG",
                "such as `info` or `warn,vestibule=debug`",
            );
        }
        Log { format: self.format, filter: self.filter }
    }
}

/// The key ring.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawKeys {
    /// Where the key ring lives. `vestibule keys generate` makes one.
    directory: String,
}

impl Default for RawKeys {
    fn default() -> Self {
        Self { directory: "keys".to_owned() }
    }
}

impl RawKeys {
    pub(super) fn check(self, check: &mut Check<'_>) -> Keys {
        Keys { directory: check.path("keys.directory", &self.directory) }
    }
}

/// Sessions: the maxima to which every policy's answer is clamped.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSession {
    /// The longest that a session lives, in seconds.
    #[schemars(range(min = 1, max = 31_536_000))]
    lifetime_s: u32,
    /// A session that nobody used for so long ends, in seconds.
    #[schemars(range(min = 1, max = 31_536_000))]
    idle_s: u32,
    /// The longest for sessions that survive the browser, in seconds.
    #[schemars(range(min = 1, max = 31_536_000))]
    remember_lifetime_s: u32,
    /// May a policy let a session survive the browser?
    remember: bool,
    /// The cookie's name. On https it gets the prefix `__Host-`.
    cookie_name: String,
    /// Into how many cookies of about 3.8 kB one session may be cut.
    #[schemars(range(min = 1, max = 16))]
    cookie_chunks_max: u32,
    /// The file that keeps, sealed, which sessions were ended, who took part in them, and refresh tokens, so that a
    /// restart forgets none of it. Without one, a copied cookie of a session that was ended is good again after a restart,
    /// until it expires. Read at the start.
    state_file: Option<String>,
}

impl Default for RawSession {
    fn default() -> Self {
        Self {
            lifetime_s: 28_800,
            idle_s: 3600,
            remember_lifetime_s: 2_592_000,
            remember: true,
            cookie_name: "vestibule".to_owned(),
            cookie_chunks_max: 8,
            state_file: None,
        }
    }
}

impl RawSession {
    pub(super) fn check(self, check: &mut Check<'_>) -> Session {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if self.cookie_name.is_empty() || self.cookie_name.len() > 64 || !self.cookie_name.bytes().all(plain) {
            check.error(
                "session.cookie-name",
                "not a name for a cookie",
                "letters, digits and hyphens, at most 64",
                "",
            );
        }
        if self.cookie_name.starts_with("__") {
            check.error("session.cookie-name", "the prefix is added by the gateway", "the name alone", "");
        }
        Session {
            lifetime: self.lifetime_s,
            idle: self.idle_s,
            remember_lifetime: self.remember_lifetime_s,
            remember: self.remember,
            cookie_name: self.cookie_name,
            cookie_chunks_max: bytes(self.cookie_chunks_max),
            state_file: self.state_file.as_deref().map(|path| check.path("session.state-file", path)),
        }
    }
}

/// The record of every decision.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAudit {
    /// The log to append to.
    file: String,
    /// Wait for the disk at each line.
    sync: bool,
    /// Write email addresses and names in clear, not as keyed hashes.
    personal_data: bool,
}

impl Default for RawAudit {
    fn default() -> Self {
        Self { file: "audit.jsonl".to_owned(), sync: true, personal_data: false }
    }
}

impl RawAudit {
    pub(super) fn check(self, check: &mut Check<'_>) -> Audit {
        Audit { file: check.path("audit.file", &self.file), sync: self.sync, personal_data: self.personal_data }
    }
}

/// Limits of every request that the gateway makes.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFetch {
    /// For the whole exchange.
    #[schemars(range(min = 1))]
    timeout_ms: u32,
    /// Longest answer.
    #[schemars(range(min = 1024))]
    body_bytes_max: u32,
    /// How many redirects discovery and JWKS may take; endpoints take none.
    #[schemars(range(min = 0, max = 10))]
    redirects_max: u8,
    /// Networks that may be fetched although they are private, loopback or link-local.
    allow_private_addresses: Vec<String>,
    /// Further certificate authorities, as PEM.
    ca_file: Option<String>,
}

impl Default for RawFetch {
    fn default() -> Self {
        Self {
            timeout_ms: 10_000,
            body_bytes_max: 1 << 20,
            redirects_max: 0,
            allow_private_addresses: Vec::new(),
            ca_file: None,
        }
    }
}

impl RawFetch {
    pub(super) fn check(self, check: &mut Check<'_>) -> Fetch {
        Fetch {
            timeout: millis(self.timeout_ms),
            body_bytes_max: bytes(self.body_bytes_max),
            redirects_max: self.redirects_max,
            allow_private: check.networks("fetch.allow-private-addresses", &self.allow_private_addresses),
            ca_file: self.ca_file.map(|file| check.path("fetch.ca-file", &file)),
        }
    }
}

/// What a stranger may set in motion.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLogin {
    /// How long a login may take, in seconds.
    #[schemars(range(min = 10, max = 86_400))]
    pending_s: u32,
    /// Logins begun from one address.
    #[schemars(range(min = 1))]
    attempts_per_minute: u32,
    /// Passwords tried from one address or for one account.
    #[schemars(range(min = 1))]
    passwords_per_minute: u32,
    /// How often one login may be sent back for a stronger authentication.
    #[schemars(range(min = 0, max = 10))]
    step_ups_max: u8,
}

impl Default for RawLogin {
    fn default() -> Self {
        Self { pending_s: 600, attempts_per_minute: 60, passwords_per_minute: 10, step_ups_max: 2 }
    }
}

impl RawLogin {
    pub(super) fn check(self) -> LoginLimits {
        LoginLimits {
            pending: self.pending_s,
            attempts_per_minute: self.attempts_per_minute,
            passwords_per_minute: self.passwords_per_minute,
            step_ups_max: self.step_ups_max,
        }
    }
}

/// Local accounts.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAccounts {
    /// TOML with `[accounts.USERNAME]`; passwords as argon2id PHC strings.
    #[schemars(extend("x-required" = true))]
    file: Option<String>,
}

impl RawAccounts {
    pub(super) fn check(self, check: &mut Check<'_>) -> Option<Accounts> {
        Some(Accounts { file: check.path("accounts.file", &self.file?) })
    }
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

/// A limit as an index; 32 bits fit everywhere that this runs.
fn bytes(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
