//! What a browser holds after a login: sealed cookies, and the one-time ticket that
//! carries a session from the gateway's host to an application's.
//!
//! A [`Session`] is made from an [`crate::decision::Admission`] and from nothing else.
//! Every cookie is host-only. No cookie holds a token of an upstream. This module asks no
//! policy and speaks no HTTP.

mod cookie;

pub use cookie::{CookieError, Jar, SetCookie};

use serde::{Deserialize, Serialize};

use crate::{
    decision::{Profile, SessionTerms},
    identity::Identity,
};

/// A login to one application, as its cookie remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The session's own public id (never the cookie).
    pub id: String,
    /// The single sign-on session from which it came: ending that ends this one.
    pub parent: String,
    /// The application.
    pub application: String,
    /// The tenant.
    pub tenant: String,
    /// The login's id, as in the audit.
    pub login: String,
    /// The generation that admitted.
    pub generation: u64,
    /// Who, as the upstream stated it.
    pub identity: Identity,
    /// Who, to the application.
    pub profile: Profile,
    /// The groups in the application, sorted.
    pub groups: Vec<String>,
    /// For how long.
    pub terms: SessionTerms,
    /// When it began, in seconds since 1970-01-01 UTC.
    pub began: u64,
    /// When it was last seen; no newer than the cookie.
    pub seen: u64,
}
