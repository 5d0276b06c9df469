//! An OpenID provider on loopback that answers as it is told, with keys of its own.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

/// What a path answers.
#[derive(Clone, Debug)]
pub(in crate::upstream) enum Reply {
    /// A response with these bytes.
    Whole { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// One byte now and then, without end.
    Drip,
    /// So many bytes, without saying so beforehand.
    Flood(usize),
}

impl Reply {
    pub(in crate::upstream) fn json(body: &Value) -> Self {
        Self::of(200, "application/json", body.to_string())
    }

    pub(in crate::upstream) fn of(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), media_type.to_owned())];
        Self::Whole { status, headers, body: body.into() }
    }

    pub(in crate::upstream) fn redirect(status: u16, to: &str) -> Self {
        Self::of(status, "text/plain", "").header("location", to)
    }

    pub(in crate::upstream) fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Seen {
    pub(in crate::upstream) method: Method,
    pub(in crate::upstream) path: String,
    pub(in crate::upstream) headers: HeaderMap,
    pub(in crate::upstream) body: String,
}

#[derive(Debug, Default)]
struct State {
    replies: BTreeMap<String, Reply>,
    seen: Vec<Seen>,
}

/// The provider. Stops with the test's runtime.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct FakeOp {
    pub(in crate::upstream) origin: Url,
    state: Arc<Mutex<State>>,
}

impl FakeOp {
    /// Starts one with an honest discovery document and key set.
    pub(in crate::upstream) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let op = Self { origin, state: Arc::default() };
        op.reply("/.well-known/openid-configuration", Reply::json(&op.metadata()));
        op.reply("/jwks", Reply::json(&json!({"keys": keys().all().map(|key| key.jwk.clone())})));
        let state = Arc::clone(&op.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                let service = hyper::service::service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        op
    }

    pub(in crate::upstream) fn issuer(&self) -> String {
        self.origin.as_str().trim_end_matches('/').to_owned()
    }

    pub(in crate::upstream) fn metadata(&self) -> Value {
        let issuer = self.issuer();
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "end_session_endpoint": format!("{issuer}/end"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        })
    }

    pub(in crate::upstream) fn reply(&self, path: &str, reply: Reply) {
        self.state.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// The requests to `path` so far.
    pub(in crate::upstream) fn seen(&self, path: &str) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|seen| seen.path.split('?').next() == Some(path)).cloned().collect()
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let reply = {
        let mut state = state.lock().unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        state.seen.push(Seen { method: head.method, path: path.clone(), headers: head.headers, body });
        state.replies.get(head.uri.path()).cloned()
    };
    let json = |body: BoxBody<Bytes, Infallible>| {
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    };
    Ok(match reply {
        None => Response::builder().status(404).body(Full::default().boxed()).unwrap(),
        Some(Reply::Drip) => json(Drip(tokio::time::interval(Duration::from_millis(5))).boxed()),
        Some(Reply::Flood(bytes)) => json(Flood(bytes).boxed()),
        Some(Reply::Whole { status, headers, body }) => {
            let builder = headers
                .iter()
                .fold(Response::builder().status(status), |builder, (name, value)| builder.header(name, value));
            builder.body(Full::from(body).boxed()).unwrap()
        }
    })
}

struct Drip(tokio::time::Interval);

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

struct Flood(usize);

impl Body for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.min(64 * 1024);
        self.0 -= next;
        Poll::Ready((next > 0).then(|| Ok(Frame::data(Bytes::from(vec![b' '; next])))))
    }
}

/// An honest token response around `id_token`.
pub(in crate::upstream) fn tokens(id_token: &str) -> Value {
    json!({"access_token": "access-1", "token_type": "Bearer", "expires_in": 60, "id_token": id_token})
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    RsaPss(RsaKeyPair),
}

