//! Contracts: what no guest's answer may break, whatever its rules say (invariant 3).
//!
//! There is no login rule in here. A contract says what an answer may be at all: names that
//! are the host's own, values that are safe in a header, groups within the manifest's
//! `may-grant`, upstreams that the application has. An answer that breaks one is not put
//! right: it denies, and names the policy.

use std::collections::BTreeSet;

use crate::decision::{Attempt, DenyCode, Direction, Ending, MatchKey, Plan, Profile, Reason, Redirect, Value};

/// A reason's code, an attribute's name.
const NAME_BYTES_MAX: usize = 128;

/// A username, an address, a group, one text of an attribute. A header line of 8 KiB is
/// more than most servers take.
const VALUE_BYTES_MAX: usize = 1024;

/// An attribute with all its texts, or its JSON.
const ATTRIBUTE_BYTES_MAX: usize = 8 << 10;

/// Attributes of one profile.
const ATTRIBUTES_MAX: usize = 100;

/// Groups of one plan.
const GROUPS_MAX: usize = 2000;

/// The `acr_values` of one answer.
const ACR_VALUES_MAX: usize = 16;

/// Names that are the host's own, one a line, as [`fold`] makes them. Shared with those who
/// write policies.
const RESERVED: &str = include_str!("../../../wit/reserved-names.txt");

/// A contract that an answer broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) code: DenyCode,
    pub(crate) detail: String,
}

impl Broken {
    fn new(code: DenyCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// A reason's code is a stable name in kebab-case: pages turn it into words.
pub(crate) fn reason(reason: &Reason) -> Result<(), Broken> {
    let code = reason.code.as_bytes();
    let is_kebab = code.first().is_some_and(u8::is_ascii_lowercase)
        && code.len() <= NAME_BYTES_MAX
        && code.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    if is_kebab { Ok(()) } else { Err(Broken::new(DenyCode::PolicyAnswer, "a reason's code is not in kebab-case")) }
}

/// A direction leads to an upstream that the application has, and nowhere else.
pub(crate) fn direction(direction: &Direction, attempt: &Attempt) -> Result<(), Broken> {
    let upstream = |id: &String| {
        if attempt.upstreams.contains(id) {
            Ok(())
        } else {
            let detail = format!("`{}` is no upstream of this application", shown(id));
            Err(Broken::new(DenyCode::UnknownUpstream, detail))
        }
    };
    let leads_inside = |redirect: &Redirect| {
        upstream(&redirect.upstream)?;
        if let Some(hint) = &redirect.login_hint {
            value("login-hint", hint)?;
        }
        acr_values(&redirect.acr_values)
    };
    match direction {
        Direction::Redirect(redirect) => leads_inside(redirect),
        Direction::Choose(among) => {
            if among.is_empty() {
                return Err(Broken::new(DenyCode::PolicyAnswer, "a choice among no upstreams"));
            }
            if among.len() > attempt.upstreams.len() {
                return Err(Broken::new(DenyCode::PolicyAnswer, "more choices than the application has upstreams"));
            }
            among.iter().try_for_each(leads_inside)
        }
        Direction::Refuse(refusal) => reason(refusal),
        Direction::ApplicationForm | Direction::AskIdentifier | Direction::LocalForm => Ok(()),
    }
}

/// `acr_values` go into a URL, separated by spaces (OIDC Core §3.1.2.1).
pub(crate) fn acr_values(values: &[String]) -> Result<(), Broken> {
    if values.len() > ACR_VALUES_MAX {
        return Err(Broken::new(DenyCode::UnsafeValue, format!("more than {ACR_VALUES_MAX} acr-values")));
    }
    values.iter().try_for_each(|acr| {
        value("acr-values", acr)?;
        if acr.contains(char::is_whitespace) {
            return Err(Broken::new(DenyCode::UnsafeValue, "a space within one of the acr-values"));
        }
        Ok(())
    })
}

/// What a profile says is safe in a header, and no attribute passes for a claim or a
/// header that is the host's own.
pub(crate) fn profile(profile: &Profile) -> Result<(), Broken> {
    let match_key = profile.match_key.as_ref().map(|(MatchKey::Username(text) | MatchKey::Email(text))| text);
    let fields = [
        ("match-key", match_key),
        ("username", profile.username.as_ref()),
        ("email", profile.email.as_ref()),
        ("given-name", profile.given_name.as_ref()),
        ("family-name", profile.family_name.as_ref()),
        ("display-name", profile.display_name.as_ref()),
    ];
    fields.into_iter().filter_map(|(name, text)| Some((name, text?))).try_for_each(|(name, text)| value(name, text))?;
    if profile.attributes.len() > ATTRIBUTES_MAX {
        return Err(Broken::new(DenyCode::UnsafeValue, format!("more than {ATTRIBUTES_MAX} attributes")));
    }
    let mut seen = BTreeSet::new();
    for attribute in &profile.attributes {
        let folded = attribute_name(&attribute.name)?;
        if !seen.insert(folded) {
            let detail = format!("two attributes that an application reads as `{}`", shown(&attribute.name));
            return Err(Broken::new(DenyCode::UnsafeValue, detail));
        }
        attribute_value(&attribute.name, &attribute.value)?;
    }
    Ok(())
}

/// A policy grants what its manifest says and nothing else. What earlier policies granted
/// it may pass on: they answered for it.
pub(crate) fn plan(plan: &Plan, so_far: &Plan, may_grant: impl Fn(&str) -> bool) -> Result<(), Broken> {
    if plan.grants.len().max(plan.exclude.len()) > GROUPS_MAX {
        return Err(Broken::new(DenyCode::UnsafeValue, format!("more than {GROUPS_MAX} groups")));
    }
    for group in &plan.exclude {
        // It goes nowhere, and the application may have such a group: blanks may stay.
        value("exclude", group.trim())?;
    }
    for grant in &plan.grants {
        value("grants", &grant.group)?;
        reason(&grant.because)?;
        let is_passed_on = || so_far.grants.iter().any(|earlier| earlier.group == grant.group);
        if !may_grant(&grant.group) && !is_passed_on() {
            let detail = format!("the manifest's may-grant does not cover `{}`", shown(&grant.group));
            return Err(Broken::new(DenyCode::GrantNotCovered, detail));
        }
    }
    Ok(())
}

/// A target is a URL that a browser takes as it is; whether it is allowed, the caller
/// knows.
pub(crate) fn ending(ending: &Ending) -> Result<(), Broken> {
    ending.target.as_ref().map_or(Ok(()), |target| value("target", target))
}

/// A name as an application reads it that got it through a CGI-like interface: in one
/// case, and `_` and `-` are one (`X_Forwarded_User` passes for `X-Forwarded-User`).
fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Is the folded `name` the host's own?
fn is_reserved(name: &str) -> bool {
    RESERVED.lines().filter(|line| !line.starts_with('#')).any(|line| match line.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == line,
    })
}

/// The name of an attribute, folded: it is fit for a header, and none of the host's own.
pub(crate) fn attribute_name(name: &str) -> Result<String, Broken> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/#~".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_safe) {
        let detail = format!("`{}` cannot be an attribute's name", shown(name));
        return Err(Broken::new(DenyCode::UnsafeValue, detail));
    }
    let folded = fold(name);
    if is_reserved(&folded) {
        return Err(Broken::new(DenyCode::ReservedClaim, format!("`{}` is the host's own", shown(name))));
    }
    Ok(folded)
}

