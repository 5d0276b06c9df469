//! Groups that people get without any claim saying so.
//!
//! Rule 7 of `docs/groups.md`. Stands after every policy that maps groups: "is any group
//! mapped?" is asked of the plan so far. Grants with the code `default-group` do not count
//! as mapped, here and in `account-rules`.

use vestibule_policy::{prelude::*, types::Problem};

/// The code of each grant of this policy.
const CODE: &str = "default-group";

/// Which groups, and who gets them.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// The application's names of the default groups. None gives nobody any.
    pub groups: Vec<String>,
    /// Who gets them.
    pub assign_to: AssignTo,
    /// Give them only where no group is mapped. `false` gives them beside mapped groups, too.
    pub when_unmapped_only: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { groups: Vec::new(), assign_to: AssignTo::All, when_unmapped_only: true }
    }
}

/// Who gets the default groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AssignTo {
    /// Everybody, on every login.
    #[default]
    All,
    /// Who has no account yet.
    New,
    /// Nobody.
    None,
}

/// The policy.
#[derive(Debug)]
pub struct DefaultGroups {
    settings: Settings,
}

impl Policy for DefaultGroups {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new();
        for (index, group) in settings.groups.iter().enumerate() {
            problems.check_name(format!("/groups/{index}"), "a group", group);
            if settings.groups.iter().take(index).any(|earlier| earlier == group) {
                problems.add(format!("/groups/{index}"), format!("`{group}` is there twice"));
            }
        }
        problems.into_result(Self { settings })
    }
}

impl AssignGroups for DefaultGroups {
    fn assign(
        &self,
        _context: &Context,
        _identity: &Identity,
        account: Option<&Account>,
        _profile: &Profile,
        mut so_far: Plan,
    ) -> Result<Plan, Fault> {
        let Settings { groups, assign_to, when_unmapped_only } = &self.settings;
        let entitled = match assign_to {
            AssignTo::All => true,
            AssignTo::New => account.is_none(),
            AssignTo::None => false,
        };
        // The host leaves the groups of such an account alone; the plan should not say otherwise.
        let left_alone = so_far.leave && account.is_some();
        let mapped = so_far.grants.iter().any(|grant| grant.because.code != CODE);
        if !entitled || left_alone || (mapped && *when_unmapped_only) {
            return Ok(so_far);
        }
        for group in groups {
            // Wider than the host's exact comparison: an application may know no case.
            let excluded = so_far.exclude.iter().any(|name| name.trim().eq_ignore_ascii_case(group.trim()));
            if !excluded {
                so_far.grant(group.as_str(), Reason::new(CODE, ""));
            }
        }
        Ok(so_far)
    }
}

vestibule_policy::export!(DefaultGroups: groups);

#[cfg(test)]
mod tests {
    use super::*;

    vestibule_policy::settings_tests!(Settings);
}
