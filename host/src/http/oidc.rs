//! The OIDC provider's routes: where `downstream/oidc` meets the web.

use std::sync::Arc;

use axum::{Router, response::Response};

use super::{
    error::Failure,
    gateway::{Asked, Gateway},
};
use crate::decision::Admission;

/// Discovery, authorization, token, userinfo.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
}

/// A login for an authorization request ended in yes.
pub(super) fn admitted(
    gateway: &Gateway,
    asked: &Asked,
    _admission: &Admission,
    _request: &str,
    _sid: &str,
) -> Response {
    Failure::Unavailable("oidc-provider-absent").page(gateway, asked)
}
