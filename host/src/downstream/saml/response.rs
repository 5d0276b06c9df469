//! The response (SAML Core §3.3.3, Profiles §4.1.4): from an admission to a signed assertion in
//! a signed response.

use aws_lc_rs::digest;

use super::{
    Addresses, Delivery, IdentityProvider, Message, Party, Refused,
    authn_request::Waiting,
    base64, instant, limits, names, new_id, party, sign,
    sign::SignFault,
    status::Status,
    unsigned,
    write::{Unwritable, Writer},
};
use crate::{
    config::{AttributeNames, Config, NameIdKind},
    decision::{Admission, Admitted, Value},
    downstream::oidc::subject,
    identity::{PHISHING_RESISTANT, SECOND_FACTOR},
    session::{NameId, Origin, Participant, Role},
};

impl IdentityProvider {
    /// Answers a request with an assertion. With it goes who takes part in the session from now on; `SessionIndex` is
    /// the `sid` of `origin`.
    ///
    /// # Errors
    ///
    /// Where `sealed` is not what was sealed here, where the admission is for another
    /// application, where the configuration has changed meanwhile, or where no key signs.
    pub fn grant(
        &self,
        config: &Config,
        admission: &Admission,
        sealed: &str,
        origin: &Origin,
    ) -> Result<(Delivery, Participant), Refused> {
        let waiting = self.waiting(sealed)?;
        if waiting.application != admission.application {
            return Err(Refused::new("wrong-application", "the login was for another application"));
        }
        let party = still_registered(config, &waiting)?;
        let now = self.clock.now();
        let name_id = name_id(party, admission, &Addresses::of(config, &waiting.application).entity_id())?;
        let assertion = self.assertion(config, party, admission, &waiting, (&name_id, &origin.sid), now)?;
        let delivery = self.respond(config, &waiting, Status::Success, None, Some(&assertion))?;
        let participant = Participant {
            tenant: admission.tenant.clone(),
            application: waiting.application,
            role: Role::ServiceProvider { entity_id: party.provider.entity_id.clone(), name_id },
            front_channel: party.provider.logout_url.is_some(),
            origin: origin.clone(),
        };
        Ok((delivery, participant))
    }

    /// Answers a request with a no.
    ///
    /// # Errors
    ///
    /// As [`IdentityProvider::grant`].
    pub fn refuse(&self, config: &Config, sealed: &str, code: &str) -> Result<Delivery, Refused> {
        let waiting = self.waiting(sealed)?;
        still_registered(config, &waiting)?;
        self.respond(config, &waiting, Status::of(code), Some(code), None)
    }

    pub(super) fn status(
        &self,
        config: &Config,
        waiting: &Waiting,
        status: Status,
        message: &str,
    ) -> Result<Delivery, Refused> {
        self.respond(config, waiting, status, Some(message), None)
    }

    fn respond(
        &self,
        config: &Config,
        waiting: &Waiting,
        status: Status,
        message: Option<&str>,
        assertion: Option<&str>,
    ) -> Result<Delivery, Refused> {
        let id = new_id()?;
        let issued = instant::format(self.clock.now());
        let mut attributes = vec![
            ("ID", id.as_str()),
            ("Version", "2.0"),
            ("IssueInstant", &issued),
            ("Destination", waiting.acs.as_str()),
        ];
        attributes.extend(waiting.id.iter().map(|id| ("InResponseTo", id.as_str())));
        let mut writer = Writer::default();
        writer.open("samlp:Response", &attributes)?;
        writer.element("saml:Issuer", &[], &Addresses::of(config, &waiting.application).entity_id())?;
        let place = writer.here();
        status.write(&mut writer, message)?;
        if let Some(assertion) = assertion {
            writer.embed(assertion);
        }
        let response = sign::enveloped(&self.keys, &id, writer, place)?;
        Ok(Delivery {
            to: waiting.acs.clone(),
            kind: Message::Response,
            message: base64(response.as_bytes()),
            relay_state: waiting.relay_state.clone(),
        })
    }

