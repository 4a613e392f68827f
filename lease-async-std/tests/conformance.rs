//! What every adapter has to do, on async-std's own executor and under smol.
#![allow(clippy::print_stdout, missing_docs)]

use lease_async_std::AsyncStd;
use lease_core::driver::BoxFuture;
use lease_sim::conformance;

fn conforms(name: &str, block_on: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) {
    let report = conformance::run::<AsyncStd>(name, block_on);
    println!("{report}");
    report.assert_clean();
}

#[test]
fn on_async_std() {
    conforms("async-std", async_std::task::block_on);
}

#[test]
fn on_smol() {
    conforms("smol", smol::block_on);
}
