//! Logout tokens that were used, until they would expire: each counts once (OIDC Back-Channel Logout §2.6), across restarts
//! too where the sessions' state is kept.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    Expiring, Full,
    state::{Memory, State, StateError},
};

/// How many are remembered; one past that is refused.
const TOKENS_MAX: usize = 200_000;

/// The tokens.
#[derive(Debug)]
pub struct LogoutTokens {
    used: Mutex<Expiring<String, ()>>,
    state: Arc<State>,
}

impl Default for LogoutTokens {
    fn default() -> Self {
        Self { used: Mutex::new(Expiring::new(TOKENS_MAX)), state: Arc::default() }
    }
}

impl LogoutTokens {
    /// With what `state` had at the start.
    pub(super) fn open(state: &Arc<State>, now: u64) -> Result<Self, StateError> {
        let mut used = Expiring::new(TOKENS_MAX);
        for (token, until, ()) in state.take(Memory::LogoutTokens)? {
            used.insert_or_displace(token, (), until, now);
        }
        Ok(Self { used: Mutex::new(used), state: Arc::clone(state) })
    }

    /// Uses `token`, which holds until `until`. False where it was used before.
    ///
    /// # Errors
    ///
    /// [`Full`]: what cannot be remembered cannot be taken.
    pub fn take(&self, token: &str, until: u64, now: u64) -> Result<bool, Full> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains(token, now) {
            return Ok(false);
        }
        used.insert(token.to_owned(), (), until, now)?;
        self.state.put(Memory::LogoutTokens, token, &(), until, now);
        Ok(true)
    }
}
