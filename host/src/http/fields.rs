//! The fields of a query or a form.

use std::borrow::Cow;

/// More fields than this are no request of ours.
const FIELDS_MAX: usize = 64;

/// Fields by name, each one at most once.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// A field came twice (RFC 6749 §3.1 forbids it, since two readers could take two values),
/// or there are too many.
#[derive(Debug)]
pub(super) struct BadFields;

impl<'a> Fields<'a> {
    /// Reads `application/x-www-form-urlencoded`. No input is malformed; most is useless.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, BadFields> {
        let mut fields: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text) {
            if fields.len() >= FIELDS_MAX || fields.iter().any(|(other, _)| *other == name) {
                return Err(BadFields);
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// One field.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_ref())
    }

    /// One field as a new string.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.find(name).map(str::to_owned)
    }

    /// One field as a number; what is none counts as absent.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.find(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_field_that_comes_twice() {
        assert!(Fields::parse(b"code=a&state=b&code=c").is_err());
        assert!(Fields::parse(b"code=a&c%6fde=c").is_err());
    }

    #[test]
    fn refuses_more_fields_than_a_browser_would_send() {
        let many: String = (0..65).map(|index| format!("f{index}=1&")).collect();
        assert!(Fields::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn a67_reads_garbage_without_a_complaint() {
        for garbage in [&b""[..], b"&&&", b"=", b"%zz=%zz", b"\xff\xfe=\x00", b"{\"json\":1}"] {
            let fields = Fields::parse(garbage).unwrap_or_default();
            assert_eq!(fields.find("login"), None);
            assert_eq!(fields.number("max-age"), None);
        }
    }
}
