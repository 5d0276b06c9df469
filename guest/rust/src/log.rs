//! Lines for the decision's trace. The host bounds their number and their length.
//!
//! In native tests the lines are kept: see [`crate::testing::logged`].

pub use crate::bindings::base::vestibule::policy::log::Level;

/// For whoever debugs a policy.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// What an administrator may want to know of this decision.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// What an administrator should look at.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    crate::bindings::base::vestibule::policy::log::write(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, message: &str) {
    crate::testing::keep(level, message);
}
