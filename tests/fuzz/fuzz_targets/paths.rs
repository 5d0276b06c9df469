#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_tests::fuzz::{Paths, Target};

fuzz_target!(|data: &[u8]| {
    let _ = Paths.take(data);
});
