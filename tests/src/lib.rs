//! What the tests of the whole stand on: the gateway as a program, real identity providers
//! and proxies, a user agent.

pub mod apache;
pub mod browser;
pub mod contract;
pub mod fuzz;
pub mod gateway;
pub mod guests;
pub mod interpreted;
pub mod peers;
pub mod process;
pub mod simplesamlphp;
