//! Which upstream, or which form, a login goes to: named rules, then the default.
//!
//! Asks for an identifier where a rule needs one, and asks again for what is no address.
//! Decides before anybody is authenticated: nothing that is typed proves anything.

mod area;
mod rule;
mod settings;

use vestibule_policy::{
    prelude::*,
    route::{Attempt, Direction, Redirect},
    types::Problem,
};

pub use settings::{Area, Ask, Identifiers, Rule, Settings, Target, To};

use rule::Typed;

/// The policy.
#[derive(Debug)]
pub struct RedirectionRules {
    rules: Vec<rule::Rule>,
    areas: Vec<area::Area>,
    settings: Settings,
}

impl Policy for RedirectionRules {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new();
        rule::check_delay(&mut problems, "/delay-s", Some(settings.delay_s));
        let rules = rule::compile_rules(&settings, &mut problems);
        rule::check_target(&mut problems, "/default", &settings.default);
        let areas = rule::compile_areas(&settings, &mut problems);
        problems.into_result(Self { rules, areas, settings })
    }
}

impl Route for RedirectionRules {
    fn choose(&self, attempt: &Attempt) -> Result<Direction, Fault> {
        if !self.settings.enabled {
            return Ok(Direction::Pass);
        }
        if self.is_left_to_the_application(&attempt.context) {
            return Ok(Direction::ApplicationForm);
        }
        let asks = self.settings.ask_identifier != Ask::Never;
        let typed = match attempt.identifier.as_deref().map(str::trim).filter(|typed| !typed.is_empty()) {
            None if self.settings.ask_identifier == Ask::Always => return Ok(Direction::AskIdentifier),
            None => None,
            Some(identifier) => match Typed::new(identifier, self.settings.identifier) {
                Some(typed) => Some(typed),
                // The form says what is wrong: the host knows that something was typed.
                None if asks => return Ok(Direction::AskIdentifier),
                None => None,
            },
        };
        let application = attempt.context.application.as_str();
        for (rule, written) in self.rules.iter().zip(&self.settings.rules) {
            if !rule.is_for(application) {
                continue;
            }
            match &typed {
                None if rule.needs_identifier() && asks => return Ok(Direction::AskIdentifier),
                None if rule.needs_identifier() => {}
                Some(typed) if !rule.fits(typed) => {}
                typed => {
                    return Ok(self.go(attempt, &written.target, typed.as_ref().map(Typed::text), Some(&written.name)));
                }
            }
        }
        Ok(self.go(attempt, &self.settings.default, typed.as_ref().map(Typed::text), None))
    }
}

impl RedirectionRules {
    fn is_left_to_the_application(&self, context: &Context) -> bool {
        if self.areas.is_empty() {
            return false;
        }
        let Some(path) = area::wanted_path(context) else { return false };
        self.areas.iter().find(|area| area.covers(&context.application, path)).is_some_and(|area| !area.sso)
    }

    /// The direction to `target`, on account of the rule `name` or of the default.
    fn go(&self, attempt: &Attempt, target: &Target, identifier: Option<&str>, name: Option<&str>) -> Direction {
        let by = || name.map_or_else(|| "default".to_owned(), |name| format!("rule \"{name}\""));
        match target.to {
            To::Upstream => {
                let upstream = target.upstream.as_deref().unwrap_or_default();
                if attempt.upstreams.iter().any(|open| open == upstream) {
                    self.leave(attempt, target, upstream, identifier)
                } else {
                    Direction::Refuse(Reason::new("upstream-not-open", format!("{}: `{upstream}`", by())))
                }
            }
            To::Auto => self.auto(attempt, target, identifier),
            To::Choose if target.upstreams.is_empty() => self.offer(&attempt.upstreams, target, identifier),
            To::Choose => {
                let open: Vec<_> =
                    target.upstreams.iter().filter(|id| attempt.upstreams.contains(id)).cloned().collect();
                if open.is_empty() {
                    Direction::Refuse(Reason::new("upstream-not-open", by()))
                } else {
                    self.offer(&open, target, identifier)
                }
            }
            To::LocalForm => Direction::LocalForm,
            To::ApplicationForm => Direction::ApplicationForm,
            To::Refuse => Direction::Refuse(Reason::new(target.reason.as_deref().unwrap_or(rule::REFUSED), by())),
        }
    }

    fn auto(&self, attempt: &Attempt, target: &Target, identifier: Option<&str>) -> Direction {
        let previous =
            attempt.previous.as_ref().filter(|id| self.settings.prefer_previous && attempt.upstreams.contains(id));
        match (attempt.upstreams.as_slice(), previous) {
            ([], _) => Direction::Refuse(Reason::new("upstream-not-open", "the application has no upstream")),
            ([only], _) => self.leave(attempt, target, only, identifier),
            (_, Some(previous)) => self.leave(attempt, target, previous, identifier),
            (all, None) => self.offer(all, target, identifier),
        }
    }

    /// To an upstream: at once, or through a page with a button.
    fn leave(&self, attempt: &Attempt, target: &Target, upstream: &str, identifier: Option<&str>) -> Direction {
        // After a failure a person decides, or the browser would run in circles.
        let has_failed = attempt.failed.iter().any(|failed| failed == upstream);
        if has_failed || (!self.settings.auto_redirect && identifier.is_none()) {
            return Direction::Choose(vec![self.redirect(target, upstream, identifier)]);
        }
        Direction::Redirect(self.redirect(target, upstream, identifier))
    }

    /// A page with a button for each.
    fn offer(&self, upstreams: &[String], target: &Target, identifier: Option<&str>) -> Direction {
        Direction::Choose(upstreams.iter().map(|upstream| self.redirect(target, upstream, identifier)).collect())
    }

    fn redirect(&self, target: &Target, upstream: &str, identifier: Option<&str>) -> Redirect {
        Redirect {
            upstream: upstream.to_owned(),
            delay: target.delay_s.unwrap_or(self.settings.delay_s),
            login_hint: identifier.filter(|_| self.settings.forward_login_hint).map(str::to_owned),
            acr_values: target.acr_values.clone(),
            max_age: target.max_age_s,
        }
    }
}

vestibule_policy::export!(RedirectionRules: route);

#[cfg(test)]
mod tests {
    use super::*;

    vestibule_policy::settings_tests!(Settings);
}
