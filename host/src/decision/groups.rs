//! From a plan of groups to what changes in the application.
//!
//! Words, here and everywhere: *reported* is what the upstream's claim says, *granted* is
//! what the policies decided, *current* is what the account has.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Account, Difference, Reason};

/// One granted group and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The application's name for the group.
    pub group: String,
    /// Why it is granted.
    pub because: Reason,
}

/// Which groups the subject is to have in the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The granted groups.
    pub grants: Vec<Grant>,
    /// Take away the account's other groups. False keeps them.
    #[serde(default)]
    pub replace: bool,
    /// Make groups that the application does not know. False drops such grants.
    #[serde(default)]
    pub create_missing: bool,
    /// Groups that must not change either way.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Leave the groups of an existing account as they are.
    #[serde(default)]
    pub leave: bool,
}

/// The most powerful group that is not protected.
pub const POWER_MAX: u32 = 999;

/// How powerful a group is: whoever administers is in the minority, so `999` less the share of those who have it, in
/// thousandths of `999`. A group that all have has 0, one that nobody has 999.
#[must_use]
pub fn power(holders: usize, people: usize) -> u32 {
    let most = usize::try_from(POWER_MAX).unwrap_or(usize::MAX);
    let share = holders.saturating_mul(most).checked_div(people).unwrap_or_default();
    u32::try_from(most.saturating_sub(share)).unwrap_or_default()
}

/// What the operator decided about an application's groups, whatever a policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Groups that a login never changes.
    pub protected: BTreeSet<String>,
    /// The groups that the application knows; none where nobody told us, and then every
    /// group counts as known.
    pub known: Option<BTreeSet<String>>,
}

/// Takes out of `plan` what must not be granted: excluded and protected groups, doubles,
/// and groups that the application does not know while none may be created. Returns the
/// dropped grants, each with the reason (`group-excluded`, `group-protected`,
/// `group-unknown`).
///
/// Runs after each policy of the chain, so that "is any group mapped?" has one answer for
/// the policies that follow.
pub fn prune(plan: &mut Plan, rules: &Rules) -> Vec<Grant> {
    let (protected, excluded) = (Kept::of(&rules.protected), Kept::of(&plan.exclude));
    let create_missing = plan.create_missing;
    let doubles = doubles(&plan.grants);
    let mut dropped = Vec::new();
    let mut index = 0;
    plan.grants.retain(|grant| {
        let group = grant.group.as_str();
        let is_double = doubles.binary_search(&index).is_ok();
        index += 1;
        let code = if protected.has(group) {
            "group-protected"
        } else if excluded.has(group) {
            "group-excluded"
        } else if !create_missing && rules.known.as_ref().is_some_and(|known| !known.contains(group)) {
            "group-unknown"
        } else {
            return !is_double;
        };
        dropped.push(Grant { group: grant.group.clone(), because: Reason::new(code, "") });
        false
    });
    dropped
}

/// Names of groups that a login does not change, in whatever spelling: an application may know no case, and takes
/// `ROOT` for `root`.
struct Kept<'a>(BTreeSet<Cow<'a, str>>);

impl<'a> Kept<'a> {
    fn of(names: impl IntoIterator<Item = &'a String>) -> Self {
        Self(names.into_iter().map(|name| loosest(name.trim())).collect())
    }

    fn has(&self, group: &str) -> bool {
        !self.0.is_empty() && self.0.contains(loosest(group.trim()).as_ref())
    }
}

/// One text for all those that somebody might take for one who does not look at the case of letters: `k` and the Kelvin
/// sign are one, and `s` and `\u{17f}`.
fn loosest(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        return if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) };
    }
    let letters = name.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    Cow::Owned(letters.collect())
}

/// The places of grants of a group that an earlier grant names, in order.
fn doubles(grants: &[Grant]) -> Vec<usize> {
    let mut places: Vec<(&str, usize)> = grants.iter().map(|grant| &*grant.group).zip(0..).collect();
    places.sort_unstable();
    let pairs = places.windows(2).filter_map(|pair| match pair {
        [(one, _), (other, place)] if one == other => Some(*place),
        _ => None,
    });
    let mut doubles: Vec<usize> = pairs.collect();
    doubles.sort_unstable();
    doubles
}

