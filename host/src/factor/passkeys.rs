//! A subject's passkeys, as the file keeps them beside the authenticator's secret.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::Uuid;

use super::{
    Enrolled, FactorError, Factors, Method, Outcome, PASSKEYS_MAX, Refused, Reset, Whose,
    file::{Entry, State},
    passkey::{Ceremonies, Kept, NewPasskey, Options, RelyingParty},
    recovery::RecoveryCodes,
};
use crate::{
    keys::{KeyError, Purpose},
    secret::{Secret, random_bytes},
};

/// One passkey in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PasskeyEntry {
    /// What its owner calls it: none of the subject's others is called so.
    pub(super) name: String,
    /// The credential ID, base64url: nobody's other passkey has it (WebAuthn §7.1 step 26).
    pub(super) id: String,
    pub(super) added: u64,
    pub(super) used: u64,
    /// The public key and the counter, sealed for the subject.
    pub(super) credential: String,
}

/// A passkey, as far as anybody may know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KnownPasskey {
    /// What its owner calls it.
    pub name: String,
    /// The credential ID, base64url.
    pub id: String,
    /// When it was added, in seconds since 1970-01-01 UTC.
    pub added: u64,
    /// When it was used last.
    pub used: u64,
}

/// What came of taking a passkey away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// There was none.
    Nothing,
    /// It is gone; the subject has others, or an authenticator app.
    Passkey,
    /// It was the last means of proof, and the factor is gone with it.
    Factor,
}

