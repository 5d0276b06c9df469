//! How messages travel: HTTP-Redirect (SAML Bindings §3.4) and HTTP-POST (§3.5).

use std::io::Read as _;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::DeflateDecoder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::{limits, names, signature::Detached};
use crate::keys::{KeyError, KeyRing};

/// SAML Bindings §3.4.4.1.
const DEFLATE: &str = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE";

/// RFC 3986 §2.3: what need not be escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which of the two kinds of message: the name of its parameter (SAML Bindings §3.4.4, §3.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `SAMLRequest`
    Request,
    /// `SAMLResponse`
    Response,
}

impl Message {
    /// The parameter's name.
    #[must_use]
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// A message as it came in. Nothing of it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    pub(super) xml: String,
    pub(super) relay_state: Option<String>,
    pub(super) detached: Option<Detached>,
}

/// Why there is no request in what came in. The text is the failure's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is no `SAMLRequest`.
    #[error("saml-request-missing")]
    Missing,
    /// A parameter comes twice, is cut, or is not encoded as the binding says.
    #[error("saml-request-unreadable")]
    Encoding,
    /// The message, or `RelayState`, is longer than is taken.
    #[error("saml-request-too-long")]
    TooLong,
}

impl Unreadable {
    /// A stable name in kebab-case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "saml-request-missing",
            Self::Encoding => "saml-request-unreadable",
            Self::TooLong => "saml-request-too-long",
        }
    }
}

impl Inbound {
    /// Reads the query of a URL, undecoded: a signature is over its octets.
    ///
    /// # Errors
    ///
    /// As [`Unreadable`] says.
    pub fn redirect(query: &str) -> Result<Self, Unreadable> {
        Self::by_redirect(Message::Request, query)
    }

    /// The same of a message that is `kind`.
    ///
    /// # Errors
    ///
    /// As [`Unreadable`] says.
    pub fn by_redirect(kind: Message, query: &str) -> Result<Self, Unreadable> {
        let parameter = kind.parameter();
        let [mut request, mut relay_state, mut algorithm, mut signature, mut encoding] = [None; 5];
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                name if name == parameter => &mut request,
                // It is one or the other.
                "SAMLRequest" | "SAMLResponse" => return Err(Unreadable::Encoding),
                "RelayState" => &mut relay_state,
                "SigAlg" => &mut algorithm,
                "Signature" => &mut signature,
                "SAMLEncoding" => &mut encoding,
                // What a proxy or a browser's extension added is nothing to us, nor signed.
                _ => continue,
            };
            // Of two values, one reader takes the first and another the last.
            if place.replace(value).is_some() {
                return Err(Unreadable::Encoding);
            }
        }
        let request = request.ok_or(Unreadable::Missing)?;
        if encoding.is_some_and(|encoding| decoded(encoding).as_deref() != Ok(DEFLATE)) {
            return Err(Unreadable::Encoding);
        }
        let detached = match (signature, algorithm) {
            (None, None) => None,
            (Some(signature), Some(algorithm)) => {
                let relay = relay_state.map(|relay| format!("&RelayState={relay}")).unwrap_or_default();
                Some(Detached {
                    octets: format!("{parameter}={request}{relay}&SigAlg={algorithm}").into_bytes(),
                    algorithm: decoded(algorithm)?,
                    value: unbase64(&decoded(signature)?)?,
                })
            }
            _ => return Err(Unreadable::Encoding),
        };
        let xml = inflate(&unbase64(&decoded(request)?)?)?;
        let relay_state = relay_state.map(decoded).transpose()?;
        Self { xml, relay_state, detached }.bounded()
    }

    /// Reads the fields of a form.
    ///
    /// # Errors
    ///
    /// As [`Unreadable`] says.
    pub fn post(fields: &[(String, String)]) -> Result<Self, Unreadable> {
        Self::by_post(Message::Request, fields)
    }

    /// The same of a message that is `kind`.
    ///
    /// # Errors
    ///
    /// As [`Unreadable`] says.
    pub fn by_post(kind: Message, fields: &[(String, String)]) -> Result<Self, Unreadable> {
        let field = |name: &str| {
            let mut values = fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
            match (values.next(), values.next()) {
                (value, None) => Ok(value),
                (_, Some(_)) => Err(Unreadable::Encoding),
            }
        };
        let other = if kind == Message::Request { Message::Response } else { Message::Request };
        if field(other.parameter())?.is_some() {
            return Err(Unreadable::Encoding);
        }
        let request = field(kind.parameter())?.ok_or(Unreadable::Missing)?;
        let relay_state = field("RelayState")?.map(str::to_owned);
        let xml = String::from_utf8(unbase64(request)?).map_err(|_| Unreadable::Encoding)?;
        Self { xml, relay_state, detached: None }.bounded()
    }

    fn bounded(self) -> Result<Self, Unreadable> {
        let is_short = self.relay_state.as_ref().is_none_or(|relay| relay.len() <= limits::RELAY_STATE_BYTES_MAX);
        if is_short && self.xml.len() <= limits::XML_BYTES_MAX { Ok(self) } else { Err(Unreadable::TooLong) }
    }
}

