//! Personal values become keyed pseudonyms before they are written, wherever they stand in an entry.
//!
//! The same value has the same pseudonym in every entry, and the pseudonym of an address is an address, so that
//! a policy that compares decides as it did. A value of some length is replaced within other texts, too: in a
//! policy's details, in a page's address.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{
    config,
    decision::{Account, Claim, Decided, WayChosen},
    keys::KeyRing,
};

/// What a pseudonym of an address has in place of the domain, where that is to go, too (RFC 2606 §2).
const NO_DOMAIN: &str = "redacted.invalid";

/// Shorter values are replaced only where they are all of a text.
const WITHIN_CHARS_MIN: usize = 6;

/// What the host itself names: no person.
const OURS: [&str; 6] = ["application", "generation", "hook", "login", "policy", "tenant"];

/// Which names, and how.
pub(super) struct Redactor {
    names: BTreeSet<String>,
    keeps_domain: bool,
}

/// Values and their pseudonyms, the longest first.
type Known = Vec<(String, String)>;

impl Redactor {
    pub(super) fn new(config: &config::Recording) -> Self {
        Self { names: config.redact.clone(), keeps_domain: config.keeps_domain }
    }

    pub(super) const fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// `decided` as JSON, without what is to be hidden.
    pub(super) fn login(&self, keys: &KeyRing, decided: &Decided) -> Result<Value, serde_json::Error> {
        let mut values = BTreeSet::new();
        let asked = &decided.asked;
        self.of_context(&asked.context.address, &asked.context.facts, &mut values);
        let identity = &asked.identity;
        if self.hides("subject") {
            values.insert(identity.subject.clone());
        }
        if self.hides("email") {
            values.extend(identity.email.as_ref().map(|email| email.address.clone()));
        }
        for (_, value) in identity.claims.iter().filter(|(name, _)| self.hides(name)) {
            leaves(value, &mut values);
        }
        if self.hides("identifier") {
            values.extend(asked.routed.as_ref().and_then(|routed| routed.attempt.identifier.clone()));
        }
        let found = &decided.found;
        let linked = found.linked.iter().filter_map(|linked| linked.as_ref().ok());
        let matched = found.account.iter().filter_map(|search| search.found.as_ref().ok());
        for account in linked.chain(matched).flatten() {
            self.of_account(account, &mut values);
        }
        let mut tree = serde_json::to_value(decided)?;
        replace(&mut tree, &self.pseudonyms(keys, values), true);
        Ok(tree)
    }

    /// `chosen` as JSON, without what is to be hidden.
    pub(super) fn way(&self, keys: &KeyRing, chosen: &WayChosen) -> Result<Value, serde_json::Error> {
        let mut values = BTreeSet::new();
        self.of_context(&chosen.context.address, &chosen.context.facts, &mut values);
        if self.hides("identifier") {
            values.extend(chosen.attempt.identifier.clone());
        }
        let mut tree = serde_json::to_value(chosen)?;
        replace(&mut tree, &self.pseudonyms(keys, values), true);
        Ok(tree)
    }

    fn hides(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn of_context(&self, address: &Option<String>, facts: &[Claim], values: &mut BTreeSet<String>) {
        if self.hides("address") {
            values.extend(address.clone());
        }
        self.of_claims(facts, values);
    }

    fn of_account(&self, account: &Account, values: &mut BTreeSet<String>) {
        self.of_claims(&account.attributes, values);
    }

    fn of_claims(&self, claims: &[Claim], values: &mut BTreeSet<String>) {
        for claim in claims.iter().filter(|claim| self.hides(&claim.name)) {
            if let Ok(Value::Object(value)) = serde_json::to_value(&claim.value) {
                value.values().for_each(|value| leaves(value, values));
            }
        }
    }

    fn pseudonyms(&self, keys: &KeyRing, values: BTreeSet<String>) -> Known {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            // Nobody types an address in one spelling only.
            let pseudonym = keys.pseudonym(&value.to_lowercase());
            let pseudonym = match value.rsplit_once('@') {
                Some((_, domain)) if self.keeps_domain => format!("p-{pseudonym}@{domain}"),
                Some(_) => format!("p-{pseudonym}@{NO_DOMAIN}"),
                None => format!("p-{pseudonym}"),
            };
            known.insert(value, pseudonym);
        }
        let mut known: Known = known.into_iter().collect();
        known.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        known
    }
}

/// Every text and number in `value`.
fn leaves(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text.clone());
        }
        Value::Number(number) => {
            found.insert(number.to_string());
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(members) => members.values().for_each(|member| leaves(member, found)),
        Value::Bool(_) | Value::Null => {}
    }
}

/// Puts pseudonyms in the place of values, everywhere below `tree` but in the names that the host itself gives.
/// `is_ours` where the members' names are ours: a claim of such a name is whatever an upstream says.
fn replace(tree: &mut Value, known: &Known, is_ours: bool) {
    match tree {
        Value::String(text) => redact(text, known),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, known, is_ours)),
        Value::Object(members) => {
            if let Some(pseudonym) = hidden_number(members, known) {
                *members = Map::from_iter([("text".to_owned(), Value::String(pseudonym))]);
                return;
            }
            for (name, member) in members.iter_mut() {
                if !(is_ours && OURS.contains(&name.as_str())) {
                    replace(member, known, is_ours && name != "claims");
                }
            }
        }
        // A claim of numbers is hidden as one of texts.
        Value::Number(number) if !is_ours => {
            let text = number.to_string();
            if let Some((_, pseudonym)) = known.iter().find(|(value, _)| *value == text) {
                *tree = Value::String(pseudonym.clone());
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) => {}
    }
}

/// The pseudonym of `{"integer": …}` or `{"number": …}`, as an attribute or a fact has it.
fn hidden_number(members: &Map<String, Value>, known: &Known) -> Option<String> {
    let number = members.get("integer").or_else(|| members.get("number")).filter(|_| members.len() == 1)?;
    let text = number.as_number()?.to_string();
    known.iter().find(|(value, _)| *value == text).map(|(_, pseudonym)| pseudonym.clone())
}

fn redact(text: &mut String, known: &Known) {
    if let Some((_, pseudonym)) = known.iter().find(|(value, _)| value.eq_ignore_ascii_case(text)) {
        text.clone_from(pseudonym);
        return;
    }
    for (value, pseudonym) in known.iter().filter(|(value, _)| value.chars().count() >= WITHIN_CHARS_MIN) {
        if text.contains(value.as_str()) {
            *text = text.replace(value.as_str(), pseudonym);
        }
    }
}
