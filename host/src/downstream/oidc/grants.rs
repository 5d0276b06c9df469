//! What has been granted and may still be used: codes, once, access tokens, and refresh tokens,
//! each once.
//!
//! All that came of one code is a *family*. Whoever uses a code or a refresh token a second time
//! ends its family: one of the two who had it is a thief, and nobody can tell which (RFC 6749
//! §4.1.2, RFC 9700 §4.14.2).
//!
//! In memory: a restart ends what is open, which costs a relying party one more trip. Where the sessions' state is kept,
//! refresh tokens outlive it, and so does that they were used or ended; codes and access tokens do not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{file, registration::hex, sha256};
use crate::session::{Expiring, Memory, Origin, State, StateError};

/// What one login granted to one relying party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Grant {
    /// The application's id.
    pub(crate) application: String,
    /// Its organization.
    pub(crate) organization: String,
    /// The relying party.
    pub(crate) client_id: String,
    /// Which registration of it, where it was registered while the gateway runs.
    pub(crate) mark: Option<[u8; 32]>,
    /// As it was in the authorization request.
    pub(crate) redirect_uri: String,
    /// RFC 7636 `code_challenge`, method S256.
    pub(crate) challenge: Option<String>,
    /// RFC 9449 §10 `dpop_jkt`: the key that whoever redeems the code must prove.
    pub(crate) dpop_jkt: Option<String>,
    /// OIDC Core §3.1.2.1.
    pub(crate) nonce: Option<String>,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
    /// `sub` toward the relying party.
    pub(crate) subject: String,
    /// The session that it ends with.
    pub(crate) origin: Origin,
    /// When the session that was decided ends, in seconds since 1970-01-01 UTC: nothing is
    /// renewed past that.
    pub(crate) ends: u64,
    /// When the subject authenticated, in seconds since 1970-01-01 UTC.
    pub(crate) auth_time: Option<u64>,
    /// How strongly.
    pub(crate) acr: Option<String>,
    /// By which methods.
    pub(crate) amr: Vec<String>,
    /// The claims that the scopes cover.
    pub(crate) claims: Map<String, Value>,
}

/// What a code or a token stands for at the moment.
#[derive(Clone, Debug)]
enum Entry {
    /// Not yet redeemed.
    Code(Arc<Grant>),
    /// An access token.
    Access(Arc<Grant>, Family),
    /// A refresh token that was not used yet, and the key that it is bound to.
    Refresh(Arc<Grant>, Family, Option<String>),
    /// A code or a refresh token that was used.
    Used(Family),
    /// A family that was ended.
    Ended,
}

/// What is kept of an entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum Kept<G> {
    Refresh { grant: G, family: Family, jkt: Option<String> },
    Used(Family),
    Ended,
}

/// All that came of one code, and until when any of it may be good.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Family {
    id: [u8; 32],
    until: u64,
}

/// The tokens that are given out for a code or a refresh token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New<'a> {
    /// The access token's id.
    pub(crate) access: &'a str,
    /// When it expires, in seconds since 1970-01-01 UTC.
    pub(crate) access_expires: u64,
    /// The refresh token, where there is to be one.
    pub(crate) refresh: Option<&'a str>,
    /// The thumbprint of the key that the access token is bound to (RFC 9449 §5).
    pub(crate) jkt: Option<&'a str>,
    /// That of the key that the refresh token is bound to.
    pub(crate) refresh_jkt: Option<&'a str>,
}

/// Why a code or a refresh token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unredeemable {
    /// Never given out, too old, or for somebody else.
    Unknown,
    /// Used before: all that came of it has been revoked.
    Used,
}

/// The table of grants, bounded; what expires is forgotten.
#[derive(Debug)]
pub(crate) struct Grants {
    entries: Mutex<Entries>,
    state: Arc<State>,
}

type Entries = Expiring<[u8; 32], Entry>;

/// The table, while nobody else can change it.
struct Table<'a> {
    entries: MutexGuard<'a, Entries>,
    state: &'a State,
}

