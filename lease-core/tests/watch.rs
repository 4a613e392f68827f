//! What a watch must not do to polls, attempts and the API server, whatever it brings. Each of these went wrong once.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use lease_core::{Event, Input, ReleasePolicy, RequestId};
use serde_json::{Value, json};

mod support;
use support::{Drained, Holder, absent, config, conflict, lease_of, ms, response};

const POLL: Duration = Duration::from_secs(5);

fn line(kind: &str, object: &Value) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn chunk(id: RequestId, text: impl Into<String>) -> Input {
    Input::WatchChunk { id, bytes: Bytes::from(text.into()) }
}

fn of_b(seconds: u64, resource_version: u64) -> Value {
    let time = format!("2026-01-01T00:{:02}:{:02}.000000Z", seconds / 60, seconds % 60);
    lease_of("b", &time, resource_version)
}

fn vacant(resource_version: u64) -> Value {
    lease_of("", "2026-01-01T00:00:00.000000Z", resource_version)
}

/// A campaign that waits for `b`, with an open watch.
fn waiting() -> (Holder, RequestId) {
    let mut holder = Holder::new(config().release_policy(ReleasePolicy::Vacate).watch(true));
    let read = holder.give(Input::Campaign);
    let denied = holder.respond(&read.sent[0], 200, &of_b(0, 41));
    let watch = denied.watches[0].id;
    holder.give(chunk(watch, ""));
    holder.pass(Duration::from_secs(1));
    (holder, watch)
}

/// How long until the next GET if nothing more comes in; the watch is not answered any more.
fn until_read(holder: &mut Holder, most: Duration) -> Option<Duration> {
    let start = holder.now.mono;
    loop {
        let drained = holder.wake();
        let passed = holder.now.mono.saturating_since(start);
        if !drained.sent.is_empty() {
            return Some(passed);
        }
        if passed > most {
            return None;
        }
    }
}

/// Each line that says "free" once put the attempt off by another `acquire_retry_delay`, and the poll with it.
#[test]
fn a_backlog_of_hints_does_not_put_the_attempt_off() {
    let (mut holder, watch) = waiting();
    // As after a pause of the process: others took and vacated it many times.
    let lines: String = (0..600)
        .map(|n| line("MODIFIED", &of_b(n, 50 + 2 * n)) + &line("MODIFIED", &vacant(51 + 2 * n)))
        .collect();
    let drained = holder.give(chunk(watch, lines));
    if !drained.sent.is_empty() {
        return;
    }
    let waited = until_read(&mut holder, Duration::from_secs(300));
    assert!(waited.is_some_and(|waited| waited <= POLL), "a free lease is read after {waited:?}");
}

/// The same for a stream of edits of a vacant object that come faster than an `acquire_retry_delay`.
#[test]
fn a_stream_of_hints_does_not_starve_the_poll() {
    let (mut holder, watch) = waiting();
    let mut rv = 50;
    let attempt = holder.give(chunk(watch, line("MODIFIED", &vacant(rv))));
    // It was taken in the meantime, and vacated again right after.
    let mut drained = holder.respond(&attempt.sent[0], 200, &of_b(1, rv + 1));
    let mut last_read = holder.now.mono;
    rv += 2;
    for _ in 0..1000 {
        holder.pass(Duration::from_millis(20));
        drained = holder.give(chunk(watch, line("MODIFIED", &vacant(rv))));
        rv += 1;
        if !drained.sent.is_empty() {
            last_read = holder.now.mono;
            break;
        }
    }
    assert!(
        !drained.sent.is_empty(),
        "no read in {:?} of a vacant object",
        holder.now.mono.saturating_since(last_read)
    );
}

/// A stream that is late by a minute, of a holder that renews every 2 s: "Renewals and polls go on as without it".
/// The lease is free by now, as a GET would say.
#[test]
fn late_news_does_not_put_the_poll_off() {
    let (mut holder, watch) = waiting();
    let start = holder.now.mono;
    let mut longest = Duration::ZERO;
    for n in 1..30 {
        holder.pass(Duration::from_secs(2));
        let drained = holder.give(chunk(watch, line("MODIFIED", &of_b(2 * n, 41 + n))));
        if !drained.sent.is_empty() {
            break;
        }
        longest = holder.now.mono.saturating_since(start);
    }
    assert!(longest <= POLL, "no poll in {longest:?}");
}

/// `Status.code` is only asked for in events of type ERROR.
#[test]
fn an_odd_code_in_a_status_is_nobodys_business() {
    let odd = [json!("404"), json!(404.0), json!(-1), json!(100_000)];
    for code in odd {
        let mut holder = Holder::new(config());
        let read = holder.give(Input::TryAcquire);
        let mut body = absent();
        body["code"] = code.clone();
        let create = holder.respond(&read.sent[0], 404, &body);
        assert_eq!(
            create.sent.len(),
            1,
            "code {code}: the object is absent all the same: {:?}",
            create.events
        );
    }
}

