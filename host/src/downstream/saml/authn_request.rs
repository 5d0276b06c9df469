//! The authentication request (SAML Core §3.4.1): from a message to a login.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Addresses, Delivery, IdentityProvider, Inbound, Party, Refused, instant, limits, names, party,
    response::name_id_format,
    signature,
    status::Status,
    xml::{Element, Tree, XmlFault},
};
use crate::config::{Config, ServiceProvider};

/// A checked request, as it waits for its login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) application: String,
    /// One of the registered ones.
    pub(super) acs: Url,
    /// `InResponseTo`; none where nobody asked.
    pub(super) id: Option<String>,
    pub(super) relay_state: Option<String>,
    /// The authentication context classes that it asked for.
    pub(super) contexts: Vec<String>,
    /// When it came in.
    at: u64,
    fresh: bool,
    silent: bool,
    demanded_acr: Vec<String>,
}

/// What a login is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The application's id.
    pub application: String,
    /// The request, sealed: what [`IdentityProvider::grant`] takes.
    pub sealed: String,
    /// `ForceAuthn`
    pub fresh: bool,
    /// `IsPassive`
    pub silent: bool,
    /// What the upstream's `acr` must be one of, where there is any.
    pub demanded_acr: Vec<String>,
}

/// What an authentication request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A login is to decide.
    Login(Box<Wish>),
    /// The service provider is told what is wrong: [`IdentityProvider::answer`].
    Answer(Box<Answer>),
    /// The person is told: it is not known where an answer may be sent.
    Refused(Refused),
}

/// A no that needs no login, not yet signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    waiting: Waiting,
    status: Status,
    message: &'static str,
}

/// Why there is no login: the service provider can be told, or it cannot.
enum No {
    Answer(Box<Answer>),
    Refused(Refused),
}

impl No {
    fn answer(waiting: Waiting, status: Status, message: &'static str) -> Self {
        Self::Answer(Box::new(Answer { waiting, status, message }))
    }
}

impl From<Refused> for No {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<XmlFault> for Refused {
    fn from(fault: XmlFault) -> Self {
        match fault {
            XmlFault::TooLong => Self::new("saml-request-too-long", "the message is too long"),
            XmlFault::Declaration => {
                Self::new("saml-request-declaration", "the message has a declaration or a comment")
            }
            XmlFault::Instruction => Self::new("saml-request-instruction", "the message has an instruction"),
            XmlFault::Malformed => Self::new("saml-request-malformed", "the message is not well-formed"),
            XmlFault::Schema => Self::new("saml-request-invalid", "the message does not follow its schema"),
        }
    }
}

impl IdentityProvider {
    /// Reads an authentication request to `application`; nothing of it is trusted.
    #[must_use]
    pub fn authn_request(&self, config: &Config, application: &str, inbound: &Inbound) -> Asked {
        match self.read(config, application, inbound) {
            Ok(waiting) => self.wish(waiting),
            Err(No::Refused(refused)) => Asked::Refused(refused),
            Err(No::Answer(answer)) => Asked::Answer(answer),
        }
    }

    /// Signs a no.
    ///
    /// # Errors
    ///
    /// Where no key signs.
    pub fn answer(&self, config: &Config, answer: &Answer) -> Result<Delivery, Refused> {
        self.status(config, &answer.waiting, answer.status, answer.message)
    }

    /// Begins without having been asked (SAML Profiles §4.1.5), where that is configured.
    #[must_use]
    pub fn unsolicited(&self, config: &Config, application: &str) -> Asked {
        let party = match party(config, application) {
            Ok(party) => party,
            Err(refused) => return Asked::Refused(refused),
        };
        if !party.provider.allow_idp_initiated {
            return Asked::Refused(Refused::new("idp-initiated-not-allowed", "the service provider must begin"));
        }
        let Some(acs) = party.provider.acs_urls.first() else {
            return Asked::Refused(Refused::new("acs-not-registered", "there is no assertion consumer service"));
        };
        self.wish(Waiting {
            application: party.application.id.clone(),
            acs: acs.clone(),
            id: None,
            relay_state: None,
            contexts: Vec::new(),
            at: self.clock.now(),
            fresh: false,
            silent: false,
            demanded_acr: Vec::new(),
        })
    }

