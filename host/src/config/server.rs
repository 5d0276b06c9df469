//! The sections that concern the gateway itself.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use url::Url;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
