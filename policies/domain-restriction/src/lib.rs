//! Lets in only subjects whose email domain is allowed.
//!
//! An address is trusted only where the upstream vouches for it, and compared only where it
//! can be read in one way. The verdicts are `Allow` and `Deny`, never `Pass`: whoever puts
//! this policy into a chain wants every subject judged by it.

use vestibule_policy::{
    admit::Verdict,
    email::{self, Domains},
    prelude::*,
};

/// Who may come in, by the domain of the email address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Domains that may come in, separated by `;`: `a.com; B.org`. `.a.com` is every
    /// subdomain of `a.com`, but not `a.com` itself. Empty allows every domain that
    /// `denied-domains` does not name.
    allowed_domains: String,
    /// Domains that may not come in, written in the same way. They win over allowed ones.
    denied_domains: String,
    /// Deny an address for which the upstream does not vouch.
    require_verified: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allowed_domains: String::new(), denied_domains: String::new(), require_verified: true }
    }
}

/// The settings, read.
#[derive(Debug)]
pub struct DomainRestriction {
    allowed: Domains,
    denied: Domains,
    require_verified: bool,
}

impl Policy for DomainRestriction {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new();
        let mut read = |path: &str, list: &str| {
            Domains::parse(list).unwrap_or_else(|wrong| {
                wrong.into_iter().for_each(|message| problems.add(path, message));
                Domains::default()
            })
        };
        let allowed = read("/allowed-domains", &settings.allowed_domains);
        let denied = read("/denied-domains", &settings.denied_domains);
        if problems.is_empty() && allowed.is_empty() {
            // `;;` is a slip, not the wish to let everybody in.
            if !settings.allowed_domains.trim().is_empty() {
                problems.add("/allowed-domains", "the list names no domain");
            } else if denied.is_empty() {
                problems.add("/allowed-domains", "name the domains that may come in, or those that may not");
            }
        }
        problems.into_result(Self { allowed, denied, require_verified: settings.require_verified })
    }
}

impl Admit for DomainRestriction {
    fn decide(&self, _: &Context, identity: &Identity, _: Option<&Account>) -> Result<Verdict, Fault> {
        let Some(email) = &identity.email else {
            return Ok(deny("email-missing", "the upstream sent no email address"));
        };
        let domain = match email::domain(email) {
            Ok(domain) => domain,
            Err(reason) => return Ok(Verdict::Deny(reason)),
        };
        if self.require_verified && !email.verified {
            return Ok(deny("email-not-verified", "the upstream does not vouch for the email address"));
        }
        if self.denied.contains(&domain) {
            return Ok(deny("domain-denied", domain));
        }
        if !self.allowed.is_empty() && !self.allowed.contains(&domain) {
            return Ok(deny("domain-not-allowed", domain));
        }
        Ok(Verdict::Allow(Reason::new("domain-allowed", domain)))
    }
}

fn deny(code: &str, detail: impl Into<String>) -> Verdict {
    Verdict::Deny(Reason::new(code, detail))
}

