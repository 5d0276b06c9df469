//! Where does a logout end?

use vestibule_policy::{logout::Ending, prelude::*};

use crate::{Rules, Settings};

/// The rule, as its settings have it.
#[derive(Debug)]
pub(crate) struct Rule {
    at_upstream: bool,
}

impl Rule {
    /// Reads the settings; notes what is wrong with them.
    pub(crate) fn read(settings: &Settings, _: &mut Problems) -> Self {
        Self { at_upstream: settings.logout_at_upstream }
    }
}

impl Logout for Rules {
    fn end(&self, _: &Context, _: &Identity, requested: Option<&str>) -> Result<Option<Ending>, Fault> {
        // The host follows only targets that the configuration allows; one that no header could hold
        // would be an error.
        let target = requested.filter(|target| vestibule_policy::names::problem(target).is_none());
        Ok(Some(Ending { at_upstream: self.logout.at_upstream, target: target.map(str::to_owned) }))
    }
}
