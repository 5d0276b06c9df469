//! Which authentication requests are taken, and where an answer may go.

use super::*;

#[test]
fn a51_an_assertion_goes_to_a_registered_address_only() {
    let idp = Idp::new();
    for more in [
        &[("AssertionConsumerServiceURL", "https://evil.example/acs")][..],
        &[("AssertionConsumerServiceURL", "https://auth.example.net/login/callback")],
        &[("AssertionConsumerServiceURL", "https://auth.example.net/login/callback?connection=saml-1234#x")],
        &[("AssertionConsumerServiceURL", "https://auth.example.net/SECOND")],
        &[("AssertionConsumerServiceURL", "https://auth.example.net/second/")],
        &[("AssertionConsumerServiceURL", "https://auth.example.net@evil.example/second")],
        &[("AssertionConsumerServiceURL", "javascript:alert(1)")],
        &[("AssertionConsumerServiceURL", " https://auth.example.net/second")],
        &[("AssertionConsumerServiceURL", "https://open.example.net/acs")],
        &[("AssertionConsumerServiceIndex", "0")],
        &[("AssertionConsumerServiceIndex", "8")],
        &[("AssertionConsumerServiceIndex", "-1")],
        &[("AssertionConsumerServiceIndex", "x")],
        &[("AssertionConsumerServiceIndex", "99999999999")],
        &[("AssertionConsumerServiceURL", "https://auth.example.net/second"), ("AssertionConsumerServiceIndex", "7")],
    ] {
        assert_eq!(idp.refused(&request(more, "")), "acs-not-registered", "{more:?}");
        // However else it is wrong, nothing goes there.
        let mut more = more.to_vec();
        more.push(("ProtocolBinding", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"));
        assert_eq!(idp.refused(&request(&more, "")), "acs-not-registered", "{more:?}");
    }
    for (more, to) in [
        (&[][..], ACS),
        (&[("AssertionConsumerServiceIndex", "1")], ACS),
        (&[("AssertionConsumerServiceURL", "https://auth.example.net/second")], "https://auth.example.net/second"),
    ] {
        let wish = idp.wish(&request(more, ""));
        let delivery = idp.provider.refuse(&PARSED, &wish.sealed, "policy-denied").unwrap();
        assert_eq!(delivery.to.as_str(), to, "{more:?}");
    }
}

#[test]
fn a56_no_document_type_in_any_request() {
    let idp = Idp::new();
    for doctype in [
        "<!DOCTYPE x>",
        "<!DOCTYPE x [<!ENTITY e \"x\">]>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/hostname\">]>",
        "<!DOCTYPE x SYSTEM \"http://127.0.0.1:9/x.dtd\">",
        "<!-- x -->",
    ] {
        for xml in [request(&[], ""), signed_request()] {
            assert_eq!(idp.refused(&format!("{doctype}{xml}")), "saml-request-declaration", "{doctype}");
        }
        let refused = idp.farewell(&format!("{doctype}{}", signed_logout("sid")));
        assert_eq!(refused, Err("saml-request-declaration"), "{doctype}");
    }
    let inside = request(&[], "<samlp:Extensions>&e;</samlp:Extensions>");
    assert_eq!(idp.refused(&inside), "saml-request-malformed");
    assert_eq!(idp.refused(&request(&[], "<samlp:Extensions><!--x--></samlp:Extensions>")), "saml-request-declaration");
}

#[test]
fn a_request_of_another_for_another_or_of_another_time_is_none() {
    let idp = Idp::new();
    let other = |from: &str, to: &str| request(&[], "").replace(from, to);
    for (xml, code) in [
        (other(SP, "https://evil.example/sp"), "issuer-unknown"),
        (other(SP, &SP.to_uppercase()), "issuer-unknown"),
        (other("<saml:Issuer>", "<saml:Issuer Format=\"urn:x\">"), "issuer-unknown"),
        (other("<saml:Issuer>", "<saml:Issuer><saml:Issuer/>"), "saml-request-invalid"),
        (request(&[], &format!("<saml:Issuer>{SP}</saml:Issuer>")), "saml-request-invalid"),
        (request(&[("Destination", "https://login.example.com/saml/open/sso")], ""), "destination-mismatch"),
        (request(&[("Version", "1.1")], ""), "saml-request-invalid"),
        (request(&[("ID", "")], ""), "saml-request-invalid"),
        (request(&[("ID", "1x")], ""), "saml-request-invalid"),
        (request(&[("ID", "_x&quot;&gt;&lt;b&gt;")], ""), "saml-request-invalid"),
        (request(&[("ID", &format!("_{}", "x".repeat(256)))], ""), "saml-request-invalid"),
        (request(&[("IssueInstant", "")], ""), "saml-request-invalid"),
        (request(&[("IssueInstant", "yesterday")], ""), "saml-request-invalid"),
        (request(&[("IssueInstant", &instant::format(NOW - 3601))], ""), "saml-request-expired"),
        (request(&[("IssueInstant", &instant::format(NOW + 121))], ""), "saml-request-expired"),
        (request(&[("IsPassive", "yes")], ""), "saml-request-invalid"),
        (message("LogoutRequest", SSO, &[], ""), "saml-request-invalid"),
        (message("Response", SSO, &[], ""), "saml-request-invalid"),
        ("<AuthnRequest/>".into(), "saml-request-invalid"),
        ("nonsense".into(), "saml-request-malformed"),
    ] {
        assert_eq!(idp.refused(&xml), code, "{xml}");
    }
    assert_eq!(code(idp.provider.authn_request(&PARSED, "nobody", &by_form("<a/>"))), "unknown-service-provider");
}

#[test]
fn what_is_asked_for_and_not_done_is_told_to_the_service_provider() {
    let idp = Idp::new();
    let policy = |format: &str| format!("<samlp:NameIDPolicy Format=\"{format}\"/>");
    let context = |class: &str, comparison: &str| {
        format!(
            "<samlp:RequestedAuthnContext{comparison}><saml:AuthnContextClassRef>{class}</saml:AuthnContextClassRef>\
             </samlp:RequestedAuthnContext>"
        )
    };
    let artifact = [("ProtocolBinding", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact")];
    for (xml, status) in [
        (request(&artifact, ""), "UnsupportedBinding"),
        (request(&[], "<saml:Subject><saml:NameID>x</saml:NameID></saml:Subject>"), "RequestUnsupported"),
        (request(&[], &policy(names::NAME_ID_PERSISTENT)), "InvalidNameIDPolicy"),
        (request(&[], &context("urn:oasis:names:tc:SAML:2.0:ac:classes:X509", "")), "NoAuthnContext"),
        (request(&[], &context("https://refeds.org/profile/mfa", " Comparison=\"better\"")), "NoAuthnContext"),
    ] {
        let answer = idp.answered(&xml);
        assert!(answer.contains(&format!("urn:oasis:names:tc:SAML:2.0:status:{status}\"")), "{answer}");
        assert!(!answer.contains("saml:Assertion"), "{answer}");
        assert_eq!(verified(&answer).len(), 1);
    }
    for inside in [
        policy(names::NAME_ID_EMAIL),
        policy(names::NAME_ID_UNSPECIFIED),
        "<samlp:NameIDPolicy AllowCreate=\"true\"/>".into(),
    ] {
        idp.wish(&request(&[], &inside));
    }
    let wish = idp.wish(&request(&[], &context("https://refeds.org/profile/mfa", "")));
    assert_eq!(wish.demanded_acr, ["mfa"]);
    let any = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";
    let wish =
        idp.wish(&request(&[("ForceAuthn", "true"), ("IsPassive", "1")], &context(any, " Comparison=\"minimum\"")));
    assert_eq!((wish.demanded_acr.len(), wish.fresh, wish.silent), (0, true, true));
    let delivery = idp.provider.grant(&PARSED, &admission("guard", ann()), &wish.sealed, &origin("sid")).unwrap().0;
    assert!(opened(&delivery).contains("profile/mfa"), "what is known to be so is said, whatever was asked");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Nothing panics, nothing is taken, and nobody is sent anywhere.
    #[test]
    fn a67_garbage_is_refused(text in "\\PC{0,200}", cut in 0_usize..900, from in 0_usize..900, junk in "[<>&;\"'/=a-z:# \n-]{0,12}") {
        let idp = Idp::new();
        let _ = Inbound::redirect(&text);
        let _ = import("guard", &text);
        prop_assert!(matches!(idp.asked(&text), Asked::Refused(_)));
        // A good one, damaged: no change of a signed message is taken for it.
        let good = signed_request();
        let (mut cut, mut from) = (cut.min(good.len()), from.min(good.len()));
        if cut < from {
            std::mem::swap(&mut cut, &mut from);
        }
        let damaged = [&good[..from], &junk, &good[cut..]].concat();
        if damaged != good {
            let asked = idp.asked(&damaged);
            // Blanks within a base64 text or a tag are no change of what was signed.
            let same = |asked: &Asked| matches!(asked, Asked::Login(wish) if !wish.fresh && !wish.silent);
            prop_assert!(matches!(asked, Asked::Refused(_)) || same(&asked), "{damaged}");
        }
    }
}
