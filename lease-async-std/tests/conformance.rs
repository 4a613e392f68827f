//! What every adapter has to do, on async-std, on smol and without any executor.
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
    conforms("async-std under smol", smol::block_on);
}

#[test]
fn without_an_executor() {
    conforms("async-std without an executor", futures_lite::future::block_on);
}
