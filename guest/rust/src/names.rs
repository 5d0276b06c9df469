//! Names that the host's contracts let through: what they would deny at a login, a policy can
//! refuse in its settings.

/// Names that are the host's own, one a line.
const RESERVED: &str = include_str!("../wit/reserved-names.txt");

/// The longest name, in bytes.
const BYTES_MAX: usize = 1024;

/// What is wrong with a group, a username or another value of a decision; none where it is fit
/// for a header.
#[must_use]
pub fn problem(name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        Some("is empty")
    } else if name.len() > BYTES_MAX {
        Some("has more than 1024 bytes")
    } else if name.trim() != name {
        Some("begins or ends with a blank")
    } else if name.contains(is_control) {
        Some("has a control character")
    } else {
        None
    }
}

/// Is `name` one that no custom attribute may have, in whatever spelling?
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let folded = name.to_ascii_lowercase().replace('_', "-");
    RESERVED.lines().filter(|line| !line.starts_with('#')).any(|line| match line.strip_suffix('*') {
        Some(prefix) => folded.starts_with(prefix),
        None => folded == line,
    })
}

/// May `name` be a custom attribute's: letters, digits and `-_.:/#~` alone?
#[must_use]
pub fn is_attribute(name: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/#~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(is_safe)
}

/// Control characters, and what a terminal or a page would take as an instruction.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_no_header_could_hold() {
        for name in ["jira-users", "Zo\u{eb}", "a b", "CN=x,OU=y"] {
            assert_eq!(problem(name), None, "{name}");
        }
        for name in ["", " ", "a ", " a", "\u{a0}a", "a\nb", "a\u{202e}b", &"a".repeat(1025)] {
            assert!(problem(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn knows_the_hosts_own_names_in_every_spelling() {
        for name in ["sub", "SUB", "email_verified", "Set-Cookie", "x_forwarded_user", "Remote-User"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["department", "subject", "forward", "mail"] {
            assert!(!is_reserved(name), "{name}");
        }
        assert!(is_attribute("urn:oid:2.5.4.3") && !is_attribute("a b") && !is_attribute(""));
    }
}