/// What was answered is not aborted, and what was wanted is not stray.
#[test]
fn a_watch_that_was_answered_all_at_once_is_not_aborted() {
    let gone = json!({"kind": "Status", "status": "Failure", "code": 410, "message": "too old"});
    for text in [line("ERROR", &gone), "garbage\n".to_owned()] {
        let mut holder = Holder::new(config().watch(true));
        let watch = holder.acquire(7).watches[0].id;
        let body = Response::new(Bytes::from(text.clone()));
        let drained = holder.give(Input::Response { id: watch, response: body });
        assert_eq!(drained.aborted, [], "{text}");
        assert_eq!(holder.lease.stats().stray_inputs, 0, "{text}");
    }
}

fn opened_in_an_hour(mut serve: impl FnMut(&mut Holder, &Drained, u64)) -> u64 {
    let mut holder = Holder::new(config().release_policy(ReleasePolicy::Vacate).watch(true));
    let mut drained = holder.give(Input::Campaign);
    let (start, mut opened) = (holder.now.mono, 0);
    while holder.now.mono.saturating_since(start) < Duration::from_secs(3600) {
        if let Some(read) = drained.sent.pop() {
            // A live holder whose watches we do not hear.
            let seconds = holder.now.mono.saturating_since(ms(1_000_000)).as_secs();
            drained = holder.give(response(read.id, 200, &of_b(seconds / 5 * 5 % 3600, 41 + seconds / 5)));
            continue;
        }
        if !drained.watches.is_empty() {
            opened += 1;
            let given = std::mem::take(&mut drained);
            serve(&mut holder, &given, opened);
            drained = holder.drain();
            continue;
        }
        drained = holder.wake();
    }
    opened
}

/// A stream that repeats what is known and is cut is of no use.
#[test]
fn watches_that_tell_nothing_new_are_opened_ever_more_rarely() {
    let opened = opened_in_an_hour(|holder, drained, _| {
        let id = drained.watches[0].id;
        holder.lease.handle(holder.now, chunk(id, line("BOOKMARK", &json!({}))));
        holder.lease.handle(holder.now, Input::WatchClosed { id });
    });
    assert!(opened < 200, "{opened} watches in an hour");
}

/// Without a word of the past (410), and cut after the present state.
#[test]
fn forgotten_and_cut_alternate_ever_more_slowly() {
    let opened = opened_in_an_hour(|holder, drained, _| {
        let watch = &drained.watches[0];
        let forgotten = json!({"kind": "Status", "status": "Failure", "code": 410, "message": "too old"});
        if watch.request.uri().query().is_some_and(|query| query.contains("resourceVersion=")) {
            holder.lease.handle(holder.now, chunk(watch.id, line("ERROR", &forgotten)));
        } else {
            holder.lease.handle(holder.now, chunk(watch.id, line("ADDED", &of_b(0, 41))));
            holder.lease.handle(holder.now, Input::WatchClosed { id: watch.id });
        }
    });
    assert!(opened < 200, "{opened} watches in an hour");
}

/// An object that is not there is waited for.
#[test]
fn a_watch_tells_of_an_object_that_was_missing() {
    let mut holder = Holder::new(config().existing_only(true).watch(true));
    let read = holder.give(Input::Campaign);
    let denied = holder.respond(&read.sent[0], 200, &of_b(0, 41));
    let watch = denied.watches[0].id;
    holder.give(chunk(watch, ""));
    holder.pass(Duration::from_secs(1));
    let read = holder.give(chunk(watch, line("DELETED", &of_b(0, 42))));
    let missing = holder.respond(&read.sent[0], 404, &absent());
    assert!(missing.events.iter().any(|event| matches!(event, Event::Trouble { .. })));
    holder.pass(Duration::from_millis(300));
    let mut made = vacant(43);
    made["metadata"]["uid"] = json!("33333333-3333-4333-8333-333333333333");
    let told = holder.give(chunk(watch, line("ADDED", &made)));
    assert_eq!(told.sent.len(), 1, "it is there now, and free");
}

/// Once the absence was read, there is no version to compare with.
#[test]
fn what_was_before_the_absence_is_no_news() {
    let mut holder = Holder::new(config().acquire_retries(0).watch(true));
    let read = holder.give(Input::Campaign);
    let denied = holder.respond(&read.sent[0], 200, &of_b(0, 41));
    let watch = denied.watches[0].id;
    holder.give(chunk(watch, ""));
    let read = holder.wake();
    // b released, c was quicker than we, and released too.
    let create = holder.respond(&read.sent[0], 404, &absent());
    holder.respond(&create.sent[0], 409, &conflict());
    let settle = holder.wake();
    let denied = holder.respond(&settle.sent[0], 404, &absent());
    assert_eq!(denied.sent.len(), 0);
    // A late event: b's renewal of long ago.
    let told = holder.give(chunk(watch, line("MODIFIED", &of_b(2, 42))));
    assert_eq!(told.events, [], "b is gone");
    assert_eq!(holder.lease.holder(), None);
}
