//! What may be used once: the ids of assertions and proofs, remembered for as long as those hold.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::sha256;
use crate::session::Expiring;

/// Ids that are remembered at one time; what comes past that is refused, not forgotten.
const USED_MAX: usize = 200_000;

/// The longest id, in bytes.
pub(super) const ID_BYTES_MAX: usize = 256;

/// The ids that were used.
#[derive(Debug)]
pub(super) struct UsedIds(Mutex<Expiring<[u8; 32], ()>>);

impl Default for UsedIds {
    fn default() -> Self {
        Self(Mutex::new(Expiring::new(USED_MAX)))
    }
}

impl UsedIds {
    /// Uses the id that these parts make, which holds until `expires`. False where it was used before,
    /// or where no more can be remembered.
    pub(super) fn take(&self, parts: &[&str], expires: u64, now: u64) -> bool {
        let key = key(parts);
        let mut used = self.lock();
        !used.contains(&key, now) && used.insert(key, (), expires, now).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Expiring<[u8; 32], ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a45_where_no_more_can_be_remembered_nothing_is_taken() {
        let used = UsedIds(Mutex::new(Expiring::new(2)));
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
