//! The driver's part in a watch: what a transport gives, and what the holder makes of it.
#![allow(clippy::unwrap_used, missing_docs)]

mod handle_support;

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use handle_support::{TTL, World, settle};
use http::Response;
use lease_core::Input;
use lease_core::recording::{Entry, Recording};
use lease_tokio::{
    BoxFuture, Call, Chunks, Config, Event, Events, Failure, Lease, LostReason, Problem, RecorderConfig,
    ReleaseOutcome, SendError, Transport, Verb,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

type Opened = Result<Response<Chunks>, SendError>;
type Piece = Result<Bytes, SendError>;
type Opener = Box<dyn FnMut(Call) -> BoxFuture<'static, Opened> + Send>;

/// A world, and watches as a test makes them.
struct Scripted {
    world: World,
    open: Mutex<Opener>,
}

impl Transport for Scripted {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, SendError>> {
        self.world.send(call)
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Opened> {
        (self.open.lock().unwrap())(call)
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        self.world.refresh_credentials()
    }
}

fn config() -> Config {
    let config = Config::builder().namespace("default").name("job").identity("a").ttl(TTL);
    config.watch(true).max_body(4096).build().unwrap()
}

/// A holder whose watches are opened like this.
fn holder(world: &World, open: impl FnMut(Call) -> BoxFuture<'static, Opened> + Send + 'static) -> Lease {
    let transport = Scripted { world: world.clone(), open: Mutex::new(Box::new(open)) };
    Lease::builder(config()).transport(transport).clock(world.clone()).spawn().unwrap()
}

/// A watch that a test feeds, and counts as long as it is there.
fn fed(status: u16, there: &Arc<()>) -> (mpsc::UnboundedSender<Piece>, Opened) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let kept = Arc::clone(there);
    let chunks = Chunks::from_fn(move |context| {
        let _kept = &kept;
        receiver.poll_recv(context)
    });
    (sender, Ok(Response::builder().status(status).body(chunks).unwrap()))
}

/// A holder that holds, with one watch that a test feeds; further ones never begin.
async fn watching(world: &World, status: u16) -> (Lease, Events, mpsc::UnboundedSender<Piece>, Arc<()>) {
    let there = Arc::new(());
    let (sender, opened) = fed(status, &there);
    let mut opened = Some(opened);
    let lease = holder(world, move |_| match opened.take() {
        Some(opened) => Box::pin(async { opened }),
        None => Box::pin(pending()),
    });
    let events = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    settle().await;
    (lease, events, sender, there)
}

fn recording(lease: &Lease) -> Recording {
    let mut file = Vec::new();
    lease.dump_recording(&mut file).unwrap();
    let recording = Recording::parse(std::str::from_utf8(&file).unwrap()).unwrap();
    recording.replay().unwrap();
    recording
}

/// The ids of the requests, but for watches, that came of an input.
fn sent(entry: &Entry) -> impl Iterator<Item = u64> + '_ {
    entry.outputs().filter_map(|output| {
        let output: serde_json::Value = serde_json::from_str(&output).unwrap();
        output["send"]["id"].as_u64()
    })
}

/// What was handed in about watches, in short.
fn watched(lease: &Lease) -> Vec<String> {
    let recording = recording(lease);
    let mut requests = Vec::new();
    let mut inputs = Vec::new();
    for entry in recording.entries() {
        let text = match entry.input() {
            Input::WatchChunk { bytes, .. } => format!("chunk {:?}", String::from_utf8_lossy(bytes)),
            Input::WatchClosed { .. } => "closed".to_owned(),
            Input::Response { id, response } if !requests.contains(&id.0) => {
                format!("response {} {:?}", response.status().as_u16(), response.body())
            }
            Input::Failed { id, failure } if !requests.contains(&id.0) => format!("failed {failure:?}"),
            _ => String::new(),
        };
        inputs.extend((!text.is_empty()).then_some(text));
        requests.extend(sent(entry));
    }
    inputs
}

