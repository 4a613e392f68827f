//! How fast the model answers: prints requests per second. `cargo bench -p lease-sim`.
//!
//! Figures to read, not a test: nothing here can fail because a machine is slow.
#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

use bytes::Bytes;
use http::Request;
use lease_sim::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};
use std::hint::black_box;
use std::time::{Duration, Instant};

const COLLECTION: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a";
const NOW: UnixMicros = UnixMicros::from_seconds(1_800_000_000);
const ROUNDS: u32 = 300_000;

fn request(method: &str, path: &str, body: String) -> Request<Bytes> {
    let builder = Request::builder().method(method).uri(path).header("authorization", "Bearer token");
    builder.header("content-type", "application/json").body(Bytes::from(body)).expect("a valid request")
}

fn body(version: u64, second: u32) -> String {
    format!(
        r#"{{"apiVersion":"coordination.k8s.io/v1","kind":"Lease",
"metadata":{{"name":"a","namespace":"default","resourceVersion":"{version}"}},
"spec":{{"holderIdentity":"holder-1","leaseDurationSeconds":15,
"acquireTime":"2026-01-01T00:00:00.000000Z",
"renewTime":"2026-01-01T00:{:02}:{:02}.000000Z","leaseTransitions":1}}}}"#,
        second / 60 % 60,
        second % 60
    )
}

#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed(action: impl FnOnce() -> u16) -> (Duration, u16) {
    let start = Instant::now();
    let status = black_box(action());
    (start.elapsed(), status)
}

fn measure(
    name: &str,
    managed_fields: bool,
    mut make: impl FnMut(&ApiServer, u32) -> Request<Bytes>,
    wanted: u16,
) {
    let config = ApiServerConfig { managed_fields, ..ApiServerConfig::default() };
    let mut server = ApiServer::new(config.token("token", "admin", Rights::All));
    server.handle(
        NOW,
        &request("POST", COLLECTION, body(0, 0).replace("\"resourceVersion\":\"0\"", "\"uid\":\"\"")),
    );
    let mut spent = Duration::ZERO;
    for round in 1..=ROUNDS {
        let request = make(&server, round);
        let (time, status) = timed(|| {
            server.handle(NOW, &request).into_response().map_or(0, |response| response.status().as_u16())
        });
        assert_eq!(status, wanted, "{name}");
        spent += time;
    }
    let each = spent.as_secs_f64() / f64::from(ROUNDS);
    let fields = if managed_fields { "with" } else { "without" };
    println!("{name:<24} {fields:<7} managedFields: {:>6.2} us, {:>9.0} requests/s", each * 1e6, 1.0 / each);
}

fn main() {
    // `cargo test --all-targets` runs this too, without the flag: then there is nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for managed_fields in [true, false] {
        let get = |_: &ApiServer, _| request("GET", LEASE, String::new());
        let renew = |server: &ApiServer, round| request("PUT", LEASE, body(server.resource_version(), round));
        let conflict = |_: &ApiServer, round| request("PUT", LEASE, body(1, round));
        measure("GET", managed_fields, get, 200);
        measure("PUT that renews", managed_fields, renew, 200);
        measure("PUT with a conflict", managed_fields, conflict, 409);
    }
}
