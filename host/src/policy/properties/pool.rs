//! Values that occur in a policy's settings, manifest, cases and properties: with them,
//! generated inputs reach the branches that a random text never reaches.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{
    random::Random,
    shape::{Field, Shape, Topic},
};
use crate::policy::contract;

/// The values that occur.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    by_topic: BTreeMap<Topic, Vec<String>>,
    words: Vec<String>,
    domains: Vec<String>,
    numbers: Vec<i64>,
    claims: BTreeMap<String, Vec<Value>>,
    facts: Vec<String>,
}

/// What names stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Attributes,
    Claims,
    Facts,
}

/// What a pool is filled from.
#[derive(Debug, Default)]
pub(super) struct Filling {
    by_topic: BTreeMap<Topic, BTreeSet<String>>,
    words: BTreeSet<String>,
    numbers: BTreeSet<i64>,
    claims: BTreeMap<String, Vec<Value>>,
    facts: BTreeSet<String>,
}

/// Values that are taken where nothing occurs.
const fn ordinary(topic: Topic) -> &'static [&'static str] {
    match topic {
        Topic::Acr => &["urn:vestibule:second-factor", "mfa", "pwd", "otp"],
        Topic::Address => &["203.0.113.7", "2001:db8::1", "10.0.0.1"],
        Topic::Application => &["app", "wiki"],
        Topic::Email => &["ann@example.com", "bob@example.org", "Ann.Ash@Example.COM"],
        Topic::Group => &["users", "staff", "administrators", "a b"],
        Topic::Host => &["app.example"],
        Topic::Method => &["GET", "POST", "DELETE"],
        Topic::Other => &["ann", "s-1", "Zo\u{eb}", "x"],
        Topic::Path => &["/", "/admin", "/admin/users", "/board;x=y"],
        Topic::Protocol => &["oidc", "oauth2", "saml", "local"],
        Topic::Upstream => &["idp", "partner"],
        Topic::Url => &["https://app.example/bye", "https://idp.example"],
    }
}

impl Filling {
    /// Takes every text and number of settings, and the parts of lists within texts.
    pub(super) fn json(&mut self, json: &Json) {
        match json {
            Json::String(text) => self.word(text),
            Json::Number(number) => self.numbers.extend(number.as_i64()),
            Json::Array(items) => items.iter().for_each(|item| self.json(item)),
            Json::Object(object) => object.values().for_each(|value| self.json(value)),
            Json::Null | Json::Bool(_) => {}
        }
    }

    /// Takes a text, and the parts of the list that it may be.
    pub(super) fn word(&mut self, text: &str) {
        let parts = text.split([';', ',']).map(str::trim).chain([text]).filter(|part| !part.is_empty());
        // A pattern's own signs are no part of what it fits.
        let plain = parts.flat_map(|part| [part.to_owned(), part.replace("**", "x").replace('*', "x")]);
        self.words.extend(plain);
    }

    /// The names of claims and facts that reach the policy.
    pub(super) fn names(&mut self, claims: impl IntoIterator<Item = String>, facts: &[String]) {
        for name in claims {
            self.claims.entry(name).or_default();
        }
        self.facts.extend(facts.iter().cloned());
    }

    /// Takes what stands in a case's input.
    pub(super) fn input(&mut self, fields: &[Field], table: &Table) {
        for field in fields {
            let Some(value) = table.get(field.name) else { continue };
            match (field.shape, value) {
                (Shape::Record(inner), Value::Table(table)) => self.input(inner, table),
                (Shape::Text(topic) | Shape::Texts(topic) | Shape::SomeTexts(topic), value) => self.texts(topic, value),
                (Shape::Reported | Shape::Grants, value) => self.texts(Topic::Group, value),
                (Shape::Moment | Shape::Seconds, Value::Integer(number)) => drop(self.numbers.insert(*number)),
                (Shape::Claims, Value::Table(table)) if field.name == "facts" => {
                    self.facts.extend(table.keys().cloned());
                    table.values().for_each(|value| self.texts(Topic::Path, value));
                }
                (Shape::Claims, Value::Table(table)) => {
                    for (name, value) in table {
                        self.claims.entry(name.clone()).or_default().push(value.clone());
                    }
                }
                _ => {}
            }
        }
    }

    fn texts(&mut self, topic: Topic, value: &Value) {
        match value {
            Value::String(text) => drop(self.by_topic.entry(topic).or_default().insert(text.clone())),
            Value::Array(items) => items.iter().for_each(|item| self.texts(topic, item)),
            Value::Table(table) => table.values().for_each(|value| self.texts(topic, value)),
            _ => {}
        }
    }

    /// The pool.
    pub(super) fn pool(self) -> Pool {
        let words: Vec<String> = self.words.into_iter().collect();
        let emails = self.by_topic.get(&Topic::Email).into_iter().flatten().chain(&words);
        let domains: BTreeSet<String> = emails
            .map(|text| text.rsplit('@').next().unwrap_or_default().trim_start_matches('.').to_owned())
            .filter(|text| text.contains('.') && !text.contains(['/', ' ', ':', '*']))
            .collect();
        Pool {
            by_topic: self.by_topic.into_iter().map(|(topic, texts)| (topic, texts.into_iter().collect())).collect(),
            domains: domains.into_iter().collect(),
            words,
            numbers: self.numbers.into_iter().collect(),
            claims: self.claims,
            facts: self.facts.into_iter().collect(),
        }
    }
}

