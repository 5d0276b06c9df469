//! `[applications.ID.saml]`: an application that is a SAML service provider.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::rsa::PublicEncryptingKey;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::check::{Check, Text, UrlUse, join};

/// The longest entity id (SAML Core §8.3.6).
const ENTITY_ID_BYTES_MAX: usize = 1024;

/// Weaker RSA keys are none (NIST SP 800-131A).
const RSA_BITS_MIN: usize = 2048;

/// `[applications.ID.saml]`
#[derive(Clone, Debug)]
pub struct ServiceProvider {
    /// `entity-id`: who it says that it is; compared byte for byte.
    pub entity_id: String,
    /// `acs-urls`: where assertions may be sent. The first is the default.
    pub acs_urls: Vec<Url>,
    /// `acs-indexes`: by which index a request may name each of them.
    pub acs_indexes: Vec<u16>,
    /// `logout-url`: where logout requests are sent.
    pub logout_url: Option<Url>,
    /// `logout-response-url`: where logout responses are sent; default `logout-url`.
    pub logout_response_url: Option<Url>,
    /// `logout-binding`: how both are sent.
    pub logout_binding: LogoutBinding,
    /// `sp-certificates`: the public keys of its certificates (SubjectPublicKeyInfo, DER).
    pub public_keys: Vec<Vec<u8>>,
    /// `want-signed-requests`
    pub want_signed_requests: bool,
    /// `allow-idp-initiated`
    pub allow_idp_initiated: bool,
    /// `name-id`
    pub name_id: NameIdKind,
    /// `domains`: of the addresses that may be asserted, in lower case; empty means every one.
    pub domains: Vec<String>,
    /// `assertion-lifetime-s`
    pub assertion_lifetime: u32,
    /// `authn-contexts`: what the upstream's `acr` is in SAML's words, by class reference.
    pub authn_contexts: BTreeMap<String, String>,
    /// `attributes`
    pub attributes: AttributeNames,
}

/// How a browser brings a logout message to the service provider (SAML Bindings §3.4, §3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogoutBinding {
    /// HTTP-POST: by a form.
    Post,
    /// HTTP-Redirect: in the address.
    #[default]
    Redirect,
}

/// What names the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NameIdKind {
    /// The email address.
    Email,
    /// An opaque identifier that never changes and is another one for each service provider.
    Persistent,
    /// Another identifier each time.
    Transient,
    /// The username.
    Username,
}

/// `[applications.ID.saml.attributes]`: the names; an empty one is not sent.
#[derive(Clone, Debug)]
pub struct AttributeNames {
    /// `id`
    pub id: String,
    /// `given-name`
    pub given_name: String,
    /// `surname`
    pub surname: String,
    /// `email`
    pub email: String,
    /// `username`
    pub username: String,
    /// `display-name`
    pub display_name: String,
    /// `groups`
    pub groups: String,
}

/// The application is a SAML 2.0 service provider, and the gateway its identity provider.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSaml {
    /// The service provider's entity id, as its set-up page shows it; compared byte for byte.
    #[schemars(extend("x-required" = true))]
    entity_id: Option<String>,
    /// Assertion consumer services: where assertions may be sent; compared byte for byte. The first is the default.
    #[schemars(extend("x-required" = true))]
    acs_urls: Option<Vec<String>>,
    /// The indexes by which the service provider's metadata has `acs-urls`, in their order; default 0, 1, 2 …
    acs_indexes: Option<Vec<u16>>,
    /// The service provider's single logout service: it is asked there to end its session when the person logs out
    /// elsewhere, and gets the answers to its own logout requests.
    logout_url: Option<String>,
    /// Where the answers to its own logout requests go, where that is another address (`ResponseLocation`). With this one
    /// alone it is answered, and never asked. With neither its logout requests are refused.
    logout_response_url: Option<String>,
    /// How logout requests and answers are brought there.
    logout_binding: LogoutBinding,
    /// Certificates (X.509, PEM) of the keys with which the service provider signs; several while it changes them.
    sp_certificates: Vec<Text>,
    /// Refuse authentication requests that are not signed. Those that are signed are checked in any case.
    want_signed_requests: bool,
    /// Answer without having been asked (IdP-initiated login). Such an answer cannot be tied to the browser that
    /// began, so leave it off where the service provider can begin.
    allow_idp_initiated: bool,
    /// What names the subject.
    name_id: NameIdKind,
    /// Domains of the email addresses that may be asserted: those that are verified at the service provider. An address of
    /// another domain is refused. `.example.com` means every subdomain. Empty asserts every address that a policy lets through.
    domains: Vec<String>,
    /// How long an assertion may be used, in seconds.
    #[schemars(range(min = 30, max = 3600))]
    assertion_lifetime_s: u32,
    /// Which `acr` of the upstream stands for which authentication context class: `{ CLASS = ACR }`. A request for
    /// such a class demands its `acr`.
    authn_contexts: BTreeMap<String, String>,
    attributes: RawAttributes,
}

