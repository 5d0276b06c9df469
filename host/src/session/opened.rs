//! Sessions whose cookies were opened a moment ago. A browser sends the same cookie with each
//! request; opening it each time would be most of what a request costs.
//!
//! What is remembered is what the key ring opened, with the cookie's exact text, name and host.
//! It is found by the text's end, where the tag of the AEAD is (RFC 8439 §2.8), and counts only if
//! the whole of it is the same: who does not know the tag learns nothing from how long that takes,
//! and who knows it has the cookie. Whether a session still lives is asked each time, by the caller.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use super::{CookieError, Jar, Session, Slot};
use crate::keys::KeyRing;

/// One lock each.
const SHARDS: usize = 16;

/// Sessions that are remembered at most. One takes a few kilobytes.
const OPENED_MAX: usize = 2048;

/// How much of a cookie's end it is found by: the tag's 16 bytes are 22 characters of it.
const END_BYTES: usize = 32;

/// A cookie that was opened, and what was in it.
#[derive(Debug)]
struct Entry {
    sealed: Box<str>,
    slot: Slot,
    session: Arc<Session>,
}

/// A bounded memory of opened sessions, for one key ring.
#[derive(Debug, Default)]
pub struct Opened {
    hasher: RandomState,
    /// By the hash of the cookie's end; of two with one hash the later one stays.
    shards: [Mutex<HashMap<u64, Entry>>; SHARDS],
}

impl Opened {
    /// The session that the browser sent, live or not; none where it sent none.
    ///
    /// # Errors
    ///
    /// As [`Slot::open`].
    pub fn open(&self, slot: &Slot, keys: &KeyRing, jar: &Jar, now: u64) -> Result<Option<Arc<Session>>, CookieError> {
        let Some(sealed) = slot.gather(jar)? else { return Ok(None) };
        let text = sealed.as_bytes();
        let end = self.hasher.hash_one(text.get(text.len().saturating_sub(END_BYTES)..).unwrap_or_default());
        let shard = usize::try_from(end).ok().and_then(|end| self.shards.get(end % SHARDS));
        let mut opened = shard.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(entry) = opened.as_ref().and_then(|opened| opened.get(&end))
            && *entry.sealed == *sealed
            && entry.slot == *slot
        {
            return Ok(Some(Arc::clone(&entry.session)));
        }
        let session: Arc<Session> = Arc::new(slot.unseal(keys, &sealed)?);
        if let Some(opened) = &mut opened {
            if opened.len() >= OPENED_MAX / SHARDS {
                opened.retain(|_, entry| entry.session.is_live(now));
            }
            // Full of what lives: forgetting all is rare, and costs each one opening.
            if opened.len() >= OPENED_MAX / SHARDS {
                opened.clear();
            }
            let session = Arc::clone(&session);
            opened.insert(end, Entry { sealed: sealed.into(), slot: slot.clone(), session });
        }
        Ok(Some(session))
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{
        super::testing::{self, NOW},
        *,
    };
    use crate::{
        decision::{Admission, Admitted, Difference, Profile, SessionTerms},
        identity::{GroupClaim, Identity, Protocol},
    };

    fn session() -> Session {
        let admission = Admission::assertion(Admitted {
            login: "login-1".into(),
            application: "wiki".into(),
            tenant: "default".into(),
            generation: 7,
            identity: Identity {
                upstream: "corp".into(),
                protocol: Protocol::Oidc,
                issuer: "https://idp.example.com".into(),
                subject: "ann-1".into(),
                email: None,
                groups: GroupClaim::Absent,
                auth_time: None,
                acr: None,
                amr: vec![],
                claims: std::collections::BTreeMap::new(),
            },
            profile: Profile::default(),
            groups: Difference::default(),
            terms: SessionTerms { lifetime: 1000, idle: 100, remember: false },
            at: NOW,
        });
        Session::begin(&admission, "parent", NOW).unwrap()
    }

    fn slot(origin: &str) -> Slot {
        Slot::session(&testing::config(), &Url::parse(origin).unwrap(), "wiki")
    }

    fn sent(slot: &Slot, session: &Session) -> String {
        let cookies = slot.seal(&testing::keys(), &Jar::default(), session, None).unwrap();
        cookies.iter().map(|cookie| cookie.as_str().split(';').next().unwrap()).collect::<Vec<_>>().join("; ")
    }

    fn jar(header: &str) -> Jar {
        Jar::parse([header.as_bytes()]).unwrap()
    }

    #[test]
    fn gives_what_the_key_ring_opens_and_opens_it_once() {
        let (opened, slot, session) = (Opened::default(), slot("https://wiki.example.com"), session());
        let jar = jar(&sent(&slot, &session));
        let first = opened.open(&slot, &testing::keys(), &jar, NOW).unwrap().unwrap();
        assert_eq!(*first, session);
        let second = opened.open(&slot, &testing::keys(), &jar, NOW).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(opened.open(&slot, &testing::keys(), &Jar::default(), NOW).unwrap(), None);
    }

    #[test]
    fn a65_a_cookie_that_was_opened_opens_nothing_that_differs_from_it() {
        let (opened, slot) = (Opened::default(), slot("https://wiki.example.com"));
        let cookie = sent(&slot, &session());
        opened.open(&slot, &testing::keys(), &jar(&cookie), NOW).unwrap().unwrap();
        let middle = cookie.len() / 2;
        let flipped = if cookie.as_bytes()[middle] == b'A' { "B" } else { "A" };
        for other in [
            format!("{cookie}A"),
            cookie[..cookie.len() - 1].to_owned(),
            cookie.replacen(".v1.", ".v1.x", 1),
            // All but one character is that of the one which was opened, its end above all.
            format!("{}{flipped}{}", &cookie[..middle], &cookie[middle + 1..]),
            format!("{}{}", &cookie[..middle], &cookie[middle + 1..]),
            format!("{}{}", &cookie[..cookie.find('=').unwrap() + 1], &cookie[cookie.len() - END_BYTES..]),
        ] {
            assert!(opened.open(&slot, &testing::keys(), &jar(&other), NOW).is_err(), "{other}");
        }
    }

    #[test]
    fn a60_a_cookie_of_one_host_opens_on_no_other() {
        let opened = Opened::default();
        let [one, other] = ["https://wiki.example.com", "https://jira.example.com"].map(slot);
        let jar = jar(&sent(&one, &session()));
        opened.open(&one, &testing::keys(), &jar, NOW).unwrap().unwrap();
        assert!(matches!(opened.open(&other, &testing::keys(), &jar, NOW), Err(CookieError::Unsealable)));
    }

    #[test]
    fn remembers_no_more_than_its_limit() {
        let (opened, slot) = (Opened::default(), slot("https://wiki.example.com"));
        for _ in 0..OPENED_MAX + 200 {
            let jar = jar(&sent(&slot, &session()));
            opened.open(&slot, &testing::keys(), &jar, NOW).unwrap().unwrap();
        }
        let count: usize = opened.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(count <= OPENED_MAX, "{count}");
    }
}
