//! The only HTTP client toward upstreams, and all its limits.
//!
//! - One deadline covers the whole exchange: name, connection, TLS, redirects, body.
//! - A body is read up to a limit, and never decompressed: a coded one is refused.
//! - Redirects are followed for documents only (discovery, keys), never where a secret or
//!   a code is sent, and never from https to http.
//! - Addresses are checked after resolution ([`super::address`]), and the connection goes
//!   to the address that was checked: a name that resolves differently a moment later
//!   (DNS rebinding) gains nothing. Pooled connections were checked when they were made.
//! - Clear text is spoken only to addresses that the operator allowed by name.

use std::{
    error::Error as StdError, fs, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, task, time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, TRANSFER_ENCODING, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::net::TcpStream;
use url::Url;

use super::{
    address,
    error::{UpstreamError, refuse},
};
use crate::config::{Fetch, Network};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Unused connections kept for each host.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// The head of a response; hyper's own limit on the number of its headers is 100.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    /// Which endpoint, in the operator's words: for messages.
    pub(super) what: &'static str,
    /// `GET` or `POST`.
    pub(super) method: Method,
    /// Where to.
    pub(super) url: Url,
    /// Beside those that every request has.
    pub(super) headers: HeaderMap,
    /// Empty for `GET`.
    pub(super) body: Bytes,
    /// Whether redirects may be followed.
    pub(super) redirects: Redirects,
}

/// Whether redirects may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// As often as the configuration allows.
    Follow,
    /// A redirect is a failure.
    Refuse,
}

/// One response, whole.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status; never a redirect that names a place.
    pub(super) status: StatusCode,
    /// The media type in lower case, without parameters; empty where there is none.
    pub(super) media_type: String,
    /// The body.
    pub(super) body: Bytes,
}

impl Call {
    /// A document that is public: discovery, keys.
    pub(super) fn document(what: &'static str, url: &Url) -> Self {
        let headers = HeaderMap::new();
        Self { what, method: Method::GET, url: url.clone(), headers, body: Bytes::new(), redirects: Redirects::Follow }
    }
}