/// A signed message as a URL (SAML Bindings §3.4.4).
pub(super) fn signed_url(
    keys: &KeyRing,
    to: &Url,
    kind: Message,
    xml: &str,
    relay_state: Option<&str>,
) -> Result<Url, KeyError> {
    let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let mut query = format!("{}={}", kind.parameter(), escape(&STANDARD.encode(deflate(xml))));
    if let Some(relay_state) = relay_state {
        query.push_str("&RelayState=");
        query.push_str(&escape(relay_state));
    }
    query.push_str("&SigAlg=");
    query.push_str(&escape(names::RSA_SHA256));
    let signature = keys.sign_certified(query.as_bytes())?;
    query.push_str("&Signature=");
    query.push_str(&escape(&STANDARD.encode(signature)));
    let mut to = to.clone();
    // A registered address may have a query of its own.
    let whole = match to.query().filter(|own| !own.is_empty()) {
        Some(own) => format!("{own}&{query}"),
        None => query,
    };
    to.set_query(Some(&whole));
    Ok(to)
}

fn decoded(value: &str) -> Result<String, Unreadable> {
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| Unreadable::Encoding)
}

/// Base64, with the line ends that RFC 2045 has.
fn unbase64(text: &str) -> Result<Vec<u8>, Unreadable> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|_| Unreadable::Encoding)
}

/// RFC 1951, no further than a message may be long: a bomb costs no more than that (A46).
fn inflate(data: &[u8]) -> Result<String, Unreadable> {
    let mut xml = Vec::new();
    let one_more = u64::try_from(limits::XML_BYTES_MAX).map_or(u64::MAX, |bytes| bytes + 1);
    DeflateDecoder::new(data).take(one_more).read_to_end(&mut xml).map_err(|_| Unreadable::Encoding)?;
    if xml.len() > limits::XML_BYTES_MAX {
        return Err(Unreadable::TooLong);
    }
    String::from_utf8(xml).map_err(|_| Unreadable::Encoding)
}

fn deflate(text: &str) -> Vec<u8> {
    let mut encoder = flate2::read::DeflateEncoder::new(text.as_bytes(), flate2::Compression::default());
    let mut data = Vec::new();
    // Reading from memory does not fail.
    let _infallible = encoder.read_to_end(&mut data);
    data
}

