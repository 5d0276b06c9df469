//! `canary-chain`, `canary-percent`, `canary-subjects` of `[applications.ID]`: who is decided by other policies.

use std::collections::BTreeSet;

use super::check::{Check, join};

/// What the audit writes before a subject's pseudonym.
const PSEUDONYM: &str = "pseudonym:";

/// A chain that decides for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// `canary-chain`: policy names, in order.
    pub chain: Vec<String>,
    /// `canary-percent`: of a hundred subjects; default 0.
    pub percent: u32,
    /// `canary-subjects`: by name; default none.
    pub subjects: BTreeSet<String>,
}

impl Canary {
    /// Is the subject one of those that are named, by itself or by its pseudonym (lower-case hex)?
    #[must_use]
    pub fn names(&self, subject: &str, pseudonym: &str) -> bool {
        // An address keeps its domain beside its pseudonym.
        let is_meant = |hex: &str| hex.split('@').next() == Some(pseudonym);
        self.subjects.contains(subject)
            || self.subjects.iter().any(|name| name.strip_prefix(PSEUDONYM).is_some_and(is_meant))
    }
}

/// The keys as they are written.
pub(super) struct RawCanary {
    pub(super) chain: Vec<String>,
    pub(super) percent: u32,
    pub(super) subjects: Vec<String>,
}

impl RawCanary {
    pub(super) fn check(self, check: &mut Check<'_>, section: &str) -> Option<Canary> {
        let Self { chain, percent, subjects } = self;
        let reaches_somebody = percent > 0 || !subjects.is_empty();
        let key = join(section, "canary-chain");
        if chain.is_empty() {
            if reaches_somebody {
                let hint = "name the policies, or take `canary-percent` and `canary-subjects` away";
                check.error(
                    section,
                    "there is no `canary-chain` for the canary's subjects",
                    "a list of policies",
                    hint,
                );
            }
            return None;
        }
        if !reaches_somebody {
            check.warn(&key, "it decides for nobody", "`canary-percent` or `canary-subjects` says for whom");
        }
        for (index, subject) in subjects.iter().enumerate() {
            if subject.trim().is_empty() {
                let expected = "a subject, or its pseudonym as the audit has it";
                check.error(&format!("{section}.canary-subjects[{index}]"), "the name is empty", expected, "");
            }
        }
        Some(Canary { chain, percent, subjects: subjects.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_named_by_themselves_or_by_their_pseudonyms() {
        let subjects = ["ann", "pseudonym:00ff", "pseudonym:aa11@example.com"].map(str::to_owned);
        let canary = Canary { chain: Vec::new(), percent: 0, subjects: subjects.into() };
        assert!(canary.names("ann", "1234") && canary.names("bob", "00ff") && canary.names("cid", "aa11"));
        assert!(!canary.names("dan", "1234") && !canary.names("00ff", "1234") && !canary.names("Ann", "1234"));
    }
}
