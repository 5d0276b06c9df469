//! What the benches share; `README.md` says how to read their figures.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "benches, not the gateway")]

pub mod load;
pub mod login;
pub mod measure;
// The policies' own tests stay where they are.
#[cfg(not(test))]
pub mod native;
