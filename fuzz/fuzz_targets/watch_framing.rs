//! Random writes to the modelled server, and one client that lists and watches.
#![no_main]

use lease_fuzz::watch::{Script, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| run(&script));
