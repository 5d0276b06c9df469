//! What of an event is written, by class of claim.
//!
//! - *Credentials* (tokens, codes, passwords, cookies) are never written.
//! - *Plain* values are: how, where and by whom the subject was authenticated, group names,
//!   policies' codes, terms, addresses of the network.
//! - *Personal data* is everything else: it becomes a keyed pseudonym, `pseudonym:…`; an
//!   email address keeps its domain. The same value has the same pseudonym in every line, so
//!   that whoever knows a value finds it.
//! - *Free text* (a policy's details and log lines) is written without the personal values
//!   of the event and without anything that looks like an email address.
//!
//! A name that this module does not know is personal data: forgetting one costs legibility,
//! not privacy. With `personal-data = true` only the credentials are left out.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Event, Kind, Pseudonym};
use crate::{
    decision::{Answer, Denial, Recorded, Trace},
    identity::Identity,
};

/// Redacts events.
pub(super) struct Redactor {
    pseudonym: Pseudonym,
    personal_data: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Credential,
    FreeText,
    Personal,
    Plain,
    /// A URL: without its query, which may carry anything.
    Place,
}

/// Never written, whatever the configuration says.
const CREDENTIALS: [&str; 29] = [
    "accesstoken",
    "apikey",
    "assertion",
    "athash",
    "authorization",
    "chash",
    "clientassertion",
    "clientsecret",
    "code",
    "codeverifier",
    "cookie",
    "csrftoken",
    "idtoken",
    "idtokenhint",
    "jwt",
    "nonce",
    "passphrase",
    "password",
    "proxyauthorization",
    "pwd",
    "refreshtoken",
    "samlrequest",
    "samlresponse",
    "secret",
    "setcookie",
    "shash",
    "sid",
    "token",
    "totp",
];

/// Claims that tell nothing of a person.
const PLAIN_CLAIMS: [&str; 23] = [
    "acr",
    "amr",
    "aud",
    "authtime",
    "azp",
    "emailverified",
    "exp",
    "hd",
    "iat",
    "idp",
    "idtyp",
    "iss",
    "nbf",
    "requesthost",
    "requestmethod",
    "scope",
    "scp",
    "sessionremembered",
    "tid",
    "tokenuse",
    "updatedat",
    "ver",
    "xmsedov",
];

/// Fields of our own types that tell nothing of a person.
const PLAIN_FIELDS: [&str; 28] = [
    "acr",
    "acrvalues",
    "added",
    "amr",
    "application",
    "attempt",
    "choose",
    "client",
    "dropped",
    "exclude",
    "failed",
    "group",
    "groups",
    "host",
    "issuer",
    "listed",
    "method",
    "missingclaim",
    "badclaim",
    "policy",
    "previous",
    "protocol",
    "removed",
    "tenant",
    "updateattributes",
    "upstream",
    "upstreams",
    "warnings",
];

/// Fields of our own types; an upstream's claim of such a name is whatever it says.
const FREE_TEXT: [&str; 4] = ["detail", "log", "message", "warning"];

/// Fields of our own types.
const PLACES: [&str; 2] = ["path", "target"];

/// Facts of a request.
const PLACES_OF_REQUESTS: [&str; 2] = ["requestpath", "requesttarget"];

/// Fewer characters are no trace of a person in a free text.
const KNOWN_CHARS_MIN: usize = 3;

impl Redactor {
    pub(super) const fn new(pseudonym: Pseudonym, personal_data: bool) -> Self {
        Self { pseudonym, personal_data }
    }

    /// The event as it is written.
    pub(super) fn event(&self, event: &Event) -> Event {
        let known = Known::of(event);
        Event {
            kind: event.kind,
            level: event.level,
            granted: event.granted,
            request: event.request.clone(),
            login: event.login.clone(),
            tenant: event.tenant.clone(),
            application: event.application.clone(),
            upstream: event.upstream.clone(),
            address: event.address.clone(),
            session: event.session.clone(),
            identity: event.identity.as_ref().map(|identity| self.identity(identity, &known)),
            input: event.input.as_ref().map(|input| self.tree(input, &known)),
            outcome: event.outcome.as_ref().map(|outcome| match event.kind {
                // These are about files and settings, and about nobody.
                Kind::CanaryEnded | Kind::GenerationSwapped | Kind::GenerationRefused | Kind::GenerationRolledBack => {
                    outcome.clone()
                }
                // A direction may be no more than its name.
                Kind::Route => self.value(Class::Plain, outcome, &known, false),
                _ => self.tree(outcome, &known),
            }),
            denial: event.denial.as_ref().map(|denial| self.denial(denial, &known)),
            trace: event.trace.as_ref().map(|trace| self.trace(trace, &known)),
            micros: event.micros,
        }
    }

