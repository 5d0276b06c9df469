#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vestibule_tests::fuzz::{AuthnRequests, Target};

static TARGET: LazyLock<AuthnRequests> = LazyLock::new(AuthnRequests::new);

fuzz_target!(|data: &[u8]| {
    let _ = TARGET.take(data);
});
