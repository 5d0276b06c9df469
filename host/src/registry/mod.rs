//! Components in OCI registries, in the layout that `wkg` uses, so that either program reads what the
//! other pushed.
//!
//! A component is an image manifest with the configuration `application/vnd.wasm.config.v0+json`
//! and one layer `application/wasm` (CNCF "Wasm OCI Artifact layout"). What vouches for it is a
//! referrer: a manifest of its own whose `subject` is the component's (OCI image specification 1.1),
//! since a second layer would be refused by others.
//!
//! A registry is not trusted: every byte is held to its digest and to a limit while it arrives,
//! and whoever names a digest gets that and nothing else.

mod auth;
mod error;
mod layout;
mod reference;
mod transfer;
mod transport;

#[cfg(test)]
mod tests;

use aws_lc_rs::digest;

pub use auth::Credentials;
pub use error::RegistryError;
pub use layout::{Labels, Vouching};
pub use reference::Reference;
pub use transfer::{Limits, Pulled, Pushed, Registry};

/// `sha256:` and the digest of `bytes` in lower-case hex.
fn sha256(bytes: &[u8]) -> String {
    named(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn named(digest: &[u8]) -> String {
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
