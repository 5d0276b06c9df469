//! Which claim fills which field of the profile, and by which field an account is found.
//!
//! An email address that nobody verified finds no account (nOAuth), whatever claim it hides
//! in, unless the operator says so in as many words. `docs/threat-model.md` says why.

mod settings;

use std::borrow::Cow;

use vestibule_policy::{email, letters, log, prelude::*, types::Problem};

pub use settings::{Field, MatchBy, Row, Settings, UnverifiedEmail};

/// The policy.
#[derive(Debug)]
pub struct AttributeMapping {
    settings: Settings,
}

impl Policy for AttributeMapping {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        settings.check().into_result(Self { settings })
    }
}

impl FillProfile for AttributeMapping {
    fn fill(
        &self,
        _context: &Context,
        identity: &Identity,
        _account: Option<&Account>,
        mut profile: Profile,
    ) -> Result<Profile, Fault> {
        let settings = &self.settings;
        self.set_key(identity, &mut profile);
        if !settings.enabled {
            return Ok(profile);
        }
        set(&mut profile.username, self.username(identity, &settings.username_claim));
        set(&mut profile.email, self.address(identity, &settings.email_claim, UnverifiedEmail::HandOver));
        set(&mut profile.given_name, self.text(identity, &settings.given_name_claim));
        set(&mut profile.family_name, self.text(identity, &settings.family_name_claim));
        set(&mut profile.display_name, self.text(identity, &settings.display_name_claim));
        for row in &settings.attributes {
            match self.attribute(identity, row) {
                Some(value) => profile.set_attribute(row.name.as_str(), value),
                None if row.required => return Err(Fault::MissingClaim(row.claim.clone())),
                None => {}
            }
        }
        match settings.required.iter().find(|field| field.of(&profile).is_none()) {
            Some(missing) => Err(Fault::MissingClaim(settings.claim_of(*missing).to_owned())),
            None => Ok(profile),
        }
    }
}

impl AttributeMapping {
    /// Sets what finds the account. Where mapping is off, the field that it is made of, too:
    /// the application must still be told who it is.
    fn set_key(&self, identity: &Identity, profile: &mut Profile) {
        let settings = &self.settings;
        let own =
            |claim: &str| if settings.match_claim.is_empty() { claim.to_owned() } else { settings.match_claim.clone() };
        match settings.match_by {
            MatchBy::None => {}
            MatchBy::Username => {
                let username = self.username(identity, &own(&settings.username_claim));
                if !settings.enabled {
                    set(&mut profile.username, username.clone());
                }
                profile.match_key = username.map(MatchKey::Username);
            }
            MatchBy::Email => {
                let address = self.address(identity, &own(&settings.email_claim), UnverifiedEmail::DangerMatch);
                if !settings.enabled {
                    set(&mut profile.email, address.clone());
                }
                profile.match_key = address.map(MatchKey::Email);
            }
        }
    }

    /// A username. One that is the unverified address is none: it would find the account of
    /// the address's true owner.
    fn username(&self, identity: &Identity, claim: &str) -> Option<String> {
        let text = self.text(identity, claim)?;
        if is_unverified_address(identity, &text) && self.settings.unverified_email < UnverifiedEmail::DangerMatch {
            log::info("the username is an email address that nobody verified: not used");
            return None;
        }
        Some(if self.settings.lower_case_username { letters::lower(&text).into_owned() } else { text })
    }

    /// A well-formed address; an unverified one only where the settings go at least as far
    /// as `needed`.
    fn address(&self, identity: &Identity, claim: &str, needed: UnverifiedEmail) -> Option<String> {
        let text = self.text(identity, claim)?;
        // Only the upstream's own statement on its `email` claim verifies an address.
        let stated = identity.email.as_ref();
        let verified = stated.is_some_and(|stated| stated.verified && is_the_address(&stated.address, &text));
        if !verified && self.settings.unverified_email < needed {
            log::info("nobody verified the email address: not used");
            return None;
        }
        if email::domain(&Email { address: text.clone(), verified }).is_err() {
            log::warn("the email address is malformed: not used");
            return None;
        }
        Some(if self.settings.lower_case_email { letters::lower(&text).into_owned() } else { text })
    }

