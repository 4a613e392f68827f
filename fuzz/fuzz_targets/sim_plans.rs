//! Bytes as the choices that make a plan, or as a plan's text.
#![no_main]

use lease_fuzz::plans::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| run(bytes));
