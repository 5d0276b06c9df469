//! How policies match texts: exact, suffix, glob, and, behind the feature `regex`, regular
//! expressions.
//!
//! Three of the four need no table and little code. A regular expression is most of a
//! guest's size and load time, so only the policies that offer it switch the feature on.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::letters;

/// Does the case of letters count?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Casing {
    /// `Dev` is not `dev`.
    #[default]
    Sensitive,
    /// `Dev` is `dev`.
    Insensitive,
}

/// A pattern as an operator writes it: a table with one key, such as `{ suffix = "-admins" }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Pattern {
    /// The whole text.
    Exact(String),
    /// The text's end.
    Suffix(String),
    /// The whole text, where `*` stands for any characters, and `?` for one.
    Glob(String),
    /// The whole text, as a regular expression in the syntax of Rust's `regex`. It is
    /// anchored at both ends: write `.*` where it may be longer.
    #[cfg(feature = "regex")]
    Regex(String),
}

impl Pattern {
    /// The pattern's text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Suffix(text) | Self::Glob(text) => text,
            #[cfg(feature = "regex")]
            Self::Regex(text) => text,
        }
    }

    /// Makes it ready to match. Call this in `configure`.
    ///
    /// # Errors
    ///
    /// What is wrong with the pattern, in words for the operator.
    pub fn compile(&self, casing: Casing) -> Result<Matcher, String> {
        if self.text().is_empty() {
            return Err("the pattern is empty".to_owned());
        }
        let fold = |text: &String| fold(text, casing).into_owned().into_boxed_str();
        let rule = match self {
            Self::Exact(text) => Rule::Exact(fold(text)),
            Self::Suffix(text) => Rule::Suffix(fold(text)),
            Self::Glob(text) if !text.contains(['*', '?']) => Rule::Exact(fold(text)),
            Self::Glob(text) => Rule::Glob(fold(text)),
            #[cfg(feature = "regex")]
            Self::Regex(text) => return compile_regex(text, casing).map(|rule| Matcher { rule, casing }),
        };
        Ok(Matcher { rule, casing })
    }
}

/// A pattern that is ready to match.
#[derive(Clone, Debug)]
pub struct Matcher {
    rule: Rule,
    casing: Casing,
}

#[derive(Clone, Debug)]
enum Rule {
    Exact(Box<str>),
    Suffix(Box<str>),
    Glob(Box<str>),
    #[cfg(feature = "regex")]
    Regex(regex::Regex),
}

impl Matcher {
    /// Does `text` fit?
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.rule {
            Rule::Exact(pattern) => *fold(text, self.casing) == **pattern,
            Rule::Suffix(pattern) => fold(text, self.casing).ends_with(&**pattern),
            Rule::Glob(pattern) => glob(pattern, &fold(text, self.casing)),
            #[cfg(feature = "regex")]
            Rule::Regex(regex) => regex.is_match(text),
        }
    }
}

/// A glob by itself, for policies that take globs and nothing else.
///
/// Policies of a workspace that are built together share this crate's features. One that
/// uses [`Pattern`] then carries regular expressions, whether it offers them or not; one that
/// uses this type does not.
#[derive(Clone, Debug)]
pub struct Glob {
    text: Box<str>,
    casing: Casing,
}

impl Glob {
    /// A glob: `*` stands for any characters, and `?` for one.
    #[must_use]
    pub fn new(text: &str, casing: Casing) -> Self {
        Self { text: fold(text, casing).into(), casing }
    }

    /// Does `text` fit, the whole of it?
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        glob(&self.text, &fold(text, self.casing))
    }
}

/// Lower case, letter by letter, where the case does not count.
fn fold(text: &str, casing: Casing) -> Cow<'_, str> {
    match casing {
        Casing::Sensitive => Cow::Borrowed(text),
        Casing::Insensitive if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) => {
            Cow::Owned(text.chars().map(letters::small).collect())
        }
        Casing::Insensitive => Cow::Borrowed(text),
    }
}

/// Matches in at most `pattern × text` steps: only the last `*` is ever tried again.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // What follows the last `*`, and the text from which it was last tried.
    let mut last_star = None;
    loop {
        let text_here = text.clone();
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                text = text_here.clone();
                last_star = Some((pattern.clone(), text_here));
            }
            (Some('?'), Some(_)) => {}
            (Some(expected), Some(found)) if expected == found => {}
            (None, None) => return true,
            _ => {
                // Let the last `*` take one character more.
                let Some((after_star, from)) = &mut last_star else { return false };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), from.clone());
            }
        }
    }
}

