//! Flight recordings of a machine that runs against the modelled API server, replayed as traces.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use lease_core::recording::{RecordingError, Ring, Start};
use lease_core::{Action, Config, Failure, Input, Lease, MonoTime, Now, Output, RequestId, Seed, WallTime};
use lease_sim::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};
use lease_sim::incident::{IncidentError, replay};
use lease_sim::trace::{Trace, What};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
/// The monotonic clock at the start: far from zero, as on a machine that has run for a while.
const BOOTED: u64 = 5_000 * SECOND;

/// A driver on virtual time: the machine, the server, and the recorder between them.
struct Driver {
    machine: Lease,
    server: ApiServer,
    ring: Ring,
    /// Since the start.
    now: u64,
    /// What the machine asked for last and nobody answered yet.
    open: Option<(RequestId, http::Request<bytes::Bytes>)>,
    wake: Option<MonoTime>,
}

impl Driver {
    fn new(most_inputs: usize) -> Self {
        let config = Config::builder().namespace("default").name("job").identity("pod-<1>");
        let config = config.ttl(Duration::from_secs(15)).build().unwrap();
        let start = Start { config, seed: Seed(7), now: reading(0) };
        let server = ApiServer::new(ApiServerConfig { anonymous: Rights::All, ..ApiServerConfig::default() });
        let ring = Ring::new(start.clone(), most_inputs, 1 << 22);
        Self { machine: start.machine(), server, ring, now: 0, open: None, wake: None }
    }

