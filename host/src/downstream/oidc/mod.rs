//! The OIDC provider: applications that are relying parties of this gateway.
//!
//! | endpoint | file | specification |
//! |---|---|---|
//! | `/.well-known/openid-configuration` | `discovery.rs` | OIDC Discovery §4 |
//! | `/oidc/authorize` | `authorize.rs` | OIDC Core §3.1.2, RFC 7636, RFC 9207 |
//! | `/oidc/token` | `token.rs` | OIDC Core §3.1.3 and §12, RFC 6749 §5 and §6 |
//! | `/oidc/par` | `authorize.rs`, `pushed.rs` | RFC 9126 |
//! | `/oidc/consent` | `consent.rs`, `agreed.rs` | OIDC Core §3.1.2.4 |
//! | client authentication at these | `authn.rs`, `assertion.rs` | OIDC Core §9, RFC 6749 §2.3, RFC 7523 |
//! | `/oidc/introspect`, `/oidc/revoke` | `tokens.rs` | RFC 7662, RFC 7009 |
//! | `/oidc/userinfo` | `userinfo.rs` | OIDC Core §5.3, RFC 6750 |
//! | proof of possession at these | `dpop.rs` | RFC 9449 |
//! | `/oidc/logout` | `logout.rs` | OIDC RP-Initiated Logout §2 |
//! | a client's `backchannel-logout-uri` | `back_channel.rs` | OIDC Back-Channel Logout §2 |
//! | `/api/v1/organizations/{organization}/clients` | `registration.rs`, `registered.rs` | the words of RFC 7591 |
//!
//! Each organization is an issuer of its own: `https://GATEWAY/ORGANIZATION`, with all of these
//! below it. A client, a code and a token are good in their organization only. That of
//! configurations that name none is `default`, and its issuer is `https://GATEWAY`.
//!
//! Data in, data out: `http` has the routes, and `login` has the login. A code is made
//! from an [`Admission`](crate::decision::Admission) only.

mod agreed;
mod assertion;
mod authn;
mod authorize;
mod back_channel;
mod claims;
mod client;
mod consent;
mod discovery;
mod dpop;
mod file;
mod grants;
mod guesses;
mod logout;
mod pushed;
mod registered;
mod registration;
mod replay;
mod token;
mod tokens;
mod userinfo;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_lc_rs::digest;

pub use crate::jose::ALGORITHMS as SIGNING_ALGORITHMS;
pub use agreed::AgreedError;
pub use authorize::{Asked, AuthorizeRequest, Refused};
pub use back_channel::Untellable;
pub use client::{Known, known};
pub use consent::{Question, Reply, SCOPES};
pub use logout::Farewell;
pub use registered::ClientsError;
pub use registration::{Newcomer, RegistrationError};
pub use token::{TokenError, TokenRequest};
pub use tokens::About;
pub use userinfo::{Presented, UserinfoError};

use crate::{
    clock::Clock,
    config::{Config, HandOver},
    keys::KeyRing,
    session::{Origin, State, StateError},
};
use agreed::Agreed;
pub(super) use claims::subject;
use consent::Questions;
use grants::Grants;
use guesses::Guesses;
use pushed::Pushed;
use registered::Registered;
use replay::UsedIds;

/// Names and lengths of life that the provider states and keeps.
mod limits {
    /// Of an authorization code, in seconds (RFC 6749 §4.1.2 recommends at most 600).
    pub(super) const CODE_LIFETIME: u64 = 60;
    /// Of an access token, in seconds.
    pub(super) const ACCESS_TOKEN_LIFETIME: u64 = 600;
    /// Of an ID token, in seconds.
    pub(super) const ID_TOKEN_LIFETIME: u64 = 600;
    /// Of a request that was pushed, in seconds (RFC 9126 §2.2: 5 to 600).
    pub(super) const PUSHED_LIFETIME: u64 = 60;
    /// Codes and access tokens alive at one time; the oldest go first.
    pub(super) const GRANTS_MAX: usize = 100_000;
    /// Of `state`, `nonce`, `login_hint` and the like, in bytes.
    pub(super) const PARAMETER_BYTES_MAX: usize = 2048;
}

/// The provider: what it has granted, and the keys to say so.
pub struct Provider {
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    grants: Grants,
    guesses: Guesses,
    /// Proofs of possession that were used: a memory of their own, so that whoever floods it holds up no assertion.
    proofs: UsedIds,
    agreed: Agreed,
    questions: Questions,
    pushed: Pushed,
    registered: Registered,
    used: UsedIds,
}

impl Provider {
    /// A provider that has granted what `state` had at the start.
    ///
    /// # Errors
    ///
    /// As [`State::take`].
    pub fn open(keys: Arc<KeyRing>, clock: Arc<dyn Clock>, state: &Arc<State>) -> Result<Self, StateError> {
        let grants = Grants::open(limits::GRANTS_MAX, state, clock.now())?;
        let used = UsedIds::open(state, clock.now())?;
        Ok(Self {
            keys,
            clock,
            grants,
            guesses: Guesses::default(),
            proofs: UsedIds::default(),
            agreed: Agreed::default(),
            questions: Questions::default(),
            pushed: Pushed::default(),
            registered: Registered::default(),
            used,
        })
    }

    /// A provider that has granted nothing yet, of which nothing outlives the process.
    #[cfg(test)]
    pub(crate) fn new(keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self::open(keys, clock, &Arc::default()).unwrap()
    }

    /// Does anything of it outlive the process?
    #[must_use]
    pub fn outlives(&self) -> bool {
        self.grants.outlive()
    }

    /// Waits until what was granted, used and ended so far outlives the process, where that is to be so. Blocks.
    ///
    /// # Errors
    ///
    /// Where it does not: nothing new may be granted then, since a used token could be used again after a restart.
    pub fn settle(&self) -> Result<(), StateError> {
        self.grants.settle()
    }

    /// Reads what people agreed to, where that is kept, and leaves out of the file what counts no more. Blocks.
    ///
    /// # Errors
    ///
    /// [`AgreedError`]: nobody whose answer cannot be read could log in where people are asked.
    pub fn open_consents(&self, config: &Config) -> Result<(), AgreedError> {
        config.consent.as_ref().map_or(Ok(()), |consent| self.agreed.open(&consent.file))
    }

    /// `/oidc/jwks.json`: the public keys (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.keys.jwks()
    }
}

/// SHA-256 of the parts, one after the other.
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The organization of applications that name none.
pub const DEFAULT_ORGANIZATION: &str = "default";

/// Does a session still live from which something was granted? The login knows.
pub type Lives<'a> = &'a (dyn Fn(&Origin) -> bool + Sync);

/// Has the organization a relying party?
#[must_use]
pub fn is_organization(config: &Config, organization: &str) -> bool {
    config
        .applications
        .values()
        .any(|application| application.tenant == organization && matches!(application.hand_over, HandOver::Oidc(_)))
}

/// The organization's issuer: a URL without a slash at the end.
fn issuer(config: &Config, organization: &str) -> String {
    let base = config.server.public_url.as_str().trim_end_matches('/');
    if organization == DEFAULT_ORGANIZATION { base.to_owned() } else { format!("{base}/{organization}") }
}
