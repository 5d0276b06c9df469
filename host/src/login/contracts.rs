//! What the host holds a login to, whatever the policies say: who may speak for an address, and
//! which accounts may be entered. Contracts, not rules (invariant 3): each is a condition that
//! every application has.

use crate::{
    config::{Application, Config, HandOver, NameIdKind, Upstream},
    decision::{Account, Denial, DenyCode, Hook, Profile, ProvisionTerms},
    identity::{Email, Identity},
    upstream::{authoritative, is_address, is_within},
};

/// An identity counts only from an upstream that is still open to this application, and
/// only with an address whose domain is that upstream's to speak for.
pub(super) fn hold_identity_contracts(
    config: &Config,
    application: &Application,
    identity: &Identity,
) -> Result<(), Denial> {
    let upstream = config
        .upstreams
        .get(&identity.upstream)
        .filter(|upstream| application.upstreams.contains(&upstream.id))
        .ok_or_else(|| Denial::by_host(DenyCode::UnknownUpstream, "the upstream is not open to this application"))?;
    let Some(email) = &identity.email else { return Ok(()) };
    if !is_address(&email.address) {
        return Err(Denial::by_host(DenyCode::InvalidEmail, "the upstream stated a malformed email address"));
    }
    if !authoritative(upstream, email) {
        return Err(Denial::by_host(
            DenyCode::DomainNotAuthoritative,
            format!("upstream {} is not authoritative for the email address's domain", upstream.id),
        ));
    }
    Ok(())
}

/// The address that the application is told is held to the rules of the one that the upstream
/// stated: whatever claim a policy took it from, it is of a domain that is the upstream's.
pub(super) fn hold_profile_contracts<'c>(
    config: &'c Config,
    profile: &Profile,
    identity: &Identity,
) -> Result<&'c Upstream, Denial> {
    let upstream = config
        .upstreams
        .get(&identity.upstream)
        .ok_or_else(|| Denial::by_host(DenyCode::UnknownUpstream, "the upstream is not configured"))?;
    let Some(address) = &profile.email else { return Ok(upstream) };
    if !is_address(address) {
        return Err(Denial::by_host(DenyCode::InvalidEmail, "the profile has a malformed email address"));
    }
    if !authoritative(upstream, &Email { address: address.clone(), verified: true }) {
        return Err(Denial::by_host(
            DenyCode::DomainNotAuthoritative,
            format!("upstream {} is not authoritative for the domain of the profile's email address", upstream.id),
        ));
    }
    Ok(upstream)
}

/// A SAML service provider is told about its own people only: of the domains that are verified
/// there, and with a name by which it knows them.
pub(super) fn hold_assertion_contracts(application: &Application, profile: &Profile) -> Result<(), Denial> {
    let HandOver::Saml(provider) = &application.hand_over else { return Ok(()) };
    let address = profile.email.as_deref();
    let is_named = match provider.name_id {
        NameIdKind::Email => !is_blank(&profile.email),
        NameIdKind::Username => !is_blank(&profile.username),
        NameIdKind::Persistent | NameIdKind::Transient => true,
    };
    if !is_named {
        return Err(Denial::by_host(DenyCode::NameIdMissing, "the profile lacks what `name-id` says"));
    }
    // Without an address nobody can say of which domain the person is.
    if provider.domains.is_empty() || address.is_some_and(|address| is_within(&provider.domains, address)) {
        return Ok(());
    }
    let detail = format!("the address's domain is none of those that application {} has", application.id);
    Err(Denial::by_host(DenyCode::DomainNotAsserted, detail))
}

/// May there be a new account, or this one? An application without a directory is one of
/// whose accounts the gateway knows nothing: to it every subject is without an account.
pub(super) fn hold_account_contracts(
    has_directory: bool,
    account: Option<&Account>,
    profile: &Profile,
    terms: &ProvisionTerms,
) -> Result<(), Denial> {
    match account {
        Some(account) if !account.active && !terms.reactivate => {
            Err(Denial::by_host(DenyCode::AccountInactive, "the account is not active and may not be reactivated"))
        }
        Some(_) => Ok(()),
        None => {
            if let Some(reason) = &terms.refuse_creation {
                return Err(Denial {
                    code: DenyCode::CreationRefused,
                    reason: reason.clone(),
                    policy: None,
                    hook: Some(Hook::Provision),
                });
            }
            if has_directory && (is_blank(&profile.username) || is_blank(&profile.email)) {
                return Err(Denial::by_host(
                    DenyCode::ProfileIncomplete,
                    "a new account needs a username and an email address",
                ));
            }
            Ok(())
        }
    }
}

fn is_blank(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(|text| text.trim().is_empty())
}

