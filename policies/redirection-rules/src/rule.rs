//! Rules, ready to be matched, and what is wrong with those that are not.

use vestibule_policy::{
    email,
    pattern::{Casing, Matcher, Pattern},
    prelude::*,
};

use crate::{
    area::Area,
    settings::{Identifiers, Settings, Target, To},
};

/// The code of a refusal that names none.
pub(crate) const REFUSED: &str = "login-refused";

/// Nobody waits longer than an hour, in seconds.
const DELAY_MAX: u32 = 3600;

/// What was typed, in the form that rules are matched against.
#[derive(Debug)]
pub(crate) struct Typed<'a> {
    text: &'a str,
    lower: String,
    domain: Option<String>,
}

impl<'a> Typed<'a> {
    /// None where it is neither a well-formed address nor, where those are welcome, a username.
    pub(crate) fn new(text: &'a str, welcome: Identifiers) -> Option<Self> {
        let address = Email { address: text.to_owned(), verified: false };
        let domain = match (email::domain(&address), welcome) {
            (Ok(domain), _) => Some(domain.into_owned()),
            (Err(_), Identifiers::Any) if !text.contains('@') && !text.contains(char::is_control) => None,
            (Err(_), _) => return None,
        };
        Some(Self { text, lower: text.to_lowercase(), domain })
    }

    /// As it was typed.
    pub(crate) const fn text(&self) -> &'a str {
        self.text
    }
}

/// The conditions of a rule. One without patterns is none.
#[derive(Debug)]
pub(crate) struct Rule {
    domains: Vec<Domain>,
    identifiers: Vec<Matcher>,
    applications: Vec<Matcher>,
}

/// A pattern of a domain. Domains come as A-labels in lower case.
#[derive(Debug)]
enum Domain {
    /// This domain.
    Exact(String),
    /// Its subdomains, and the domain itself where `itself`. Holds the domain.
    Under {
        domain: String,
        itself: bool,
    },
    Text(Matcher),
}

impl Domain {
    fn matches(&self, domain: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == domain,
            Self::Under { domain: parent, itself } => match domain.strip_suffix(parent.as_str()) {
                Some("") => *itself,
                // `evila.com` is not under `a.com`: a suffix ends at a label.
                Some(rest) => rest.ends_with('.'),
                None => false,
            },
            Self::Text(matcher) => matcher.matches(domain),
        }
    }
}

impl Rule {
    pub(crate) fn is_for(&self, application: &str) -> bool {
        self.applications.is_empty() || any(&self.applications, application)
    }

    pub(crate) fn needs_identifier(&self) -> bool {
        !(self.domains.is_empty() && self.identifiers.is_empty())
    }

    pub(crate) fn fits(&self, typed: &Typed<'_>) -> bool {
        let domain = self.domains.is_empty()
            || typed.domain.as_deref().is_some_and(|domain| self.domains.iter().any(|pattern| pattern.matches(domain)));
        domain && (self.identifiers.is_empty() || any(&self.identifiers, &typed.lower))
    }
}

fn any(matchers: &[Matcher], text: &str) -> bool {
    matchers.iter().any(|matcher| matcher.matches(text))
}

fn compile(problems: &mut Problems, at: &str, patterns: &[Pattern], casing: Casing) -> Vec<Matcher> {
    let compiled = patterns.iter().enumerate().filter_map(|(index, pattern)| {
        problems.take(format!("{at}/{index}/{}", key(pattern)), pattern.compile(casing))
    });
    compiled.collect()
}

fn compile_domains(problems: &mut Problems, at: &str, patterns: &[Pattern]) -> Vec<Domain> {
    let no_domain = |text: &str| format!("`{text}` is no domain");
    let compiled = patterns.iter().enumerate().filter_map(|(index, pattern)| {
        let domain = match pattern {
            Pattern::Exact(text) => email::normalize_domain(text)
                .map(|domain| Domain::Exact(domain.into_owned()))
                .ok_or_else(|| no_domain(text)),
            Pattern::Suffix(text) => {
                let (parent, itself) = text.strip_prefix('.').map_or((text.as_str(), true), |parent| (parent, false));
                email::normalize_domain(parent)
                    .map(|domain| Domain::Under { domain: domain.into_owned(), itself })
                    .ok_or_else(|| no_domain(text))
            }
            text => text.compile(Casing::Insensitive).map(Domain::Text),
        };
        problems.take(format!("{at}/{index}/{}", key(pattern)), domain)
    });
    compiled.collect()
}

