//! May this request of a live session pass?

use vestibule_policy::{
    access::{Request, Verdict},
    prelude::*,
};

use crate::{Rules, Settings};

/// The rule, as its settings have it.
#[derive(Debug)]
pub(crate) struct Rule {
    max_age: u32,
}

impl Rule {
    /// Reads the settings; notes what is wrong with them.
    pub(crate) fn read(settings: &Settings, problems: &mut Problems) -> Self {
        for (index, path) in settings.protected_paths.iter().enumerate() {
            if !path.starts_with('/') {
                problems.add(format!("/protected-paths/{index}"), "a path begins with `/`");
            }
        }
        if settings.max_age_s == 0 {
            problems.add("/max-age-s", "nobody can authenticate within 0 s");
        }
        Self { max_age: settings.max_age_s }
    }
}

impl Access for Rules {
    fn check(&self, context: &Context, identity: &Identity, _: &[String], _: &Request) -> Result<Verdict, Fault> {
        // The manifest's `access-paths-from-settings`: only requests to these paths come here.
        let max_age = self.access.max_age;
        let is_fresh = identity.auth_time.is_some_and(|then| context.at.saturating_sub(then) <= u64::from(max_age));
        if is_fresh {
            return Ok(Verdict::Pass);
        }
        Ok(Verdict::Reauthenticate(StepUp::within(max_age, Reason::new("protected-path", ""))))
    }
}
