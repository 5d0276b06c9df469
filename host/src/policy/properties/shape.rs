//! What each hook is asked, in the form of a case's `input`: the contract's records, field by
//! field. A test holds it to `wit/policy.wit`.

use crate::decision::Hook;

/// What may stand in a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A text.
    Text(Topic),
    /// Texts: none up to four.
    Texts(Topic),
    /// Texts: at least one.
    SomeTexts(Topic),
    /// True or false.
    Flag,
    /// A moment, in seconds since 1970-01-01 UTC.
    Moment,
    /// A length of time, in seconds: at least one.
    Seconds,
    /// Names and values of any of the contract's types.
    Claims,
    /// The groups that an upstream reports: a list, `absent` or `overage`.
    Reported,
    /// A plan's grants.
    Grants,
    /// `{ username = … }` or `{ email = … }`.
    MatchKey,
    /// A record.
    Record(&'static [Field]),
}

/// What a text is about: values that occur are taken from texts on the same topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Acr,
    Address,
    Application,
    Email,
    Group,
    Host,
    Method,
    Other,
    Path,
    Protocol,
    Upstream,
    Url,
}

/// A field of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// Is the record nothing without it?
    pub(super) needed: bool,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, needed: false }
}

const fn needed(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, needed: true }
}

const CONTEXT: Field = field(
    "context",
    Shape::Record(&[
        field("login", Shape::Text(Topic::Other)),
        field("at", Shape::Moment),
        field("tenant", Shape::Text(Topic::Other)),
        field("application", Shape::Text(Topic::Application)),
        field("address", Shape::Text(Topic::Address)),
        field("facts", Shape::Claims),
    ]),
);

const IDENTITY: Field = field(
    "identity",
    Shape::Record(&[
        field("upstream", Shape::Text(Topic::Upstream)),
        field("protocol", Shape::Text(Topic::Protocol)),
        field("issuer", Shape::Text(Topic::Url)),
        field("subject", Shape::Text(Topic::Other)),
        field("email", Shape::Record(&[needed("address", Shape::Text(Topic::Email)), field("verified", Shape::Flag)])),
        field("groups", Shape::Reported),
        field("auth-time", Shape::Moment),
        field("acr", Shape::Text(Topic::Acr)),
        field("amr", Shape::Texts(Topic::Acr)),
        field("claims", Shape::Claims),
    ]),
);

const ACCOUNT: Field = field(
    "account",
    Shape::Record(&[
        field("active", Shape::Flag),
        field("groups", Shape::Texts(Topic::Group)),
        field("attributes", Shape::Claims),
    ]),
);

const PROFILE: &[Field] = &[
    field("match-key", Shape::MatchKey),
    field("username", Shape::Text(Topic::Other)),
    field("email", Shape::Text(Topic::Email)),
    field("given-name", Shape::Text(Topic::Other)),
    field("family-name", Shape::Text(Topic::Other)),
    field("display-name", Shape::Text(Topic::Other)),
    field("attributes", Shape::Claims),
];

const PLAN: &[Field] = &[
    field("grants", Shape::Grants),
    field("replace", Shape::Flag),
    field("create-missing", Shape::Flag),
    field("exclude", Shape::Texts(Topic::Group)),
    field("leave", Shape::Flag),
];

const TERMS: &[Field] =
    &[field("lifetime", Shape::Seconds), field("idle", Shape::Seconds), field("remember", Shape::Flag)];

const ATTEMPT: Field = field(
    "attempt",
    Shape::Record(&[
        field("identifier", Shape::Text(Topic::Email)),
        needed("upstreams", Shape::SomeTexts(Topic::Upstream)),
        field("previous", Shape::Text(Topic::Upstream)),
        field("failed", Shape::Texts(Topic::Upstream)),
    ]),
);

const RULES: Field = field(
    "rules",
    Shape::Record(&[field("protected", Shape::Texts(Topic::Group)), field("known", Shape::Texts(Topic::Group))]),
);

