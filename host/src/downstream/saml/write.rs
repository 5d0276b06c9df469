//! Writing: canonical XML by construction.
//!
//! What comes out is its own canonical form (Exclusive XML Canonicalization 1.0): attributes in
//! order, no empty-element tags, a namespace declared where its prefix is first used and not
//! above, text and values escaped as Canonical XML §2.3 says. So the octets that are signed
//! are the octets that were written, and no second program has to make them.

use super::names;

/// A value has a character that XML 1.0 (§2.2) does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritable;

/// A document, or a part of one, in the making.
#[derive(Debug, Default)]
pub(super) struct Writer {
    text: String,
    /// The open elements, each with the prefix that it declared, if any.
    open: Vec<(&'static str, Option<&'static str>)>,
}

/// Attributes without a namespace.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Writer {
    /// Begins an element; `name` has a prefix of ours.
    pub(super) fn open(&mut self, name: &'static str, attributes: Attributes<'_>) -> Result<(), Unwritable> {
        let prefix = name.split_once(':').map(|(prefix, _)| prefix).unwrap_or_default();
        let is_declared = self.open.iter().any(|(_, declared)| *declared == Some(prefix));
        self.text.push('<');
        self.text.push_str(name);
        if !is_declared {
            self.text.push_str(" xmlns:");
            self.text.push_str(prefix);
            self.text.push_str("=\"");
            self.text.push_str(namespace(prefix));
            self.text.push('"');
        }
        // Canonical XML §2.2: attributes without a namespace, by name.
        let mut attributes = attributes.to_vec();
        attributes.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in attributes {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push_str("=\"");
            self.value(value)?;
            self.text.push('"');
        }
        self.text.push('>');
        self.open.push((name, (!is_declared).then_some(prefix)));
        Ok(())
    }

    /// Ends the innermost element.
    pub(super) fn close(&mut self) {
        if let Some((name, _)) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
    }

    /// Text in the innermost element.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Unwritable> {
        for character in text.chars() {
            match character {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '\r' => self.text.push_str("&#xD;"),
                other if is_character(other) => self.text.push(other),
                _ => return Err(Unwritable),
            }
        }
        Ok(())
    }

    /// A whole element.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        text: &str,
    ) -> Result<(), Unwritable> {
        self.open(name, attributes)?;
        self.text(text)?;
        self.close();
        Ok(())
    }

    /// A whole element that another writer made. None of the prefixes that it declares may be
    /// declared here, or it would not be canonical any more.
    pub(super) fn embed(&mut self, element: &str) {
        self.text.push_str(element);
    }

    /// How much has been written: a place that [`Writer::split`] takes.
    pub(super) fn here(&self) -> usize {
        self.text.len()
    }

    /// Ends every element; what was written before `place` and after it.
    pub(super) fn split(mut self, place: usize) -> (String, String) {
        while !self.open.is_empty() {
            self.close();
        }
        let after = self.text.get(place..).unwrap_or_default().to_owned();
        self.text.truncate(place);
        (self.text, after)
    }

    /// Ends every element; what was written.
    pub(super) fn finish(self) -> String {
        let place = self.here();
        let (before, after) = self.split(place);
        before + &after
    }

    fn value(&mut self, value: &str) -> Result<(), Unwritable> {
        for character in value.chars() {
            match character {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '"' => self.text.push_str("&quot;"),
                '\t' => self.text.push_str("&#x9;"),
                '\n' => self.text.push_str("&#xA;"),
                '\r' => self.text.push_str("&#xD;"),
                other if is_character(other) => self.text.push(other),
                _ => return Err(Unwritable),
            }
        }
        Ok(())
    }
}

/// Each prefix has one namespace, wherever it is.
const fn namespace(prefix: &str) -> &'static str {
    match prefix.as_bytes() {
        b"ds" => names::DSIG,
        b"md" => names::METADATA,
        b"samlp" => names::PROTOCOL,
        _ => names::ASSERTION,
    }
}

/// XML 1.0 §2.2 `Char`.
const fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_declared_where_its_prefix_is_first_used() {
        let mut writer = Writer::default();
        writer.open("samlp:Response", &[("Version", "2.0"), ("ID", "_1")]).unwrap();
        writer.element("saml:Issuer", &[], "a").unwrap();
        writer.element("saml:Issuer", &[], "b").unwrap();
        writer.open("samlp:Status", &[]).unwrap();
        let (assertion, protocol) = (names::ASSERTION, names::PROTOCOL);
        assert_eq!(
            writer.finish(),
            format!(
                "<samlp:Response xmlns:samlp=\"{protocol}\" ID=\"_1\" Version=\"2.0\">\
                 <saml:Issuer xmlns:saml=\"{assertion}\">a</saml:Issuer>\
                 <saml:Issuer xmlns:saml=\"{assertion}\">b</saml:Issuer><samlp:Status></samlp:Status></samlp:Response>"
            )
        );
    }

    #[test]
    fn a50_text_and_values_stay_what_they_are() {
        let mut writer = Writer::default();
        writer.element("saml:NameID", &[("Format", "\"><x y='\n\t\r&")], "</saml:NameID>]]>&\r\n\"'").unwrap();
        let written = writer.finish();
        assert!(written.contains("Format=\"&quot;>&lt;x y='&#xA;&#x9;&#xD;&amp;\""), "{written}");
        assert!(written.contains(">&lt;/saml:NameID&gt;]]&gt;&amp;&#xD;\n\"'<"), "{written}");
    }

    #[test]
    fn what_xml_does_not_have_is_not_written() {
        for text in ["\0", "a\u{1}", "\u{b}", "\u{fffe}", "\u{ffff}", "\u{1f}"] {
            assert_eq!(Writer::default().element("saml:NameID", &[], text), Err(Unwritable), "{text:?}");
            assert_eq!(Writer::default().element("saml:NameID", &[("Format", text)], ""), Err(Unwritable));
        }
        assert!(Writer::default().element("saml:NameID", &[], "Ångström 字 \u{1f600}\u{85}").is_ok());
    }
}