fn piece(text: &str) -> Piece {
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

/// The next trouble with a watch.
async fn trouble(events: &mut Events) -> Problem {
    loop {
        match events.next().await.unwrap() {
            Event::WatchTrouble { problem, .. } => return problem,
            Event::Lost { reason, .. } => panic!("lost: {reason:?}"),
            _ => {}
        }
    }
}

/// The current record, as a watch tells of its end.
fn deleted(world: &World) -> String {
    let record: serde_json::Value = serde_json::from_slice(&world.stored()).unwrap();
    format!("{}\n", serde_json::json!({ "type": "DELETED", "object": record }))
}

/// Whoever writes a transport need not see to it.
#[tokio::test]
async fn pieces_end_once_and_let_go_of_what_gave_them() {
    let ends: [fn() -> Option<Piece>; 2] = [|| None, || Some(Err(Failure::Unknown.into()))];
    for end in ends {
        let (there, mut left) = (Arc::new(()), 2);
        let kept = Arc::clone(&there);
        let mut chunks = Chunks::from_fn(move |_| {
            let _kept = &kept;
            left -= 1;
            Poll::Ready(if left == 0 { end() } else { Some(piece("x")) })
        });
        assert_eq!(chunks.next().await.unwrap().unwrap(), "x");
        assert_eq!(Arc::strong_count(&there), 2);
        assert_eq!(chunks.next().await.is_some(), end().is_some());
        assert_eq!(Arc::strong_count(&there), 1);
        assert!(chunks.next().await.is_none() && chunks.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_are_handed_in_as_they_come_and_the_first_one_at_once() {
    let world = World::new();
    let (lease, _events, sender, there) = watching(&world, 200).await;
    assert_eq!(watched(&lease), ["chunk \"\""], "the head alone");
    sender.send(piece("\n")).unwrap();
    sender.send(piece("")).unwrap();
    settle().await;
    assert_eq!(watched(&lease), ["chunk \"\"", "chunk \"\\n\""], "empty pieces are none");
    sender.send(piece("{\"type\":\"BOOK")).unwrap();
    settle().await;
    sender.send(piece("MARK\",\"object\":{}}\n")).unwrap();
    drop(sender);
    settle().await;
    assert_eq!(
        watched(&lease)[2..],
        ["chunk \"{\\\"type\\\":\\\"BOOK\"", "chunk \"MARK\\\",\\\"object\\\":{}}\\n\"", "closed"]
    );
    assert_eq!(Arc::strong_count(&there), 1, "it is let go of");
    assert_eq!(lease.last_transport_error(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_a_watch_tells_ends_the_term_at_once() {
    let world = World::new();
    let (lease, _events, sender, there) = watching(&world, 200).await;
    let (now, told) = (Instant::now(), deleted(&world));
    let (first, second) = told.split_at(told.len() / 2);
    sender.send(piece(first)).unwrap();
    settle().await;
    assert!(lease.check_alive());
    sender.send(piece(second)).unwrap();
    assert_eq!(lease.lost().await, LostReason::Deleted);
    assert_eq!(Instant::now(), now);
    settle().await;
    assert_eq!(Arc::strong_count(&there), 1, "a watch that nobody wants any more is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_handed_in_with_its_whole_body() {
    let world = World::new();
    let (lease, mut events, sender, _there) = watching(&world, 403).await;
    const SAID: &str =
        r#"{"kind":"Status","status":"Failure","code":403,"reason":"Forbidden","message":"no way"}"#;
    let (first, second) = SAID.split_at(SAID.len() / 2);
    sender.send(piece(first)).unwrap();
    settle().await;
    assert_eq!(watched(&lease), Vec::<String>::new(), "there is more of it");
    sender.send(piece(second)).unwrap();
    drop(sender);
    match trouble(&mut events).await {
        Problem::Forbidden { verb: Verb::Watch, message } => assert_eq!(message.as_str(), "no way"),
        other => panic!("{other:?}"),
    }
    assert_eq!(watched(&lease), [format!("response 403 {:?}", Bytes::from_static(SAID.as_bytes()))]);
    assert!(lease.check_alive());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_an_end_is_too_large() {
    let world = World::new();
    let (lease, mut events, sender, there) = watching(&world, 500).await;
    for _ in 0..5 {
        sender.send(piece(&"x".repeat(1000))).unwrap();
    }
    assert_eq!(trouble(&mut events).await, Problem::TooLarge);
    assert_eq!(watched(&lease), ["failed TooLarge"]);
    assert_eq!(Arc::strong_count(&there), 1, "nobody reads on");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_does_not_begin_in_time_is_given_up() {
    for head in [false, true] {
        let world = World::new();
        let there = Arc::new(());
        let kept = Arc::clone(&there);
        let lease = holder(&world, move |_| {
            let kept = Arc::clone(&kept);
            Box::pin(async move {
                if head {
                    // A refusal whose body does not come.
                    let (sender, opened) = fed(503, &kept);
                    std::mem::forget(sender);
                    return opened;
                }
                pending().await
            })
        });
        let mut events = lease.events();
        assert_eq!(lease.acquire().await, Ok(true));
        let began = Instant::now();
        let problem = trouble(&mut events).await;
        assert!(matches!(problem, Problem::Timeout | Problem::Transport), "{problem:?}");
        assert_eq!(began.elapsed(), config().request_timeout());
        settle().await;
        assert_eq!(Arc::strong_count(&there), 2, "the script's own and nobody's else");
        assert!(lease.check_alive());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_before_the_head_is_a_failure_that_says_why() {
    let world = World::new();
    let lease = holder(&world, |_| {
        Box::pin(async { Err(SendError::new(Failure::NotSent, "there is no way there")) })
    });
    let mut events = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    assert_eq!(trouble(&mut events).await, Problem::Transport);
    assert_eq!(watched(&lease), ["failed NotSent"]);
    let why = lease.last_transport_error().unwrap();
    assert!(why.contains("there is no way there"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_error_after_the_head_ends_the_watch_and_says_why() {
    let world = World::new();
    let (lease, _events, sender, _there) = watching(&world, 200).await;
    sender.send(Err(SendError::new(Failure::Unknown, "it was cut"))).unwrap();
    settle().await;
    assert_eq!(watched(&lease), ["chunk \"\"", "closed"]);
    let why = lease.last_transport_error().unwrap();
    assert!(why.contains("it was cut"), "{why}");
    assert!(lease.check_alive());
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_cannot_watch_costs_the_watch_alone() {
    /// Without a watch of its own.
    struct Plain(World);
    impl Transport for Plain {
        fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, SendError>> {
            self.0.send(call)
        }

        fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
            self.0.refresh_credentials()
        }
    }
    let world = World::new();
    let lease =
        Lease::builder(config()).transport(Plain(world.clone())).clock(world.clone()).spawn().unwrap();
    let mut events = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    assert_eq!(trouble(&mut events).await, Problem::Transport);
    let why = lease.last_transport_error().unwrap();
    assert!(why.contains("this transport cannot watch"), "{why}");
    sleep(TTL * 10).await;
    assert!(lease.check_alive());
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
}

/// As a panic does, but without the noise.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("on purpose"))
}

/// Panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_quietly();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_panics_costs_the_watch_alone() {
    let world = World::new();
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let lease = holder(&world, move |_| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let grenade = Grenade;
            match turn % 3 {
                0 => panic_quietly(),
                1 => {
                    let chunks = Chunks::from_fn(move |_| {
                        let _grenade = &grenade;
                        panic_quietly()
                    });
                    Ok(Response::new(chunks))
                }
                _ => {
                    let chunks = Chunks::from_fn(move |_| {
                        let _grenade = &grenade;
                        Poll::Ready(None)
                    });
                    Ok(Response::new(chunks))
                }
            }
        })
    });
    assert_eq!(lease.acquire().await, Ok(true));
    while opened.load(Ordering::SeqCst) < 7 {
        sleep(TTL).await;
    }
    settle().await;
    let watched = watched(&lease);
    let wanted = ["failed Unknown", "chunk \"\"", "closed", "chunk \"\"", "closed", "failed Unknown"];
    assert_eq!(watched[..6], wanted);
    assert!(lease.check_alive());
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn a_release_drops_the_watch_and_so_does_the_last_handle() {
    let world = World::new();
    let (lease, _events, _sender, there) = watching(&world, 200).await;
    assert_eq!(Arc::strong_count(&there), 2);
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    settle().await;
    assert_eq!(Arc::strong_count(&there), 1);

    let world = World::new();
    let (lease, _events, _sender, there) = watching(&world, 200).await;
    drop(lease);
    settle().await;
    assert_eq!(Arc::strong_count(&there), 1);
}

/// A watch that always has more to tell. Each piece takes a millisecond by the clock, which no timer notices.
fn flood(world: &World, read: &Arc<AtomicUsize>) -> Opened {
    let (world, read) = (world.clone(), Arc::clone(read));
    Ok(Response::new(Chunks::from_fn(move |_| {
        read.fetch_add(1, Ordering::SeqCst);
        world.suspend(Duration::from_millis(1));
        Poll::Ready(Some(piece("\n")))
    })))
}

#[tokio::test(start_paused = true)]
async fn a_flood_keeps_nobody_waiting() {
    let world = World::new();
    let read = Arc::new(AtomicUsize::new(0));
    let (flooded, count) = (world.clone(), Arc::clone(&read));
    let lease = holder(&world, move |_| {
        let opened = flood(&flooded, &count);
        Box::pin(async { opened })
    });
    let mut events = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    // A minute of nothing but pieces: renewals are sent, answered and in time.
    let mut renewals = 0;
    while read.load(Ordering::SeqCst) < 60_000 {
        match events.next().await.unwrap() {
            Event::Renewed { .. } => renewals += 1,
            Event::Lost { reason, .. } => panic!("lost: {reason:?}"),
            _ => {}
        }
    }
    assert!(renewals >= 10, "{renewals}");
    // The deadline is looked at as well.
    world.all(handle_support::Fate::Hang);
    let reason = lease.lost().await;
    assert!(matches!(reason, LostReason::Expired { .. }), "{reason:?}");
    world.all(handle_support::Fate::Answer);
    // And commands are heard.
    let before = read.load(Ordering::SeqCst);
    assert!(matches!(lease.shutdown().await, Ok(ReleaseOutcome::Confirmed | ReleaseOutcome::Nothing)));
    assert!(read.load(Ordering::SeqCst) < before + 20_000);
}

/// A body of nothing must not keep its task from anything, either.
#[tokio::test(start_paused = true)]
async fn empty_pieces_without_end_keep_nobody_waiting() {
    let world = World::new();
    let (flooded, turns) = (world.clone(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&turns);
    let lease = holder(&world, move |_| {
        let (world, count) = (flooded.clone(), Arc::clone(&count));
        let chunks = Chunks::from_fn(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            world.suspend(Duration::from_millis(1));
            Poll::Ready(Some(piece("")))
        });
        Box::pin(async { Ok(Response::new(chunks)) })
    });
    assert_eq!(lease.acquire().await, Ok(true));
    while turns.load(Ordering::SeqCst) < 5 {
        settle().await;
    }
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
}

/// What is sent is answered on the spot here, and there are always pieces: every answer is handed in before any.
#[tokio::test(start_paused = true)]
async fn answers_and_commands_go_before_pieces() {
    let world = World::new();
    let read = Arc::new(AtomicUsize::new(0));
    let (flooded, count) = (world.clone(), Arc::clone(&read));
    let open = move |_| -> BoxFuture<'static, Opened> {
        let opened = flood(&flooded, &count);
        Box::pin(async { opened })
    };
    let transport = Scripted { world: world.clone(), open: Mutex::new(Box::new(open)) };
    let recorder = RecorderConfig::default().inputs(100_000).bytes(64 << 20);
    let builder = Lease::builder(config()).transport(transport).clock(world.clone());
    let lease = builder.recorder(recorder).spawn().unwrap();
    assert_eq!(lease.acquire().await, Ok(true));
    while read.load(Ordering::SeqCst) < 20_000 {
        tokio::task::yield_now().await;
    }
    let before = read.load(Ordering::SeqCst);
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    let pieces = read.load(Ordering::SeqCst) - before;
    assert!(pieces <= 10, "{pieces} pieces before a command and its answer");
    let (mut asked, mut answers) = (None, 0);
    for entry in recording(&lease).entries() {
        match (asked.take(), entry.input()) {
            (None, _) => {}
            (Some(wanted), Input::Response { id, .. }) if id.0 == wanted => answers += 1,
            (Some(wanted), other) => panic!("before the answer to request {wanted}: {other:?}"),
        }
        asked = sent(entry).last();
    }
    assert!(answers > 4, "{answers}");
}
