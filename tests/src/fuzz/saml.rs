//! What a service provider, or whoever pretends to be it, sends.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use vestibule::{
    clock::ManualClock,
    config::Config,
    downstream::saml::{Asked, IdentityProvider, Inbound},
};

use super::{NOW, Target, config, keys};

const APPLICATION: &str = "guard";

struct Provider {
    config: Config,
    provider: IdentityProvider,
}

impl Provider {
    fn new() -> Self {
        Self { config: config(), provider: IdentityProvider::new(keys(), Arc::new(ManualClock::at(NOW))) }
    }
}

/// XML comes by HTTP-POST, anything else is the query of HTTP-Redirect.
fn inbound(data: &[u8]) -> Option<Inbound> {
    if data.first() == Some(&b'<') {
        return Inbound::post(&[("SAMLRequest".to_owned(), STANDARD.encode(data))]).ok();
    }
    Inbound::redirect(std::str::from_utf8(data).ok()?).ok()
}

/// Authentication requests to a provider that wants them signed.
pub struct AuthnRequests(Provider);

impl AuthnRequests {
    /// A provider with new keys.
    #[expect(clippy::new_without_default, reason = "it makes keys")]
    #[must_use]
    pub fn new() -> Self {
        Self(Provider::new())
    }
}

impl Target for AuthnRequests {
    fn name(&self) -> &'static str {
        "authn_request"
    }

    fn take(&self, data: &[u8]) -> bool {
        let Provider { config, provider } = &self.0;
        let Some(inbound) = inbound(data) else { return false };
        match provider.authn_request(config, APPLICATION, &inbound) {
            Asked::Login(wish) => {
                assert_eq!(wish.application, APPLICATION);
                assert!(wish.fresh, "a signed request said ForceAuthn");
                assert!(!wish.silent, "no signed request said IsPassive");
                assert_eq!(wish.demanded_acr, ["mfa"], "a signed request asked for a context");
                let resumed = provider.resume(APPLICATION, &wish.sealed);
                assert!(matches!(resumed, Asked::Login(again) if again.fresh == wish.fresh), "what was sealed opens");
                true
            }
            Asked::Answer(answer) => {
                let delivery = provider.answer(config, &answer).expect("a no can be said");
                assert_eq!(delivery.to.as_str(), "https://sp.example.net/acs", "an answer goes where it is registered");
                false
            }
            Asked::Refused(refused) => {
                assert!(!refused.code.is_empty());
                false
            }
        }
    }
}

/// Logout requests.
pub struct LogoutRequests(Provider);

impl LogoutRequests {
    /// A provider with new keys.
    #[expect(clippy::new_without_default, reason = "it makes keys")]
    #[must_use]
    pub fn new() -> Self {
        Self(Provider::new())
    }
}

impl Target for LogoutRequests {
    fn name(&self) -> &'static str {
        "logout_request"
    }

    fn take(&self, data: &[u8]) -> bool {
        let Provider { config, provider } = &self.0;
        let Some(inbound) = inbound(data) else { return false };
        match provider.logout_request(config, APPLICATION, &inbound) {
            Ok(farewell) => {
                assert_eq!(farewell.application, APPLICATION);
                assert_eq!(farewell.session_indexes, ["_s-1"], "what was signed ends this session and no other");
                true
            }
            Err(refused) => {
                assert!(!refused.code.is_empty());
                false
            }
        }
    }
}
