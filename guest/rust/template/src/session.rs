//! For how long, and on what terms?

use vestibule_policy::{prelude::*, session::Terms};

use crate::{Rules, Settings};

/// The rule, as its settings have it.
#[derive(Debug)]
pub(crate) struct Rule {
    lifetime: u32,
}

impl Rule {
    /// Reads the settings; notes what is wrong with them.
    pub(crate) fn read(settings: &Settings, problems: &mut Problems) -> Self {
        if settings.lifetime_s == 0 {
            problems.add("/lifetime-s", "a session of no length lets nobody in");
        }
        Self { lifetime: settings.lifetime_s }
    }
}

impl LimitSession for Rules {
    fn limit(&self, _: &Context, _: &Identity, _: &[String], so_far: Terms) -> Result<Terms, Fault> {
        let lifetime = so_far.lifetime.min(self.session.lifetime);
        Ok(Terms { lifetime, idle: so_far.idle.min(lifetime), remember: so_far.remember })
    }
}
