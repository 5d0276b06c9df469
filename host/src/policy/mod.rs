//! The sandbox: policies from file to decision. The only module that knows wasmtime.

mod generation;
mod run;

pub use generation::{Generation, Generations};
pub use run::Run;
