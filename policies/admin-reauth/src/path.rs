//! Which paths a pattern covers, in the spellings in which a path can reach an application.
//!
//! The gateway has made one form of escapes, empty segments and dots before it asks, and
//! refuses what has none. What is left, applications read differently: some cut off `;x=y`,
//! some know no case. So a path counts as covered where any reading of it is. To be wrong
//! here costs somebody a login too many. What a URL has to escape (`/my%20files`) is compared
//! as what it stands for, as which an operator writes it.

use std::borrow::Cow;

use vestibule_policy::{
    path::decoded,
    pattern::{Casing, Glob},
    prelude::*,
};

/// Path patterns, ready to match.
#[derive(Debug, Default)]
pub(crate) struct Paths(Vec<Covers>);

#[derive(Debug)]
struct Covers {
    text: Glob,
    /// `/admin` of the pattern `/admin/*`.
    folder: Option<Glob>,
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
            let folder = pattern.strip_suffix("/**").or_else(|| pattern.strip_suffix("/*"));
            let folder = folder.filter(|folder| !folder.is_empty());
            let glob = |text: &str| Glob::new(text, Casing::Insensitive);
            paths.push(Covers { text: glob(pattern), folder: folder.map(glob) });
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

/// The ways in which applications may read `path`. The first is the path itself, decoded.
pub(crate) fn readings(path: &str) -> Vec<Cow<'_, str>> {
    let path = decoded(path);
    let mut readings = vec![path.clone()];
    if path.contains(';') {
        let segments: Vec<_> = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
        readings.push(Cow::Owned(segments.join("/")));
    }
    // Of each: an application that cuts off `;x` of `/admin;x/` may do without the slash, too.
    let bare = |reading: &Cow<'_, str>| Cow::Owned(reading.trim_end_matches('/').to_owned());
    let without_slash: Vec<_> = readings.iter().filter(|reading| reading.ends_with('/')).map(bare).collect();
    readings.extend(without_slash);
    readings
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
    fn a17_covers_every_spelling_that_the_gateway_lets_through() {
        for path in [
            "/secure/admin/x",
            "/SECURE/Admin/x",
            "/secure/admin",
            "/secure/admin/",
            "/secure;v=1/admin;a=b;c/x",
            "/secure/admin;/x",
            "/secure/admin;jsessionid=1",
            "/Secure;/admin/",
        ] {
            assert!(covers("/secure/admin/*", path), "{path}");
        }
        for path in ["/admin", "/ADMIN", "/admin/", "/admin;x", "/admin;x/", "/Admin;x=y;z/", "/admin;/"] {
            assert!(covers("/admin", path), "{path}");
        }
    }

    #[test]
    fn a17_covers_what_a_url_escapes() {
        for path in ["/my%20files/x", "/MY%20Files", "/my%20files;x/"] {
            assert!(covers("/my files/*", path), "{path}");
        }
        for path in ["/gr%C3%B6%C3%9Fe", "/GR%C3%96%C3%9Fe/", "/gr%c3%b6%c3%9fe;x"] {
            assert!(covers("/gr\u{f6}\u{df}e", path), "{path}");
        }
        for path in ["/my+files/x", "/myfiles", "/my%2520files/x"] {
            assert!(!covers("/my files/*", path), "{path}");
        }
    }

    #[test]
    fn covers_nothing_else() {
        for path in ["/", "", "/secure", "/secure/", "/secure/administrator", "/x/secure/admin", "/secureadmin/x"] {
            assert!(!covers("/secure/admin/*", path), "{path}");
        }
        assert!(covers("/admin", "/admin/"), "a trailing slash");
        assert!(!covers("/admin", "/admin/x"));
        assert!(covers("/*", "/anything/at/all"));
        assert!(covers("/*", "/"));
    }
}
