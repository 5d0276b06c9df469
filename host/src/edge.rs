//! The `vestibule` command of an edge node: a gateway without a compiler.

use std::process::ExitCode;

#[cfg(feature = "compiler")]
compile_error!("an edge node has no compiler: build it with `--no-default-features --features edge`");

fn main() -> ExitCode {
    vestibule::cli::main()
}
