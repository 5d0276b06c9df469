//! Forms: where they come from, and how much of them is read.
//!
//! A form must come from our own page. Browsers say where it comes from (Fetch Metadata,
//! `Origin`); beside that each form carries the login's id, which counts only together with
//! the pending login's cookie, and that cookie does not travel with a form of another site
//! (`SameSite`).

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, header},
};
use url::Url;

use super::error::Failure;
use crate::secret::Secret;

/// Did our own page send this form?
pub(super) fn is_our_own(headers: &HeaderMap, origin: Option<&Url>) -> Result<(), Failure> {
    // Sent over TLS and on loopback, by every browser of today.
    if headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin") {
        return Err(Failure::CrossSite);
    }
    let ours = origin.map(|origin| origin.origin().ascii_serialization()).ok_or(Failure::CrossSite)?;
    // `null`, too, is not ours. A client that sends neither header is no browser that
    // somebody else's page could have made do this.
    if headers.get_all(header::ORIGIN).iter().any(|origin| origin.as_bytes() != ours.as_bytes()) {
        return Err(Failure::CrossSite);
    }
    Ok(())
}

/// Did a person open this page, or did another site's page ask for it behind the person's
/// back: as a picture or a script, or to show it in a frame? Where a `GET` changes something (a
/// login begins, a session ends), only the first counts (Fetch Metadata, `Sec-Fetch-Mode` and
/// `Sec-Fetch-Dest`). A frame on our own site counts, too: applications show each other's
/// parts that way.
pub(super) fn is_visit(headers: &HeaderMap) -> Result<(), Failure> {
    let says = |name: &str, value: &str| headers.get_all(name).iter().all(|said| said == value);
    let is_page = says("sec-fetch-dest", "document");
    let is_ours = says("sec-fetch-site", "same-origin") || says("sec-fetch-site", "same-site");
    if says("sec-fetch-mode", "navigate") && (is_page || is_ours) { Ok(()) } else { Err(Failure::CrossSiteVisit) }
}

/// Reads a form's body, which may hold a password.
pub(super) async fn read(body: Body, bytes_max: usize) -> Result<Secret<Vec<u8>>, Failure> {
    let bytes = to_bytes(body, bytes_max).await.map_err(|_| Failure::BodyTooLarge)?;
    Ok(Secret::new(bytes.into()))
}
