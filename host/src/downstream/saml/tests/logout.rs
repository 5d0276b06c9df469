//! Logout that a service provider asks for.

use super::*;

#[test]
fn a52_a_logout_is_signed_by_the_service_provider_or_it_is_none() {
    let idp = Idp::new();
    let farewell = idp.farewell(&signed_logout("sid-1")).unwrap();
    assert_eq!((farewell.application.as_str(), &farewell.session_indexes[..]), ("guard", &["sid-1".to_owned()][..]));
    let named = "<saml:NameID>ann@example.com</saml:NameID>";
    let plain = message("LogoutRequest", SLO, &[], named);
    assert_eq!(idp.farewell(&plain), Err("signature-missing"));
    let unsigned = Inbound::redirect(&by_redirect(&plain, None)).unwrap();
    let refused = idp.provider.logout_request(&PARSED, "guard", &unsigned).unwrap_err();
    assert_eq!(refused.code, "signature-missing");
    let signed = Inbound::redirect(&by_redirect(&plain, Some(names::RSA_SHA256))).unwrap();
    assert!(idp.provider.logout_request(&PARSED, "guard", &signed).is_ok());
    assert_eq!(idp.farewell(&signed_logout("sid-1").replace("sid-1", "sid-2")), Err("signature-invalid"));
    assert_eq!(idp.farewell(&signed_request()), Err("saml-request-invalid"), "another message");
    for more in [&[("NotOnOrAfter", instant::format(NOW - 121))][..], &[("IssueInstant", instant::format(NOW - 4000))]]
    {
        let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let old =
            Inbound::redirect(&by_redirect(&message("LogoutRequest", SLO, &more, named), Some(names::RSA_SHA256)))
                .unwrap();
        assert_eq!(idp.provider.logout_request(&PARSED, "guard", &old).unwrap_err().code, "saml-request-expired");
    }
    let to_sso =
        Inbound::redirect(&by_redirect(&message("LogoutRequest", SSO, &[], named), Some(names::RSA_SHA256))).unwrap();
    assert_eq!(idp.provider.logout_request(&PARSED, "guard", &to_sso).unwrap_err().code, "destination-mismatch");
    // One without a logout-url is told nothing.
    assert_eq!(idp.provider.logout_request(&PARSED, "open", &signed).unwrap_err().code, "logout-not-configured");
}

#[test]
fn a_logout_is_answered_with_a_signed_response_at_the_registered_address() {
    let idp = Idp::new();
    let farewell = idp.farewell(&signed_logout("sid-1")).unwrap();
    assert_eq!(idp.provider.leaving("guard", &farewell.sealed).unwrap(), farewell);
    assert!(idp.provider.leaving("open", &farewell.sealed).is_err());
    let answered = |partial| match idp.provider.logged_out(&PARSED, "guard", &farewell.sealed, partial).unwrap() {
        Outbound::Redirect(to) => to,
        Outbound::Form(form) => panic!("{form:?}"),
    };
    let status = |to: &Url| Inbound::by_redirect(Message::Response, to.query().unwrap()).unwrap().xml;
    assert!(!status(&answered(false)).contains("PartialLogout"));
    let partial = status(&answered(true));
    assert!(partial.contains(":status:Success\"") && partial.contains(":status:PartialLogout\""), "{partial}");
    let to = answered(false);
    assert!(to.as_str().starts_with("https://auth.example.net/logout?SAMLResponse="), "{to}");
    let query = to.query().unwrap();
    let inbound = Inbound::redirect(&query.replace("SAMLResponse=", "SAMLRequest=")).unwrap();
    assert_eq!(inbound.relay_state.as_deref(), Some("r"));
    let tree = Tree::parse(&inbound.xml).unwrap();
    let root = tree.root().unwrap();
    assert!(root.is(names::PROTOCOL, "LogoutResponse"));
    assert_eq!(root.attribute("InResponseTo"), Some("_out-1"));
    // The octets, with our own certificate's key.
    let (octets, signature) = query.split_once("&Signature=").unwrap();
    let signature = percent_encoding::percent_decode_str(signature).decode_utf8().unwrap();
    let ring = keys();
    let certificate = rustls_pki_types::CertificateDer::from(ring.certificates().next().unwrap());
    let parsed = rustls::server::ParsedCertificate::try_from(&certificate).unwrap();
    let spki = parsed.subject_public_key_info();
    let key =
        aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256, spki.as_ref());
    key.verify(octets.as_bytes(), &STANDARD.decode(&*signature).unwrap()).unwrap();
    idp.clock.advance(limits::SEALED_LIFETIME);
    assert!(idp.provider.logged_out(&PARSED, "guard", &farewell.sealed, false).is_err(), "too late");
}
