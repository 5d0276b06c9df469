//! From the groups that an upstream reports to the groups of the application.
//!
//! Rules 1 to 6 of `docs/groups.md`. Excluded groups are left out here, and the host takes
//! them out again after every policy: one of the two would be enough, if it had no fault.

mod reported;
mod settings;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use vestibule_policy::{
    letters, log, names,
    pattern::{Casing, Matcher, Pattern},
    prelude::*,
    types::Problem,
};

pub use settings::{Row, Settings};

use reported::Reported;

/// The policy.
#[derive(Debug)]
pub struct GroupMapping {
    settings: Settings,
    include: Vec<Matcher>,
    /// `exclude`, trimmed, each as one for all its spellings.
    exclude: Vec<String>,
    /// From an upstream's group (folded if the settings say so) to the index of a row, sorted.
    rows: Vec<(String, usize)>,
    /// The first row that grants the same group, by row.
    first: Vec<usize>,
}

impl Policy for GroupMapping {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new();
        let rows = check_rows(&settings, &mut problems);
        let include = compile(&settings, &mut problems);
        for (index, name) in settings.exclude.iter().enumerate() {
            if name.trim().is_empty() {
                problems.add(format!("/exclude/{index}"), "a group has a name");
            }
        }
        if !settings.groups_pointer.is_empty() && !settings.groups_pointer.starts_with('/') {
            problems.add("/groups-pointer", "a JSON pointer begins with `/`");
        } else if !settings.groups_pointer.is_empty() && settings.groups_claim.is_empty() {
            problems.add("/groups-pointer", "points into the claim `groups-claim`, which is not named");
        }
        let exclude = settings.exclude.iter().map(|name| letters::loosest(name.trim()).into_owned()).collect();
        let first = first_with_the_same(&settings.manual);
        problems.into_result(Self { settings, include, exclude, rows, first })
    }
}

impl AssignGroups for GroupMapping {
    fn assign(
        &self,
        _context: &Context,
        identity: &Identity,
        account: Option<&Account>,
        _profile: &Profile,
        mut plan: Plan,
    ) -> Result<Plan, Fault> {
        if !self.settings.enabled {
            return Ok(plan);
        }
        let current = account.map(|account| account.groups.as_slice()).unwrap_or_default();
        self.exclude(current, &mut plan);
        plan.create_missing |= self.settings.create_missing;
        plan.leave |= self.settings.disabled_for_existing;
        match reported::reported(identity, &self.settings)? {
            Reported::NoList(what) => {
                // No list takes nothing from anybody, whatever an earlier policy wanted.
                log::info(&format!("groups claim {what}: no group is mapped, none is taken"));
                plan.replace = false;
            }
            Reported::Listed(reported) => {
                plan.replace |= !self.settings.keep_existing;
                self.map_manually(&reported, &mut plan);
                self.map_on_the_fly(&reported, current, &mut plan);
            }
        }
        Ok(plan)
    }
}

impl GroupMapping {
    /// Excludes the configured names, and every spelling of them that the account has, so that the
    /// trace names what stays.
    fn exclude(&self, current: &[String], plan: &mut Plan) {
        let is_one = |group: &str| self.exclude.iter().any(|name| *name == letters::loosest(group.trim()));
        let spelled = current.iter().filter(|group| is_one(group));
        for name in self.settings.exclude.iter().chain(spelled) {
            if !plan.exclude.contains(name) {
                plan.exclude.push(name.clone());
            }
        }
    }

    fn is_excluded(&self, group: &str, plan: &Plan) -> bool {
        if self.exclude.is_empty() && plan.exclude.is_empty() {
            return false;
        }
        let group = letters::loosest(group.trim());
        self.exclude.iter().any(|name| *name == group)
            || plan.exclude.iter().any(|name| letters::loosest(name.trim()) == group)
    }

    /// Grants the group of every row that lists a reported group, in the order of the rows.
    fn map_manually(&self, reported: &[String], plan: &mut Plan) {
        if self.rows.is_empty() {
            return;
        }
        let mut is_hit = vec![false; self.settings.manual.len()];
        for name in reported {
            let name = self.folded(name);
            let start = self.rows.partition_point(|(from, _)| from.as_str() < name.as_ref());
            for (_, row) in self.rows.iter().skip(start).take_while(|(from, _)| *from == name) {
                if let Some(is_hit) = is_hit.get_mut(*row) {
                    *is_hit = true;
                }
            }
        }
        // Not by comparing each with all: what was granted before this policy may be much, and
        // what it grants itself is known by its row.
        let before = plan.grants.len();
        let mut is_granted = vec![false; is_hit.len()];
        plan.grants.reserve(is_hit.iter().filter(|is_hit| **is_hit).count());
        let rows = self.settings.manual.iter().zip(&self.first).zip(&is_hit);
        for ((row, first), _) in rows.filter(|(_, is_hit)| **is_hit) {
            let is_known = is_granted.get_mut(*first).is_none_or(|granted| std::mem::replace(granted, true))
                || plan.grants.iter().take(before).any(|grant| grant.group == row.group);
            if !is_known && !self.is_excluded(&row.group, plan) {
                plan.grants.push(Grant::new(row.group.as_str(), Reason::new("mapped", "")));
            }
        }
    }

