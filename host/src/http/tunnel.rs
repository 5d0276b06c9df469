//! WebSocket through the built-in reverse proxy (RFC 6455 §4): the handshake is asked for
//! anew, and from then on bytes go both ways until either side ends or both are silent.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue, Method, Request, Version, header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const BUFFER: usize = 16 * 1024;

/// Does the browser ask for a WebSocket, and for nothing else? Any other upgrade (`h2c`) would
/// be a way past the gateway.
pub(super) fn is_websocket<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && request.method() == Method::GET && is_agreed(request.headers())
}

/// Is `websocket` the one upgrade that is named?
pub(super) fn is_agreed(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::UPGRADE).iter();
    let is_websocket = named.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let mut options =
        headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    is_websocket && named.next().is_none() && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Writes the upgrade's two headers.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Carries bytes until one side ends, or neither has said anything for `idle`.
pub(super) async fn between<A, B>(browser: A, application: B, idle: Duration)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let moved = AtomicU64::new(0);
    let (from_browser, to_browser) = tokio::io::split(browser);
    let (from_application, to_application) = tokio::io::split(application);
    let silence = async {
        let mut before = moved.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(idle).await;
            let now = moved.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    };
    // However it ends, both connections are dropped, and so closed.
    tokio::select! {
        _ = carry(from_browser, to_application, &moved) => {}
        _ = carry(from_application, to_browser, &moved) => {}
        () = silence => {}
    }
}

async fn carry<R, W>(mut from: R, mut to: W, moved: &AtomicU64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..length).unwrap_or_default()).await?;
        to.flush().await?;
        moved.fetch_add(1, Ordering::Relaxed);
    }
}
