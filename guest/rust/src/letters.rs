//! Capital and small letters, where a name decides something.
//!
//! `to_lowercase` makes a `k` of the Kelvin sign (U+212A). Whoever is called `Kate` with that sign at an upstream would
//! be `kate` here, who is somebody else (CVE-2019-19844 is of this class). So there are two ways: [`lower`] for what
//! gives something, [`loosest`] for what keeps something out.

use std::borrow::Cow;

/// `text` in small letters, for a name that finds or grants something. A letter that shares its small letter with
/// another one, as the Kelvin sign does, stays as it is.
#[must_use]
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return ascii(text);
    }
    let is_shared = |letter: char| small(letter) == letter && !letter.to_lowercase().eq([letter]);
    Cow::Owned(match text.chars().any(is_shared) {
        true => text.chars().map(small).collect(),
        // Which knows the Greek sigma at the end of a word, too.
        false => text.to_lowercase(),
    })
}

/// The same letter by letter: what [`lower`] makes of a text by itself may be another than what it makes of it within a
/// longer one.
#[must_use]
pub fn small(letter: char) -> char {
    if letter.is_ascii() {
        return letter.to_ascii_lowercase();
    }
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(small), None) if small.to_uppercase().eq([letter]) => small,
        _ => letter,
    }
}

/// One text for all those that somebody might take for one who does not look at the case of letters: for names that are
/// to be kept out, whoever compares them afterwards. `K` and the Kelvin sign are one here, `s` and `ſ`, `ß` and `SS`.
#[must_use]
pub fn loosest(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return ascii(text);
    }
    let letters = text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    Cow::Owned(letters.collect())
}

/// Most names are no more than that, and cost no more.
fn ascii(text: &str) -> Cow<'_, str> {
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_ascii_lowercase()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_two_capitals_have_one_small_letter() {
        let mut capitals = BTreeMap::new();
        for letter in '\0'..=char::MAX {
            if small(letter) != letter {
                assert_eq!(capitals.insert(small(letter), letter), None, "{letter:?}");
                assert_eq!(letter.is_ascii(), small(letter).is_ascii(), "{letter:?}");
            }
        }
        assert!(capitals.len() > 1300, "{}", capitals.len());
    }

    #[test]
    fn real_names_become_small() {
        for (name, expected) in
            [("ADA", "ada"), ("Ünal", "ünal"), ("ΣΑΣ", "σας"), ("ЖЕНЯ", "женя"), ("ada", "ada"), ("Ada-2", "ada-2")]
        {
            assert_eq!(lower(name), expected);
        }
    }

    #[test]
    fn a_letter_that_looks_like_another_stays_itself() {
        for name in ["\u{212a}ate", "\u{212b}sa", "\u{2126}", "\u{130}da", "\u{131}da", "\u{17f}am", "\u{1e9e}"] {
            assert_eq!(lower(name), name);
        }
        assert_eq!(lower("\u{212a}ATE"), "\u{212a}ate");
    }

    #[test]
    fn what_somebody_might_take_for_one_is_one() {
        for (one, other) in [
            ("root", "ROOT"),
            ("kings", "\u{212a}ings"),
            ("users", "u\u{17f}ers"),
            ("stra\u{df}e", "STRASSE"),
            ("stra\u{df}e", "STRA\u{1e9e}E"),
            ("\u{3c3}\u{3b1}\u{3c2}", "\u{3a3}\u{391}\u{3a3}"),
        ] {
            assert_eq!(loosest(one), loosest(other), "{one} {other}");
        }
        for (one, other) in [("root", "r00t"), ("a", "\u{430}"), ("users", "user")] {
            assert_ne!(loosest(one), loosest(other), "{one} {other}");
        }
    }
}