/// OIDC Core §3.1.2.1 `max_age`: a subject of whom nobody says when it authenticated has
/// not done so recently.
pub(super) fn is_recent(auth_time: Option<u64>, max_age: Option<u32>, now: u64) -> bool {
    max_age.is_none_or(|seconds| auth_time.is_some_and(|at| now.saturating_sub(at) <= u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Reason, Update};

    fn terms(refuse: Option<&str>, reactivate: bool) -> ProvisionTerms {
        ProvisionTerms {
            refuse_creation: refuse.map(|code| Reason::new(code, "")),
            update_attributes: Update::EveryLogin,
            reactivate,
        }
    }

    fn full() -> Profile {
        Profile { username: Some("ann".into()), email: Some("ann@example.com".into()), ..Profile::default() }
    }

    fn code(result: Result<(), Denial>) -> Option<DenyCode> {
        result.err().map(|denial| denial.code)
    }

    fn identity_of(upstream: &str) -> Identity {
        Identity {
            upstream: upstream.into(),
            protocol: crate::identity::Protocol::Oidc,
            issuer: "https://accounts.example.net".into(),
            subject: "1".into(),
            email: None,
            groups: crate::identity::GroupClaim::Absent,
            auth_time: None,
            acr: None,
            amr: vec![],
            claims: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a76_refuses_to_create_with_the_policys_reason_and_lets_an_existing_account_in() {
        let refusal = hold_account_contracts(true, None, &full(), &terms(Some("no-mapped-group"), true)).unwrap_err();
        assert_eq!((refusal.code, refusal.reason.code.as_str()), (DenyCode::CreationRefused, "no-mapped-group"));
        let active = Account { active: true, ..Account::default() };
        assert!(hold_account_contracts(true, Some(&active), &full(), &terms(Some("no-mapped-group"), false)).is_ok());
    }

    #[test]
    fn refuses_to_create_where_nobody_knows_the_accounts() {
        let refused = hold_account_contracts(false, None, &full(), &terms(Some("creation-not-allowed"), true));
        assert_eq!(code(refused), Some(DenyCode::CreationRefused));
    }

    #[test]
    fn an_inactive_account_needs_leave_to_be_reactivated() {
        let inactive = Account::default();
        let refused = hold_account_contracts(true, Some(&inactive), &full(), &terms(None, false));
        assert_eq!(code(refused), Some(DenyCode::AccountInactive));
        assert!(hold_account_contracts(true, Some(&inactive), &full(), &terms(None, true)).is_ok());
    }

    #[test]
    fn a_new_account_needs_a_username_and_an_email_address() {
        for profile in [
            Profile::default(),
            Profile { username: None, ..full() },
            Profile { email: None, ..full() },
            Profile { username: Some(" ".into()), ..full() },
            Profile { email: Some(String::new()), ..full() },
        ] {
            assert_eq!(
                code(hold_account_contracts(true, None, &profile, &terms(None, true))),
                Some(DenyCode::ProfileIncomplete)
            );
            assert!(hold_account_contracts(false, None, &profile, &terms(None, true)).is_ok());
        }
        assert!(hold_account_contracts(true, None, &full(), &terms(None, true)).is_ok());
    }

    #[test]
    fn a27_a30_a59_an_upstream_speaks_for_its_own_domains_to_its_own_applications() {
        let text = "[server]\npublic-url = \"https://login.example.com\"\n[policies.p]\ncomponent = \"p.wasm\"\n\
                    [upstreams.net]\npreset = \"google\"\nclient-id = \"c\"\nclient-secret = \"s\"\n\
                    domains = [\"example.net\"]\n\
                    [upstreams.any]\npreset = \"google\"\nclient-id = \"d\"\nclient-secret = \"s\"\n\
                    [applications.app]\nurl = \"https://app.example.com/\"\nupstreams = [\"net\"]\nchain = [\"p\"]\n\
                    [applications.app.forward-auth]\n";
        let mut config = crate::config::parse(text, std::path::Path::new("vestibule.toml"), &|_| None).unwrap();
        let held = |config: &Config, upstream: &str, email: Option<&str>, verified| {
            let identity = Identity {
                email: email.map(|address| Email { address: address.to_owned(), verified }),
                ..identity_of(upstream)
            };
            code(hold_identity_contracts(config, &config.applications["app"], &identity))
        };
        for verified in [true, false] {
            assert_eq!(held(&config, "net", None, verified), None);
            assert_eq!(held(&config, "net", Some("x@EXAMPLE.net"), verified), None);
            for foreign in ["x@example.com", "x@a.example.net", "x@example.net.evil.com", "x@ex\u{430}mple.net"] {
                let no = Some(DenyCode::DomainNotAuthoritative);
                assert_eq!(held(&config, "net", Some(foreign), verified), no, "{foreign}");
            }
            for malformed in ["x@evil.com@example.net", "x@example.net@evil.com", "example.net", "x@example.net\0", ""]
            {
                let no = Some(DenyCode::InvalidEmail);
                assert_eq!(held(&config, "net", Some(malformed), verified), no, "{malformed:?}");
            }
        }
        for closed in ["any", "nothing", ""] {
            assert_eq!(held(&config, closed, None, true), Some(DenyCode::UnknownUpstream), "{closed}");
        }
        // Named by the application, and no upstream any more.
        config.upstreams.remove("net");
        assert_eq!(held(&config, "net", None, true), Some(DenyCode::UnknownUpstream));
    }

    #[test]
    fn a30_the_address_that_an_application_is_told_is_of_the_upstreams_own_domain() {
        let text = "[server]\npublic-url = \"https://login.example.com\"\n[upstreams.net]\npreset = \"google\"\n\
                    client-id = \"c\"\nclient-secret = \"s\"\ndomains = [\"example.net\"]\n";
        let config = crate::config::parse(text, std::path::Path::new("vestibule.toml"), &|_| None).unwrap();
        let identity = identity_of("net");
        let held = |email: Option<&str>| {
            let profile = Profile { email: email.map(str::to_owned), ..Profile::default() };
            hold_profile_contracts(&config, &profile, &identity).map(drop).map_err(|denial| denial.code)
        };
        assert_eq!((held(None), held(Some("x@example.net"))), (Ok(()), Ok(())));
        for foreign in ["x@example.com", "x@a.example.net", "x@example.net.evil.com"] {
            assert_eq!(held(Some(foreign)), Err(DenyCode::DomainNotAuthoritative), "{foreign}");
        }
        for malformed in ["x@example.com@example.net", "example.net", "x@example.net."] {
            assert_eq!(held(Some(malformed)), Err(DenyCode::InvalidEmail), "{malformed}");
        }
    }

    #[test]
    fn only_people_of_the_verified_domains_are_asserted_and_only_with_a_name() {
        let application = |lines: &str| {
            let text = format!(
                "[server]\npublic-url = \"https://login.example.com\"\n[policies.p]\ncomponent = \"p.wasm\"\n\
                 [upstreams.net]\npreset = \"google\"\nclient-id = \"c\"\nclient-secret = \"s\"\n[applications.guard]\n\
                 upstreams = [\"net\"]\nchain = [\"p\"]\nurl = \"https://acme.atlassian.net/\"\n[applications.guard.saml]\n\
                 entity-id = \"urn:guard\"\nacs-urls = [\"https://auth.example.net/acs\"]\n{lines}"
            );
            let mut config = crate::config::parse(&text, std::path::Path::new("vestibule.toml"), &|_| None).unwrap();
            config.applications.remove("guard").unwrap()
        };
        let held = |lines: &str, profile: &Profile| code(hold_assertion_contracts(&application(lines), profile));
        let of = |email: &str| Profile { email: Some(email.into()), ..Profile::default() };
        let domains = "domains = [\"acme.com\", \".acme.net\"]\n";
        for inside in ["a@acme.com", "a@ACME.com", "a@eu.acme.net"] {
            assert_eq!(held(domains, &of(inside)), None, "{inside}");
        }
        for outside in [
            "a@eu.acme.com",
            "a@acme.net",
            "a@acme.com.evil.com",
            "a@evilacme.com",
            "a@acme.com@evil.com",
            "a@evil.com",
        ] {
            assert_eq!(held(domains, &of(outside)), Some(DenyCode::DomainNotAsserted), "{outside}");
            assert_eq!(held("", &of(outside)), None, "{outside}");
        }
        let nobody = Profile { username: Some("ann".into()), ..Profile::default() };
        assert_eq!(held("", &nobody), Some(DenyCode::NameIdMissing));
        assert_eq!(held("", &of(" ")), Some(DenyCode::NameIdMissing));
        assert_eq!(held("name-id = \"username\"\n", &nobody), None);
        assert_eq!(held("name-id = \"username\"\n", &of("a@acme.com")), Some(DenyCode::NameIdMissing));
        assert_eq!(held("name-id = \"persistent\"\n", &Profile::default()), None);
        // Without an address nobody can say of which domain somebody is.
        let named = format!("name-id = \"username\"\n{domains}");
        assert_eq!(held(&named, &nobody), Some(DenyCode::DomainNotAsserted));
    }

    #[test]
    fn a_subject_of_unknown_age_is_not_recent() {
        assert!(is_recent(None, None, 1000));
        assert!(!is_recent(None, Some(60), 1000));
        assert!(is_recent(Some(940), Some(60), 1000));
        assert!(!is_recent(Some(939), Some(60), 1000));
    }
}