    fn identity(&self, identity: &Identity, known: &Known) -> Identity {
        let claims = identity.claims.iter().filter(|(name, _)| class(name, true) != Class::Credential);
        Identity {
            subject: self.personal(&identity.subject),
            email: identity.email.as_ref().map(|email| crate::identity::Email {
                address: self.personal(&email.address),
                verified: email.verified,
            }),
            claims: claims
                .map(|(name, value)| (name.clone(), self.value(class(name, true), value, known, true)))
                .collect(),
            ..identity.clone()
        }
    }

    fn denial(&self, denial: &Denial, known: &Known) -> Denial {
        let mut denial = denial.clone();
        denial.reason.detail = self.free_text(&denial.reason.detail, known);
        denial
    }

    fn trace(&self, trace: &Trace, known: &Known) -> Trace {
        let answer = |answer: &Answer| Answer {
            answer: Recorded::of(&self.value(Class::Plain, &answer.answer.tree(), known, false)),
            log: answer.log.iter().map(|line| self.free_text(line, known)).collect(),
            ..answer.clone()
        };
        Trace { answers: trace.answers.iter().map(answer).collect(), ..trace.clone() }
    }

    fn tree(&self, value: &Value, known: &Known) -> Value {
        self.value(Class::Personal, value, known, false)
    }

    /// `value` under a name of `class`; `free` where the names are an upstream's or a
    /// policy's, so that a number may be a telephone's.
    fn value(&self, class: Class, value: &Value, known: &Known, free: bool) -> Value {
        match value {
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.value(class, item, known, free)).collect())
            }
            Value::Object(members) => Value::Object(self.members(class, members, known, free)),
            Value::String(text) => Value::String(self.text(class, text, known)),
            Value::Number(number) if free && class == Class::Personal && !self.personal_data => {
                Value::String(self.personal(&number.to_string()))
            }
            Value::Bool(_) | Value::Null | Value::Number(_) => value.clone(),
        }
    }

    fn members(&self, outer: Class, members: &Map<String, Value>, known: &Known, free: bool) -> Map<String, Value> {
        // `{name, value}` is a claim of a policy, a fact or an attribute: its name decides.
        if let (Some(Value::String(name)), Some(value), 2) = (members.get("name"), members.get("value"), members.len())
        {
            let own = class(name, true);
            let value = if own == Class::Credential { Value::Null } else { self.value(own, value, known, true) };
            return Map::from_iter([("name".to_owned(), Value::String(name.clone())), ("value".to_owned(), value)]);
        }
        // A reason's code is a policy's word, not an authorization code.
        let is_reason = !free
            && members.contains_key("code")
            && members.keys().all(|key| matches!(key.as_str(), "code" | "detail"));
        let mut kept = Map::new();
        for (name, value) in members {
            let class = match class(name, free) {
                _ if is_reason && name == "code" => Class::Plain,
                Class::Credential => continue,
                // The variants of a value (`text`, `texts`, …) are what their claim is.
                Class::Personal if is_variant(name) => outer,
                own => own,
            };
            // Facts by name, as the record of a login has them.
            let are_facts = !free && name == "facts";
            kept.insert(name.clone(), self.value(class, value, known, free || are_facts));
        }
        kept
    }

    fn text(&self, class: Class, text: &str, known: &Known) -> String {
        match class {
            Class::Credential => String::new(),
            Class::FreeText => self.free_text(text, known),
            Class::Personal => self.personal(text),
            Class::Plain => text.to_owned(),
            Class::Place => self.free_text(text.split(['?', '#']).next().unwrap_or_default(), known),
        }
    }

    /// A pseudonym; an email address keeps its domain.
    fn personal(&self, text: &str) -> String {
        if self.personal_data || text.is_empty() {
            return text.to_owned();
        }
        // Nobody types an address in one spelling only.
        let pseudonym = (self.pseudonym)(&text.to_lowercase());
        match text.rsplit_once('@') {
            Some((local, domain)) if !local.is_empty() && is_domain(domain) => {
                format!("pseudonym:{pseudonym}@{}", domain.to_lowercase())
            }
            _ => format!("pseudonym:{pseudonym}"),
        }
    }

    /// A text in a policy's own words, without the persons in it.
    fn free_text(&self, text: &str, known: &Known) -> String {
        if self.personal_data {
            return text.to_owned();
        }
        let mut text = text.to_owned();
        for value in &known.0 {
            text = replace(&text, value, &self.personal(value));
        }
        if !text.contains('@') {
            return text;
        }
        let outside = |c: char| {
            c.is_whitespace()
                || matches!(c, '"' | '\'' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | '`' | '=' | ':' | '/')
        };
        let mut redacted = String::new();
        for part in text.split_inclusive(outside) {
            let word = part.trim_end_matches(outside);
            let (name, end) = (word.trim_end_matches('.'), part.get(word.len()..).unwrap_or_default());
            let is_address = name.contains('@') && !redacted.ends_with("pseudonym:");
            redacted.push_str(&if is_address { self.personal(name) } else { name.to_owned() });
            redacted.push_str(word.get(name.len()..).unwrap_or_default());
            redacted.push_str(end);
        }
        redacted
    }
}

