//! What service providers signed, and what others made of it.

use super::*;

#[test]
fn a_signed_request_is_taken_by_either_binding() {
    let idp = Idp::new();
    idp.wish(&signed_request());
    let inbound = Inbound::redirect(&by_redirect(&request(&[], ""), Some(names::RSA_SHA256))).unwrap();
    let asked = idp.provider.authn_request(&PARSED, "guard", &inbound);
    assert!(matches!(asked, Asked::Login(_)), "{asked:?}");
}

#[test]
fn a52_a_signature_over_a_query_is_by_the_right_key_over_these_octets_and_by_no_weak_algorithm() {
    let idp = Idp::new();
    let asked = |query: &str| {
        let inbound = Inbound::redirect(query).unwrap();
        match idp.provider.authn_request(&PARSED, "guard", &inbound) {
            Asked::Refused(refused) => refused.code,
            Asked::Login(_) => "taken",
            Asked::Answer(_) => "answered",
        }
    };
    let good = by_redirect(&request(&[], ""), Some(names::RSA_SHA256));
    assert_eq!(asked(&good), "taken");
    let unsigned = by_redirect(&request(&[], ""), None);
    let other = by_redirect(&request(&[("ForceAuthn", "true")], ""), None);
    // The octets: another RelayState, the same one spelt otherwise, none, another message.
    assert_eq!(asked(&good.replace("r%20s", "r%20t")), "signature-invalid");
    assert_eq!(asked(&good.replace("r%20s", "r+s")), "signature-invalid");
    assert_eq!(asked(&good.replace("&RelayState=r%20s", "")), "signature-invalid");
    let (_, tail) = good.split_once("&SigAlg").unwrap();
    assert_eq!(asked(&format!("{other}&SigAlg{tail}")), "signature-invalid");
    assert_eq!(asked(&format!("{unsigned}&SigAlg{}", tail.replace("sha256", "sha512"))), "signature-invalid");
    // A longer algorithm than was signed with, a weak one, one of our own making.
    for weak in [
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
        "none",
        "",
    ] {
        assert_eq!(asked(&by_redirect(&request(&[], ""), Some(weak))), "signature-algorithm", "{weak}");
    }
    // Signed by somebody: us.
    let url = Url::parse("https://x.example/").unwrap();
    let ours = binding::signed_url(&keys(), &url, Message::Response, &request(&[], ""), None).unwrap();
    assert_eq!(asked(&ours.query().unwrap().replace("SAMLResponse=", "SAMLRequest=")), "signature-invalid");
    // A signed message says for whom it is.
    assert_eq!(
        asked(&by_redirect(&request(&[("Destination", "")], ""), Some(names::RSA_SHA256))),
        "destination-mismatch"
    );
    // By a query a message has no signature of its own.
    assert_eq!(asked(&by_redirect(&signed_request(), Some(names::RSA_SHA256))), "signature-misplaced");
    // Without a certificate nobody can tell.
    let inbound = Inbound::redirect(&good).unwrap();
    let elsewhere = idp.provider.authn_request(&PARSED, "open", &inbound);
    assert_eq!(code(elsewhere), "destination-mismatch");
    let to_open = by_redirect(
        &request(&[("Destination", "https://login.example.com/saml/open/sso")], ""),
        Some(names::RSA_SHA256),
    );
    let inbound = Inbound::redirect(&to_open).unwrap();
    assert_eq!(code(idp.provider.authn_request(&PARSED, "open", &inbound)), "certificate-missing");
}

#[test]
fn a_service_provider_that_must_sign_does() {
    let idp = Idp::new();
    let config = parsed(&TEXT.replacen("acs-indexes", "want-signed-requests = true\nacs-indexes", 1));
    let asked = |inbound: &Inbound| idp.provider.authn_request(&config, "guard", inbound);
    assert_eq!(code(asked(&by_form(&request(&[], "")))), "signature-missing");
    let unsigned = Inbound::redirect(&by_redirect(&request(&[], ""), None)).unwrap();
    assert_eq!(code(asked(&unsigned)), "signature-missing");
    assert!(matches!(asked(&by_form(&signed_request())), Asked::Login(_)));
}

