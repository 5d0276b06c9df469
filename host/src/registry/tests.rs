//! A registry that lies: what it sends is taken only where it is what was asked for.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

const LIMITS: Limits = Limits { component: 1000, statement: 100, signatures: 100 };

/// What a path is answered with: status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// What was asked: the path, and who asked.
type Asked = (String, Option<String>);

/// A registry that answers what it was told, and remembers what it was asked.
struct Liar {
    address: String,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Liar {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers: Arc<Mutex<BTreeMap<String, Answer>>> = Arc::default();
        let asked: Arc<Mutex<Vec<_>>> = Arc::default();
        let (table, log) = (Arc::clone(&answers), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (table, log) = (Arc::clone(&table), Arc::clone(&log));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().to_string();
                    let who = request.headers().get("authorization").map(|it| it.to_str().unwrap().to_owned());
                    log.lock().unwrap().push((path.clone(), who.clone()));
                    let mut known = table.lock().unwrap().get(&path).cloned().unwrap_or((404, vec![], vec![]));
                    if let Some(who) = who.filter(|_| known.0 == 401) {
                        known = table.lock().unwrap().get(&format!("{path} {who}")).cloned().unwrap_or(known);
                    }
                    let mut response = Response::builder().status(known.0);
                    for (name, value) in known.1 {
                        response = response.header(name, value);
                    }
                    let response = response.body(Full::new(Bytes::from(known.2))).unwrap();
                    async move { Ok::<_, Infallible>(response) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, answers, asked }
    }

    fn answer(&self, path: &str, status: u16, headers: Vec<(&'static str, String)>, body: &[u8]) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, headers, body.to_owned()));
    }

    /// Serves `component` as the tag `good`, and returns the manifest and its digest.
    fn serve(&self, component: &[u8]) -> (Vec<u8>, String) {
        let labels = Labels { name: "a".into(), version: "1.0.0".into(), ..Labels::default() };
        let config = layout::config(component, &labels);
        let manifest = layout::Manifest::of_component(component, &config, &labels).to_bytes();
        let digest = sha256(&manifest);
        self.answer("/v2/a/manifests/good", 200, vec![], &manifest);
        self.answer(&format!("/v2/a/manifests/{digest}"), 200, vec![], &manifest);
        self.blob(&config);
        self.blob(component);
        (manifest, digest)
    }

    fn blob(&self, bytes: &[u8]) {
        self.answer(&blob(bytes), 200, vec![], bytes);
    }

    async fn pull(&self, place: &str) -> Result<Pulled, RegistryError> {
        self.pull_as(place, None).await
    }

    async fn pull_as(&self, place: &str, who: Option<Credentials>) -> Result<Pulled, RegistryError> {
        let reference: Reference = format!("{}/a{place}", self.address).parse().unwrap();
        Registry::new(&reference, who).unwrap().pull(LIMITS).await
    }
}

fn blob(bytes: &[u8]) -> String {
    format!("/v2/a/blobs/{}", sha256(bytes))
}

#[tokio::test]
async fn pulls_by_tag_and_by_digest() {
    let liar = Liar::start().await;
    let (_, digest) = liar.serve(b"component");
    for place in [":good".to_owned(), format!("@{digest}"), format!(":other@{digest}")] {
        let pulled = liar.pull(&place).await.unwrap();
        assert_eq!((pulled.component.as_slice(), &pulled.digest), (&b"component"[..], &digest), "{place}");
        assert!(pulled.vouching.is_empty());
    }
}

#[tokio::test]
async fn another_manifest_under_the_pinned_digest_is_refused() {
    let liar = Liar::start().await;
    let (_, digest) = liar.serve(b"component");
    let (other, _) = liar.serve(b"another component");
    liar.answer(&format!("/v2/a/manifests/{digest}"), 200, vec![], &other);
    let error = liar.pull(&format!("@{digest}")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
    // And so is a registry that contradicts itself about a tag.
    liar.answer("/v2/a/manifests/good", 200, vec![("docker-content-digest", digest)], &other);
    let error = liar.pull(":good").await.unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn a_component_with_a_changed_or_a_further_byte_is_refused() {
    let liar = Liar::start().await;
    liar.serve(b"component");
    liar.answer(&blob(b"component"), 200, vec![], b"compOnent");
    let error = liar.pull(":good").await.unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
    liar.answer(&blob(b"component"), 200, vec![], b"component and more");
    let error = liar.pull(":good").await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { max: 9, .. }), "{error}");
    liar.answer(&blob(b"component"), 200, vec![], b"compo");
    let error = liar.pull(":good").await.unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_not_fetched() {
    let liar = Liar::start().await;
    let large = vec![0; 1001];
    liar.serve(&large);
    let error = liar.pull(":good").await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { max: 1000, .. }), "{error}");
    assert!(!liar.asked.lock().unwrap().iter().any(|(path, _)| *path == blob(&large)));
    // A manifest without an end is one, too.
    liar.answer("/v2/a/manifests/good", 200, vec![], &vec![b' '; (1 << 20) + 1]);
    assert!(matches!(liar.pull(":good").await, Err(RegistryError::TooLarge { .. })));
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let liar = Liar::start().await;
    let (manifest, _) = liar.serve(b"component");
    let good: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let changes: [(&str, &str, serde_json::Value); 6] = [
        ("/mediaType", "of the type", "application/vnd.docker.distribution.manifest.v2+json".into()),
        ("/config/mediaType", "configuration", "application/vnd.oci.image.config.v1+json".into()),
        ("/layers/0/mediaType", "layer", "application/vnd.oci.image.layer.v1.tar+gzip".into()),
        ("/layers", "0 layers", serde_json::json!([])),
        ("/layers/0/digest", "no sha256", "sha256:../../../etc/passwd".into()),
        ("/schemaVersion", "type", 1.into()),
    ];
    for (pointer, says, value) in changes {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        liar.answer("/v2/a/manifests/good", 200, vec![], wrong.to_string().as_bytes());
        let error = liar.pull(":good").await.unwrap_err();
        assert!(matches!(error, RegistryError::Layout { .. }), "{pointer}: {error}");
        assert!(error.to_string().contains(says), "{pointer}: {error}");
    }
    for body in [&b"{}"[..], b"", b"<html>", b"[]"] {
        liar.answer("/v2/a/manifests/good", 200, vec![], body);
        assert!(matches!(liar.pull(":good").await, Err(RegistryError::Layout { .. })));
    }
}

#[tokio::test]
async fn follows_no_redirect_to_clear_text_elsewhere() {
    let liar = Liar::start().await;
    liar.serve(b"component");
    for place in ["http://192.0.2.1/x", "http://ghcr.io/x", "ftp://127.0.0.1/x", "file:///etc/passwd"] {
        liar.answer(&blob(b"component"), 307, vec![("location", place.to_owned())], b"");
        let error = liar.pull(":good").await.unwrap_err();
        assert!(matches!(error, RegistryError::Redirect { .. }), "{place}: {error}");
    }
    // A loop ends.
    liar.answer(&blob(b"component"), 307, vec![("location", blob(b"component"))], b"");
    assert!(matches!(liar.pull(":good").await, Err(RegistryError::Redirect { .. })));
}

#[tokio::test]
async fn who_asks_is_told_to_the_registry_alone() {
    let (liar, elsewhere) = (Liar::start().await, Liar::start().await);
    liar.serve(b"component");
    elsewhere.answer("/blob", 200, vec![], b"component");
    let there = format!("http://{}/blob", elsewhere.address);
    let basic = "Basic YW5uOmh1c2g=";
    let challenge = vec![("www-authenticate", "Basic realm=\"x\"".to_owned())];
    let manifest = liar.answers.lock().unwrap()["/v2/a/manifests/good"].clone();
    liar.answers.lock().unwrap().insert(format!("/v2/a/manifests/good {basic}"), manifest);
    liar.answer("/v2/a/manifests/good", 401, challenge, b"");
    liar.answer(&blob(b"component"), 307, vec![("location", there)], b"");

    let error = liar.pull(":good").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    let who = Credentials { username: "ann".into(), password: crate::secret::Secret::new("hush".into()) };
    let pulled = liar.pull_as(":good", Some(who)).await.unwrap();
    assert_eq!(pulled.component, b"component");
    let told = |liar: &Liar| liar.asked.lock().unwrap().iter().filter_map(|(_, who)| who.clone()).collect::<Vec<_>>();
    assert!(told(&liar).iter().all(|who| who == basic) && !told(&liar).is_empty());
    assert_eq!(told(&elsewhere), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_is_asked_for_where_the_registry_wants_one() {
    let liar = Liar::start().await;
    liar.serve(b"component");
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\",scope=\"repository:a:pull\"", liar.address);
    let manifest = liar.answers.lock().unwrap()["/v2/a/manifests/good"].clone();
    liar.answers.lock().unwrap().insert("/v2/a/manifests/good Bearer t-1".to_owned(), manifest);
    liar.answer("/v2/a/manifests/good", 401, vec![("www-authenticate", realm)], b"");
    liar.answer("/token?service=s&scope=repository%3Aa%3Apull", 200, vec![], b"{\"token\":\"t-1\"}");
    assert_eq!(liar.pull(":good").await.unwrap().component, b"component");
}

#[tokio::test]
async fn what_vouches_for_another_manifest_vouches_for_nothing() {
    let liar = Liar::start().await;
    let (manifest, digest) = liar.serve(b"component");
    let vouching = Vouching { statement: b"statement".to_vec(), signatures: b"signatures".to_vec() };
    let refer = |subject: &[u8]| {
        let subject = layout::Descriptor::of(layout::MANIFEST, subject);
        let referrer = layout::Manifest::of_vouching(&vouching, subject);
        let bytes = referrer.to_bytes();
        let mut index = layout::Index::new();
        index.manifests.push(referrer.descriptor(&bytes));
        liar.answer(&format!("/v2/a/manifests/{}", sha256(&bytes)), 200, vec![], &bytes);
        liar.answer(&format!("/v2/a/referrers/{digest}"), 200, vec![], &index.to_bytes());
    };
    liar.blob(&vouching.statement);
    liar.blob(&vouching.signatures);
    refer(&manifest);
    assert_eq!(liar.pull(":good").await.unwrap().vouching, std::slice::from_ref(&vouching));
    refer(b"another manifest");
    assert_eq!(liar.pull(":good").await.unwrap().vouching, []);
}
