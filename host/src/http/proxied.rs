//! Which application a host belongs to, among those behind the built-in reverse proxy.

use std::collections::HashMap;

use url::Url;

use super::origin::host_of;
use crate::config::Application;

/// The hosts of the applications behind the built-in reverse proxy.
#[derive(Debug, Default)]
pub(super) struct Proxied {
    /// By scheme, host and port.
    origins: HashMap<(String, String, u16), String>,
    /// Everything below a domain; the longest counts.
    domains: Vec<(String, String)>,
}

impl Proxied {
    /// `application` answers on each of its hosts.
    pub(super) fn add(&mut self, application: &Application) {
        if let Some(key) = key(&application.url) {
            self.origins.insert(key, application.id.clone());
        }
        for host in &application.hosts {
            if host.starts_with('.') {
                self.domains.push((host.clone(), application.id.clone()));
            } else if let Some(key) = Url::parse(host).ok().as_ref().and_then(key) {
                self.origins.insert(key, application.id.clone());
            }
        }
    }

    /// Whose host it is.
    pub(super) fn of(&self, origin: &Url) -> Option<&str> {
        if let Some(id) = self.origins.get(&key(origin)?) {
            return Some(id);
        }
        let below = self.domains.iter().filter(|(domain, _)| host_of(origin).ends_with(domain.as_str()));
        below.max_by_key(|(domain, _)| domain.len()).map(|(_, id)| id.as_str())
    }
}

fn key(origin: &Url) -> Option<(String, String, u16)> {
    Some((origin.scheme().to_owned(), host_of(origin).to_owned(), origin.port_or_known_default()?))
}
