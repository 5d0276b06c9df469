//! The gateway's own second factor: passkeys (WebAuthn) and TOTP (RFC 6238), with recovery codes, kept
//! for each subject (issuer and `sub`) in one file. When it is asked for, a policy says; here is only how it is
//! proved.
//!
//! Guessing: after five wrong codes in a row no code of the authenticator is looked at for a
//! minute, then for twice as long each time, and never for longer than an hour. To guess one takes
//! years then. A recovery code cannot be guessed and counts all the while, so that whoever has the
//! first factor alone cannot keep the subject out. So does a passkey.

mod base32;
mod error;
mod file;
mod outcome;
mod passkey;
mod passkeys;
mod recovery;
#[cfg(test)]
pub(crate) mod soft;
#[cfg(test)]
mod tests;
mod totp;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub use error::FactorError;
pub use file::Reset;
pub use outcome::{Enrolled, Method, Outcome};
pub use passkey::{Ceremonies, NewPasskey, Options, PASSKEYS_MAX, PasskeyForm, Refused, RelyingParty};
pub use passkeys::{KnownPasskey, Removed};
pub use recovery::RECOVERY_CODES;
pub use totp::TotpSecret;

use crate::{
    keys::{KeyError, KeyRing, Purpose},
    secret::Secret,
};
use file::{Entry, Mark, Name, State};
use recovery::RecoveryCodes;

/// So many wrong codes in a row are nothing but slips.
const SLIPS_MAX: u32 = 5;
/// The first lock-out, in seconds.
const LOCK_FIRST_S: u64 = 60;
/// The longest lock-out, in seconds.
const LOCK_MAX_S: u64 = 3600;
/// Longer texts are no code.
const TYPED_BYTES_MAX: usize = 64;

/// Whose factor it is: unique only together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// The subject there.
    pub subject: &'a str,
}

impl Whose<'_> {
    fn name(self) -> Name {
        (self.issuer.to_owned(), self.subject.to_owned())
    }

    /// What a secret's seal is bound to: it does not open in another subject's place.
    fn binding(self) -> String {
        // Lengths first: no two subjects make one text.
        format!("{}:{}:{}", self.issuer.len(), self.issuer, self.subject)
    }
}

/// The second factors of one file. Each call blocks: on the file, and on hashes by design.
pub struct Factors {
    path: PathBuf,
    keys: Arc<KeyRing>,
    read: Mutex<Option<(Option<Mark>, Arc<State>)>>,
}

impl Factors {
    /// Opens the file and every secret in it, and seals anew what an older key sealed, so that
    /// rotated keys may go. Without a file nobody has a factor yet.
    ///
    /// # Errors
    ///
    /// Where anything in it is not as it should be: with less, somebody could enrol in another's
    /// place.
    pub fn open(path: &Path, keys: Arc<KeyRing>) -> Result<Self, FactorError> {
        let factors = Self { path: path.to_owned(), keys, read: Mutex::default() };
        for (index, entry) in factors.state()?.entries.values().enumerate() {
            let unopened = match &entry.secret {
                Some(sealed) if factors.secret(entry.whose(), sealed).is_none() => Some("secret"),
                _ if !factors.passkeys_open(entry) => Some("passkeys"),
                _ => None,
            };
            if let Some(what) = unopened {
                let detail = format!("subjects[{index}].{what}: it does not open with this key ring");
                return Err(FactorError::Malformed { path: path.to_owned(), detail });
            }
        }
        factors.seal_anew()?;
        Ok(factors)
    }

    /// Can the file be changed? Asked when the gateway starts, and not at somebody's first login.
    ///
    /// # Errors
    ///
    /// Where its folder is missing, or not this process's to write.
    pub fn ready(&self) -> Result<(), FactorError> {
        file::lock(&self.path).map(drop)
    }

    /// Seals with the newest key what an older one sealed.
    fn seal_anew(&self) -> Result<(), FactorError> {
        let is_new = |entry: &Entry| {
            let passkeys = entry.passkeys.iter().map(|known| &known.credential);
            entry.secret.iter().chain(passkeys).all(|sealed| self.keys.is_newest(sealed))
        };
        if self.state()?.entries.values().all(is_new) {
            return Ok(());
        }
        self.change(|state| {
            for entry in state.entries.values_mut() {
                let whose = Whose { issuer: &entry.issuer, subject: &entry.subject };
                if let Some(sealed) = entry.secret.as_ref().filter(|sealed| !self.keys.is_newest(sealed))
                    && let Some(secret) = self.secret(whose, sealed)
                {
                    entry.secret = Some(self.seal(whose, &secret)?);
                }
                self.seal_passkeys_anew(entry)?;
            }
            Ok(((), true))
        })
    }

