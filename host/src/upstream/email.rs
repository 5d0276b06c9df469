//! Which email address an upstream stated, and whether it vouches for it.
//!
//! An address and the statement that it was verified count only together, from one and
//! the same source: a flag of the ID token says nothing about an address that came from
//! userinfo.

use serde_json::{Map, Value};

use crate::{config::Upstream, identity::Email};

/// The longest address that we take (RFC 5321 §4.5.3.1, with the erratum to RFC 3696).
const ADDRESS_BYTES_MAX: usize = 254;

/// An address, and what the operator should hear about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stated {
    /// The address, if one was stated.
    pub(super) email: Option<Email>,
    /// Codes for the audit, such as [`TRUSTED_UNVERIFIED`].
    pub(super) warnings: Vec<&'static str>,
}

/// The address counts as verified because the operator said so, not the upstream.
pub(super) const TRUSTED_UNVERIFIED: &str = "email-trusted-unverified";
/// ID token and userinfo state two addresses.
pub(super) const CONFLICT: &str = "email-conflict";

/// Is `upstream` authoritative for the domain of `email`?
///
/// True where the configuration names no domains: then the question is the policies'.
/// Domains are compared as A-labels without case; `.example.com` means every subdomain
/// and not the domain itself. A malformed address belongs to nobody.
#[must_use]
pub fn authoritative(upstream: &Upstream, email: &Email) -> bool {
    upstream.domains.as_ref().is_none_or(|domains| is_within(domains, &email.address))
}

/// Is the domain of `address` one of `domains`, compared as [`authoritative`] says?
#[must_use]
pub fn is_within(domains: &[String], address: &str) -> bool {
    let Some(domain) = domain_of(address) else { return false };
    domains.iter().any(|listed| match listed.strip_prefix('.') {
        Some(parent) => ascii_domain(parent)
            .and_then(|parent| domain.strip_suffix(parent.as_str()).map(|rest| rest.len() > 1 && rest.ends_with('.')))
            .unwrap_or(false),
        None => ascii_domain(listed).is_some_and(|listed| listed == domain),
    })
}

/// Is this a well-formed address? Not whether it exists, nor whose it is.
#[must_use]
pub fn is_address(text: &str) -> bool {
    domain_of(text).is_some()
}

/// The address that the signed claims and userinfo state, by the rules of this module:
///
/// - the ID token's address wins, since a signature protects it;
/// - where userinfo states another one, the upstream contradicts itself, and the address
///   is not verified, whatever either of them says;
/// - the flag must be the JSON value `true`; the text `"true"` counts only where the
///   configuration says that this upstream sends texts; a missing flag is no;
/// - a malformed address is passed on as sent, for the policies to refuse by name, and is
///   never verified.
pub(super) fn stated(
    upstream: &Upstream,
    signed: Option<&Map<String, Value>>,
    userinfo: Option<&Map<String, Value>>,
) -> Stated {
    let signed = signed.and_then(|claims| Statement::read(upstream, claims));
    let userinfo = userinfo.and_then(|claims| Statement::read(upstream, claims));
    match (signed, userinfo) {
        (None, None) => Stated::default(),
        (Some(only), None) | (None, Some(only)) => settle(upstream, only.address, only.verified),
        (Some(signed), Some(other)) if signed.address.eq_ignore_ascii_case(other.address) => {
            settle(upstream, signed.address, signed.verified.or(other.verified))
        }
        (Some(signed), Some(_)) => Stated {
            email: Some(Email { address: signed.address.to_owned(), verified: false }),
            warnings: vec![CONFLICT],
        },
    }
}

/// An address with the flag beside it, as plain OAuth 2.0's emails endpoint has it.
pub(super) fn settle(upstream: &Upstream, address: &str, verified: Option<bool>) -> Stated {
    let sound = domain_of(address).is_some();
    let vouched = verified == Some(true);
    let mut warnings = Vec::new();
    if sound && !vouched && upstream.trust_unverified_email {
        warnings.push(TRUSTED_UNVERIFIED);
    }
    let verified = sound && (vouched || upstream.trust_unverified_email);
    Stated { email: Some(Email { address: address.to_owned(), verified }), warnings }
}

/// What one source says about one address. `verified` is none where it does not say.
struct Statement<'a> {
    address: &'a str,
    verified: Option<bool>,
}

impl<'a> Statement<'a> {
    fn read(upstream: &Upstream, claims: &'a Map<String, Value>) -> Option<Self> {
        let address = claims.get("email")?.as_str().filter(|address| !address.is_empty())?;
        let verified = claims.get(&upstream.email_verified_claim).map(|flag| match flag {
            Value::Bool(flag) => *flag,
            Value::String(text) => upstream.email_verified_as_text && text == "true",
            _ => false,
        });
        Some(Self { address, verified })
    }
}

/// The domain of a well-formed address, as lower-case A-labels.
///
/// Well-formed is less than RFC 5322 allows: one `@`, no white space, control or
/// formatting character, no quoting, and a domain that DNS could have.
fn domain_of(address: &str) -> Option<String> {
    let (local, domain) = address.split_once('@')?;
    let odd = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '"' | '\\' | '<' | '>' | '(' | ')' | ',' | ';' | ':' | '[' | ']')
            // Characters that change how the rest is shown, or are not shown at all.
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    let sound =
        !local.is_empty() && address.len() <= ADDRESS_BYTES_MAX && !address.contains(odd) && !domain.contains('@');
    if sound { ascii_domain(domain) } else { None }
}

/// `domain` as A-labels (RFC 5890 §2.3.2.1); none for what is no domain name.
fn ascii_domain(domain: &str) -> Option<String> {
    if domain.is_empty() || domain.starts_with('.') || domain.ends_with('.') {
        return None;
    }
    idna::domain_to_ascii_strict(domain).ok().filter(|ascii| !ascii.is_empty() && !ascii.ends_with('.'))
}
