//! The end-to-end suite of `lease-tokio`, with this adapter: under async-std's executor, and under smol.
//!
//! ```text
//! export LEASE_TEST_SERVER=https://… LEASE_TEST_CA=ca.crt LEASE_TEST_TOKEN=…     (an administrator's)
//! cargo test -p lease-async-std --test real -- --ignored --test-threads=4
//! ```
//!
//! `lease-tokio/tests/real.rs` lists the variables. What is around the holders (the administrator's client, the
//! tests' own timers and tasks) is on a tokio runtime of its own; the holders know nothing of it.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, unreachable_pub, missing_docs)]

use std::future::Future;
use std::sync::OnceLock;

use lease_async_std as adapter;
use tokio::runtime::{Builder, Runtime};

/// Stands for the adapter under test.
type Adapter = adapter::AsyncStd;

/// Tests of cases: each under both executors.
macro_rules! on_every_runtime {
    ($($case:ident)*) => {
        mod async_std {
            $(#[test]
            #[ignore = "needs an API server: set LEASE_TEST_SERVER, LEASE_TEST_CA, LEASE_TEST_TOKEN"]
            fn $case() {
                crate::run(::async_std::task::block_on, super::$case());
            })*
        }
        mod smol {
            $(#[test]
            #[ignore = "needs an API server: set LEASE_TEST_SERVER, LEASE_TEST_CA, LEASE_TEST_TOKEN"]
            fn $case() {
                crate::run(::smol::block_on, super::$case());
            })*
        }
    };
}
use on_every_runtime;

fn run<F: Future<Output = ()>>(block_on: fn(F), case: F) {
    static AROUND: OnceLock<Runtime> = OnceLock::new();
    let around =
        AROUND.get_or_init(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    let _inside = around.enter();
    block_on(case);
}

#[path = "../../lease-tokio/tests/real/access.rs"]
mod access;
#[path = "../../lease-tokio/tests/real/acquire.rs"]
mod acquire;
#[path = "../../lease-tokio/tests/real/admin.rs"]
mod admin;
#[path = "../../lease-tokio/tests/real/cluster.rs"]
mod cluster;
#[path = "../../lease-tokio/tests/real/cost.rs"]
mod cost;
#[path = "real/doomed.rs"]
mod doomed;
#[path = "../../lease-tokio/tests/real/failover.rs"]
mod failover;
#[path = "../../lease-tokio/tests/real/finalizers.rs"]
mod finalizers;
#[path = "../../lease-tokio/tests/real/losses.rs"]
mod losses;
#[path = "../../lease-tokio/tests/real/outage.rs"]
mod outage;
#[path = "../../lease-tokio/tests/real/process.rs"]
mod process;
#[path = "../../lease-tokio/tests/real/release.rs"]
mod release;
#[path = "../../lease-tokio/tests/real/renewal.rs"]
mod renewal;
#[path = "../../lease-tokio/tests/support/mod.rs"]
mod support;
#[path = "../../lease-tokio/tests/real/watching.rs"]
mod watching;
