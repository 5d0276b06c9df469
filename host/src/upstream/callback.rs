//! The callback's parameters, checked before anything is sent anywhere.

use super::{
    UnverifiedCallback,
    error::{UpstreamError, printable_code, refuse},
    issuer::Issuer,
};

/// The longest code that is sent on.
const CODE_BYTES_MAX: usize = 8 * 1024;

/// Refuses a callback that is another issuer's (RFC 9207 §2.4): in a mix-up attack the
/// code would otherwise go to the wrong token endpoint. An error response is checked like
/// a code.
///
/// # Errors
///
/// `iss-parameter-mismatch`.
pub(super) fn check_issuer(callback: &UnverifiedCallback, issuer: Issuer<'_>) -> Result<(), UpstreamError> {
    match &callback.iss {
        Some(found) if !issuer.may_be(found) => {
            Err(refuse("iss-parameter-mismatch", "the callback's iss is not the upstream's issuer"))
        }
        _ => Ok(()),
    }
}

/// The code.
///
/// # Errors
///
/// `upstream-denied`, `upstream-error`, `code-missing`, `code-malformed`.
pub(super) fn code(callback: &UnverifiedCallback) -> Result<&str, UpstreamError> {
    if let Some(error) = &callback.error {
        // `error_description` is anybody's text, so it goes nowhere.
        return Err(match error.as_str() {
            "access_denied" => refuse("upstream-denied", "the upstream answers access_denied"),
            other => refuse("upstream-error", format!("the upstream answers {}", printable_code(other))),
        });
    }
    let code = callback.code.as_deref().filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| refuse("code-missing", "the callback has neither a code nor an error"))?;
    // RFC 6749 appendix A.11: visible ASCII and space.
    if code.len() > CODE_BYTES_MAX || !code.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Err(refuse("code-malformed", "the code is too long or has characters that no code has"));
    }
    Ok(code)
}
