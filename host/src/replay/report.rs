//! What a replay found, in an order and in bytes that depend on the recording and the candidate alone.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::{
    power::PROTECTED,
    tally::{Change, FaultPlace, FaultTimes, Moves, People, State, Tally, Times},
};
use crate::{
    decision::{Hook, PolicyRef},
    policy::Generation,
    recording::{Damage, Range, Summary},
};

/// So many places of damage are named; the rest is counted.
const DAMAGE_NAMED_MAX: usize = 20;

/// What a report is made of.
pub(super) struct Parts<'a> {
    pub(super) tally: Tally,
    pub(super) summary: Summary,
    pub(super) protected: BTreeMap<String, BTreeSet<String>>,
    pub(super) generation: &'a Generation,
    pub(super) names_max: usize,
    pub(super) range: Range,
}

/// Whom a candidate would treat otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Does the candidate decide everything as it was decided?
    pub same: bool,
    /// How many of what.
    pub counts: Counts,
    /// Groups that somebody gains or loses, the most powerful first.
    pub groups: Vec<GroupRow>,
    /// Who would be denied.
    pub denied: Vec<Row>,
    /// Who would be admitted.
    pub admitted: Vec<Row>,
    /// Who would be sent elsewhere, or back for more, or no longer.
    pub elsewhere: Vec<Row>,
    /// Who would be denied for another reason.
    pub otherwise: Vec<Row>,
    /// Where the candidate's policies fail.
    pub faults: Vec<FaultRow>,
    /// What was run.
    pub recording: Read,
    /// What was asked.
    pub candidate: Vec<PolicyRef>,
}

/// How many of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Decisions that were asked for anew: logins and ways.
    pub decisions: u64,
    /// Of them, those that come out the same in every respect.
    pub unchanged: u64,
    /// Those that would be denied.
    pub denied: u64,
    /// Those that would be admitted.
    pub admitted: u64,
    /// Those that would be sent elsewhere.
    pub elsewhere: u64,
    /// Those that would be denied for another reason.
    pub otherwise: u64,
    /// Those after which the person has other groups.
    pub groups: u64,
    /// Those with another profile.
    pub profiles: u64,
    /// Those with another session.
    pub terms: u64,
    /// Those in which a policy of the candidate fails.
    pub faults: u64,
    /// Those for which an account was looked for as it is now, since nobody had looked for it then.
    pub looked_up: u64,
}

/// What was read of the recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Read {
    /// From when, in seconds since 1970-01-01 UTC.
    pub from: Option<u64>,
    /// Until when.
    pub to: Option<u64>,
    /// The files.
    pub files: Vec<String>,
    /// Decisions of logins.
    pub logins: u64,
    /// Decisions of the way alone.
    pub ways: u64,
    /// How many decisions each generation had made, by its digest.
    pub generations: BTreeMap<String, u64>,
    /// Decisions that were never recorded: more came than could be written.
    pub dropped: u64,
    /// What stands there as pseudonyms.
    pub redacted: BTreeSet<String>,
    /// Bytes after the last whole line of a file.
    pub torn_bytes: u64,
    /// How many places are not as they were written, and were left out.
    pub damaged: usize,
    /// The first of them.
    pub damage: Vec<Damage>,
}

/// A change of what comes of a login, in one application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// The application.
    pub application: String,
    /// What was decided.
    pub from: String,
    /// What the candidate decides.
    pub to: String,
    /// Of whom.
    pub moved: Moved,
}

/// People, and in how many logins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moved {
    /// The logins.
    pub logins: u64,
    /// How many people.
    pub people: usize,
    /// Those that logged in most, first.
    pub who: Vec<Person>,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Person {
    /// The issuer; empty where it is only known what was typed.
    pub issuer: String,
    /// Unique only together with the issuer.
    pub subject: String,
    /// The email address, where it was stated.
    pub email: Option<String>,
    /// In how many logins.
    pub logins: u64,
    /// One of them, as the audit knows it.
    pub example: String,
}

/// A group that somebody gains or loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupRow {
    /// The application.
    pub application: String,
    /// The group.
    pub group: String,
    /// From 0 to 1000.
    pub power: u32,
    /// Is it protected?
    pub protected: bool,
    /// How many had it.
    pub holders: usize,
    /// Of how many who were let in.
    pub of: usize,
    /// Who gains it.
    pub gained: Moved,
    /// Who loses it.
    pub lost: Moved,
}

