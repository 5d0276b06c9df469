#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vestibule_tests::fuzz::{Cookies, Target};

static TARGET: LazyLock<Cookies> = LazyLock::new(Cookies::new);

fuzz_target!(|data: &[u8]| {
    let _ = TARGET.take(data);
});