#[test]
fn a54_what_was_signed_is_what_is_read_wherever_the_rest_was_moved() {
    let idp = Idp::new();
    let good = signed_request();
    let start = good.find("<ds:Signature").unwrap();
    let end = good.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
    let (signature, bare) = (&good[start..end], [&good[..start], &good[end..]].concat());
    let evil = [("ID", "_evil"), ("AssertionConsumerServiceURL", "https://auth.example.net/second")];
    let same_id = [("ForceAuthn", "true")];
    let within = |attributes: &[(&str, &str)], inside: &str| request(attributes, inside);
    let extensions = |inside: &str| format!("<samlp:Extensions>{inside}</samlp:Extensions>");
    for (what, xml) in [
        // XSW1 and XSW2: the signed original inside or beside its own signature.
        (
            "the original within the signature",
            within(
                &evil,
                &signature.replace("</ds:Signature>", &format!("<ds:Object>{bare}</ds:Object></ds:Signature>")),
            ),
        ),
        ("the signature before the original", within(&evil, &format!("{signature}{}", extensions(&bare)))),
        ("the original, whole, in extensions", within(&evil, &extensions(&good))),
        ("the original first", within(&evil, &good)),
        ("twice the same ID", within(&same_id, &format!("{signature}{}", extensions(&bare)))),
        ("its own signature on another message", within(&same_id, signature)),
        ("its own signature, another ID", within(&evil, signature)),
        ("two signatures", good.replace(signature, &format!("{signature}{signature}"))),
        (
            "one at the top and one below",
            good.replace("</samlp:AuthnRequest>", &format!("{}</samlp:AuthnRequest>", extensions(signature))),
        ),
        (
            "no signature at the top",
            bare.replace("</samlp:AuthnRequest>", &format!("{}</samlp:AuthnRequest>", extensions(signature))),
        ),
    ] {
        let refused = idp.refused(&xml);
        assert!(
            ["signature-misplaced", "signature-invalid", "saml-request-invalid"].contains(&refused),
            "{what}: {refused}"
        );
    }
    // Anything in it was changed.
    for (from, to) in
        [("_req-1\" Version", "_req-2\" Version"), (SP, SP), ("Destination=", "ForceAuthn=\"true\" Destination=")]
    {
        let changed = good.replacen(from, to, 1);
        if changed != good {
            let refused = idp.refused(&changed);
            assert!(["signature-misplaced", "signature-invalid"].contains(&refused), "{from}: {refused}");
        }
    }
}

#[test]
fn a58_a_signature_counts_for_the_whole_message_only() {
    let idp = Idp::new();
    // Signed is a part; its signature was put where that of the whole would be.
    let part = signed("samlp:Extensions", SSO, "_part", |_| {});
    let start = part.find("<ds:Signature").unwrap();
    let end = part.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
    let (signature, part) = (&part[start..end], [&part[..start], &part[end..]].concat());
    assert_eq!(idp.refused(&request(&[], &format!("{signature}{part}"))), "signature-misplaced");
    let good = signed_request();
    for (from, to, code) in [
        ("URI=\"#_req-1\"", "URI=\"\"", "signature-misplaced"),
        ("URI=\"#_req-1\"", "URI=\"#xpointer(/)\"", "signature-misplaced"),
        ("URI=\"#_req-1\"", "URI=\"/etc/hostname\"", "signature-misplaced"),
        ("URI=\"#_req-1\"", "URI=\"http://127.0.0.1:9/\"", "signature-misplaced"),
        (" URI=\"#_req-1\"", "", "signature-misplaced"),
        (names::RSA_SHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1", "signature-algorithm"),
        (names::RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", "signature-algorithm"),
        (names::SHA256, "http://www.w3.org/2000/09/xmldsig#sha1", "signature-algorithm"),
        (names::ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt-19991116", "signature-algorithm"),
        (names::ENVELOPED, "http://www.w3.org/TR/1999/REC-xpath-19991116", "signature-algorithm"),
        (names::EXCLUSIVE_C14N, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "signature-algorithm"),
        ("<ds:SignatureValue>", "<ds:SignatureValue>AAAA", "signature-invalid"),
        ("<ds:DigestValue>", "<ds:DigestValue>AAAA", "signature-invalid"),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from}");
        assert_eq!(idp.refused(&changed), code, "{to}");
    }
    // Two references: to the message, and to what somebody else may change.
    let reference = &good[good.find("<ds:Reference").unwrap()..good.find("</ds:Reference>").unwrap() + 15];
    assert_eq!(idp.refused(&good.replacen(reference, &format!("{reference}{reference}"), 1)), "signature-misplaced");
    // The key is ours to know, not the message's to bring.
    let theirs = sign_as_another();
    assert_eq!(idp.refused(&theirs), "signature-invalid");
}

/// A request that is signed with a key that nobody registered, and brings its certificate.
fn sign_as_another() -> String {
    let issued = instant::format(NOW);
    let mut writer = Writer::default();
    let attributes = [("ID", "_r"), ("Version", "2.0"), ("IssueInstant", &*issued), ("Destination", SSO)];
    writer.open("samlp:AuthnRequest", &attributes).unwrap();
    writer.element("saml:Issuer", &[], SP).unwrap();
    let place = writer.here();
    sign::enveloped(&keys(), "_r", writer, place).unwrap()
}