fn attribute_value(name: &str, attribute: &Value) -> Result<(), Broken> {
    let too_long = || Broken::new(DenyCode::UnsafeValue, format!("`{}` is too long", shown(name)));
    match attribute {
        Value::Text(text) => value(name, text),
        Value::Texts(texts) => {
            texts.iter().try_for_each(|text| value(name, text))?;
            let bytes: usize = texts.iter().map(String::len).sum();
            if bytes > ATTRIBUTE_BYTES_MAX { Err(too_long()) } else { Ok(()) }
        }
        Value::Json(json) if json.len() > ATTRIBUTE_BYTES_MAX => Err(too_long()),
        Value::Json(json) => serde_json::from_str::<serde_json::Value>(json)
            .map(drop)
            .map_err(|_| Broken::new(DenyCode::PolicyAnswer, format!("`{}` is not JSON", shown(name)))),
        Value::Number(number) if !number.is_finite() => {
            Err(Broken::new(DenyCode::PolicyAnswer, format!("`{}` is not a finite number", shown(name))))
        }
        Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => Ok(()),
    }
}

/// RFC 9110 §5.5: no CR, LF or NUL in a field's value. The other control characters are
/// refused with them, and so is what a terminal or a page would take as an instruction.
fn value(name: &str, text: &str) -> Result<(), Broken> {
    const AT_THE_ENDS: &str = "begins or ends with a space";
    let refuse = |problem: &str| Err(Broken::new(DenyCode::UnsafeValue, format!("`{}` {problem}", shown(name))));
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.len() > VALUE_BYTES_MAX {
        return refuse("is too long");
    }
    // Most values are ASCII, and every group of every login comes by here.
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return if text.starts_with(' ') || text.ends_with(' ') { refuse(AT_THE_ENDS) } else { Ok(()) };
    }
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if text.contains(is_unsafe) {
        return refuse("has a control character");
    }
    // A server that trims the value would see another one.
    if text.trim() != text {
        return refuse(AT_THE_ENDS);
    }
    Ok(())
}

