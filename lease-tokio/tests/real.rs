//! The whole holder against a real API server.
//!
//! ```text
//! export LEASE_TEST_SERVER=https://… LEASE_TEST_CA=ca.crt LEASE_TEST_TOKEN=…     (an administrator's)
//! cargo test -p lease-tokio --test real -- --ignored --test-threads=4
//! ```
//!
//! | variable | what | without it |
//! | --- | --- | --- |
//! | `LEASE_TEST_SERVER` | the API server's address | the suite says so and fails |
//! | `LEASE_TEST_CA` | a PEM file with its authority | the same |
//! | `LEASE_TEST_TOKEN` | an administrator's token: edits, namespaces, roles | the same |
//! | `LEASE_TEST_HOLDER_TOKEN` | a token with exactly the documented verbs in the namespace | the administrator's |
//! | `LEASE_TEST_NOBODY_TOKEN` | a token without rights | its test is skipped |
//! | `LEASE_TEST_NAMESPACE` | where the leases are made | `default` |
//! | `LEASE_TEST_CLIENT_CERT`, `…_KEY` | PEM files of a client with the same verbs | its test is skipped |
//! | `LEASE_TEST_APISERVER_PID` | a file with the API server's process id, to stop and kill it | outages are skipped |
//! | `LEASE_TEST_APISERVER_RESTART` | a program that starts it again and returns when it is ready | kills are skipped |
//!
//! Every case runs in both flavours of the runtime here, and with the other adapter in `lease-async-std/tests/real.rs`:
//! `crate::adapter` is the adapter, and `crate::on_every_runtime!` makes tests of cases. Each has a lease of its own,
//! so they may run at the same time. Those that stop the server or count its requests wait until they are alone.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, unreachable_pub, missing_docs)]

use std::future::Future;

use lease_tokio as adapter;
use tokio::runtime::Builder;

/// Stands for the adapter under test.
type Adapter = adapter::Tokio;

/// Tests of cases: each in both flavours.
macro_rules! on_every_runtime {
    ($($case:ident)*) => {
        mod current_thread {
            $(#[test]
            #[ignore = "needs an API server: set LEASE_TEST_SERVER, LEASE_TEST_CA, LEASE_TEST_TOKEN"]
            fn $case() {
                crate::run(&mut tokio::runtime::Builder::new_current_thread(), super::$case());
            })*
        }
        mod multi_thread {
            $(#[test]
            #[ignore = "needs an API server: set LEASE_TEST_SERVER, LEASE_TEST_CA, LEASE_TEST_TOKEN"]
            fn $case() {
                crate::run(tokio::runtime::Builder::new_multi_thread().worker_threads(2), super::$case());
            })*
        }
    };
}
use on_every_runtime;

fn run(runtime: &mut Builder, case: impl Future<Output = ()>) {
    runtime.enable_all().build().unwrap().block_on(case);
}

#[path = "real/access.rs"]
mod access;
#[path = "real/acquire.rs"]
mod acquire;
#[path = "real/admin.rs"]
mod admin;
#[path = "real/cluster.rs"]
mod cluster;
#[path = "real/cost.rs"]
mod cost;
#[path = "real/doomed.rs"]
mod doomed;
#[path = "real/failover.rs"]
mod failover;
#[path = "real/finalizers.rs"]
mod finalizers;
#[path = "real/losses.rs"]
mod losses;
#[path = "real/outage.rs"]
mod outage;
#[path = "real/process.rs"]
mod process;
#[path = "real/release.rs"]
mod release;
#[path = "real/renewal.rs"]
mod renewal;
mod support;
#[path = "real/watching.rs"]
mod watching;
