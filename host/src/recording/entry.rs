//! What the lines of a recording hold.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::decision::{Decided, Recipe, WayChosen};

/// The form of the lines; another one is not read.
pub(super) const FORMAT: u32 = 1;

/// One line's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// Some decisions are missing, since more came than could be written.
    Dropped(Dropped),
    /// The groups that an application knew, where decisions name them by their digest.
    KnownGroups(BTreeSet<String>),
    /// A decision of the hooks from `admit` to `session`.
    Login(Box<Decided>),
    /// The first line of each file.
    Opened(Opened),
    /// What a chain was made of that decided what follows.
    Recipe(Recipe),
    /// A decision of `route` alone.
    Way(Box<WayChosen>),
}

impl Entry {
    /// What of it stands in clear.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Dropped(_) => Kind::Dropped,
            Self::KnownGroups(_) => Kind::KnownGroups,
            Self::Login(_) => Kind::Login,
            Self::Opened(_) => Kind::Opened,
            Self::Recipe(_) => Kind::Recipe,
            Self::Way(_) => Kind::Way,
        }
    }
}

/// The first line of each file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Opened {
    /// The form of the lines.
    pub format: u32,
    /// The file before this one; none where this is the first, or where the one before it could not be read.
    pub previous: Option<Previous>,
    /// What became a pseudonym before it was written.
    pub redacted: BTreeSet<String>,
}

/// The end of a file, as the next one names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Previous {
    /// Its name.
    pub file: String,
    /// The number of its last line.
    pub lines: u64,
    /// The hash of that line: sha-256 in lower-case hex.
    pub hash: String,
}

/// Some decisions are missing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dropped {
    /// How many.
    pub decisions: u64,
}
