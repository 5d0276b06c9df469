//! Our own enveloped signatures (XML-DSig Core §3.1): RSA-SHA256 over exclusive canonical XML.
//!
//! `write.rs` writes canonical XML, so a digest of what was written is the digest of its
//! canonical form. A test has another implementation check every kind of message, and
//! `xmlsec1` judges them in the gate.

use aws_lc_rs::digest;

use super::{
    base64, names,
    write::{Unwritable, Writer},
};
use crate::keys::{KeyError, KeyRing};

/// Why there is no signed message.
#[derive(Debug)]
pub(super) enum SignFault {
    Key(KeyError),
    Unwritable(Unwritable),
}

impl From<KeyError> for SignFault {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<Unwritable> for SignFault {
    fn from(error: Unwritable) -> Self {
        Self::Unwritable(error)
    }
}

/// The element with `id`, which has been written up to `place`, signed there: SAML's schema wants
/// the signature right after the issuer.
pub(super) fn enveloped(keys: &KeyRing, id: &str, writer: Writer, place: usize) -> Result<String, SignFault> {
    let (before, after) = writer.split(place);
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(before.as_bytes());
    context.update(after.as_bytes());
    let digest = base64(context.finish().as_ref());
    // By itself it declares its namespace, as canonicalization does for the top of what it
    // takes out.
    let mut alone = Writer::default();
    signed_info(&mut alone, id, &digest)?;
    let value = keys.sign_certified(alone.finish().as_bytes())?;
    let certificate = keys.certificates().next().ok_or(KeyError::NoCertificate)?;

    let mut signature = Writer::default();
    signature.open("ds:Signature", &[])?;
    signed_info(&mut signature, id, &digest)?;
    signature.element("ds:SignatureValue", &[], &base64(&value))?;
    signature.open("ds:KeyInfo", &[])?;
    signature.open("ds:X509Data", &[])?;
    signature.element("ds:X509Certificate", &[], &base64(certificate))?;
    Ok([before, signature.finish(), after].concat())
}

fn signed_info(writer: &mut Writer, id: &str, digest: &str) -> Result<(), Unwritable> {
    writer.open("ds:SignedInfo", &[])?;
    writer.element("ds:CanonicalizationMethod", &[("Algorithm", names::EXCLUSIVE_C14N)], "")?;
    writer.element("ds:SignatureMethod", &[("Algorithm", names::RSA_SHA256)], "")?;
    writer.open("ds:Reference", &[("URI", &format!("#{id}"))])?;
    writer.open("ds:Transforms", &[])?;
    writer.element("ds:Transform", &[("Algorithm", names::ENVELOPED)], "")?;
    writer.element("ds:Transform", &[("Algorithm", names::EXCLUSIVE_C14N)], "")?;
    writer.close();
    writer.element("ds:DigestMethod", &[("Algorithm", names::SHA256)], "")?;
    writer.element("ds:DigestValue", &[], digest)?;
    writer.close();
    writer.close();
    Ok(())
}