/// SHA-256, in lower-case hex.
pub(super) fn fingerprint(data: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, data);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `length` bytes of the same letter, deflated: about a thousandth of that.
    fn bomb(length: usize) -> String {
        let query = deflate(&"a".repeat(length));
        utf8_percent_encode(&STANDARD.encode(query), ESCAPED).to_string()
    }

    #[test]
    fn a46_a_bomb_is_refused_and_costs_no_more_than_a_message() {
        assert!(Inbound::redirect(&format!("SAMLRequest={}", bomb(limits::XML_BYTES_MAX))).is_ok());
        for length in [limits::XML_BYTES_MAX + 1, 1 << 20, 100 << 20] {
            let bomb = bomb(length);
            assert!(bomb.len() < length / 100 + 200, "a bomb");
            assert_eq!(Inbound::redirect(&format!("SAMLRequest={bomb}")), Err(Unreadable::TooLong), "{length}");
        }
        // By a form nothing is inflated.
        let fields = [("SAMLRequest".to_owned(), STANDARD.encode("a".repeat(limits::XML_BYTES_MAX + 1)))];
        assert_eq!(Inbound::post(&fields), Err(Unreadable::TooLong));
    }

    #[test]
    fn a46_what_is_inflated_is_bounded_in_memory() {
        // The capacity, not only the length: what was allocated is what counts.
        let mut xml = Vec::new();
        let data = deflate(&"a".repeat(50 << 20));
        let limit = u64::try_from(limits::XML_BYTES_MAX).unwrap() + 1;
        DeflateDecoder::new(data.as_slice()).take(limit).read_to_end(&mut xml).unwrap();
        assert!(xml.capacity() <= 4 * limits::XML_BYTES_MAX, "{}", xml.capacity());
    }

    #[test]
    fn a_signature_is_over_the_octets_as_they_came() {
        let request = bomb(3);
        let query = format!("x=1&SigAlg=a%3Ab&RelayState=a%2fb+c&SAMLRequest={request}&Signature=AAAA");
        let inbound = Inbound::redirect(&query).unwrap();
        let detached = inbound.detached.unwrap();
        let expected = format!("SAMLRequest={request}&RelayState=a%2fb+c&SigAlg=a%3Ab");
        assert_eq!(String::from_utf8(detached.octets).unwrap(), expected);
        assert_eq!((detached.algorithm.as_str(), detached.value), ("a:b", vec![0, 0, 0]));
        assert_eq!((inbound.xml.as_str(), inbound.relay_state.as_deref()), ("aaa", Some("a/b c")));
    }

    #[test]
    fn what_is_not_encoded_as_the_binding_says_is_refused() {
        let good = bomb(3);
        for query in [
            format!("SAMLRequest={good}&SAMLRequest={good}"),
            format!("SAMLRequest={good}&RelayState=a&RelayState=b"),
            format!("SAMLRequest={good}&SigAlg=x"),
            format!("SAMLRequest={good}&Signature=AAAA"),
            format!("SAMLRequest={good}&SigAlg=x&Signature=!"),
            format!("SAMLRequest={good}&SAMLEncoding=none"),
            format!("SAMLRequest={good}&RelayState=%ff"),
            "SAMLRequest=!".to_owned(),
            format!("SAMLRequest={}", STANDARD.encode("<a/>")),
            format!("SAMLRequest={}", &good[..good.len() / 2]),
        ] {
            assert_eq!(Inbound::redirect(&query), Err(Unreadable::Encoding), "{query}");
        }
        assert_eq!(Inbound::redirect(""), Err(Unreadable::Missing));
        assert_eq!(Inbound::redirect("samlrequest=x"), Err(Unreadable::Missing));
        let long = "r".repeat(limits::RELAY_STATE_BYTES_MAX + 1);
        let query = format!("SAMLRequest={good}&RelayState={long}");
        assert_eq!(Inbound::redirect(&query), Err(Unreadable::TooLong));
        let twice = ["SAMLRequest", "SAMLRequest"].map(|name| (name.to_owned(), STANDARD.encode("<a/>")));
        assert_eq!(Inbound::post(&twice), Err(Unreadable::Encoding));
        assert_eq!(Inbound::post(&[("SAMLRequest".to_owned(), STANDARD.encode([0xff]))]), Err(Unreadable::Encoding));
    }
}
