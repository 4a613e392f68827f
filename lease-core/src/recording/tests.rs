use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::*;
use crate::config::{OwnerReference, ReleasePolicy, SameIdentity};
use crate::identifiers::RequestId;
use crate::input::Failure;
use crate::output::{Action, Output};
use crate::time::{MonoTime, WallTime};

fn start() -> Start {
    let config = Config::builder()
        .namespace("default")
        .name("job")
        .identity("a \"quoted\" näme")
        .ttl(Duration::from_millis(15_001))
        .max_clock_skew(None)
        .same_identity(SameIdentity::Contend)
        .release_policy(ReleasePolicy::Vacate)
        .max_body(5000)
        .label("app", "job")
        .label("a", "")
        .annotation("Example.com/note", "a \"quoted\" line\n")
        .owner_reference(OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: "worker".to_owned(),
            uid: "u-1".to_owned(),
            controller: true,
            block_owner_deletion: false,
        })
        .build()
        .unwrap();
    Start { config, seed: Seed(u128::MAX - 5), now: at(7) }
}

fn at(second: u64) -> Now {
    let wall = WallTime::from_micros(1_700_000_000_000_000 + i64::try_from(second).unwrap() * 1_000_000);
    Now { mono: MonoTime::from_nanos(second * 1_000_000_000), wall }
}

fn response(id: u64, status: u16, body: &'static [u8]) -> Input {
    let response = Response::builder()
        .status(status)
        .header("date", "Tue, 14 Nov 2023 22:13:27 GMT")
        .header("retry-after", "1")
        .header("content-type", "application/json")
        .header("set-cookie", "s3cr3t")
        .body(Bytes::from_static(body))
        .unwrap();
    Input::Response { id: RequestId(id), response }
}

