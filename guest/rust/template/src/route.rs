//! Which upstream authenticates the subject?

use vestibule_policy::{
    prelude::*,
    route::{Attempt, Direction, Redirect},
};

use crate::{Rules, Settings};

/// The rule, as its settings have it.
#[derive(Debug)]
pub(crate) struct Rule {
    upstream: String,
}

impl Rule {
    /// Reads the settings; notes what is wrong with them.
    pub(crate) fn read(settings: &Settings, problems: &mut Problems) -> Self {
        if settings.upstream.trim() != settings.upstream {
            problems.add("/upstream", "begins or ends with a blank");
        }
        Self { upstream: settings.upstream.clone() }
    }
}

impl Route for Rules {
    fn choose(&self, attempt: &Attempt) -> Result<Direction, Fault> {
        let upstream = &self.route.upstream;
        // One that is not open to this application, or that failed a moment ago, is no way on.
        if !attempt.upstreams.contains(upstream) || attempt.failed.contains(upstream) {
            return Ok(Direction::Pass);
        }
        Ok(Direction::Redirect(Redirect { upstream: upstream.clone(), ..Redirect::default() }))
    }
}
