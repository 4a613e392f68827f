//! One test per numbered clause of the crate documentation, with the arithmetic at its edges.

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use lease_core::{
    AttemptOutcome, Command, Event, Failure, Input, LostReason, Output, Problem, ReleaseOutcome, RequestId,
};
use serde_json::{Value, json};
use support::{Drained, Holder, absent, config, deleted, response, stored};

const NANOSECOND: Duration = Duration::from_nanos(1);
/// ttl 15 s less the margin of a tenth.
const VALIDITY: Duration = Duration::from_millis(13_500);

fn lost(drained: &Drained) -> Option<&LostReason> {
    drained.events.iter().find_map(|event| match event {
        Event::Lost { reason, .. } => Some(reason),
        _ => None,
    })
}

/// A holder whose renewal is under way, unanswered, `left` before its term ends.
fn renewing_until(left: Duration) -> (Holder, support::Sent) {
    // The request may take as long as the term lasts, so that its own deadline is `until`.
    let long = config().request_timeout(Duration::from_millis(4000)).renew_interval(Duration::from_secs(5));
    let mut a = Holder::new(long);
    a.acquire(7);
    let until = a.lease.check_alive(a.now.mono).expect("held").until;
    // Every retry fails until the last one, which is on its way when the term is about to end.
    loop {
        let drained = a.wake();
        if let Some(sent) = drained.sent.into_iter().next() {
            let remaining = until.saturating_since(a.now.mono);
            if remaining <= Duration::from_millis(4000) && sent.method() == Method::PUT {
                a.pass(remaining - left);
                return (a, sent);
            }
            a.fail(&sent, Failure::NotSent);
        }
    }
}

#[test]
fn clause_1_deadline_first() {
    let (mut a, renewal) = renewing_until(NANOSECOND);
    let in_time = a.accept(&renewal, 8);
    assert!(matches!(in_time.events[..], [Event::Renewed { .. }]), "one nanosecond before: {in_time:?}");
    assert!(a.is_held());

    let (mut a, renewal) = renewing_until(Duration::ZERO);
    let strays = a.lease.stats().stray_inputs;
    let late = a.accept(&renewal, 8);
    assert!(matches!(lost(&late), Some(LostReason::Expired { .. })), "exactly at until: {late:?}");
    assert!(!a.is_held());
    assert_eq!(a.lease.stats().stray_inputs, strays + 1, "the reply is looked at after the deadline fired");
}

#[test]
fn clause_1_a_late_acquiring_reply_starts_no_term() {
    for (left, held) in [(NANOSECOND, true), (Duration::ZERO, false)] {
        let mut a = Holder::new(config().acquire_retries(10));
        let read = a.give(Input::TryAcquire);
        let create = a.respond(&read.sent[0], 404, &absent());
        let edge = a.now.mono.saturating_add(VALIDITY);
        let written = stored(&create.sent[0], 7);
        // The reply is lost, and so are those of the reads, until one of them can last up to the edge.
        a.fail(&create.sent[0], Failure::Unknown);
        let mut read = next_request(&mut a);
        while edge > read.give_up_at {
            read = next_request(&mut a);
        }
        a.pass(edge.saturating_since(a.now.mono) - left);
        let shown = a.respond(&read, 200, &written);
        assert_eq!(a.is_held(), held, "{left:?} before the edge: {shown:?}");
        if !held {
            assert_eq!(shown.sent[0].method(), Method::PUT, "it is ours: written once more");
            a.accept(&shown.sent[0], 8);
            assert!(a.is_held());
        }
    }
}

/// Lets whatever is under way time out, and gives the next request.
fn next_request(a: &mut Holder) -> support::Sent {
    loop {
        if let Some(sent) = a.wake().sent.into_iter().next() {
            return sent;
        }
    }
}

#[test]
fn clause_2_half_open_terms() {
    let mut a = Holder::new(config());
    let read = a.give(Input::TryAcquire);
    a.pass(Duration::from_millis(100));
    let create = a.respond(&read.sent[0], 404, &absent());
    let emitted = a.now.mono;
    a.pass(Duration::from_millis(2900));
    a.accept(&create.sent[0], 7);
    let held = a.lease.check_alive(a.now.mono).expect("held");
    assert_eq!(held.until, emitted.saturating_add(VALIDITY), "from the emission, not from the reply");
    let before = held.until.saturating_sub(NANOSECOND);
    assert_eq!(a.lease.check_alive(before), Some(held));
    assert_eq!(a.lease.check_alive(held.until), None);
}

