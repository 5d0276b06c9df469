//! One HTTP exchange with a registry: where it may lead, how long it may take, and the bytes of the
//! answer, held to a limit and a digest while they arrive.

use std::{error::Error as _, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT, WWW_AUTHENTICATE},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::{
    Credentials, RegistryError,
    auth::{Challenge, Token},
    named,
    reference::is_loopback,
};
use crate::secret::Secret;

/// Nothing for so long, and the exchange is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Registries send blobs from elsewhere; more than that is a loop.
const REDIRECTS_MAX: usize = 5;

/// A token is some kilobytes.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// Of a registry's own words, so much is shown.
const WORDS_BYTES_MAX: u64 = 2048;
const WORDS_CHARS_MAX: usize = 300;

/// What is asked.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(super) fn header(mut self, name: http::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn body(self, media_type: &str, body: Bytes) -> Self {
        let mut call = self.header(CONTENT_TYPE, media_type);
        call.body = body;
        call
    }
}

/// A client of one registry, with what it knows of who asks.
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    host: String,
    is_local: bool,
    credentials: Option<Credentials>,
    authorization: Option<Secret<String>>,
}

impl Transport {
    pub(super) fn new(host: &str, is_local: bool, credentials: Option<Credentials>) -> Result<Self, RegistryError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| RegistryError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, host: host.to_owned(), is_local, credentials, authorization: None })
    }

    /// Sends `call`; asks for a token and sends it again where the registry wants one.
    pub(super) async fn send(&mut self, what: &str, call: &Call) -> Result<Response<Incoming>, RegistryError> {
        let response = self.follow(what, call).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.authorization = Some(self.authorize(&response).await?);
        let response = self.follow(what, call).await?;
        if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let who = if self.credentials.is_some() { "who asks may not" } else { "nobody without a name may" };
            return Err(self.refused(format!("{who} ({what})")));
        }
        Ok(response)
    }

    fn refused(&self, problem: String) -> RegistryError {
        RegistryError::Unauthorized { host: self.host.clone(), problem }
    }

    async fn authorize(&self, response: &Response<Incoming>) -> Result<Secret<String>, RegistryError> {
        let header = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match Challenge::parse(&self.host, self.is_local, header)? {
            Challenge::Basic => match &self.credentials {
                Some(credentials) => Ok(credentials.basic()),
                None => Err(self.refused("it asks for a name and a password (`--username`)".to_owned())),
            },
            Challenge::Bearer { realm, service, scope } => {
                let url = Challenge::token_url(&realm, service.as_deref(), scope.as_deref());
                let authorization = self.credentials.as_ref().map(Credentials::basic);
                let call = Call::new(Method::GET, url);
                let response = self.once(&call, &call.url, authorization.as_ref()).await?;
                if response.status() != StatusCode::OK {
                    return Err(self.refused(format!("no token ({})", response.status().as_u16())));
                }
                let bytes = self.read("the token", response, TOKEN_BYTES_MAX, None).await?;
                let token: Option<Token> = serde_json::from_slice(&bytes).ok();
                token.and_then(Token::bearer).ok_or_else(|| self.refused("its token is none".to_owned()))
            }
        }
    }

    /// Follows redirects of what is only read. Who asks is told to the registry alone.
    async fn follow(&self, what: &str, call: &Call) -> Result<Response<Incoming>, RegistryError> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let is_ours = url.origin() == call.url.origin();
            let response = self.once(call, &url, self.authorization.as_ref().filter(|_| is_ours)).await?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !is_redirect || !matches!(call.method, Method::GET | Method::HEAD) {
                return Ok(response);
            }
            let next = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = next.and_then(|next| url.join(next).ok());
            let refuse = |problem| RegistryError::Redirect { what: what.to_owned(), problem };
            url = next.ok_or_else(|| refuse("led to no address"))?;
            self.allow(&url).map_err(refuse)?;
        }
        Err(RegistryError::Redirect { what: what.to_owned(), problem: "more redirects than anybody needs" })
    }

    /// May something be fetched from there? In clear text only from this machine, and only where the
    /// registry is on it.
    pub(super) fn allow(&self, url: &Url) -> Result<(), &'static str> {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.is_local && is_loopback(host) => Ok(()),
            "http" => Err("it leads to http, and clear text goes to loopback alone"),
            _ => Err("it leads to neither https nor http"),
        }
    }

    async fn once(
        &self,
        call: &Call,
        url: &Url,
        authorization: Option<&Secret<String>>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let unreachable = |problem: String| RegistryError::Unreachable { host: host.clone(), problem };
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = url.as_str().parse().map_err(|_| unreachable("no address".to_owned()))?;
        *request.headers_mut() = call.headers.clone();
        let agent = HeaderValue::from_static(concat!("vestibule/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        if let Some(value) = authorization.and_then(|text| HeaderValue::from_str(text.expose()).ok()) {
            let mut value = value;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answered = tokio::time::timeout(SILENCE_MAX, self.client.request(request)).await;
        answered.map_err(|_| silent(&host))?.map_err(|error| {
            // hyper's own text says only that it failed.
            let mut problem = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                problem = format!("{problem}: {cause}");
                source = cause.source();
            }
            unreachable(problem)
        })
    }

    /// The body, of at most `max` bytes, with the digest `expected`.
    pub(super) async fn read(
        &self,
        what: &str,
        response: Response<Incoming>,
        max: u64,
        expected: Option<&str>,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        let mut context = digest::Context::new(&digest::SHA256);
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await.map_err(|_| silent(&self.host))?;
            let Some(frame) = frame else { break };
            let broken = |error: hyper::Error| RegistryError::Unreachable {
                host: self.host.clone(),
                problem: format!("{what} broke off: {error}"),
            };
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if (bytes.len() as u64).saturating_add(data.len() as u64) > max {
                return Err(RegistryError::TooLarge { what: what.to_owned(), max });
            }
            context.update(&data);
            bytes.extend_from_slice(&data);
        }
        let found = named(context.finish().as_ref());
        match expected {
            Some(expected) if expected != found => {
                Err(RegistryError::Digest { what: what.to_owned(), expected: expected.to_owned(), found })
            }
            _ => Ok(bytes),
        }
    }

    /// The answer as a failure, with the registry's own words (OCI distribution specification, "error codes").
    pub(super) async fn failure(&self, what: &str, response: Response<Incoming>) -> RegistryError {
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return RegistryError::NotFound { what: what.to_owned() };
        }
        let words = self.read(what, response, WORDS_BYTES_MAX, None).await.unwrap_or_default();
        let words: serde_json::Value = serde_json::from_slice(&words).unwrap_or_default();
        let text = |key| words.pointer(&format!("/errors/0/{key}")).and_then(serde_json::Value::as_str);
        let words: Vec<&str> = [text("code"), text("message")].into_iter().flatten().collect();
        let words: String = words.join(": ").chars().filter(|it| !it.is_control()).take(WORDS_CHARS_MAX).collect();
        let problem = if words.is_empty() { String::new() } else { format!(" ({words})") };
        RegistryError::Status { what: what.to_owned(), status: status.as_u16(), problem }
    }
}

fn silent(host: &str) -> RegistryError {
    RegistryError::Silent { host: host.to_owned(), seconds: SILENCE_MAX.as_secs() }
}
