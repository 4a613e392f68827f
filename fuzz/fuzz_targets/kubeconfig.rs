//! Arbitrary bytes as kubeconfig files and as what an exec plugin prints.
#![no_main]

use lease_fuzz::kubeconfig::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| run(bytes));
