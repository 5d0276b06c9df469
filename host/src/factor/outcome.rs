//! What comes of a proof, and what may be told of a factor.

use super::{
    file::Entry,
    passkey::Refused,
    passkeys::{KnownPasskey, told},
};

/// What came of a code, or of a passkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is right, and is used up.
    Passed(Method),
    /// It was right before.
    Used,
    /// It is wrong.
    Wrong,
    /// Too many were wrong: until then only recovery codes count.
    Locked {
        /// In seconds since 1970-01-01 UTC.
        until: u64,
    },
    /// There is no factor to prove.
    NotEnrolled,
    /// The passkey's answer is not taken.
    Refused(Refused),
}

/// By what a factor was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A passkey, whose user was verified.
    Passkey,
    /// A code of the authenticator.
    Totp,
    /// A recovery code.
    RecoveryCode {
        /// How many are left.
        left: usize,
    },
}

/// A factor, as far as anybody may know of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Enrolled {
    /// The issuer.
    pub issuer: String,
    /// The subject there.
    pub subject: String,
    /// When it was set up, in seconds since 1970-01-01 UTC.
    pub enrolled: u64,
    /// When it was passed last.
    pub passed: u64,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
    /// Until when no code of the app counts; 0 where that was never so.
    pub locked_until: u64,
    /// Is there an authenticator app?
    pub totp: bool,
    /// The passkeys, the oldest first.
    pub passkeys: Vec<KnownPasskey>,
}

impl Enrolled {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            issuer: entry.issuer.clone(),
            subject: entry.subject.clone(),
            enrolled: entry.enrolled,
            passed: entry.passed,
            recovery_codes: entry.recovery.left(),
            locked_until: entry.locked_until,
            totp: entry.secret.is_some(),
            passkeys: told(entry),
        }
    }
}
