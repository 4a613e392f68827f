//! Arbitrary bytes as a response to the machine, in any of its states, and as a request to the modelled server.
#![no_main]

use lease_fuzz::wire::{Script, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| run(&script));
