//! Decisions that were recorded, made again.
//!
//! *Replay* asks a candidate what was asked in each recorded login, and reports whom it would treat otherwise.
//! A *receipt* states one decision, signed, with all that is needed to make it again. Neither touches what is in
//! force, and neither can let anybody in.

mod candidate;
mod power;
mod receipt;
mod report;
mod run;
mod tally;
#[cfg(test)]
mod tests;

pub use candidate::{CandidateError, load, read};
pub use receipt::{Exported, Input, Of, ReceiptError, Seen, Verified, Wanted, export, verify};
pub(crate) use report::counted;
pub use report::{Counts, FaultRow, GroupRow, Moved, Person, Read, Report, Row};
pub use run::{Options, Progress, ReplayError, run};
