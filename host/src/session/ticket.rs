//! One-time tickets: how a session comes from the gateway's host to an application's.
//!
//! The ticket in the address is a random name and nothing else; what it stands for stays
//! in this process. So an address that leaks (a log, a `Referer`) gives nothing away, and a
//! ticket can be used once, by the browser that began the login, for one application, on
//! one origin, within a minute.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use url::Url;

use super::{Expiring, Full, Session};
use crate::secret::{NoRandomness, random_token};

/// How long a ticket is good for, in seconds.
pub const TICKET_LIFETIME_S: u64 = 60;

/// How many tickets may wait at one time.
const TICKETS_MAX: usize = 20_000;

/// What enters an application.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Nobody: a policy left the login to the application.
    Anonymous,
    /// A session.
    Session(Box<Session>),
}

/// What a ticket stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The application.
    pub application: String,
    /// The origin on which it may be used, as text (`https://a.example.com`).
    pub origin: String,
    /// [`hash`] of the binding that the browser holds on that origin.
    pub binding: String,
    /// Where the browser goes then; checked already.
    pub return_to: Url,
    /// What enters.
    pub entry: Entry,
}

/// Why a ticket was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It was used, has expired or never was one.
    #[error("failed to find the ticket: used, expired or never issued")]
    Unknown,
    /// It is for another application, origin or browser.
    #[error("failed to match the ticket with the application, the origin or the browser")]
    NotForThis,
    /// Too many tickets wait.
    #[error(transparent)]
    Full(#[from] Full),
    /// No name could be made for it.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// The tickets that wait to be used.
#[derive(Debug)]
pub struct Tickets(Mutex<Expiring<String, Ticket>>);

impl Default for Tickets {
    fn default() -> Self {
        Self(Mutex::new(Expiring::new(TICKETS_MAX)))
    }
}

impl Tickets {
    /// Issues a ticket.
    ///
    /// # Errors
    ///
    /// Where too many wait, or there is no randomness.
    pub fn issue(&self, ticket: Ticket, now: u64) -> Result<String, TicketError> {
        let name = random_token()?;
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(name.clone(), ticket, now + TICKET_LIFETIME_S, now)?;
        Ok(name)
    }

    /// Redeems a ticket. Whatever comes of it, it is used up.
    ///
    /// # Errors
    ///
    /// Where it is none, or is not for this application, origin and browser.
    pub fn redeem(
        &self,
        name: &str,
        application: &str,
        origin: &str,
        binding: Option<&str>,
        now: u64,
    ) -> Result<Ticket, TicketError> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = waiting.take(&name.to_owned(), now).ok_or(TicketError::Unknown)?;
        let held = binding.map(hash).unwrap_or_default();
        let same_browser: bool = held.as_bytes().ct_eq(ticket.binding.as_bytes()).into();
        if same_browser && ticket.application == application && ticket.origin == origin {
            Ok(ticket)
        } else {
            Err(TicketError::NotForThis)
        }
    }
}

/// What may be shown of a binding: its sha-256, as base64url (43 characters).
#[must_use]
pub fn hash(binding: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, binding.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://wiki.example.com";

    fn ticket() -> Ticket {
        Ticket {
            application: "wiki".into(),
            origin: ORIGIN.into(),
            binding: hash("browser"),
            return_to: Url::parse("https://wiki.example.com/Home").unwrap(),
            entry: Entry::Anonymous,
        }
    }

    #[test]
    fn a_ticket_is_good_once() {
        let tickets = Tickets::default();
        let name = tickets.issue(ticket(), 100).unwrap();
        assert_eq!(tickets.redeem(&name, "wiki", ORIGIN, Some("browser"), 101).unwrap(), ticket());
        assert!(matches!(tickets.redeem(&name, "wiki", ORIGIN, Some("browser"), 101), Err(TicketError::Unknown)));
    }

    #[test]
    fn a_ticket_is_good_for_a_minute() {
        let tickets = Tickets::default();
        let name = tickets.issue(ticket(), 100).unwrap();
        assert!(matches!(tickets.redeem(&name, "wiki", ORIGIN, Some("browser"), 160), Err(TicketError::Unknown)));
    }

    #[test]
    fn refuses_a_ticket_for_another_application_origin_or_browser_and_uses_it_up() {
        let tickets = Tickets::default();
        for (application, origin, binding) in [
            ("files", ORIGIN, Some("browser")),
            ("wiki", "https://files.example.com", Some("browser")),
            ("wiki", "http://wiki.example.com", Some("browser")),
            ("wiki", ORIGIN, Some("another")),
            ("wiki", ORIGIN, Some("")),
            ("wiki", ORIGIN, None),
        ] {
            let name = tickets.issue(ticket(), 100).unwrap();
            let refused = tickets.redeem(&name, application, origin, binding, 101);
            assert!(matches!(refused, Err(TicketError::NotForThis)), "{application} {origin} {binding:?}");
            let again = tickets.redeem(&name, "wiki", ORIGIN, Some("browser"), 101);
            assert!(matches!(again, Err(TicketError::Unknown)));
        }
    }
}
