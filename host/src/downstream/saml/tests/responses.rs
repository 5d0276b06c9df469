//! What service providers are told.

use super::*;

#[test]
fn an_assertion_says_who_for_whom_where_and_until_when_and_both_signatures_hold() {
    let idp = Idp::new();
    let wish = idp.wish(&request(&[("AssertionConsumerServiceIndex", "7")], ""));
    let delivery = idp.provider.grant(&PARSED, &admission("guard", ann()), &wish.sealed, &origin("sid-1")).unwrap().0;
    assert_eq!(delivery.to.as_str(), "https://auth.example.net/second");
    assert_eq!(delivery.relay_state.as_deref(), Some("r"));
    let xml = opened(&delivery);
    let tree = Tree::parse(&xml).unwrap();
    let root = tree.root().unwrap();
    let assertion = root.needed(names::ASSERTION, "Assertion").unwrap();
    let ids = [root, assertion].map(|element| format!("#{}", element.attribute("ID").unwrap()));
    assert_eq!(verified(&xml), ids, "each covers its own element");
    // The schema's order: the signature after the issuer.
    for element in [root, assertion] {
        let children = element.children();
        assert!(children[0].is(names::ASSERTION, "Issuer") && children[1].is(names::DSIG, "Signature"));
        assert_eq!(children[0].text().unwrap(), "https://login.example.com/saml/guard/metadata");
    }
    assert_eq!(root.attribute("InResponseTo"), Some("_req-1"));
    assert_eq!(root.attribute("Destination"), Some("https://auth.example.net/second"));
    let data = find(assertion, names::ASSERTION, "SubjectConfirmationData");
    let said = ["Recipient", "InResponseTo", "NotOnOrAfter", "NotBefore"].map(|name| data.attribute(name));
    let until = instant::format(NOW + 300);
    assert_eq!(said, [Some("https://auth.example.net/second"), Some("_req-1"), Some(until.as_str()), None]);
    assert_eq!(find(assertion, names::ASSERTION, "Audience").text().unwrap(), SP);
    let conditions = find(assertion, names::ASSERTION, "Conditions");
    assert_eq!(conditions.attribute("NotOnOrAfter"), Some(until.as_str()));
    let statement = find(assertion, names::ASSERTION, "AuthnStatement");
    let said = ["AuthnInstant", "SessionIndex", "SessionNotOnOrAfter"].map(|name| statement.attribute(name).unwrap());
    assert_eq!(said, [instant::format(NOW - 5).as_str(), "sid-1", &instant::format(NOW + 1000)]);
    let context = find(assertion, names::ASSERTION, "AuthnContextClassRef").text().unwrap();
    assert_eq!(context, "https://refeds.org/profile/mfa", "what the upstream's acr stands for");
}

#[test]
fn the_attributes_are_those_that_guard_reads_and_the_id_is_not_the_address() {
    let idp = Idp::new();
    let wish = idp.wish(&request(&[], ""));
    let mut profile = ann();
    profile.attributes = vec![
        Claim { name: "department".into(), value: Value::Texts(vec!["it".into(), "r&d".into()]) },
        // Not a policy's to say.
        Claim { name: "groups".into(), value: Value::Text("admins".into()) },
    ];
    let delivery = idp.provider.grant(&PARSED, &admission("guard", profile), &wish.sealed, &origin("sid")).unwrap().0;
    let xml = opened(&delivery);
    let tree = Tree::parse(&xml).unwrap();
    let attributes: BTreeMap<String, Vec<String>> = tree
        .root()
        .unwrap()
        .below(names::ASSERTION, "Attribute")
        .iter()
        .map(|attribute| {
            let values = attribute.children().iter().map(|value| value.text().unwrap()).collect();
            (
                attribute.attribute("Name").unwrap().replace("http://schemas.xmlsoap.org/ws/2005/05/identity/", ""),
                values,
            )
        })
        .collect();
    let of = |name: &str| attributes[name].join("|");
    assert_eq!((of("claims/givenname"), of("claims/surname")), ("Ann".into(), "Ångström <x>".into()));
    assert_eq!((of("claims/emailaddress"), of("groups")), ("ann@example.com".into(), "a & b|staff".into()));
    assert_eq!(of("department"), "it|r&d");
    assert!(!of("claims/name").contains('@'));
    assert_eq!(attributes.len(), 6, "{attributes:?}");
}

