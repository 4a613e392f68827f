//! Schedules that an earlier version got wrong, found by reading it with hostile eyes. One test each.

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use lease_core::{
    AttemptOutcome, ConfigBuilder, Event, Failure, Input, LostReason, Problem, ReleaseOutcome, ReleasePolicy,
    RequestId, WallTime,
};
use serde_json::{Value, json};
use support::{Drained, Holder, Sent, absent, config, conflict, lease_of, response, status, stored};

const LONG_AGO: &str = "2026-01-01T00:00:00.000000Z";

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn vacate() -> ConfigBuilder {
    config().release_policy(ReleasePolicy::Vacate)
}

fn vacant(resource_version: u64) -> Value {
    let mut object = lease_of("", LONG_AGO, resource_version);
    object["spec"]["holderIdentity"] = Value::Null;
    object
}

fn with_uid(mut object: Value, uid: &str) -> Value {
    object["metadata"]["uid"] = json!(uid);
    object
}

fn unavailable() -> Value {
    status(503, "ServiceUnavailable", json!({}))
}

fn outcome(drained: &Drained) -> Option<&AttemptOutcome> {
    drained.events.iter().find_map(|event| match event {
        Event::AttemptEnded { outcome, .. } => Some(outcome),
        _ => None,
    })
}

fn lost(drained: &Drained) -> Option<&LostReason> {
    drained.events.iter().find_map(|event| match event {
        Event::Lost { reason, .. } => Some(reason),
        _ => None,
    })
}

/// A response whose `Date` is off by some seconds from the holder's own wall clock.
fn dated(holder: &Holder, id: RequestId, code: u16, body: &Value, off: i64) -> Input {
    let second = holder.now.wall.as_micros() / 1_000_000 - 1_767_225_600 + off;
    let date =
        format!("Thu, 01 Jan 2026 {:02}:{:02}:{:02} GMT", second / 3600, second / 60 % 60, second % 60);
    let response = Response::builder().status(code).header("date", date).body(Bytes::from(body.to_string()));
    Input::Response { id, response: response.expect("a response") }
}

/// Two holders at once under `Vacate`: the wait for one object was credited to another, which an echo of the
/// first POST had made while the holder was paused.
#[test]
fn the_quarantine_of_one_object_counts_for_no_other() {
    let mut a = Holder::new(vacate());
    let read = a.give(Input::Campaign);
    let create = a.respond(&read.sent[0], 404, &absent());
    a.respond(&create.sent[0], 201, &with_uid(stored(&create.sent[0], 10), "u-1"));
    // Paused for longer than the quarantine. The object goes, others hold, theirs goes, the echo lands.
    let renewal = a.tick_after(seconds(40.0));
    a.respond(&renewal.sent[0], 409, &conflict());
    let read = a.wake();
    let echo = a.respond(&read.sent[0], 200, &with_uid(stored(&create.sent[0], 50), "u-2"));
    let ends_at = a.now.mono.saturating_add(seconds(15.0));
    assert!(echo.events.contains(&Event::QuarantineStarted { ends_at }), "{echo:?}");
    let renewal = &echo.sent[0];
    assert_eq!(renewal.body()["metadata"]["annotations"]["lease-core.rs/quarantine"], "true");
    a.accept(renewal, 51);
    assert!(!a.is_held());
}

/// Thirty-three renewals in a row that were refused made our own record a twin's.
#[test]
fn a_long_outage_makes_no_twin_of_us() {
    let patient = config().ttl(seconds(60.0)).renew_interval(seconds(1.0)).request_timeout(seconds(5.0));
    let mut a = Holder::new(patient.retry_delay(seconds(1.0)));
    a.acquire(7);
    let renewal = a.wake();
    a.accept(&renewal.sent[0], 8);
    let good = stored(&renewal.sent[0], 8);
    let mut refused = 0;
    loop {
        let mut drained = a.wake();
        if let Some(reason) = lost(&drained) {
            assert!(matches!(reason, LostReason::Expired { .. }), "{reason:?} after {refused} refusals");
            break;
        }
        while let Some(sent) = drained.sent.pop() {
            refused += u32::from(sent.method() == Method::PUT);
            drained = match *sent.method() {
                Method::GET => a.respond(&sent, 200, &good),
                _ => a.respond(&sent, 503, &unavailable()),
            };
            assert_eq!(lost(&drained), None, "after {refused} refusals");
        }
    }
    assert!(refused > 33, "the outage must outlast the memory: {refused}");
}

/// An older state than the one that a PUT was made for says nothing about what became of that PUT.
#[test]
fn a_stale_read_settles_no_write() {
    let mut a = Holder::new(config());
    let read = a.give(Input::TryAcquire);
    let put = a.respond(&read.sent[0], 200, &vacant(10));
    a.fail(&put.sent[0], Failure::Unknown);
    let read = a.wake();
    let answered = a.respond(&read.sent[0], 200, &lease_of("b", LONG_AGO, 9));
    assert_eq!(outcome(&answered), Some(&AttemptOutcome::Failed(Problem::UnknownOutcome)), "{answered:?}");
}

