//! Wrong client secrets, counted: a secret is a secret only as long as nobody can try them all.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::sha256;
use crate::session::Expiring;

/// Wrong secrets for one client from one address that are answered within [`WINDOW`].
const GUESSES_MAX: u32 = 20;

/// How long a wrong secret is remembered after the last one, in seconds.
const WINDOW: u64 = 60;

/// Addresses and clients that are counted; the oldest go first.
const COUNTED_MAX: usize = 10_000;

/// How many wrong secrets came lately, by address and client. What is right is not counted, so
/// that a relying party that works is never held up by its own traffic.
#[derive(Debug)]
pub(super) struct Guesses(Mutex<Expiring<[u8; 32], u32>>);

impl Default for Guesses {
    fn default() -> Self {
        Self(Mutex::new(Expiring::new(COUNTED_MAX)))
    }
}

impl Guesses {
    /// Has this address guessed too often?
    pub(super) fn are_too_many(&self, address: Option<IpAddr>, client_id: &str, now: u64) -> bool {
        self.lock().get(&key(address, client_id), now).is_some_and(|count| *count >= GUESSES_MAX)
    }

    /// One more was wrong.
    pub(super) fn count(&self, address: Option<IpAddr>, client_id: &str, now: u64) {
        let mut guesses = self.lock();
        let key = key(address, client_id);
        let before = guesses.get(&key, now).copied().unwrap_or_default();
        guesses.insert_or_displace(key, before.saturating_add(1), now.saturating_add(WINDOW), now);
    }

    /// Nobody has guessed.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        *self.lock() = Expiring::new(COUNTED_MAX);
    }

    fn lock(&self) -> MutexGuard<'_, Expiring<[u8; 32], u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever is unknown shares one count for each client.
fn key(address: Option<IpAddr>, client_id: &str) -> [u8; 32] {
    let address = address.map(|address| address.to_canonical().to_string()).unwrap_or_default();
    sha256(&[address.as_bytes(), &[0], client_id.as_bytes()])
}