impl Grants {
    /// A table of at most `max` entries, with what `state` had at the start; where it is full, those go that would
    /// expire first.
    pub(crate) fn open(max: usize, state: &Arc<State>, now: u64) -> Result<Self, StateError> {
        let mut entries = Expiring::new(max);
        for (name, until, kept) in state.take::<Kept<Grant>>(Memory::Grants)? {
            let entry = match kept {
                Kept::Refresh { grant, family, jkt } => Entry::Refresh(Arc::new(grant), family, jkt),
                Kept::Used(family) => Entry::Used(family),
                Kept::Ended => Entry::Ended,
            };
            if let Some(key) = file::unhex(&name) {
                entries.insert_or_displace(key, entry, until, now);
            }
        }
        Ok(Self { entries: Mutex::new(entries), state: Arc::clone(state) })
    }

    /// Files `grant` under `code` until `expires`.
    pub(crate) fn put_code(&self, code: &str, grant: Grant, expires: u64, now: u64) {
        self.lock().put(key("code", code), Entry::Code(Arc::new(grant)), expires, now);
    }

    /// Takes the grant under `code`, if `fits` says that it is for who asks, and files `new`.
    pub(crate) fn redeem(
        &self,
        code: &str,
        new: New<'_>,
        now: u64,
        fits: impl FnOnce(&Grant) -> bool,
    ) -> Result<Arc<Grant>, Unredeemable> {
        let code = key("code", code);
        // One lock from the look to the last entry: whoever comes second finds all of it.
        let mut table = self.lock();
        match table.entries.take(&code, now).ok_or(Unredeemable::Unknown)? {
            Entry::Used(family) => {
                end(&mut table, &family, now);
                Err(Unredeemable::Used)
            }
            Entry::Code(grant) if fits(&grant) => {
                let family = Family { id: key("family", new.access), until: grant.ends.max(new.access_expires) };
                if new.refresh.is_some() {
                    table.put(code, Entry::Used(family.clone()), family.until, now);
                } else {
                    // Nothing of it outlives the process, and so need not that it was used.
                    table.entries.insert_or_displace(code, Entry::Used(family.clone()), family.until, now);
                }
                file(&mut table, &grant, &family, new, now);
                Ok(grant)
            }
            // A code in the wrong hands is spent: whoever holds it got it by theft.
            _ => Err(Unredeemable::Unknown),
        }
    }

    /// Is there a code like this that was not redeemed?
    pub(crate) fn redeemable(&self, code: &str, now: u64) -> bool {
        matches!(self.lock().entries.get(&key("code", code), now), Some(Entry::Code(_)))
    }

    /// Exchanges a refresh token for `new`, if `fits` says that it is for who asks; `fits` gets the key that it is
    /// bound to, too.
    pub(crate) fn refresh(
        &self,
        token: &str,
        new: New<'_>,
        now: u64,
        fits: impl FnOnce(&Grant, Option<&str>) -> bool,
    ) -> Result<Arc<Grant>, Unredeemable> {
        let token = key("refresh", token);
        let mut table = self.lock();
        match table.entries.get(&token, now).cloned().ok_or(Unredeemable::Unknown)? {
            Entry::Refresh(grant, family, jkt) if !table.is_ended(&family, now) => {
                if !fits(&grant, jkt.as_deref()) {
                    // In the wrong hands, as a code is.
                    end(&mut table, &family, now);
                    return Err(Unredeemable::Unknown);
                }
                table.put(token, Entry::Used(family.clone()), family.until, now);
                file(&mut table, &grant, &family, new, now);
                Ok(grant)
            }
            Entry::Used(family) => {
                end(&mut table, &family, now);
                Err(Unredeemable::Used)
            }
            _ => Err(Unredeemable::Unknown),
        }
    }

    /// The grant behind the access token `jti`.
    pub(crate) fn access(&self, jti: &str, now: u64) -> Option<Arc<Grant>> {
        let table = self.lock();
        match table.entries.get(&key("access", jti), now) {
            Some(Entry::Access(grant, family)) if !table.is_ended(family, now) => Some(Arc::clone(grant)),
            _ => None,
        }
    }

    /// The grant behind a refresh token that was not used yet.
    pub(crate) fn refreshable(&self, token: &str, now: u64) -> Option<Arc<Grant>> {
        let table = self.lock();
        match table.entries.get(&key("refresh", token), now) {
            Some(Entry::Refresh(grant, family, _)) if !table.is_ended(family, now) => Some(Arc::clone(grant)),
            _ => None,
        }
    }

