//! How an identity reaches an application.

pub mod oidc;