/// Why a fetch failed. No variant holds anything of the body.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the address {address} is {kind}; `fetch.allow-private-addresses` does not list it")]
    AddressRefused { address: std::net::IpAddr, kind: &'static str },
    #[error("the address {0} is not in `fetch.allow-private-addresses`, and clear text goes only there")]
    CleartextRefused(std::net::IpAddr),
    #[error("the response has a content or transfer coding")]
    Compressed,
    #[error("the connection failed")]
    Connection(#[source] io::Error),
    #[error("the exchange broke off")]
    Exchange(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the name does not resolve")]
    NameUnresolved(#[source] io::Error),
    #[error("a redirect was answered where none is followed")]
    RedirectRefused,
    #[error("more redirects than `fetch.redirects-max`")]
    RedirectsExceeded,
    #[error("no complete response within `fetch.timeout-ms`")]
    Timeout,
    #[error("the TLS handshake failed: {0}")]
    Tls(rustls::Error),
    #[error("the body is longer than `fetch.body-bytes-max`")]
    TooLarge,
    #[error("the URL is neither https nor http, or carries credentials")]
    UrlRefused,
}

impl FetchError {
    /// One code for each cause.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::AddressRefused { .. } => "fetch-address-refused",
            Self::CleartextRefused(_) => "fetch-cleartext-refused",
            Self::Compressed => "fetch-compressed",
            Self::Connection(_) => "fetch-connection-failed",
            Self::Exchange(_) => "fetch-broken-off",
            Self::NameUnresolved(_) => "fetch-name-unresolved",
            Self::RedirectRefused => "fetch-redirect-refused",
            Self::RedirectsExceeded => "fetch-redirects-exceeded",
            Self::Timeout => "fetch-timeout",
            Self::Tls(_) => "fetch-tls-failed",
            Self::TooLarge => "fetch-too-large",
            Self::UrlRefused => "fetch-url-refused",
        }
    }
}

/// The client. Cheap to clone; clones share connections.
#[derive(Clone)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
    timeout: Duration,
    body_bytes_max: usize,
    redirects_max: u8,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A client with the system's certificate authorities and those of `ca-file`.
    ///
    /// # Errors
    ///
    /// `ca-file-unreadable` and `tls-unavailable`.
    pub(super) fn new(config: &Fetch) -> Result<Self, UpstreamError> {
        Self::with_resolver(config, Arc::new(system_resolver))
    }

    fn with_resolver(config: &Fetch, resolve: Arc<Resolve>) -> Result<Self, UpstreamError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse("tls-unavailable", error.to_string()))?
            .with_root_certificates(authorities(config)?)
            .with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Guarded { allowed: config.allow_private.as_slice().into(), resolve });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Ok(Self {
            client,
            timeout: config.timeout,
            body_bytes_max: config.body_bytes_max,
            redirects_max: config.redirects_max,
        })
    }

    /// Makes the request and reads the whole response.
    ///
    /// # Errors
    ///
    /// Each cause has its own code, `fetch-…`; the detail names the endpoint.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, UpstreamError> {
        let what = call.what;
        let outcome = tokio::time::timeout(self.timeout, self.exchange(call)).await;
        outcome.unwrap_or(Err(FetchError::Timeout)).map_err(|error| {
            // The sources have what the system says: refused, unreachable, unknown name.
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            refuse(error.code(), format!("failed to fetch the {what}: {error}{source}"))
        })
    }

    async fn exchange(&self, call: Call) -> Result<Answer, FetchError> {
        let mut url = call.url.clone();
        let mut followed = 0;
        loop {
            let response = self.client.request(request(&call, &url)?).await.map_err(cause)?;
            let Some(next) = redirect(&url, &response) else { return self.read(response).await };
            if call.redirects == Redirects::Refuse {
                return Err(FetchError::RedirectRefused);
            }
            if followed >= self.redirects_max {
                return Err(FetchError::RedirectsExceeded);
            }
            let next = next.ok_or(FetchError::UrlRefused)?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(FetchError::UrlRefused);
            }
            url = next;
            followed += 1;
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Answer, FetchError> {
        let (head, body) = response.into_parts();
        let plain = |name, accepted: &str| {
            head.headers
                .get_all(name)
                .iter()
                .all(|value| value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case(accepted)))
        };
        if !plain(CONTENT_ENCODING, "identity") || !plain(TRANSFER_ENCODING, "chunked") {
            return Err(FetchError::Compressed);
        }
        let body = Limited::new(body, self.body_bytes_max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { FetchError::TooLarge } else { FetchError::Exchange(error) }
        })?;
        let media_type = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|value| value.trim().to_ascii_lowercase())
            .unwrap_or_default();
        Ok(Answer { status: head.status, media_type, body: body.to_bytes() })
    }
}

fn request(call: &Call, url: &Url) -> Result<Request<Full<Bytes>>, FetchError> {
    let web = matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
    if !web {
        return Err(FetchError::UrlRefused);
    }
    let mut target = url.clone();
    target.set_fragment(None);
    let uri: Uri = target.as_str().parse().map_err(|_| FetchError::UrlRefused)?;
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = call.headers.clone();
    let headers = request.headers_mut();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    // GitHub answers 403 to a request without one.
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("vestibule/", env!("CARGO_PKG_VERSION"))));
    Ok(request)
}

/// Where `response` redirects to: `Some(None)` where that is no URL.
fn redirect(base: &Url, response: &Response<Incoming>) -> Option<Option<Url>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    Some(target.and_then(|target| base.join(target).ok()))
}