/// Where a policy of the candidate fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultRow {
    /// The application.
    pub application: String,
    /// The policy.
    pub policy: String,
    /// At which hook.
    pub hook: Option<Hook>,
    /// How: `policy-trapped`, `policy-fault`, …
    pub code: String,
    /// In how many decisions.
    pub decisions: u64,
    /// How many of them had failed when they were recorded.
    pub before: u64,
    /// One of the logins.
    pub example: String,
    /// What is known of it.
    pub detail: String,
}

impl Report {
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let Parts { tally, summary, protected, generation, names_max, range } = parts;
        let mut counts = Counts {
            decisions: tally.decisions + tally.ways,
            unchanged: tally.same,
            groups: tally.with_groups,
            profiles: tally.profiles,
            terms: tally.terms,
            looked_up: tally.looked_up,
            faults: tally.faults.values().map(|times| times.logins).sum(),
            ..Counts::default()
        };
        let mut groups: Vec<GroupRow> = tally
            .groups
            .into_iter()
            .map(|((application, group), Moves { gained, lost })| {
                let power = tally.holders.power(&application, &group, &protected);
                let (holders, of) = tally.holders.of(&application, &group);
                let (gained, lost) = (moved(gained, names_max), moved(lost, names_max));
                GroupRow { application, group, power, protected: power == PROTECTED, holders, of, gained, lost }
            })
            .collect();
        // What is equally powerful: whoever concerns more people first; then by name, as the map had them.
        groups.sort_by_key(|row| (Reverse(row.power), Reverse(row.gained.people + row.lost.people)));
        let (mut denied, mut admitted, mut elsewhere, mut otherwise) = (vec![], vec![], vec![], vec![]);
        for (Change { application, from, to }, people) in tally.changes {
            let (rows, count) = match (&from, &to) {
                (State::Denied(..), State::Denied(..)) => (&mut otherwise, &mut counts.otherwise),
                (_, State::Denied(..)) => (&mut denied, &mut counts.denied),
                (State::Denied(..), State::Admitted) => (&mut admitted, &mut counts.admitted),
                _ => (&mut elsewhere, &mut counts.elsewhere),
            };
            *count += people.logins;
            rows.push(Row { application, from: in_words(&from), to: in_words(&to), moved: moved(people, names_max) });
        }
        for rows in [&mut denied, &mut admitted, &mut elsewhere, &mut otherwise] {
            rows.sort_by_key(|row: &Row| (Reverse(row.moved.people), Reverse(row.moved.logins)));
        }
        let mut faults: Vec<FaultRow> = tally.faults.into_iter().map(fault).collect();
        faults.sort_by_key(|row| Reverse(row.decisions));
        let damaged = summary.damage.len();
        Self {
            same: counts.unchanged == counts.decisions && faults.iter().all(|fault| fault.decisions == fault.before),
            counts,
            groups,
            denied,
            admitted,
            elsewhere,
            otherwise,
            faults,
            recording: Read {
                from: range.from,
                to: range.to,
                files: summary.files,
                logins: tally.decisions,
                ways: tally.ways,
                generations: tally.by_generation,
                dropped: summary.dropped,
                redacted: summary.redacted,
                torn_bytes: summary.torn_bytes,
                damaged,
                damage: summary.damage.into_iter().take(DAMAGE_NAMED_MAX).collect(),
            },
            candidate: generation.policies().cloned().collect(),
        }
    }
}

fn fault((place, times): (FaultPlace, FaultTimes)) -> FaultRow {
    let FaultPlace { application, policy, hook, code } = place;
    let (example, detail) = times.example;
    FaultRow { application, policy, hook, code, decisions: times.logins, before: times.before, example, detail }
}

fn moved(people: People, names_max: usize) -> Moved {
    let People { logins, by_name } = people;
    let count = by_name.len();
    let mut who: Vec<Person> = by_name
        .into_iter()
        .map(|((issuer, subject), Times { email, logins, example })| Person { issuer, subject, email, logins, example })
        .collect();
    who.sort_by_key(|person| Reverse(person.logins));
    who.truncate(names_max);
    Moved { logins, people: count, who }
}

fn in_words(state: &State) -> String {
    match state {
        State::Admitted => "admitted".to_owned(),
        State::Denied(code, policy, hook) => {
            let by = policy.as_ref().map(|policy| format!(" by {policy}")).unwrap_or_default();
            let at = hook.map(|hook| format!(" at {hook}")).unwrap_or_default();
            format!("denied{by}{at}: {code}")
        }
        State::SentBack(reason) => format!("sent back for more: {reason}"),
        State::Sent(way) => format!("sent {way}"),
    }
}

