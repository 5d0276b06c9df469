//! Who may get an account, when it is updated, and whether a login wakes an inactive one.
//!
//! Rule 8 of `docs/groups.md`. This is the only ready-made policy that decides on accounts;
//! the host, too, creates none without a username and an email address.

use vestibule_policy::{
    prelude::*,
    provision::{Granted, Terms, Update},
    types::Problem,
};

/// The code of a grant that does not count as mapped: that of the policy `default-groups`.
const DEFAULT_GROUP: &str = "default-group";

/// What may happen to accounts.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Create an account for a subject that has none. `false` restricts login to existing
    /// accounts.
    pub allow_creation: bool,
    /// Create it only where at least one of the upstream's groups is mapped. Default groups
    /// do not count.
    pub only_if_mapped: bool,
    /// When names, the address and other attributes are written to the account.
    pub update_attributes: UpdateAttributes,
    /// Make an inactive account active again when its owner logs in.
    pub reactivate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_creation: true,
            only_if_mapped: false,
            update_attributes: UpdateAttributes::EveryLogin,
            reactivate: false,
        }
    }
}

/// When an account's attributes are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateAttributes {
    /// Never: the directory is read-only.
    Never,
    /// When the account is created.
    OnCreation,
    /// On every login, so that no name grows stale.
    EveryLogin,
}

/// The policy.
#[derive(Debug)]
pub struct AccountRules {
    settings: Settings,
}

impl Policy for AccountRules {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        Ok(Self { settings })
    }
}

impl Provision for AccountRules {
    fn permit(
        &self,
        _context: &Context,
        _identity: &Identity,
        account: Option<&Account>,
        profile: &Profile,
        granted: &[Granted],
    ) -> Result<Terms, Fault> {
        Ok(Terms {
            refuse_creation: if account.is_some() { None } else { self.refusal(profile, granted) },
            update_attributes: match self.settings.update_attributes {
                UpdateAttributes::Never => Update::Never,
                UpdateAttributes::OnCreation => Update::OnCreation,
                UpdateAttributes::EveryLogin => Update::EveryLogin,
            },
            reactivate: self.settings.reactivate,
        })
    }
}

impl AccountRules {
    /// Why a subject without an account gets none.
    fn refusal(&self, profile: &Profile, granted: &[Granted]) -> Option<Reason> {
        if !self.settings.allow_creation {
            return Some(Reason::new("creation-not-allowed", ""));
        }
        let mapped = granted.iter().any(|grant| grant.because != DEFAULT_GROUP);
        if self.settings.only_if_mapped && !mapped {
            return Some(Reason::new("no-mapped-group", ""));
        }
        let detail = match (is_there(profile.username.as_deref()), is_there(profile.email.as_deref())) {
            (true, true) => return None,
            (false, true) => "no username",
            (true, false) => "no email address",
            (false, false) => "no username, no email address",
        };
        Some(Reason::new("profile-incomplete", detail))
    }
}

fn is_there(field: Option<&str>) -> bool {
    field.is_some_and(|text| !text.trim().is_empty())
}

vestibule_policy::export!(AccountRules: provision);

#[cfg(test)]
mod tests {
    use super::*;

    vestibule_policy::settings_tests!(Settings);
}