    /// The wish that [`IdentityProvider::authn_request`] sealed, once more: a form of another
    /// site comes without our cookies, and the address to which it is redirected with them.
    #[must_use]
    pub fn resume(&self, application: &str, sealed: &str) -> Asked {
        match self.waiting(sealed) {
            Ok(waiting) if waiting.application == application => self.wish(waiting),
            Ok(_) => Asked::Refused(Refused::new("wrong-application", "the request was for another application")),
            Err(refused) => Asked::Refused(refused),
        }
    }

    /// Opens what waits for a login, unless it has waited for too long.
    pub(super) fn waiting(&self, sealed: &str) -> Result<Waiting, Refused> {
        let waiting: Waiting = self.unseal(SEALED_AS, sealed)?;
        let now = self.clock.now();
        if waiting.at > now || now - waiting.at >= limits::SEALED_LIFETIME {
            return Err(Refused::new("saml-request-expired", "the request waited for too long"));
        }
        Ok(waiting)
    }

    fn wish(&self, waiting: Waiting) -> Asked {
        match self.seal(SEALED_AS, &waiting) {
            Ok(sealed) => Asked::Login(Box::new(Wish {
                application: waiting.application,
                sealed,
                fresh: waiting.fresh,
                silent: waiting.silent,
                demanded_acr: waiting.demanded_acr,
            })),
            Err(refused) => Asked::Refused(refused),
        }
    }

