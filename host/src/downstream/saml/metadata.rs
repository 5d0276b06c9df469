//! What a service provider must know of us: as metadata (SAML Metadata §2.4), and as the three
//! fields that people copy.

use serde::Serialize;

use super::{
    Addresses, IdentityProvider, Party, Refused, base64, binding, names, party, response::name_id_format, write::Writer,
};
use crate::{config::Config, keys::KeyRing};

/// What is copied into a service provider's set-up page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Details {
    /// IDP Entity ID.
    pub entity_id: String,
    /// IDP SSO URL.
    pub sso_url: String,
    /// IDP logout URL, where the service provider has one itself.
    pub logout_url: Option<String>,
    /// Public X.509 certificates in PEM: the one in use first, then those that are published
    /// beside it.
    pub certificates: Vec<String>,
    /// Their SHA-256 fingerprints.
    pub fingerprints: Vec<String>,
    /// Where the metadata is.
    pub metadata_url: String,
}

/// What is copied into the set-up page of `application`'s service provider.
///
/// # Errors
///
/// Where `application` is no service provider.
pub fn details(config: &Config, keys: &KeyRing, application: &str) -> Result<Details, Refused> {
    let Party { provider, .. } = party(config, application)?;
    let addresses = Addresses::of(config, application);
    Ok(Details {
        entity_id: addresses.entity_id(),
        sso_url: addresses.sso(),
        logout_url: provider.logout_response_url.is_some().then(|| addresses.slo()),
        certificates: keys.certificates().map(pem).collect(),
        fingerprints: keys.certificates().map(binding::fingerprint).collect(),
        metadata_url: addresses.entity_id(),
    })
}

impl IdentityProvider {
    /// The metadata for the service provider of `application`.
    ///
    /// # Errors
    ///
    /// Where `application` is no service provider, or where there is no certificate.
    pub fn metadata(&self, config: &Config, application: &str) -> Result<String, Refused> {
        let Party { provider, .. } = party(config, application)?;
        let addresses = Addresses::of(config, application);
        if self.keys.certificates().next().is_none() {
            return Err(Refused::new("certificate-missing", "the key ring has no certificate"));
        }
        let wants_signed = if provider.want_signed_requests { "true" } else { "false" };
        let mut writer = Writer::default();
        let w = &mut writer;
        w.open("md:EntityDescriptor", &[("entityID", &addresses.entity_id())])?;
        w.open(
            "md:IDPSSODescriptor",
            &[("protocolSupportEnumeration", names::PROTOCOL), ("WantAuthnRequestsSigned", wants_signed)],
        )?;
        for certificate in self.keys.certificates() {
            w.open("md:KeyDescriptor", &[("use", "signing")])?;
            w.open("ds:KeyInfo", &[])?;
            w.open("ds:X509Data", &[])?;
            w.element("ds:X509Certificate", &[], &base64(certificate))?;
            w.close();
            w.close();
            w.close();
        }
        let both = [names::HTTP_REDIRECT, names::HTTP_POST];
        if provider.logout_response_url.is_some() {
            for binding in both {
                let attributes = [("Binding", binding), ("Location", &*addresses.slo())];
                w.element("md:SingleLogoutService", &attributes, "")?;
            }
        }
        w.element("md:NameIDFormat", &[], name_id_format(provider.name_id))?;
        for binding in both {
            w.element("md:SingleSignOnService", &[("Binding", binding), ("Location", &addresses.sso())], "")?;
        }
        Ok(writer.finish())
    }
}

/// RFC 7468 §5.
fn pem(der: &[u8]) -> String {
    let text = base64(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----");
    for (index, character) in text.chars().enumerate() {
        if index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}
