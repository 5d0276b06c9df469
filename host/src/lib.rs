//! Vestibule: an SSO gateway whose every login decision is made by a sandboxed
//! WebAssembly policy.
//!
//! # Layout
//!
//! The modules, in the order in which a login meets them:
//!
//! - [`config`]: the configuration, from TOML to types; imports nothing that it configures
//! - [`http`]: routes, middleware, pages; the only module that knows axum
//! - [`login`]: the login as a state machine: route, begin, complete, decide
//! - [`upstream`]: the identity providers that we consume; makes the only [`identity::VerifiedIdentity`]
//! - [`policy`]: the sandbox; the only module that knows wasmtime
//! - [`factor`]: our own second factor, for upstreams that have none
//! - [`session`]: what a browser holds after a login: sealed cookies and tickets
//! - [`downstream`]: how an identity reaches an application
//! - [`logout`]: tells relying parties that a session is over
//! - [`audit`]: the hash-chained record of every decision
//! - [`recording`]: what the policies were asked, sealed, so that they can be asked again
//! - [`replay`]: asks a candidate what was recorded; receipts
//! - [`control`]: an operator's commands to the gateway that runs
//! - [`registry`]: components in OCI registries, for the command line
//! - [`identity`], [`decision`]: pure data, no input or output
//! - [`jose`]: what others sign, and their keys; pure, too
//! - [`keys`], [`clock`], [`secret`], [`telemetry`]: what everything stands on
//! - [`app`], [`server`], [`demo`], [`cli`]: composition root, sockets, demo, commands
//!
//! Without the feature `compiler` it is an edge node: it runs policies that were compiled elsewhere (`docs/edge.md`).
//!
//! `ARCHITECTURE.md` walks through one login, file by file, and has the table of who may
//! import whom; `tests/tests/architecture.rs` holds the code to it.

#![cfg_attr(
    not(feature = "compiler"),
    allow(dead_code, reason = "an edge node does not do all that is done with policies, and shares what does it")
)]

pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod decision;
#[cfg(feature = "compiler")]
pub mod demo;
pub mod downstream;
pub mod factor;
pub mod http;
pub mod identity;
pub mod jose;
pub mod keys;
pub mod login;
pub mod logout;
pub mod policy;
pub mod recording;
#[cfg(feature = "compiler")]
pub mod registry;
#[cfg(feature = "compiler")]
pub mod replay;
pub mod secret;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod upstream;
