//! `vestibule compile-worker`: what the gateway starts of itself to compile a component in. Not for people.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use super::output::Exit;
use crate::policy;

/// Native code is all that may come out of standard output, and so this prints nothing else.
pub(super) fn run() -> ExitCode {
    match policy::compile_worker(io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => Exit::Done.into(),
        Err(problem) => {
            // Who started this reads it from there.
            let _ = writeln!(io::stderr(), "{problem}");
            Exit::Failed.into()
        }
    }
}
