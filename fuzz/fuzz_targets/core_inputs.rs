//! Any inputs, in any order, at any times: the machine keeps its clauses.
#![no_main]

use lease_fuzz::driver::run;
use lease_fuzz::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| run(&script));
