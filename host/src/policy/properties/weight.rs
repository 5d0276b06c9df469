//! How much a difference between two answers matters: whom it lets in or keeps out first, then groups by their power,
//! then the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::{judge::texts, subject::Asked};
use crate::decision::{self, Hook};

/// What a difference does to the person. The weightiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Only one of the two takes the settings.
    Settings,
    /// The new one lets in, or through, whom the old one did not.
    Admitted,
    /// The new one refuses whom the old one let in, or fails.
    Refused,
    /// The new one sends elsewhere, or asks for more or less.
    Elsewhere,
    /// Somebody has another group afterwards.
    Groups,
    /// Everything else.
    Otherwise,
}

/// A difference of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Plain(Weight),
    Gained(String),
    Lost(String),
}

impl Change {
    pub(super) const fn weight(&self) -> Weight {
        match self {
            Self::Plain(weight) => *weight,
            Self::Gained(_) | Self::Lost(_) => Weight::Groups,
        }
    }
}

/// What is different between the old answer and the new one; nothing where they are the same.
pub(super) fn changes(hook: Hook, old: &Asked, new: &Asked) -> Vec<Change> {
    if told(old) == told(new) {
        return Vec::new();
    }
    let plain = |weight| vec![Change::Plain(weight)];
    match standing(hook, new).cmp(&standing(hook, old)) {
        std::cmp::Ordering::Greater => return plain(Weight::Admitted),
        std::cmp::Ordering::Less => return plain(Weight::Refused),
        std::cmp::Ordering::Equal => {}
    }
    let shown = |asked: &Asked, key: &str| asked.shown.get(key).cloned().unwrap_or_default();
    if way(hook).iter().any(|key| shown(old, key) != shown(new, key)) {
        return plain(Weight::Elsewhere);
    }
    let (had, has): (BTreeSet<String>, BTreeSet<String>) =
        (texts(&old.shown, "after").into_iter().collect(), texts(&new.shown, "after").into_iter().collect());
    let gained = has.difference(&had).cloned().map(Change::Gained);
    let moved: Vec<Change> = gained.chain(had.difference(&has).cloned().map(Change::Lost)).collect();
    if moved.is_empty() { plain(Weight::Otherwise) } else { moved }
}

/// What counts as the answer: not the words of a failure, which name the component's insides.
fn told(asked: &Asked) -> (Option<&str>, &Map<String, Json>) {
    (asked.failure().map(|(code, _)| code), &asked.shown)
}

/// How well the person stands after the answer: 0 is refused.
fn standing(hook: Hook, asked: &Asked) -> u8 {
    let text = |key: &str| asked.shown.get(key).and_then(Json::as_str);
    // A logout that fails keeps nobody out.
    if asked.failure().is_some() {
        return u8::from(hook == Hook::Logout);
    }
    let is_refused = match hook {
        Hook::Admit => {
            return match text("verdict") {
                Some("deny") => 0,
                // Nobody's say: where no policy allows, the host denies.
                Some("pass") => 1,
                _ => 2,
            };
        }
        Hook::Access => text("verdict") == Some("deny"),
        Hook::Route => text("direction") == Some("refuse"),
        Hook::Provision => text("refuse-creation").is_some(),
        Hook::Profile | Hook::Groups | Hook::Session | Hook::Logout => false,
    };
    u8::from(!is_refused)
}

/// What says where the person is sent, and what is asked for.
const fn way(hook: Hook) -> &'static [&'static str] {
    match hook {
        Hook::Admit | Hook::Access => &["verdict", "acr-values", "max-age"],
        Hook::Route => &["direction", "upstream", "upstreams", "choices", "acr-values", "max-age"],
        Hook::Logout => &["none", "at-upstream", "target"],
        Hook::Profile | Hook::Groups | Hook::Provision | Hook::Session => &[],
    }
}

/// Who has which group, by the old one's answers.
#[derive(Debug, Default)]
pub(super) struct Holders {
    answers: usize,
    groups: BTreeMap<String, usize>,
}

impl Holders {
    /// Counts an answer.
    pub(super) fn note(&mut self, asked: &Asked) {
        if asked.failure().is_none() {
            self.answers += 1;
            for group in texts(&asked.shown, "after").into_iter().collect::<BTreeSet<_>>() {
                *self.groups.entry(group).or_default() += 1;
            }
        }
    }

    /// How powerful a group is, as a replay measures it.
    pub(super) fn power(&self, group: &str) -> u32 {
        decision::power(self.groups.get(group).copied().unwrap_or_default(), self.answers)
    }
}
