//! A list of domains as operators write it: `a.com; .b.org`.

use super::normalize_domain;

/// Domains, and domains with all that is below them.
///
/// `a.com` is that domain alone; `.a.com` is every domain below it, but not `a.com` itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    /// Sorted.
    exact: Vec<Box<str>>,
    /// Sorted, without the leading dot.
    below: Vec<Box<str>>,
}

impl Domains {
    /// Reads a list: split at `;`, parts trimmed, empty parts dropped.
    ///
    /// # Errors
    ///
    /// What is wrong with each part that is no domain.
    pub fn parse(list: &str) -> Result<Self, Vec<String>> {
        let mut domains = Self::default();
        let mut problems = Vec::new();
        for part in list.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, kind) = match part.strip_prefix('.') {
                Some(name) => (name, &mut domains.below),
                None => (part, &mut domains.exact),
            };
            match normalize_domain(name) {
                Some(name) => kind.push(name.into()),
                None => problems.push(explain(part)),
            }
        }
        domains.exact.sort_unstable();
        domains.below.sort_unstable();
        if problems.is_empty() { Ok(domains) } else { Err(problems) }
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }

    /// Is `domain` in the list? It must be normalized, as [`super::domain`] and
    /// [`normalize_domain`] return it.
    #[must_use]
    pub fn contains(&self, domain: &str) -> bool {
        let holds = |list: &[Box<str>], name: &str| list.binary_search_by(|entry| (**entry).cmp(name)).is_ok();
        holds(&self.exact, domain)
            || (!self.below.is_empty()
                && domain
                    .match_indices('.')
                    .any(|(dot, _)| domain.get(dot + 1..).is_some_and(|parent| holds(&self.below, parent))))
    }
}

fn explain(part: &str) -> String {
    if let Some(name) = part.strip_prefix("*.") {
        return format!("`{part}` is no domain; every subdomain is written `.{name}`");
    }
    if part.contains('@') {
        return format!("`{part}` is no domain; leave out the `@` and what stands before it");
    }
    if part.contains([',', ' ']) {
        return format!("`{part}` is no domain; domains are separated by `;`");
    }
    if !part.is_ascii() {
        return format!("`{part}` cannot be compared safely; write its A-labels (`xn--…`)");
    }
    format!("`{part}` is no domain")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Domains {
        Domains::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    #[test]
    fn a33_reads_the_semicolon_list_of_the_original_setting() {
        let domains = list("a.com; B.org;;");
        assert!(domains.contains("a.com"));
        assert!(domains.contains("b.org"));
        for other in ["sub.a.com", "a.com.evil.io", "xa.com", "com", "org", "", "a.co", "a.comx"] {
            assert!(!domains.contains(other), "{other}");
        }
    }

    #[test]
    fn a33_takes_a_leading_dot_for_every_subdomain() {
        let domains = list(" .a.com ;.bücher.example");
        for inside in ["sub.a.com", "x.sub.a.com", "www.xn--bcher-kva.example"] {
            assert!(domains.contains(inside), "{inside}");
        }
        for outside in ["a.com", "xa.com", "sub.xa.com", "a.com.evil.io", "sub.a.com.evil.io"] {
            assert!(!domains.contains(outside), "{outside}");
        }
    }

    #[test]
    fn reads_a_list_of_nothing_as_empty() {
        for text in ["", ";", " ; ;;\n"] {
            assert!(list(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_each_part() {
        let problems = Domains::parse("*.a.com; u@a.com; a.com, b.com; ok.com; a..b; a.com.; ..a.com; .; ａ.com");
        let problems = problems.expect_err("nine parts, one of them right");
        assert_eq!(problems.len(), 8, "{problems:#?}");
        assert!(problems[0].contains("`.a.com`"), "{problems:#?}");
    }
}
