//! Sessions whose cookies were opened a moment ago. A browser sends the same cookie with each
//! request; opening it each time would be most of what a request costs.
//!
//! What is remembered is what the key ring opened: the cookie's exact text, its name and its
//! host, by their SHA-256. Whether a session still lives is asked each time, by the caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest;

use super::{CookieError, Jar, Session, Slot};
use crate::keys::KeyRing;

/// One lock each.
const SHARDS: usize = 16;

/// Sessions that are remembered at most. One takes a few kilobytes.
const OPENED_MAX: usize = 2048;

/// SHA-256 of a cookie's text, its name and its host.
type Print = [u8; digest::SHA256_OUTPUT_LEN];

/// A bounded memory of opened sessions, for one key ring.
#[derive(Debug, Default)]
pub struct Opened {
    shards: [Mutex<HashMap<Print, Arc<Session>>>; SHARDS],
}

impl Opened {
    /// The session that the browser sent, live or not; none where it sent none.
    ///
    /// # Errors
    ///
    /// As [`Slot::open`].
    pub fn open(&self, slot: &Slot, keys: &KeyRing, jar: &Jar, now: u64) -> Result<Option<Arc<Session>>, CookieError> {
        let Some(sealed) = slot.gather(jar)? else { return Ok(None) };
        let print = print(&slot.binding_text(), &sealed);
        let shard = self.shards.get(usize::from(print[0]) % SHARDS);
        let mut opened = shard.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(session) = opened.as_ref().and_then(|opened| opened.get(&print)) {
            return Ok(Some(Arc::clone(session)));
        }
        let session: Arc<Session> = Arc::new(slot.unseal(keys, &sealed)?);
        if let Some(opened) = &mut opened {
            if opened.len() >= OPENED_MAX / SHARDS {
                opened.retain(|_, session| session.is_live(now));
            }
            // Full of what lives: forgetting all is rare, and costs each one opening.
            if opened.len() >= OPENED_MAX / SHARDS {
                opened.clear();
            }
            opened.insert(print, Arc::clone(&session));
        }
        Ok(Some(session))
    }
}

fn print(binding: &str, sealed: &str) -> Print {
    let mut context = digest::Context::new(&digest::SHA256);
    // The length first, so that no two pairs run together.
    context.update(&(binding.len() as u64).to_le_bytes());
    context.update(binding.as_bytes());
    context.update(sealed.as_bytes());
    let mut print = Print::default();
    print.copy_from_slice(context.finish().as_ref());
    print
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
        for other in [format!("{cookie}A"), cookie[..cookie.len() - 1].to_owned(), cookie.replacen(".v1.", ".v1.x", 1)]
        {
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
