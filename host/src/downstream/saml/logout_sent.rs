//! Single logout that service providers are asked for (SAML Core §3.7, Profiles §4.4): the request, on its way
//! by the browser, and the answer.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Addresses, Delivery, IdentityProvider, Inbound, Message, Outbound, Party, Refused,
    authn_request::{check_header, hold_destination},
    base64, binding, instant, limits, names, party,
    response::write_name_id,
    sign, signature,
    status::{PARTIAL_LOGOUT, SUCCESS},
    unsigned,
    write::{Unwritable, Writer},
    xml::Tree,
};
use crate::{
    config::{Config, LogoutBinding},
    session::{Participant, Role},
};

/// How long a logout request is good, in seconds.
const REQUEST_LIFETIME_S: u64 = 300;

/// What the seal of an answer is bound to.
const SEALED_AS: &str = "logout-answer";

/// What came of a logout request of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutAnswer {
    /// Whose service provider answers.
    pub application: String,
    /// The request: its id, which `RelayState` had. Nobody knew it but the browser and that service provider.
    pub id: String,
    /// Why the session there may live on: a code in kebab-case; none where it has ended, and that is proved.
    pub failed: Option<String>,
    at: u64,
}

/// A message that is not signed yet: who it is, what was written, and where the signature goes.
pub(super) struct Draft {
    id: String,
    writer: Writer,
    place: usize,
}

/// What a message begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// The root element's name.
    pub(super) name: &'static str,
    pub(super) id: &'a str,
    pub(super) to: &'a Url,
    /// Further attributes of the root.
    pub(super) more: &'a [(&'static str, &'a str)],
}

impl IdentityProvider {
    /// Asks a participant to end its session. `id` is the message's, and travels as `RelayState`, too. None where it
    /// has no single logout service, or is no longer the service provider that it was.
    ///
    /// # Errors
    ///
    /// Where no key signs.
    pub fn ask_to_log_out(
        &self,
        config: &Config,
        participant: &Participant,
        id: &str,
    ) -> Result<Option<Outbound>, Refused> {
        let Role::ServiceProvider { entity_id, name_id } = &participant.role else { return Ok(None) };
        let Ok(party) = party(config, &participant.application) else { return Ok(None) };
        let Some(to) = party.provider.logout_url.as_ref().filter(|_| party.provider.entity_id == *entity_id) else {
            return Ok(None);
        };
        let until = instant::format(self.clock.now().saturating_add(REQUEST_LIFETIME_S));
        // SAML Core §3.7.3: why, and until when it counts.
        let more = [("NotOnOrAfter", until.as_str()), ("Reason", "urn:oasis:names:tc:SAML:2.0:logout:user")];
        let head = Head { name: "samlp:LogoutRequest", id, to, more: &more };
        let draft = self.draft(config, party, &head, |writer| {
            write_name_id(writer, name_id)?;
            writer.element("samlp:SessionIndex", &[], &participant.origin.sid)
        })?;
        self.send(party, Message::Request, to, draft, Some(id)).map(Some)
    }

    /// Reads an answer to such a request; nothing of it is trusted. One that is not as it should be is an answer
    /// all the same: it says that the session there may live on.
    ///
    /// # Errors
    ///
    /// Where it is not said which request it answers: nobody asked for it.
    pub fn logout_answer(
        &self,
        config: &Config,
        application: &str,
        inbound: &Inbound,
    ) -> Result<LogoutAnswer, Refused> {
        let party = party(config, application)?;
        let Some(id) = inbound.relay_state.clone() else {
            return Err(Refused::new("relay-state-missing", "a logout response has no RelayState"));
        };
        let failed = self.check_answer(config, party, inbound, &id).err();
        let failed = failed.map(|Refused { code, detail }| {
            tracing::warn!(application, code, detail, "a service provider's logout response does not count");
            code.to_owned()
        });
        Ok(LogoutAnswer { application: application.to_owned(), id, failed, at: self.clock.now() })
    }