impl Default for RawSaml {
    fn default() -> Self {
        Self {
            entity_id: None,
            acs_urls: None,
            acs_indexes: None,
            logout_url: None,
            logout_response_url: None,
            logout_binding: LogoutBinding::Redirect,
            sp_certificates: Vec::new(),
            want_signed_requests: false,
            allow_idp_initiated: false,
            name_id: NameIdKind::Email,
            domains: Vec::new(),
            assertion_lifetime_s: 300,
            authn_contexts: BTreeMap::new(),
            attributes: RawAttributes::default(),
        }
    }
}

/// The names of the attributes; an empty one is not sent. The defaults are those that Atlassian Guard reads.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawAttributes {
    /// An identifier of the person that never changes: never the email address, which may.
    id: String,
    /// The given name.
    given_name: String,
    /// The family name.
    surname: String,
    /// The email address.
    email: String,
    /// The username.
    username: String,
    /// The full name.
    display_name: String,
    /// The groups, one value each.
    groups: String,
}

impl Default for RawAttributes {
    fn default() -> Self {
        let claim = |name: &str| format!("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/{name}");
        Self {
            id: claim("name"),
            given_name: claim("givenname"),
            surname: claim("surname"),
            email: claim("emailaddress"),
            username: String::new(),
            display_name: String::new(),
            groups: "groups".to_owned(),
        }
    }
}

impl RawSaml {
    pub(super) fn check(self, check: &mut Check<'_>, section: &str) -> Option<ServiceProvider> {
        if let Some(entity_id) = &self.entity_id {
            let sound = !entity_id.is_empty()
                && entity_id.len() <= ENTITY_ID_BYTES_MAX
                && !entity_id.chars().any(|c| c.is_control() || c.is_whitespace());
            if !sound {
                let expected = "a URI without blanks, at most 1024 bytes";
                check.error(&join(section, "entity-id"), "not an entity id", expected, "");
            }
        }
        let acs_indexes = acs_indexes(check, section, self.acs_indexes, self.acs_urls.as_ref().map_or(0, Vec::len));
        let acs_urls = self.acs_urls.map(|texts| {
            let key = join(section, "acs-urls");
            if texts.is_empty() {
                check.error(&key, "no assertion can be sent anywhere", "at least one URL", "");
            }
            let keyed = texts.iter().enumerate();
            keyed.filter_map(|(index, text)| check.url(&format!("{key}[{index}]"), text, UrlUse::Redirect)).collect()
        });
        let logout_url = check.url_opt(&join(section, "logout-url"), self.logout_url.as_deref(), UrlUse::Redirect);
        let answers = join(section, "logout-response-url");
        let logout_response_url = check.url_opt(&answers, self.logout_response_url.as_deref(), UrlUse::Redirect);
        let public_keys = public_keys(check, &join(section, "sp-certificates"), &self.sp_certificates);
        for (key, wanted) in [
            ("want-signed-requests", self.want_signed_requests),
            ("logout-url", logout_url.is_some()),
            ("logout-response-url", logout_response_url.is_some()),
        ] {
            if wanted && self.sp_certificates.is_empty() {
                let hint = "without `sp-certificates` no signature of the service provider can be checked";
                check.error(&join(section, key), "signed requests need a certificate", "", hint);
            }
        }
        if self.allow_idp_initiated {
            let message = "a login that nobody asked for cannot be tied to a browser";
            let hint = "leave it off where the service provider can begin the login itself";
            check.warn(&join(section, "allow-idp-initiated"), message, hint);
        }
        for (index, domain) in self.domains.iter().enumerate() {
            check.email_domain(&format!("{section}.domains[{index}]"), domain);
        }
        let attributes = self.attributes.check(check, &join(section, "attributes"));
        Some(ServiceProvider {
            entity_id: self.entity_id?,
            acs_urls: acs_urls?,
            acs_indexes,
            logout_response_url: logout_response_url.or_else(|| logout_url.clone()),
            logout_url,
            logout_binding: self.logout_binding,
            public_keys,
            want_signed_requests: self.want_signed_requests,
            allow_idp_initiated: self.allow_idp_initiated,
            name_id: self.name_id,
            domains: self.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
            assertion_lifetime: self.assertion_lifetime_s,
            authn_contexts: self.authn_contexts,
            attributes,
        })
    }
}

