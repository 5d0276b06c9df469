//! Why: reasons that policies give, and the codes under which the host denies.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hook, Trace};

/// Why a decision came out as it did, in a policy's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable name in kebab-case, such as `domain-not-allowed`.
    pub code: String,
    /// For the administrator's eyes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Reason {
    /// A reason with a code and a detail.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }
}

/// Why the host denies. Every failure has its own; none is shared by two causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenyCode {
    /// The application is not configured.
    UnknownApplication,
    /// The application's chain names no policy: no policy denies everybody.
    NoPolicy,
    /// The application's chain could not be loaded at start-up.
    ChainUnavailable,
    /// Too many decisions are under way.
    Overloaded,
    /// No policy of the chain said `allow`.
    NotAllowed,
    /// A policy said `deny`, or `refuse`.
    PolicyDenied,
    /// A policy returned a fault.
    PolicyFault,
    /// A policy trapped (unreachable code, a bad memory access, a division by zero).
    PolicyTrapped,
    /// A policy used up its fuel.
    PolicyFuel,
    /// A policy ran past its deadline.
    PolicyDeadline,
    /// A policy asked for more memory or tables than it may have.
    PolicyMemory,
    /// A policy went deeper than its stack allows.
    PolicyStack,
    /// A policy handed out more than the output limit.
    PolicyOutput,
    /// A policy wrote more log lines than it may.
    PolicyLog,
    /// A policy answered with something that is not a value of the contract's types.
    PolicyAnswer,
    /// The sandbox itself failed; ours, not the policy's.
    Sandbox,
    /// No policy gave a direction.
    NoRoute,
    /// A policy sent the subject to an upstream that this application does not have.
    UnknownUpstream,
    /// A policy handed out a claim name that is the host's own (`iss`, `sub`, …).
    ReservedClaim,
    /// A policy handed out a value that may not be put in a header (CR, LF, NUL, …).
    UnsafeValue,
    /// A policy granted a group outside its manifest's `may-grant`.
    GrantNotCovered,
    /// A policy touched a protected group.
    ProtectedGroup,
    /// The upstream is not authoritative for the email address's domain.
    DomainNotAuthoritative,
    /// The email address's domain is none that may be asserted to this service provider.
    DomainNotAsserted,
    /// The profile lacks what names the subject to this service provider.
    NameIdMissing,
    /// The email address is malformed.
    InvalidEmail,
    /// The account belongs to another (issuer, subject).
    AccountLinked,
    /// The account is protected and is matched by nobody.
    AccountProtected,
    /// More than one account fits.
    AccountAmbiguous,
    /// The account is not active and may not be reactivated.
    AccountInactive,
    /// There is no account, and it may not be created.
    CreationRefused,
    /// A new account lacks a username or an email address.
    ProfileIncomplete,
    /// The logout target is not allowed.
    TargetNotAllowed,
    /// A step-up was asked for and not given.
    StepUpUnmet,
    /// A step-up was asked for: the login goes on at the upstream.
    StepUpRequired,
    /// The account would be found by an email address that nobody verified.
    EmailNotVerified,
    /// The application's directory of accounts cannot be read.
    DirectoryUnavailable,
    /// The policies left the session no time at all.
    SessionTooShort,
    /// The audit log could not be written.
    AuditUnavailable,
}

impl DenyCode {
    /// Did a policy fail, or break a contract? Never where one decided: a no of a policy is no fault.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(
            self,
            Self::PolicyFault
                | Self::PolicyTrapped
                | Self::PolicyFuel
                | Self::PolicyDeadline
                | Self::PolicyMemory
                | Self::PolicyStack
                | Self::PolicyOutput
                | Self::PolicyLog
                | Self::PolicyAnswer
                | Self::UnknownUpstream
                | Self::ReservedClaim
                | Self::UnsafeValue
                | Self::GrantNotCovered
                | Self::ProtectedGroup
        )
    }

    /// The stable name, in kebab-case.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl fmt::Display for DenyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// A decision that ended in no.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Denial {
    /// Why, as the host files it.
    pub code: DenyCode,
    /// Why, in the policy's words where a policy decided; for the administrator.
    pub reason: Reason,
    /// The policy that decided or failed, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The hook at which it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Hook>,
}

impl Denial {
    /// A denial by the host itself.
    pub fn by_host(code: DenyCode, detail: impl Into<String>) -> Self {
        Self { code, reason: Reason::new(code.name(), detail), policy: None, hook: None }
    }

    /// A denial by, or on account of, `policy` at `hook`.
    pub fn by_policy(code: DenyCode, policy: impl Into<String>, hook: Hook, reason: Reason) -> Self {
        Self { code, reason, policy: Some(policy.into()), hook: Some(hook) }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason.code)?;
        if let Some(policy) = &self.policy {
            write!(f, " (policy {policy})")?;
        }
        if !self.reason.detail.is_empty() {
            write!(f, ": {}", self.reason.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Denial {}

/// A denial together with what led to it.
pub type Denied = (Denial, Trace);
