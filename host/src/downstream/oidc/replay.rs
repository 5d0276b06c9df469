//! What may be used once: the ids of assertions and proofs, remembered for as long as those hold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{file, registration::hex, sha256};
use crate::session::{Expiring, Memory, State, StateError};

/// Ids that are remembered at one time; what comes past that is refused, not forgotten.
const USED_MAX: usize = 200_000;

/// The longest id, in bytes.
pub(super) const ID_BYTES_MAX: usize = 256;

/// The ids that were used.
#[derive(Debug)]
pub(super) struct UsedIds {
    used: Mutex<Expiring<[u8; 32], ()>>,
    /// Where they outlive the process.
    state: Arc<State>,
}

impl Default for UsedIds {
    fn default() -> Self {
        Self::of(USED_MAX)
    }
}

impl UsedIds {
    fn of(max: usize) -> Self {
        Self { used: Mutex::new(Expiring::new(max)), state: Arc::default() }
    }

    /// The ids of assertions, with those that `state` had at the start.
    pub(super) fn open(state: &Arc<State>, now: u64) -> Result<Self, StateError> {
        let mut used = Expiring::new(USED_MAX);
        for (id, until, ()) in state.take(Memory::Assertions)? {
            if let Some(key) = file::unhex(&id) {
                used.insert_or_displace(key, (), until, now);
            }
        }
        Ok(Self { used: Mutex::new(used), state: Arc::clone(state) })
    }

    /// Uses the id that these parts make, which holds until `expires`. False where it was used before,
    /// or where no more can be remembered.
    pub(super) fn take(&self, parts: &[&str], expires: u64, now: u64) -> bool {
        let key = key(parts);
        let mut used = self.lock();
        let taken = !used.contains(&key, now) && used.insert(key, (), expires, now).is_ok();
        if taken {
            self.state.put(Memory::Assertions, &hex(&key), &(), expires, now);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Expiring<[u8; 32], ()>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each part with its length, so that no two lists make one id.
fn key(parts: &[&str]) -> [u8; 32] {
    let hashes: Vec<[u8; 32]> = parts.iter().map(|part| sha256(&[part.as_bytes()])).collect();
    sha256(&hashes.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing;

    #[test]
    fn a45_an_id_is_used_once_until_it_expires() {
        let used = UsedIds::default();
        assert!(used.take(&["a", "1"], 10, 0));
        assert!(!used.take(&["a", "1"], 10, 9));
        assert!(used.take(&["b", "1"], 10, 0), "another's");
        assert!(used.take(&["a1"], 10, 0) && used.take(&["", "a1"], 10, 0), "no two lists are one");
        assert!(used.take(&["a", "1"], 20, 10), "over");
    }

    #[test]
    fn a45_an_id_that_was_used_is_not_good_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let state = State::open(&folder.path().join("state"), testing::keys(), 0).unwrap();
            UsedIds::open(&Arc::new(state), 0).unwrap()
        };
        assert!(open().take(&["a", "1"], 10, 0));
        let again = open();
        assert!(!again.take(&["a", "1"], 10, 9) && again.take(&["a", "2"], 10, 9));
    }

    #[test]
    fn a45_where_no_more_can_be_remembered_nothing_is_taken() {
        let used = UsedIds::of(2);
        assert!(used.take(&["1"], 10, 0) && used.take(&["2"], 10, 0));
        assert!(!used.take(&["3"], 10, 0), "full");
        assert!(!used.take(&["1"], 10, 0), "and nothing was forgotten");
        assert!(used.take(&["3"], 20, 10));
    }

    #[test]
    fn a45_of_many_who_use_an_id_at_once_one_does() {
        let used = UsedIds::default();
        let won = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| used.take(&["a"], 10, 0))).collect();
            tries.into_iter().map(|tried| tried.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
    }
}
