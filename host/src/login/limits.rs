//! How often a stranger may make us work. Asked before anything costs.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::{LoginLimits, SecondFactor};

/// Addresses and accounts are counted in so many cells, chosen by a secret hash: the
/// memory is bounded, and nobody can aim at another one's cell.
const CELLS: u64 = 1 << 16;

/// Requests without a session, from one address, about which a policy is asked: a page with all
/// its pictures, now and then.
const STRANGERS_PER_MINUTE: u32 = 1200;

/// The limits of one gateway. They are those of the configuration at start-up.
pub(super) struct Limits {
    attempts: DefaultKeyedRateLimiter<u64>,
    codes: DefaultKeyedRateLimiter<u64>,
    passwords: DefaultKeyedRateLimiter<u64>,
    strangers: DefaultKeyedRateLimiter<u64>,
    cells: Cells,
}

/// Where somebody is counted.
#[derive(Default)]
pub(super) struct Cells(RandomState);

impl Cells {
    pub(super) fn of(&self, key: impl Hash) -> u64 {
        self.0.hash_one(key) % CELLS
    }
}

/// So often in a minute, for each cell.
pub(super) struct Rate(DefaultKeyedRateLimiter<u64>);

impl Rate {
    pub(super) fn new(per_minute: u32) -> Self {
        Self(RateLimiter::keyed(quota(per_minute)))
    }

    pub(super) fn allows(&self, cell: u64) -> bool {
        self.0.check_key(&cell).is_ok()
    }
}

impl Limits {
    pub(super) fn new(config: &LoginLimits, second_factor: Option<&SecondFactor>) -> Self {
        let codes = second_factor.map_or(1, |second_factor| second_factor.codes_per_minute);
        Self {
            attempts: RateLimiter::keyed(quota(config.attempts_per_minute)),
            codes: RateLimiter::keyed(quota(codes)),
            passwords: RateLimiter::keyed(quota(config.passwords_per_minute)),
            strangers: RateLimiter::keyed(quota(STRANGERS_PER_MINUTE)),
            cells: Cells::default(),
        }
    }

    /// May one more login begin from `address`?
    pub(super) fn attempt(&self, address: Option<IpAddr>) -> bool {
        self.attempts.check_key(&self.cells.of(("attempt", network(address)))).is_ok()
    }

    /// May one more code of a second factor be tried from `address`? For whom is counted elsewhere.
    pub(super) fn code(&self, address: Option<IpAddr>) -> bool {
        self.codes.check_key(&self.cells.of(("code", network(address)))).is_ok()
    }

    /// May a policy be asked about one more request of somebody without a session?
    pub(super) fn stranger(&self, address: Option<IpAddr>) -> bool {
        self.strangers.check_key(&self.cells.of(("stranger", network(address)))).is_ok()
    }

    /// May one more password be tried from `address`, and for `username`?
    pub(super) fn password(&self, address: Option<IpAddr>, username: &str) -> bool {
        // The address first, and alone where it has no more: an account's own count must not be
        // used up by somebody who is not answered anyway.
        self.passwords.check_key(&self.cells.of(("address", network(address)))).is_ok()
            && self.passwords.check_key(&self.cells.of(("account", username.to_lowercase()))).is_ok()
    }
}

/// Whom an address stands for: an IPv6 host commands at least a /64. Unknown addresses
/// share one account.
pub(super) fn network(address: Option<IpAddr>) -> Option<u128> {
    match address?.to_canonical() {
        IpAddr::V4(address) => Some(u128::from(address.to_bits())),
        IpAddr::V6(address) => Some(address.to_bits() >> 64 << 64),
    }
}

/// A zero in the configuration would let nobody in; it is read as one.
fn quota(per_minute: u32) -> Quota {
    Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(
            &LoginLimits { pending: 600, attempts_per_minute: 3, passwords_per_minute: 2, step_ups_max: 2 },
            None,
        )
    }

    #[test]
    fn one_address_uses_up_its_own_attempts_only() {
        let limits = limits();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().ok());
        assert_eq!([1, 2, 3, 4].map(|_| limits.attempt(one)), [true, true, true, false]);
        assert!(limits.attempt(other));
    }

    #[test]
    fn an_ipv6_host_gains_nothing_by_changing_its_lower_half() {
        let limits = limits();
        let tried = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "2001:db8:0:0:f::4"]
            .map(|text| limits.attempt(text.parse().ok()));
        assert_eq!(tried, [true, true, true, false]);
        assert!(limits.attempt("2001:db8:0:1::1".parse().ok()));
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_the_same_address() {
        let limits = limits();
        let tried = ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"]
            .map(|text| limits.attempt(text.parse().ok()));
        assert_eq!(tried, [true, true, true, false]);
    }

    #[test]
    fn unknown_addresses_share_one_account() {
        let limits = limits();
        assert_eq!([1, 2, 3, 4].map(|_| limits.attempt(None)), [true, true, true, false]);
    }

    #[test]
    fn passwords_for_one_account_are_limited_from_everywhere_together() {
        let limits = limits();
        let tried = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| limits.password(text.parse().ok(), "Ann"));
        assert_eq!(tried, [true, true, false]);
        assert!(!limits.password("192.0.2.4".parse().ok(), "ann"), "case gains nothing");
        assert!(limits.password("192.0.2.5".parse().ok(), "bob"));
    }
}
