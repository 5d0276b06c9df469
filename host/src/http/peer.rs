//! Whom we talk to, and for whom it speaks.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::Network;

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What the connection and, where it is a trusted proxy, its headers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// The browser's address, where it is known.
    pub(super) address: Option<IpAddr>,
    /// Is the peer a proxy whose `X-Forwarded-*` we believe?
    pub(super) trusted: bool,
}

/// More hops than this are no chain of proxies but an attempt to keep us busy.
const HOPS_MAX: usize = 32;

impl Reach {
    /// Reads it off a request. A trusted proxy that does not tell the browser's address
    /// leaves it unknown: its own would pass for that of somebody inside the house.
    pub(super) fn of(peer: Option<Peer>, headers: &HeaderMap, trusted_proxies: &[Network]) -> Self {
        let Some(Peer(peer)) = peer else { return Self::default() };
        let peer = peer.ip().to_canonical();
        if !is_among(peer, trusted_proxies) {
            return Self { address: Some(peer), trusted: false };
        }
        Self { address: rightmost_untrusted(headers, trusted_proxies), trusted: true }
    }
}

/// The last address of `X-Forwarded-For` that no trusted proxy has; the first one where
/// they are all trusted. One hop that is no address makes everything before it a rumour,
/// and the whole unknown.
fn rightmost_untrusted(headers: &HeaderMap, trusted_proxies: &[Network]) -> Option<IpAddr> {
    let mut first = None;
    // `rev` over the lines and over each line's hops: the nearest proxy wrote last.
    let hops =
        headers.get_all("x-forwarded-for").iter().rev().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    for (index, hop) in hops.enumerate() {
        let address = std::str::from_utf8(hop).ok().and_then(|hop| address(hop.trim()));
        let address = address.filter(|_| index < HOPS_MAX)?;
        if !is_among(address, trusted_proxies) {
            return Some(address);
        }
        first = Some(address);
    }
    first
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443`.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let parsed = bare.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()));
    parsed.ok().map(|address| address.to_canonical())
}

fn is_among(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn reach(peer: &str, forwarded: &[&str], trusted: &[&str]) -> Reach {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Reach::of(Some(Peer(peer.parse().unwrap())), &headers, &networks(trusted))
    }

    fn known(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn a14_a_peer_that_is_no_trusted_proxy_speaks_for_itself_only() {
        let reach = reach("203.0.113.9:4000", &["10.0.0.1"], &["10.0.0.0/8"]);
        assert_eq!(reach, Reach { address: known("203.0.113.9"), trusted: false });
    }

    #[test]
    fn a15_an_empty_list_trusts_nobody() {
        for peer in ["127.0.0.1:1", "[::1]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(!reach(peer, &["192.0.2.1"], &[]).trusted, "{peer}");
        }
        assert_eq!(Reach::of(None, &HeaderMap::new(), &networks(&["0.0.0.0/0", "::/0"])), Reach::default());
    }

    #[test]
    fn a25_takes_the_rightmost_address_that_no_proxy_has() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        for (lines, address) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["10.9.9.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["203.0.113.1", "192.0.2.1,10.0.0.2"], "192.0.2.1"),
            (&["192.0.2.1:5123"], "192.0.2.1"),
            (&["[2001:db9::7]:443, 2001:db8::1"], "2001:db9::7"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["10.1.1.1, 10.0.0.2"], "10.1.1.1"),
            (&["a, 192.0.2.1"], "192.0.2.1"),
        ] {
            assert_eq!(reach("10.0.0.1:1", lines, &trusted).address, known(address), "{lines:?}");
        }
    }

    #[test]
    fn a25_an_unparsable_hop_leaves_the_address_unknown() {
        let long = vec!["10.0.0.2"; 40].join(",");
        for lines in [
            &["a"][..],
            &[""],
            &["192.0.2.1, a"],
            &["192.0.2.1, "],
            &["192.0.2.1", "unknown"],
            &["192.0.2.1, _hidden, 10.0.0.2"],
            &["192.0.2.300"],
            &["192.0.2.1, 0x0a000001"],
            &["\u{fc}"],
            &["192.0.2.1/24"],
            &[&long],
            &[],
        ] {
            let reach = reach("10.0.0.1:1", lines, &["10.0.0.0/8"]);
            assert_eq!(reach, Reach { address: None, trusted: true }, "{lines:?}");
        }
    }

    #[test]
    fn a_network_holds_what_its_prefix_says() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1:1", "11.0.0.1:1"),
            ("192.0.2.7/32", "192.0.2.7:1", "192.0.2.6:1"),
            ("::1/128", "[::1]:1", "[::2]:1"),
            ("fd00::/8", "[fdff::1]:1", "[fe00::1]:1"),
            ("0.0.0.0/0", "203.0.113.1:1", "[2001:db8::1]:1"),
        ] {
            assert!(reach(inside, &[], &[network]).trusted, "{network} {inside}");
            assert!(!reach(outside, &[], &[network]).trusted, "{network} {outside}");
        }
    }
}
