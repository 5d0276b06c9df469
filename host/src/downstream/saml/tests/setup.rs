//! What each side learns of the other before anything happens.

use super::*;

#[test]
fn metadata_has_every_certificate_and_both_bindings() {
    let idp = Idp::new();
    let xml = idp.provider.metadata(&PARSED, "guard").unwrap();
    let tree = Tree::parse(&xml).unwrap();
    let root = tree.root().unwrap();
    assert_eq!(root.attribute("entityID"), Some("https://login.example.com/saml/guard/metadata"));
    let services = root.below(names::METADATA, "SingleSignOnService");
    let bindings: Vec<_> = services.iter().map(|service| service.attribute("Binding").unwrap()).collect();
    assert_eq!(bindings, [names::HTTP_REDIRECT, names::HTTP_POST]);
    assert!(services.iter().all(|service| service.attribute("Location") == Some(SSO)));
    assert_eq!(root.below(names::METADATA, "SingleLogoutService").len(), 2);
    assert_eq!(root.below(names::DSIG, "X509Certificate").len(), keys().certificates().count());
    let open = idp.provider.metadata(&PARSED, "open").unwrap();
    assert!(!open.contains("SingleLogoutService"));
    assert_eq!(idp.provider.metadata(&PARSED, "nobody").unwrap_err().code, "unknown-service-provider");
    let shown = details(&PARSED, &keys(), "guard").unwrap();
    assert_eq!(
        (shown.entity_id.as_str(), shown.sso_url.as_str()),
        ("https://login.example.com/saml/guard/metadata", SSO)
    );
    assert!(shown.certificates[0].starts_with("-----BEGIN CERTIFICATE-----\n"));
}

#[test]
fn a_service_providers_metadata_becomes_a_table_of_the_configuration() {
    let certificate = SP_KEYS.certificates().next().map(base64).unwrap();
    let (wrapped, _) = certificate.split_at(60);
    let xml = format!(
        "<?xml version=\"1.0\"?>\n<md:EntityDescriptor xmlns:md=\"{}\" xmlns:ds=\"{}\" entityID=\"{SP}\">\
         <md:SPSSODescriptor AuthnRequestsSigned=\"true\" protocolSupportEnumeration=\"{}\">\
         <md:KeyDescriptor use=\"signing\"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n{wrapped}\n{}\n\
         </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\
         <md:SingleLogoutService Binding=\"{}\" Location=\"https://auth.example.net/slo\"/>\
         <md:NameIDFormat>{}</md:NameIDFormat>\
         <md:AssertionConsumerService index=\"2\" Binding=\"{post}\" Location=\"https://auth.example.net/two\"/>\
         <md:AssertionConsumerService index=\"5\" isDefault=\"true\" Binding=\"{post}\" Location=\"{ACS}\"/>\
         <md:AssertionConsumerService index=\"6\" Binding=\"urn:x\" Location=\"https://auth.example.net/x\"/>\
         </md:SPSSODescriptor></md:EntityDescriptor>",
        names::METADATA,
        names::DSIG,
        names::PROTOCOL,
        &certificate[60..],
        names::HTTP_REDIRECT,
        names::NAME_ID_EMAIL,
        post = names::HTTP_POST,
    );
    let table = import("guard", &xml).unwrap();
    let explained = xml.replacen("<md:SPSSO", "<!-- this is\nan example --><md:SPSSO", 1);
    assert_eq!(import("guard", &format!("<!-- x -->{}", explained.split_once("?>").unwrap().1)).unwrap(), table);
    let (before, _) = TEXT.split_once("[applications.guard.saml]").unwrap();
    let config = parsed(&format!("{before}{table}"));
    let HandOver::Saml(provider) = &config.applications["guard"].hand_over else { panic!("{table}") };
    assert_eq!(provider.entity_id, SP);
    let urls: Vec<&str> = provider.acs_urls.iter().map(Url::as_str).collect();
    assert_eq!(
        (urls.as_slice(), provider.acs_indexes.as_slice()),
        (&[ACS, "https://auth.example.net/two"][..], &[5, 2][..])
    );
    assert_eq!(provider.logout_url.as_ref().map(Url::as_str), Some("https://auth.example.net/slo"));
    assert!(provider.want_signed_requests);
    assert_eq!(provider.public_keys.len(), 1);

    for (from, to) in [
        ("SPSSODescriptor", "IDPSSODescriptor"),
        (names::PROTOCOL, "urn:oasis:names:tc:SAML:1.1:protocol"),
        (names::HTTP_POST, "urn:x"),
        ("index=\"2\"", "index=\"two\""),
        ("<md:EntityDescriptor", "<!DOCTYPE x><md:EntityDescriptor"),
        ("entityID", "entityId"),
        ("<md:SPSSODescriptor", "<!-- <md:SPSSODescriptor"),
        ("<ds:X509Certificate>", "<ds:X509Certificate>'''"),
    ] {
        assert!(import("guard", &xml.replace(from, to)).is_err(), "{to}");
    }
    // What it says cannot leave its string.
    let odd = import("guard", &xml.replace(SP, "urn:x&quot;&#10;[keys]")).unwrap();
    assert!(odd.contains("entity-id = \"urn:x\\\"\\n[keys]\"\n"), "{odd}");
}
