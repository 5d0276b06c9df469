//! What service providers, and those who pretend to be one, can ask of the identity provider.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bergshamra_dsig::{DsigContext, VerifyResult, verify};
use bergshamra_keys::{KeysManager, loader};
use proptest::prelude::*;
use url::Url;

use super::{
    write::Writer,
    xml::{Element, Tree},
    *,
};
use crate::{
    clock::ManualClock,
    config,
    decision::{Admission, Admitted, Claim, Difference, Profile, SessionTerms, Value},
    identity::{Email, GroupClaim, Identity, Protocol},
    session::testing::{NOW, another_ring, keys},
};

const SP: &str = "https://auth.example.net/saml/1234";
const ACS: &str = "https://auth.example.net/login/callback?connection=saml-1234";
const SSO: &str = "https://login.example.com/saml/guard/sso";
const SLO: &str = "https://login.example.com/saml/guard/slo";

/// The service provider's keys: a ring, since it signs as we do.
static SP_KEYS: LazyLock<Arc<KeyRing>> = LazyLock::new(another_ring);

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let certificate = SP_KEYS.certificates().next().map(base64).unwrap();
    format!(
        r#"
[server]
public-url = "https://login.example.com"
[policies.any]
component = "any.wasm"
[upstreams.main]
preset = "keycloak"
base-url = "https://id.example.com"
realm = "r"
client-id = "c"
client-secret = "s"

[applications.guard]
upstreams = ["main"]
chain = ["any"]
url = "https://acme.atlassian.net/"
[applications.guard.saml]
entity-id = "{SP}"
acs-urls = ["{ACS}", "https://auth.example.net/second"]
acs-indexes = [1, 7]
logout-url = "https://auth.example.net/logout"
sp-certificates = ["""
-----BEGIN CERTIFICATE-----
{certificate}
-----END CERTIFICATE-----
"""]
authn-contexts = {{ "https://refeds.org/profile/mfa" = "mfa" }}

[applications.open]
upstreams = ["main"]
chain = ["any"]
url = "https://open.example.net/"
[applications.open.saml]
entity-id = "{SP}"
acs-urls = ["https://open.example.net/acs"]
allow-idp-initiated = true
name-id = "persistent"
"#
    )
});

fn parsed(text: &str) -> Config {
    config::parse(text, Path::new("vestibule.toml"), &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

static PARSED: LazyLock<Config> = LazyLock::new(|| parsed(&TEXT));

struct Idp {
    provider: IdentityProvider,
    clock: Arc<ManualClock>,
}

impl Idp {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        Self { provider: IdentityProvider::new(keys(), Arc::clone(&clock) as Arc<dyn Clock>), clock }
    }

    fn asked(&self, xml: &str) -> Asked {
        self.provider.authn_request(&PARSED, "guard", &by_form(xml))
    }

    fn wish(&self, xml: &str) -> Wish {
        match self.asked(xml) {
            Asked::Login(wish) => *wish,
            other => panic!("{other:?}"),
        }
    }

    /// The code of our own page.
    fn refused(&self, xml: &str) -> &'static str {
        code(self.asked(xml))
    }

    /// The status that the service provider is told.
    fn answered(&self, xml: &str) -> String {
        match self.asked(xml) {
            Asked::Answer(delivery) => opened(&delivery),
            other => panic!("{other:?}"),
        }
    }

    fn farewell(&self, xml: &str) -> Result<Farewell, &'static str> {
        self.provider.logout_request(&PARSED, "guard", &by_form(xml)).map_err(|refused| refused.code)
    }
}

fn code(asked: Asked) -> &'static str {
    match asked {
        Asked::Refused(refused) => refused.code,
        other => panic!("{other:?}"),
    }
}

fn by_form(xml: &str) -> Inbound {
    Inbound::post(&[("SAMLRequest".into(), STANDARD.encode(xml)), ("RelayState".into(), "r".into())]).unwrap()
}