    fn assertion(
        &self,
        config: &Config,
        party: Party<'_>,
        admission: &Admitted,
        waiting: &Waiting,
        (named, session_index): (&NameId, &str),
        now: u64,
    ) -> Result<String, Refused> {
        let Party { provider, .. } = party;
        let id = new_id()?;
        let issued = instant::format(now);
        let not_before = instant::format(now.saturating_sub(limits::CLOCK_SKEW));
        let not_after = instant::format(now.saturating_add(provider.assertion_lifetime.into()));
        let entity_id = Addresses::of(config, &waiting.application).entity_id();
        let mut writer = Writer::default();
        let w = &mut writer;
        w.open("saml:Assertion", &[("ID", &id), ("Version", "2.0"), ("IssueInstant", &issued)])?;
        w.element("saml:Issuer", &[], &entity_id)?;
        let place = w.here();

        w.open("saml:Subject", &[])?;
        write_name_id(w, named)?;
        w.open("saml:SubjectConfirmation", &[("Method", names::BEARER)])?;
        // Profiles §4.1.4.2: where it may be used, for what, and until when; and no NotBefore.
        let mut data = vec![("Recipient", waiting.acs.as_str()), ("NotOnOrAfter", not_after.as_str())];
        data.extend(waiting.id.iter().map(|id| ("InResponseTo", id.as_str())));
        w.element("saml:SubjectConfirmationData", &data, "")?;
        w.close();
        w.close();

        w.open("saml:Conditions", &[("NotBefore", &not_before), ("NotOnOrAfter", &not_after)])?;
        w.open("saml:AudienceRestriction", &[])?;
        w.element("saml:Audience", &[], &provider.entity_id)?;
        w.close();
        w.close();

        let authenticated = instant::format(admission.identity.auth_time.unwrap_or(admission.at).min(now));
        let session_ends = instant::format(admission.at.saturating_add(admission.terms.lifetime.into()));
        w.open(
            "saml:AuthnStatement",
            &[
                ("AuthnInstant", &authenticated),
                ("SessionIndex", session_index),
                ("SessionNotOnOrAfter", &session_ends),
            ],
        )?;
        w.open("saml:AuthnContext", &[])?;
        w.element("saml:AuthnContextClassRef", &[], &context(party, admission, waiting))?;
        w.close();
        w.close();

        attributes(w, &provider.attributes, admission)?;
        Ok(sign::enveloped(&self.keys, &id, writer, place)?)
    }
}

impl From<SignFault> for Refused {
    fn from(fault: SignFault) -> Self {
        match fault {
            SignFault::Key(error) => unsigned(&error),
            SignFault::Unwritable(unwritable) => unwritable.into(),
        }
    }
}

/// The configuration may have changed while the person was at the upstream (A59).
fn still_registered<'c>(config: &'c Config, waiting: &Waiting) -> Result<Party<'c>, Refused> {
    let party = party(config, &waiting.application)?;
    if !party.provider.acs_urls.contains(&waiting.acs) {
        return Err(Refused::new("acs-not-registered", "the address is not registered any more"));
    }
    if waiting.id.is_none() && !party.provider.allow_idp_initiated {
        return Err(Refused::new("idp-initiated-not-allowed", "the service provider must begin"));
    }
    Ok(party)
}

/// The format of a kind of `NameID` (SAML Core §8.3).
pub(super) const fn name_id_format(kind: NameIdKind) -> &'static str {
    match kind {
        NameIdKind::Email => names::NAME_ID_EMAIL,
        NameIdKind::Persistent => names::NAME_ID_PERSISTENT,
        NameIdKind::Transient => names::NAME_ID_TRANSIENT,
        NameIdKind::Username => names::NAME_ID_UNSPECIFIED,
    }
}