/// Every kind of input, some of them strays.
fn inputs() -> Vec<Input> {
    vec![
        Input::TryAcquire,
        response(1, 404, br#"{"kind":"Status","details":{"name":"job"},"code":404}"#),
        response(1, 200, b"\xff\xfe not text"),
        Input::Failed { id: RequestId(2), failure: Failure::NotSent },
        Input::Failed { id: RequestId(3), failure: Failure::Unknown },
        Input::Failed { id: RequestId(4), failure: Failure::TooLarge },
        Input::Campaign,
        Input::Tick,
        response(5, 503, b""),
        Input::WatchChunk { id: RequestId(9), bytes: Bytes::from_static(b"{}\n") },
        Input::WatchClosed { id: RequestId(9) },
        Input::CredentialsReady { id: RequestId(9) },
        Input::Tick,
        Input::Release,
        response(6, 401, b"{}"),
        Input::Tick,
    ]
}

fn record(most_inputs: usize) -> (Ring, Lease) {
    let mut ring = Ring::new(start(), most_inputs, 1 << 20);
    let mut machine = start().machine();
    for (input, second) in inputs().into_iter().zip(8..) {
        ring.input(at(second), &input);
        machine.handle(at(second), input);
        loop {
            let output = machine.poll();
            ring.output(&output);
            if matches!(output, Output::Idle { .. }) {
                break;
            }
        }
    }
    (ring, machine)
}

#[test]
fn a_recording_is_replayed_bit_for_bit() {
    let (ring, machine) = record(100);
    let recording = Recording::parse(&ring.to_text()).unwrap();
    assert_eq!(recording.start(), &start());
    assert_eq!(recording.entries().len(), inputs().len());
    for (entry, mut input) in recording.entries().iter().zip(inputs()) {
        if let Input::Response { response, .. } = &mut input {
            response.headers_mut().remove("set-cookie");
        }
        // Headers come back in another order.
        match (entry.input(), &input) {
            (Input::Response { response: read, .. }, Input::Response { response: written, .. }) => {
                assert_eq!(read.status(), written.status());
                assert_eq!(read.headers(), written.headers());
                assert_eq!(read.body(), written.body());
            }
            (read, written) => assert_eq!(format!("{read:?}"), format!("{written:?}")),
        }
    }
    let replayed = recording.replay().unwrap();
    assert_eq!(replayed, machine);
    assert_eq!(replayed.stats(), machine.stats());
}

#[test]
fn a_recording_of_a_recording_is_the_same() {
    let (ring, _) = record(100);
    let text = ring.to_text();
    let recording = Recording::parse(&text).unwrap();
    let mut again = Ring::new(recording.start().clone(), 100, 1 << 20);
    let mut machine = recording.start().machine();
    for entry in recording.entries() {
        again.input(entry.now(), entry.input());
        machine.handle(entry.now(), entry.input().clone());
        for _ in entry.outputs() {
            again.output(&machine.poll());
        }
    }
    assert_eq!(again.to_text(), text);
}

#[test]
fn there_are_no_secrets_in_it() {
    let mut ring = Ring::new(start(), 10, 1 << 20);
    ring.input(at(8), &response(1, 200, b"{}"));
    let request = http::Request::get("/x")
        .header("authorization", "Bearer s3cr3t")
        .header("accept", "application/json")
        .body(Bytes::new())
        .unwrap();
    let send =
        Action::Send { id: RequestId(1), request, give_up_at: MonoTime::from_nanos(1), max_body: 4096 };
    ring.output(&Output::Action(send));
    let text = ring.to_text();
    assert!(!text.contains("s3cr3t"), "{text}");
    assert!(text.contains("accept") && text.contains("retry-after"), "{text}");
}

#[test]
fn the_first_output_that_differs_is_reported() {
    let (ring, _) = record(100);
    let text = ring.to_text().replacen("\"give_up_at\":11", "\"give_up_at\":12", 1);
    assert_ne!(text, ring.to_text());
    let Err(ReplayError::Differs(difference)) = Recording::parse(&text).unwrap().replay() else {
        panic!("the difference was not found");
    };
    assert_eq!((difference.entry, difference.output), (0, 0));
    assert!(difference.recorded.contains("\"give_up_at\":12"), "{difference:?}");
    assert!(difference.replayed.contains("\"give_up_at\":11"), "{difference:?}");
}

#[test]
fn a_recording_that_ends_in_a_drain_is_replayed_up_to_there() {
    let mut ring = Ring::new(start(), 10, 1 << 20);
    let mut machine = start().machine();
    ring.input(at(8), &Input::TryAcquire);
    machine.handle(at(8), Input::TryAcquire);
    ring.output(&machine.poll());
    Recording::parse(&ring.to_text()).unwrap().replay().unwrap();
}

#[test]
fn a_ring_is_bounded_and_says_what_is_missing() {
    let (ring, _) = record(4);
    assert_eq!((ring.len(), ring.dropped()), (4, 12));
    let recording = Recording::parse(&ring.to_text()).unwrap();
    assert_eq!(recording.dropped(), 12);
    assert_eq!(recording.replay().unwrap_err(), ReplayError::Wrapped { dropped: 12 });

    let mut ring = Ring::new(start(), 1000, 10_000);
    for second in 8..200 {
        ring.input(at(second), &response(second, 200, &[b'x'; 1000]));
        assert!(ring.bytes() <= 10_000 || ring.len() == 1);
    }
    assert!(ring.dropped() > 0 && !ring.is_empty());
    ring.input(at(200), &response(1, 200, &[b'x'; 20_000]));
    assert_eq!(ring.len(), 1, "the newest input always stays");
}

#[test]
fn what_is_no_recording_is_told_apart() {
    let text = record(100).0.to_text();
    let parse = |text: &str| Recording::parse(text).unwrap_err();
    assert_eq!(parse(""), RecordingError::Empty);
    for foreign in ["\n", "hello\n", "{}\n", "{\"format\":\"x\",\"version\":1}\n"] {
        assert_eq!(parse(foreign), RecordingError::Foreign, "{foreign}");
    }
    assert_eq!(
        parse(&text.replacen("\"version\":3", "\"version\":4", 1)),
        RecordingError::Newer { version: 4 }
    );
    let refused = parse(&text.replacen("\"max_body\":5000", "\"max_body\":1", 1));
    assert!(matches!(refused, RecordingError::Config(_)), "{refused}");

    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let cut = lines[..3].concat();
    assert_eq!(parse(&cut), RecordingError::Truncated { entries: 2 }, "at the end of a line");
    let cut = &text[..lines[0].len() + lines[1].len() + 10];
    assert_eq!(parse(cut), RecordingError::Truncated { entries: 1 }, "within a line");
    assert_eq!(parse(lines[0]), RecordingError::Truncated { entries: 0 });

    let at_line = |line, problem| RecordingError::Line { line, problem };
    let missing = [lines[0], lines[1], lines[lines.len() - 1]].concat();
    assert_eq!(parse(&missing), at_line(3, LineProblem::Count));
    let more = format!("{text}{}", lines[1]);
    assert_eq!(parse(&more), at_line(lines.len() + 1, LineProblem::AfterTheEnd));
    let status = text.replacen("\"status\":404", "\"status\":9", 1);
    assert_eq!(parse(&status), at_line(3, LineProblem::Status));
    let garbage = parse(&text.replacen("\"try_acquire\"", "\"try\"", 1));
    assert!(matches!(garbage, RecordingError::Line { line: 2, problem: LineProblem::Shape(_) }), "{garbage}");
}

#[test]
fn files_of_version_1_are_read() {
    let text = Ring::new(start(), 1, 1 << 20).to_text().replacen("\"version\":3", "\"version\":1", 1);
    let from = text.find(",\"labels\"").unwrap();
    let to = text.find("}]").unwrap() + 2;
    let old = format!("{}{}", &text[..from], &text[to..]);
    let recording = Recording::parse(&old).unwrap();
    let config = &recording.start().config;
    assert!(config.labels().is_empty() && config.annotations().is_empty());
    assert!(config.owner_references().is_empty());
    assert_eq!(config.max_body(), 5000);
}

#[test]
fn bytes_that_are_no_text_survive() {
    let odd = response(1, 200, b"\x80\x00");
    let mut ring = Ring::new(start(), 10, 1 << 20);
    ring.input(at(8), &odd);
    let recording = Recording::parse(&ring.to_text()).unwrap();
    match recording.entries()[0].input() {
        Input::Response { response, .. } => {
            assert_eq!(response.body().as_ref(), b"\x80\x00");
            assert_eq!(response.headers()["retry-after"], "1");
        }
        other => panic!("{other:?}"),
    }
}
