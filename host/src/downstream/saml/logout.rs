//! Single logout that a service provider asks for (SAML Core §3.7, Profiles §4.4).

use serde::{Deserialize, Serialize};

use super::{
    Addresses, IdentityProvider, Inbound, Message, Outbound, Party, Refused,
    authn_request::{check_header, hold_destination},
    instant, limits,
    logout_sent::Head,
    names, new_id, party, signature,
    status::Status,
    xml::Tree,
};
use crate::config::Config;

/// A checked logout request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// The application that asks.
    pub application: String,
    /// `SessionIndex`: what this service provider's assertions had. None at all asks for every
    /// session of the person.
    pub session_indexes: Vec<String>,
    /// The request, sealed: what [`IdentityProvider::leaving`] and
    /// [`IdentityProvider::logged_out`] take.
    pub sealed: String,
}

/// A request that waits for the logout.
#[derive(Serialize, Deserialize)]
struct Leaving {
    application: String,
    id: String,
    relay_state: Option<String>,
    session_indexes: Vec<String>,
    at: u64,
}

/// What a logout's way back may be long, sealed: it travels in an address within an address.
const SEALED_BYTES_MAX: usize = 1600;

/// How many sessions a request may name.
const SESSIONS_MAX: usize = 8;

/// What the seal is bound to.
const SEALED_AS: &str = "logout-request";

impl IdentityProvider {
    /// Reads a logout request; nothing of it is trusted.
    ///
    /// # Errors
    ///
    /// Where it is not signed by this application's service provider (Profiles §4.4.4.1), is too
    /// old, for another address, or where it is not known where an answer would go.
    pub fn logout_request(&self, config: &Config, application: &str, inbound: &Inbound) -> Result<Farewell, Refused> {
        let Party { application, provider } = party(config, application)?;
        if provider.logout_response_url.is_none() {
            return Err(Refused::new("logout-not-configured", "the service provider has no logout-url"));
        }
        let tree = Tree::parse(&inbound.xml)?;
        let root = tree.root()?;
        let destination = Addresses::of(config, &application.id).slo();
        let now = self.clock.now();
        let header = check_header(root, "LogoutRequest", provider, &destination, now)?;
        let signed = signature::check(&tree, root, inbound.detached.as_ref(), &provider.public_keys)?;
        if !signed {
            return Err(Refused::new("signature-missing", "a logout request must be signed"));
        }
        hold_destination(&header, signed)?;
        if let Some(until) = root.attribute("NotOnOrAfter")
            && instant::parse(until).is_none_or(|until| now >= until.saturating_add(limits::CLOCK_SKEW))
        {
            return Err(Refused::new("saml-request-expired", "the logout request has expired"));
        }
        // The schema wants somebody named; which of the sessions ends says the index.
        let subjects = ["NameID", "EncryptedID", "BaseID"].map(|name| root.all(names::ASSERTION, name).len());
        if subjects.iter().sum::<usize>() != 1 {
            return Err(Refused::new("saml-request-invalid", "a logout request names one subject"));
        }
        let named = root.all(names::PROTOCOL, "SessionIndex");
        let session_indexes: Vec<String> =
            named.iter().take(SESSIONS_MAX).map(|index| index.text()).collect::<Result<_, _>>()?;
        let leaving = Leaving {
            application: application.id.clone(),
            id: header.id,
            relay_state: inbound.relay_state.clone(),
            session_indexes: session_indexes.clone(),
            at: now,
        };
        let sealed = self.seal(SEALED_AS, &leaving)?;
        if sealed.len() > SEALED_BYTES_MAX {
            return Err(Refused::new("saml-request-too-long", "the logout request cannot be remembered"));
        }
        Ok(Farewell { application: application.id.clone(), session_indexes, sealed })
    }

    /// The request that [`IdentityProvider::logout_request`] sealed, once more: a form of another
    /// site comes without our cookies, and the address to which it is redirected with them.
    ///
    /// # Errors
    ///
    /// Where `sealed` is not what was sealed here, or waited for too long.
    pub fn leaving(&self, application: &str, sealed: &str) -> Result<Farewell, Refused> {
        let Leaving { application, session_indexes, .. } = self.unseal_leaving(application, sealed)?;
        Ok(Farewell { application, session_indexes, sealed: sealed.to_owned() })
    }

    fn unseal_leaving(&self, application: &str, sealed: &str) -> Result<Leaving, Refused> {
        let leaving: Leaving = self.unseal(SEALED_AS, sealed)?;
        let now = self.clock.now();
        if leaving.application != application || leaving.at > now || now - leaving.at >= limits::SEALED_LIFETIME {
            return Err(Refused::new("saml-request-expired", "the logout waited for too long"));
        }
        Ok(leaving)
    }

    /// The session has ended: the signed answer. It says so where somebody who took part could not be told.
    ///
    /// # Errors
    ///
    /// Where `sealed` is not what was sealed here, waited for too long, or where the
    /// configuration has changed meanwhile.
    pub fn logged_out(
        &self,
        config: &Config,
        application: &str,
        sealed: &str,
        partial: bool,
    ) -> Result<Outbound, Refused> {
        let leaving = self.unseal_leaving(application, sealed)?;
        let party = party(config, application)?;
        let to = party
            .provider
            .logout_response_url
            .as_ref()
            .ok_or(Refused::new("logout-not-configured", "the service provider has no logout-url"))?;
        let status = if partial { Status::PartialLogout } else { Status::Success };
        let in_response_to = [("InResponseTo", leaving.id.as_str())];
        let id = new_id()?;
        let head = Head { name: "samlp:LogoutResponse", id: &id, to, more: &in_response_to };
        let draft = self.draft(config, party, &head, |writer| status.write(writer, None))?;
        self.send(party, Message::Response, to, draft, leaving.relay_state.as_deref())
    }
}