#[test]
fn clause_3_one_request_in_flight() {
    let mut a = Holder::new(config());
    a.lease.handle(a.now, Input::TryAcquire);
    // Not yet polled: its id cannot be known, so an answer to it is a stray.
    a.lease.handle(a.now, response(RequestId(1), 404, &absent()));
    assert_eq!(a.lease.stats().stray_inputs, 1);
    let read = a.drain();
    assert_eq!(read.sent.len(), 1);
    assert_eq!(read.sent[0].id, RequestId(1));
    // Unknown ids are counted and ignored.
    assert_eq!(a.give(response(RequestId(99), 404, &absent())).outputs, 0);
    // Nobody answers: it ends itself, and is aborted.
    let given_up = a.wake();
    assert_eq!(a.now.mono, read.sent[0].give_up_at);
    assert_eq!(given_up.aborted, [read.sent[0].id]);
    assert!(
        matches!(given_up.events[..], [Event::Trouble { problem: Problem::Timeout, .. }]),
        "{given_up:?}"
    );
    // Stale ids are ignored, and the retry has a new one.
    assert_eq!(a.give(response(RequestId(1), 404, &absent())).outputs, 0);
    assert_eq!(a.lease.stats().stray_inputs, 3);
    let again = a.wake();
    assert_eq!(again.sent[0].id, RequestId(2));
}

#[test]
fn clause_4_every_beginning_has_one_end() {
    let mut a = Holder::new(config());
    let acquired = a.acquire(7);
    let [
        Event::HolderChanged { .. },
        Event::Acquired { token, .. },
        Event::AttemptEnded { command, outcome },
    ] = &acquired.events[..]
    else {
        panic!("{acquired:?}");
    };
    assert_eq!((token.as_u64(), *command), (7, Command::TryAcquire));
    assert_eq!(*outcome, AttemptOutcome::Acquired { token: *token });

    // Already held: an answer, and no request.
    let joined = a.give(Input::TryAcquire);
    assert!(joined.sent.is_empty());
    assert!(matches!(
        joined.events[..],
        [Event::AttemptEnded { outcome: AttemptOutcome::AlreadyHeld { .. }, .. }]
    ));

    // The local end comes before the first byte.
    a.lease.handle(a.now, Input::Release);
    assert!(!a.is_held());
    assert!(matches!(a.lease.poll(), Output::Event(Event::Released { .. })));
    let delete = a.drain();
    assert_eq!(delete.sent[0].method(), Method::DELETE);
    // Asked again while releasing: one answer for both. An attempt waits for the release's end.
    a.lease.handle(a.now, Input::Release);
    a.lease.handle(a.now, Input::TryAcquire);
    let ended = a.respond(&delete.sent[0], 200, &deleted());
    let confirmed = Event::ReleaseEnded { outcome: ReleaseOutcome::Confirmed };
    assert_eq!(ended.events, [Event::HolderChanged { holder: None }, confirmed]);
    assert_eq!(ended.sent[0].method(), Method::GET);

    // A release cancels what is being acquired. Nothing was written, so there is nothing to clean up.
    let cancelled = a.give(Input::Release);
    assert_eq!(
        cancelled.events,
        [
            Event::AttemptEnded { command: Command::TryAcquire, outcome: AttemptOutcome::Cancelled },
            Event::ReleaseEnded { outcome: ReleaseOutcome::Nothing },
        ]
    );
}

#[test]
fn clause_4_tokens_strictly_grow() {
    let mut a = Holder::new(config());
    a.acquire(7);
    let delete = a.give(Input::Release);
    a.respond(&delete.sent[0], 200, &deleted());
    // etcd was restored from a backup: the next write gets a number that was used before.
    for resource_version in [7, 3] {
        let refused = a.acquire(resource_version);
        let outcome = AttemptOutcome::Failed(Problem::TokenNotAbove);
        assert!(
            refused.events.contains(&Event::AttemptEnded { command: Command::TryAcquire, outcome }),
            "{refused:?}"
        );
        assert!(!a.is_held());
    }
}

