//! The same rules in several engines. `README.md` says what is compared and how.

pub mod engines;
pub mod login;
pub mod memory;

#[path = "../policy/src/lib.rs"]
#[allow(unused_imports, reason = "the guest's own source, compiled natively")]
pub mod native;
