//! Which addresses the gateway may connect to.
//!
//! An upstream's metadata and redirects name hosts, and a host's DNS answer names any
//! address its owner likes. So the check is made on the address, after resolution, and
//! the connection goes to that address and no other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Network;

/// Why `address` may not be fetched from; none where it may.
pub(super) fn refusal(address: IpAddr, allowed: &[Network]) -> Option<&'static str> {
    if is_allowed(address, allowed) { None } else { special(address) }
}

/// Does the operator allow `address` by name?
pub(super) fn is_allowed(address: IpAddr, allowed: &[Network]) -> bool {
    let address = address.to_canonical();
    allowed.iter().any(|network| contains(network, address))
}

fn contains(network: &Network, address: IpAddr) -> bool {
    let prefix = u32::from(network.prefix);
    match (network.address.to_canonical(), address) {
        (IpAddr::V4(start), IpAddr::V4(address)) => {
            same_prefix(start.to_bits().into(), address.to_bits().into(), 32, prefix)
        }
        (IpAddr::V6(start), IpAddr::V6(address)) => same_prefix(start.to_bits(), address.to_bits(), 128, prefix),
        _ => false,
    }
}

fn same_prefix(left: u128, right: u128, width: u32, prefix: u32) -> bool {
    match width.checked_sub(prefix) {
        // A prefix that is longer than an address matches nothing.
        None => false,
        Some(rest) => left.checked_shr(rest).unwrap_or(0) == right.checked_shr(rest).unwrap_or(0),
    }
}

/// What is special about `address` (IANA's special-purpose registries, RFC 6890); none
/// for an ordinary public one.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "unspecified",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        [100, 64..=127, ..] => "shared (carrier-grade NAT)",
        [127, ..] => "loopback",
        // Among them the metadata service of most clouds, 169.254.169.254.
        [169, 254, ..] => "link-local",
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => "reserved",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "documentation",
        [224..=239, ..] => "multicast",
        [240..=255, ..] => "reserved",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        special_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        // IPv4-mapped, and NAT64 (RFC 6052): as the IPv4 address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // 6to4 (RFC 3056): likewise.
        [0x2002, high, low, ..] => embedded(high, low),
        // IPv4-compatible, IPv4-translated and local NAT64: nothing public is there.
        [0, ..] | [0x64, 0xff9b, ..] => Some("reserved"),
        [0x100, 0, 0, 0..=1, ..] => Some("discarded"),
        // Protocol assignments, among them Teredo (RFC 4380), which embeds IPv4.
        [0x2001, 0..=0x1ff, ..] => Some("reserved"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("documentation"),
        [0xfc00..=0xfdff, ..] => Some("unique-local"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        // Only 2000::/3 is given out as global unicast (RFC 4291 §2.4).
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    #[test]
    fn refuses_every_address_that_is_not_public() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(refusal(text.parse().unwrap(), &[]).is_some(), "{text} was let through");
        }
    }

    #[test]
    fn lets_public_addresses_through() {
        for text in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert_eq!(refusal(text.parse().unwrap(), &[]), None, "{text}");
        }
    }

    #[test]
    fn an_allowed_network_lets_through_what_it_contains_and_nothing_else() {
        let allowed = [network("127.0.0.1/32"), network("10.1.0.0/16"), network("fd00::/8")];
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.255.255", "fdff::1"] {
            assert_eq!(refusal(text.parse().unwrap(), &allowed), None, "{text}");
        }
        for text in ["127.0.0.2", "10.2.0.0", "::1", "fc00::1", "64:ff9b::7f00:1", "169.254.169.254"] {
            assert!(refusal(text.parse().unwrap(), &allowed).is_some(), "{text}");
        }
        assert_eq!(refusal("10.0.0.1".parse().unwrap(), &[network("0.0.0.0/0")]), None);
        assert!(refusal("10.0.0.1".parse().unwrap(), &[network("10.0.0.0/99")]).is_some());
    }
}
