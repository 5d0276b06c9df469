//! Inputs from a recording: what was asked in real logins, in the form of a case's `input`, so that what breaks a
//! property is made smaller and told as any other input is.
//!
//! Each policy is asked as if it were the first of its chain. `access` and `logout` are not recorded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value as Json;
use toml::{Table, Value};

use super::case::toml_of;
use crate::{
    decision::{
        self, Account, Attempt, Claim, Conclusion, Context, Decided, Granted, Hook, MatchKey, Profile, Recipe,
        WayChosen,
    },
    identity::{GroupClaim, Identity},
};

/// So many inputs of a hook are kept, the newest ones: each is asked about for each property.
pub const CORPUS_INPUTS_MAX: usize = 10_000;

/// What a policy called so was set to; a recording has seldom more than a few.
const SETTINGS_MAX: usize = 8;

/// Inputs that were asked about in real logins, and the settings that the policies had then.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    inputs: BTreeMap<Hook, VecDeque<Table>>,
    settings: BTreeMap<String, Vec<Json>>,
    left_out: usize,
}

impl Corpus {
    /// Takes in what was asked in a login. `known` are the groups that the application knew, where it knew.
    pub fn login(&mut self, decided: &Decided, known: Option<&BTreeSet<String>>) {
        for (hook, input) in of_login(decided, known) {
            self.put(hook, input);
        }
    }

    /// Takes in a question of the way alone.
    pub fn way(&mut self, chosen: &WayChosen) {
        self.put(Hook::Route, route(&chosen.context, &chosen.attempt));
    }

    /// Takes in what the policies of a chain were set to.
    pub fn recipe(&mut self, recipe: &Recipe) {
        for ingredient in &recipe.policies {
            let Ok(settings) = serde_json::from_str::<Json>(&ingredient.settings) else { continue };
            let known = self.settings.entry(ingredient.policy.name.clone()).or_default();
            if !known.contains(&settings) && known.len() < SETTINGS_MAX {
                known.push(settings);
            }
        }
    }

    /// Is there nothing to ask?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// How many inputs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inputs.values().map(VecDeque::len).sum()
    }

    /// How many older ones were left out, since there are more than [`CORPUS_INPUTS_MAX`] of a hook.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// The inputs of these hooks, from the oldest.
    pub(super) fn inputs<'c>(&'c self, hooks: &'c [Hook]) -> impl Iterator<Item = (Hook, &'c Table)> {
        hooks.iter().flat_map(|hook| {
            let inputs = self.inputs.get(hook).into_iter().flatten();
            inputs.map(move |input| (*hook, input))
        })
    }

    /// What the policy called `name` was set to.
    pub(super) fn settings(&self, name: &str) -> &[Json] {
        self.settings.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn put(&mut self, hook: Hook, input: Table) {
        let inputs = self.inputs.entry(hook).or_default();
        inputs.push_back(input);
        if inputs.len() > CORPUS_INPUTS_MAX {
            inputs.pop_front();
            self.left_out += 1;
        }
    }
}

/// What each hook was asked, as far as the login got.
fn of_login(decided: &Decided, known: Option<&BTreeSet<String>>) -> Vec<(Hook, Table)> {
    let (asked, found) = (&decided.asked, &decided.found);
    let mut inputs = Vec::new();
    if let Some(routed) = &asked.routed {
        inputs.push((Hook::Route, route(&asked.context, &routed.attempt)));
    }
    // Where the host itself refused, nobody was asked.
    let Some(linked) = found.linked.as_ref().and_then(|linked| linked.as_ref().ok()) else { return inputs };
    let linked = linked.as_ref();
    let with = |account: Option<&Account>| {
        let mut table = Table::new();
        table.insert("context".to_owned(), Value::Table(context(&asked.context)));
        table.insert("identity".to_owned(), Value::Table(identity(&asked.identity)));
        if let Some(account) = account {
            table.insert("account".to_owned(), Value::Table(self::account(account)));
        }
        table
    };
    let got_to = |hook: Hook| decided.answers.iter().any(|answer| answer.hook == hook);
    inputs.push((Hook::Admit, with(linked)));
    let granted = match &decided.conclusion {
        Conclusion::Admitted(granted) => Some(&**granted),
        _ => None,
    };
    if granted.is_some() || got_to(Hook::Profile) || found.reached_groups {
        inputs.push((Hook::Profile, with(linked)));
    }
    // What a profile came to is only known of a yes.
    let Some(Granted { profile, groups, terms: _ }) = granted else { return inputs };
    let searched = found.account.as_ref().and_then(|search| search.found.as_ref().ok()).and_then(Option::as_ref);
    let account = linked.or(searched);
    let mut with_profile = with(account);
    with_profile.insert("profile".to_owned(), Value::Table(self::profile(profile)));
    let mut rules = Table::from_iter([("protected".to_owned(), texts(&found.protected))]);
    if let Some(known) = known {
        rules.insert("known".to_owned(), texts(known));
    }
    let mut of_groups = with_profile.clone();
    of_groups.insert("rules".to_owned(), Value::Table(rules));
    inputs.push((Hook::Groups, of_groups));
    let grants = Table::from_iter([("grants".to_owned(), texts(&groups.groups))]);
    with_profile.insert("plan".to_owned(), Value::Table(grants));
    inputs.push((Hook::Provision, with_profile));
    let mut of_session = with(None);
    of_session.insert("groups".to_owned(), texts(&groups.groups));
    inputs.push((Hook::Session, of_session));
    inputs
}

