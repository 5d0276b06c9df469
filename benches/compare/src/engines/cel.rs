//! CEL.

use std::collections::{BTreeSet, HashMap};

use cel::{
    Context, Program, Value,
    common::{
        types::{CelBool, CelList, CelString},
        value::Val,
    },
};
use vestibule::identity::Identity;

use super::{Decide, rule};
use crate::login::{DEFAULT, DOMAINS, Decision, groups, rows};

/// Two expressions, compiled once. What stays the same is in a context that is kept; a question has one within it, whose
/// texts are lent, not copied. The language has no loops but over what it is given, and the crate has no limits.
pub struct Cel {
    allow: Program,
    groups: Program,
    root: Context<'static, 'static>,
}

impl Cel {
    /// With the rules and the data.
    #[must_use]
    pub fn new() -> Self {
        let index: HashMap<String, String> = rows().into_iter().collect();
        let domains: Vec<String> = DOMAINS.iter().map(|domain| (*domain).to_owned()).collect();
        let mut root = Context::default();
        root.add_variable_from_value("rows", index);
        root.add_variable_from_value("domains", domains);
        Self {
            allow: Program::compile(rule("allow.cel").trim()).expect("it compiles"),
            groups: Program::compile(rule("groups.cel").trim()).expect("it compiles"),
            root,
        }
    }
}

impl Default for Cel {
    fn default() -> Self {
        Self::new()
    }
}

impl Decide for Cel {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let email = identity.email.as_ref()?;
        let root: &Context<'_, '_> = &self.root;
        let mut context = root.new_inner_scope();
        context.add_variable_as_val("address", Box::new(CelString::from(email.address.as_str())));
        context.add_variable_as_val("verified", Box::new(CelBool::from(email.verified)));
        if self.allow.execute(&context).expect("it decides") != Value::Bool(true) {
            return None;
        }
        let names: Vec<Box<dyn Val + '_>> = groups(identity)
            .iter()
            .map(|group| Box::new(CelString::from(group.as_str())) as Box<dyn Val + '_>)
            .collect();
        context.add_variable_as_val("groups", Box::new(CelList::from(names)));
        let Value::List(granted) = self.groups.execute(&context).expect("it decides") else { panic!("no list") };
        let mut granted: BTreeSet<String> = granted
            .iter()
            .map(|group| match group {
                Value::String(name) => name.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        // The language has no way to say it within one expression without mapping twice.
        if granted.is_empty() {
            granted.insert(DEFAULT.to_owned());
        }
        Some(granted)
    }
}
