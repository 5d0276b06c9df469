//! Sealing: XChaCha20-Poly1305 with a key for each purpose. The text form is
//! `v1.KEY-ID.DATA`, DATA being base64url of nonce and ciphertext.

use aws_lc_rs::hkdf;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};

use super::{KeyError, Purpose, derive};
use crate::secret::{Secret, random_bytes};

const VERSION: &str = "v1";
const NONCE_BYTES: usize = 24;

/// One sealing key: a cipher for each purpose.
pub(super) struct SealingKey {
    id: String,
    ciphers: Vec<(Purpose, XChaCha20Poly1305)>,
}

impl SealingKey {
    /// None where the id could not stand in the text form.
    pub(super) fn new(id: &str, secret: &Secret<[u8; 32]>) -> Option<Self> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"vestibule seal v1").extract(secret.expose());
        let mut ciphers = Vec::new();
        for purpose in Purpose::ALL {
            let key = derive(&root, purpose.label()).ok()?;
            ciphers.push((purpose, XChaCha20Poly1305::new(key.expose().into())));
        }
        Some(Self { id: id.to_owned(), ciphers })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn seal(&self, purpose: Purpose, binding: &str, data: &[u8]) -> Result<String, KeyError> {
        // 192 random bits never repeat, however many values one key seals.
        let nonce = random_bytes::<NONCE_BYTES>()?;
        let aad = associated(&self.id, purpose, binding);
        let cipher = self.cipher(purpose).ok_or(KeyError::Unsealable)?;
        let payload = Payload { msg: data, aad: &aad };
        let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyError::Unsealable)?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&ciphertext);
        Ok(format!("{VERSION}.{}.{}", self.id, URL_SAFE_NO_PAD.encode(bytes)))
    }

    pub(super) fn open(&self, purpose: Purpose, binding: &str, data: &str) -> Option<Vec<u8>> {
        // This alphabet refuses padding and stray bits at the end: one value, one text.
        let bytes = URL_SAFE_NO_PAD.decode(data).ok()?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let aad = associated(&self.id, purpose, binding);
        self.cipher(purpose)?.decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad }).ok()
    }

    fn cipher(&self, purpose: Purpose) -> Option<&XChaCha20Poly1305> {
        self.ciphers.iter().find(|(own, _)| *own == purpose).map(|(_, cipher)| cipher)
    }
}

/// Key id and data of a sealed text.
pub(super) fn parts(sealed: &str) -> Option<(&str, &str)> {
    let (version, rest) = sealed.split_once('.')?;
    (version == VERSION).then_some(rest)?.split_once('.')
}

/// What a sealed value is tied to. Labels and ids hold no NUL, so that no two triples
/// give the same bytes.
fn associated(id: &str, purpose: Purpose, binding: &str) -> Vec<u8> {
    [VERSION, id, purpose.label(), binding].join("\0").into_bytes()
}