/// A key that signs, with its public half.
pub(in crate::upstream) struct Key {
    pub(in crate::upstream) kid: &'static str,
    pub(in crate::upstream) algorithm: &'static str,
    pub(in crate::upstream) jwk: Value,
    /// PKCS #8, in PEM.
    pub(in crate::upstream) private_pem: String,
    /// X.509 SubjectPublicKeyInfo, in PEM.
    pub(in crate::upstream) public_pem: String,
    pair: Pair,
}

impl Key {
    /// An honest token around `claims`.
    pub(in crate::upstream) fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "kid": self.kid, "typ": "JWT"});
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A token of these very texts.
    pub(in crate::upstream) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |pair: &RsaKeyPair, padding| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, message, &mut signature).unwrap();
            signature
        };
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => rsa(pair, &RSA_PKCS1_SHA256),
            Pair::RsaPss(pair) => rsa(pair, &RSA_PSS_SHA256),
        }
    }
}

/// The provider's keys. `stranger` is nobody's: it is in no key set.
pub(in crate::upstream) struct Keys {
    pub(in crate::upstream) rsa: Key,
    pub(in crate::upstream) pss: Key,
    pub(in crate::upstream) ec: Key,
    pub(in crate::upstream) ec384: Key,
    pub(in crate::upstream) ed: Key,
    pub(in crate::upstream) stranger: Key,
}

impl Keys {
    pub(in crate::upstream) fn all(&self) -> [&Key; 5] {
        [&self.rsa, &self.pss, &self.ec, &self.ec384, &self.ed]
    }
}

/// Made once for all tests.
pub(in crate::upstream) fn keys() -> &'static Keys {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
        rsa: rsa("rsa-1", "RS256", Pair::Rsa),
        pss: rsa("pss-1", "PS256", Pair::RsaPss),
        ec: ec("ec-1", "ES256", "P-256"),
        ec384: ec("ec-2", "ES384", "P-384"),
        ed: ed("ed-1"),
        stranger: rsa("rsa-1", "RS256", Pair::Rsa),
    });
    &KEYS
}

fn rsa(kid: &'static str, algorithm: &'static str, pair: fn(RsaKeyPair) -> Pair) -> Key {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let modulus = URL_SAFE_NO_PAD.encode(key.public_key().modulus().big_endian_without_leading_zero());
    let exponent = URL_SAFE_NO_PAD.encode(key.public_key().exponent().big_endian_without_leading_zero());
    let spki =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
    Key {
        kid,
        algorithm,
        jwk: json!({"kty": "RSA", "kid": kid, "use": "sig", "n": modulus, "e": exponent}),
        private_pem: pem(
            "PRIVATE KEY",
            aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap().as_ref(),
        ),
        public_pem: pem("PUBLIC KEY", spki.as_ref()),
        pair: pair(key),
    }
}

fn ec(kid: &'static str, algorithm: &'static str, curve: &str) -> Key {
    let parameters = if curve == "P-256" { &ECDSA_P256_SHA256_FIXED_SIGNING } else { &ECDSA_P384_SHA384_FIXED_SIGNING };
    let private = EcdsaKeyPair::generate_pkcs8(parameters, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(parameters, private.as_ref()).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let spki =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    Key {
        kid,
        algorithm,
        jwk: json!({"kty": "EC", "kid": kid, "crv": curve, "x": x, "y": y, "alg": algorithm}),
        private_pem: pem("PRIVATE KEY", private.as_ref()),
        public_pem: pem("PUBLIC KEY", spki.as_ref()),
        pair: Pair::Ec(pair),
    }
}

fn ed(kid: &'static str) -> Key {
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
    let spki = pair.public_key().as_der().unwrap();
    Key {
        kid,
        algorithm: "EdDSA",
        jwk: json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())}),
        private_pem: pem("PRIVATE KEY", private.as_ref()),
        public_pem: pem("PUBLIC KEY", spki.as_ref()),
        pair: Pair::Ed(pair),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