/// The key under which the settings have the pattern.
const fn key(pattern: &Pattern) -> &'static str {
    match pattern {
        Pattern::Exact(_) => "exact",
        Pattern::Suffix(_) => "suffix",
        Pattern::Glob(_) => "glob",
        Pattern::Regex(_) => "regex",
    }
}

pub(crate) fn compile_rules(settings: &Settings, problems: &mut Problems) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (index, rule) in settings.rules.iter().enumerate() {
        let at = format!("/rules/{index}");
        if rule.name.trim().is_empty() {
            problems.add(format!("{at}/name"), "a rule has a name: the audit tells it by that");
        } else if settings.rules.iter().take(index).any(|earlier| earlier.name == rule.name) {
            problems.add(format!("{at}/name"), format!("two rules are named `{}`", rule.name));
        }
        if rule.email_domain.is_empty() && rule.identifier.is_empty() && rule.application.is_empty() {
            problems.add(&at, "a rule without a condition always matches; make it the `default`");
        }
        rules.push(Rule {
            domains: compile_domains(problems, &format!("{at}/email-domain"), &rule.email_domain),
            identifiers: compile(problems, &format!("{at}/identifier"), &rule.identifier, Casing::Insensitive),
            applications: compile(problems, &format!("{at}/application"), &rule.application, Casing::Sensitive),
        });
        check_target(problems, &format!("{at}/target"), &rule.target);
    }
    rules
}

pub(crate) fn compile_areas(settings: &Settings, problems: &mut Problems) -> Vec<Area> {
    let mut areas = Vec::new();
    for (index, area) in settings.areas.iter().enumerate() {
        let at = format!("/areas/{index}");
        if area.name.trim().is_empty() {
            problems.add(format!("{at}/name"), "an area has a name");
        }
        if area.path.is_empty() {
            problems.add(format!("{at}/path"), "an area has at least one path");
        }
        let casing = if area.sso { Casing::Insensitive } else { Casing::Sensitive };
        areas.push(Area {
            paths: compile(problems, &format!("{at}/path"), &area.path, casing),
            applications: compile(problems, &format!("{at}/application"), &area.application, Casing::Sensitive),
            sso: area.sso,
        });
    }
    areas
}

pub(crate) fn check_delay(problems: &mut Problems, at: &str, delay: Option<u32>) {
    if delay.is_some_and(|delay| delay > DELAY_MAX) {
        problems.add(at, format!("nobody waits longer than {DELAY_MAX} s"));
    }
}

/// What a target says must belong to the place where it leads.
pub(crate) fn check_target(problems: &mut Problems, at: &str, target: &Target) {
    let leaves = matches!(target.to, To::Upstream | To::Auto | To::Choose);
    match (target.to, &target.upstream) {
        (To::Upstream, None) => problems.add(format!("{at}/upstream"), "name the upstream"),
        (To::Upstream, Some(id)) if id.is_empty() => problems.add(format!("{at}/upstream"), "name the upstream"),
        (To::Upstream, Some(_)) | (_, None) => {}
        (_, Some(_)) => problems.add(format!("{at}/upstream"), "goes with `to = \"upstream\"` only"),
    }
    if target.to != To::Choose && !target.upstreams.is_empty() {
        problems.add(format!("{at}/upstreams"), "goes with `to = \"choose\"` only");
    }
    for (key, is_there) in [
        ("delay-s", target.delay_s.is_some()),
        ("acr-values", !target.acr_values.is_empty()),
        ("max-age-s", target.max_age_s.is_some()),
    ] {
        if is_there && !leaves {
            problems.add(format!("{at}/{key}"), "goes with `to = \"upstream\"`, `\"auto\"` or `\"choose\"` only");
        }
    }
    for (index, acr) in target.acr_values.iter().enumerate() {
        problems.check_acr(format!("{at}/acr-values/{index}"), acr);
    }
    check_delay(problems, &format!("{at}/delay-s"), target.delay_s);
    if let Some(reason) = &target.reason {
        let is_kebab = !reason.is_empty()
            && !reason.starts_with('-')
            && !reason.ends_with('-')
            && reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if target.to != To::Refuse {
            problems.add(format!("{at}/reason"), "goes with `to = \"refuse\"` only");
        } else if !is_kebab {
            problems.add(format!("{at}/reason"), "expected kebab-case, such as `contract-ended`");
        }
    }
}
