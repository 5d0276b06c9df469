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

/// What becomes of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Admitted, and some of the 20 groups are in the rows: all of the rules run. This is the work that is compared.
    Mapped,
    /// Admitted, none of the 20 groups is in the rows: gets the default.
    DefaultOnly,
    /// Refused by the first rule: nothing is mapped.
    Refused,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mapped, Self::DefaultOnly, Self::Refused];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::DefaultOnly => "default only",
            Self::Refused => "refused",
        }
    }

    /// Is it `decision`?
    #[must_use]
    pub fn is(self, decision: &Decision) -> bool {
        match (self, decision) {
            (Self::Refused, None) => true,
            (Self::DefaultOnly, Some(groups)) => groups.iter().eq([DEFAULT]),
            (Self::Mapped, Some(groups)) => !groups.contains(DEFAULT) && groups.len() >= 5,
            _ => false,
        }
    }
}

/// 200 logins of one kind, each with 12 claims and 20 groups.
#[must_use]
pub fn logins(kind: Kind) -> Vec<Identity> {
    (0..200).map(|number| login(kind, number)).collect()
}

/// 200 logins as they may come: of ten, six are mapped, one gets the default, and three are refused.
#[must_use]
pub fn mix() -> Vec<Identity> {
    let kind = |number| match number % 10 {
        0..6 => Kind::Mapped,
        6 => Kind::DefaultOnly,
        _ => Kind::Refused,
    };
    (0..200).map(|number| login(kind(number), number)).collect()
}

fn login(kind: Kind, number: usize) -> Identity {
    let is_refused = kind == Kind::Refused;
    // One in three of the refused has an address of a good domain, which nobody verified.
    let is_verified = !(is_refused && number % 3 == 0);
    let domains: &[&str] = match (is_refused, is_verified) {
        (true, true) => &["evil-example.com", "example.net"],
        _ => &["example.com", "eu.example.org", "subsidiary.example"],
    };
    let domain = domains[number % domains.len()];
    let name = if kind == Kind::DefaultOnly { "other" } else { "up" };
    // Each third of 60 names, of which the rows have 30: about ten are mapped.
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
        email: Some(Email { address: format!("user{number}@{domain}"), verified: is_verified }),
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
