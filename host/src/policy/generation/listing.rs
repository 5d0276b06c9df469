//! The generations of this process, for operators.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{Generations, canary::Canary, in_force::Aside};
use crate::{decision::PolicyRef, policy::tally::Failing};

/// What is in force, what may come back, and what may not come by itself.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listing {
    /// The number of the generation in force.
    pub in_force: u64,
    /// The generations that are kept, the oldest first.
    pub generations: Vec<Listed>,
    /// What was rolled back, and waits for its files to change; the oldest first.
    pub set_aside: Vec<SetAside>,
    /// What is wrong with the files, where the last attempt was refused.
    pub last_refusal: Vec<String>,
}

/// One generation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// Its number.
    pub generation: u64,
    /// Is it in force?
    pub in_force: bool,
    /// Its digest.
    pub digest: String,
    /// When it last came into force, in seconds since 1970-01-01 UTC.
    pub since: u64,
    /// The number of the one before it, to which it would go back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub came_after: Option<u64>,
    /// How often it was asked: ways, logins, requests.
    pub decisions: u64,
    /// In how many of these a policy failed.
    pub faults: u64,
    /// How the policies failed.
    pub failing: Vec<Failing>,
    /// Its canaries, by application.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub canaries: BTreeMap<String, ListedCanary>,
    /// Its policies.
    pub policies: Vec<PolicyRef>,
}

/// A chain that decides for some. Its counts are those of all generations with the same chain.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListedCanary {
    /// Did its policies fail so often that it decides for nobody any more?
    pub is_over: bool,
    /// How many logins it decided.
    pub decisions: u64,
    /// In how many of these a policy failed.
    pub faults: u64,
}

/// A generation that was rolled back.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetAside {
    /// Its number.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// When it is tried again, in seconds since 1970-01-01 UTC; none waits for its files to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why.
    pub why: String,
}

impl Generations {
    /// The generations that this process keeps, and how they do.
    #[must_use]
    pub fn list(&self) -> Listing {
        let in_force = self.current().number;
        let last_refusal = super::lock(&self.last_refusal).iter().map(ToString::to_string).collect();
        let state = self.in_force.state();
        let listed = state.kept.iter().map(|kept| {
            let generation = &kept.generation;
            let (decisions, faults) = generation.tally.totals();
            Listed {
                generation: generation.number,
                in_force: generation.number == in_force,
                digest: generation.digest.to_string(),
                since: kept.since,
                came_after: kept.came_after,
                decisions,
                faults,
                failing: generation.tally.failures(),
                canaries: generation
                    .canaries
                    .iter()
                    .map(|(id, canary)| (id.clone(), ListedCanary::of(canary)))
                    .collect(),
                policies: generation.policies().cloned().collect(),
            }
        });
        let generations = listed.collect();
        let set_aside = state.aside.iter().map(SetAside::of).collect();
        Listing { in_force, generations, set_aside, last_refusal }
    }
}

impl ListedCanary {
    fn of(canary: &Canary) -> Self {
        let (decisions, faults) = canary.state.tally.totals();
        Self { is_over: canary.state.is_over(), decisions, faults }
    }
}

impl SetAside {
    fn of(aside: &Aside) -> Self {
        Self {
            generation: aside.number,
            digest: aside.digest.to_string(),
            at: aside.at,
            until: aside.until,
            why: aside.failed.as_ref().map_or_else(|| "an operator went back".to_owned(), ToString::to_string),
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, listed) in self.generations.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{listed}")?;
        }
        for aside in &self.set_aside {
            write!(f, "\nset aside: generation {} ({}): {}", aside.generation, short(&aside.digest), aside.why)?;
            match aside.until {
                Some(until) => write!(f, "; tried again from {} on", moment(until))?,
                None => write!(f, "; not taken again until its files change")?,
            }
        }
        if !self.last_refusal.is_empty() {
            write!(f, "\nthe files as they are now were refused:")?;
        }
        self.last_refusal.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.in_force { '*' } else { ' ' };
        let (number, digest, since) = (self.generation, short(&self.digest), moment(self.since));
        write!(f, "{mark} {number}  {digest}  since {since}  {} decisions, {} faults", self.decisions, self.faults)?;
        self.failing.iter().try_for_each(|failing| write!(f, "\n      {failing}"))?;
        for (application, ListedCanary { is_over, decisions, faults }) in &self.canaries {
            let over = if *is_over { ", over" } else { "" };
            write!(f, "\n      canary of {application}: {decisions} decisions, {faults} faults{over}")?;
        }
        for PolicyRef { name, version, component, .. } in &self.policies {
            write!(f, "\n      {name} {version}  {}", short(component))?;
        }
        Ok(())
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn moment(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|it| time::OffsetDateTime::from_unix_timestamp(it).ok());
    at.and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok()).unwrap_or_default()
}
