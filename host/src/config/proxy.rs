//! `[applications.ID.proxy]`: the built-in reverse proxy.

use std::time::Duration;

use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;

use super::check::{Check, join};

/// `[applications.ID.proxy]`
#[derive(Clone, Debug)]
pub struct ReverseProxy {
    /// `backend`: scheme, host and port.
    pub backend: Uri,
    /// `connect-timeout-ms`: default 5000.
    pub connect_timeout: Duration,
    /// `response-timeout-ms`: until the response's headers are there; default 60000.
    pub response_timeout: Duration,
    /// `idle-timeout-ms`: between two pieces of a body, and of a WebSocket that is silent;
    /// default 120000.
    pub idle_timeout: Duration,
    /// `body-bytes-max`: none means no limit; bodies are not kept in memory.
    pub body_bytes_max: Option<u64>,
    /// `websocket`: default true.
    pub websocket: bool,
}

/// The gateway itself is the reverse proxy, for an application that has none. Identity headers are those of
/// `forward-auth`.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawProxy {
    /// Where the application listens, such as `http://127.0.0.1:8080`.
    #[schemars(extend("x-required" = true))]
    backend: Option<String>,
    /// How long a connection to the application may take to open.
    #[schemars(range(min = 1, max = 600_000))]
    connect_timeout_ms: u32,
    /// How long the application may take until its response's headers are there, an upload included.
    #[schemars(range(min = 1, max = 86_400_000))]
    response_timeout_ms: u32,
    /// How long a body or a WebSocket may be silent.
    #[schemars(range(min = 1, max = 86_400_000))]
    idle_timeout_ms: u32,
    /// The longest request body; default no limit, since none is kept in memory.
    body_bytes_max: Option<u64>,
    /// Let WebSockets through.
    websocket: bool,
}

impl Default for RawProxy {
    fn default() -> Self {
        Self {
            backend: None,
            connect_timeout_ms: 5_000,
            response_timeout_ms: 60_000,
            idle_timeout_ms: 120_000,
            body_bytes_max: None,
            websocket: true,
        }
    }
}

impl RawProxy {
    /// None where something needed is missing or wrong, which was reported.
    pub(super) fn check(self, check: &mut Check<'_>, section: &str) -> Option<ReverseProxy> {
        let text = self.backend?;
        let backend = text.parse::<Uri>().ok().filter(|uri| {
            uri.scheme_str() == Some("http")
                && uri.path() == "/"
                && uri.query().is_none()
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        });
        if backend.is_none() {
            let hint = "the path goes on as the browser sent it";
            check.error(
                &join(section, "backend"),
                "not an address of a backend",
                "such as `http://127.0.0.1:8080`",
                hint,
            );
        }
        let millis = |millis: u32| Duration::from_millis(u64::from(millis));
        Some(ReverseProxy {
            backend: backend?,
            connect_timeout: millis(self.connect_timeout_ms),
            response_timeout: millis(self.response_timeout_ms),
            idle_timeout: millis(self.idle_timeout_ms),
            body_bytes_max: self.body_bytes_max,
            websocket: self.websocket,
        })
    }
}
