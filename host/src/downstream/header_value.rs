//! Text as the value of an identity header.
//!
//! Printable ASCII stands for itself; every other character, `%`, and a blank at either end
//! become the percent-encoding of their UTF-8 octets, so that percent-decoding gives the
//! text back. In a list, `,` separates and is itself encoded within an item. Control
//! characters are refused: nobody has a line break in a name, but a header has two readings
//! of it.

use http::HeaderValue;

/// The text holds a control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value holds a control character")]
pub struct UnsafeValue;

/// One text.
///
/// # Errors
///
/// Where `text` holds a control character.
pub fn encode(text: &str) -> Result<HeaderValue, UnsafeValue> {
    let mut bytes = Vec::with_capacity(text.len());
    push(&mut bytes, text, false)?;
    HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).map_err(|_| UnsafeValue)
}

/// A list of texts, separated by commas.
///
/// # Errors
///
/// Where one of `texts` holds a control character.
pub fn encode_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<HeaderValue, UnsafeValue> {
    let mut bytes = Vec::new();
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        push(&mut bytes, text, true)?;
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).map_err(|_| UnsafeValue)
}

fn push(bytes: &mut Vec<u8>, text: &str, in_list: bool) -> Result<(), UnsafeValue> {
    // C1 controls (U+0080 to U+009F) count, too.
    if text.chars().any(char::is_control) {
        return Err(UnsafeValue);
    }
    let last = text.len().saturating_sub(1);
    for (index, byte) in text.bytes().enumerate() {
        let literal = match byte {
            b'%' => false,
            b',' => !in_list,
            b' ' => index != 0 && index != last,
            _ => byte.is_ascii_graphic(),
        };
        if literal {
            bytes.push(byte);
        } else {
            bytes.extend_from_slice(percent_encoding::percent_encode_byte(byte).as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ascii_stands_for_itself() {
        assert_eq!(encode("Ada Lovelace <ada@example.com>").unwrap(), "Ada Lovelace <ada@example.com>");
        assert_eq!(encode("a,b").unwrap(), "a,b");
        assert_eq!(encode("").unwrap(), "");
    }

    #[test]
    fn the_rest_is_percent_encoded_utf8() {
        assert_eq!(encode("Zoë").unwrap(), "Zo%C3%AB");
        assert_eq!(encode(" 100% ").unwrap(), "%20100%25%20");
        assert_eq!(encode_list(["staff", "R&D, Zürich", "100%"]).unwrap(), "staff,R&D%2C Z%C3%BCrich,100%25");
        assert_eq!(encode_list([]).unwrap(), "");
    }

    #[test]
    fn a84_refuses_every_control_character() {
        for control in (0..=0x9f).filter_map(char::from_u32).filter(|character| character.is_control()) {
            let text = format!("ada{control}X-Forwarded-User: root");
            assert_eq!(encode(&text), Err(UnsafeValue), "{control:?}");
            assert_eq!(encode_list(["staff", &text]), Err(UnsafeValue), "{control:?}");
        }
    }

    proptest! {
        #[test]
        fn decoding_gives_the_text_back(texts in proptest::collection::vec("[^\\p{Cc}]{1,8}", 1..4)) {
            let value = encode_list(texts.iter().map(String::as_str)).unwrap();
            let back: Vec<_> = value.to_str().unwrap().split(',')
                .map(|text| percent_decode_str(text).decode_utf8().unwrap().into_owned()).collect();
            prop_assert_eq!(back, texts);
        }
    }
}
