//! Which groups has the subject in the application?

use vestibule_policy::prelude::*;

use crate::{Rules, Settings};

/// The rule, as its settings have it.
#[derive(Debug)]
pub(crate) struct Rule {
    default: Vec<String>,
}

impl Rule {
    /// Reads the settings; notes what is wrong with them.
    pub(crate) fn read(settings: &Settings, problems: &mut Problems) -> Self {
        for (index, group) in settings.default_groups.iter().enumerate() {
            problems.check_name(format!("/default-groups/{index}"), "a group", group);
        }
        Self { default: settings.default_groups.clone() }
    }
}

impl AssignGroups for Rules {
    fn assign(
        &self,
        _: &Context,
        _: &Identity,
        _: Option<&Account>,
        _: &Profile,
        mut plan: Plan,
    ) -> Result<Plan, Fault> {
        // What earlier policies of the chain granted stays in the plan.
        for group in &self.groups.default {
            plan.grant(group, Reason::new("default", ""));
        }
        Ok(plan)
    }
}