/// What names the subject toward the service provider.
fn name_id(party: Party<'_>, admission: &Admitted, entity_id: &str) -> Result<NameId, Refused> {
    let kind = party.provider.name_id;
    let audience = party.provider.entity_id.as_str();
    // `login` does not admit without them; nobody is asserted with an empty name.
    let missing = || Refused::new("name-id-missing", "the profile lacks what names the subject");
    let profile = &admission.profile;
    let value = match kind {
        NameIdKind::Email => profile.email.clone().ok_or_else(missing)?,
        NameIdKind::Username => profile.username.clone().ok_or_else(missing)?,
        NameIdKind::Persistent => {
            // SAML Core §8.3.7: opaque, and of this pair of providers alone.
            let mut context = digest::Context::new(&digest::SHA256);
            for part in [subject(&admission.identity).as_bytes(), &[0], audience.as_bytes()] {
                context.update(part);
            }
            context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
        }
        NameIdKind::Transient => new_id()?,
    };
    let is_of_the_pair = matches!(kind, NameIdKind::Persistent | NameIdKind::Transient);
    let qualifiers = is_of_the_pair.then(|| (entity_id.to_owned(), audience.to_owned()));
    Ok(NameId { value, format: name_id_format(kind).to_owned(), qualifiers })
}

/// `saml:NameID`
pub(super) fn write_name_id(writer: &mut Writer, name_id: &NameId) -> Result<(), Unwritable> {
    let mut attributes = vec![("Format", name_id.format.as_str())];
    if let Some((own, theirs)) = &name_id.qualifiers {
        attributes.extend([("NameQualifier", own.as_str()), ("SPNameQualifier", theirs.as_str())]);
    }
    writer.element("saml:NameID", &attributes, &name_id.value)
}

/// How strongly, in SAML's words: the class that the upstream's `acr` stands for; else the one
/// that was asked for, which `authn_request.rs` takes only where every login will do; else that
/// nobody knows.
fn context(party: Party<'_>, admission: &Admitted, waiting: &Waiting) -> String {
    let known = &party.provider.authn_contexts;
    let stated = admission.identity.acr.as_deref();
    let stands_for = |class: &&String| known.get(*class).is_some_and(|acr| Some(&**acr) == stated);
    // Our own second factor by a passkey is our own second factor.
    let implied = |class: &&String| {
        stated == Some(PHISHING_RESISTANT) && known.get(*class).is_some_and(|acr| acr == SECOND_FACTOR)
    };
    let asked = waiting.contexts.iter().find(|class| stands_for(class) || implied(class));
    asked
        .or_else(|| known.keys().find(stands_for))
        .or_else(|| known.keys().find(implied))
        .or_else(|| waiting.contexts.iter().find(|class| !known.contains_key(*class)))
        .cloned()
        .unwrap_or_else(|| names::CONTEXT_UNSPECIFIED.to_owned())
}

/// SAML Core §2.7.3; no statement where there is nothing to state.
fn attributes(writer: &mut Writer, called: &AttributeNames, admission: &Admitted) -> Result<(), Unwritable> {
    let profile = &admission.profile;
    let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
    let mut stated: Vec<(&str, Vec<String>)> = vec![
        (&called.id, vec![subject(&admission.identity)]),
        (&called.given_name, one(&profile.given_name)),
        (&called.surname, one(&profile.family_name)),
        (&called.email, one(&profile.email)),
        (&called.username, one(&profile.username)),
        (&called.display_name, one(&profile.display_name)),
        (&called.groups, admission.groups.groups.clone()),
    ];
    for attribute in &profile.attributes {
        // The names above are the host's own: no policy speaks under them.
        if stated.iter().all(|(name, _)| *name != attribute.name) {
            stated.push((&attribute.name, values(&attribute.value)));
        }
    }
    stated.retain(|(name, values)| !name.is_empty() && !values.is_empty());
    if stated.is_empty() {
        return Ok(());
    }
    writer.open("saml:AttributeStatement", &[])?;
    for (name, values) in stated {
        writer.open("saml:Attribute", &[("Name", name), ("NameFormat", name_format(name))])?;
        for value in values {
            writer.element("saml:AttributeValue", &[], &value)?;
        }
        writer.close();
    }
    writer.close();
    Ok(())
}

/// SAML Core §8.2: a name that is a URI is one, and all others are plain.
fn name_format(name: &str) -> &'static str {
    if name.contains(':') {
        "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
    } else {
        "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
    }
}

fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) | Value::Json(text) => vec![text.clone()],
        Value::Texts(texts) => texts.clone(),
        Value::Integer(number) => vec![number.to_string()],
        Value::Number(number) => vec![number.to_string()],
        Value::Boolean(truth) => vec![truth.to_string()],
    }
}
