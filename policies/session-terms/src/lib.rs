//! How long a session lasts, how long it may idle, and whether it outlives the browser.
//!
//! A policy shortens and never lengthens: what the host and earlier policies gave is the
//! most that anybody gets.

use vestibule_policy::{prelude::*, session::Terms, types::Problem};

/// The terms of everybody, and of some groups.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Seconds until a session ends, whatever happens. Left out: the host's maximum.
    pub lifetime_s: Option<u32>,
    /// Seconds without a request until a session ends. Left out: the host's maximum.
    pub idle_s: Option<u32>,
    /// Keep the session when the browser closes, until logout or the end of its lifetime.
    pub remember: bool,
    /// Terms of the members of a group, in place of everybody's. A member of several of
    /// these groups gets the strictest of each.
    pub by_group: Vec<GroupTerms>,
}

/// The terms of one group's members. What is left out is as for everybody.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GroupTerms {
    /// The application's name of the group, exactly.
    pub group: String,
    /// Seconds until a session ends, whatever happens.
    #[serde(default)]
    pub lifetime_s: Option<u32>,
    /// Seconds without a request until a session ends.
    #[serde(default)]
    pub idle_s: Option<u32>,
    /// Keep the session when the browser closes.
    #[serde(default)]
    pub remember: Option<bool>,
}

/// The policy.
#[derive(Debug)]
pub struct SessionTerms {
    settings: Settings,
}

impl Policy for SessionTerms {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new();
        check_seconds(&mut problems, "", settings.lifetime_s, settings.idle_s);
        for (index, row) in settings.by_group.iter().enumerate() {
            let at = format!("/by-group/{index}");
            problems.check_name(format!("{at}/group"), "a group", &row.group);
            if settings.by_group.iter().take(index).any(|earlier| earlier.group == row.group) {
                problems.add(format!("{at}/group"), format!("`{}` has two rows", row.group));
            }
            if row.lifetime_s.is_none() && row.idle_s.is_none() && row.remember.is_none() {
                problems.add(&at, "the row says nothing; give it `lifetime-s`, `idle-s` or `remember`");
            }
            check_seconds(&mut problems, &at, row.lifetime_s, row.idle_s);
        }
        problems.into_result(Self { settings })
    }
}

impl LimitSession for SessionTerms {
    fn limit(
        &self,
        _context: &Context,
        _identity: &Identity,
        groups: &[String],
        so_far: Terms,
    ) -> Result<Terms, Fault> {
        let (mut lifetime, mut idle, mut remember) = (None, None, None);
        for row in self.settings.by_group.iter().filter(|row| groups.contains(&row.group)) {
            lifetime = strictest(lifetime, row.lifetime_s);
            idle = strictest(idle, row.idle_s);
            // `false` sorts before `true`, and is the stricter of them.
            remember = strictest(remember, row.remember);
        }
        let lifetime = lifetime.or(self.settings.lifetime_s).unwrap_or(u32::MAX).min(so_far.lifetime);
        let idle = idle.or(self.settings.idle_s).unwrap_or(u32::MAX).min(so_far.idle).min(lifetime);
        let remember = remember.unwrap_or(self.settings.remember) && so_far.remember;
        Ok(Terms { lifetime, idle, remember })
    }
}

/// The smaller of those that are there.
fn strictest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn check_seconds(problems: &mut Problems, at: &str, lifetime: Option<u32>, idle: Option<u32>) {
    for (key, seconds) in [("lifetime-s", lifetime), ("idle-s", idle)] {
        if seconds == Some(0) {
            problems.add(format!("{at}/{key}"), "a session of no length lets nobody in");
        }
    }
    if let (Some(lifetime @ 1..), Some(idle)) = (lifetime, idle)
        && idle > lifetime
    {
        problems.add(format!("{at}/idle-s"), format!("is longer than the lifetime of {lifetime} s"));
    }
}

vestibule_policy::export!(SessionTerms: session);

#[cfg(test)]
mod tests {
    use super::*;

    vestibule_policy::settings_tests!(Settings);
}
