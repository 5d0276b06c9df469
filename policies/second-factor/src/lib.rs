//! Whose login wants the second factor of the gateway.
//!
//! The policy says by whom it is to be passed, and how lately; how it is passed is the host's to
//! know. In doubt it is wanted: an address that cannot be read, and groups that did not come.

use vestibule_policy::{
    admit::Verdict,
    email::{self, Domains},
    prelude::*,
    types::{GroupClaim, Problem},
};

/// The `acr` of whoever passed the gateway's own second factor (`wit/README.md`).
const SECOND_FACTOR: &str = "urn:vestibule:second-factor";

/// The `acr` of whoever passed it by a passkey, where that was asked for. It has the other one in it.
const PHISHING_RESISTANT: &str = "urn:vestibule:second-factor:phishing-resistant";

/// The way here takes its time: fewer seconds count as this many.
const MAX_AGE_MIN_S: u32 = 30;

/// Whose logins want it.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Everybody's.
    pub always: bool,
    /// Of whoever has an email address of these domains, separated by `;`: `a.com; .b.org`.
    /// `.a.com` is every subdomain of `a.com`, but not `a.com` itself.
    pub domains: String,
    /// Of the members of these groups, exactly as the upstream reports them, or as the
    /// application has them for the account.
    pub groups: Vec<String>,
    /// Not of whom the upstream has proved by one of these methods (`amr`), such as `mfa`.
    pub unless_amr: Vec<String>,
    /// By a passkey alone, which no other site can ask for.
    pub phishing_resistant: bool,
    /// It must have been passed within so many seconds. Left out: whenever the person was
    /// remembered.
    pub max_age_s: Option<u32>,
}

/// The policy.
#[derive(Debug)]
pub struct SecondFactor {
    settings: Settings,
    domains: Domains,
}

impl Policy for SecondFactor {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new();
        let domains = Domains::parse(&settings.domains).unwrap_or_else(|wrong| {
            wrong.into_iter().for_each(|message| problems.add("/domains", message));
            Domains::default()
        });
        if problems.is_empty() && domains.is_empty() && !settings.domains.trim().is_empty() {
            problems.add("/domains", "the list names no domain");
        }
        for (index, group) in settings.groups.iter().enumerate() {
            problems.check_name(format!("/groups/{index}"), "a group", group);
        }
        for (index, method) in settings.unless_amr.iter().enumerate() {
            problems.check_name(format!("/unless-amr/{index}"), "a method", method);
        }
        if settings.max_age_s == Some(0) {
            problems.add("/max-age-s", "nobody can authenticate within 0 s");
        }
        let wants_of_nobody = !settings.always && settings.domains.trim().is_empty() && settings.groups.is_empty();
        if wants_of_nobody {
            problems.add("/always", "say whose login wants it: `always`, `domains` or `groups`");
        }
        problems.into_result(Self { settings, domains })
    }
}

impl Admit for SecondFactor {
    fn decide(&self, context: &Context, identity: &Identity, account: Option<&Account>) -> Result<Verdict, Fault> {
        if !self.concerns(identity, account) {
            return Ok(Verdict::Pass);
        }
        let (by_any, by_passkey) = match identity.acr.as_deref() {
            Some(PHISHING_RESISTANT) => (true, true),
            Some(SECOND_FACTOR) => (true, false),
            _ => (false, false),
        };
        // What the upstream asked for counts as long as its word does; what a code of ours added to it
        // later is no word of the upstream's.
        if !by_any && identity.amr.iter().any(|method| self.settings.unless_amr.contains(method)) {
            return Ok(Verdict::Pass);
        }
        let code = if self.settings.phishing_resistant && !by_passkey {
            "passkey-required"
        } else if !by_any {
            "second-factor-required"
        } else if self.is_too_old(context, identity) {
            "second-factor-too-old"
        } else {
            return Ok(Verdict::Pass);
        };
        let wanted = if self.settings.phishing_resistant { PHISHING_RESISTANT } else { SECOND_FACTOR };
        let mut step_up = StepUp::by([wanted], Reason::new(code, ""));
        step_up.max_age = self.settings.max_age_s;
        Ok(Verdict::StepUp(step_up))
    }
}

impl SecondFactor {
    fn concerns(&self, identity: &Identity, account: Option<&Account>) -> bool {
        self.settings.always || self.is_of_domain(identity) || self.is_member(identity, account)
    }

    fn is_of_domain(&self, identity: &Identity) -> bool {
        if self.domains.is_empty() {
            return false;
        }
        match &identity.email {
            Some(email) if email.verified => email::domain(email).map_or(true, |domain| self.domains.contains(&domain)),
            // Whoever chooses their own address does not choose their way around this.
            _ => true,
        }
    }

    fn is_member(&self, identity: &Identity, account: Option<&Account>) -> bool {
        let names = |groups: &[String]| groups.iter().any(|group| self.settings.groups.contains(group));
        let reported = match &identity.groups {
            GroupClaim::Overage => !self.settings.groups.is_empty(),
            other => other.listed().is_some_and(names),
        };
        reported || account.is_some_and(|account| names(&account.groups))
    }

    /// A time that is missing or lies in the future proves nothing.
    fn is_too_old(&self, context: &Context, identity: &Identity) -> bool {
        self.settings.max_age_s.is_some_and(|max_age| {
            let age = identity.auth_time.and_then(|at| context.at.checked_sub(at));
            age.is_none_or(|age| age > u64::from(max_age.max(MAX_AGE_MIN_S)))
        })
    }
}

vestibule_policy::export!(SecondFactor: admit);

#[cfg(test)]
mod tests {
    use super::*;

    vestibule_policy::settings_tests!(Settings);
}
