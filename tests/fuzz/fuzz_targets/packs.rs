#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vestibule_tests::fuzz::{Packs, Target};

static TARGET: LazyLock<Packs> = LazyLock::new(Packs::new);

fuzz_target!(|data: &[u8]| {
    let _ = TARGET.take(data);
});
