//! Authorization requests that were pushed and wait for a browser (RFC 9126): each used once, by its client
//! alone, within a minute.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{authorize::AuthorizeRequest, client::Client, limits, sha256, token::TokenError};
use crate::{secret::random_token, session::Expiring};

/// What every such address begins with (RFC 9126 §2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// Requests of one client that wait at one time; further ones are refused. Anybody can call itself a public
/// client: whoever floods one holds up no other.
const WAITING_OF_ONE_MAX: usize = 200;

/// Requests that wait at one time, of all clients; one has some 10 KiB at most.
const WAITING_MAX: usize = 10_000;

/// Is this `request_uri` one that we could have given out?
pub(super) fn is_ours(uri: &str) -> bool {
    uri.starts_with(PREFIX)
}

/// One that waits, and the registration that pushed it.
#[derive(Debug)]
struct Waiting {
    request: AuthorizeRequest,
    mark: Option<[u8; 32]>,
}

type Tables = BTreeMap<[u8; 32], Expiring<[u8; 32], Waiting>>;

/// What was pushed, by client and by the hash of its address.
#[derive(Debug, Default)]
pub(super) struct Pushed(Mutex<Tables>);

impl Pushed {
    /// Keeps a checked request of `client`, and says under which address.
    ///
    /// # Errors
    ///
    /// [`TokenError::TooMany`], and where there is no randomness.
    pub(super) fn put(&self, client: &Client<'_>, request: AuthorizeRequest, now: u64) -> Result<String, TokenError> {
        let uri = format!("{PREFIX}{}", random_token().map_err(|_| TokenError::ServerError)?);
        let mut tables = self.lock();
        let mut waiting = 0_usize;
        tables.retain(|_, table| {
            let count = table.count(now);
            waiting = waiting.saturating_add(count);
            count > 0
        });
        if waiting >= WAITING_MAX {
            return Err(TokenError::TooMany);
        }
        let table = tables.entry(owner(client)).or_insert_with(|| Expiring::new(WAITING_OF_ONE_MAX));
        let waiting = Waiting { request, mark: client.mark };
        let expires = now.saturating_add(limits::PUSHED_LIFETIME);
        table.insert(sha256(&[uri.as_bytes()]), waiting, expires, now).map_err(|_| TokenError::TooMany)?;
        Ok(uri)
    }

    /// Gives out the request of this address, once, if `client` pushed it.
    pub(super) fn take(&self, client: &Client<'_>, uri: &str, now: u64) -> Option<AuthorizeRequest> {
        let waiting = self.lock().get_mut(&owner(client))?.take(&sha256(&[uri.as_bytes()]), now)?;
        // Registered anew since, it is another client.
        (waiting.mark == client.mark).then_some(waiting.request)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owner(client: &Client<'_>) -> [u8; 32] {
    let organization = sha256(&[client.application.tenant.as_bytes()]);
    sha256(&[&organization, client.registration.client_id.as_bytes()])
}