#[test]
fn a_stale_read_ends_no_release() {
    for stale in [vacant(10), lease_of("b", LONG_AGO, 9)] {
        let mut a = Holder::new(config());
        let read = a.give(Input::TryAcquire);
        let put = a.respond(&read.sent[0], 200, &vacant(10));
        a.accept(&put.sent[0], 11);
        let renewal = a.wake();
        a.fail(&renewal.sent[0], Failure::Unknown);
        let read = a.give(Input::Release);
        assert_eq!(read.sent[0].method(), Method::GET);
        let shown = a.respond(&read.sent[0], 200, &stale);
        assert!(
            !shown.events.iter().any(|event| matches!(event, Event::ReleaseEnded { .. })),
            "the record may still name us: {shown:?}"
        );
        assert_eq!(a.wake().sent[0].method(), Method::GET, "read again");
    }
}

/// One API server of several has a wrong clock. Its `Date` may not end a healthy holder's term, neither
/// when it is followed nor when it is not.
#[test]
fn wrong_dates_of_one_server_end_no_term() {
    for wrong in [1, 2, 5] {
        let mut a = Holder::new(config());
        a.acquire(7);
        for round in 0..12 {
            let renewal = a.wake();
            assert_eq!(lost(&renewal), None, "{wrong} wrong dates, round {round}");
            let body = stored(&renewal.sent[0], 8 + round);
            let off = if (2..2 + wrong).contains(&round) { 60 } else { 0 };
            let confirmed = a.give(dated(&a, renewal.sent[0].id, 200, &body, off));
            assert!(
                confirmed.events.iter().any(|event| matches!(event, Event::Renewed { .. })),
                "{wrong} wrong dates, round {round}: {confirmed:?}"
            );
        }
    }
}

#[test]
fn without_max_clock_skew_no_wall_clock_ends_a_term() {
    let mut a = Holder::new(config().max_clock_skew(None));
    a.acquire(7);
    for (round, step) in [-3_600_000_000, 7_200_000_000, -7_200_000_000].into_iter().enumerate() {
        a.now.wall = a.now.wall.offset_by(step);
        let renewal = a.wake();
        assert_eq!(lost(&renewal), None);
        a.accept(&renewal.sent[0], 8 + round as u64);
        assert!(a.is_held());
    }
}

#[test]
fn a_wall_clock_beyond_what_can_be_stored_holds_like_any_other() {
    for micros in [i64::MIN, -60_000_000, WallTime::MAX_STORED.as_micros() - 1, i64::MAX] {
        let mut a = Holder::new(config());
        a.now.wall = WallTime::from_micros(micros);
        a.acquire(7);
        for resource_version in 8..20 {
            let renewal = a.wake();
            assert_eq!(lost(&renewal), None, "{micros}");
            let confirmed = a.accept(&renewal.sent[0], resource_version);
            assert!(
                confirmed.events.iter().any(|event| matches!(event, Event::Renewed { .. })),
                "{micros}: {confirmed:?}"
            );
        }
    }
}

/// Two token rotations within one long quarantine: each is answered with fresh credentials.
#[test]
fn every_rotation_in_a_quarantine_is_a_new_one() {
    let mut a = Holder::new(vacate().quarantine(seconds(600.0)));
    let read = a.give(Input::TryAcquire);
    let create = a.respond(&read.sent[0], 404, &absent());
    let mut object = stored(&create.sent[0], 10);
    a.accept(&create.sent[0], 10);
    for resource_version in 11..15 {
        let renewal = a.wake();
        let refused = a.respond(&renewal.sent[0], 401, &status(401, "Unauthorized", json!({})));
        let read = a.give(Input::CredentialsReady { id: refused.refreshes[0] });
        let again = a.respond(&read.sent[0], 200, &object);
        object = stored(&again.sent[0], resource_version);
        let accepted = a.accept(&again.sent[0], resource_version);
        assert_eq!(outcome(&accepted), None);
    }
}

/// A 401 that is not the API server's own says nothing about the write: read before answering.
#[test]
fn a_write_in_doubt_is_read_before_an_error_is_answered() {
    let mut a = Holder::new(config());
    let read = a.give(Input::TryAcquire);
    let refused = a.respond(&read.sent[0], 401, &Value::Null);
    let read = a.give(Input::CredentialsReady { id: refused.refreshes[0] });
    let create = a.respond(&read.sent[0], 404, &absent());
    let doubt = a.respond(&create.sent[0], 401, &Value::Null);
    assert_eq!(outcome(&doubt), None, "{doubt:?}");
    let read = a.wake();
    let landed = a.respond(&read.sent[0], 200, &stored(&create.sent[0], 7));
    assert!(matches!(outcome(&landed), Some(AttemptOutcome::Acquired { .. })), "{landed:?}");
}

