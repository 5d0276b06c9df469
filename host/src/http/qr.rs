//! A QR code (ISO/IEC 18004) as an SVG that stands in the page itself: nothing is fetched for it,
//! and no other site learns what is in it.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code, as many as ISO/IEC 18004 §9.1 asks for.
const QUIET: i32 = 4;

/// `text` as an SVG; none where it is too long for a code. What is in it are numbers alone.
pub(super) fn svg(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size()).take_while(|x| code.get_module(*x, y)).count();
            let run = i32::try_from(run).ok()?;
            if run > 0 {
                write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET).ok()?;
            }
            x += run + 1;
        }
    }
    let size = code.size() + 2 * QUIET;
    // Black on white, whatever the page's colours are: readers expect it.
    Some(format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"QR code\" viewBox=\"0 0 {size} {size}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{size}v{size}H0z\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_every_dark_module_and_nothing_else() {
        let text = "otpauth://totp/Gate:ann?secret=MZXW6YTBOI&issuer=Gate";
        let svg = svg(text).unwrap();
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).unwrap();
        let dark = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
        let dark = dark.filter(|(x, y)| code.get_module(*x, *y)).count();
        let path = svg.rsplit("d=\"").next().unwrap();
        let drawn: usize = path
            .split('h')
            .skip(1)
            .step_by(2)
            .map(|run| run.split('v').next().unwrap().parse::<usize>().unwrap())
            .sum();
        assert_eq!(drawn, dark);
    }

    #[test]
    fn nothing_of_the_text_is_markup() {
        let svg = svg("<script>alert(1)</script>").unwrap();
        assert!(!svg.contains("script") && !svg.contains("style="), "{svg}");
        assert_eq!(super::svg(&"x".repeat(10_000)), None);
    }
}
