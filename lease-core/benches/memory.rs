//! What a machine keeps on the heap: what is freed when it is dropped.
//!
//! `cargo bench -p lease-core --bench memory`; read the `dealloc` lines. Goal: at most 4 KiB beside the
//! cached record, which is as large as whatever is stored in the cluster. Both machines have renewed a
//! hundred times, so that all that grows has grown.

mod common;

use common::{Driver, Stored};
use divan::{AllocProfiler, Bencher};
use http::{Response, StatusCode};
use lease_core::{Input, Lease, Status};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn seasoned() -> Driver {
    let mut driver = Driver::holding(Stored::Full);
    for _ in 0..100 {
        driver.renew();
    }
    driver
}

/// A holder with its configuration and its record of 1.2 KiB.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn holding_with_its_record(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| seasoned().lease).bench_local_values(drop::<Lease>);
}

/// The same machine after a release and a look that found nothing: all but the record is still there.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn beside_the_record(bencher: Bencher<'_, '_>) {
    let forgetful = || {
        let mut driver = seasoned();
        let (id, _) = driver.give(Input::Release).sent.expect("a DELETE");
        let absent = r#"{"kind":"Status","status":"Failure","code":404,
            "details":{"name":"nightly-job","group":"coordination.k8s.io","kind":"leases"}}"#;
        let mut response = Response::new(absent.into());
        *response.status_mut() = StatusCode::NOT_FOUND;
        driver.give(Input::Response { id, response });
        assert_eq!((driver.lease.status(), driver.lease.holder()), (Status::Idle, None));
        driver.lease
    };
    bencher.with_inputs(forgetful).bench_local_values(drop::<Lease>);
}

/// A machine that has done nothing yet: its configuration.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn new_machine(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| Driver::new().lease).bench_local_values(drop::<Lease>);
}
