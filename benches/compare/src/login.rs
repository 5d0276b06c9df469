//! The logins, the rules' data, and what comes out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use vestibule::identity::{Email, GroupClaim, Identity, Protocol};

/// What every engine answers: the groups, or that the subject may not come in.
pub type Decision = Option<BTreeSet<String>>;

/// E-mail domains that may enter.
pub const DOMAINS: [&str; 3] = ["example.com", "example.org", "subsidiary.example"];

/// Who is mapped to nothing gets this.
pub const DEFAULT: &str = "everybody";

/// Rows: from, group.
#[must_use]
pub fn rows() -> Vec<(String, String)> {
    (0..30).map(|row| (format!("up-{row}"), format!("app-{row}"))).collect()
}

/// The settings of the policy.
#[must_use]
pub fn settings() -> Value {
    let rows: Vec<Value> = rows().into_iter().map(|(from, group)| json!({ "from": from, "group": group })).collect();
    json!({ "domains": DOMAINS, "rows": rows, "default": DEFAULT })
}

/// 200 logins, each with 12 claims and 20 groups. Three in four may come in; every tenth of them has no row's group.
#[must_use]
pub fn logins() -> Vec<Identity> {
    (0..200).map(login).collect()
}

fn login(number: usize) -> Identity {
    let domain = ["example.com", "eu.example.org", "subsidiary.example", "evil-example.com"][number % 4];
    let name = if number % 10 == 9 { "other" } else { "up" };
    let groups = (0..20).map(|group| format!("{name}-{}", (group * 3 + number) % 60)).collect();
    let mut claims = BTreeMap::new();
    for name in ["preferred_username", "given_name", "family_name", "name", "department", "locale"] {
        claims.insert(name.to_owned(), json!(format!("some {name} {number}")));
    }
    claims.insert("tid".into(), json!("t-1"));
    claims.insert("oid".into(), json!("o-1"));
    claims.insert("ver".into(), json!(2));
    claims.insert("roles".into(), json!(["a", "b"]));
    claims.insert("address".into(), json!({ "locality": "Bern", "country": "CH" }));
    claims.insert("vip".into(), json!(false));
    Identity {
        upstream: "corp".into(),
        protocol: Protocol::Oidc,
        issuer: "https://login.example.com/tenant".into(),
        subject: format!("subject-{number}"),
        email: Some(Email { address: format!("user{number}@{domain}"), verified: number % 7 != 3 }),
        groups: GroupClaim::Listed(groups),
        auth_time: Some(1_699_999_990),
        acr: Some("mfa".into()),
        amr: vec!["pwd".into(), "otp".into()],
        claims,
    }
}

/// The groups of the claim.
#[must_use]
pub fn groups(identity: &Identity) -> &[String] {
    match &identity.groups {
        GroupClaim::Listed(groups) => groups,
        _ => &[],
    }
}
