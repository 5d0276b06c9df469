//! Requirements of the whole way from a callback to a verified identity, against an
//! OpenID provider of our own that can be told to lie.

use crate::config::{Upstream, UpstreamKind};

/// An upstream with every default.
pub(super) fn upstream() -> Upstream {
    Upstream {
        id: "op".to_owned(),
        display_name: "OP".to_owned(),
        kind: UpstreamKind::Local,
        domains: None,
        trust_unverified_email: false,
        email_verified_as_text: false,
        email_verified_claim: "email_verified".to_owned(),
        groups_claim: "groups".to_owned(),
        subject_claim: "sub".to_owned(),
        allowed_tenants: None,
    }
}
