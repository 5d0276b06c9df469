//! The `vestibule` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    give_memory_back_early();
    vestibule::cli::main()
}

/// Compiling a policy takes much memory for a moment. Left to itself, glibc takes that for
/// the program's habit, raises its threshold, and keeps what was freed in each thread's
/// arena for ever.
fn give_memory_back_early() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the standard library has no mallopt")]
    // SAFETY: sets a number, before there is a second thread (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
    }
}
