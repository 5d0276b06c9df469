//! Reading: strict, and much less than XML is. No document type, no entity, no comment, no
//! processing instruction: of those, two readers could make two things, and no service
//! provider sends any.

use uppsala::{Document, NodeId, NodeKind, Parser};

use super::limits;

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum XmlFault {
    /// It is longer than a message may be.
    #[error("the message is too long")]
    TooLong,
    /// It has `<!`: a document type, an entity, a comment or a CDATA section.
    #[error("the message has a declaration or a comment")]
    Declaration,
    /// It has a processing instruction, or is not said to be UTF-8.
    #[error("the message has a processing instruction or another encoding")]
    Instruction,
    /// It is not well-formed, or too deep.
    #[error("the message is not well-formed")]
    Malformed,
    /// An element is missing, comes twice, or is not as its schema says.
    #[error("the message does not follow its schema")]
    Schema,
}

/// A parsed document.
pub(super) struct Tree<'t> {
    pub(super) document: Document<'t>,
    pub(super) source: &'t str,
}

impl<'t> Tree<'t> {
    /// Parses `source`.
    pub(super) fn parse(source: &'t str) -> Result<Self, XmlFault> {
        if source.len() > limits::XML_BYTES_MAX {
            return Err(XmlFault::TooLong);
        }
        // Before any parser sees it. Well-formed XML has `<` in markup only, so this is exact.
        if source.contains("<!") {
            return Err(XmlFault::Declaration);
        }
        let text = source.strip_prefix('\u{feff}').unwrap_or(source);
        let body = match text.strip_prefix("<?xml ").and_then(|rest| rest.split_once("?>")) {
            Some((declaration, body)) if is_utf8(declaration) => body,
            Some(_) => return Err(XmlFault::Instruction),
            None => text,
        };
        if body.contains("<?") {
            return Err(XmlFault::Instruction);
        }
        let parser = Parser::new().with_forbid_dtd(true).with_max_depth(limits::XML_DEPTH_MAX);
        let document = parser.parse(source).map_err(|_| XmlFault::Malformed)?;
        Ok(Self { document, source })
    }

    /// The document's element.
    pub(super) fn root(&self) -> Result<Element<'_, 't>, XmlFault> {
        let id = self.document.document_element().ok_or(XmlFault::Malformed)?;
        Ok(Element { document: &self.document, id })
    }
}

/// Does an XML declaration leave it at UTF-8?
fn is_utf8(declaration: &str) -> bool {
    match declaration.split_once("encoding") {
        None => true,
        Some((_, rest)) => {
            let rest = rest.trim_start().trim_start_matches('=').trim_start();
            let name = rest.trim_start_matches(['"', '\'']).split(['"', '\'']).next().unwrap_or_default();
            name.eq_ignore_ascii_case("utf-8")
        }
    }
}

/// One element.
#[derive(Clone, Copy)]
pub(super) struct Element<'d, 't> {
    document: &'d Document<'t>,
    pub(super) id: NodeId,
}