    fn read(&self, config: &Config, application: &str, inbound: &Inbound) -> Result<Waiting, No> {
        let party = party(config, application)?;
        let Party { application, provider } = party;
        let tree = Tree::parse(&inbound.xml).map_err(Refused::from)?;
        let root = tree.root().map_err(Refused::from)?;
        let destination = Addresses::of(config, &application.id).sso();
        let header = check_header(root, "AuthnRequest", provider, &destination, self.clock.now())?;
        let signed = signature::check(&tree, root, inbound.detached.as_ref(), &provider.public_keys)?;
        if provider.want_signed_requests && !signed {
            return Err(Refused::new("signature-missing", "the service provider must sign its requests").into());
        }
        hold_destination(&header, signed)?;
        let acs = consumer(root, provider)?;
        let flag = |name: &str| root.flag(name).map_err(Refused::from);
        let mut waiting = Waiting {
            application: application.id.clone(),
            acs,
            id: Some(header.id),
            relay_state: inbound.relay_state.clone(),
            contexts: Vec::new(),
            at: self.clock.now(),
            fresh: flag("ForceAuthn")?,
            silent: flag("IsPassive")?,
            demanded_acr: Vec::new(),
        };
        // From here on the service provider is known, and is told.
        if root.attribute("ProtocolBinding").is_some_and(|binding| binding != names::HTTP_POST) {
            return Err(No::answer(waiting, Status::UnsupportedBinding, "protocol-binding"));
        }
        if root.child(names::ASSERTION, "Subject").map_err(Refused::from)?.is_some() {
            return Err(No::answer(waiting, Status::RequestUnsupported, "subject"));
        }
        let policy = root.child(names::PROTOCOL, "NameIDPolicy").map_err(Refused::from)?;
        let format = policy.and_then(|policy| policy.attribute("Format"));
        if format.is_some_and(|format| !matches_name_id(format, provider)) {
            return Err(No::answer(waiting, Status::InvalidNameIdPolicy, "name-id-policy"));
        }
        let requested = root.child(names::PROTOCOL, "RequestedAuthnContext").map_err(Refused::from)?;
        match requested.map(|requested| contexts(requested, provider)).transpose().map_err(Refused::from)? {
            None => Ok(waiting),
            Some(None) => Err(No::answer(waiting, Status::NoAuthnContext, "authn-context")),
            Some(Some(Contexts { classes, acr })) => {
                waiting.contexts = classes;
                waiting.demanded_acr = acr;
                Ok(waiting)
            }
        }
    }
}

/// What the seal of a request is bound to.
const SEALED_AS: &str = "authn-request";

/// What every request has (SAML Core §3.2.1).
pub(super) struct Header {
    pub(super) id: String,
    /// Said, and right.
    has_destination: bool,
}

/// Checks what every request has. `root` is not yet known to be signed.
pub(super) fn check_header(
    root: Element<'_, '_>,
    name: &str,
    provider: &ServiceProvider,
    destination: &str,
    now: u64,
) -> Result<Header, Refused> {
    let invalid = |detail| Refused::new("saml-request-invalid", detail);
    if !root.is(names::PROTOCOL, name) {
        return Err(invalid("the message is another one"));
    }
    if root.attribute("Version") != Some("2.0") {
        return Err(invalid("the version is not 2.0"));
    }
    let id = root.attribute("ID").filter(|id| is_id(id)).ok_or(invalid("ID is missing or no xs:ID"))?;
    let issuer = root.needed(names::ASSERTION, "Issuer")?;
    // SAML Core §2.2.5: no other format names an entity.
    let is_entity = issuer.attribute("Format").is_none_or(|format| format == names::ENTITY);
    if !is_entity || issuer.text()? != provider.entity_id {
        return Err(Refused::new("issuer-unknown", "the issuer is not this application's service provider"));
    }
    let said = root.attribute("Destination");
    if said.is_some_and(|said| said != destination) {
        return Err(Refused::new("destination-mismatch", "the message is for another address"));
    }
    let issued =
        root.attribute("IssueInstant").and_then(instant::parse).ok_or(invalid("IssueInstant is no instant"))?;
    if issued > now.saturating_add(limits::CLOCK_SKEW) || now.saturating_sub(issued) > limits::REQUEST_AGE_MAX {
        return Err(Refused::new("saml-request-expired", "the message is too old, or from the future"));
    }
    Ok(Header { id: id.to_owned(), has_destination: said.is_some() })
}

/// SAML Bindings §3.4.5.2 and §3.5.5.2: a signed message says for whom it is.
pub(super) fn hold_destination(header: &Header, signed: bool) -> Result<(), Refused> {
    if signed && !header.has_destination {
        return Err(Refused::new("destination-mismatch", "a signed message names no destination"));
    }
    Ok(())
}

/// An `xs:ID`, as far as it matters: it comes back in our XML.
fn is_id(id: &str) -> bool {
    let sound = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    id.len() <= limits::ID_BYTES_MAX && id.starts_with(|c: char| c.is_alphabetic() || c == '_') && id.chars().all(sound)
}

/// The registered assertion consumer service that is asked for (SAML Core §3.4.1). Without one
/// nobody is told anything (A51).
fn consumer(root: Element<'_, '_>, provider: &ServiceProvider) -> Result<Url, Refused> {
    let url = root.attribute("AssertionConsumerServiceURL");
    let index = root.attribute("AssertionConsumerServiceIndex");
    let found = match (url, index) {
        (None, None) => provider.acs_urls.first(),
        (Some(url), None) => provider.acs_urls.iter().find(|registered| registered.as_str() == url),
        (None, Some(index)) => index.parse::<u16>().ok().and_then(|index| {
            let mut indexed = provider.acs_indexes.iter().zip(&provider.acs_urls);
            indexed.find(|(own, _)| **own == index).map(|(_, url)| url)
        }),
        // The schema has one or the other.
        (Some(_), Some(_)) => None,
    };
    found.cloned().ok_or(Refused::new("acs-not-registered", "the address is none of the registered ones"))
}

/// Is this the format that we send, or any?
fn matches_name_id(format: &str, provider: &ServiceProvider) -> bool {
    format == names::NAME_ID_UNSPECIFIED
        || format == "urn:oasis:names:tc:SAML:2.0:nameid-format:unspecified"
        || format == name_id_format(provider.name_id)
}

struct Contexts {
    classes: Vec<String>,
    /// What is demanded of the upstream; nothing where every login will do.
    acr: Vec<String>,
}

/// What an authentication context asks for (SAML Core §3.3.2.2.1); none where we cannot say so.
fn contexts(requested: Element<'_, '_>, provider: &ServiceProvider) -> Result<Option<Contexts>, XmlFault> {
    /// Each login at an upstream is as good as this: it happens over TLS. Service providers ask
    /// for it without meaning anything by it.
    const ANY_LOGIN: [&str; 3] = [
        "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
        "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
        names::CONTEXT_UNSPECIFIED,
    ];
    let classes = requested.all(names::ASSERTION, "AuthnContextClassRef");
    let classes: Vec<String> = classes.iter().map(|class| class.text()).collect::<Result<_, _>>()?;
    // We have no order among classes.
    let comparable = matches!(requested.attribute("Comparison"), None | Some("exact" | "minimum"));
    if !comparable {
        return Ok(None);
    }
    let acr: Vec<String> = classes.iter().filter_map(|class| provider.authn_contexts.get(class).cloned()).collect();
    let any = |class: &String| ANY_LOGIN.contains(&class.as_str()) && !provider.authn_contexts.contains_key(class);
    if classes.iter().any(any) {
        return Ok(Some(Contexts { classes, acr: Vec::new() }));
    }
    Ok((!acr.is_empty()).then_some(Contexts { classes, acr }))
}