    /// SAML Profiles §4.4.3.4, §4.4.4.2: signed, by whom was asked, for this request, and a yes.
    fn check_answer(&self, config: &Config, party: Party<'_>, inbound: &Inbound, id: &str) -> Result<(), Refused> {
        let Party { application, provider } = party;
        let tree = Tree::parse(&inbound.xml)?;
        let root = tree.root()?;
        let destination = Addresses::of(config, &application.id).slo();
        let header = check_header(root, "LogoutResponse", provider, &destination, self.clock.now())?;
        if !signature::check(&tree, root, inbound.detached.as_ref(), &provider.public_keys)? {
            return Err(Refused::new("signature-missing", "a logout response must be signed"));
        }
        hold_destination(&header, true)?;
        if root.attribute("InResponseTo") != Some(id) {
            return Err(Refused::new("in-response-to-mismatch", "the response answers another request"));
        }
        let code = root.needed(names::PROTOCOL, "Status")?.needed(names::PROTOCOL, "StatusCode")?;
        if code.attribute("Value") != Some(SUCCESS) {
            return Err(Refused::new("logout-refused", "the service provider did not end the session"));
        }
        let second = code.child(names::PROTOCOL, "StatusCode")?.and_then(|second| second.attribute("Value"));
        if second == Some(PARTIAL_LOGOUT) {
            return Err(Refused::new("partial-logout", "the service provider did not end every session"));
        }
        Ok(())
    }

    /// An answer for its way through the browser: a form of another site comes without our cookies, and the
    /// address to which it is redirected with them.
    ///
    /// # Errors
    ///
    /// Where it cannot be sealed.
    pub fn seal_answer(&self, answer: &LogoutAnswer) -> Result<String, Refused> {
        self.seal(SEALED_AS, answer)
    }

    /// The answer that [`IdentityProvider::seal_answer`] sealed.
    ///
    /// # Errors
    ///
    /// Where `sealed` is not what was sealed here for `application`, or waited for too long.
    pub fn open_answer(&self, application: &str, sealed: &str) -> Result<LogoutAnswer, Refused> {
        let answer: LogoutAnswer = self.unseal(SEALED_AS, sealed)?;
        let now = self.clock.now();
        if answer.application != application || answer.at > now || now - answer.at >= limits::SEALED_LIFETIME {
            return Err(Refused::new("saml-request-expired", "the logout waited for too long"));
        }
        Ok(answer)
    }

    /// The begin that every message has, and `inside`.
    pub(super) fn draft(
        &self,
        config: &Config,
        party: Party<'_>,
        head: &Head<'_>,
        inside: impl FnOnce(&mut Writer) -> Result<(), Unwritable>,
    ) -> Result<Draft, Refused> {
        let Head { name, id, to, more } = *head;
        let issued = instant::format(self.clock.now());
        let mut attributes =
            vec![("ID", id), ("Version", "2.0"), ("IssueInstant", issued.as_str()), ("Destination", to.as_str())];
        attributes.extend(more);
        let mut writer = Writer::default();
        writer.open(name, &attributes)?;
        writer.element("saml:Issuer", &[], &Addresses::of(config, &party.application.id).entity_id())?;
        let place = writer.here();
        inside(&mut writer)?;
        Ok(Draft { id: id.to_owned(), writer, place })
    }

    /// Signs a draft as its binding has it (SAML Bindings §3.4.4.1, §3.5.4).
    pub(super) fn send(
        &self,
        party: Party<'_>,
        kind: Message,
        to: &Url,
        draft: Draft,
        relay_state: Option<&str>,
    ) -> Result<Outbound, Refused> {
        let Draft { id, writer, place } = draft;
        match party.provider.logout_binding {
            LogoutBinding::Redirect => {
                let url = binding::signed_url(&self.keys, to, kind, &writer.finish(), relay_state);
                url.map(Outbound::Redirect).map_err(|error| unsigned(&error))
            }
            LogoutBinding::Post => {
                let signed = sign::enveloped(&self.keys, &id, writer, place)?;
                Ok(Outbound::Form(Delivery {
                    to: to.clone(),
                    kind,
                    message: base64(signed.as_bytes()),
                    relay_state: relay_state.map(str::to_owned),
                }))
            }
        }
    }
}