/// "Denied" while the record names us, seen too late to hold it.
#[test]
fn our_own_record_denies_us_nothing() {
    let mut a = Holder::new(config().acquire_retries(0).acquire_retry_delay(seconds(60.0)));
    let read = a.give(Input::TryAcquire);
    let create = a.respond(&read.sent[0], 404, &absent());
    a.respond(&create.sent[0], 409, &conflict());
    let read = a.wake();
    let late = a.respond(&read.sent[0], 200, &stored(&create.sent[0], 7));
    assert_eq!(outcome(&late), Some(&AttemptOutcome::Failed(Problem::Conflict)), "{late:?}");
    // And a release knows that there is something to take back.
    let read = a.give(Input::Release);
    let delete = a.respond(&read.sent[0], 200, &stored(&create.sent[0], 7));
    assert_eq!(delete.sent[0].method(), Method::DELETE);
}

/// The term was lost because nobody answered: the record may still name us, and a release looks.
#[test]
fn a_release_after_an_expired_term_takes_the_name_back() {
    let mut a = Holder::new(config());
    let read = a.give(Input::Campaign);
    let create = a.respond(&read.sent[0], 404, &absent());
    let object = stored(&create.sent[0], 7);
    a.accept(&create.sent[0], 7);
    while lost(&a.wake()).is_none() {}
    let read = a.give(Input::Release);
    let delete = a.respond(&read.sent[0], 200, &object);
    assert_eq!(delete.sent[0].method(), Method::DELETE);
    let ended = a.respond(&delete.sent[0], 200, &support::deleted());
    assert!(ended.events.contains(&Event::ReleaseEnded { outcome: ReleaseOutcome::Confirmed }), "{ended:?}");
}

/// A renewal that finds its object on the way out is no renewal.
#[test]
fn a_renewed_object_that_is_being_deleted_is_lost() {
    let mut a = Holder::new(config());
    a.acquire(7);
    let renewal = a.wake();
    let mut object = stored(&renewal.sent[0], 8);
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:05Z");
    let shown = a.respond(&renewal.sent[0], 200, &object);
    assert_eq!(lost(&shown), Some(&LostReason::Deleted), "{shown:?}");
}

/// A megabyte of annotations used to take minutes: every key was compared with every other.
#[test]
fn many_fields_are_read_in_one_pass() {
    let mut a = Holder::new(config().max_body(16 << 20));
    let read = a.give(Input::TryAcquire);
    let mut object = lease_of("b", LONG_AGO, 9);
    // Compared in pairs, these would be 3 x 10^10 comparisons.
    object["metadata"]["annotations"] = (0..250_000)
        .map(|number| (format!("k{number:07}"), json!("")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let sent: &Sent = &read.sent[0];
    let judged = a.give(response(sent.id, 200, &object));
    assert!(matches!(outcome(&judged), Some(AttemptOutcome::Denied(_))), "{:?}", judged.events);
}

/// No law looked at labels: a mutant that drops them went unnoticed.
#[test]
fn labels_of_others_survive_our_writes() {
    assert!(keeps_labels(config()));
    #[cfg(feature = "mutants")]
    assert!(!keeps_labels(config().mutant(Some(lease_core::mutants::Mutant::DropsLabels))));
}

fn keeps_labels(settings: ConfigBuilder) -> bool {
    let mut a = Holder::new(settings);
    let read = a.give(Input::TryAcquire);
    let mut object = vacant(10);
    object["metadata"]["labels"] = json!({"team": "night shift"});
    let put = a.respond(&read.sent[0], 200, &object);
    a.accept(&put.sent[0], 11);
    let renewal = a.wake();
    [&put, &renewal]
        .iter()
        .all(|write| write.sent[0].body()["metadata"]["labels"] == object["metadata"]["labels"])
}

/// A POST that was stamped from a wall clock far ahead lands late, after the server's `Date` has put the stamps
/// right: renewals of a term that began with it would go back in time.
#[test]
fn a_stamp_of_a_clock_that_was_put_right_begins_no_term() {
    const OFF: i64 = -3600;
    let mut a = Holder::new(config());
    a.now.wall = a.now.wall.offset_by(3_600_000_000);
    let read = a.give(Input::TryAcquire);
    let first = a.give(dated(&a, read.sent[0].id, 404, &absent(), OFF));
    a.give(dated(&a, first.sent[0].id, 504, &unavailable(), OFF));
    let read = a.wake();
    let second = a.give(dated(&a, read.sent[0].id, 404, &absent(), OFF));
    assert!(stamp(&second.sent[0]) < stamp(&first.sent[0]), "stamped from the server's time");
    a.give(dated(&a, second.sent[0].id, 409, &conflict(), OFF));
    let read = a.wake();
    let landed = stored(&first.sent[0], 7);
    let again = a.give(dated(&a, read.sent[0].id, 200, &landed, OFF));
    assert_eq!(outcome(&again), None, "{again:?}");
    a.accept(&again.sent[0], 8);
    assert!(a.is_held());
    let renewal = a.wake();
    assert!(stamp(&renewal.sent[0]) > stamp(&again.sent[0]), "a term's stamps only grow");
}

fn stamp(write: &Sent) -> String {
    write.body()["spec"]["renewTime"].as_str().expect("a time").to_owned()
}
