//! Which paths a pattern covers, in all the spellings in which a path can reach an
//! application.
//!
//! The gateway decides on the very bytes that the application gets, and applications read
//! them differently: some cut off `;x=y`, some know no case, some join `//`. So a path counts
//! as covered where any reading of it is. To be wrong here costs somebody a login too many.

use std::borrow::Cow;

use vestibule_policy::{
    pattern::{Casing, Matcher, Pattern},
    prelude::*,
};

/// Path patterns, ready to match.
#[derive(Debug, Default)]
pub(crate) struct Paths(Vec<Covers>);

#[derive(Debug)]
struct Covers {
    text: Matcher,
    /// `/admin` of the pattern `/admin/*`.
    folder: Option<Matcher>,
}

impl Paths {
    /// Reads patterns. What is wrong with them is noted under `at`.
    pub(crate) fn compile(patterns: &[String], at: &str, problems: &mut Problems) -> Self {
        let mut paths = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            let at = format!("{at}/{index}");
            if let Some(wrong) = fault(pattern) {
                problems.add(at, wrong);
                continue;
            }
            let compile = |text: &str| Pattern::Glob(text.to_owned()).compile(Casing::Insensitive);
            let folder = pattern.strip_suffix("/**").or_else(|| pattern.strip_suffix("/*"));
            let folder = folder.filter(|folder| !folder.is_empty()).and_then(|folder| compile(folder).ok());
            if let Some(text) = problems.take(at, compile(pattern)) {
                paths.push(Covers { text, folder });
            }
        }
        Self(paths)
    }

    /// Does a pattern cover one of the readings?
    pub(crate) fn cover(&self, readings: &[Cow<'_, str>]) -> bool {
        readings.iter().any(|path| self.0.iter().any(|covers| covers.matches(path)))
    }
}

impl Covers {
    fn matches(&self, path: &str) -> bool {
        self.text.matches(path) || self.folder.as_ref().is_some_and(|folder| folder.matches(path))
    }
}

/// Why a pattern could never cover what it seems to.
fn fault(pattern: &str) -> Option<&'static str> {
    let odd = |character: char| matches!(character, '#' | ';' | '%' | '\\') || character.is_control();
    if !pattern.starts_with('/') {
        return Some("a path pattern begins with `/`");
    }
    if pattern.contains(odd) {
        return Some("write the path plainly: without parameters, escapes, backslashes and `#`");
    }
    if pattern.contains('?') {
        return Some("a path has no query; `?` stands for nothing here, take `*`");
    }
    let has_odd_segment = pattern.split('/').any(|segment| segment == "." || segment == "..");
    (has_odd_segment || pattern.contains("//")).then_some("write the path without empty segments, `.` and `..`")
}

/// The ways in which applications may read `path`. The first is the path itself.
pub(crate) fn readings(path: &str) -> Vec<Cow<'_, str>> {
    let mut readings = vec![Cow::Borrowed(path)];
    let ends_plainly = path == "/" || !path.ends_with('/');
    let is_plain = ends_plainly && !path.contains(['%', ';', '\\']) && !path.contains("//") && !path.contains("/.");
    if is_plain {
        return readings;
    }
    let decoded = decode(path).replace('\\', "/");
    let cut_first = decode(&cut_parameters(path)).replace('\\', "/");
    // Parameters cut off before, after or not; dot segments followed or kept.
    for text in [cut_parameters(&cut_first), cut_parameters(&decoded), decoded] {
        for reading in [join(&text, false), join(&text, true)] {
            if !readings.iter().any(|known| *known == reading) {
                readings.push(Cow::Owned(reading));
            }
        }
    }
    readings
}

/// Percent-decodes until nothing is left to decode, so that a second decoder finds nothing
/// either. Each round makes the text shorter.
fn decode(path: &str) -> String {
    let mut text = path.to_owned();
    loop {
        let next = decode_once(&text);
        if next == text {
            return next;
        }
        text = next;
    }
}

fn decode_once(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Without `;…` in each segment.
fn cut_parameters(path: &str) -> String {
    let segments: Vec<_> = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    segments.join("/")
}

/// Without empty and `.` segments; `..` is followed or kept.
fn join(path: &str, follow: bool) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        if follow && segment == ".." {
            segments.pop();
        } else {
            segments.push(segment);
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, path: &str) -> bool {
        let mut problems = Problems::new();
        let paths = Paths::compile(&[pattern.to_owned()], "", &mut problems);
        assert!(problems.is_empty(), "{pattern}");
        paths.cover(&readings(path))
    }

    #[test]
    fn a17_covers_every_spelling_of_a_path() {
        for path in [
            "/secure/admin/x",
            "/SECURE/Admin/x",
            "/secure/admin",
            "/secure/admin/",
            "/secure//admin/x",
            "//secure/admin/x",
            "/./secure/./admin/x",
            "/browse/../secure/admin/x",
            "/browse/%2e%2e/secure/admin/x",
            "/browse/%252e%252e/secure/admin/x",
            "/secure/%61dmin/x",
            "/secure/%2561dmin/x",
            "/secure%2fadmin%2Fx",
            "/secure%5cadmin%5Cx",
            "/secure\\admin\\x",
            "/secure;v=1/admin;a=b;c/x",
            "/secure;v=1/admin%3ba=b/x",
            "/secure/admin;/x",
            "/secure/admin;/../admin/x",
            "/secure/admin/../x",
            "/secure/admin/..;/x",
            "/secure/admin/%2e%2e/x",
        ] {
            assert!(covers("/secure/admin/*", path), "{path}");
        }
    }

    #[test]
    fn covers_nothing_else() {
        for path in [
            "/",
            "",
            "/secure",
            "/secure/",
            "/secure/administrator",
            "/x/secure/admin",
            "/secureadmin/x",
            "/%zz",
            "/%",
            "/secure/%/admin",
        ] {
            assert!(!covers("/secure/admin/*", path), "{path}");
        }
        assert!(covers("/admin", "/admin/"), "a trailing slash");
        assert!(!covers("/admin", "/admin/x"));
        assert!(covers("/*", "/anything/at/all"));
        assert!(covers("/*", "/"));
    }

    #[test]
    fn decodes_what_no_utf_8_is_without_losing_the_rest() {
        assert!(covers("/admin/*", "/admin/%ff%fe/x"));
        assert!(covers("/admin/*", "/%61dmin/%c3%28"));
    }
}