/// A number with its noun.
pub(crate) fn counted(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { many })
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.email.as_deref().unwrap_or(&self.subject))
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever typed nothing is nobody in particular.
        if self.people > 0 {
            write!(f, "{} in ", counted(self.people, "person", "people"))?;
        }
        f.write_str(&counted(self.logins, "login", "logins"))?;
        let names: Vec<String> = self.who.iter().map(ToString::to_string).collect();
        if !names.is_empty() {
            write!(f, ": {}", names.join(", "))?;
        }
        let unnamed = self.people.saturating_sub(names.len());
        if unnamed > 0 && !names.is_empty() {
            write!(f, " and {unnamed} more")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let read = &self.recording;
        let changed = counts.decisions.saturating_sub(counts.unchanged);
        writeln!(
            f,
            "{} asked anew: {} unchanged, {changed} otherwise",
            counted(counts.decisions, "decision", "decisions"),
            counts.unchanged
        )?;
        if changed > 0 {
            writeln!(f, "of them (one may be in several lines: who is denied has no groups, either)")?;
        }
        let rows = [
            (counts.denied, "would be denied"),
            (counts.admitted, "would be admitted"),
            (counts.elsewhere, "would be sent elsewhere, back for more, or no longer"),
            (counts.otherwise, "would be denied for another reason"),
            (counts.groups, "would end in other groups"),
            (counts.profiles, "would end in another profile"),
            (counts.terms, "would end in another session"),
            (counts.faults, "in which a policy of the candidate would fail"),
        ];
        for (count, what) in rows.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "{count:>8}  {what}")?;
        }
        if !self.groups.is_empty() {
            writeln!(f, "\ngroups, the most powerful first (docs/replay.md says how that is measured)")?;
        }
        for row in &self.groups {
            let protected = if row.protected { ", protected" } else { "" };
            writeln!(
                f,
                "  {} of {} (power {}{protected}; {} of {} had it)",
                row.group,
                row.application,
                row.power,
                row.holders,
                counted(row.of, "person", "people")
            )?;
            for (what, moved) in [("gained by", &row.gained), ("lost by", &row.lost)] {
                if moved.logins > 0 {
                    writeln!(f, "    {what} {moved}")?;
                }
            }
        }
        let sections = [
            ("would be denied", &self.denied),
            ("would be admitted", &self.admitted),
            ("would be sent elsewhere", &self.elsewhere),
            ("would be denied for another reason", &self.otherwise),
        ];
        for (title, rows) in sections.into_iter().filter(|(_, rows)| !rows.is_empty()) {
            writeln!(f, "\n{title}")?;
            for row in rows {
                writeln!(f, "  {}: {} → {}\n    {}", row.application, row.from, row.to, row.moved)?;
            }
        }
        if !self.faults.is_empty() {
            writeln!(f, "\nfailures of the candidate's policies")?;
        }
        for row in &self.faults {
            let at = row.hook.map(|hook| format!(" at {hook}")).unwrap_or_default();
            writeln!(
                f,
                "  {}: {}{at}: {} in {} ({} had failed before), such as login {}: {}",
                row.application,
                row.policy,
                row.code,
                counted(row.decisions, "decision", "decisions"),
                row.before,
                row.example,
                row.detail
            )?;
        }
        writeln!(f)?;
        if counts.looked_up > 0 {
            writeln!(
                f,
                "for {}, an account was looked for as it is now: nobody had looked for it then",
                counted(counts.looked_up, "decision", "decisions")
            )?;
        }
        if read.dropped > 0 {
            let decisions = counted(read.dropped, "decision is", "decisions are");
            writeln!(f, "{decisions} missing in the recording: more came than could be written")?;
        }
        if read.damaged > 0 {
            let places = counted(read.damaged, "place", "places");
            writeln!(f, "{places} of the recording not as written, and left out:")?;
            read.damage.iter().try_for_each(|damage| writeln!(f, "  {damage}"))?;
        }
        if !read.redacted.is_empty() {
            let names: Vec<&str> = read.redacted.iter().map(String::as_str).collect();
            writeln!(f, "pseudonyms stand for {}", names.join(", "))?;
        }
        let verdict =
            if self.same { "the candidate decides as it was decided" } else { "the candidate decides otherwise" };
        write!(f, "{verdict}; nothing that is in force was changed")
    }
}
