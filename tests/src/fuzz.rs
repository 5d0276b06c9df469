//! Fuzz targets: what an attacker may send, with what must be true whatever it is.
//!
//! Each target holds more than *it does not panic*. The signed seeds were signed with keys that nobody has any more
//! (`tests/fuzz/seeds.py`), so that whatever is taken as signed says what a seed says, or a hole has been found.
//!
//! `tests/tests/fuzz.rs` runs them for a short time on stable Rust, without feedback; `tests/fuzz` is the same with
//! cargo-fuzz, as long as one likes.

mod cookies;
mod mutate;
mod packs;
mod places;
mod saml;
mod tokens;

use std::{fs, path::PathBuf};

pub use cookies::Cookies;
pub use mutate::Mutator;
pub use packs::Packs;
pub use places::{Paths, RedirectTargets};
pub use saml::{AuthnRequests, LogoutRequests};
pub use tokens::Tokens;

use crate::process::root;

/// One kind of input.
pub trait Target {
    /// The folder of its corpus.
    fn name(&self) -> &'static str;

    /// Takes one input; says whether the gateway would.
    ///
    /// # Panics
    ///
    /// Where something is not as it must be.
    fn take(&self, data: &[u8]) -> bool;
}

/// All of them.
#[must_use]
pub fn targets() -> Vec<Box<dyn Target>> {
    vec![
        Box::new(AuthnRequests::new()),
        Box::new(LogoutRequests::new()),
        Box::new(Tokens::new()),
        Box::new(Cookies::new()),
        Box::new(Packs::new()),
        Box::new(RedirectTargets::new()),
        Box::new(Paths),
    ]
}

fn folder() -> PathBuf {
    root().join("tests/fuzz")
}

/// The seeds of a target, with their names, in the names' order.
///
/// # Panics
///
/// Where there are none.
#[must_use]
pub fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("a seed")))
        .collect();
    seeds.sort();
    seeds
}

/// A public key of those that signed the seeds.
fn key(name: &str) -> String {
    fs::read_to_string(folder().join("keys").join(name)).expect("a key of the seeds")
}

/// A configuration with one application of each kind that the targets need.
fn config() -> vestibule::config::Config {
    let certificate = key("service-provider.pem");
    let text = format!(
        r#"
[server]
public-url = "https://login.example.com"
[policies.any]
component = "any.wasm"
[upstreams.main]
preset = "keycloak"
base-url = "https://id.example.com"
realm = "r"
client-id = "c"
client-secret = "s"

[applications.jira]
upstreams = ["main"]
chain = ["any"]
url = "https://app.example.com/"
hosts = ["https://wiki.example.com"]
allowed-targets = [".partner.example"]
[applications.jira.forward-auth]

[applications.guard]
upstreams = ["main"]
chain = ["any"]
url = "https://sp.example.net/"
[applications.guard.saml]
entity-id = "https://sp.example.net/metadata"
acs-urls = ["https://sp.example.net/acs"]
logout-url = "https://sp.example.net/logout"
want-signed-requests = true
sp-certificates = ["""
{certificate}"""]
authn-contexts = {{ "urn:mfa" = "mfa" }}
"#
    );
    vestibule::config::parse(&text, std::path::Path::new("vestibule.toml"), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// When the seeds were made, in seconds since 1970-01-01 UTC.
const NOW: u64 = 1_700_000_000;

/// A key ring of this process.
fn keys() -> std::sync::Arc<vestibule::keys::KeyRing> {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = std::sync::Arc::new(vestibule::clock::ManualClock::at(NOW));
    let directory = folder.path().join("keys");
    vestibule::keys::generate(&directory, &*clock).expect("a ring");
    let keys = vestibule::config::Keys { directory };
    std::sync::Arc::new(vestibule::keys::KeyRing::open(&keys, clock).expect("a ring"))
}
