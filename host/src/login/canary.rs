//! Whom a canary decides: a share of the subjects, always the same ones, and those that the configuration names.

use crate::{identity::Identity, keys::KeyRing, policy::Generation};

/// Is this identity decided by the application's canary? From `admit` on, since nobody is known before.
pub(super) fn decides(generation: &Generation, application: &str, identity: &Identity, keys: &KeyRing) -> bool {
    if !generation.has_canary(application) {
        return false;
    }
    let configured = generation.config().applications.get(application);
    configured.and_then(|application| application.canary.as_ref()).is_some_and(|canary| {
        canary.names(&identity.subject, &keys.pseudonym(&identity.subject.to_lowercase()))
            || share(identity, keys) < canary.percent
    })
}

/// A number below 100 that is this subject's for as long as the key ring is the same. Keyed, so that nobody can
/// choose a subject by it; a larger share has everybody of a smaller one.
fn share(identity: &Identity, keys: &KeyRing) -> u32 {
    const PEOPLE: u32 = 100;
    let hash = keys.pseudonym(&format!("canary\n{}\n{}", identity.issuer, identity.subject));
    // 32 bits: the shares are equal but for one in forty million.
    hash.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).map_or(PEOPLE, |number| number % PEOPLE)
}
