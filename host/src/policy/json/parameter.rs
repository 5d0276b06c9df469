//! What a hook is asked, in JSON. The records are those that other guests are lent, so that
//! nothing gets in that the manifest does not name.

use serde_json::{Value, json};

use crate::policy::bindings::{
    exports::vestibule::policy::{access, provision, route, session},
    vestibule::policy::types,
};

/// A parameter of a hook.
pub(crate) trait Parameter {
    /// It, as the contract's schema has it: every field is there, and none is null.
    fn to_json(&self) -> Value;
}

impl Parameter for &str {
    fn to_json(&self) -> Value {
        Value::from(*self)
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, Parameter::to_json)
    }
}

impl<T: Parameter> Parameter for &[T] {
    fn to_json(&self) -> Value {
        self.iter().map(Parameter::to_json).collect()
    }
}

impl Parameter for types::ClaimParam<'_> {
    fn to_json(&self) -> Value {
        let value = match &self.value {
            types::ValueParam::Text(text) => json!({ "text": text }),
            types::ValueParam::Texts(texts) => json!({ "texts": texts }),
            types::ValueParam::Integer(integer) => json!({ "integer": integer }),
            types::ValueParam::Number(number) => json!({ "number": number }),
            types::ValueParam::Boolean(boolean) => json!({ "boolean": boolean }),
            types::ValueParam::Json(json) => json!({ "json": json }),
        };
        json!({ "name": self.name, "value": value })
    }
}

impl Parameter for types::Context<'_> {
    fn to_json(&self) -> Value {
        json!({
            "login": self.login,
            "at": self.at,
            "tenant": self.tenant,
            "application": self.application,
            "address": self.address,
            "facts": self.facts.to_json(),
        })
    }
}

impl Parameter for types::Identity<'_> {
    fn to_json(&self) -> Value {
        json!({
            "upstream": self.upstream,
            "protocol": self.protocol,
            "issuer": self.issuer,
            "subject": self.subject,
            "email": self.email.as_ref().map(|email| json!({ "address": email.address, "verified": email.verified })),
            "groups": match &self.groups {
                types::GroupClaim::Withheld => json!("withheld"),
                types::GroupClaim::Absent => json!("absent"),
                types::GroupClaim::Overage => json!("overage"),
                types::GroupClaim::Listed(names) => json!({ "listed": names }),
            },
            "auth-time": self.auth_time,
            "acr": self.acr,
            "amr": self.amr.to_json(),
            "claims": self.claims.to_json(),
        })
    }
}

impl Parameter for types::Account<'_> {
    fn to_json(&self) -> Value {
        json!({ "active": self.active, "groups": self.groups.to_json(), "attributes": self.attributes.to_json() })
    }
}

impl Parameter for types::ProfileParam<'_> {
    fn to_json(&self) -> Value {
        json!({
            "match-key": self.match_key.as_ref().map(|key| match key {
                types::MatchKeyParam::Username(name) => json!({ "username": name }),
                types::MatchKeyParam::Email(address) => json!({ "email": address }),
            }),
            "username": self.username,
            "email": self.email,
            "given-name": self.given_name,
            "family-name": self.family_name,
            "display-name": self.display_name,
            "attributes": self.attributes.to_json(),
        })
    }
}

impl Parameter for types::PlanParam<'_> {
    fn to_json(&self) -> Value {
        let grants: Vec<Value> = self
            .grants
            .iter()
            .map(|grant| {
                let because = json!({ "code": grant.because.code, "detail": grant.because.detail });
                json!({ "group": grant.group, "because": because })
            })
            .collect();
        json!({
            "grants": grants,
            "replace": self.replace,
            "create-missing": self.create_missing,
            "exclude": self.exclude.to_json(),
            "leave": self.leave,
        })
    }
}

impl Parameter for provision::Granted<'_> {
    fn to_json(&self) -> Value {
        json!({ "group": self.group, "because": self.because })
    }
}

impl Parameter for session::Terms {
    fn to_json(&self) -> Value {
        json!({ "lifetime": self.lifetime, "idle": self.idle, "remember": self.remember })
    }
}

impl Parameter for access::Request<'_> {
    fn to_json(&self) -> Value {
        json!({ "method": self.method, "host": self.host, "path": self.path })
    }
}

impl Parameter for route::Attempt<'_> {
    fn to_json(&self) -> Value {
        json!({
            "context": self.context.to_json(),
            "identifier": self.identifier,
            "upstreams": self.upstreams.to_json(),
            "previous": self.previous,
            "failed": self.failed.to_json(),
        })
    }
}
