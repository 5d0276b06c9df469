//! Paths as the host hands them over: in one form, in which some characters are still escaped.

use std::borrow::Cow;

/// What the escapes of `path` stand for: `/my%20files` is `/my files`, as which an operator writes it. The host lets none
/// through that is a delimiter, so there is nothing in the outcome that would cut it differently.
#[must_use]
pub fn decoded(path: &str) -> Cow<'_, str> {
    let mut parts = path.split('%');
    let first = parts.next().unwrap_or_default();
    if first.len() == path.len() {
        return Cow::Borrowed(path);
    }
    let mut octets = first.as_bytes().to_vec();
    for part in parts {
        let octet = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        octets.push(octet.unwrap_or(b'%'));
        let rest = if octet.is_some() { part.as_bytes().get(2..) } else { Some(part.as_bytes()) };
        octets.extend_from_slice(rest.unwrap_or_default());
    }
    Cow::Owned(String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_a_url_escapes() {
        for (path, expected) in [
            ("/my%20files", "/my files"),
            ("/gr%C3%B6%c3%9fe/", "/gr\u{f6}\u{df}e/"),
            ("/100%25", "/100%"),
            ("/a%2520b", "/a%20b"),
            ("%20%20", "  "),
        ] {
            assert_eq!(decoded(path), expected);
        }
        assert!(matches!(decoded("/plain/x"), Cow::Borrowed("/plain/x")));
    }

    #[test]
    fn leaves_what_is_no_escape() {
        for path in ["/100%", "/%zz", "/%2", "/%", "/%\u{e4}\u{e4}"] {
            assert_eq!(decoded(path), path);
        }
        assert_eq!(decoded("/%ff"), "/\u{fffd}");
    }
}
