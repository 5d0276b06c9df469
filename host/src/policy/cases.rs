//! A policy's own tests as data, run through the same sandbox, limits and filters as a
//! login. `docs/cases.md` has the form.
//!
//! They decide nothing: a failing case keeps a component out of a generation, a passing
//! one lets nobody in.

use super::{Component, Engine};

mod ask;
mod bench;
mod call;
mod compare;
mod form;
mod run;
mod source;
mod words;

pub(super) use ask::ask_in_time;
pub use bench::{Bench, BenchError, bench};
pub use call::{Call, CallFailed, Called};
pub(super) use compare::{Outcome, answer};
pub use form::CaseError;
pub(super) use form::{Input, InputForm, overlay, parse};
pub use run::CaseResult;
pub(super) use run::run;
pub use source::Cases;
pub(super) use source::custom_section;
pub(super) use words::failure as unknown_failure;

/// Runs `cases` against `component`, in their order.
///
/// Takes up to the compile timeout, once.
///
/// # Errors
///
/// Where a case is malformed; then none is run.
pub fn test(engine: &Engine, component: &Component, cases: &Cases) -> Result<Vec<CaseResult>, CaseError> {
    Ok(run(engine, component, &cases.parse()?))
}