vestibule_policy::export!(DomainRestriction: admit);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vestibule_policy::testing::{self, Case};

    use super::*;

    fn case(allowed: &str) -> Case<DomainRestriction> {
        Case::new(json!({ "allowed-domains": allowed }))
    }

    fn verdict(case: Case<DomainRestriction>) -> (bool, String) {
        match case.decide() {
            Ok(Verdict::Allow(reason)) => (true, reason.code),
            Ok(Verdict::Deny(reason)) => (false, reason.code),
            other => panic!("neither yes nor no: {other:?}"),
        }
    }

    fn denied(code: &str) -> (bool, String) {
        (false, code.to_owned())
    }

    fn allowed() -> (bool, String) {
        (true, "domain-allowed".to_owned())
    }

    #[test]
    fn a33_allows_the_listed_domains_and_no_others() {
        for address in ["u@a.com", "u@b.org", "u@B.ORG"] {
            assert_eq!(verdict(case("a.com; B.org;;").email(address)), allowed(), "{address}");
        }
        for address in ["u@sub.a.com", "u@a.com.evil.io", "u@c.com", "u@xa.com", "u@com"] {
            assert_eq!(verdict(case("a.com; B.org;;").email(address)), denied("domain-not-allowed"), "{address}");
        }
    }

    #[test]
    fn a33_allows_subdomains_where_the_setting_says_so() {
        assert_eq!(verdict(case(".a.com").email("u@x.sub.a.com")), allowed());
        assert_eq!(verdict(case(".a.com").email("u@a.com")), denied("domain-not-allowed"));
        assert_eq!(verdict(case("a.com; .a.com").email("u@a.com")), allowed());
    }

    #[test]
    fn a27_denies_an_address_with_two_at_signs() {
        for address in ["attacker@evil.com@a.com", "attacker@a.com@evil.com", "@@a.com", "\"x@y\"@a.com"] {
            assert_eq!(verdict(case("a.com; evil.com").email(address)), denied("invalid-email"), "{address}");
        }
    }

    #[test]
    fn a34_denies_what_only_looks_like_an_allowed_domain() {
        assert_eq!(verdict(case("example.com").email("u@ex\u{430}mple.com")), denied("domain-not-allowed"));
        for address in ["u@example.com.", "u@example.com\0", "u@example.com ", "u@example\u{3002}com", "u@"] {
            assert_eq!(verdict(case("example.com").email(address)), denied("invalid-email"), "{address:?}");
        }
        assert_eq!(verdict(case("bücher.example").email("u@XN--Bcher-KVA.example")), allowed());
        assert_eq!(verdict(case("xn--bcher-kva.example").email("u@BÜCHER.example")), allowed());
    }

    #[test]
    fn a28_denies_an_address_that_the_upstream_does_not_vouch_for() {
        assert_eq!(verdict(case("a.com").unverified_email("u@a.com")), denied("email-not-verified"));
        let lenient = Case::new(json!({ "allowed-domains": "a.com", "require-verified": false }));
        assert_eq!(verdict(lenient.clone().unverified_email("u@a.com")), allowed());
        assert_eq!(verdict(lenient.unverified_email("u@c.com")), denied("domain-not-allowed"));
    }

    #[test]
    fn denies_a_subject_without_an_address() {
        assert_eq!(verdict(case("a.com")), denied("email-missing"));
    }

    #[test]
    fn denied_domains_win_over_allowed_ones() {
        let both = Case::new(json!({ "allowed-domains": "a.com; .a.com", "denied-domains": "old.a.com" }));
        assert_eq!(verdict(both.clone().email("u@new.a.com")), allowed());
        assert_eq!(verdict(both.email("u@old.a.com")), denied("domain-denied"));
        let denied_only = Case::new(json!({ "denied-domains": "evil.com; .evil.com" }));
        assert_eq!(verdict(denied_only.clone().email("u@a.com")), allowed());
        assert_eq!(verdict(denied_only.email("u@x.evil.com")), denied("domain-denied"));
    }

    #[test]
    fn says_all_that_is_wrong_with_the_settings() {
        let paths = |settings: serde_json::Value| {
            let problems = testing::configure::<DomainRestriction>(settings).expect_err("wrong settings");
            problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
        };
        assert_eq!(
            paths(json!({ "allowed-domains": "*.a.com; u@b.org", "denied-domains": "c com" })),
            ["/allowed-domains", "/allowed-domains", "/denied-domains"]
        );
        assert_eq!(paths(json!({})), ["/allowed-domains"]);
        assert_eq!(paths(json!({ "allowed-domains": ";;", "denied-domains": "a.com" })), ["/allowed-domains"]);
        assert_eq!(paths(json!({ "allowed": "a.com" })), ["/allowed"]);
        assert_eq!(paths(json!({ "allowed-domains": ["a.com"] })), ["/allowed-domains"]);
    }

    #[test]
    fn the_schema_is_the_one_that_the_settings_derive() {
        testing::settings_schema::<Settings>("settings.schema.json");
    }
}