/// By HTTP-Redirect, signed with `algorithm` as the query says, if at all.
fn by_redirect(xml: &str, algorithm: Option<&str>) -> String {
    let url = Url::parse("https://x.example/").unwrap();
    let signed = binding::respond(&SP_KEYS, &url, xml, Some("r s")).unwrap();
    let query = signed.query().unwrap().replace("SAMLResponse=", "SAMLRequest=");
    let (octets, _) = query.split_once("&SigAlg=").unwrap();
    let Some(algorithm) = algorithm else { return octets.to_owned() };
    let escaped: String = url::form_urlencoded::byte_serialize(algorithm.as_bytes()).collect();
    let octets = format!("{octets}&SigAlg={escaped}");
    let signature = base64(&SP_KEYS.sign_certified(octets.as_bytes()).unwrap());
    let signature: String = url::form_urlencoded::byte_serialize(signature.as_bytes()).collect();
    format!("{octets}&Signature={signature}")
}

/// An authentication request with `more` attributes in the place of those of the same name (an
/// empty value leaves one out), and `inside` after the issuer.
fn request(more: &[(&str, &str)], inside: &str) -> String {
    message("AuthnRequest", SSO, more, inside)
}

fn message(name: &str, destination: &str, more: &[(&str, &str)], inside: &str) -> String {
    let issued = instant::format(NOW);
    let base = [("ID", "_req-1"), ("Version", "2.0"), ("IssueInstant", &*issued), ("Destination", destination)];
    let mut attributes: Vec<(&str, &str)> =
        base.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name)).copied().collect();
    attributes.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    let attributes: String = attributes.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
    format!(
        "<samlp:{name} xmlns:samlp=\"{}\" xmlns:saml=\"{}\"{attributes}><saml:Issuer>{SP}</saml:Issuer>{inside}</samlp:{name}>",
        names::PROTOCOL,
        names::ASSERTION
    )
}

/// A request that its service provider signed within itself.
fn signed(name: &'static str, destination: &str, id: &str, more: impl FnOnce(&mut Writer)) -> String {
    let issued = instant::format(NOW);
    let mut writer = Writer::default();
    let attributes = [("ID", id), ("Version", "2.0"), ("IssueInstant", &issued), ("Destination", destination)];
    writer.open(name, &attributes).unwrap();
    writer.element("saml:Issuer", &[], SP).unwrap();
    let place = writer.here();
    more(&mut writer);
    sign::enveloped(&SP_KEYS, id, writer, place).unwrap()
}

fn signed_request() -> String {
    signed("samlp:AuthnRequest", SSO, "_req-1", |_| {})
}

fn signed_logout(index: &str) -> String {
    signed("samlp:LogoutRequest", SLO, "_out-1", |writer| {
        writer.element("saml:NameID", &[], "ann@example.com").unwrap();
        writer.element("samlp:SessionIndex", &[], index).unwrap();
    })
}

fn admission(application: &str, profile: Profile) -> Admission {
    Admission::assertion(Admitted {
        login: "login-1".into(),
        application: application.into(),
        tenant: "default".into(),
        generation: 1,
        identity: Identity {
            upstream: "main".into(),
            protocol: Protocol::Oidc,
            issuer: "https://id.example.com/realms/r".into(),
            subject: "ann-1".into(),
            email: Some(Email { address: "ann@example.com".into(), verified: true }),
            groups: GroupClaim::Absent,
            auth_time: Some(NOW - 5),
            acr: Some("mfa".into()),
            amr: vec![],
            claims: BTreeMap::new(),
        },
        profile,
        groups: Difference { groups: vec!["a & b".into(), "staff".into()], ..Difference::default() },
        terms: SessionTerms { lifetime: 1000, idle: 100, remember: false },
        at: NOW,
    })
}

fn ann() -> Profile {
    Profile {
        email: Some("ann@example.com".into()),
        given_name: Some("Ann".into()),
        family_name: Some("Ångström <x>".into()),
        ..Profile::default()
    }
}

fn opened(delivery: &Delivery) -> String {
    String::from_utf8(STANDARD.decode(&delivery.response).unwrap()).unwrap()
}

/// Another implementation than the one that signed: every signature in `xml`, with our
/// certificate's key, and what each covers.
fn verified(xml: &str) -> Vec<String> {
    let mut manager = KeysManager::new();
    manager.add_key(loader::load_x509_cert_der(keys().certificates().next().unwrap()).unwrap());
    let results = verify::verify_all(&DsigContext::new(manager), xml).unwrap();
    let uri = |result: &VerifyResult| match result {
        VerifyResult::Valid { references, .. } => references.iter().map(|reference| reference.uri.clone()).collect(),
        VerifyResult::Invalid { reason } => panic!("{reason}: {xml}"),
    };
    results.iter().map(uri).collect()
}

