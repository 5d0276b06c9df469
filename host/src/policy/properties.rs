//! What must hold of a policy whatever it is asked, checked on generated inputs; and the search
//! for an input on which two policies differ. `docs/properties.md` has the form.
//!
//! *shape of the contract + values that occur → inputs → questions → the smallest input that
//! breaks the rule, as a case.* The same seed gives the same inputs.

mod case;
mod check;
mod condition;
mod corpus;
mod diff;
mod form;
mod generate;
mod judge;
mod pool;
mod random;
mod shape;
mod shrink;
mod stated;
mod subject;
mod weight;

pub use check::{Counterexample, PropertyResult, check};
pub use corpus::{CORPUS_INPUTS_MAX, Corpus};
pub use diff::{DiffError, Difference, Differences, Side, diff};
pub use form::Properties;
pub use stated::Stated;
pub use weight::Weight;

/// How far to search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Where the generator begins.
    pub seed: u64,
    /// Inputs for each property, or for each hook of two policies.
    pub inputs: usize,
}

/// A question may be asked so often while an input is made smaller.
const SHRINK_QUESTIONS_MAX: usize = 4000;
