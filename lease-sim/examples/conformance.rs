//! The conformance table of every adapter here, side by side. The exit code says whether all is green.
//!
//! ```text
//! cargo run -p lease-sim --example conformance              all cases
//! cargo run -p lease-sim --example conformance -- token     those with `token` in group or name
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what it is for")]

use std::env;
use std::process::ExitCode;

use lease_async_std::AsyncStd;
use lease_core::driver::{Adapter, BoxFuture};
use lease_sim::conformance::{Report, Suite, table};
use lease_tokio::Tokio;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let reports = [
        run::<Tokio>("tokio, current_thread", |case| on_tokio(Builder::new_current_thread(), case)),
        run::<Tokio>("tokio, multi_thread", |case| on_tokio(Builder::new_multi_thread(), case)),
        run::<AsyncStd>("async-std", async_std::task::block_on),
        run::<AsyncStd>("async-std, under smol", smol::block_on),
    ];
    println!("{}", table(&reports));
    if reports.iter().all(Report::is_clean) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run<A: Adapter>(name: &str, block_on: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Report {
    let words: Vec<String> = env::args().skip(1).collect();
    let picked = move |group: &str, name: &str| {
        words.iter().all(|word| group.contains(&**word) || name.contains(&**word))
    };
    Suite::<A>::new().only(picked).run(name, block_on)
}

/// Every case on a runtime of its own. A runtime that does not start is a red row.
fn on_tokio(mut builder: Builder, case: BoxFuture<'static, ()>) {
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(case),
        Err(error) => eprintln!("tokio does not start: {error}"),
    }
}
