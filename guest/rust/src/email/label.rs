//! From a domain's label to its A-label, for the letters that have one form only.
//!
//! The whole of UTS #46 is some hundred kilobytes of tables, more than all else in a guest.
//! So labels are taken in an alphabet in which mapping and normalization change nothing but
//! the case, and combining marks do not occur; the rest is refused, never guessed at.
//! A test holds every letter of the alphabet to the `idna` crate's answer.

/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Letters in lower case which IDNA 2008 permits (RFC 5892, PVALID), which are unchanged by
/// NFKC, and which do not combine with what stands before them. In order.
const LETTERS: &[(char, char)] = &[
    // Latin
    ('\u{df}', '\u{f6}'),
    ('\u{f8}', '\u{12f}'),
    ('\u{131}', '\u{131}'),
    ('\u{135}', '\u{13e}'),
    ('\u{142}', '\u{148}'),
    ('\u{14b}', '\u{17e}'),
    // Greek
    ('\u{3ac}', '\u{3ce}'),
    // Cyrillic
    ('\u{430}', '\u{45f}'),
    ('\u{48b}', '\u{52f}'),
    // Armenian
    ('\u{561}', '\u{586}'),
    // Hebrew, Arabic
    ('\u{5d0}', '\u{5ea}'),
    ('\u{620}', '\u{63f}'),
    ('\u{641}', '\u{64a}'),
    ('\u{671}', '\u{674}'),
    ('\u{679}', '\u{6d3}'),
    // Georgian
    ('\u{10d0}', '\u{10fa}'),
    // Kana
    ('\u{3041}', '\u{3096}'),
    ('\u{30a1}', '\u{30fa}'),
    ('\u{30fc}', '\u{30fe}'),
    // Han, Hangul
    ('\u{3005}', '\u{3007}'),
    ('\u{3400}', '\u{4dbf}'),
    ('\u{4e00}', '\u{9fff}'),
    ('\u{ac00}', '\u{d7a3}'),
];

/// Is it a label of letters, digits and inner hyphens, in lower case?
pub(super) fn is_a_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= LABEL_BYTES_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Appends the A-label of `label`; none where it has a character outside of the alphabet.
pub(super) fn push_a_label(labels: &mut String, label: &str) -> Option<()> {
    if label.is_ascii() {
        labels.push_str(label);
        labels.make_ascii_lowercase();
        return Some(());
    }
    // Bounds the work: no label of this many letters fits, whatever they are.
    if label.len() > 4 * LABEL_BYTES_MAX {
        return None;
    }
    let letters: Option<Vec<char>> = label.chars().map(lower).collect();
    let letters = letters?;
    // RFC 5891 §4.2.3.1: not `xn--` with something beyond ASCII behind it.
    if letters.get(2..4) == Some(&['-', '-']) || letters.first() == Some(&'-') || letters.last() == Some(&'-') {
        return None;
    }
    labels.push_str("xn--");
    push_punycode(labels, &letters)
}

/// A letter of the alphabet in lower case. Rust's own table for that is 12 kB, a third of all
/// the data of a guest; these ranges are all that the alphabet needs.
fn lower(letter: char) -> Option<char> {
    let code = u32::from(letter);
    let even = code % 2 == 0;
    let offset = match code {
        0x41..=0x5a | 0xc0..=0xd6 | 0xd8..=0xde | 0x391..=0x3a1 | 0x3a3..=0x3ab | 0x410..=0x42f => 32,
        // Pairs of a capital and its small letter.
        0x100..=0x12f | 0x132..=0x137 | 0x14a..=0x177 | 0x48a..=0x4bf | 0x4d0..=0x52f if even => 1,
        0x139..=0x148 | 0x179..=0x17e | 0x4c1..=0x4ce if !even => 1,
        0x178 => return Some('\u{ff}'),
        0x386 => 38,
        0x388..=0x38a => 37,
        0x38c => 64,
        0x38e..=0x38f => 63,
        0x400..=0x40f => 80,
        0x4c0 => 15,
        0x531..=0x556 => 48,
        _ => 0,
    };
    let lower = char::from_u32(code + offset)?;
    (lower.is_ascii() || is_letter(lower)).then_some(lower)
}

fn is_letter(letter: char) -> bool {
    let after = LETTERS.partition_point(|&(first, _)| first <= letter);
    after.checked_sub(1).and_then(|index| LETTERS.get(index)).is_some_and(|&(_, last)| letter <= last)
}

