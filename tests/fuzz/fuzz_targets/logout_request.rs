#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vestibule_tests::fuzz::{LogoutRequests, Target};

static TARGET: LazyLock<LogoutRequests> = LazyLock::new(LogoutRequests::new);

fuzz_target!(|data: &[u8]| {
    let _ = TARGET.take(data);
});
