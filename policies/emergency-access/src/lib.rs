//! Who may come in by the emergency door, when the upstream or the policies fail.
//!
//! The door takes local accounts only: an upstream's claim opens it for nobody. The policy
//! is pinned, with settings of its own, so that it does not depend on what it must survive.

use vestibule_policy::{admit::Verdict, prelude::*, types::Problem};

/// Who may come in.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// `false` admits nobody.
    pub enabled: bool,
    /// Local groups whose members may come in, by exact name.
    pub groups: Vec<String>,
    /// Let every local account in. Then `groups` must be empty.
    pub any_local_account: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, groups: Vec::new(), any_local_account: false }
    }
}

/// The policy.
#[derive(Debug)]
pub struct EmergencyAccess {
    settings: Settings,
}

impl Policy for EmergencyAccess {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new();
        for (index, group) in settings.groups.iter().enumerate() {
            problems.check_name(format!("/groups/{index}"), "a group", group);
        }
        if settings.enabled && settings.groups.is_empty() && !settings.any_local_account {
            problems.add(
                "/groups",
                "nobody could come in; name a group, or set `any-local-account`, or say `enabled = false`",
            );
        }
        if settings.any_local_account && !settings.groups.is_empty() {
            problems.add("/any-local-account", "lets everybody in, so `groups` would not matter; take one of them out");
        }
        problems.into_result(Self { settings })
    }
}

impl Admit for EmergencyAccess {
    fn decide(&self, _context: &Context, identity: &Identity, account: Option<&Account>) -> Result<Verdict, Fault> {
        if !self.settings.enabled {
            return Ok(deny("emergency-access-off"));
        }
        if identity.protocol != "local" {
            return Ok(deny("not-a-local-account"));
        }
        if account.is_some_and(|account| !account.active) {
            return Ok(deny("account-inactive"));
        }
        if self.settings.any_local_account {
            return Ok(Verdict::Allow(Reason::new("local-account", "")));
        }
        let reported = identity.groups.listed().unwrap_or_default();
        let current = account.map(|account| account.groups.as_slice()).unwrap_or_default();
        let emergency = self.settings.groups.iter().find(|group| reported.contains(group) || current.contains(group));
        Ok(match emergency {
            Some(group) => Verdict::Allow(Reason::new("emergency-group", group.as_str())),
            None => deny("not-in-emergency-group"),
        })
    }
}

fn deny(code: &str) -> Verdict {
    Verdict::Deny(Reason::new(code, ""))
}

vestibule_policy::export!(EmergencyAccess: admit);

#[cfg(test)]
mod tests {
    use vestibule_policy::testing::settings_schema;

    use super::*;

    #[test]
    fn the_schema_is_the_one_that_the_settings_derive() {
        settings_schema::<Settings>("settings.schema.json");
    }

    #[test]
    fn the_documented_settings_are_the_defaults_and_the_manifest_has_the_same() {
        let documented: Settings = toml::from_str(include_str!("../settings.toml")).unwrap();
        assert_eq!(documented, Settings { groups: vec!["emergency".to_owned()], ..Settings::default() });
        let manifest: toml::Table = toml::from_str(include_str!("../policy.toml")).unwrap();
        let default: Settings = manifest["settings-default"].clone().try_into().unwrap();
        assert_eq!(default, Settings::default());
    }
}