const REQUEST: Field = field(
    "request",
    Shape::Record(&[
        field("method", Shape::Text(Topic::Method)),
        field("host", Shape::Text(Topic::Host)),
        field("path", Shape::Text(Topic::Path)),
    ]),
);

const GROUPS: Field = field("groups", Shape::Texts(Topic::Group));

const GRANTS: &[Field] = &[field("grants", Shape::Grants)];

/// What `hook` is asked.
pub(super) const fn of(hook: Hook) -> &'static [Field] {
    match hook {
        Hook::Route => const { &[CONTEXT, ATTEMPT] },
        Hook::Admit => const { &[CONTEXT, IDENTITY, ACCOUNT] },
        Hook::Profile => const { &[CONTEXT, IDENTITY, ACCOUNT, field("so-far", Shape::Record(PROFILE))] },
        Hook::Groups => {
            const {
                &[
                    CONTEXT,
                    IDENTITY,
                    ACCOUNT,
                    field("profile", Shape::Record(PROFILE)),
                    field("so-far", Shape::Record(PLAN)),
                    RULES,
                ]
            }
        }
        // Of the plan, the policy gets the grants.
        Hook::Provision => {
            const {
                &[
                    CONTEXT,
                    IDENTITY,
                    ACCOUNT,
                    field("profile", Shape::Record(PROFILE)),
                    field("plan", Shape::Record(GRANTS)),
                ]
            }
        }
        Hook::Session => const { &[CONTEXT, IDENTITY, GROUPS, field("so-far", Shape::Record(TERMS))] },
        Hook::Access => const { &[CONTEXT, IDENTITY, GROUPS, REQUEST] },
        Hook::Logout => const { &[CONTEXT, IDENTITY, field("requested", Shape::Text(Topic::Url))] },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wit_parser::{Resolve, Type, TypeDefKind};

    use super::*;

    /// The fields of a record of the contract; through `option`, and through names.
    fn record(resolve: &Resolve, of: &Type) -> Option<BTreeSet<String>> {
        let Type::Id(id) = of else { return None };
        match &resolve.types[*id].kind {
            TypeDefKind::Record(record) => Some(record.fields.iter().map(|field| field.name.clone()).collect()),
            TypeDefKind::Type(inner) | TypeDefKind::Option(inner) => record(resolve, inner),
            _ => None,
        }
    }

    #[test]
    fn has_every_parameter_and_every_field_that_the_contract_has() {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("policy.wit", include_str!("../../../../wit/policy.wit")).unwrap();
        let mut records = 0;
        for hook in Hook::ALL {
            let interface = resolve.packages[package].interfaces[hook.name()];
            let function = resolve.interfaces[interface].functions.values().next().unwrap();
            let mut expected = BTreeSet::new();
            for param in &function.params {
                // What `provision` gets of a plan is written as the plan's grants.
                let name = if param.name == "granted" { "plan" } else { param.name.as_str() };
                expected.insert(name.to_owned());
                let shape = of(hook).iter().find(|field| field.name == name);
                let shape = shape.unwrap_or_else(|| panic!("{hook}: `{name}` is missing")).shape;
                let Some(mut fields) = record(&resolve, &param.ty) else { continue };
                if hook == Hook::Route {
                    // The attempt's context is written beside it, as at the other hooks.
                    assert!(fields.remove("context"));
                    expected.insert("context".to_owned());
                }
                let Shape::Record(has) = shape else { panic!("{hook}: `{name}` is a record, not {shape:?}") };
                let has: BTreeSet<String> = has.iter().map(|field| field.name.to_owned()).collect();
                assert_eq!(has, fields, "{hook}: {name}");
                records += 1;
            }
            let has: BTreeSet<String> =
                of(hook).iter().map(|field| field.name.to_owned()).filter(|name| name != "rules").collect();
            assert_eq!(has, expected, "{hook}");
        }
        assert!(records > 20, "{records}");
    }
}
