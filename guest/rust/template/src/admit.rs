//! May this identity log in?

use vestibule_policy::{
    admit::Verdict,
    email::{self, Domains},
    prelude::*,
};

use crate::{Rules, Settings};

/// The rule, as its settings have it.
#[derive(Debug)]
pub(crate) struct Rule {
    allowed: Domains,
}

impl Rule {
    /// Reads the settings; notes what is wrong with them.
    pub(crate) fn read(settings: &Settings, problems: &mut Problems) -> Self {
        let allowed = Domains::parse(&settings.allowed_domains).unwrap_or_else(|wrong| {
            wrong.into_iter().for_each(|message| problems.add("/allowed-domains", message));
            Domains::default()
        });
        Self { allowed }
    }
}

impl Admit for Rules {
    fn decide(&self, _: &Context, identity: &Identity, _: Option<&Account>) -> Result<Verdict, Fault> {
        let deny = |code: &str, detail: &str| Ok(Verdict::Deny(Reason::new(code, detail)));
        let Some(email) = &identity.email else { return deny("email-missing", "the upstream sent no address") };
        if !email.verified {
            return deny("email-not-verified", "the upstream does not vouch for the address");
        }
        match email::domain(email) {
            Ok(domain) if self.admit.allowed.contains(&domain) => {
                Ok(Verdict::Allow(Reason::new("domain-allowed", domain)))
            }
            Ok(domain) => deny("domain-not-allowed", &domain),
            Err(reason) => Ok(Verdict::Deny(reason)),
        }
    }
}