    fn hand_in(&mut self, input: Input) {
        self.ring.input(reading(self.now), &input);
        self.machine.handle(reading(self.now), input);
        loop {
            let output = self.machine.poll();
            self.ring.output(&output);
            match output {
                Output::Action(Action::Send { id, request, .. }) => self.open = Some((id, request)),
                Output::Action(_) | Output::Event(_) => {}
                Output::Idle { wake, .. } => {
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    /// The server answers the open request, 40 ms later.
    fn answer(&mut self) {
        let (id, request) = self.open.take().unwrap();
        self.now += SECOND / 25;
        let response = self.server.handle(UnixMicros(wall(self.now)), &request).into_response().unwrap();
        self.hand_in(Input::Response { id, response });
    }

    fn answer_all(&mut self) {
        while self.open.is_some() {
            self.answer();
        }
    }

    /// To the instant at which the machine wants to be woken.
    fn sleep(&mut self) {
        self.now = self.wake.unwrap().as_nanos() - BOOTED;
        self.hand_in(Input::Tick);
    }
}

fn wall(now: u64) -> i64 {
    1_767_225_600_000_000 + i64::try_from(now / 1_000).unwrap()
}

fn reading(now: u64) -> Now {
    Now { mono: MonoTime::from_nanos(BOOTED + now), wall: WallTime::from_micros(wall(now)) }
}

/// Acquires, renews twice, loses one answer, is not woken for 20 s, campaigns on, releases.
fn life(most_inputs: usize) -> String {
    let mut driver = Driver::new(most_inputs);
    driver.now = SECOND;
    driver.hand_in(Input::Campaign);
    driver.answer_all();
    for _ in 0..2 {
        driver.sleep();
        driver.answer_all();
    }
    driver.sleep();
    let (id, request) = driver.open.take().unwrap();
    let _ = driver.server.handle(UnixMicros(wall(driver.now)), &request);
    driver.now += SECOND;
    driver.hand_in(Input::Failed { id, failure: Failure::Unknown });
    while driver.open.is_none() {
        driver.sleep();
    }
    driver.answer_all();
    driver.now += 20 * SECOND;
    driver.hand_in(Input::Tick);
    for _ in 0..6 {
        driver.answer_all();
        if driver.machine.check_alive(reading(driver.now).mono).is_none() {
            driver.sleep();
        }
    }
    driver.hand_in(Input::Release);
    driver.answer_all();
    driver.ring.to_text()
}

fn count(trace: &Trace, is: impl Fn(&What) -> bool) -> usize {
    trace.entries.iter().filter(|entry| is(&entry.what)).count()
}

#[test]
fn a_recording_becomes_a_trace_with_one_lane() {
    let file = life(1_000);
    let trace = replay(&file).unwrap();
    assert_eq!(trace.lanes.len(), 1);
    assert_eq!(trace.lanes[0].identity, "pod-<1>");
    assert!(trace.entries.is_sorted_by_key(|entry| entry.at));
    assert!(trace.length > 30 * SECOND && trace.length < 90 * SECOND, "{}", trace.length);
    assert_eq!(trace.entries[0].what, What::Started { holder: 0, incarnation: 1 });
    let campaign = What::Command { holder: 0, command: "campaign".to_owned() };
    assert!(trace.entries.iter().any(|entry| entry.at == SECOND && entry.what == campaign));
    assert_eq!(count(&trace, |what| matches!(what, What::Violation { .. })), 0);
    let sent = count(&trace, |what| matches!(what, What::Sent { .. }));
    let arrived = count(&trace, |what| matches!(what, What::Arrived { .. }));
    let answered = count(&trace, |what| matches!(what, What::Answered { .. }));
    assert_eq!((sent, answered), (arrived, sent), "the write whose answer was lost landed, as a read showed");
    let by_others = |what: &What| matches!(what, What::Truth { version: Some(_), by: None, .. });
    assert_eq!(count(&trace, by_others), 0, "{trace}");
    let told = |word: &str| {
        count(&trace, |what| matches!(what, What::Told { event, .. } if event.starts_with(word)))
    };
    assert_eq!((told("Acquired"), told("Lost"), told("Released")), (2, 1, 1), "{trace}");
}

#[test]
fn belief_and_record_are_those_of_the_recorded_holder() {
    let trace = replay(&life(1_000)).unwrap();
    let beliefs = trace.entries.iter().filter_map(|entry| match &entry.what {
        What::Belief { until, token, state, .. } => Some((entry.at, *until, *token, state.as_deref())),
        _ => None,
    });
    let beliefs: Vec<_> = beliefs.collect();
    let (at, until, token, state) = beliefs[0];
    // V counts from the write's emission, 40 ms before its answer.
    assert_eq!(until, Some(at - SECOND / 25 + 13_500_000_000));
    assert!(token.is_some() && state.unwrap().contains("Holding"), "{state:?}");
    assert_eq!(beliefs.last().unwrap().1, None, "it was released");
    let truths: Vec<_> =
        trace.entries.iter().filter(|entry| matches!(entry.what, What::Truth { .. })).collect();
    assert!(
        matches!(truths[0].what, What::Truth { holder: None, version: None, .. }),
        "the first read: no record"
    );
    match &truths[1].what {
        What::Truth { holder, version, expires, by } => {
            assert_eq!((holder.as_deref(), *version, *by), (Some("pod-<1>"), token, Some(0)));
            assert_eq!(*expires, Some(truths[1].at + 15 * SECOND));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(truths.last().unwrap().what, What::Truth { version: None, .. }), "deleted at the end");
}

#[test]
fn a_late_wake_up_is_a_pause() {
    let trace = replay(&life(1_000)).unwrap();
    let pauses = trace.entries.iter().filter_map(|entry| match entry.what {
        What::Paused { until, .. } => Some(until - entry.at),
        _ => None,
    });
    let pauses: Vec<_> = pauses.collect();
    assert_eq!(pauses.len(), 1, "{trace}");
    assert!(pauses[0] > 10 * SECOND && pauses[0] < 20 * SECOND, "{pauses:?}");
}

#[test]
fn it_draws_like_any_other_run() {
    let trace = replay(&life(1_000)).unwrap();
    // To look at, and for `.ci/page.sh`.
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("incident.html");
    std::fs::write(path, trace.to_html()).unwrap();
    assert!(trace.to_html().contains("pod-&lt;1&gt;"));
    assert!(!trace.to_html().contains("pod-<1>"));
    assert!(trace.to_text(true).lines().count() < trace.to_text(false).lines().count());
}

#[test]
fn a_divergence_is_shown_where_it_is() {
    let file = life(1_000);
    let whole = replay(&file).unwrap();
    let at = file.rfind("Acquired {").unwrap();
    let changed = format!("{}Acquirex {}", &file[..at], &file[at + "Acquired ".len()..]);
    let trace = replay(&changed).unwrap();
    let last = trace.entries.last().unwrap();
    match &last.what {
        What::Violation { invariant, about } => {
            assert_eq!(invariant, "replay");
            assert!(about.contains("Acquirex") && !about.contains('\n'), "{about}");
        }
        other => panic!("{other:?}"),
    }
    let before = trace.entries.len() - 1;
    assert!(before > 10 && before < whole.entries.len());
    let told =
        count(&trace, |what| matches!(what, What::Told { event, .. } if event.starts_with("Acquired")));
    assert_eq!(told, 1, "the second one differs");
}

#[test]
fn what_cannot_be_replayed_is_told_apart() {
    let file = life(1_000);
    let lines: Vec<&str> = file.split_inclusive('\n').collect();
    let cut = lines[..4].concat();
    let error = replay(&cut).unwrap_err();
    assert_eq!(error, IncidentError::Recording(RecordingError::Truncated { entries: 3 }));
    assert!(error.to_string().contains("cut off after 3 inputs"), "{error}");
    assert_eq!(replay("").unwrap_err(), IncidentError::Recording(RecordingError::Empty));
    for foreign in ["<html></html>\n", "{\"format\":\"something\",\"version\":1}\n"] {
        assert_eq!(replay(foreign).unwrap_err(), IncidentError::Recording(RecordingError::Foreign));
    }
    let error = replay(&life(4)).unwrap_err();
    assert!(matches!(error, IncidentError::Wrapped { dropped } if dropped > 0), "{error:?}");
    assert!(error.to_string().contains("wrapped"), "{error}");
}
