//! One target under libFuzzer, whose name stands in `HL_TEST_FUZZ_TARGET`. Built and run by `cargo xtask fuzz`.

#![no_main]

use std::sync::LazyLock;

use hl_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("HL_TEST_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("HL_TEST_FUZZ_TARGET names no target: {name:?}"))
});

fuzz_target!(|input: &[u8]| (TARGET.run)(input));