    /// The one text of `claim`, if it has one and no more.
    fn text(&self, identity: &Identity, claim: &str) -> Option<String> {
        let text = match value(identity, claim)?.as_ref() {
            Value::Text(text) => self.trimmed(text).to_owned(),
            Value::Texts(texts) => match texts.as_slice() {
                [text] => self.trimmed(text).to_owned(),
                _ => return None,
            },
            Value::Integer(number) => number.to_string(),
            Value::Number(_) | Value::Boolean(_) | Value::Json(_) => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The value of a custom attribute.
    fn attribute(&self, identity: &Identity, row: &Row) -> Option<Value> {
        let keeps_unverified = self.settings.unverified_email >= UnverifiedEmail::HandOver;
        let clean = |text: &str| {
            let text = self.trimmed(text);
            let usable = !text.is_empty() && (keeps_unverified || !is_unverified_address(identity, text));
            usable.then(|| if row.lower_case { letters::lower(text).into_owned() } else { text.to_owned() })
        };
        match value(identity, &row.claim)?.as_ref() {
            Value::Text(text) => clean(text).map(Value::Text),
            Value::Texts(texts) => Some(Value::Texts(texts.iter().filter_map(|text| clean(text)).collect())),
            other => Some(other.clone()),
        }
    }

    fn trimmed<'a>(&self, text: &'a str) -> &'a str {
        if self.settings.trim { text.trim() } else { text }
    }
}

/// The value of a claim. `sub` and `email` are fields of the identity.
fn value<'a>(identity: &'a Identity, claim: &str) -> Option<Cow<'a, Value>> {
    match claim {
        "" => None,
        "sub" => Some(Cow::Owned(Value::Text(identity.subject.clone()))),
        "email" => Some(Cow::Owned(Value::Text(identity.email.as_ref()?.address.clone()))),
        name => identity.claim(name).map(Cow::Borrowed),
    }
}

fn is_unverified_address(identity: &Identity, text: &str) -> bool {
    identity.email.as_ref().is_some_and(|stated| !stated.verified && passes_for(&stated.address, text))
}

/// Applications compare addresses without case, each in its own way, so a difference in case proves nothing.
fn passes_for(one: &str, other: &str) -> bool {
    letters::loosest(one.trim()) == letters::loosest(other.trim())
}

/// Is it the address that was verified? Its case may differ, and nothing else.
fn is_the_address(verified: &str, other: &str) -> bool {
    letters::lower(verified.trim()) == letters::lower(other.trim())
}

fn set(field: &mut Option<String>, value: Option<String>) {
    if value.is_some() {
        *field = value;
    }
}

vestibule_policy::export!(AttributeMapping: profile);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vestibule_policy::testing::Case;

    use super::*;

    vestibule_policy::settings_tests!(Settings);

    #[test]
    fn a28_an_unverified_address_finds_no_account_whatever_claim_it_hides_in() {
        let victim = "victim@corp.com";
        for spelling in [victim, "VICTIM@corp.com", " victim@corp.com\n", "victim@\u{17f}corp.com"] {
            let victim = if spelling.contains('\u{17f}') { "victim@scorp.com" } else { victim };
            for claim in ["email", "upn", "mail", "preferred_username", "unique_name"] {
                for match_by in ["username", "email"] {
                    for unverified in ["ignore", "hand-over"] {
                        let settings =
                            json!({ "match-by": match_by, "match-claim": claim, "unverified-email": unverified });
                        let case =
                            Case::<AttributeMapping>::new(settings).unverified_email(victim).claim(claim, spelling);
                        let profile = case.fill().unwrap();
                        assert_eq!(profile.match_key, None, "{claim} {match_by} {unverified} {spelling:?}");
                        assert_ne!(profile.username.as_deref(), Some(victim), "{claim} {match_by} {unverified}");
                    }
                }
            }
        }
    }

    #[test]
    fn a28_no_letter_makes_another_address_of_the_one_that_was_verified() {
        for (verified, other) in [
            ("\u{212a}ate@corp.com", "kate@corp.com"),
            ("\u{212a}ate@corp.com", "KATE@corp.com"),
            ("u\u{17f}er@corp.com", "user@corp.com"),
        ] {
            let settings = json!({ "match-by": "email", "match-claim": "mail", "lower-case-email": true });
            let case = Case::<AttributeMapping>::new(settings).email(verified).claim("mail", other);
            assert_eq!(case.fill().unwrap().match_key, None, "{verified} {other}");
            let settings = json!({ "lower-case-email": true, "lower-case-username": true });
            let case = Case::<AttributeMapping>::new(settings).email(verified).claim("preferred_username", verified);
            let profile = case.fill().unwrap();
            assert_eq!(profile.email.as_deref(), Some(verified), "{verified}");
            assert_eq!(profile.username.as_deref(), Some(verified), "{verified}");
        }
    }

    #[test]
    fn a28_the_same_address_verified_does() {
        let case = Case::<AttributeMapping>::new(json!({ "match-by": "email" })).email("ada@corp.com");
        assert_eq!(case.fill().unwrap().match_key, Some(MatchKey::Email("ada@corp.com".into())));
    }
}
