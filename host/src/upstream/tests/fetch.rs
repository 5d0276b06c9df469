//! Limits of the HTTP client: where it connects to, what it takes, how long it waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::upstream::tests::{
    limits,
    op::{FakeOp, Reply},
};

fn get(url: &str) -> Call {
    Call::document("test document", &url.parse().unwrap())
}

async fn refusal(fetcher: &Fetcher, url: &str) -> &'static str {
    fetcher.send(get(url)).await.unwrap_err().code
}

#[tokio::test]
async fn refuses_private_addresses_however_they_are_written() {
    let fetcher = Fetcher::new(&Fetch { allow_private: Vec::new(), ..limits() }).unwrap();
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://0/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://localhost/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://172.16.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://224.0.0.1/",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
    ] {
        assert_eq!(refusal(&fetcher, url).await, "fetch-address-refused", "{url}");
    }
    for url in ["ftp://op.example/", "file:///etc/passwd", "http://a:b@op.example/", "http://a@op.example/", "unix:/x"]
    {
        assert_eq!(refusal(&fetcher, url).await, "fetch-url-refused", "{url}");
    }
}

#[tokio::test]
async fn allows_what_the_operator_allows_and_nothing_beside_it() {
    let op = FakeOp::start().await;
    let url = op.origin.join("/jwks").unwrap();
    assert_eq!(Fetcher::new(&limits()).unwrap().send(get(url.as_str())).await.unwrap().status, 200);
    let others = vec![Network { address: "127.0.0.2".parse().unwrap(), prefix: 32 }];
    let fetcher = Fetcher::new(&Fetch { allow_private: others, ..limits() }).unwrap();
    assert_eq!(refusal(&fetcher, url.as_str()).await, "fetch-address-refused");
    assert_eq!(op.seen("/jwks").len(), 1);
}

#[tokio::test]
async fn speaks_clear_text_to_allowed_addresses_only() {
    let resolve: Arc<Resolve> =
        Arc::new(|_, port| Box::pin(async move { Ok(vec![SocketAddr::from(([192, 0, 66, 2], port))]) }));
    let fetcher = Fetcher::with_resolver(&limits(), resolve).unwrap();
    assert_eq!(refusal(&fetcher, "http://op.example/").await, "fetch-cleartext-refused");
}

#[tokio::test]
async fn connects_to_the_address_that_it_checked() {
    let op = FakeOp::start().await;
    let port = op.origin.port().unwrap();
    // A name that is a public address the first time, and loopback from then on.
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let resolve: Arc<Resolve> = Arc::new(move |_, port| {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if first { [169, 254, 169, 254] } else { [127, 0, 0, 1] };
        Box::pin(async move { Ok(vec![SocketAddr::from((address, port))]) })
    });
    let fetcher = Fetcher::with_resolver(&limits(), resolve).unwrap();
    let url = format!("http://rebind.example:{port}/jwks");
    assert_eq!(refusal(&fetcher, &url).await, "fetch-address-refused");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the name was resolved again after the check");
    assert_eq!(fetcher.send(get(&url)).await.unwrap().status, 200);
    // Of several addresses only those that may be.
    let resolve: Arc<Resolve> = Arc::new(|_, port| {
        let addresses = [[10, 0, 0, 1], [127, 0, 0, 1]].map(|address| SocketAddr::from((address, port)));
        Box::pin(async move { Ok(addresses.to_vec()) })
    });
    let fetcher = Fetcher::with_resolver(&limits(), resolve).unwrap();
    assert_eq!(fetcher.send(get(&url)).await.unwrap().status, 200);
    let resolve: Arc<Resolve> = Arc::new(|_, _| Box::pin(async { Ok(Vec::new()) }));
    let fetcher = Fetcher::with_resolver(&limits(), resolve).unwrap();
    assert_eq!(refusal(&fetcher, &url).await, "fetch-name-unresolved");
}

#[tokio::test]
async fn a46_refuses_a_coded_body_and_never_unpacks_it() {
    let op = FakeOp::start().await;
    let fetcher = Fetcher::new(&limits()).unwrap();
    // The head of a gzip stream that would unpack to a gigabyte.
    let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].repeat(1000);
    for coding in ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "unknown", ""] {
        op.reply("/x", Reply::of(200, "application/json", bomb.clone()).header("content-encoding", coding));
        assert_eq!(refusal(&fetcher, op.origin.join("/x").unwrap().as_str()).await, "fetch-compressed", "{coding}");
    }
    op.reply("/x", Reply::of(200, "application/json", "{}").header("content-encoding", "identity"));
    let answer = fetcher.send(get(op.origin.join("/x").unwrap().as_str())).await.unwrap();
    assert_eq!((answer.media_type.as_str(), &answer.body[..]), ("application/json", &b"{}"[..]));
    // An unmarked one is a text that is no JSON.
    op.reply("/x", Reply::of(200, "application/json", bomb.clone()));
    let answer = fetcher.send(get(op.origin.join("/x").unwrap().as_str())).await.unwrap();
    assert_eq!(answer.body.len(), bomb.len());
}

#[tokio::test]
async fn a46_reads_no_more_than_the_limit() {
    let op = FakeOp::start().await;
    let fetcher = Fetcher::new(&Fetch { body_bytes_max: 1000, ..limits() }).unwrap();
    let url = op.origin.join("/x").unwrap();
    for (bytes, fits) in [(1000, true), (1001, false), (10 << 20, false)] {
        op.reply("/x", Reply::Flood(bytes));
        assert_eq!(fetcher.send(get(url.as_str())).await.is_ok(), fits, "{bytes} without a length");
        op.reply("/x", Reply::of(200, "text/plain", vec![b' '; bytes]));
        assert_eq!(fetcher.send(get(url.as_str())).await.is_ok(), fits, "{bytes} with a length");
    }
}

#[tokio::test]
async fn one_deadline_covers_a_body_that_never_ends() {
    let op = FakeOp::start().await;
    op.reply("/x", Reply::Drip);
    let fetcher = Fetcher::new(&Fetch { timeout: Duration::from_millis(300), ..limits() }).unwrap();
    assert_eq!(refusal(&fetcher, op.origin.join("/x").unwrap().as_str()).await, "fetch-timeout");
}

#[tokio::test]
async fn tells_why_there_is_no_connection() {
    let fetcher = Fetcher::new(&limits()).unwrap();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(refusal(&fetcher, &format!("http://{closed}/")).await, "fetch-connection-failed");
    let op = FakeOp::start().await;
    let port = op.origin.port().unwrap();
    // No TLS is spoken there.
    let refused = refusal(&fetcher, &format!("https://127.0.0.1:{port}/")).await;
    assert_eq!(refused, "fetch-tls-failed");
    let missing = Fetch { ca_file: Some("/nowhere/ca.pem".into()), ..limits() };
    assert_eq!(Fetcher::new(&missing).unwrap_err().code, "ca-file-unreadable");
    let file = tempfile::NamedTempFile::new().unwrap();
    let empty = Fetch { ca_file: Some(file.path().to_owned()), ..limits() };
    assert_eq!(Fetcher::new(&empty).unwrap_err().code, "ca-file-unreadable");
}
