//! The keys with which SAML messages are signed: RSA, each with a self-signed X.509
//! certificate.
//!
//! A service provider knows the certificate by heart: somebody pasted it. So these keys do not
//! rotate with the others. A next one is added and published beside the one in use, the
//! providers learn it, and only then somebody says that it is used (`docs/saml.md`).

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, SerialNumber,
};
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use time::{Duration, OffsetDateTime};

use super::{KeyError, sign};
use crate::secret::{Secret, random_bytes};

/// What errors call this kind of key.
pub(super) const KIND: &str = "SAML";

/// How long a certificate holds. Service providers are told by hand when there is a new one.
const LIFETIME: Duration = Duration::days(3650);

/// Clocks differ: a certificate made now is good a little earlier, too.
const BACKDATED: Duration = Duration::hours(1);

/// A key and its certificate.
pub(super) struct CertifiedKey {
    pair: RsaKeyPair,
    certificate: Vec<u8>,
}

impl CertifiedKey {
    /// None where `pem` is no RSA key, or where the certificate is another key's.
    pub(super) fn new(pem: &str, certificate: Vec<u8>) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        let parsed = CertificateDer::from(certificate.as_slice());
        let certified = ParsedCertificate::try_from(&parsed).ok()?.subject_public_key_info();
        (certified.as_ref() == public.as_ref()).then_some(Self { pair, certificate })
    }

    /// DER.
    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2), which is what `rsa-sha256` is in
    /// XML-DSig (RFC 9231 §2.3.2).
    pub(super) fn sign(&self, data: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
            .map_err(|_| KeyError::SignData { algorithm: KIND })?;
        Ok(signature)
    }
}

/// A new private key as PEM (PKCS #8), and its certificate as DER.
pub(super) fn generate(now: u64) -> Result<(Secret<String>, Vec<u8>), KeyError> {
    const SERIAL_BYTES: usize = 16;
    let fault = || KeyError::Generate { algorithm: KIND };
    let pem = sign::generate("RS256")?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| fault())?;
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_RSA_SHA256).map_err(|_| fault())?;
    let begins = i64::try_from(now).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
    let begins = begins.ok_or_else(fault)?;
    let mut serial = random_bytes::<SERIAL_BYTES>()?;
    // RFC 5280 §4.1.2.2: positive, and of the same length for every certificate.
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Vestibule SAML signing");
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = begins.checked_sub(BACKDATED).ok_or_else(fault)?;
    params.not_after = begins.checked_add(LIFETIME).ok_or_else(fault)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let certificate = params.self_signed(&pair).map_err(|_| fault())?;
    Ok((pem, certificate.der().to_vec()))
}