#[cfg(feature = "regex")]
fn compile_regex(text: &str, casing: Casing) -> Result<Rule, String> {
    /// A larger program is refused, because each instance would carry it.
    const PROGRAM_BYTES_MAX: usize = 256 << 10;
    /// The compiler calls itself for each level, and some twenty fill a stack of 16 KiB: the
    /// operator is to read what is wrong, not that the policy trapped.
    const NESTING_MAX: u32 = 16;

    let build = |pattern: &str, nesting: u32| {
        regex::RegexBuilder::new(pattern)
            .case_insensitive(casing == Casing::Insensitive)
            .size_limit(PROGRAM_BYTES_MAX)
            .nest_limit(nesting)
            .build()
            .map_err(|error| error.to_string())
    };
    // Alone first: `a)|(b` is no expression, though it is one between parentheses.
    build(text, NESTING_MAX)?;
    let regex = build(&format!(r"\A(?:{text})\z"), NESTING_MAX + 2)?;
    // The first match makes the caches, which then are in the snapshot.
    let _ = regex.is_match(text);
    Ok(Rule::Regex(regex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: Pattern, text: &str) -> bool {
        pattern.compile(Casing::Sensitive).unwrap_or_else(|error| panic!("{error}")).matches(text)
    }

    #[test]
    fn matches_the_whole_text_or_its_end() {
        assert!(matches(Pattern::Exact("dev".into()), "dev"));
        for other in ["Dev", "devs", "a-dev", ""] {
            assert!(!matches(Pattern::Exact("dev".into()), other), "{other}");
        }
        assert!(matches(Pattern::Suffix("-admins".into()), "jira-admins"));
        assert!(!matches(Pattern::Suffix("-admins".into()), "jira-admins-2"));
    }

    #[test]
    fn a_glob_by_itself_matches_like_a_pattern() {
        for casing in [Casing::Sensitive, Casing::Insensitive] {
            for (pattern, text) in [("/a/*", "/a/b/c"), ("/A/*", "/a/b"), ("a", "A"), ("a?", "a"), ("*ß", "GROß")] {
                let as_pattern = Pattern::Glob(pattern.into()).compile(casing).expect("a pattern");
                assert_eq!(Glob::new(pattern, casing).matches(text), as_pattern.matches(text), "{pattern} {text}");
            }
        }
        assert!(Glob::new("/Admin/*", Casing::Insensitive).matches("/aDMIN/x"));
        assert!(!Glob::new("/admin/*", Casing::Sensitive).matches("/Admin/x"));
    }

    #[test]
    fn matches_globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("?", "", false),
            ("?", "ü", true),
            ("a*", "a", true),
            ("a*b", "ab", true),
            ("a*b", "axxb", true),
            ("a*b", "axxbc", false),
            ("*.a.com", "sub.a.com", true),
            ("*.a.com", "a.com", false),
            ("a**b*?c", "axbxc", true),
            ("a?c", "ac", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxcxxbxxaxx", false),
            ("[ab]", "a", false),
            ("jira-*", "jira-üsers", true),
        ] {
            assert_eq!(matches(Pattern::Glob(pattern.into()), text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn matches_a_malicious_glob_in_bounded_time() {
        let pattern = format!("{}b", "a*".repeat(200));
        assert!(!matches(Pattern::Glob(pattern), &"a".repeat(20_000)));
    }

    #[test]
    fn folds_case_only_where_the_setting_says_so() {
        let pattern = Pattern::Glob("Jira-Ä*".into());
        let insensitive = pattern.compile(Casing::Insensitive).expect("a glob");
        assert!(insensitive.matches("JIRA-äB"));
        let sensitive = pattern.compile(Casing::Sensitive).expect("a glob");
        assert!(!sensitive.matches("JIRA-äB"));
        assert!(sensitive.matches("Jira-ÄB"));
    }

    #[test]
    fn refuses_an_empty_pattern() {
        for pattern in [Pattern::Exact(String::new()), Pattern::Suffix(String::new()), Pattern::Glob(String::new())] {
            pattern.compile(Casing::Sensitive).expect_err("empty");
        }
    }

    #[test]
    fn reads_a_table_with_one_key() {
        let read = |json: &str| serde_json::from_str::<Pattern>(json);
        assert_eq!(read(r#"{"suffix":"-x"}"#).expect("a pattern"), Pattern::Suffix("-x".into()));
        for json in [r#"{}"#, r#"{"exact":"a","glob":"b"}"#, r#"{"prefix":"a"}"#, r#""a""#] {
            read(json).expect_err(json);
        }
    }

    #[cfg(feature = "regex")]
    mod regex {
        use super::*;

        #[test]
        fn anchors_at_both_ends() {
            let pattern = Pattern::Regex(r"a\.com|b\.org".into());
            for (text, expected) in
                [("a.com", true), ("b.org", true), ("a.com.evil.io", false), ("xb.org", false), ("a.com\n", false)]
            {
                assert_eq!(matches(pattern.clone(), text), expected, "{text:?}");
            }
        }

        #[test]
        fn refuses_what_would_escape_the_anchors_or_grow_without_bound() {
            for text in ["a)|(b", "(", "(?x) a # b", r"(\w{1000}){1000}", &"(".repeat(100)] {
                Pattern::Regex(text.into()).compile(Casing::Sensitive).expect_err(text);
            }
        }

        #[test]
        fn refuses_nesting_that_would_overflow_a_small_stack() {
            let nested = |levels: usize| Pattern::Regex(format!("{}a{}", "(".repeat(levels), ")".repeat(levels)));
            nested(15).compile(Casing::Sensitive).expect("fifteen levels");
            for levels in [17, 30, 1_000, 100_000] {
                nested(levels).compile(Casing::Sensitive).expect_err("too deep");
            }
        }

        #[test]
        fn folds_case() {
            let matcher = Pattern::Regex("jira-ä.*".into()).compile(Casing::Insensitive).expect("a regex");
            assert!(matcher.matches("JIRA-Äxy"));
        }
    }
}