impl Pool {
    /// A text on `topic`: mostly one that occurs, sometimes one that nearly does.
    pub(super) fn text(&self, topic: Topic, random: &mut Random) -> String {
        if topic == Topic::Email && random.percent(40) {
            return self.email(random);
        }
        let known = self.by_topic.get(&topic).map(Vec::as_slice).unwrap_or_default();
        let ordinary = ordinary(topic);
        // Words of the settings are mostly about groups, upstreams, paths, values.
        let may_be_any = !matches!(topic, Topic::Email | Topic::Method | Topic::Protocol | Topic::Address);
        let picked = match random.below(10) {
            0..=4 => random.pick(known),
            5..=7 if may_be_any => random.pick(&self.words),
            _ => None,
        };
        let text = match picked {
            Some(text) => text.clone(),
            None => random.pick(ordinary).map(|text| (*text).to_owned()).unwrap_or_default(),
        };
        match topic {
            Topic::Path if !text.starts_with('/') => format!("/{text}"),
            Topic::Protocol | Topic::Method => text,
            _ if random.percent(10) => twisted(&text, random),
            _ => text,
        }
    }

    /// An address at a domain that occurs, or near one.
    fn email(&self, random: &mut Random) -> String {
        let local = random.pick(&["u", "ann", "root", "a.b+c"]).copied().unwrap_or("u");
        let domain = random.pick(&self.domains).map_or("example.com", String::as_str);
        match random.below(12) {
            0 => format!("{local}@{}", domain.to_uppercase()),
            1 => format!("{local}@sub.{domain}"),
            2 => format!("{local}@not{domain}"),
            3 => format!("{local}@{domain}.example.net"),
            4 => format!("{local}@example.net@{domain}"),
            5 => local.to_owned(),
            _ => format!("{local}@{domain}"),
        }
    }

    /// A moment: now, or so long before it as a number that occurs says, or nearly; or any of the
    /// two weeks before, so that every hour of every day of the week comes up.
    pub(super) fn moment(&self, random: &mut Random) -> i64 {
        const NOW: i64 = 1_700_000_000;
        let ago = match random.below(4) {
            0 => random.pick(&[0, 5, 60, 3600, 86_400, -60]).copied(),
            1 => i64::try_from(random.below(14 * 86_400)).ok(),
            _ => random.pick(&self.numbers).copied(),
        };
        let near = i64::try_from(random.below(3)).unwrap_or_default() - 1;
        match ago.unwrap_or_default() {
            moment if moment > NOW / 2 => moment + near,
            ago => NOW.saturating_sub(ago.saturating_add(near)).max(0),
        }
    }

    /// A length of time of at least a second.
    pub(super) fn seconds(&self, random: &mut Random) -> i64 {
        let near = i64::try_from(random.below(3)).unwrap_or_default() - 1;
        let known = random.pick(&self.numbers).copied().filter(|_| random.percent(60));
        let seconds = known.or_else(|| random.pick(&[1, 60, 3600, 28_800, 604_800]).copied()).unwrap_or(1);
        seconds.saturating_add(near).clamp(1, i64::from(u32::MAX))
    }

    /// Claims, or facts: each with a value that it has somewhere, or with any other.
    pub(super) fn claims(&self, of: Named, random: &mut Random) -> Table {
        let are_facts = of == Named::Facts;
        let names: Vec<&String> = match of {
            Named::Facts => self.facts.iter().collect(),
            Named::Claims => self.claims.keys().collect(),
            // Of what the host lets no policy set, no account has an attribute.
            Named::Attributes => self.claims.keys().filter(|name| contract::attribute_name(name).is_ok()).collect(),
        };
        let mut claims = Table::new();
        for name in names {
            if random.percent(50) {
                let known = self.claims.get(name).filter(|_| !are_facts).map(Vec::as_slice).unwrap_or_default();
                let value = random.pick(known).cloned().filter(|_| random.percent(70));
                claims.insert(name.clone(), value.unwrap_or_else(|| self.value(are_facts, random)));
            }
        }
        claims
    }

    fn value(&self, are_facts: bool, random: &mut Random) -> Value {
        let topic = if are_facts { Topic::Path } else { Topic::Group };
        match random.below(9) {
            0 => Value::Boolean(random.percent(50)),
            1 => Value::Integer(self.seconds(random)),
            2 => Value::Float(0.5),
            3 => Value::Array(Vec::new()),
            4 => Value::Array((0..=random.below(3)).map(|_| Value::String(self.text(topic, random))).collect()),
            5 => Value::Table(Table::from_iter([("x".to_owned(), Value::String(self.text(topic, random)))])),
            _ => Value::String(self.text(topic, random)),
        }
    }
}

/// A text that a careless comparison takes for the same.
fn twisted(text: &str, random: &mut Random) -> String {
    match random.below(4) {
        0 => text.to_uppercase(),
        1 => format!("{text} "),
        2 => format!("{text}-x"),
        _ => format!("x{text}"),
    }
}
