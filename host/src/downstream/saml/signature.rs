//! What service providers signed: by the form's own enveloped signature (XML-DSig), or by one
//! over the octets of the query (SAML Bindings §3.4.4.1).
//!
//! An algorithm is taken from our list, never from the message. A signature counts for what it
//! covers: it must cover the whole message that is read, and there is no other.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters,
    UnparsedPublicKey,
};
use bergshamra_dsig::{DsigContext, VerifyResult, verify};
use bergshamra_keys::{KeysManager, loader};

use super::{
    Refused, names,
    xml::{Element, Tree, XmlFault},
};

/// A signature over the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Detached {
    /// The octets as they came: `SAMLRequest=…&RelayState=…&SigAlg=…`.
    pub(super) octets: Vec<u8>,
    /// `SigAlg`
    pub(super) algorithm: String,
    /// `Signature`
    pub(super) value: Vec<u8>,
}

const INVALID: Refused = Refused::new("signature-invalid", "the signature does not verify");
const ALGORITHM: Refused = Refused::new("signature-algorithm", "the signature's algorithm is none of ours");
const MISPLACED: Refused = Refused::new("signature-misplaced", "the signature does not cover the whole message");
const NO_CERTIFICATE: Refused =
    Refused::new("certificate-missing", "the message is signed, and no certificate is configured");

/// Was the message signed, and by whom it should be?
///
/// # Errors
///
/// A signature that cannot be believed is worse than none.
pub(super) fn check(
    tree: &Tree<'_>,
    root: Element<'_, '_>,
    detached: Option<&Detached>,
    public_keys: &[Vec<u8>],
) -> Result<bool, Refused> {
    let misread = |_: XmlFault| MISPLACED;
    let own = root.child(names::DSIG, "Signature").map_err(misread)?;
    let anywhere = root.below(names::DSIG, "Signature");
    match (own, detached) {
        // One that is somewhere else was moved there, together with what it signs (A54).
        (None, _) if !anywhere.is_empty() => Err(MISPLACED),
        (Some(_), _) if anywhere.len() != 1 => Err(MISPLACED),
        // SAML Bindings §3.4.4.1: by HTTP-Redirect a message carries no signature of its own.
        (Some(_), Some(_)) => Err(MISPLACED),
        (None, None) => Ok(false),
        (_, _) if public_keys.is_empty() => Err(NO_CERTIFICATE),
        (None, Some(detached)) => check_detached(detached, public_keys).map(|()| true),
        (Some(signature), None) => check_enveloped(tree, root, signature, public_keys).map(|()| true),
    }
}

fn check_detached(detached: &Detached, public_keys: &[Vec<u8>]) -> Result<(), Refused> {
    let algorithm: &'static RsaParameters = match detached.algorithm.as_str() {
        names::RSA_SHA256 => &RSA_PKCS1_2048_8192_SHA256,
        names::RSA_SHA384 => &RSA_PKCS1_2048_8192_SHA384,
        names::RSA_SHA512 => &RSA_PKCS1_2048_8192_SHA512,
        _ => return Err(ALGORITHM),
    };
    let verifies = |key: &Vec<u8>| UnparsedPublicKey::new(algorithm, key).verify(&detached.octets, &detached.value);
    if public_keys.iter().any(|key| verifies(key).is_ok()) { Ok(()) } else { Err(INVALID) }
}

/// The form of a signature is held to SAML's profile of XML-DSig (SAML Core §5.4) before the
/// library looks at it: one reference, to the message's own element, by the two transforms
/// that the profile has. So nothing is fetched, and nothing is evaluated.
fn check_enveloped(
    tree: &Tree<'_>,
    root: Element<'_, '_>,
    signature: Element<'_, '_>,
    public_keys: &[Vec<u8>],
) -> Result<(), Refused> {
    check_form(root, signature)?;
    let mut manager = KeysManager::new();
    for key in public_keys {
        manager.add_key(loader::load_spki_der(key).map_err(|_| INVALID)?);
    }
    // Its defaults: our keys only, and a reference around the signature only.
    let context = DsigContext::new(manager);
    // On the very tree that is read afterwards: there is no second parser to disagree with.
    let result = verify::verify_document_with_source(&context, &tree.document, Some(tree.source));
    match result.map_err(|_| INVALID)? {
        VerifyResult::Valid { signature_node, references, .. } => match references.as_slice() {
            [only] if only.digest_verified && only.resolved_node == Some(root.id) && signature_node == signature.id => {
                Ok(())
            }
            _ => Err(MISPLACED),
        },
        VerifyResult::Invalid { .. } => Err(INVALID),
    }
}

fn check_form(root: Element<'_, '_>, signature: Element<'_, '_>) -> Result<(), Refused> {
    let misread = |_: XmlFault| MISPLACED;
    let algorithm = |of: Element<'_, '_>, name: &str, allowed: &[&str]| {
        let found = of.needed(names::DSIG, name).map_err(misread)?;
        let is_plain = found.children().iter().all(|child| child.is(names::EXCLUSIVE_C14N, "InclusiveNamespaces"));
        match found.attribute("Algorithm") {
            Some(algorithm) if is_plain && allowed.contains(&algorithm) => Ok(()),
            _ => Err(ALGORITHM),
        }
    };
    let info = signature.needed(names::DSIG, "SignedInfo").map_err(misread)?;
    algorithm(info, "CanonicalizationMethod", &[names::EXCLUSIVE_C14N])?;
    algorithm(info, "SignatureMethod", &[names::RSA_SHA256, names::RSA_SHA384, names::RSA_SHA512])?;
    let reference = info.needed(names::DSIG, "Reference").map_err(misread)?;
    let id = root.attribute("ID").unwrap_or_default();
    // SAML Core §5.4.2: the reference names the element's ID.
    if id.is_empty() || reference.attribute("URI").and_then(|uri| uri.strip_prefix('#')) != Some(id) {
        return Err(MISPLACED);
    }
    algorithm(reference, "DigestMethod", &[names::SHA256, names::SHA384, names::SHA512])?;
    let transforms = reference.needed(names::DSIG, "Transforms").map_err(misread)?;
    let given: Vec<&str> =
        transforms.children().iter().map(|transform| transform.attribute("Algorithm").unwrap_or_default()).collect();
    if given != [names::ENVELOPED, names::EXCLUSIVE_C14N] {
        return Err(ALGORITHM);
    }
    Ok(())
}