    /// Grants what is reported under its own name, as far as the filter lets it through.
    fn map_on_the_fly(&self, reported: &[String], current: &[String], plan: &mut Plan) {
        if !self.settings.on_the_fly {
            return;
        }
        let mut granted: BTreeSet<String> =
            plan.grants.iter().map(|grant| self.folded(&grant.group).into_owned()).collect();
        for name in reported {
            let folded = self.folded(name);
            let passes = names::problem(name).is_none()
                && (self.include.is_empty() || self.include.iter().any(|matcher| matcher.matches(name)))
                && !self.is_excluded(name, plan);
            if !passes || !granted.insert(folded.clone().into_owned()) {
                continue;
            }
            // The account's own spelling, or the group would be taken and given again.
            let known = current.iter().find(|group| self.settings.fold_case && self.folded(group) == folded);
            plan.grants.push(Grant::new(known.unwrap_or(name).as_str(), Reason::new("mapped-on-the-fly", "")));
        }
    }

    fn folded<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.settings.fold_case { letters::lower(name) } else { Cow::Borrowed(name) }
    }
}

/// The rows by upstream group, and what is wrong with them.
fn check_rows(settings: &Settings, problems: &mut Problems) -> Vec<(String, usize)> {
    let mut rows = Vec::new();
    for (index, row) in settings.manual.iter().enumerate() {
        let at = format!("/manual/{index}");
        problems.check_name(format!("{at}/group"), "a group", &row.group);
        if row.from.is_empty() {
            problems.add(format!("{at}/from"), "name at least one of the upstream's groups");
        }
        for (number, from) in row.from.iter().enumerate() {
            if from.is_empty() {
                problems.add(format!("{at}/from/{number}"), "a group has a name");
            }
            let from = if settings.fold_case { letters::lower(from) } else { Cow::Borrowed(from.as_str()) };
            rows.push((from.into_owned(), index));
        }
    }
    rows.sort_unstable();
    rows
}

/// For each row, the first one that grants the same group.
fn first_with_the_same(rows: &[Row]) -> Vec<usize> {
    let mut first = BTreeMap::new();
    rows.iter().enumerate().map(|(index, row)| *first.entry(row.group.as_str()).or_insert(index)).collect()
}

/// The include filter.
fn compile(settings: &Settings, problems: &mut Problems) -> Vec<Matcher> {
    let casing = if settings.fold_case { Casing::Insensitive } else { Casing::Sensitive };
    let compiled = settings.include.iter().enumerate().filter_map(|(index, pattern)| {
        let key = match pattern {
            Pattern::Exact(_) => "exact",
            Pattern::Suffix(_) => "suffix",
            Pattern::Glob(_) => "glob",
            Pattern::Regex(_) => "regex",
        };
        problems.take(format!("/include/{index}/{key}"), pattern.compile(casing))
    });
    compiled.collect()
}

vestibule_policy::export!(GroupMapping: groups);

#[cfg(test)]
mod tests {
    use vestibule_policy::testing::Case;

    use super::*;

    vestibule_policy::settings_tests!(Settings);

    #[test]
    fn grants_each_group_of_long_lists_once_and_in_order() {
        let rows: Vec<_> = (0..500)
            .map(|row| serde_json::json!({ "group": format!("g{row}"), "from": ["all", format!("r{row}")] }))
            .collect();
        let settings = serde_json::json!({ "manual": rows, "on-the-fly": true });
        let reported: Vec<_> = (0..2000).rev().map(|name| format!("r{}", name % 1000)).chain(["all".into()]).collect();
        let plan = Case::<GroupMapping>::new(settings).groups(reported).assign().unwrap();
        let granted: Vec<_> = plan.grants.iter().map(|grant| grant.group.as_str()).collect();
        assert_eq!(granted.len(), 500 + 1000 + 1);
        assert_eq!(granted[..2], ["g0", "g1"]);
        assert_eq!(granted[499..502], ["g499", "r999", "r998"]);
        assert_eq!(granted[1500], "all");
    }

    #[test]
    fn two_rows_with_one_group_grant_it_once_where_the_first_that_is_hit_stands() {
        let row = |group: &str, from: &str| serde_json::json!({ "group": group, "from": [from] });
        let settings = serde_json::json!({ "manual": [row("a", "x"), row("b", "y"), row("a", "y"), row("c", "y")] });
        let granted = |reported: &[&str], before: Plan| {
            let case = Case::<GroupMapping>::new(settings.clone()).groups(reported.iter().copied());
            let plan = case.plan(before).assign().unwrap();
            plan.grants.into_iter().map(|grant| grant.group).collect::<Vec<_>>()
        };
        assert_eq!(granted(&["y"], Plan::default()), ["b", "a", "c"]);
        assert_eq!(granted(&["x", "y"], Plan::default()), ["a", "b", "c"]);
        let mut before = Plan::default();
        before.grant("c", Reason::new("earlier", ""));
        assert_eq!(granted(&["y"], before), ["c", "b", "a"]);
    }

    #[test]
    fn a71_no_spelling_of_an_excluded_group_is_granted_by_any_way() {
        for name in [
            "jira-administrators",
            "JIRA-ADMINISTRATORS",
            "Jira-administrators ",
            "\u{a0}jira-administrators",
            "jira-admini\u{17f}trators",
        ] {
            for fold_case in [false, true] {
                let settings = serde_json::json!({
                    "on-the-fly": true, "fold-case": fold_case, "exclude": ["Jira-Administrators"],
                    "manual": [{ "group": "jira-administrators", "from": [name] }],
                });
                let plan = Case::<GroupMapping>::new(settings).groups([name]).assign().unwrap();
                assert_eq!(plan.grants, [], "{name:?}");
            }
        }
    }
}
