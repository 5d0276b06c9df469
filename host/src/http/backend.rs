//! The connections to an application behind the built-in reverse proxy.

use std::{error::Error, io, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, Response},
};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};

use super::error::Failure;
use crate::config::ReverseProxy;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// An application's backend, and the connections to it.
pub(super) struct Backend {
    pub(super) settings: ReverseProxy,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl Backend {
    /// # Errors
    ///
    /// Where TLS cannot be set up.
    pub(super) fn new(settings: &ReverseProxy) -> Result<Self, rustls::Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(settings.connect_timeout));
        // The wrapper says whether it is https.
        connector.enforce_http(false);
        let authorities = match &settings.tls {
            Some(tls) => Arc::clone(&tls.authorities),
            // Nobody: a backend of plain HTTP never becomes another one.
            None => Arc::new(RootCertStore::empty()),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let builder = HttpsConnectorBuilder::new().with_tls_config(config);
        let builder = match &settings.tls {
            Some(tls) => {
                let name = FixedServerNameResolver::new(tls.name.clone());
                builder.https_only().with_server_name_resolver(name)
            }
            None => builder.https_or_http(),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(builder.enable_http1().wrap_connector(connector));
        Ok(Self { settings: settings.clone(), client })
    }

    /// Sends a request whose address is the backend's.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        let answered = tokio::time::timeout(self.settings.response_timeout, self.client.request(request)).await;
        match answered {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::BackendTimedOut),
        }
    }
}

fn failure(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(known) = cause {
        if known.is::<http_body_util::LengthLimitError>() {
            return Failure::BodyTooLarge;
        }
        if let Some(tls) = known.downcast_ref::<io::Error>().and_then(tls_failure) {
            tracing::error!(error = %tls, "the application did not prove who it is");
            return Failure::BackendUnproved;
        }
        cause = known.source();
    }
    // The error may hold an address of the house, and nothing that must not be logged.
    tracing::error!(%error, "the application did not answer");
    if error.is_connect() { Failure::BackendUnreachable } else { Failure::BackendBroken }
}

/// TLS's error in `io::Error`s, which give as their source not the error that they wrap, but that one's source.
fn tls_failure(error: &io::Error) -> Option<&rustls::Error> {
    let wrapped = error.get_ref()?;
    wrapped.downcast_ref().or_else(|| wrapped.downcast_ref::<io::Error>().and_then(tls_failure))
}