impl Factors {
    /// Asks a browser for one of this subject's passkeys, and for a new one where `is_new` says so;
    /// `account` is the name that the authenticator shows. Neither where there is nothing to ask for.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn ask(
        &self,
        whose: Whose<'_>,
        party: &RelyingParty,
        account: &str,
        is_new: bool,
    ) -> Result<(Options, Ceremonies), FactorError> {
        let state = self.state()?;
        let kept = match state.entries.get(&whose.name()) {
            Some(entry) => self.kept(entry)?,
            None => Vec::new(),
        };
        let passkeys: Vec<_> = kept.iter().map(|kept| kept.passkey.clone()).collect();
        let request = (!passkeys.is_empty()).then(|| party.request(&passkeys)).flatten();
        let creation = if is_new && kept.len() < PASSKEYS_MAX {
            let handle = match kept.first() {
                Some(first) => first.handle,
                None => Uuid::from_bytes(random_bytes::<16>()?),
            };
            let known = passkeys.iter().map(|passkey| passkey.cred_id().clone()).collect();
            party.creation(handle, account, known)
        } else {
            None
        };
        let (request, request_state) = request.unzip();
        let (creation, creation_state) = creation.unzip();
        let ceremonies = Ceremonies { whose: whose.name(), request: request_state, creation: creation_state };
        Ok((Options { request, creation }, ceremonies))
    }

    /// Sets up a factor with a passkey, for a subject that has none. Returns the recovery codes; none
    /// where there is a factor by now.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn enrol_passkey(
        &self,
        whose: Whose<'_>,
        new: NewPasskey,
        now: u64,
    ) -> Result<Result<Vec<Secret<String>>, Outcome>, FactorError> {
        if self.find(whose)?.is_some() {
            return Ok(Err(Outcome::Used));
        }
        let (recovery, codes) = RecoveryCodes::generate()?;
        self.change(|state| {
            if state.entries.contains_key(&whose.name()) {
                return Ok((Err(Outcome::Used), false));
            }
            let mut entry = Entry::new(whose, now, recovery);
            if let Err(refused) = self.add(state, &mut entry, new, now)? {
                return Ok((Err(Outcome::Refused(refused)), false));
            }
            state.entries.insert(whose.name(), entry);
            Ok((Ok(codes), true))
        })
    }

    /// Adds a passkey to a factor. Whoever calls had the factor proved.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn add_passkey(&self, whose: Whose<'_>, new: NewPasskey, now: u64) -> Result<Outcome, FactorError> {
        self.change(|state| {
            let Some(mut entry) = state.entries.get(&whose.name()).cloned() else {
                return Ok((Outcome::NotEnrolled, false));
            };
            if let Err(refused) = self.add(state, &mut entry, new, now)? {
                return Ok((Outcome::Refused(refused), false));
            }
            state.entries.insert(whose.name(), entry);
            Ok((Outcome::Passed(Method::Passkey), true))
        })
    }

    fn add(
        &self,
        state: &State,
        entry: &mut Entry,
        new: NewPasskey,
        now: u64,
    ) -> Result<Result<(), Refused>, FactorError> {
        let NewPasskey { whose, name, kept } = new;
        if whose != (entry.issuer.clone(), entry.subject.clone()) {
            return Ok(Err(Refused::NotAsked));
        }
        if entry.passkeys.len() >= PASSKEYS_MAX {
            return Ok(Err(Refused::TooMany));
        }
        let id = URL_SAFE_NO_PAD.encode(kept.passkey.cred_id());
        // WebAuthn §7.1 step 26: anybody's, so that nobody's passkey is put in another's place.
        if state.entries.values().flat_map(|entry| &entry.passkeys).any(|known| known.id == id) {
            return Ok(Err(Refused::Known));
        }
        let name = free_name(&name, &entry.passkeys);
        let credential = self.seal_passkey(entry.whose(), &kept)?;
        entry.passkeys.push(PasskeyEntry { name, id, added: now, used: now, credential });
        entry.passed = now;
        Ok(Ok(()))
    }

    /// Tries a passkey. Whoever guesses codes meanwhile locks nobody out of it.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says; then nothing is proved.
    pub fn prove_passkey(
        &self,
        whose: Whose<'_>,
        party: &RelyingParty,
        asked: Option<Ceremonies>,
        answer: &Secret<String>,
        now: u64,
    ) -> Result<Outcome, FactorError> {
        let refused = |refused| Ok((Outcome::Refused(refused), false));
        let request = match asked {
            Some(Ceremonies { whose: of, request: Some(request), .. }) if of == whose.name() => request,
            _ => return Ok(Outcome::Refused(Refused::NotAsked)),
        };
        let result = match party.proved(&request, answer.expose()) {
            Ok(result) => result,
            Err(refused) => return Ok(Outcome::Refused(refused)),
        };
        let id = URL_SAFE_NO_PAD.encode(result.cred_id());
        self.change(|state| {
            let Some(entry) = state.entries.get_mut(&whose.name()) else { return Ok((Outcome::NotEnrolled, false)) };
            let whose = Whose { issuer: &entry.issuer, subject: &entry.subject };
            // It may be gone since it was asked for.
            let Some(known) = entry.passkeys.iter_mut().find(|known| known.id == id) else {
                return refused(Refused::Unknown);
            };
            let mut kept = self.open_passkey(whose, &known.credential).ok_or(KeyError::Unsealable)?;
            // WebAuthn §7.2 step 22, against what is kept by now and not when it was asked for.
            let counter = result.counter();
            if (counter > 0 || kept.counter > 0) && counter <= kept.counter {
                return refused(Refused::Counter);
            }
            kept.counter = counter;
            kept.passkey.update_credential(&result);
            known.credential = self.seal_passkey(whose, &kept)?;
            known.used = now;
            (entry.failures, entry.locked_until, entry.passed) = (0, 0, now);
            Ok((Outcome::Passed(Method::Passkey), true))
        })
    }

    /// Takes the passkey with this name or ID away; at an operator's wish where `is_operator`, and
    /// the gateway records that.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn remove_passkey(
        &self,
        whose: Whose<'_>,
        called: &str,
        is_operator: bool,
        now: u64,
    ) -> Result<Removed, FactorError> {
        self.change(|state| {
            let Some(entry) = state.entries.get_mut(&whose.name()) else { return Ok((Removed::Nothing, false)) };
            let by_id = entry.passkeys.iter().position(|known| known.id == called);
            let Some(index) = by_id.or_else(|| entry.passkeys.iter().position(|known| known.name == called)) else {
                return Ok((Removed::Nothing, false));
            };
            let gone = entry.passkeys.remove(index);
            let is_last = entry.secret.is_none() && entry.passkeys.is_empty();
            let (issuer, subject) = whose.name();
            if is_last {
                state.entries.remove(&whose.name());
            }
            if is_operator {
                let passkey = (!is_last).then_some(gone.name);
                state.record(Reset { issuer, subject, at: now, passkey });
            }
            Ok((if is_last { Removed::Factor } else { Removed::Passkey }, true))
        })
    }

    /// What is kept of each passkey.
    fn kept(&self, entry: &Entry) -> Result<Vec<Kept>, FactorError> {
        let open = |known: &PasskeyEntry| self.open_passkey(entry.whose(), &known.credential);
        entry.passkeys.iter().map(|known| Ok(open(known).ok_or(KeyError::Unsealable)?)).collect()
    }

    /// Does every passkey open, and is it the one that it is said to be?
    pub(super) fn passkeys_open(&self, entry: &Entry) -> bool {
        entry.passkeys.len() <= PASSKEYS_MAX
            && entry.passkeys.iter().all(|known| {
                let kept = self.open_passkey(entry.whose(), &known.credential);
                kept.is_some_and(|kept| URL_SAFE_NO_PAD.encode(kept.passkey.cred_id()) == known.id)
            })
    }

    /// Seals with the newest key what an older one sealed.
    pub(super) fn seal_passkeys_anew(&self, entry: &mut Entry) -> Result<(), FactorError> {
        let whose = Whose { issuer: &entry.issuer, subject: &entry.subject };
        for known in &mut entry.passkeys {
            if !self.keys.is_newest(&known.credential)
                && let Some(kept) = self.open_passkey(whose, &known.credential)
            {
                known.credential = self.seal_passkey(whose, &kept)?;
            }
        }
        Ok(())
    }

    fn seal_passkey(&self, whose: Whose<'_>, kept: &Kept) -> Result<String, FactorError> {
        let text = serde_json::to_vec(kept).map_err(|_| KeyError::Unsealable)?;
        Ok(self.keys.seal(Purpose::SecondFactor, &binding(whose), &text)?)
    }

    fn open_passkey(&self, whose: Whose<'_>, sealed: &str) -> Option<Kept> {
        let opened = Secret::new(self.keys.open_sealed(Purpose::SecondFactor, &binding(whose), sealed).ok()?);
        serde_json::from_slice(opened.expose()).ok()
    }
}

pub(super) fn told(entry: &Entry) -> Vec<KnownPasskey> {
    let told = |known: &PasskeyEntry| KnownPasskey {
        name: known.name.clone(),
        id: known.id.clone(),
        added: known.added,
        used: known.used,
    };
    entry.passkeys.iter().map(told).collect()
}

impl Enrolled {
    /// The passkey with this name or ID.
    #[must_use]
    pub fn passkey(&self, called: &str) -> Option<&KnownPasskey> {
        let by_id = self.passkeys.iter().find(|known| known.id == called);
        by_id.or_else(|| self.passkeys.iter().find(|known| known.name == called))
    }
}

/// A passkey opens in no secret's place, nor a secret in a passkey's: no subject's own binding
/// begins with a letter.
fn binding(whose: Whose<'_>) -> String {
    format!("passkey:{}", whose.binding())
}

/// `name`, or `name 2` and so on where one is called so.
fn free_name(name: &str, taken: &[PasskeyEntry]) -> String {
    let name = if name.is_empty() { "Passkey" } else { name };
    let is_free = |name: &str| taken.iter().all(|known| known.name != name);
    let numbered = (2..).map(|number| format!("{name} {number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| is_free(name)).unwrap_or_default()
}
