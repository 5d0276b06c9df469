//! The memories of sessions that outlive the process together, where the configuration says so.

use std::{path::Path, sync::Arc};

use super::{
    LogoutTokens, Participants, Revoked, Rounds,
    state::{State, StateError},
};
use crate::keys::KeyRing;

/// What is remembered of sessions. By default it is this process's own.
#[derive(Debug, Default)]
pub struct Memories {
    /// Those that were ended.
    pub revoked: Revoked,
    /// Who took part in which.
    pub participants: Participants,
    /// Logout tokens that were used.
    pub logout_tokens: LogoutTokens,
    /// Logouts that go through a browser.
    pub rounds: Rounds,
    /// Where it is kept.
    pub state: Arc<State>,
}

impl Memories {
    /// With what `path` holds, which is written anew. Blocks.
    ///
    /// # Errors
    ///
    /// As [`State::open`].
    pub fn open(path: &Path, keys: Arc<KeyRing>, now: u64) -> Result<Self, StateError> {
        let state = Arc::new(State::open(path, keys, now)?);
        Ok(Self {
            revoked: Revoked::open(&state, now)?,
            participants: Participants::open(&state, now)?,
            logout_tokens: LogoutTokens::open(&state, now)?,
            rounds: Rounds::open(&state, now)?,
            state,
        })
    }
}
