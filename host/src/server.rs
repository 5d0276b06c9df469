//! Sockets: accepts connections, within limits, and hands on their requests.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{config::Server, http::Peer};

/// Connections open at one time; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 8192;
/// How long a request head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 client is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long requests under way may take once the gateway is told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// hyper's own minimum for the buffer that holds a request head.
const HEAD_BUFFER_MIN: usize = 8192;

/// Serves on `listener` what `answer` says, until `stop` comes true; then lets the requests under
/// way end.
pub async fn serve<A, F, B>(config: &Server, listener: TcpListener, answer: A, stop: impl Future<Output = ()>)
where
    A: Fn(Peer, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    serve_within(config, listener, answer, stop, HEAD_TIMEOUT).await;
}

async fn serve_within<A, F, B>(
    config: &Server,
    listener: TcpListener,
    answer: A,
    stop: impl Future<Output = ()>,
    head_timeout: Duration,
) where
    A: Fn(Peer, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(config.header_bytes_max.max(HEAD_BUFFER_MIN));
    builder
        .http2()
        .timer(TokioTimer::new())
        // A client that is gone without a word is found out.
        .keep_alive_interval(Some(KEEP_ALIVE))
        .keep_alive_timeout(head_timeout)
        .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(256);
    let builder = Arc::new(builder);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        // Also where no place is left, the gateway can be stopped.
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or a connection that ended before it began.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answered = answer(Peer(peer), request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let (builder, watcher) = (Arc::clone(&builder), graceful.watcher());
        tokio::spawn(async move {
            if !matches!(tokio::time::timeout(head_timeout, speaks(&stream)).await, Ok(true)) {
                return;
            }
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            let connection = watcher.watch(connection);
            // A connection that breaks is its client's business; its requests were answered
            // or had nobody to answer to.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

/// Says the client enough to tell its protocol? hyper waits for that as long as it takes, and a
/// client that says nothing, or the first half of HTTP/2's preface, would hold its place for ever.
async fn speaks(stream: &TcpStream) -> bool {
    /// RFC 9113 §3.4.
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut head = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut head).await {
            Ok(0) | Err(_) => return false,
            Ok(length) => {
                let said = head.get(..length).unwrap_or_default();
                if said.len() == PREFACE.len() || !PREFACE.starts_with(said) {
                    return true;
                }
            }
        }
        // What is there stays there, so that there is nothing to wait for but time.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_say_what_it_wants_loses_its_place() {
        let text = "[server]\npublic-url = \"https://login.example.com\"\n";
        let config = crate::config::parse(text, std::path::Path::new("vestibule.toml"), &|_| None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = |_, _| async { Response::new(Empty::<bytes::Bytes>::new()) };
        tokio::spawn(async move {
            serve_within(&config.server, listener, answer, std::future::pending(), Duration::from_millis(200)).await;
        });
        for said in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: a", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut heard = Vec::new();
            // The end comes from the server; a minute is for a machine that is busy.
            // What was sent and never read makes it a reset.
            let end = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut heard)).await;
            assert!(end.is_ok(), "still connected after {said:?}");
            assert_eq!(heard.starts_with(b"HTTP/1.1 200"), said.ends_with("\r\n\r\n"), "{said:?}");
        }
    }
}