#[test]
fn a_persistent_name_is_opaque_and_stays() {
    let idp = Idp::new();
    let name = |profile: Profile| {
        let Asked::Login(wish) = idp.provider.unsolicited(&PARSED, "open") else { panic!("not begun") };
        let delivery =
            idp.provider.grant(&PARSED, &admission("open", profile), &wish.sealed, &origin("sid")).unwrap().0;
        let xml = opened(&delivery);
        let tree = Tree::parse(&xml).unwrap();
        assert_eq!(tree.root().unwrap().attribute("InResponseTo"), None, "nobody asked");
        let name = find(tree.root().unwrap(), names::ASSERTION, "NameID");
        assert_eq!(name.attribute("SPNameQualifier"), Some(SP));
        name.text().unwrap()
    };
    assert_eq!(name(ann()), name(Profile { email: Some("new@example.com".into()), ..ann() }));
    assert_eq!(name(ann()).len(), 64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a policy hands out: what was signed is canonical, and reads back whole.
    #[test]
    fn a55_what_is_asserted_is_what_was_decided(email in ".{1,60}", given in "\\PC{0,40}", more in "[\\r\\n\\t <>&\"'é\u{1f600}\\]-]{1,40}") {
        let idp = Idp::new();
        let wish = idp.wish(&request(&[], ""));
        let profile = Profile {
            email: Some(email.clone()), given_name: Some(given.clone()), family_name: Some(more.clone()), ..Profile::default()
        };
        let granted = idp.provider.grant(&PARSED, &admission("guard", profile), &wish.sealed, &origin("sid"));
        match granted {
            Ok(delivery) => {
                let xml = opened(&delivery.0);
                prop_assert_eq!(verified(&xml).len(), 2);
                let tree = Tree::parse(&xml).unwrap();
                let name = find(tree.root().unwrap(), names::ASSERTION, "NameID");
                let blank = [' ', '\t', '\r', '\n'];
                prop_assert_eq!(name.text().unwrap(), email.trim_matches(blank));
                let values: Vec<String> =
                    tree.root().unwrap().below(names::ASSERTION, "AttributeValue").iter().map(|value| value.text().unwrap()).collect();
                prop_assert!(values.contains(&given.trim_matches(blank).to_owned()));
                prop_assert!(values.contains(&more.trim_matches(blank).to_owned()));
            }
            Err(refused) => prop_assert_eq!(refused.code, "unsafe-value"),
        }
    }
}

#[test]
fn a55_a_comment_in_a_name_is_part_of_the_name() {
    let idp = Idp::new();
    for name in ["victim@corp.com<!--x-->.evil.com", "victim@corp.com<!---->", "a]]>b", "&lt;x&gt;", "<?x?>"] {
        let wish = idp.wish(&request(&[], ""));
        let profile = Profile { email: Some(name.into()), ..Profile::default() };
        let delivery =
            idp.provider.grant(&PARSED, &admission("guard", profile), &wish.sealed, &origin("sid")).unwrap().0;
        let xml = opened(&delivery);
        let tree = Tree::parse(&xml).unwrap();
        assert_eq!(find(tree.root().unwrap(), names::ASSERTION, "NameID").text().unwrap(), name);
        assert_eq!(verified(&xml).len(), 2);
    }
    let wish = idp.wish(&request(&[], ""));
    let profile = Profile { email: Some("a\u{0}b".into()), ..Profile::default() };
    let refused = idp.provider.grant(&PARSED, &admission("guard", profile), &wish.sealed, &origin("sid")).unwrap_err();
    assert_eq!(refused.code, "unsafe-value");
    let refused =
        idp.provider.grant(&PARSED, &admission("guard", Profile::default()), &wish.sealed, &origin("sid")).unwrap_err();
    assert_eq!(refused.code, "name-id-missing");
}

#[test]
fn a_refusal_of_the_login_is_a_status() {
    let idp = Idp::new();
    for (code, status) in [
        ("interaction-required", "NoPassive"),
        ("step-up-unmet", "NoAuthnContext"),
        ("acr-not-met", "NoAuthnContext"),
        ("domain-not-allowed", "RequestDenied"),
    ] {
        let wish = idp.wish(&request(&[], ""));
        let answer = opened(&idp.provider.refuse(&PARSED, &wish.sealed, code).unwrap());
        assert!(answer.contains(&format!("status:{status}\"")) && answer.contains(code), "{answer}");
    }
}

#[test]
fn a59_a_service_provider_that_is_gone_or_changed_meanwhile_is_told_nothing() {
    let idp = Idp::new();
    let wish = idp.wish(&request(&[("AssertionConsumerServiceIndex", "7")], ""));
    let gone = parsed(&TEXT.replace("applications.guard", "applications.other"));
    let changed = parsed(&TEXT.replace("https://auth.example.net/second", "https://auth.example.net/third"));
    for (config, code) in [(&gone, "unknown-service-provider"), (&changed, "acs-not-registered")] {
        let refused = idp.provider.grant(config, &admission("guard", ann()), &wish.sealed, &origin("sid")).unwrap_err();
        assert_eq!(refused.code, code);
        assert_eq!(idp.provider.refuse(config, &wish.sealed, "x").unwrap_err().code, code);
    }
    // Begun here while that was allowed.
    let Asked::Login(begun) = idp.provider.unsolicited(&PARSED, "open") else { panic!("not begun") };
    let off = parsed(&TEXT.replace("allow-idp-initiated = true", ""));
    let refused = idp.provider.grant(&off, &admission("open", ann()), &begun.sealed, &origin("sid")).unwrap_err();
    assert_eq!(refused.code, "idp-initiated-not-allowed");
    assert_eq!(code(idp.provider.unsolicited(&PARSED, "guard")), "idp-initiated-not-allowed");
}

#[test]
fn an_admission_for_one_application_is_no_assertion_for_another() {
    let idp = Idp::new();
    let wish = idp.wish(&request(&[], ""));
    let grant = |application: &str, sealed: &str| {
        idp.provider
            .grant(&PARSED, &admission(application, ann()), sealed, &origin("sid"))
            .map_err(|refused| refused.code)
    };
    assert_eq!(grant("open", &wish.sealed), Err("wrong-application"));
    assert_eq!(grant("guard", &wish.sealed[..wish.sealed.len() - 1]), Err("saml-request-invalid"));
    let farewell = idp.farewell(&signed_logout("sid")).unwrap();
    assert_eq!(grant("guard", &farewell.sealed), Err("saml-request-invalid"), "sealed for a logout");
    assert_eq!(code(idp.provider.resume("open", &wish.sealed)), "wrong-application");
    assert!(matches!(idp.provider.resume("guard", &wish.sealed), Asked::Login(_)));
    assert!(grant("guard", &wish.sealed).is_ok());
    idp.clock.advance(limits::SEALED_LIFETIME);
    assert_eq!(grant("guard", &wish.sealed), Err("saml-request-expired"));
}