    /// Ends all that came of the code from which this token came, if it is `client_id`'s in
    /// `organization` (RFC 7009 §2.1). `kind` is `access`, with the token's id, or `refresh`.
    pub(crate) fn revoke(&self, kind: &str, token: &str, organization: &str, client_id: &str, now: u64) -> bool {
        let mut table = self.lock();
        let family = match table.entries.get(&key(kind, token), now) {
            Some(Entry::Access(grant, family) | Entry::Refresh(grant, family, _))
                if grant.organization == organization && grant.client_id == client_id =>
            {
                family.clone()
            }
            _ => return false,
        };
        end(&mut table, &family, now);
        true
    }

    /// As [`State::is_kept`].
    pub(crate) fn outlive(&self) -> bool {
        self.state.is_kept()
    }

    /// As [`State::sync`].
    pub(crate) fn settle(&self) -> Result<(), StateError> {
        self.state.sync()
    }

    fn lock(&self) -> Table<'_> {
        // The table is whole after every statement: a poisoned lock is as good as another.
        Table { entries: self.entries.lock().unwrap_or_else(PoisonError::into_inner), state: &self.state }
    }
}

impl Table<'_> {
    fn put(&mut self, key: [u8; 32], entry: Entry, expires: u64, now: u64) {
        let kept = match &entry {
            Entry::Refresh(grant, family, jkt) => {
                Some(Kept::Refresh { grant: &**grant, family: family.clone(), jkt: jkt.clone() })
            }
            Entry::Used(family) => Some(Kept::Used(family.clone())),
            Entry::Ended => Some(Kept::Ended),
            Entry::Code(_) | Entry::Access(..) => None,
        };
        if let Some(kept) = kept.filter(|_| self.state.is_kept()) {
            self.state.put(Memory::Grants, &hex(&key), &kept, expires, now);
        }
        self.entries.insert_or_displace(key, entry, expires, now);
    }

    fn is_ended(&self, family: &Family, now: u64) -> bool {
        self.entries.contains(&family.id, now)
    }
}

fn file(table: &mut Table<'_>, grant: &Arc<Grant>, family: &Family, new: New<'_>, now: u64) {
    let access = Entry::Access(Arc::clone(grant), family.clone());
    table.put(key("access", new.access), access, new.access_expires, now);
    if let Some(token) = new.refresh {
        let bound = new.refresh_jkt.map(str::to_owned);
        let refresh = Entry::Refresh(Arc::clone(grant), family.clone(), bound);
        table.put(key("refresh", token), refresh, grant.ends, now);
    }
}

fn end(table: &mut Table<'_>, family: &Family, now: u64) {
    // Longer than anything of the family: where room is made, what expires first goes first, and the
    // end must not go before what it ended.
    table.put(family.id, Entry::Ended, family.until.saturating_add(1), now);
}

