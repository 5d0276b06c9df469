//! Email addresses and their domains, compared the one way that leaves no gap.
//!
//! Domains are compared as A-labels (RFC 5890 §2.3.2.1) without case. An address that could
//! be read in two ways (two `@`, a control character, a trailing dot, a label that does not
//! have one canonical form) is refused as `invalid-email`: nobody is let in, or recognized,
//! by an address that two programs read differently.

mod domains;
mod label;

use std::borrow::Cow;

pub use domains::Domains;

use crate::types::{Email, Reason};

/// RFC 5321 §4.5.3.1.1.
const LOCAL_BYTES_MAX: usize = 64;
/// RFC 1035 §2.3.4, without the root's dot.
const DOMAIN_BYTES_MAX: usize = 253;

/// The two halves of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// What stands before the `@`, as it was sent: only the domain's owner knows whether
    /// its case counts.
    pub local: &'a str,
    /// The domain as A-labels in lower case.
    pub domain: Cow<'a, str>,
}

/// The domain of an address, as A-labels in lower case. Says nothing of whether the upstream
/// vouches for it: look at [`Email::verified`].
///
/// # Errors
///
/// `invalid-email`.
pub fn domain(email: &Email) -> Result<Cow<'_, str>, Reason> {
    parse(&email.address).map(|address| address.domain)
}

/// Takes an address apart.
///
/// # Errors
///
/// `invalid-email`, with what is wrong in the detail; the address itself is not repeated.
pub fn parse(address: &str) -> Result<Address<'_>, Reason> {
    let invalid = |detail: &str| Reason::new("invalid-email", detail);
    let Some((local, domain)) = address.split_once('@') else { return Err(invalid("the address has no @")) };
    if domain.contains('@') {
        return Err(invalid("the address has more than one @"));
    }
    if local.is_empty() {
        return Err(invalid("nothing stands before the @"));
    }
    if local.len() > LOCAL_BYTES_MAX {
        return Err(invalid("what stands before the @ is too long"));
    }
    if local.chars().any(is_odd) {
        return Err(invalid("the address has a character that does not belong there"));
    }
    match normalize_domain(domain) {
        Some(domain) => Ok(Address { local, domain }),
        None => Err(invalid("what follows the @ is no domain")),
    }
}

/// A domain as A-labels in lower case; none where it is no domain name, or has no one
/// canonical form.
///
/// Labels beyond ASCII are taken in the scripts whose letters stand for themselves, each
/// alone (Latin, Greek, Cyrillic, Hebrew, Arabic, Armenian, Georgian, Kana, Han, Hangul).
/// Any other label must come as the A-label that it stands for (`xn--…`).
#[must_use]
pub fn normalize_domain(domain: &str) -> Option<Cow<'_, str>> {
    // The common case costs no allocation.
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let normal = if domain.bytes().all(is_plain) {
        Cow::Borrowed(domain)
    } else {
        let mut labels = String::with_capacity(domain.len());
        for (index, text) in domain.split('.').enumerate() {
            if index > 0 {
                labels.push('.');
            }
            label::push_a_label(&mut labels, text)?;
        }
        Cow::Owned(labels)
    };
    (normal.len() <= DOMAIN_BYTES_MAX && normal.split('.').all(label::is_a_label)).then_some(normal)
}

/// Characters that no mailbox needs, and that a reader may skip, reorder or take for syntax.
fn is_odd(character: char) -> bool {
    matches!(
        character,
        '"' | '(' | ')' | ',' | ':' | ';' | '<' | '>' | '[' | '\\' | ']'
            // Soft hyphen, zero width, direction, invisible operators, byte order mark.
            | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}'
    ) || character.is_control()
        || character.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str) {
        let email = Email { address: address.to_owned(), verified: true };
        let outcome = domain(&email).map(Cow::into_owned);
        assert_eq!(outcome.map_err(|reason| reason.code), Err("invalid-email".to_owned()), "{address:?}");
    }

    fn read(address: &str) -> String {
        parse(address).unwrap_or_else(|reason| panic!("{address:?}: {reason:?}")).domain.into_owned()
    }

    #[test]
    fn a27_refuses_an_address_with_two_at_signs() {
        for address in [
            "attacker@evil.com@company.com",
            "attacker@company.com@evil.com",
            "\"attacker@evil.com\"@company.com",
            "@@company.com",
            "a@@company.com",
            "a@company.com@",
            "a@b\u{0}@company.com",
            "a@evil.com\n@company.com",
        ] {
            refused(address);
        }
    }

    #[test]
    fn a27_refuses_an_address_without_one_of_its_halves() {
        for address in ["", "@", "company.com", "@company.com", "u@", "u@.", "u@.com", "u@a..com"] {
            refused(address);
        }
    }

    #[test]
    fn a34_compares_domains_as_a_labels_without_case() {
        assert_eq!(read("u@EXAMPLE.com"), "example.com");
        assert_eq!(read("u@XN--BCHER-KVA.Example"), "xn--bcher-kva.example");
        assert_eq!(read("u@bücher.example"), "xn--bcher-kva.example");
        assert_eq!(read("u@BÜCHER.example"), "xn--bcher-kva.example");
        assert_eq!(read("u@пример.рф"), "xn--e1afmkfd.xn--p1ai");
        assert_eq!(read("u@例え.テスト"), "xn--r8jz45g.xn--zckzah");
        // The Cyrillic а is not the Latin a.
        assert_eq!(read("u@ex\u{430}mple.com"), "xn--exmple-4nf.com");
        assert_ne!(read("u@ex\u{430}mple.com"), "example.com");
    }

    #[test]
    fn a34_refuses_a_domain_with_an_odd_character() {
        let long = format!("u@{}.com", "a".repeat(64));
        let longer = format!("u@{}com", "abcdefg.".repeat(32));
        for address in [
            "u@example.com.",
            "u@example.com\0",
            "u@example.com ",
            "u@ example.com",
            "u@example.com\r\n",
            "u@exam\tple.com",
            "u@exam\u{ad}ple.com",
            "u@example\u{3002}com",
            "u@example\u{ff0e}com",
            "u@\u{ff45}xample.com",
            "u@ex\u{200d}ample.com",
            "u@\u{202e}moc.elpmaxe",
            // A decomposed ü, and the Kelvin sign: each has another canonical form.
            "u@bu\u{308}cher.example",
            "u@\u{212a}elvin.example",
            "u@[127.0.0.1]",
            "u@-a.com",
            "u@a-.com",
            "u@a_b.com",
            "u@a.com,b.com",
            "u@a.com/b",
            "u@a.com%00",
            &long,
            &longer,
        ] {
            refused(address);
        }
    }

    #[test]
    fn a34_refuses_a_mailbox_with_an_odd_character() {
        let long = format!("{}@a.com", "u".repeat(65));
        for address in ["u u@a.com", "u\0@a.com", "u\u{85}@a.com", "\u{202e}u@a.com", "<u@a.com", "u,v@a.com", &long] {
            refused(address);
        }
    }

    #[test]
    fn takes_the_mailboxes_of_real_people() {
        for address in ["first.last+tag@a.com", "o'brien@a.com", "u_1%x@a.com", "jürgen@a.com", "!#$&*-/=?^`{|}~@a.com"]
        {
            assert_eq!(read(address), "a.com", "{address}");
        }
        assert_eq!(parse("First.Last@A.com").map(|address| address.local), Ok("First.Last"));
    }

    #[test]
    fn allocates_nothing_for_a_plain_domain() {
        assert!(matches!(normalize_domain("mail.example.com"), Some(Cow::Borrowed(_))));
    }
}
