//! The rules that are compared, as one policy: whose domain may enter, which group of the upstream stands for which of
//! the application, and a group for those who have none.

use vestibule_policy::{admit::Verdict, email, prelude::*};

/// As `rules/settings.json` has them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// E-mail domains; subdomains count.
    domains: Vec<String>,
    /// Groups.
    rows: Vec<Row>,
    /// Who has none of the rows' groups gets this.
    default: String,
}

/// A group of the upstream, and the group of the application.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    from: String,
    group: String,
}

/// The policy.
#[derive(Debug)]
pub struct Compared {
    domains: Vec<String>,
    rows: Vec<Row>,
    default: String,
}

impl Policy for Compared {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let Settings { domains, mut rows, default } = settings;
        rows.sort_by(|left, right| left.from.cmp(&right.from));
        Ok(Self { domains, rows, default })
    }
}

impl Admit for Compared {
    fn decide(&self, _: &Context, identity: &Identity, _: Option<&Account>) -> Result<Verdict, Fault> {
        let verified = identity.email.as_ref().filter(|email| email.verified);
        let is_in = verified.and_then(|email| email::domain(email).ok()).is_some_and(|domain| {
            self.domains.iter().any(|allowed| {
                domain.strip_suffix(allowed.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            })
        });
        let reason = |code| Reason::new(code, "");
        Ok(if is_in { Verdict::Allow(reason("domain")) } else { Verdict::Deny(reason("domain")) })
    }
}

impl AssignGroups for Compared {
    fn assign(
        &self,
        _: &Context,
        identity: &Identity,
        _: Option<&Account>,
        _: &Profile,
        mut plan: Plan,
    ) -> Result<Plan, Fault> {
        for group in identity.groups.listed().unwrap_or_default() {
            let start = self.rows.partition_point(|row| row.from.as_str() < group.as_str());
            for row in self.rows.iter().skip(start).take_while(|row| row.from == *group) {
                plan.grants.push(Grant::new(row.group.as_str(), Reason::new("mapped", "")));
            }
        }
        if plan.grants.is_empty() {
            plan.grants.push(Grant::new(self.default.as_str(), Reason::new("default", "")));
        }
        Ok(plan)
    }
}

#[cfg(target_family = "wasm")]
vestibule_policy::export!(Compared: admit, groups);