/// The cause inside hyper's error: ours, TLS's, or the exchange itself.
fn cause(error: hyper_util::client::legacy::Error) -> FetchError {
    let mut source: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(current) = source {
        if let Some(refusal) = current.downcast_ref::<ConnectError>() {
            return refusal.into();
        }
        if let Some(tls) = tls_failure(current) {
            return FetchError::Tls(tls);
        }
        source = current.source();
    }
    FetchError::Exchange(Box::new(error))
}

/// TLS's error in `io::Error`s, which give as their source not the error that they wrap,
/// but that one's source.
fn tls_failure(error: &(dyn StdError + 'static)) -> Option<rustls::Error> {
    let mut wrapped = error.downcast_ref::<io::Error>()?.get_ref();
    while let Some(current) = wrapped {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return Some(tls.clone());
        }
        wrapped = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    }
    None
}

fn authorities(config: &Fetch) -> Result<RootCertStore, UpstreamError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = &config.ca_file {
        let unreadable = |reason: String| refuse("ca-file-unreadable", format!("{}: {reason}", path.display()));
        let pem = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(unreadable("no PEM certificate in it".to_owned()));
        }
    }
    if roots.is_empty() {
        tracing::warn!("no certificate authorities were found; every https upstream will be refused");
    }
    Ok(roots)
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Host and port to addresses.
type Resolve = dyn Fn(String, u16) -> Boxed<io::Result<Vec<SocketAddr>>> + Send + Sync;

fn system_resolver(host: String, port: u16) -> Boxed<io::Result<Vec<SocketAddr>>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
}

/// Resolves, checks, connects: in this order, and to what was checked.
#[derive(Clone)]
struct Guarded {
    allowed: Arc<[Network]>,
    resolve: Arc<Resolve>,
}

/// Cloneable causes, since hyper wraps the error where it cannot be taken out again.
#[derive(Clone, Debug, thiserror::Error)]
enum ConnectError {
    #[error("the address {0} is {1}")]
    Address(std::net::IpAddr, &'static str),
    #[error("clear text to {0}")]
    Cleartext(std::net::IpAddr),
    #[error("{1}")]
    Connection(io::ErrorKind, String),
    #[error("{1}")]
    Name(io::ErrorKind, String),
}

impl From<&ConnectError> for FetchError {
    fn from(error: &ConnectError) -> Self {
        match error.clone() {
            ConnectError::Address(address, kind) => Self::AddressRefused { address, kind },
            ConnectError::Cleartext(address) => Self::CleartextRefused(address),
            ConnectError::Connection(kind, text) => Self::Connection(io::Error::new(kind, text)),
            ConnectError::Name(kind, text) => Self::NameUnresolved(io::Error::new(kind, text)),
        }
    }
}

impl tower::Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Boxed<Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), ConnectError>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.connect(&uri).await })
    }
}

impl Guarded {
    async fn connect(&self, uri: &Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let clear = uri.scheme_str() != Some("https");
        let port = uri.port_u16().unwrap_or(if clear { 80 } else { 443 });
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = |error: io::Error| ConnectError::Name(error.kind(), error.to_string());
        let candidates = match host.parse() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => (self.resolve)(host.to_owned(), port).await.map_err(name)?,
        };
        let mut failure = name(io::Error::new(io::ErrorKind::NotFound, "no address"));
        for candidate in candidates {
            match self.try_one(candidate, clear).await {
                Ok(stream) => return Ok(TokioIo::new(stream)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn try_one(&self, candidate: SocketAddr, clear: bool) -> Result<TcpStream, ConnectError> {
        let address = candidate.ip();
        if let Some(kind) = address::refusal(address, &self.allowed) {
            return Err(ConnectError::Address(address, kind));
        }
        if clear && !address::is_allowed(address, &self.allowed) {
            return Err(ConnectError::Cleartext(address));
        }
        let failed = |error: io::Error| ConnectError::Connection(error.kind(), error.to_string());
        let stream = TcpStream::connect(candidate).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }
}

#[cfg(test)]
#[path = "tests/fetch.rs"]
mod tests;
