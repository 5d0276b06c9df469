//! May an account be created, updated, reactivated?

use vestibule_policy::{
    prelude::*,
    provision::{Granted, Terms, Update},
};

use crate::{Rules, Settings};

/// The rule, as its settings have it.
#[derive(Debug)]
pub(crate) struct Rule {
    needed: String,
}

impl Rule {
    /// Reads the settings; notes what is wrong with them.
    pub(crate) fn read(settings: &Settings, problems: &mut Problems) -> Self {
        if !settings.creation_needs_group.is_empty() {
            problems.check_name("/creation-needs-group", "a group", &settings.creation_needs_group);
        }
        Self { needed: settings.creation_needs_group.clone() }
    }
}

impl Provision for Rules {
    fn permit(
        &self,
        _: &Context,
        _: &Identity,
        _: Option<&Account>,
        _: &Profile,
        granted: &[Granted],
    ) -> Result<Terms, Fault> {
        let needed = &self.provision.needed;
        let may_create = needed.is_empty() || granted.iter().any(|grant| grant.group == *needed);
        Ok(Terms {
            refuse_creation: (!may_create).then(|| Reason::new("group-needed", needed)),
            update_attributes: Update::EveryLogin,
            reactivate: false,
        })
    }
}