/// RFC 3492 §6.3, with the parameters of §5.
fn push_punycode(output: &mut String, letters: &[char]) -> Option<()> {
    const BASE: u32 = 36;
    const T_MIN: u32 = 1;
    const T_MAX: u32 = 26;
    const DAMP: u32 = 700;
    const SKEW: u32 = 38;

    let basic = letters.iter().filter(|letter| letter.is_ascii());
    output.extend(basic.clone());
    let basic = u32::try_from(basic.count()).ok()?;
    if basic > 0 {
        output.push('-');
    }

    let (mut code, mut delta, mut bias, mut handled) = (0x80_u32, 0_u32, 72_u32, basic);
    let count = u32::try_from(letters.len()).ok()?;
    while handled < count {
        let next = letters.iter().map(|&letter| u32::from(letter)).filter(|&letter| letter >= code).min()?;
        delta = delta.checked_add((next - code).checked_mul(handled + 1)?)?;
        code = next;
        for letter in letters.iter().map(|&letter| u32::from(letter)) {
            if letter < code {
                delta = delta.checked_add(1)?;
            }
            if letter != code {
                continue;
            }
            let (mut rest, mut k) = (delta, BASE);
            loop {
                let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
                if rest < threshold {
                    break;
                }
                output.push(digit(threshold + (rest - threshold) % (BASE - threshold)));
                rest = (rest - threshold) / (BASE - threshold);
                k += BASE;
            }
            output.push(digit(rest));

            delta = if handled == basic { delta / DAMP } else { delta / 2 };
            handled += 1;
            delta += delta / handled;
            let mut k = 0;
            while delta > (BASE - T_MIN) * T_MAX / 2 {
                delta /= BASE - T_MIN;
                k += BASE;
            }
            bias = k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
            delta = 0;
        }
        delta += 1;
        code += 1;
    }
    Some(())
}

/// RFC 3492 §5: a–z, then 0–9.
fn digit(value: u32) -> char {
    let value = u8::try_from(value).unwrap_or(u8::MAX);
    char::from(if value < 26 { b'a' + value } else { b'0' + (value - 26) % 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_label(label: &str) -> Option<String> {
        let mut labels = String::new();
        push_a_label(&mut labels, label)?;
        is_a_label(&labels).then_some(labels)
    }

    /// UTS #46 as the `idna` crate has it, with nothing left out.
    fn idna(label: &str) -> Option<String> {
        idna::domain_to_ascii_strict(label).ok()
    }

    #[test]
    fn agrees_with_idna_on_every_letter_of_the_alphabet() {
        let mut letters = 0;
        for letter in '\u{80}'..=char::MAX {
            let Some(lower) = lower(letter) else { continue };
            letters += 1;
            // Behind a letter of its own, so that the direction of the script is one.
            let label: String = [lower, letter, lower].iter().collect();
            let ours = a_label(&label);
            assert!(ours.is_some(), "{letter:?} U+{:04X}", u32::from(letter));
            assert_eq!(ours, idna(&label), "{letter:?} U+{:04X}", u32::from(letter));
        }
        assert!(letters > 39_000, "{letters}");
    }

    #[test]
    fn agrees_with_the_whole_table_on_lower_case() {
        for letter in '\0'..=char::MAX {
            let mut table = letter.to_lowercase();
            let (Some(expected), None) = (table.next(), table.next()) else {
                assert_eq!(lower(letter), None, "{letter:?}");
                continue;
            };
            if let Some(lower) = lower(letter) {
                assert_eq!(lower, expected, "{letter:?}");
            } else {
                // Capitals with a small letter in the alphabet are all there, but for the
                // Georgian ones, the capital ß, and signs for units and variables.
                let is_known = matches!(
                    letter,
                    '\u{1c90}'..='\u{1cba}' | '\u{212a}' | '\u{212b}' | '\u{1e9e}' | '\u{3f4}' | '\u{2126}'
                );
                assert!(is_known || !is_letter(expected), "{letter:?}");
            }
        }
    }

    #[test]
    fn agrees_with_idna_on_mixed_labels() {
        // A fixed sequence in place of randomness (Knuth's MMIX constants).
        let mut state = 7_u64;
        let mut next = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap_or(0) % bound
        };
        // Scripts that are written from left to right: the others have rules on mixing.
        let alphabet: Vec<char> = ('a'..='z')
            .chain('0'..='9')
            .chain('\u{80}'..'\u{590}')
            .chain('\u{10a0}'..'\u{1100}')
            .chain('\u{3000}'..'\u{3100}')
            .chain('\u{4e00}'..'\u{4f00}')
            .chain('\u{ac00}'..'\u{ad00}')
            .filter(|&letter| lower(letter).is_some())
            .collect();
        for _ in 0..20_000 {
            let length = 1 + next(12);
            let label: String = (0..length).map(|_| alphabet[next(alphabet.len())]).collect();
            assert_eq!(a_label(&label), idna(&label), "{label}");
        }
    }

    #[test]
    fn refuses_what_is_outside_of_the_alphabet() {
        for label in [
            "\u{ff41}\u{e4}",
            "a\u{308}",
            "\u{17f}\u{e4}",
            "\u{130}",
            "\u{640}\u{628}",
            "\u{1f600}",
            "\u{e4}_b",
            "\u{e4} b",
            "-\u{e4}",
            "\u{e4}-",
            "xn--\u{e4}",
            "ab--\u{e4}",
        ] {
            assert_eq!(a_label(label), None, "{label:?}");
        }
        assert_eq!(a_label(&"\u{e4}".repeat(64)), None);
        assert_eq!(a_label(&"\u{e4}".repeat(100_000)), None);
    }
}
