//! `lease-sim`: the modelled API server as a program. `lease-sim --help` says how.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