/// Codes and tokens are filed by hash, so that a memory dump gives no usable one.
fn key(kind: &str, value: &str) -> [u8; 32] {
    sha256(&[kind.as_bytes(), &[0], value.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing;

    impl Grants {
        /// An empty table that nothing outlives.
        fn of(max: usize) -> Self {
            Self::open(max, &Arc::default(), 0).unwrap()
        }
    }

    fn grant(client_id: &str) -> Grant {
        Grant {
            application: "app".into(),
            organization: "default".into(),
            client_id: client_id.into(),
            mark: None,
            redirect_uri: "https://rp.example/cb".into(),
            challenge: None,
            dpop_jkt: None,
            nonce: None,
            scopes: vec!["openid".into()],
            subject: "s".into(),
            origin: Origin::default(),
            ends: 1000,
            auth_time: None,
            acr: None,
            amr: vec![],
            claims: Map::new(),
        }
    }

    fn new<'a>(access: &'a str, refresh: Option<&'a str>) -> New<'a> {
        New { access, access_expires: 600, refresh, jkt: None, refresh_jkt: None }
    }

    #[test]
    fn a43_a_code_is_redeemed_once_and_a_second_try_revokes_the_token() {
        let grants = Grants::of(10);
        grants.put_code("code", grant("a"), 60, 0);
        assert!(grants.redeem("code", new("t1", Some("r1")), 1, |_| true).is_ok());
        assert!(grants.access("t1", 2).is_some());
        assert!(grants.refresh("r1", new("t2", Some("r2")), 2, |_, _| true).is_ok());
        assert_eq!(grants.redeem("code", new("t3", None), 3, |_| true), Err(Unredeemable::Used));
        for token in ["t1", "t2", "t3"] {
            assert!(grants.access(token, 4).is_none(), "{token}");
        }
        assert_eq!(grants.refresh("r2", new("t4", Some("r3")), 5, |_, _| true), Err(Unredeemable::Unknown));
    }

    #[test]
    fn a43_a_code_in_the_wrong_hands_is_lost_to_both() {
        let grants = Grants::of(10);
        grants.put_code("code", grant("a"), 60, 0);
        assert!(grants.redeem("code", new("t", None), 1, |grant| grant.client_id == "b").is_err());
        assert!(grants.redeem("code", new("t", None), 1, |grant| grant.client_id == "a").is_err());
    }

    #[test]
    fn a_refresh_token_is_used_once_and_a_second_use_ends_all_that_came_of_it() {
        let grants = Grants::of(20);
        grants.put_code("code", grant("a"), 60, 0);
        grants.redeem("code", new("t1", Some("r1")), 1, |_| true).unwrap();
        grants.refresh("r1", new("t2", Some("r2")), 2, |_, _| true).unwrap();
        grants.refresh("r2", new("t3", Some("r3")), 3, |_, _| true).unwrap();
        assert!(grants.access("t1", 4).is_some(), "an access token lives until it expires");
        assert_eq!(grants.refresh("r1", new("t4", Some("r4")), 5, |_, _| true), Err(Unredeemable::Used));
        for token in ["t1", "t2", "t3", "t4"] {
            assert!(grants.access(token, 6).is_none(), "{token}");
        }
        for token in ["r3", "r4"] {
            assert!(grants.refresh(token, new("t5", Some("r5")), 6, |_, _| true).is_err(), "{token}");
        }
    }

    #[test]
    fn a_refresh_token_in_the_wrong_hands_is_lost_to_both() {
        let grants = Grants::of(20);
        grants.put_code("code", grant("a"), 60, 0);
        grants.redeem("code", new("t1", Some("r1")), 1, |_| true).unwrap();
        assert!(grants.refresh("r1", new("t2", Some("r2")), 2, |grant, _| grant.client_id == "b").is_err());
        assert!(grants.refresh("r1", new("t2", Some("r2")), 3, |_, _| true).is_err());
        assert!(grants.access("t1", 4).is_none());
    }

    #[test]
    fn what_is_kept_outlives_a_restart_and_what_was_used_or_ended_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let open = |now| {
            let state = State::open(&folder.path().join("state"), testing::keys(), now).unwrap();
            Grants::open(20, &Arc::new(state), now).unwrap()
        };
        let grants = open(0);
        for (code, access, refresh) in [("c1", "t1", "r1"), ("c2", "u1", "s1"), ("c3", "v1", "q1")] {
            grants.put_code(code, grant("a"), 60, 0);
            grants.redeem(code, New { refresh_jkt: Some("key"), ..new(access, Some(refresh)) }, 1, |_| true).unwrap();
        }
        grants.put_code("c4", grant("a"), 60, 0);
        grants.refresh("s1", new("u2", Some("s2")), 2, |_, _| true).unwrap();
        assert!(grants.revoke("refresh", "q1", "default", "a", 2));
        grants.settle().unwrap();
        drop(grants);

        let grants = open(3);
        assert!(grants.access("t1", 3).is_none() && !grants.redeemable("c4", 3), "these live for minutes");
        assert_eq!(grants.redeem("c1", new("t9", None), 3, |_| true), Err(Unredeemable::Used));
        assert!(grants.refreshable("r1", 3).is_none(), "a code that is used again ends what came of it");
        assert!(grants.refreshable("q1", 3).is_none(), "it was taken back");
        let renewed =
            grants.refresh("s2", new("u3", Some("s3")), 3, |grant, key| grant.client_id == "a" && key.is_none());
        assert_eq!(*renewed.unwrap(), grant("a"));
        drop(grants);

        let grants = open(4);
        assert_eq!(grants.refresh("s1", new("u4", Some("s4")), 4, |_, _| true), Err(Unredeemable::Used));
        drop(grants);

        let grants = open(5);
        assert!(grants.refreshable("s3", 5).is_none(), "the thief's use ended it");
        for token in ["s2", "s3", "r1", "q1"] {
            assert!(grants.refresh(token, new("u5", Some("s5")), 5, |_, _| true).is_err(), "{token}");
        }
    }

    #[test]
    fn nothing_is_renewed_past_the_session_that_was_decided() {
        let grants = Grants::of(20);
        grants.put_code("code", grant("a"), 60, 0);
        grants.redeem("code", new("t1", Some("r1")), 1, |_| true).unwrap();
        assert!(grants.refresh("r1", new("t2", Some("r2")), 999, |_, _| true).is_ok());
        assert!(grants.refresh("r2", new("t3", Some("r3")), 1000, |_, _| true).is_err());
    }

    #[test]
    fn a_revocation_ends_all_of_the_clients_own_and_nobody_elses() {
        let grants = Grants::of(20);
        for (code, access, refresh) in [("c1", "t1", "r1"), ("c2", "t2", "r2")] {
            grants.put_code(code, grant("a"), 60, 0);
            grants.redeem(code, new(access, Some(refresh)), 1, |_| true).unwrap();
        }
        assert!(!grants.revoke("refresh", "r1", "default", "b", 2), "another client's");
        assert!(!grants.revoke("refresh", "r1", "acme", "a", 2), "another organization's");
        assert!(!grants.revoke("access", "r1", "default", "a", 2), "no access token");
        assert!(grants.revoke("refresh", "r1", "default", "a", 2));
        assert!(grants.access("t1", 3).is_none() && grants.refreshable("r1", 3).is_none());
        assert!(grants.access("t2", 3).is_some() && grants.refreshable("r2", 3).is_some());
        assert!(grants.revoke("access", "t2", "default", "a", 3));
        assert!(grants.refreshable("r2", 4).is_none());
    }

    #[test]
    fn refuses_a_code_that_is_too_old_and_a_token_as_a_code() {
        let grants = Grants::of(10);
        grants.put_code("code", grant("a"), 60, 0);
        assert!(grants.redeem("code", new("t", None), 60, |_| true).is_err());
        grants.put_code("code2", grant("a"), 60, 0);
        assert!(grants.redeem("code2", new("t2", Some("r2")), 1, |_| true).is_ok());
        for token in ["t2", "r2"] {
            assert!(grants.redeem(token, new("t3", None), 1, |_| true).is_err());
        }
        for token in ["code2", "t2"] {
            assert!(grants.refresh(token, new("t3", None), 1, |_, _| true).is_err());
        }
        assert!(grants.access("code2", 1).is_none());
        assert!(grants.access("t2", 600).is_none());
    }

    #[test]
    fn a43_of_many_who_redeem_a_code_at_once_nobody_keeps_a_token() {
        for _ in 0..200 {
            let grants = Grants::of(100);
            grants.put_code("code", grant("a"), 60, 0);
            let tokens: Vec<String> = (0..4).map(|number| format!("t{number}")).collect();
            let redeemed = std::thread::scope(|scope| {
                let tries: Vec<_> = tokens
                    .iter()
                    .map(|jti| scope.spawn(|| grants.redeem("code", new(jti, None), 1, |_| true).is_ok()))
                    .collect();
                tries.into_iter().map(|tried| tried.join().unwrap()).filter(|won| *won).count()
            });
            assert_eq!(redeemed, 1);
            assert!(tokens.iter().all(|jti| grants.access(jti, 2).is_none()), "a token outlived the second try");
        }
    }

    #[test]
    fn an_ended_family_stays_ended_however_full_the_table_is() {
        for number in 0..200 {
            let grants = Grants::of(4);
            let [code, access, refresh] = ["c", "t", "r"].map(|kind| format!("{kind}{number}"));
            grants.put_code(&code, grant("a"), 60, 0);
            grants.redeem(&code, new(&access, Some(&refresh)), 1, |_| true).unwrap();
            assert!(grants.revoke("refresh", &refresh, "default", "a", 2));
            // Others come, which live longer: room is made.
            for other in 0..3 {
                grants.put_code(&format!("other-{number}-{other}"), grant("b"), 2000, 3);
                let used = grants.refresh(&refresh, new("t2", Some("r2")), 4, |_, _| true);
                assert!(used.is_err() && grants.access(&access, 4).is_none(), "{number} {other}");
            }
        }
    }

    #[test]
    fn forgets_what_would_expire_first_when_full() {
        let grants = Grants::of(2);
        for (code, expires) in [("a", 60), ("b", 61), ("c", 62)] {
            grants.put_code(code, grant("a"), expires, 0);
        }
        assert!(grants.redeem("a", new("t", None), 1, |_| true).is_err());
        assert!(grants.redeem("c", new("t", None), 1, |_| true).is_ok());
    }
}