impl RawAttributes {
    fn check(self, check: &mut Check<'_>, section: &str) -> AttributeNames {
        let mut seen = BTreeSet::new();
        for (key, name) in [
            ("id", &self.id),
            ("given-name", &self.given_name),
            ("surname", &self.surname),
            ("email", &self.email),
            ("username", &self.username),
            ("display-name", &self.display_name),
            ("groups", &self.groups),
        ] {
            let key = join(section, key);
            if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
                check.error(&key, "not an attribute's name", "a name without blanks", "");
            }
            if !name.is_empty() && !seen.insert(name.clone()) {
                check.error(&key, format!("another attribute is called `{name}`, too"), "a name of its own", "");
            }
        }
        AttributeNames {
            id: self.id,
            given_name: self.given_name,
            surname: self.surname,
            email: self.email,
            username: self.username,
            display_name: self.display_name,
            groups: self.groups,
        }
    }
}

fn acs_indexes(check: &mut Check<'_>, section: &str, given: Option<Vec<u16>>, urls: usize) -> Vec<u16> {
    let Some(indexes) = given else { return (0..).take(urls).collect() };
    let key = join(section, "acs-indexes");
    if indexes.len() != urls {
        check.error(&key, format!("there are {urls} `acs-urls`"), "one index for each", "");
    }
    if indexes.iter().collect::<BTreeSet<_>>().len() != indexes.len() {
        check.error(&key, "an index comes twice", "one index for each", "");
    }
    indexes
}