fn find<'d>(from: Element<'d, 'd>, namespace: &str, name: &str) -> Element<'d, 'd> {
    from.below(namespace, name).into_iter().next().unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn an_assertion_says_who_for_whom_where_and_until_when_and_both_signatures_hold() {
    let idp = Idp::new();
    let wish = idp.wish(&request(&[("AssertionConsumerServiceIndex", "7")], ""));
    let delivery = idp.provider.grant(&PARSED, &admission("guard", ann()), &wish.sealed, "sid-1").unwrap();
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
    let delivery = idp.provider.grant(&PARSED, &admission("guard", profile), &wish.sealed, "sid").unwrap();
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
        let delivery = idp.provider.grant(&PARSED, &admission("open", profile), &wish.sealed, "sid").unwrap();
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
        let granted = idp.provider.grant(&PARSED, &admission("guard", profile), &wish.sealed, "sid");
        match granted {
            Ok(delivery) => {
                let xml = opened(&delivery);
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
        let delivery = idp.provider.grant(&PARSED, &admission("guard", profile), &wish.sealed, "sid").unwrap();
        let xml = opened(&delivery);
        let tree = Tree::parse(&xml).unwrap();
        assert_eq!(find(tree.root().unwrap(), names::ASSERTION, "NameID").text().unwrap(), name);
        assert_eq!(verified(&xml).len(), 2);
    }
    let wish = idp.wish(&request(&[], ""));
    let profile = Profile { email: Some("a\u{0}b".into()), ..Profile::default() };
    let refused = idp.provider.grant(&PARSED, &admission("guard", profile), &wish.sealed, "sid").unwrap_err();
    assert_eq!(refused.code, "unsafe-value");
    let refused =
        idp.provider.grant(&PARSED, &admission("guard", Profile::default()), &wish.sealed, "sid").unwrap_err();
    assert_eq!(refused.code, "name-id-missing");
}

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
    let delivery = idp.provider.grant(&PARSED, &admission("guard", ann()), &wish.sealed, "sid").unwrap();
    assert!(opened(&delivery).contains("profile/mfa"), "what is known to be so is said, whatever was asked");
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
    let ours = binding::respond(&keys(), &url, &request(&[], ""), None).unwrap();
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
    let to = idp.provider.logged_out(&PARSED, "guard", &farewell.sealed).unwrap();
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
    assert!(idp.provider.logged_out(&PARSED, "guard", &farewell.sealed).is_err(), "too late");
}

#[test]
fn a59_a_service_provider_that_is_gone_or_changed_meanwhile_is_told_nothing() {
    let idp = Idp::new();
    let wish = idp.wish(&request(&[("AssertionConsumerServiceIndex", "7")], ""));
    let gone = parsed(&TEXT.replace("applications.guard", "applications.other"));
    let changed = parsed(&TEXT.replace("https://auth.example.net/second", "https://auth.example.net/third"));
    for (config, code) in [(&gone, "unknown-service-provider"), (&changed, "acs-not-registered")] {
        let refused = idp.provider.grant(config, &admission("guard", ann()), &wish.sealed, "sid").unwrap_err();
        assert_eq!(refused.code, code);
        assert_eq!(idp.provider.refuse(config, &wish.sealed, "x").unwrap_err().code, code);
    }
    // Begun here while that was allowed.
    let Asked::Login(begun) = idp.provider.unsolicited(&PARSED, "open") else { panic!("not begun") };
    let off = parsed(&TEXT.replace("allow-idp-initiated = true", ""));
    let refused = idp.provider.grant(&off, &admission("open", ann()), &begun.sealed, "sid").unwrap_err();
    assert_eq!(refused.code, "idp-initiated-not-allowed");
    assert_eq!(code(idp.provider.unsolicited(&PARSED, "guard")), "idp-initiated-not-allowed");
}

#[test]
fn an_admission_for_one_application_is_no_assertion_for_another() {
    let idp = Idp::new();
    let wish = idp.wish(&request(&[], ""));
    let grant = |application: &str, sealed: &str| {
        idp.provider.grant(&PARSED, &admission(application, ann()), sealed, "sid").map_err(|refused| refused.code)
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