impl<'d, 't> Element<'d, 't> {
    /// Has it this name?
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.document.element(self.id).is_some_and(|element| element.matches_name_ns(namespace, name))
    }

    /// An attribute without a namespace.
    pub(super) fn attribute(&self, name: &str) -> Option<&'d str> {
        let element = self.document.element(self.id)?;
        let found = element.attributes.iter().find(|attribute| attribute.name.matches(None, name))?;
        Some(&found.value)
    }

    /// `xs:boolean`; none is false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, XmlFault> {
        match self.attribute(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(XmlFault::Schema),
        }
    }

    /// The elements in it.
    pub(super) fn children(&self) -> Vec<Self> {
        let document = self.document;
        let elements = document.children(self.id).into_iter().filter(|id| document.element(*id).is_some());
        elements.map(|id| Self { document, id }).collect()
    }

    /// The elements in it with this name.
    pub(super) fn all(&self, namespace: &str, name: &str) -> Vec<Self> {
        self.children().into_iter().filter(|child| child.is(namespace, name)).collect()
    }

    /// The one element in it with this name, if there is one.
    pub(super) fn child(&self, namespace: &str, name: &str) -> Result<Option<Self>, XmlFault> {
        match self.all(namespace, name).as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(*only)),
            _ => Err(XmlFault::Schema),
        }
    }

    /// The one element in it with this name.
    pub(super) fn needed(&self, namespace: &str, name: &str) -> Result<Self, XmlFault> {
        self.child(namespace, name)?.ok_or(XmlFault::Schema)
    }

    /// The elements anywhere below it with this name.
    pub(super) fn below(&self, namespace: &str, name: &str) -> Vec<Self> {
        let mut found = Vec::new();
        for child in self.children() {
            if child.is(namespace, name) {
                found.push(child);
            }
            found.extend(child.below(namespace, name));
        }
        found
    }

    /// All of its text, without the white space around it. Never a part: whoever reads the
    /// first text node only, reads what an attacker cut (CVE-2017-11428).
    pub(super) fn text(&self) -> Result<String, XmlFault> {
        let mut text = String::new();
        for id in self.document.children(self.id) {
            match self.document.node_kind(id) {
                Some(NodeKind::Text(part)) => text.push_str(part),
                _ => return Err(XmlFault::Schema),
            }
        }
        Ok(text.trim_matches([' ', '\t', '\r', '\n']).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<XmlFault> {
        Tree::parse(text).err()
    }

    #[test]
    fn a56_no_document_type_no_entity_no_comment_no_instruction() {
        for text in [
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
            "<!DOCTYPE a [<!ENTITY % x SYSTEM \"http://127.0.0.1:9/\"> %x;]><a/>",
            "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>",
            "<?xml version=\"1.0\"?><!DOCTYPE a SYSTEM \"http://127.0.0.1:9/\"><a/>",
            "<a><!-- x --></a>",
            "<a><![CDATA[x]]></a>",
        ] {
            assert_eq!(fault(text), Some(XmlFault::Declaration), "{text}");
        }
        for text in [
            "<a><?php x?></a>",
            "<?xml-stylesheet href=\"http://127.0.0.1:9/\"?><a/>",
            "<?xml version=\"1.0\" encoding=\"UTF-7\"?><a/>",
            "<?xml version=\"1.0\" encoding='utf-16'?><a/>",
            "<?xml version=\"1.0\"?><?x y?><a/>",
        ] {
            assert_eq!(fault(text), Some(XmlFault::Instruction), "{text}");
        }
        for text in
            ["<a>&x;</a>", "<a", "", "<a/><b/>", "x<a/>", "<a b='1' b='2'/>", "<n:a/>", "<a></b>", "<a>\u{1}</a>"]
        {
            assert_eq!(fault(text), Some(XmlFault::Malformed), "{text}");
        }
        for text in ["<a/>", "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<a/>", "\u{feff}<a/>"] {
            assert_eq!(fault(text), None, "{text}");
        }
    }

    #[test]
    fn a67_what_is_too_deep_or_too_long_is_refused_and_not_recursed_into() {
        let deep = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
        assert_eq!(fault(&deep(20)), None);
        assert_eq!(fault(&deep(25)), Some(XmlFault::Malformed));
        assert_eq!(fault(&deep(9_000)), Some(XmlFault::Malformed));
        assert_eq!(fault(&format!("<a>{}</a>", "x".repeat(limits::XML_BYTES_MAX))), Some(XmlFault::TooLong));
    }

    #[test]
    fn a55_a_text_is_read_whole_or_not_at_all() {
        let text = |source: &str| Tree::parse(source).ok().and_then(|tree| tree.root().ok()?.text().ok());
        assert_eq!(text("<a> ann&#64;example.com&amp;\n</a>").as_deref(), Some("ann@example.com&"));
        assert_eq!(text("<a>ann@example.com<b/>.evil.com</a>"), None);
        assert_eq!(text("<a>ann@example.com<!-- x -->.evil.com</a>"), None);
        assert_eq!(text("<a/>").as_deref(), Some(""));
    }

    #[test]
    fn an_attribute_of_another_namespace_is_another_attribute() {
        let tree = Tree::parse("<a xmlns:x=\"urn:x\" x:ID=\"1\"/>").unwrap();
        assert_eq!(tree.root().unwrap().attribute("ID"), None);
    }
}
