//! Cedar.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::{
    Authorizer, Context, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression as Expression,
};
use vestibule::identity::Identity;

use super::Decide;
use crate::login::{DEFAULT, DOMAINS, Decision, groups, rows};

/// One policy for each row, and what is granted are the policies that permit. The language has no loops, and the crate
/// has no limits.
pub struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    groups: HashMap<String, String>,
    entities: Entities,
    user: EntityTypeName,
    action: EntityUid,
    resource: EntityUid,
}

impl Cedar {
    /// With the rules and the data.
    #[must_use]
    pub fn new() -> Self {
        let domains: Vec<String> = DOMAINS
            .iter()
            .map(|domain| format!("context.address like \"*@{domain}\" || context.address like \"*.{domain}\""))
            .collect();
        let mut text = format!(
            "@id(\"domains\") forbid (principal, action, resource) unless {{ context.verified && ({}) }};\n\
             @id(\"anybody\") permit (principal, action, resource);\n",
            domains.join(" || ")
        );
        for (from, group) in rows() {
            text.push_str(&format!(
                "@id(\"{group}\") permit (principal, action, resource) when {{ context.groups.contains(\"{from}\") }};\n"
            ));
        }
        let policies: PolicySet = text.parse().expect("it compiles");
        let groups = policies
            .policies()
            .map(|policy| (policy.id().to_string(), policy.annotation("id").expect("a name").to_owned()))
            .collect();
        let uid =
            |kind: &str, id: &str| EntityUid::from_type_name_and_id(kind.parse().expect("a type"), EntityId::new(id));
        Self {
            authorizer: Authorizer::new(),
            policies,
            groups,
            entities: Entities::empty(),
            user: "User".parse().expect("a type"),
            action: uid("Action", "login"),
            resource: uid("Application", "wiki"),
        }
    }
}

impl Default for Cedar {
    fn default() -> Self {
        Self::new()
    }
}

impl Decide for Cedar {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let email = identity.email.as_ref()?;
        let context = Context::from_pairs([
            ("address".to_owned(), Expression::new_string(email.address.clone())),
            ("verified".to_owned(), Expression::new_bool(email.verified)),
            (
                "groups".to_owned(),
                Expression::new_set(groups(identity).iter().map(|group| Expression::new_string(group.clone()))),
            ),
        ])
        .expect("a context");
        let user = EntityUid::from_type_name_and_id(self.user.clone(), EntityId::new(&identity.subject));
        let request = Request::new(user, self.action.clone(), self.resource.clone(), context, None).expect("a request");
        let response = self.authorizer.is_authorized(&request, &self.policies, &self.entities);
        if response.decision() != cedar_policy::Decision::Allow {
            return None;
        }
        let mut granted: BTreeSet<String> = response
            .diagnostics()
            .reason()
            .filter_map(|policy| self.groups.get(AsRef::<str>::as_ref(policy)))
            .filter(|name| *name != "anybody")
            .cloned()
            .collect();
        if granted.is_empty() {
            granted.insert(DEFAULT.to_owned());
        }
        Some(granted)
    }
}
