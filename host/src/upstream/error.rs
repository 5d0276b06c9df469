//! The one error of this module: a stable code and words for the administrator.

/// Why an upstream could not prove an identity.
///
/// It is plain data, so that a failed fetch can be remembered and an audit line can hold
/// it. What caused it is in `detail`, in words that we chose: nothing that an upstream or
/// a browser sent is quoted there but codes of a known alphabet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct UpstreamError {
    /// A stable name in kebab-case, such as `nonce-mismatch`: one for each cause.
    pub code: &'static str,
    /// For the log and the administrator; free of secrets and personal data.
    pub detail: String,
}

/// A refusal. Every code that is named in a call of this function has a row in the table
/// of the module's documentation; a test holds that.
pub(super) fn refuse(code: &'static str, detail: impl Into<String>) -> UpstreamError {
    UpstreamError { code, detail: detail.into() }
}

/// An error code that an upstream sent (RFC 6749 §5.2), if it is harmless to repeat.
///
/// The specification allows any printable ASCII; ours are the characters of the registered
/// codes, so that neither markup nor a secret gets into a log this way.
pub(super) fn printable_code(sent: &str) -> &str {
    let harmless = (1..=40).contains(&sent.len()) && sent.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if harmless { sent } else { "unprintable" }
}
