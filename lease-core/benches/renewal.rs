//! What a holder and a contender cost: time and allocations of whole cycles.
//!
//! `cargo bench -p lease-core --bench renewal`. Goals: a renewal cycle (tick, request built, response parsed,
//! events drained) within 3 µs, a look at another's lease within 1.5 µs, and an idle tick without an
//! allocation: then its row has no `alloc` lines. The network is not in it. `Full` records have 1.2 KiB with
//! labels and managed fields; `Plain` ones are the simulator's, which runs millions of these cycles.

mod common;

use common::{Driver, Stored, drain, record};
use divan::{AllocProfiler, Bencher, black_box};
use http::Response;
use lease_core::{Event, Input, Now, Output};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SAMPLES: u32 = 100;
const CYCLES: u32 = 100;

fn main() {
    divan::main();
}

/// Tick, PUT built, response parsed and confirmed, `Renewed` drained.
#[divan::bench(args = [Stored::Full, Stored::Plain], sample_count = SAMPLES, sample_size = CYCLES)]
fn renewal_cycle(bencher: Bencher<'_, '_>, stored: Stored) {
    // Machines are deterministic: a twin tells beforehand what the server will answer.
    let mut twin = Driver::holding(stored);
    let answers: Vec<_> = (0..SAMPLES * CYCLES).map(|_| twin.renew()).collect();
    let mut answers = answers.into_iter();
    let mut driver = Driver::holding(stored);
    bencher.with_inputs(|| Response::new(answers.next().expect("an answer"))).bench_local_values(
        |response| {
            let (id, request) = driver.wake().sent.expect("a PUT");
            let drained = driver.give(Input::Response { id, response });
            assert!(matches!(drained.events[..], [Event::Renewed { .. }]));
            request
        },
    );
}

/// A tick that is not due, and the poll that says so.
#[divan::bench]
fn idle_tick(bencher: Bencher<'_, '_>) {
    let mut driver = Driver::holding(Stored::Full);
    let mut nanos = driver.now.mono.as_nanos();
    bencher.bench_local(|| {
        // The clock stands long before the renewal: a real one would never be asked so often.
        nanos ^= 1;
        let mono = lease_core::MonoTime::from_nanos(nanos);
        driver.lease.handle(Now { mono, ..driver.now }, Input::Tick);
        assert!(matches!(driver.lease.poll(), Output::Idle { wake: Some(_), .. }));
    });
}

/// What an application asks before every step of its work.
#[divan::bench]
fn check_alive(bencher: Bencher<'_, '_>) {
    let driver = Driver::holding(Stored::Full);
    bencher.bench_local(|| black_box(&driver.lease).check_alive(driver.now.mono));
}

/// A campaign looks at a lease that another renews: tick, GET built, response parsed, judged, drained.
#[divan::bench(args = [Stored::Full, Stored::Plain], sample_count = SAMPLES, sample_size = CYCLES)]
fn contended_poll_cycle(bencher: Bencher<'_, '_>, stored: Stored) {
    let mut renewals = 0;
    poll_cycle(bencher, || foreign(stored, &mut renewals));
}

/// The same while the other does not renew: the same body again and again.
#[divan::bench(sample_count = SAMPLES, sample_size = CYCLES)]
fn contended_poll_cycle_without_news(bencher: Bencher<'_, '_>) {
    let (mut renewals, mut looks, mut body) = (0, 0, bytes::Bytes::new());
    poll_cycle(bencher, || {
        if looks % 500 == 0 {
            // Often enough that it never expires.
            let text = String::from_utf8_lossy(&foreign(Stored::Plain, &mut renewals)).into_owned();
            body = text.replace("Seconds\":15", "Seconds\":3600").into();
        }
        looks += 1;
        // Bytes of their own, as they come from a socket.
        bytes::Bytes::copy_from_slice(&body)
    });
}

fn poll_cycle(bencher: Bencher<'_, '_>, mut body: impl FnMut() -> bytes::Bytes) {
    let mut driver = Driver::new();
    driver.give(Input::Campaign);
    bencher.with_inputs(|| Response::new(body())).bench_local_values(|response| {
        let (id, request) = loop {
            // The very first wake is the time limit of the campaign's own first look.
            if let Some(sent) = driver.wake().sent {
                break sent;
            }
        };
        driver.give(Input::Response { id, response });
        request
    });
}

/// Only the response to a GET: parsed, compared with the last one, judged.
#[divan::bench(args = [Stored::Full, Stored::Plain], sample_count = SAMPLES, sample_size = 1)]
fn read_of_a_record(bencher: Bencher<'_, '_>, stored: Stored) {
    let mut waiting = Driver::new();
    let (id, _) = waiting.give(Input::Campaign).sent.expect("a GET");
    let mut renewals = 0;
    bencher
        .with_inputs(|| (waiting.lease.clone(), Response::new(foreign(stored, &mut renewals))))
        .bench_local_values(|(mut lease, response)| {
            lease.handle(waiting.now, Input::Response { id, response });
            lease
        });
    let mut lease = waiting.lease.clone();
    let body = foreign(stored, &mut renewals);
    lease.handle(waiting.now, Input::Response { id, response: Response::new(body) });
    drain(&mut lease);
    assert!(lease.holder().is_some());
}

fn foreign(stored: Stored, renewals: &mut u64) -> bytes::Bytes {
    *renewals += 1;
    // Ahead of every clock in here, so that the record never expires.
    let time = format!("2030-01-01T00:00:00.{:06}Z", *renewals % 1_000_000);
    record(stored, "nightly-job-5f7c9d6b8-other_99", 1000 + *renewals, &time)
}
