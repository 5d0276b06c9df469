//! An authenticator in software, for tests: it makes what a browser sends, and what none would.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub(crate) const USER_PRESENT: u8 = 0x01;
pub(crate) const USER_VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

/// One passkey, and what is said with it.
pub(crate) struct Authenticator {
    pair: EcdsaKeyPair,
    pub(crate) id: Vec<u8>,
    pub(crate) rp_id: String,
    pub(crate) origin: String,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    /// In place of the challenge that was asked.
    pub(crate) challenge: Option<String>,
    /// In place of `webauthn.create` and `webauthn.get`.
    pub(crate) kind: Option<&'static str>,
    pub(crate) cross_origin: bool,
    /// In place of the public key, as COSE.
    pub(crate) cose: Option<Vec<u8>>,
    /// In place of the attestation object.
    pub(crate) object: Option<Vec<u8>>,
}

impl Authenticator {
    /// For the gateway at `origin`.
    pub(crate) fn new(origin: &str) -> Self {
        let url: url::Url = origin.parse().unwrap();
        Self {
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            id: crate::secret::random_bytes::<32>().unwrap().to_vec(),
            rp_id: url.host_str().unwrap().to_owned(),
            origin: url.origin().ascii_serialization(),
            flags: USER_PRESENT | USER_VERIFIED,
            counter: 1,
            challenge: None,
            kind: None,
            cross_origin: false,
            cose: None,
            object: None,
        }
    }

    /// The answer to `PublicKeyCredentialCreationOptionsJSON`.
    pub(crate) fn attest(&self, options: &str) -> Value {
        let mut data = self.data(ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend(self.cose.clone().unwrap_or_else(|| self.cose()));
        let object = self.object.clone().unwrap_or_else(|| {
            let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
            object.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            object.extend(&data);
            object
        });
        json!({
            "id": encoded(&self.id), "rawId": encoded(&self.id), "type": "public-key",
            "response": {
                "attestationObject": encoded(&object),
                "clientDataJSON": encoded(self.client(options, "webauthn.create").as_bytes()),
            },
        })
    }

    /// The answer to `PublicKeyCredentialRequestOptionsJSON`.
    pub(crate) fn assert(&self, options: &str) -> Value {
        let (data, client) = (self.data(0), self.client(options, "webauthn.get"));
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, client.as_bytes()).as_ref());
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": encoded(&self.id), "rawId": encoded(&self.id), "type": "public-key",
            "response": {
                "authenticatorData": encoded(&data), "clientDataJSON": encoded(client.as_bytes()),
                "signature": encoded(signature.as_ref()), "userHandle": null,
            },
        })
    }

    /// WebAuthn §6.1
    fn data(&self, further: u8) -> Vec<u8> {
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        data.push(self.flags | further);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// WebAuthn §5.8.1
    fn client(&self, options: &str, kind: &str) -> String {
        let asked: Value = serde_json::from_str(options).unwrap();
        let challenge = self.challenge.as_deref().unwrap_or_else(|| asked["challenge"].as_str().unwrap());
        json!({
            "type": self.kind.unwrap_or(kind), "challenge": challenge, "origin": self.origin,
            "crossOrigin": self.cross_origin,
        })
        .to_string()
    }

    /// RFC 9053 §7.1.1: EC2, ES256, P-256.
    fn cose(&self) -> Vec<u8> {
        let point = self.pair.public_key().as_ref();
        let mut key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".to_vec();
        key.extend(&point[1..33]);
        key.extend(b"\x22\x58\x20");
        key.extend(&point[33..65]);
        key
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