/// What changes in the application: `groups.md`'s rules 2, 3, 5 and 6 (see
/// `docs/groups.md`), with the operator's protected groups on top.
#[must_use]
pub fn difference(plan: &Plan, account: Option<&Account>, rules: &Rules) -> Difference {
    let mut plan = plan.clone();
    prune(&mut plan, rules);
    let kept = Kept::of(plan.exclude.iter().chain(&rules.protected));
    let granted: BTreeSet<String> = plan.grants.iter().map(|grant| grant.group.clone()).collect();
    let current: BTreeSet<String> = account.map(|account| account.groups.iter().cloned().collect()).unwrap_or_default();
    if plan.leave && account.is_some() {
        return Difference { added: Vec::new(), removed: Vec::new(), groups: current.into_iter().collect() };
    }
    let added: BTreeSet<String> = granted.difference(&current).cloned().collect();
    let removed: BTreeSet<String> = if plan.replace {
        current.difference(&granted).filter(|group| !kept.has(group)).cloned().collect()
    } else {
        BTreeSet::new()
    };
    let groups = current.union(&added).filter(|group| !removed.contains(*group)).cloned().collect();
    Difference { added: added.into_iter().collect(), removed: removed.into_iter().collect(), groups }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(grants: &[&str]) -> Plan {
        Plan {
            grants: grants
                .iter()
                .map(|group| Grant { group: (*group).to_owned(), because: Reason::new("mapped", "") })
                .collect(),
            ..Plan::default()
        }
    }

    fn account(groups: &[&str]) -> Account {
        Account { active: true, groups: groups.iter().map(|group| (*group).to_owned()).collect(), ..Account::default() }
    }

    fn known(groups: &[&str]) -> Rules {
        Rules { known: Some(groups.iter().map(|group| (*group).to_owned()).collect()), ..Rules::default() }
    }

    #[test]
    fn a70_adds_what_is_granted_removes_what_is_not_and_leaves_what_is_excluded() {
        let plan = Plan { replace: true, exclude: vec!["local1".into()], ..plan(&["a", "c"]) };
        let change = difference(&plan, Some(&account(&["a", "b", "local1"])), &Rules::default());
        assert_eq!(change.added, ["c"]);
        assert_eq!(change.removed, ["b"]);
        assert_eq!(change.groups, ["a", "c", "local1"]);
    }

    #[test]
    fn a71_never_grants_an_excluded_group() {
        let plan = Plan { exclude: vec!["jira-administrators".into()], ..plan(&["jira-administrators", "staff"]) };
        let change = difference(&plan, Some(&account(&[])), &Rules::default());
        assert_eq!(change.groups, ["staff"]);
    }

    #[test]
    fn a71_a_protected_group_is_neither_granted_nor_taken() {
        let rules = Rules { protected: ["root".to_owned(), "ops".to_owned()].into(), known: None };
        let plan = Plan { replace: true, ..plan(&["root"]) };
        let change = difference(&plan, Some(&account(&["ops"])), &rules);
        assert_eq!(change, Difference { added: vec![], removed: vec![], groups: vec!["ops".into()] });
    }

    #[test]
    fn a71_no_spelling_of_a_protected_or_excluded_group_is_granted_or_taken() {
        let spellings = ["root", "ROOT", "Root", "kings", "\u{212a}ings", "KINGS", "users", "u\u{17f}ers"];
        let names = ["root".to_owned(), "Kings".to_owned(), "USERS ".to_owned()];
        let protected = Rules { protected: names.clone().into(), known: None };
        let excluded = Plan { exclude: names.to_vec(), ..Plan::default() };
        for (more, rules) in [(Plan::default(), protected), (excluded, Rules::default())] {
            let grants = Plan { grants: plan(&spellings).grants, ..more.clone() };
            assert_eq!(difference(&grants, None, &rules), Difference::default(), "granted");
            let replace = Plan { replace: true, ..more };
            let change = difference(&replace, Some(&account(&spellings)), &rules);
            assert_eq!(change.removed, [""; 0], "taken");
            assert_eq!(change.groups.len(), spellings.len());
        }
        let other = plan(&["roots", "r00t", "\u{440}oot"]);
        let rules = Rules { protected: names.into(), known: None };
        assert_eq!(difference(&other, None, &rules).added.len(), 3, "another name is another group");
    }

    #[test]
    fn a72_drops_a_group_that_the_application_does_not_know() {
        let change = difference(&plan(&["new", "old"]), None, &known(&["old"]));
        assert_eq!(change.groups, ["old"]);
        let create = Plan { create_missing: true, ..plan(&["new", "old"]) };
        assert_eq!(difference(&create, None, &known(&["old"])).groups, ["new", "old"]);
    }

    #[test]
    fn leave_keeps_an_existing_account_as_it_is_and_gives_a_new_one_its_groups() {
        let plan = Plan { leave: true, replace: true, ..plan(&["staff"]) };
        assert_eq!(difference(&plan, Some(&account(&["b"])), &Rules::default()).groups, ["b"]);
        assert_eq!(difference(&plan, None, &Rules::default()).groups, ["staff"]);
    }

    #[test]
    fn keeping_existing_groups_removes_nothing() {
        let change = difference(&plan(&["a"]), Some(&account(&["b"])), &Rules::default());
        assert_eq!(change.removed, [""; 0]);
        assert_eq!(change.groups, ["a", "b"]);
    }
}