/// The keys of certificates that were pinned: neither their dates nor who signed them counts.
fn public_keys(check: &mut Check<'_>, key: &str, texts: &[Text]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let Some(pem) = check.text(&key, text) else { continue };
        let certificates: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let certificates = certificates.unwrap_or_default();
        if certificates.is_empty() {
            check.error(&key, "not a certificate in PEM", "`-----BEGIN CERTIFICATE-----`", "");
        }
        for certificate in &certificates {
            let parsed = ParsedCertificate::try_from(certificate).map(|parsed| parsed.subject_public_key_info());
            let strong =
                |spki: &[u8]| PublicEncryptingKey::from_der(spki).is_ok_and(|key| key.key_size_bits() >= RSA_BITS_MIN);
            match parsed {
                Ok(spki) if strong(spki.as_ref()) => keys.push(spki.as_ref().to_vec()),
                Ok(_) => check.error(&key, "the key is not RSA of 2048 bits or more", "", ""),
                Err(_) => check.error(&key, "not an X.509 certificate", "version 3 (RFC 5280)", ""),
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{
        super::{Config, Diagnostics, HandOver, Severity, parse},
        *,
    };

    fn read(lines: &str) -> Result<Config, Diagnostics> {
        let text = format!(
            "[server]\npublic-url = \"https://login.example.com\"\n[upstreams.main]\npreset = \"google\"\nclient-id = \"c\"\n\
             client-secret = \"s\"\n[policies.p]\ncomponent = \"p.wasm\"\n[applications.guard]\nupstreams = [\"main\"]\n\
             chain = [\"p\"]\nurl = \"https://acme.atlassian.net/\"\n[applications.guard.saml]\n{lines}\n"
        );
        parse(&text, Path::new("/etc/vestibule/vestibule.toml"), &|_| None)
    }

    /// The keys that are wrong, below `applications.guard.saml`.
    fn errors(lines: &str) -> Vec<String> {
        let problems = read(lines).map(|_| ()).expect_err(lines);
        let errors = problems.problems().iter().filter(|problem| problem.severity == Severity::Error);
        errors.map(|problem| problem.key.trim_start_matches("applications.guard.saml.").to_owned()).collect()
    }

    const GOOD: &str = "entity-id = \"urn:sp\"\nacs-urls = [\"https://sp.example.net/acs\"]\n";

    #[test]
    fn a49_an_assertion_can_be_sent_to_a_web_page_over_tls_only() {
        for url in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "http://sp.example.net/acs",
            "http://127.0.0.1.example.net/acs",
            "ftp://sp.example.net/acs",
            "//sp.example.net/acs",
            "/acs",
            "https://sp.example.net@evil.example/acs",
            "https://user:pw@sp.example.net/acs",
            "https://sp.example.net/acs#x",
            "https://SP.example.net/acs",
            "https://sp.example.net/a/../acs",
            "https://sp.example.net/acs\\n",
            "",
        ] {
            let consumer = format!("entity-id = \"urn:sp\"\nacs-urls = [\"https://sp.example.net/ok\", \"{url}\"]");
            assert_eq!(errors(&consumer), ["acs-urls[1]"], "{url}");
            let logout = errors(&format!("{GOOD}logout-url = \"{url}\""));
            assert!(logout.contains(&"logout-url".to_owned()), "{url}: {logout:?}");
        }
        for url in ["https://sp.example.net/acs?connection=saml-1", "http://127.0.0.1:3000/acs", "http://localhost/acs"]
        {
            assert!(read(&format!("entity-id = \"urn:sp\"\nacs-urls = [\"{url}\"]")).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_service_provider_is_told_at_its_key() {
        for (lines, key) in [
            ("acs-urls = [\"https://sp.example.net/acs\"]", "entity-id"),
            ("entity-id = \"urn:sp\"", "acs-urls"),
            ("entity-id = \"urn:sp\"\nacs-urls = []", "acs-urls"),
            ("entity-id = \"a b\"\nacs-urls = [\"https://sp.example.net/acs\"]", "entity-id"),
            (&format!("{GOOD}acs-indexes = [0, 1]"), "acs-indexes"),
            (&format!("{GOOD}name-id = \"mail\""), "name-id"),
            (&format!("{GOOD}domains = [\"@example.com\"]"), "domains[0]"),
            (&format!("{GOOD}domains = [\"*.example.com\"]"), "domains[0]"),
            (&format!("{GOOD}assertion-lifetime-s = 5"), "assertion-lifetime-s"),
            (&format!("{GOOD}want-signed-requests = true"), "want-signed-requests"),
            (&format!("{GOOD}logout-url = \"https://sp.example.net/slo\""), "logout-url"),
            (&format!("{GOOD}sp-certificates = [\"nonsense\"]"), "sp-certificates[0]"),
            (&format!("{GOOD}sp-certificates = [{{ file = \"no-such-file\" }}]"), "sp-certificates[0]"),
            (&format!("{GOOD}attributes = {{ id = \"a\", email = \"a\" }}"), "attributes.email"),
            (&format!("{GOOD}attributes = {{ id = \"a b\" }}"), "attributes.id"),
            (
                &format!("{GOOD}[applications.guard.oidc]\nredirect-uris = [\"https://a.example/\"]"),
                "applications.guard.saml",
            ),
        ] {
            assert_eq!(errors(lines), [key], "{lines}");
        }
    }

    #[test]
    fn an_idp_initiated_login_is_warned_of() {
        let config = read(&format!("{GOOD}allow-idp-initiated = true")).unwrap();
        assert!(config.warnings.to_string().contains("allow-idp-initiated"));
        let HandOver::Saml(provider) = &config.applications["guard"].hand_over else { panic!("no SAML") };
        assert_eq!((provider.acs_indexes.as_slice(), provider.name_id), (&[0][..], NameIdKind::Email));
        assert!(!read(GOOD).unwrap().warnings.to_string().contains("allow-idp-initiated"));
    }
}