fn route(context: &Context, attempt: &Attempt) -> Table {
    let Attempt { identifier, upstreams, previous, failed } = attempt;
    let mut table = Table::new();
    put_text(&mut table, "identifier", identifier.as_ref());
    table.insert("upstreams".to_owned(), texts(upstreams));
    put_text(&mut table, "previous", previous.as_ref());
    table.insert("failed".to_owned(), texts(failed));
    Table::from_iter([
        ("context".to_owned(), Value::Table(self::context(context))),
        ("attempt".to_owned(), Value::Table(table)),
    ])
}

fn context(context: &Context) -> Table {
    let Context { login, at, tenant, application, address, facts } = context;
    let mut table = Table::from_iter([
        ("login".to_owned(), Value::String(login.clone())),
        ("at".to_owned(), moment(*at)),
        ("tenant".to_owned(), Value::String(tenant.clone())),
        ("application".to_owned(), Value::String(application.clone())),
        ("facts".to_owned(), Value::Table(claims(facts))),
    ]);
    put_text(&mut table, "address", address.as_ref());
    table
}

fn identity(identity: &Identity) -> Table {
    let Identity { upstream, protocol, issuer, subject, email, groups, auth_time, acr, amr, claims } = identity;
    let mut table = Table::from_iter([
        ("upstream".to_owned(), Value::String(upstream.clone())),
        ("issuer".to_owned(), Value::String(issuer.clone())),
        ("subject".to_owned(), Value::String(subject.clone())),
        ("amr".to_owned(), texts(amr)),
        (
            "claims".to_owned(),
            Value::Table(claims.iter().filter_map(|(name, value)| Some((name.clone(), toml_of(value)?))).collect()),
        ),
        (
            "groups".to_owned(),
            match groups {
                GroupClaim::Absent => Value::String("absent".to_owned()),
                GroupClaim::Overage => Value::String("overage".to_owned()),
                GroupClaim::Listed(groups) => texts(groups),
            },
        ),
    ]);
    table.extend(Value::try_from(protocol).ok().map(|protocol| ("protocol".to_owned(), protocol)));
    if let Some(email) = email {
        let email = Table::from_iter([
            ("address".to_owned(), Value::String(email.address.clone())),
            ("verified".to_owned(), Value::Boolean(email.verified)),
        ]);
        table.insert("email".to_owned(), Value::Table(email));
    }
    table.extend(auth_time.map(|at| ("auth-time".to_owned(), moment(at))));
    put_text(&mut table, "acr", acr.as_ref());
    table
}

fn account(account: &Account) -> Table {
    Table::from_iter([
        ("active".to_owned(), Value::Boolean(account.active)),
        ("groups".to_owned(), texts(&account.groups)),
        ("attributes".to_owned(), Value::Table(claims(&account.attributes))),
    ])
}

fn profile(profile: &Profile) -> Table {
    let Profile { match_key, username, email, given_name, family_name, display_name, attributes } = profile;
    let mut table = Table::from_iter([("attributes".to_owned(), Value::Table(claims(attributes)))]);
    let (key, value) = match match_key {
        Some(MatchKey::Email(email)) => ("email", Some(email)),
        Some(MatchKey::Username(username)) => ("username", Some(username)),
        None => ("", None),
    };
    if let Some(value) = value {
        let key = Table::from_iter([(key.to_owned(), Value::String(value.clone()))]);
        table.insert("match-key".to_owned(), Value::Table(key));
    }
    let named = [
        ("username", username),
        ("email", email),
        ("given-name", given_name),
        ("family-name", family_name),
        ("display-name", display_name),
    ];
    named.into_iter().for_each(|(name, text)| put_text(&mut table, name, text.as_ref()));
    table
}

fn claims(claims: &[Claim]) -> Table {
    let value = |value: &decision::Value| {
        Some(match value {
            decision::Value::Text(text) => Value::String(text.clone()),
            decision::Value::Texts(list) => texts(list),
            decision::Value::Integer(integer) => Value::Integer(*integer),
            decision::Value::Number(number) => Value::Float(*number),
            decision::Value::Boolean(truth) => Value::Boolean(*truth),
            decision::Value::Json(json) => toml_of(&serde_json::from_str::<Json>(json).ok()?)?,
        })
    };
    claims.iter().filter_map(|claim| Some((claim.name.clone(), value(&claim.value)?))).collect()
}

fn texts<'t>(texts: impl IntoIterator<Item = &'t String>) -> Value {
    Value::Array(texts.into_iter().cloned().map(Value::String).collect())
}

fn put_text(table: &mut Table, key: &str, text: Option<&String>) {
    table.extend(text.map(|text| (key.to_owned(), Value::String(text.clone()))));
}

/// A moment that TOML has: its whole numbers are signed.
fn moment(at: u64) -> Value {
    Value::Integer(i64::try_from(at).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