/// The personal values of an event, the longest first.
struct Known(Vec<String>);

impl Known {
    fn of(event: &Event) -> Self {
        let mut values = BTreeSet::new();
        if let Some(identity) = &event.identity {
            values.insert(identity.subject.clone());
            values.extend(identity.email.as_ref().map(|email| email.address.clone()));
            for (name, value) in &identity.claims {
                if class(name, true) == Class::Personal {
                    collect(value, &mut values);
                }
            }
        }
        // A short value, or one that is a word of ours, would eat holes into every text.
        let mut values: Vec<String> = values
            .into_iter()
            .filter(|value| value.chars().count() >= KNOWN_CHARS_MIN && value != "true" && value != "false")
            .collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }
}

/// `text` with `value`, in whatever case, replaced.
fn replace(text: &str, value: &str, replacement: &str) -> String {
    let (lower, wanted) = (text.to_lowercase(), value.to_lowercase());
    if lower.len() != text.len() {
        // Some letter has another length in lower case: positions would not fit.
        return text.replace(value, replacement);
    }
    let mut replaced = String::new();
    let mut start = 0;
    for (index, found) in lower.match_indices(&wanted) {
        replaced.push_str(text.get(start..index).unwrap_or_default());
        replaced.push_str(replacement);
        start = index + found.len();
    }
    replaced.push_str(text.get(start..).unwrap_or_default());
    replaced
}

fn collect(value: &Value, values: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            values.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, values)),
        Value::Object(members) => members.values().for_each(|member| collect(member, values)),
        Value::Bool(_) | Value::Null | Value::Number(_) => {}
    }
}

/// The class of a name: an upstream's or a policy's (`free`), or one of our own types.
fn class(name: &str, free: bool) -> Class {
    let name = name.to_lowercase();
    let name = name.strip_prefix("header.").unwrap_or(&name);
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let is = |names: &[&str]| names.contains(&plain.as_str());
    if is(&CREDENTIALS) || ["token", "secret", "password", "cookie"].iter().any(|end| plain.ends_with(end)) {
        Class::Credential
    } else if is(if free { &PLAIN_CLAIMS } else { &PLAIN_FIELDS })
        || plain.ends_with("groups")
        || plain.ends_with("roles")
    {
        Class::Plain
    } else if !free && is(&FREE_TEXT) {
        Class::FreeText
    } else if is(if free { &PLACES_OF_REQUESTS } else { &PLACES }) {
        Class::Place
    } else {
        Class::Personal
    }
}

/// The variants of [`crate::decision::Value`].
fn is_variant(name: &str) -> bool {
    matches!(name, "text" | "texts" | "integer" | "number" | "boolean" | "json")
}

fn is_domain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-'))
}
