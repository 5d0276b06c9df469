//! A bounded memory of things that expire by themselves. Nothing here outlives the
//! process (`state.rs` keeps what must), and nothing here grows without limit.

use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// A map whose entries expire, of at most `entries_max` entries.
#[derive(Debug)]
pub struct Expiring<K, V> {
    entries: HashMap<K, (u64, V)>,
    by_expiry: BTreeSet<(u64, K)>,
    entries_max: usize,
}

/// The memory is full of what has not expired yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to remember: {0} entries are the limit")]
pub struct Full(usize);

impl<K: Clone + Eq + Hash + Ord, V> Expiring<K, V> {
    /// An empty memory.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { entries: HashMap::new(), by_expiry: BTreeSet::new(), entries_max }
    }

    /// Remembers `value` until `expires`; refuses where it is full.
    ///
    /// # Errors
    ///
    /// [`Full`], and then nothing is changed.
    pub fn insert(&mut self, key: K, value: V, expires: u64, now: u64) -> Result<(), Full> {
        self.forget_expired(now);
        if self.entries.len() >= self.entries_max && !self.entries.contains_key(&key) {
            return Err(Full(self.entries_max));
        }
        self.put(key, value, expires);
        Ok(())
    }

    /// Remembers `value` until `expires`; where it is full, forgets what would expire first.
    pub fn insert_or_displace(&mut self, key: K, value: V, expires: u64, now: u64) {
        self.forget_expired(now);
        if self.entries.len() >= self.entries_max
            && !self.entries.contains_key(&key)
            && let Some((_, first)) = self.by_expiry.pop_first()
        {
            self.entries.remove(&first);
        }
        self.put(key, value, expires);
    }

    /// All that is remembered, what has expired since then included: key, until when, and what.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = (&K, u64, &mut V)> {
        self.entries.iter_mut().map(|(key, (expires, value))| (key, *expires, value))
    }

    /// Until when `key` is remembered.
    #[must_use]
    pub fn until<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<u64>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(expires, _)| *expires)
    }

    /// Is nothing remembered? What has expired counts until something is remembered anew.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many are remembered; forgets what has expired.
    pub fn count(&mut self, now: u64) -> usize {
        self.forget_expired(now);
        self.entries.len()
    }

    /// Is `key` remembered?
    #[must_use]
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, key: &Q, now: u64) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).is_some_and(|(expires, _)| now < *expires)
    }

    /// What is remembered of `key`.
    #[must_use]
    pub fn get(&self, key: &K, now: u64) -> Option<&V> {
        self.entries.get(key).filter(|(expires, _)| now < *expires).map(|(_, value)| value)
    }

    /// What is remembered of `key`, to be changed.
    pub fn get_mut(&mut self, key: &K, now: u64) -> Option<&mut V> {
        self.entries.get_mut(key).filter(|(expires, _)| now < *expires).map(|(_, value)| value)
    }

    /// Gives out the value and forgets it.
    pub fn take(&mut self, key: &K, now: u64) -> Option<V> {
        let (expires, value) = self.entries.remove(key)?;
        self.by_expiry.remove(&(expires, key.clone()));
        (now < expires).then_some(value)
    }

    fn put(&mut self, key: K, value: V, expires: u64) {
        if let Some((before, _)) = self.entries.insert(key.clone(), (expires, value)) {
            self.by_expiry.remove(&(before, key.clone()));
        }
        self.by_expiry.insert((expires, key));
    }

    fn forget_expired(&mut self, now: u64) {
        while self.by_expiry.first().is_some_and(|(expires, _)| *expires <= now) {
            if let Some((_, key)) = self.by_expiry.pop_first() {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_has_expired() {
        let mut memory = Expiring::new(4);
        memory.insert("a", 1, 10, 0).unwrap();
        assert!(memory.contains(&"a", 9));
        assert_eq!((memory.get(&"a", 9), memory.get(&"a", 10)), (Some(&1), None));
        assert!(!memory.contains(&"a", 10));
        assert_eq!(memory.take(&"a", 10), None);
    }

    #[test]
    fn gives_a_value_out_once() {
        let mut memory = Expiring::new(4);
        memory.insert("a", 1, 10, 0).unwrap();
        assert_eq!(memory.take(&"a", 1), Some(1));
        assert_eq!(memory.take(&"a", 1), None);
    }

    #[test]
    fn refuses_more_than_its_limit_until_something_expires() {
        let mut memory = Expiring::new(2);
        memory.insert(1, (), 10, 0).unwrap();
        memory.insert(2, (), 20, 0).unwrap();
        assert_eq!(memory.insert(3, (), 30, 0), Err(Full(2)));
        assert_eq!(memory.insert(2, (), 25, 0), Ok(()), "what is known already may be renewed");
        memory.insert(3, (), 30, 10).unwrap();
        assert_eq!((memory.count(10), memory.count(25), memory.count(30)), (2, 1, 0));
        memory.insert(3, (), 30, 10).unwrap();
        assert!(!memory.contains(&1, 0) && memory.contains(&3, 10));
    }

    #[test]
    fn displaces_what_would_expire_first() {
        let mut memory = Expiring::new(2);
        for (key, expires) in [(1, 30), (2, 20), (3, 40)] {
            memory.insert_or_displace(key, (), expires, 0);
        }
        assert!(memory.contains(&1, 0) && !memory.contains(&2, 0) && memory.contains(&3, 0));
        assert_eq!(memory.entries.len(), memory.by_expiry.len());
    }

    #[test]
    fn a_renewed_entry_keeps_the_two_indexes_in_step() {
        let mut memory = Expiring::new(2);
        for expires in 1..100 {
            memory.insert_or_displace("a", (), expires, 0);
        }
        assert_eq!((memory.entries.len(), memory.by_expiry.len()), (1, 1));
    }
}
