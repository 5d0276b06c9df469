//! Routes, middleware and pages; the only module that knows axum.
//!
//! A request becomes a [`crate::login::Visitor`], the login says what is to happen, and
//! what it says becomes a response. Nothing is decided in here but what a request means:
//! who the peer is, which host and path were asked for, whether a form came from our own
//! page. `router` has every route on one page; `error` is the only file that picks a
//! status for a refusal.

mod backend;
mod clients;
mod consent;
mod door;
mod ended;
mod endpoint;
mod error;
mod fields;
mod flow;
mod form;
mod forward_auth;
mod gateway;
mod login;
mod logout;
mod middleware;
mod oauth2_proxy;
mod oidc;
mod origin;
mod pages;
mod peer;
mod proxied;
mod proxied_body;
mod proxied_headers;
mod qr;
mod reverse_proxy;
mod router;
mod saml;
mod second_factor;
#[cfg(test)]
mod tests;
mod tunnel;

pub use peer::Peer;
pub use router::{Parts, Router};
