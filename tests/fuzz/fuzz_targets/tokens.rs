#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vestibule_tests::fuzz::{Target, Tokens};

static TARGET: LazyLock<Tokens> = LazyLock::new(Tokens::new);

fuzz_target!(|data: &[u8]| {
    let _ = TARGET.take(data);
});
