//! A service provider's own metadata (SAML Metadata §2.4.4), read once, into what the
//! configuration has. What is in force then stands there, in plain sight, and is checked as all
//! else is.

use std::fmt::Write as _;

use super::{
    names,
    xml::{Element, Tree, XmlFault},
};

/// Why metadata is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It has no assertion consumer service by HTTP-POST.
    #[error("failed to find an assertion consumer service with the HTTP-POST binding")]
    NoConsumer,
    /// It describes no service provider.
    #[error("failed to find a service provider for SAML 2.0 in the metadata")]
    NoServiceProvider,
    /// It is no metadata.
    #[error("failed to read the metadata: {0}")]
    Unreadable(&'static str),
}

impl From<XmlFault> for ImportError {
    fn from(fault: XmlFault) -> Self {
        Self::Unreadable(match fault {
            XmlFault::TooLong => "it is longer than 64 KiB",
            XmlFault::Declaration => "it has a document type, an entity or a CDATA section",
            XmlFault::Instruction => "it has a processing instruction, or is not UTF-8",
            XmlFault::Malformed => "it is not well-formed XML",
            XmlFault::Schema => "it does not follow its schema",
        })
    }
}

/// The table `[applications.ID.saml]` for the service provider that `xml` describes.
///
/// # Errors
///
/// As [`ImportError`] says. Signatures of metadata are not checked: whoever imports it looks at
/// what came out.
pub fn import(application: &str, xml: &str) -> Result<String, ImportError> {
    let xml = without_comments(xml);
    let tree = Tree::parse(&xml)?;
    let root = tree.root()?;
    if !root.is(names::METADATA, "EntityDescriptor") {
        return Err(ImportError::NoServiceProvider);
    }
    let entity_id = root.attribute("entityID").ok_or(XmlFault::Schema)?;
    let speaks = |role: &Element<'_, '_>| {
        role.attribute("protocolSupportEnumeration")
            .is_some_and(|list| list.split_ascii_whitespace().any(|protocol| protocol == names::PROTOCOL))
    };
    let roles = root.all(names::METADATA, "SPSSODescriptor");
    let role = roles.iter().find(|role| speaks(role)).ok_or(ImportError::NoServiceProvider)?;
    let consumers = consumers(*role)?;
    let logout = logout(*role)?;
    let certificates = certificates(*role)?;

    let mut toml = String::new();
    let put = |toml: &mut String, key: &str, value: String| {
        let _infallible = writeln!(toml, "{key} = {value}");
    };
    let _infallible = writeln!(toml, "[applications.{application}.saml]");
    put(&mut toml, "entity-id", quoted(entity_id));
    put(&mut toml, "acs-urls", list(consumers.iter().map(|(_, url)| quoted(url))));
    let indexes: Vec<u16> = consumers.iter().map(|(index, _)| *index).collect();
    if indexes.iter().copied().ne((0..).take(indexes.len())) {
        put(&mut toml, "acs-indexes", list(indexes.iter().map(u16::to_string)));
    }
    if let (Some(Logout { location, response_location, is_form }), false) = (logout, certificates.is_empty()) {
        put(&mut toml, "logout-url", quoted(location));
        if let Some(other) = response_location.filter(|other| *other != location) {
            put(&mut toml, "logout-response-url", quoted(other));
        }
        if is_form {
            put(&mut toml, "logout-binding", quoted("post"));
        }
    }
    if let Some(name_id) = name_id(*role)? {
        put(&mut toml, "name-id", quoted(name_id));
    }
    if !certificates.is_empty() {
        if role.flag("AuthnRequestsSigned")? {
            put(&mut toml, "want-signed-requests", "true".to_owned());
        }
        put(&mut toml, "sp-certificates", list(certificates.iter().map(|pem| format!("'''\n{pem}'''"))));
    }
    Ok(toml)
}

/// Shibboleth explains itself in one. What is left is read as strictly as a request.
fn without_comments(xml: &str) -> String {
    let mut parts = xml.split("<!--");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once("-->") {
            Some((_, after)) => text.push_str(after),
            // One that does not end is none: the reader refuses it.
            None => text.push_str("<!--"),
        }
    }
    text
}

/// Where assertions may be sent, with their indexes, the default first.
fn consumers<'d>(role: Element<'d, '_>) -> Result<Vec<(u16, &'d str)>, ImportError> {
    let mut found = Vec::new();
    for service in role.all(names::METADATA, "AssertionConsumerService") {
        if service.attribute("Binding") != Some(names::HTTP_POST) {
            continue;
        }
        let index: u16 = service.attribute("index").and_then(|index| index.parse().ok()).ok_or(XmlFault::Schema)?;
        let location = service.attribute("Location").ok_or(XmlFault::Schema)?;
        found.push((!service.flag("isDefault")?, index, location));
    }
    found.sort_unstable();
    let consumers: Vec<_> = found.into_iter().map(|(_, index, location)| (index, location)).collect();
    if consumers.is_empty() { Err(ImportError::NoConsumer) } else { Ok(consumers) }
}

/// A single logout service (SAML Metadata §2.4.2).
struct Logout<'d> {
    location: &'d str,
    response_location: Option<&'d str>,
    is_form: bool,
}

/// By HTTP-Redirect where it has that, by HTTP-POST otherwise.
fn logout<'d>(role: Element<'d, '_>) -> Result<Option<Logout<'d>>, ImportError> {
    let services = role.all(names::METADATA, "SingleLogoutService");
    let by = |binding| services.iter().find(|service| service.attribute("Binding") == Some(binding));
    let found = by(names::HTTP_REDIRECT).map(|service| (service, false));
    let Some((service, is_form)) = found.or_else(|| by(names::HTTP_POST).map(|service| (service, true))) else {
        return Ok(None);
    };
    let location = service.attribute("Location").ok_or(XmlFault::Schema)?;
    Ok(Some(Logout { location, response_location: service.attribute("ResponseLocation"), is_form }))
}

fn certificates(role: Element<'_, '_>) -> Result<Vec<String>, ImportError> {
    let mut found = Vec::new();
    for key in role.all(names::METADATA, "KeyDescriptor") {
        // No use is every use (SAML Metadata §2.4.1.1).
        if !matches!(key.attribute("use"), None | Some("signing")) {
            continue;
        }
        for certificate in key.below(names::DSIG, "X509Certificate") {
            let text: String = certificate.text()?.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
                return Err(XmlFault::Schema.into());
            }
            let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let (line, more) = rest.split_at(rest.len().min(64));
                pem.push_str(line);
                pem.push('\n');
                rest = more;
            }
            pem.push_str("-----END CERTIFICATE-----\n");
            if !found.contains(&pem) {
                found.push(pem);
            }
        }
    }
    Ok(found)
}

/// The first format that we have.
fn name_id(role: Element<'_, '_>) -> Result<Option<&'static str>, ImportError> {
    for format in role.all(names::METADATA, "NameIDFormat") {
        match format.text()?.as_str() {
            names::NAME_ID_EMAIL => return Ok(Some("email")),
            names::NAME_ID_PERSISTENT => return Ok(Some("persistent")),
            names::NAME_ID_TRANSIENT => return Ok(Some("transient")),
            _ => {}
        }
    }
    Ok(None)
}

/// A TOML string. JSON's escapes are TOML's, but for one character (TOML 1.0, "Basic strings").
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