/// A guest's text, fit for a log.
fn shown(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Claim, Grant, Redirect};

    fn with_attribute(name: &str, value: Value) -> Result<(), Broken> {
        profile(&Profile { attributes: vec![Claim { name: name.into(), value }], ..Profile::default() })
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn the_reserved_names_are_sorted_and_folded() {
        let names: Vec<&str> = RESERVED.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.len() > 40 && names.is_sorted());
        assert!(names.iter().all(|name| !name.is_empty() && fold(name) == **name));
    }

    #[test]
    fn a83_refuses_reserved_claims_in_every_spelling() {
        let names = ["iss", "sub", "aud", "exp", "nonce", "sid", "acr", "amr", "iat", "nbf", "jti", "azp", "auth_time"];
        let ours = ["groups", "email", "email_verified", "preferred_username", "username", "at_hash", "scope", "cnf"];
        for name in names.into_iter().chain(ours) {
            for name in [name.to_owned(), name.to_uppercase(), name.replace('_', "-")] {
                let broken = with_attribute(&name, text("x")).unwrap_err();
                assert_eq!(broken.code, DenyCode::ReservedClaim, "{name}");
            }
        }
    }

    #[test]
    fn a84_refuses_names_that_pass_for_a_header_of_the_hosts() {
        for name in [
            "Host",
            "Cookie",
            "Set-Cookie",
            "set_cookie",
            "Authorization",
            "Proxy-Authorization",
            "Connection",
            "TE",
            "Keep-Alive",
            "Transfer-Encoding",
            "Content-Length",
            "Upgrade",
            "Trailer",
            "Forwarded",
            "X-Forwarded-User",
            "X_Forwarded_User",
            "x-forwarded_groups",
            "X-Vestibule-Assertion",
            "Remote-User",
            "REMOTE_USER",
            "x-remote-group",
        ] {
            assert_eq!(with_attribute(name, text("x")).unwrap_err().code, DenyCode::ReservedClaim, "{name}");
        }
        for name in ["", "a b", "a\r\nSet-Cookie", "a\0", "naïve", "a;b", "a,b", "a=b", "\u{ff53}ub", &"a".repeat(200)]
        {
            assert_eq!(with_attribute(name, text("x")).unwrap_err().code, DenyCode::UnsafeValue, "{name:?}");
        }
        let twice = Profile {
            attributes: ["employee_id", "Employee-ID"].map(|name| Claim { name: name.into(), value: text("1") }).into(),
            ..Profile::default()
        };
        assert_eq!(profile(&twice).unwrap_err().code, DenyCode::UnsafeValue);
    }

    #[test]
    fn a84_refuses_values_that_would_end_the_header_line() {
        let unsafe_values = [
            "a\r\nX-Forwarded-User: root",
            "a\nb",
            "a\rb",
            "a\0b",
            "a\u{7f}",
            "a\u{85}b",
            "\u{1b}[2J",
            "a\u{2028}b",
            "a\u{202e}b",
            " root",
            "root ",
            "",
            "\u{feff}root",
        ];
        for unsafe_value in unsafe_values.into_iter().map(str::to_owned).chain(["a".repeat(VALUE_BYTES_MAX + 1)]) {
            let some = || Some(unsafe_value.clone());
            let profiles = [
                Profile { username: some(), ..Profile::default() },
                Profile { email: some(), ..Profile::default() },
                Profile { given_name: some(), ..Profile::default() },
                Profile { family_name: some(), ..Profile::default() },
                Profile { display_name: some(), ..Profile::default() },
                Profile { match_key: some().map(MatchKey::Username), ..Profile::default() },
                Profile { match_key: some().map(MatchKey::Email), ..Profile::default() },
            ];
            for unsafe_profile in profiles {
                assert_eq!(profile(&unsafe_profile).unwrap_err().code, DenyCode::UnsafeValue, "{unsafe_profile:?}");
            }
            assert!(with_attribute("department", text(&unsafe_value)).is_err(), "{unsafe_value:?}");
            assert!(with_attribute("department", Value::Texts(vec!["a".into(), unsafe_value.clone()])).is_err());
            let grant = Grant { group: unsafe_value.clone(), because: Reason::new("mapped", "") };
            let unsafe_plan = Plan { grants: vec![grant], ..Plan::default() };
            assert_eq!(plan(&unsafe_plan, &Plan::default(), |_| true).unwrap_err().code, DenyCode::UnsafeValue);
            assert!(ending(&Ending { at_upstream: false, target: some() }).is_err());
        }
    }

    #[test]
    fn takes_what_is_usual() {
        let usual = Profile {
            match_key: Some(MatchKey::Email("ann@example.com".into())),
            display_name: Some("Ånn von O'Neill-日本".into()),
            attributes: vec![
                Claim { name: "department".into(), value: text("R&D, \"new\"") },
                Claim { name: "employee_id".into(), value: Value::Integer(7) },
                Claim { name: "https://example.com/roles".into(), value: Value::Texts(vec!["a".into()]) },
                Claim { name: "address".into(), value: Value::Json(r#"{"street":"1\n2"}"#.into()) },
            ],
            ..Profile::default()
        };
        assert_eq!(profile(&usual), Ok(()));
    }

    #[test]
    fn refuses_an_attribute_that_has_no_place_in_a_token() {
        assert_eq!(with_attribute("a", Value::Json("{".into())).unwrap_err().code, DenyCode::PolicyAnswer);
        assert_eq!(with_attribute("a", Value::Number(f64::NAN)).unwrap_err().code, DenyCode::PolicyAnswer);
        assert_eq!(with_attribute("a", Value::Number(f64::INFINITY)).unwrap_err().code, DenyCode::PolicyAnswer);
    }

    #[test]
    fn a85_refuses_a_direction_to_an_upstream_that_the_application_does_not_have() {
        let attempt = Attempt { upstreams: vec!["corp".into()], ..Attempt::default() };
        let foreign = ["other", "", "Corp", "corp ", "https://evil.example/", "//evil.example", "corp\r\n"];
        for upstream in foreign {
            let redirect = Direction::Redirect(Redirect { upstream: upstream.into(), ..Redirect::default() });
            let choice = Direction::Choose(vec![Redirect { upstream: upstream.into(), ..Redirect::default() }]);
            assert_eq!(direction(&redirect, &attempt).unwrap_err().code, DenyCode::UnknownUpstream, "{upstream:?}");
            assert_eq!(direction(&choice, &attempt).unwrap_err().code, DenyCode::UnknownUpstream, "{upstream:?}");
        }
        assert!(direction(&Direction::Choose(vec![]), &attempt).is_err());
        let corp = || Redirect { upstream: "corp".into(), ..Redirect::default() };
        assert!(direction(&Direction::Choose(vec![corp()]), &attempt).is_ok());
        assert!(direction(&Direction::Choose(vec![corp(), corp()]), &attempt).is_err());
        let odd = Redirect { acr_values: vec!["a b".into()], ..corp() };
        assert!(direction(&Direction::Choose(vec![odd]), &attempt).is_err());
        let redirect = |login_hint: &str, acr: &str| {
            let (login_hint, acr_values) = (Some(login_hint.to_owned()), vec![acr.to_owned()]);
            Direction::Redirect(Redirect { upstream: "corp".into(), login_hint, acr_values, ..Redirect::default() })
        };
        assert!(direction(&redirect("ann\r\n", "mfa"), &attempt).is_err());
        assert!(direction(&redirect("ann", "mfa prompt=none"), &attempt).is_err());
        assert_eq!(direction(&redirect("ann", "mfa"), &attempt), Ok(()));
    }

    #[test]
    fn a_policy_grants_what_its_manifest_covers_or_an_earlier_one_granted() {
        let grants = |groups: &[&str]| Plan {
            grants: groups
                .iter()
                .map(|group| Grant { group: (*group).to_owned(), because: Reason::new("mapped", "") })
                .collect(),
            ..Plan::default()
        };
        let may_grant = |group: &str| group.starts_with("app-");
        assert_eq!(plan(&grants(&["app-users"]), &Plan::default(), may_grant), Ok(()));
        assert_eq!(plan(&grants(&["admins", "app-users"]), &grants(&["admins"]), may_grant), Ok(()));
        let broken = plan(&grants(&["app-users", "admins"]), &Plan::default(), may_grant).unwrap_err();
        assert_eq!(broken.code, DenyCode::GrantNotCovered);
        assert!(broken.detail.contains("`admins`"), "{}", broken.detail);
    }

    #[test]
    fn refuses_a_reason_that_is_no_name() {
        for code in ["", "Domain not allowed", "<b>", "a\n", "-a", "1", "é"] {
            assert!(reason(&Reason::new(code, "")).is_err(), "{code:?}");
        }
        assert_eq!(reason(&Reason::new("domain-not-allowed2", "")), Ok(()));
    }
}
