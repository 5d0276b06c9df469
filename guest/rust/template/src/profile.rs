//! Who is the subject to the application?

use vestibule_policy::{letters, prelude::*};

use crate::{Rules, Settings};

/// The rule, as its settings have it.
#[derive(Debug)]
pub(crate) struct Rule {
    lower_case: bool,
}

impl Rule {
    /// Reads the settings; notes what is wrong with them.
    pub(crate) fn read(settings: &Settings, _: &mut Problems) -> Self {
        Self { lower_case: settings.lower_case_usernames }
    }
}

impl FillProfile for Rules {
    fn fill(
        &self,
        _: &Context,
        identity: &Identity,
        _: Option<&Account>,
        mut profile: Profile,
    ) -> Result<Profile, Fault> {
        // Only an address that the upstream vouches for may name an account.
        let email = identity.email.as_ref().filter(|email| email.verified).map(|email| email.address.as_str());
        // A value that no header could hold would break the login: better none.
        if let Some(address) = email.filter(|address| vestibule_policy::names::problem(address).is_none()) {
            let username =
                if self.profile.lower_case { letters::lower(address).into_owned() } else { address.to_owned() };
            profile.match_key = Some(MatchKey::Username(username.clone()));
            profile.username = Some(username);
            profile.email = Some(address.to_owned());
        }
        let text = |name| {
            let text = identity.claim(name).and_then(Value::text);
            text.filter(|text| vestibule_policy::names::problem(text).is_none()).map(str::to_owned)
        };
        profile.given_name = text("given_name").or(profile.given_name);
        profile.family_name = text("family_name").or(profile.family_name);
        Ok(profile)
    }
}
