//! How fast the model answers: prints requests per second. `cargo bench -p lease-sim --bench model [-- PUT]`.
//!
//! Figures to read, not a test: nothing here can fail because a machine is slow. Goals as a simulation runs
//! it, without managedFields and watches: a GET in 0.4 us, a PUT in 2.5 us. The fastest batch is what counts on a
//! machine that others use too.
#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

use bytes::Bytes;
use http::Request;
use lease_sim::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};
use std::hint::black_box;
use std::time::{Duration, Instant};

const COLLECTION: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a";
const NOW: UnixMicros = UnixMicros::from_seconds(1_800_000_000);
const BATCHES: u32 = 300;
const BATCH: u32 = 500;

fn request(method: &str, path: &str, body: String) -> Request<Bytes> {
    let builder = Request::builder().method(method).uri(path).header("authorization", "Bearer token");
    builder.header("content-type", "application/json").body(Bytes::from(body)).expect("a valid request")
}

/// What lease-core writes: all that was read, its nonce among it.
fn body(version: u64, second: u32) -> String {
    format!(
        r#"{{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"creationTimestamp":"2027-01-15T08:00:00Z","name":"a","namespace":"default","resourceVersion":"{version}","annotations":{{"lease-core.rs/nonce":"0123456789abcdef0123456789abcdef holder-1"}}}},"spec":{{"acquireTime":"2026-01-01T00:00:00.000000Z","renewTime":"2026-01-01T00:{:02}:{:02}.000000Z","holderIdentity":"holder-1","leaseDurationSeconds":15,"leaseTransitions":1}}}}"#,
        second / 60 % 60,
        second % 60
    )
}

#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed(action: impl FnOnce()) -> Duration {
    let start = Instant::now();
    action();
    start.elapsed()
}

/// `make` gets the number of the request, and the resource version if all before it were writes.
fn measure(name: &str, simulated: bool, make: impl Fn(u32, u64) -> Request<Bytes>, wanted: u16) {
    if std::env::args().skip(1).any(|filter| !filter.starts_with('-') && !name.contains(&filter)) {
        return;
    }
    let mut config = ApiServerConfig::default();
    if simulated {
        (config.managed_fields, config.history) = (false, 1);
    }
    let mut server = ApiServer::new(config.token("token", "admin", Rights::All));
    let create = body(0, 0).replace("\"resourceVersion\":\"0\"", "\"uid\":\"\"");
    server.handle(NOW, &request("POST", COLLECTION, create));
    let mut spent = Vec::new();
    for batch in 0..BATCHES {
        let version = server.resource_version();
        let requests: Vec<_> =
            (0..BATCH).map(|index| make(batch * BATCH + index + 1, version + u64::from(index))).collect();
        let mut good = 0;
        spent.push(timed(|| {
            for request in &requests {
                let response = black_box(server.handle(NOW, black_box(request))).into_response();
                good += u32::from(response.is_some_and(|response| response.status() == wanted));
            }
        }));
        assert_eq!(good, BATCH, "{name}");
    }
    spent.sort();
    let each = |time: Duration| time.as_secs_f64() / f64::from(BATCH);
    let (fastest, median) = (each(spent[0]), each(spent[spent.len() / 2]));
    let mode = if simulated { "simulated" } else { "default" };
    println!(
        "{name:<20} {mode:<10} fastest {:>5.2} us, median {:>5.2} us, {:>9.0} requests/s",
        fastest * 1e6,
        median * 1e6,
        1.0 / fastest
    );
}

fn main() {
    // `cargo test --all-targets` runs this too, without the flag: then there is nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for simulated in [false, true] {
        let get = |_, _| request("GET", LEASE, String::new());
        let renew = |round, version| request("PUT", LEASE, body(version, round));
        let conflict = |round, _| request("PUT", LEASE, body(1, round));
        measure("GET", simulated, get, 200);
        measure("PUT that renews", simulated, renew, 200);
        measure("PUT with a conflict", simulated, conflict, 409);
    }
}
