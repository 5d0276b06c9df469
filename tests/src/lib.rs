//! What the tests of the whole stand on: the gateway as a program, real identity providers
//! and proxies, a user agent.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a harness that fails must say where")]

pub mod browser;
pub mod gateway;
pub mod guests;
pub mod peers;
pub mod process;
