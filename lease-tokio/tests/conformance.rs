//! What every adapter has to do, on both flavours of the runtime.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use lease_core::driver::BoxFuture;
use lease_sim::conformance;
use lease_tokio::Tokio;
use tokio::runtime::Builder;

/// Every case on a runtime of its own.
fn conforms(name: &str, runtime: impl Fn() -> Builder + Send + Sync + 'static) {
    let report = conformance::run::<Tokio>(name, move |case: BoxFuture<'static, ()>| {
        runtime().enable_all().build().unwrap().block_on(case);
    });
    println!("{report}");
    report.assert_clean();
}

#[test]
fn current_thread() {
    conforms("tokio current_thread", Builder::new_current_thread);
}

#[test]
fn multi_thread() {
    conforms("tokio multi_thread", || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2);
        builder
    });
}
