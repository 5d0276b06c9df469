#![cfg_attr(not(test), doc = include_str!("../README.md"))]
//!
//! # Layout
//!
//! - [`hooks`]: the traits a policy implements: [`Policy`] and one for each hook.
//! - [`types`] and one module for each hook ([`route`], [`admit`], …): the contract's records.
//! - [`email`], [`letters`], [`path`], [`pattern`]: what policies compare with, done once and done carefully.
//! - [`names`]: what the host lets through as a group, a value, an attribute's name.
//! - [`settings`]: from JSON to a settings struct, with a pointer to each problem.
//! - [`log`]: lines for the decision's trace.
//! - [`testing`]: native unit tests without WebAssembly.
//! - [`export!`]: what makes a crate a component.

// Generated code names this crate by its outside name.
extern crate self as vestibule_policy;

#[cfg(target_arch = "wasm32")]
mod alloc;
#[doc(hidden)]
pub mod bindings;
pub mod email;
mod export;
pub mod hooks;
pub mod letters;
pub mod log;
pub mod names;
pub mod path;
pub mod pattern;
pub mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod types;

#[doc(hidden)]
pub use export::Loaded as __Loaded;
pub use hooks::{Access, Admit, AssignGroups, FillProfile, LimitSession, Logout, Policy, Provision, Route};
#[doc(hidden)]
pub use wit_bindgen::rt as __rt;

/// Which upstream authenticates the subject.
pub mod route {
    pub use crate::bindings::route::exports::vestibule::policy::route::{Attempt, Direction, Redirect};
}

/// May this verified identity log in?
pub mod admit {
    pub use crate::{bindings::admit::exports::vestibule::policy::admit::Verdict, types::StepUp};
}

/// Who the subject is to the application.
pub mod profile {
    pub use crate::types::{MatchKey, Profile};
}

/// Which groups the subject has in the application.
pub mod groups {
    pub use crate::types::{Grant, Plan};
}

/// May an account be created, updated, reactivated?
pub mod provision {
    pub use crate::bindings::provision::exports::vestibule::policy::provision::{Granted, Terms, Update};
}

/// For how long, and on what terms.
pub mod session {
    pub use crate::bindings::session::exports::vestibule::policy::session::Terms;
}

/// May this request of a live session pass?
pub mod access {
    pub use crate::{
        bindings::access::exports::vestibule::policy::access::{Request, Verdict},
        types::StepUp,
    };
}

/// Where a logout ends.
pub mod logout {
    pub use crate::bindings::logout::exports::vestibule::policy::logout::Ending;
}

/// What every policy needs: `use vestibule_policy::prelude::*;`.
///
/// The derives of `Deserialize` and `JsonSchema` name the crates `serde` and `schemars`:
/// a policy's `Cargo.toml` lists both.
pub mod prelude {
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;

    pub use crate::{
        hooks::{Access, Admit, AssignGroups, FillProfile, LimitSession, Logout, Policy, Provision, Route},
        log,
        settings::Problems,
        types::{
            Account, Claim, Context, Email, Fault, Grant, GroupClaim, Identity, MatchKey, Plan, Problem, Profile,
            Reason, StepUp, Value,
        },
    };
}
