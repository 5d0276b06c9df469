//! How powerful a group is, as far as a recording can tell.
//!
//! A group that the operator protects is the most powerful. Of the others, those are that few have: whoever
//! administers is in the minority. The measure is `1000` for a protected group; for another one `999` less the
//! share of the application's people who had it, in thousandths of `999`. A group that nobody had has `999`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{decision, identity::Identity};

/// Who had which group.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders {
    people: HashMap<String, HashSet<u64>>,
    groups: HashMap<String, HashMap<String, HashSet<u64>>>,
}

/// The power of a protected group.
pub(super) const PROTECTED: u32 = decision::POWER_MAX + 1;

impl Holders {
    /// Somebody was let into `application` with these groups.
    pub(super) fn note(&mut self, application: &str, identity: &Identity, groups: &[String]) {
        let person = number(identity);
        entry(&mut self.people, application).insert(person);
        let known = entry(&mut self.groups, application);
        for group in groups {
            entry(known, group).insert(person);
        }
    }

    /// Takes in what another thread counted.
    pub(super) fn add(&mut self, other: Self) {
        for (application, people) in other.people {
            self.people.entry(application).or_default().extend(people);
        }
        for (application, groups) in other.groups {
            let known = self.groups.entry(application).or_default();
            for (group, people) in groups {
                known.entry(group).or_default().extend(people);
            }
        }
    }

    /// How many had the group, and of how many.
    pub(super) fn of(&self, application: &str, group: &str) -> (usize, usize) {
        let holders = self.groups.get(application).and_then(|groups| groups.get(group)).map_or(0, HashSet::len);
        (holders, self.people.get(application).map_or(0, HashSet::len))
    }

    /// From 0 to [`PROTECTED`].
    pub(super) fn power(&self, application: &str, group: &str, protected: &BTreeMap<String, BTreeSet<String>>) -> u32 {
        if protected.get(application).is_some_and(|protected| protected.contains(group)) {
            return PROTECTED;
        }
        let (holders, people) = self.of(application, group);
        decision::power(holders, people)
    }
}

/// No copy of a name that is known.
fn entry<'m, T: Default>(map: &'m mut HashMap<String, T>, name: &str) -> &'m mut T {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), T::default());
    }
    // It was put in just now.
    map.entry(name.to_owned()).or_default()
}

/// Stands for a person. Two of a million have the same one with a chance of less than one in ten million; the
/// count of a group's people would be off by one.
fn number(identity: &Identity) -> u64 {
    let text = format!("{}\0{}", identity.issuer, identity.subject);
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_and_what_few_have_ranks_highest() {
        let mut holders = Holders::default();
        for number in 0..10 {
            let mut identity = crate::policy::testing::identity();
            identity.subject = format!("s{number}");
            let groups: &[String] =
                if number == 0 { &["staff".to_owned(), "admins".to_owned()] } else { &["staff".to_owned()] };
            holders.note("wiki", &identity, groups);
            // The same person twice is one person.
            holders.note("wiki", &identity, groups);
        }
        let protected = BTreeMap::from([("wiki".to_owned(), BTreeSet::from(["root".to_owned()]))]);
        let power = |group: &str| holders.power("wiki", group, &protected);
        assert_eq!(holders.of("wiki", "staff"), (10, 10));
        assert_eq!([power("root"), power("new"), power("admins"), power("staff")], [1000, 999, 900, 0]);
        assert_eq!(holders.power("files", "staff", &protected), 999);
    }
}
