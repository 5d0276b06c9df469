//! What service providers, and those who pretend to be one, can ask of the identity provider.

mod logout;
mod logout_sent;
mod requests;
mod responses;
mod setup;
mod signatures;

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
    session::{
        Origin,
        testing::{NOW, another_ring, keys},
    },
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
            Asked::Answer(answer) => opened(&self.provider.answer(&PARSED, &answer).unwrap()),
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
    let signed = binding::signed_url(&SP_KEYS, &url, Message::Response, xml, Some("r s")).unwrap();
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

fn origin(sid: &str) -> Origin {
    Origin { sid: sid.into(), ..Origin::default() }
}

fn opened(delivery: &Delivery) -> String {
    String::from_utf8(STANDARD.decode(&delivery.message).unwrap()).unwrap()
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
