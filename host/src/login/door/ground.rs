//! What holds at the emergency door: the contracts that need nothing but the configuration and the account.
//!
//! No directory is read, since it may be what is broken; nothing is remembered; and the application is told who it is
//! as the accounts file has it.

use serde_json::Value;

use super::super::{contracts::hold_assertion_contracts, judge::Ground};
use crate::{
    config::{Application, Emergency},
    decision::{Account, Bounds, Denial, DenyCode, Grant, MatchKey, Plan, Profile, Reason, Rules},
    identity::{GroupClaim, Identity},
    upstream::is_address,
};

/// For one application, as it is configured now.
#[derive(Debug)]
pub(in crate::login) struct AtTheDoor {
    application: Application,
    lifetime: u32,
}

impl AtTheDoor {
    pub(super) fn new(application: &Application, emergency: &Emergency) -> Self {
        Self { application: application.clone(), lifetime: emergency.lifetime }
    }
}

impl Ground for AtTheDoor {
    fn profile(&self, identity: &Identity) -> Profile {
        let claim = |name: &str| identity.claims.get(name).and_then(Value::as_str).map(str::to_owned);
        Profile {
            match_key: Some(MatchKey::Username(identity.subject.clone())),
            username: Some(identity.subject.clone()),
            email: identity.email.as_ref().filter(|email| email.verified).map(|email| email.address.clone()),
            given_name: claim("given_name"),
            family_name: claim("family_name"),
            display_name: claim("name"),
            attributes: Vec::new(),
        }
    }

    fn plan(&self, identity: &Identity) -> Plan {
        let groups = match &identity.groups {
            GroupClaim::Listed(groups) => groups.as_slice(),
            GroupClaim::Absent | GroupClaim::Overage => &[],
        };
        let grant = |group: &String| Grant { group: group.clone(), because: Reason::new("accounts-file", "") };
        Plan { grants: groups.iter().map(grant).collect(), ..Plan::default() }
    }

    fn hold_identity(&self, identity: &Identity) -> Result<(), Denial> {
        if !identity.is_of_the_door() {
            return Err(Denial::by_host(DenyCode::UnknownUpstream, "the emergency door takes local accounts only"));
        }
        match &identity.email {
            Some(email) if !is_address(&email.address) => {
                Err(Denial::by_host(DenyCode::InvalidEmail, "the account has a malformed email address"))
            }
            _ => Ok(()),
        }
    }

    fn linked(&self, _: &Identity) -> Result<Option<Account>, Denial> {
        Ok(None)
    }

    /// The address is the account's own, or none: there is no upstream with domains of its own here.
    fn hold_profile(&self, profile: &Profile, identity: &Identity) -> Result<(), Denial> {
        let own = identity.email.as_ref().map(|email| email.address.as_str());
        if profile.email.is_some() && profile.email.as_deref() != own {
            let detail = "the profile has another email address than the account";
            return Err(Denial::by_host(DenyCode::DomainNotAuthoritative, detail));
        }
        hold_assertion_contracts(&self.application, profile)
    }

    fn matched(&self, _: &Profile, _: &Identity) -> Result<Option<Account>, Denial> {
        Ok(None)
    }

    fn rules(&self) -> Rules {
        Rules { protected: self.application.protected_groups.clone(), known: None }
    }

    fn has_directory(&self) -> bool {
        false
    }

    fn bounds(&self) -> Bounds {
        // A session that is used without an identity has no cookie renewed: it may be left alone for its whole life.
        Bounds { lifetime: self.lifetime, idle: self.lifetime, remember_lifetime: 0, remember: false }
    }
}