#[test]
fn clause_5_clocks_are_not_trusted() {
    let mut a = Holder::new(config());
    a.acquire(7);
    let held = a.lease.check_alive(a.now.mono).expect("held");
    // The wall clock jumps: nothing moves.
    for micros in [i64::MIN, 0, i64::MAX] {
        let mut jumped = a.clone();
        jumped.now.wall = lease_core::WallTime::from_micros(micros);
        jumped.give(Input::Tick);
        assert_eq!(jumped.lease.check_alive(a.now.mono), Some(held));
    }
    // The monotonic clock goes backwards: clamped, and counted.
    let mut back = a.clone();
    back.pass(VALIDITY);
    assert!(lost(&back.give(Input::Tick)).is_some());
    back.now = a.now;
    let answered = back.give(Input::Tick);
    assert_eq!(answered.outputs, 0);
    assert_eq!(back.lease.stats().clamped_clocks, 1);
    assert!(!back.is_held(), "an earlier reading does not revive the term");
    // So is the far end of the clock.
    a.now.mono = lease_core::MonoTime::from_nanos(u64::MAX);
    assert!(lost(&a.give(Input::Tick)).is_some());
}

#[test]
fn clause_6_the_watch_is_a_hint() {
    let event =
        |kind: &str, object: &Value| Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
    let mut a = Holder::new(config().watch(true));
    let acquired = a.acquire(7);
    let watch = acquired.watches[0].id;
    a.give(Input::WatchChunk { id: watch, bytes: Bytes::new() });
    let until = a.lease.check_alive(a.now.mono).expect("held").until;
    // A renewal's echo extends nothing: only its own reply, or a read, does.
    a.pass(Duration::from_secs(5));
    let renewal = a.give(Input::Tick).sent.remove(0);
    let told = a.give(Input::WatchChunk { id: watch, bytes: event("MODIFIED", &stored(&renewal, 8)) });
    assert_eq!(told.outputs, 0);
    assert_eq!(a.lease.check_alive(a.now.mono).expect("held").until, until);
    // Somebody else's name ends the term, in the same step.
    let mut other = stored(&renewal, 9);
    other["spec"]["holderIdentity"] = json!("b");
    let told = a.give(Input::WatchChunk { id: watch, bytes: event("MODIFIED", &other) });
    assert!(matches!(lost(&told), Some(LostReason::TakenOver { .. })));
    assert!(!a.is_held() && told.sent.is_empty(), "nothing is written for it");
}

#[test]
fn without_a_watch_its_inputs_are_counted_and_ignored() {
    let mut a = Holder::new(config());
    assert!(a.acquire(7).watches.is_empty());
    let before = a.lease.check_alive(a.now.mono);
    for input in [
        Input::WatchChunk { id: RequestId(1), bytes: Bytes::from_static(b"{\"type\":\"DELETED\"}") },
        Input::WatchClosed { id: RequestId(1) },
    ] {
        assert_eq!(a.give(input).outputs, 0);
    }
    assert_eq!(a.lease.check_alive(a.now.mono), before);
    assert_eq!(a.lease.stats().stray_inputs, 2);
}

#[test]
fn clause_7_progress() {
    let mut a = Holder::new(config());
    for _ in 0..1000 {
        for input in [Input::TryAcquire, Input::Campaign, Input::Tick, Input::Release] {
            a.pass(Duration::from_millis(700));
            a.lease.handle(a.now, input);
            assert_eq!(a.lease.poll_timeout(), Some(a.now.mono), "outputs are waiting");
        }
    }
    let drained = a.drain();
    assert!(drained.outputs <= 16, "{drained:?}");
    assert_eq!(drained.wake, None, "released: nothing is due");

    let campaign = a.give(Input::Campaign);
    assert!(campaign.wake > Some(a.now.mono));
    for _ in 0..1000 {
        let drained = a.wake();
        assert!(drained.wake > Some(a.now.mono), "{drained:?}");
    }
}

#[test]
fn clause_8_determinism() {
    let run = |seed| {
        let mut a = Holder::seeded(config(), seed);
        let mut log = String::new();
        a.lease.handle(a.now, Input::Campaign);
        for round in 0..50 {
            let drained = if round == 0 { a.drain() } else { a.wake() };
            log += &format!("{:?} {drained:?}\n", a.now);
            for sent in &drained.sent {
                let body = json!({"kind": "Status", "status": "Failure", "code": 503});
                log += &format!("{:?}\n", a.respond(sent, 503, &body));
            }
        }
        (log, a.lease)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0, "the seed is what jitter comes from");
}
