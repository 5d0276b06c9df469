#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vestibule_tests::fuzz::{RedirectTargets, Target};

static TARGET: LazyLock<RedirectTargets> = LazyLock::new(RedirectTargets::new);

fuzz_target!(|data: &[u8]| {
    let _ = TARGET.take(data);
});
