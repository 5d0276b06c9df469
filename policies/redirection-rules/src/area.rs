//! Parts of an application with single sign-on on or off, by path.

use vestibule_policy::{path::decoded, pattern::Matcher, prelude::*};

/// An area, ready to be matched. One with single sign-on has a path in any case and with or without escapes: an
/// application may read it so. One without has it as it is written.
#[derive(Debug)]
pub(crate) struct Area {
    pub(crate) paths: Vec<Matcher>,
    pub(crate) applications: Vec<Matcher>,
    pub(crate) sso: bool,
}

impl Area {
    pub(crate) fn covers(&self, application: &str, path: &str) -> bool {
        let matches = |matchers: &[Matcher], text: &str| matchers.iter().any(|matcher| matcher.matches(text));
        (self.applications.is_empty() || matches(&self.applications, application))
            && (matches(&self.paths, path) || self.sso && matches(&self.paths, &decoded(path)))
    }
}

/// The path that the person wanted, where it is known and plain.
///
/// A path that could be read in two ways is in no area: single sign-on is asked for, which
/// is the side that is safe to be wrong on.
pub(crate) fn wanted_path(context: &Context) -> Option<&str> {
    let wanted = context.fact("request.target").or_else(|| context.fact("request.path"))?.text()?;
    let path = match wanted.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?', '#']).map_or("/", |start| rest.get(start..).unwrap_or("/")),
        None => wanted,
    };
    let path = path.split(['?', '#']).next()?;
    (path.starts_with('/') && is_plain(path)).then_some(path)
}

/// No dot segments, empty segments, parameters or control characters, plain or encoded.
fn is_plain(path: &str) -> bool {
    let has_odd_character = path.chars().any(|character| matches!(character, '\\' | ';') || character.is_control());
    let mut escapes = path.split('%').skip(1);
    let has_odd_escape = escapes.any(|rest| {
        let digits = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        digits.is_none_or(|byte| byte.is_ascii())
    });
    let mut segments = path.split('/').skip(1).peekable();
    let mut has_odd_segment = false;
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        has_odd_segment |= segment == "." || segment == ".." || (segment.is_empty() && !is_last);
    }
    !(has_odd_character || has_odd_escape || has_odd_segment)
}
