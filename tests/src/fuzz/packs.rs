//! Packs: native code, of which nothing may be looked at that no key vouches for.

use std::collections::BTreeMap;

use vestibule::{
    config::{PublicKey, Trust},
    policy::{Pack, PackStatement, statement_and_signatures},
};

use super::{Target, corpus, key};

/// A pack as a file, for a node that trusts one key.
pub struct Packs {
    trust: Trust,
    signed: PackStatement,
}

impl Packs {
    /// The key that signed the seeds.
    #[expect(clippy::new_without_default, reason = "it reads files")]
    #[must_use]
    pub fn new() -> Self {
        let key = PublicKey::parse(&key("packer.pub")).expect("a key");
        let trust = Trust { keys: BTreeMap::from([("packer".to_owned(), key)]), required: 1, revoked: Vec::new() };
        let (_, good) = corpus("packs").into_iter().find(|(name, _)| name == "good.pack").expect("a seed");
        let (statement, _) = statement_and_signatures(&good).expect("a pack");
        Self { trust, signed: PackStatement::parse(statement).expect("a statement") }
    }
}

impl Target for Packs {
    fn name(&self) -> &'static str {
        "packs"
    }

    fn take(&self, data: &[u8]) -> bool {
        // As it is behind a signature, too.
        if let Ok(statement) = PackStatement::parse(data) {
            assert_eq!(PackStatement::parse(&statement.to_bytes()), Ok(statement), "it is read as it was written");
        }
        let Ok(pack) = Pack::open(&self.trust, data.to_owned()) else { return false };
        assert_eq!(*pack.statement(), self.signed, "a pack that nobody signed");
        true
    }
}
