//! Who asks: nobody in particular, a name with a password, or a token that stands for them (the
//! distribution project's token authentication).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use url::Url;

use super::{RegistryError, reference::is_loopback};
use crate::secret::Secret;

/// A name and a password, for one registry.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password or token.
    pub password: Secret<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The value of `Authorization` (RFC 7617 §2).
    pub(super) fn basic(&self) -> Secret<String> {
        let pair = Secret::new(format!("{}:{}", self.username, self.password.expose()));
        Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
    }
}

/// What a registry wants of who asks (RFC 9110 §11.6.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password.
    Basic,
    /// A token from `realm`.
    Bearer {
        /// Where tokens are.
        realm: Url,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// A token, as the server that gives them answers.
#[derive(Deserialize)]
pub(super) struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Token {
    /// The value of `Authorization` (RFC 6750 §2.1).
    pub(super) fn bearer(self) -> Option<Secret<String>> {
        let token = self.token.or(self.access_token).filter(|token| !token.is_empty())?;
        Some(Secret::new(format!("Bearer {token}")))
    }
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header of the registry at `host`.
    pub(super) fn parse(host: &str, is_local: bool, header: &str) -> Result<Self, RegistryError> {
        let refuse = |problem: String| RegistryError::Unauthorized { host: host.to_owned(), problem };
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refuse(format!("it asks for `{scheme}`, which is not spoken here")));
        }
        let value = |wanted: &str| {
            parameters(rest).into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        let realm = value("realm").unwrap_or_default();
        let realm = Url::parse(&realm).map_err(|_| refuse("it names no place for tokens".to_owned()))?;
        // A password goes nowhere in clear text but to this machine.
        let in_clear = realm.scheme() == "http" && is_local && realm.host_str().is_some_and(is_local_host);
        if realm.scheme() != "https" && !in_clear {
            return Err(refuse(format!(
                "its tokens are at {}, which is not https",
                realm.origin().ascii_serialization()
            )));
        }
        Ok(Self::Bearer { realm, service: value("service"), scope: value("scope") })
    }

    /// Where a token for this challenge is asked for.
    pub(super) fn token_url(realm: &Url, service: Option<&str>, scope: Option<&str>) -> Url {
        let mut url = realm.clone();
        for (name, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        url
    }
}

fn is_local_host(host: &str) -> bool {
    is_loopback(host.trim_start_matches('[').trim_end_matches(']'))
}

/// `name="value", name=value`: quoted strings with their escapes (RFC 9110 §5.6.4, §11.2).
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|it| *it == ' ' || *it == ',').is_some() {}
        let mut name = String::new();
        while let Some(character) = characters.next_if(|it| *it != '=' && *it != ',') {
            name.push(character);
        }
        if characters.next_if_eq(&'=').is_none() {
            if characters.peek().is_none() {
                return found;
            }
            continue;
        }
        let mut value = String::new();
        if characters.next_if_eq(&'"').is_some() {
            while let Some(character) = characters.next() {
                match character {
                    '"' => break,
                    '\\' => value.extend(characters.next()),
                    other => value.push(other),
                }
            }
        } else {
            while let Some(character) = characters.next_if(|it| *it != ',') {
                value.push(character);
            }
        }
        found.push((name.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_challenges() {
        let parse = |header| Challenge::parse("ghcr.io", false, header);
        assert_eq!(parse("Basic realm=\"x\"").unwrap(), Challenge::Basic);
        let bearer =
            parse("Bearer realm=\"https://ghcr.io/token\",service=\"ghcr.io\",scope=\"repository:a/b:pull,push\"");
        let Challenge::Bearer { realm, service, scope } = bearer.unwrap() else { panic!("basic") };
        let url = Challenge::token_url(&realm, service.as_deref(), scope.as_deref());
        assert_eq!(url.as_str(), "https://ghcr.io/token?service=ghcr.io&scope=repository%3Aa%2Fb%3Apull%2Cpush");
    }

    #[test]
    fn no_password_goes_to_a_token_server_in_clear_text() {
        let header = |realm: &str| format!("Bearer realm=\"{realm}\"");
        for (is_local, realm) in [
            (false, "http://ghcr.io/token"),
            (false, "http://127.0.0.1/token"),
            (true, "http://ghcr.io/token"),
            (true, "ftp://127.0.0.1/"),
        ] {
            assert!(Challenge::parse("h", is_local, &header(realm)).is_err(), "{realm}");
        }
        assert!(Challenge::parse("h", true, &header("http://127.0.0.1:5001/token")).is_ok());
        for other in ["Negotiate", "", "Bearer", "Bearer realm=\"\"", "Digest realm=\"x\""] {
            assert!(Challenge::parse("h", true, other).is_err(), "{other}");
        }
    }

    #[test]
    fn shows_no_password() {
        let credentials = Credentials { username: "ann".into(), password: Secret::new("hush".into()) };
        assert!(!format!("{credentials:?}").contains("hush"));
        assert_eq!(credentials.basic().expose(), "Basic YW5uOmh1c2g=");
    }
}