    /// Has this subject a factor?
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn find(&self, whose: Whose<'_>) -> Result<Option<Enrolled>, FactorError> {
        Ok(self.state()?.entries.get(&whose.name()).map(Enrolled::of))
    }

    /// Everybody who has one.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn list(&self) -> Result<Vec<Enrolled>, FactorError> {
        Ok(self.state()?.entries.values().map(Enrolled::of).collect())
    }

    /// Sets up `secret` for a subject that has none, if `code` shows that the authenticator has it.
    /// Returns the recovery codes; none where the code is wrong, or there is a factor by now.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn enrol(
        &self,
        whose: Whose<'_>,
        secret: &TotpSecret,
        typed: &str,
        now: u64,
    ) -> Result<Result<Vec<Secret<String>>, Outcome>, FactorError> {
        let Some(step) = totp_code(typed).and_then(|code| secret.step_of(&code, now)) else {
            return Ok(Err(Outcome::Wrong));
        };
        if self.find(whose)?.is_some() {
            return Ok(Err(Outcome::Used));
        }
        let (recovery, codes) = RecoveryCodes::generate()?;
        let sealed = self.seal(whose, secret)?;
        self.change(|state| {
            let name = whose.name();
            if state.entries.contains_key(&name) {
                return Ok((Err(Outcome::Used), false));
            }
            let entry = Entry { secret: Some(sealed), step, ..Entry::new(whose, now, recovery) };
            state.entries.insert(name, entry);
            Ok((Ok(codes), true))
        })
    }

    /// Adds an authenticator app to a factor that has none, if `typed` shows that it has `secret`. Whoever calls had
    /// the factor proved.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn add_app(
        &self,
        whose: Whose<'_>,
        secret: &TotpSecret,
        typed: &str,
        now: u64,
    ) -> Result<Outcome, FactorError> {
        let Some(step) = totp_code(typed).and_then(|code| secret.step_of(&code, now)) else {
            return Ok(Outcome::Wrong);
        };
        let sealed = self.seal(whose, secret)?;
        self.change(|state| {
            let Some(entry) = state.entries.get_mut(&whose.name()) else { return Ok((Outcome::NotEnrolled, false)) };
            if entry.secret.is_some() {
                return Ok((Outcome::Used, false));
            }
            (entry.secret, entry.step, entry.failures, entry.locked_until) = (Some(sealed), step, 0, 0);
            Ok((Outcome::Passed(Method::Totp), true))
        })
    }

    /// Tries a code of the authenticator, or a recovery code.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says; then nothing is proved.
    pub fn prove(&self, whose: Whose<'_>, typed: &str, now: u64) -> Result<Outcome, FactorError> {
        if typed.len() > TYPED_BYTES_MAX {
            return Ok(Outcome::Wrong);
        }
        if let Some(code) = recovery::read(typed) {
            return self.prove_recovery_code(whose, &code, now);
        }
        self.change(|state| {
            let Some(entry) = state.entries.get_mut(&whose.name()) else { return Ok((Outcome::NotEnrolled, false)) };
            if now < entry.locked_until {
                return Ok((Outcome::Locked { until: entry.locked_until }, false));
            }
            let Some(code) = totp_code(typed) else { return Ok((Outcome::Wrong, false)) };
            // Whoever has passkeys alone has no app whose code could be right.
            let Some(sealed) = &entry.secret else { return Ok((Outcome::Wrong, false)) };
            let secret = self.secret(entry.whose(), sealed).ok_or(KeyError::Unsealable)?;
            Ok(match secret.step_of(&code, now) {
                Some(step) if step > entry.step => {
                    (entry.step, entry.failures, entry.locked_until, entry.passed) = (step, 0, 0, now);
                    (Outcome::Passed(Method::Totp), true)
                }
                Some(_) => (Outcome::Used, false),
                None => {
                    entry.failures = entry.failures.saturating_add(1);
                    entry.locked_until = now.saturating_add(lock_s(entry.failures));
                    (Outcome::Wrong, true)
                }
            })
        })
    }

    /// Hashes before anything is locked: others' codes do not wait for it.
    fn prove_recovery_code(&self, whose: Whose<'_>, code: &Secret<String>, now: u64) -> Result<Outcome, FactorError> {
        let Some(known) = self.state()?.entries.get(&whose.name()).map(|entry| entry.recovery.clone()) else {
            return Ok(Outcome::NotEnrolled);
        };
        let Some(hash) = known.hash(code.expose()) else { return Ok(Outcome::Wrong) };
        self.change(|state| {
            let Some(entry) = state.entries.get_mut(&whose.name()) else { return Ok((Outcome::NotEnrolled, false)) };
            if !entry.recovery.take(&hash) {
                return Ok((Outcome::Wrong, false));
            }
            (entry.failures, entry.locked_until, entry.passed) = (0, 0, now);
            Ok((Outcome::Passed(Method::RecoveryCode { left: entry.recovery.left() }), true))
        })
    }

    /// A new set of recovery codes in place of the old one. None where there is no factor.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn renew_recovery_codes(&self, whose: Whose<'_>) -> Result<Option<Vec<Secret<String>>>, FactorError> {
        let (recovery, codes) = RecoveryCodes::generate()?;
        self.change(|state| match state.entries.get_mut(&whose.name()) {
            None => Ok((None, false)),
            Some(entry) => {
                entry.recovery = recovery;
                Ok((Some(codes), true))
            }
        })
    }

    /// Takes a factor away, at its subject's own wish. False where there is none.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn remove(&self, whose: Whose<'_>) -> Result<bool, FactorError> {
        self.change(|state| {
            let removed = state.entries.remove(&whose.name()).is_some();
            Ok((removed, removed))
        })
    }

    /// Takes a factor away, at an operator's wish; the gateway records it. False where there is
    /// none.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn reset(&self, whose: Whose<'_>, now: u64) -> Result<bool, FactorError> {
        self.change(|state| {
            let removed = state.entries.remove(&whose.name()).is_some();
            if removed {
                let (issuer, subject) = whose.name();
                state.record(Reset { issuer, subject, at: now, passkey: None });
            }
            Ok((removed, removed))
        })
    }

    /// The resets that `record` has not heard of yet. It says of each whether it is on record now.
    ///
    /// # Errors
    ///
    /// As [`FactorError`] says.
    pub fn record_resets(&self, mut record: impl FnMut(&Reset) -> bool) -> Result<(), FactorError> {
        if self.state()?.resets.is_empty() {
            return Ok(());
        }
        self.change(|state| {
            state.resets.retain(|reset| !record(reset));
            Ok(((), true))
        })
    }

    fn seal(&self, whose: Whose<'_>, secret: &TotpSecret) -> Result<String, FactorError> {
        Ok(self.keys.seal(Purpose::SecondFactor, &whose.binding(), secret.text().expose().as_bytes())?)
    }

    fn secret(&self, whose: Whose<'_>, sealed: &str) -> Option<TotpSecret> {
        let opened = self.keys.open_sealed(Purpose::SecondFactor, &whose.binding(), sealed).ok()?;
        let opened = Secret::new(opened);
        TotpSecret::read(std::str::from_utf8(opened.expose()).ok()?)
    }

    /// What the file holds now; read again only where it is another one.
    fn state(&self) -> Result<Arc<State>, FactorError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        self.state_of(&mut read)
    }

    fn state_of(&self, read: &mut Option<(Option<Mark>, Arc<State>)>) -> Result<Arc<State>, FactorError> {
        let mark = file::mark(&self.path)?;
        if let Some((known, state)) = read.as_ref()
            && *known == mark
        {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(file::read(&self.path)?);
        *read = Some((mark, Arc::clone(&state)));
        Ok(state)
    }

    /// Changes the file, one after the other; `change` says whether there is anything to write.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<(T, bool), FactorError>) -> Result<T, FactorError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = file::lock(&self.path)?;
        let mut state = State::clone(&*self.state_of(&mut read)?);
        let (answer, is_changed) = change(&mut state)?;
        if is_changed {
            file::write(&self.path, &state)?;
            *read = Some((file::mark(&self.path)?, Arc::new(state)));
        }
        Ok(answer)
    }
}

impl std::fmt::Debug for Factors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Factors").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The digits of an authenticator's code, however it was typed. None for what cannot be one.
fn totp_code(typed: &str) -> Option<String> {
    let digits: String = typed.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    (digits.len() == totp::DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// For how long no code is looked at after so many wrong ones in a row, in seconds.
fn lock_s(failures: u32) -> u64 {
    match failures.checked_sub(SLIPS_MAX) {
        None => 0,
        Some(further) => LOCK_FIRST_S.saturating_mul(1_u64.checked_shl(further).unwrap_or(u64::MAX)).min(LOCK_MAX_S),
    }
}
