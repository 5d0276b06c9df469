//! When a property is asked about: `when` and `unless`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{pool::Filling, random::Random, shape};
use crate::{
    decision::Hook,
    identity::{GroupClaim, Protocol},
    policy::{cases::Input, manifest::GrantPatterns},
};

/// What an input has: every key that is there must hold, and of a list one value will do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Condition {
    email_domain: Option<Vec<String>>,
    email_verified: Option<bool>,
    in_group: Option<Vec<String>>,
    granted: Option<Vec<String>>,
    has_account: Option<bool>,
    account_group: Option<Vec<String>>,
    upstream: Option<Vec<String>>,
    protocol: Option<Vec<Protocol>>,
    application: Option<Vec<String>>,
    acr: Option<Vec<String>>,
    claim: BTreeMap<String, Vec<String>>,
}

impl Condition {
    /// What is wrong with it, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        let lists = self.lists();
        if lists.is_empty()
            && self.claim.is_empty()
            && self.email_verified.is_none()
            && self.has_account.is_none()
            && self.protocol.is_none()
        {
            return Some("it names nothing".to_owned());
        }
        let no_protocol = self.protocol.as_ref().is_some_and(Vec::is_empty);
        if no_protocol || lists.iter().any(|list| list.is_empty()) || self.claim.values().any(Vec::is_empty) {
            return Some("a list without values holds never".to_owned());
        }
        let globs = [&self.in_group, &self.granted, &self.account_group];
        globs.into_iter().flatten().find_map(|globs| GrantPatterns::new(globs).err().map(|error| error.to_string()))
    }

    fn lists(&self) -> Vec<&Vec<String>> {
        [
            &self.email_domain,
            &self.in_group,
            &self.granted,
            &self.account_group,
            &self.upstream,
            &self.application,
            &self.acr,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The values that it names, so that inputs have them.
    pub(super) fn fill(&self, filling: &mut Filling) {
        self.lists().into_iter().flatten().chain(self.claim.values().flatten()).for_each(|word| filling.word(word));
        filling.names(self.claim.keys().cloned(), &[]);
    }

    /// Gives an input what it names, where a case can: most inputs would not have it by chance.
    pub(super) fn impose(&self, hook: Hook, input: &mut Table, random: &mut Random) {
        let fields = shape::of(hook);
        let mut set = |record: &str, key: &str, value: Value| {
            if fields.iter().any(|field| field.name == record)
                && let Some(table) = input.entry(record).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
            {
                table.insert(key.to_owned(), value);
            }
        };
        let mut one = |of: &Option<Vec<String>>| {
            // A pattern's own sign stands for a text.
            of.as_ref().and_then(|of| random.pick(of)).map(|text| Value::String(text.replace('*', "x")))
        };
        let list = |text: Value| Value::Array(vec![text]);
        let texts = [
            ("identity", "upstream", one(&self.upstream)),
            ("identity", "acr", one(&self.acr)),
            ("context", "application", one(&self.application)),
        ];
        let lists = [("identity", "groups", one(&self.in_group)), ("account", "groups", one(&self.account_group))];
        let protocol = self.protocol.as_ref().and_then(|of| Value::try_from(of.first()?).ok());
        let texts = texts.into_iter().chain([("identity", "protocol", protocol)]);
        let lists = lists.into_iter().map(|(record, key, text)| (record, key, text.map(list)));
        for (record, key, value) in texts.chain(lists) {
            value.into_iter().for_each(|value| set(record, key, value));
        }
        if let Some(domain) = one(&self.email_domain) {
            let address = Value::String(format!("u@{}", domain.as_str().unwrap_or_default()));
            let verified = Value::Boolean(self.email_verified.unwrap_or(true));
            let email = [("address".to_owned(), address), ("verified".to_owned(), verified)];
            set("identity", "email", Value::Table(Table::from_iter(email)));
        }
    }

    /// Does `input` have it?
    pub(super) fn holds(&self, input: &Input) -> bool {
        let identity = &input.identity;
        let is_one = |of: &Option<Vec<String>>, value: Option<&str>| match of {
            None => true,
            Some(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
        };
        let domain = identity.email.as_ref().and_then(|email| domain(&email.address));
        let domains =
            self.email_domain.as_ref().map(|domains| domains.iter().map(|d| d.to_ascii_lowercase()).collect());
        let verified = identity.email.as_ref().is_some_and(|email| email.verified);
        let reported = match &identity.groups {
            GroupClaim::Listed(groups) => groups.as_slice(),
            _ => &[],
        };
        let granted: Vec<String> = input
            .plan
            .grants
            .iter()
            .chain(&input.plan_so_far.grants)
            .map(|grant| grant.group.clone())
            .chain(input.groups.iter().cloned())
            .collect();
        let account = input.account.as_ref();
        is_one(&domains, domain.as_deref())
            && self.email_verified.is_none_or(|wanted| wanted == verified)
            && covers(self.in_group.as_ref(), reported)
            && covers(self.granted.as_ref(), &granted)
            && self.has_account.is_none_or(|wanted| wanted == account.is_some())
            && covers(self.account_group.as_ref(), account.map(|account| account.groups.as_slice()).unwrap_or_default())
            && is_one(&self.upstream, Some(&identity.upstream))
            && self.protocol.as_ref().is_none_or(|one_of| one_of.contains(&identity.protocol))
            && is_one(&self.application, Some(&input.context.application))
            && is_one(&self.acr, identity.acr.as_deref())
            && self.claim.iter().all(|(name, values)| has(identity.claims.get(name), values))
    }
}

/// The one domain of an address, in lower case: an address that can be read in two ways has none.
fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.split_once('@')?;
    (!domain.contains('@')).then(|| domain.to_ascii_lowercase())
}

fn covers(globs: Option<&Vec<String>>, names: &[String]) -> bool {
    let Some(globs) = globs else { return true };
    GrantPatterns::new(globs).is_ok_and(|patterns| names.iter().any(|name| patterns.cover(name)))
}

fn has(claim: Option<&Json>, values: &[String]) -> bool {
    let is_one = |text: &Json| {
        let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
        values.contains(&text)
    };
    match claim {
        None => false,
        Some(Json::Array(items)) => items.iter().any(is_one),
        Some(other) => is_one(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cases::InputForm;

    fn holds(condition: &str, input: &str) -> bool {
        let condition: Condition = toml::from_str(condition).unwrap();
        assert_eq!(condition.problem(), None);
        let form: InputForm = toml::from_str(input).unwrap();
        condition.holds(&form.build(Hook::Groups).unwrap())
    }

    #[test]
    fn every_key_must_hold_and_of_a_list_one_value_will_do() {
        let ann = "account.groups = [\"old\"]\nso-far.grants = [\"given\"]\n[identity]\nupstream = \"corp\"\nacr = \"mfa\"\n\
                   email = { address = \"u@A.com\", verified = true }\ngroups = [\"dev-1\"]\n\
                   claims = { dept = [\"it\", \"hr\"], level = 3 }\n";
        for condition in [
            "email-domain = [\"x\", \"a.COM\"]",
            "email-verified = true",
            "in-group = [\"dev-*\"]\nupstream = [\"corp\"]",
            "granted = [\"given\"]\naccount-group = [\"old\"]\nhas-account = true",
            "protocol = [\"oidc\"]\napplication = [\"app\"]\nacr = [\"mfa\"]",
            "claim = { dept = [\"hr\"], level = [\"3\"] }",
        ] {
            assert!(holds(condition, ann), "{condition}");
        }
        for condition in [
            "email-domain = [\"b.com\"]",
            "email-verified = false",
            "in-group = [\"dev-*\"]\nupstream = [\"other\"]",
            "granted = [\"other\"]",
            "has-account = false",
            "account-group = [\"new\"]",
            "protocol = [\"saml\"]",
            "application = [\"wiki\"]",
            "acr = [\"pwd\"]",
            "claim.dept = [\"i\"]",
            "claim.none = [\"x\"]",
        ] {
            assert!(!holds(condition, ann), "{condition}");
        }
    }

    #[test]
    fn what_is_imposed_holds_then() {
        for condition in [
            "email-domain = [\"a.COM\"]\nemail-verified = true",
            "in-group = [\"dev-*\"]\naccount-group = [\"old\"]\nhas-account = true",
            "upstream = [\"corp\"]\nprotocol = [\"saml\"]\napplication = [\"wiki\"]\nacr = [\"mfa\"]",
        ] {
            let condition: Condition = toml::from_str(condition).unwrap();
            let mut input: Table = toml::from_str("identity = { subject = \"ann\", groups = \"absent\" }").unwrap();
            condition.impose(Hook::Groups, &mut input, &mut Random::new(0, 0));
            let form: InputForm = Value::Table(input.clone()).try_into().unwrap();
            assert!(condition.holds(&form.build(Hook::Groups).unwrap()), "{input}");
            assert_eq!(input["identity"]["subject"].as_str(), Some("ann"));
        }
        let mut input = Table::new();
        let condition: Condition = toml::from_str("account-group = [\"old\"]").unwrap();
        condition.impose(Hook::Access, &mut input, &mut Random::new(0, 0));
        assert_eq!(input, Table::new(), "the hook gets no account");
    }

    #[test]
    fn an_address_that_can_be_read_in_two_ways_has_no_domain() {
        for address in ["u@b.com@a.com", "u", "a.com", ""] {
            assert!(
                !holds("email-domain = [\"a.com\"]", &format!("identity.email.address = {address:?}")),
                "{address}"
            );
        }
    }

    #[test]
    fn refuses_what_holds_always_or_never() {
        for text in ["", "in-group = []", "claim.x = []", "in-group = [\"[\"]"] {
            let condition: Condition = toml::from_str(text).unwrap();
            assert!(condition.problem().is_some(), "{text}");
        }
        assert!(toml::from_str::<Condition>("email-domian = [\"a\"]").is_err());
    }
}
