//! A world in memory: a modelled API server behind a scripted transport, and clocks that a test turns.
#![allow(dead_code, unreachable_pub)]

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use lease_sim::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};
use lease_tokio::{
    BoxFuture, Builder, Call, Clock, Config, Failure, Lease, MonoTime, Now, Seed, SendError, Transport,
    WallTime,
};
use tokio::time::{Instant, sleep};

pub const TTL: Duration = Duration::from_secs(15);
/// ttl - ttl / 10.
pub const VALIDITY: Duration = Duration::from_millis(13_500);
const EPOCH: i64 = 1_700_000_000_000_000;

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It is answered.
    Answer,
    /// It is answered after a while.
    Delay(Duration),
    /// It is applied at once and answered after a while.
    DelayAnswer(Duration),
    /// It is not applied, and nobody answers.
    Hang,
    /// It is applied, and nobody answers.
    HangAfter,
    /// It is not applied and fails.
    Fail(Failure),
    /// It is not applied; this status, with an empty object.
    Status(u16),
    /// The transport panics.
    Panic,
}

type Script = Box<dyn FnMut(&Request<Bytes>) -> Fate + Send>;

/// Shared by a test and the leases in it.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    model: Mutex<ApiServer>,
    script: Mutex<Script>,
    requests: Mutex<Vec<(Method, Instant)>>,
    refreshes: AtomicU64,
    start: Instant,
    /// Nanoseconds that the monotonic clock is ahead of the runtime's: a suspend, or a starved runtime.
    ahead: AtomicU64,
    panic: AtomicBool,
    /// Outside of the runtime its clock is not paused: what time it was when it was left.
    left_at: Mutex<Option<Instant>>,
}

impl World {
    pub fn new() -> Self {
        let config = ApiServerConfig {
            anonymous: Rights::All,
            unknown_tokens_are_anonymous: true,
            ..Default::default()
        };
        Self(Arc::new(Inner {
            model: Mutex::new(ApiServer::new(config)),
            script: Mutex::new(Box::new(|_| Fate::Answer)),
            requests: Mutex::default(),
            refreshes: AtomicU64::new(0),
            start: Instant::now(),
            ahead: AtomicU64::new(0),
            panic: AtomicBool::new(false),
            left_at: Mutex::default(),
        }))
    }

    pub fn config(identity: &str) -> Config {
        Config::builder().namespace("default").name("job").identity(identity).ttl(TTL).build().unwrap()
    }

    pub fn builder(&self, identity: &str) -> Builder {
        let seed = identity.bytes().fold(7, |seed, byte| seed * 256 + u128::from(byte));
        Lease::builder(Self::config(identity)).transport(self.clone()).clock(self.clone()).seed(Seed(seed))
    }

    pub fn lease(&self, identity: &str) -> Lease {
        self.builder(identity).spawn().unwrap()
    }

    /// What happens to requests from here on.
    pub fn script(&self, script: impl FnMut(&Request<Bytes>) -> Fate + Send + 'static) {
        *self.0.script.lock().unwrap() = Box::new(script);
    }

    pub fn all(&self, fate: Fate) {
        self.script(move |_| fate);
    }

    /// The machine sleeps: clocks go on, timers do not.
    pub fn suspend(&self, by: Duration) {
        self.0.ahead.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    /// From here on the clock goes on only by [`suspend`](Self::suspend).
    pub fn stop_the_clock(&self) {
        *self.0.left_at.lock().unwrap() = Some(Instant::now());
    }

    fn passed(&self) -> Duration {
        let now = self.0.left_at.lock().unwrap().unwrap_or_else(Instant::now);
        now.duration_since(self.0.start)
    }

    /// The next look at the clock panics.
    pub fn panic_at_the_clock(&self) {
        self.0.panic.store(true, Ordering::SeqCst);
    }

    pub fn requests(&self) -> Vec<Method> {
        self.0.requests.lock().unwrap().iter().map(|(method, _)| method.clone()).collect()
    }

    /// When each PUT was sent, in seconds since the start.
    pub fn puts(&self) -> Vec<f64> {
        let requests = self.0.requests.lock().unwrap();
        let puts = requests.iter().filter(|(method, _)| method == Method::PUT);
        puts.map(|(_, at)| at.duration_since(self.0.start).as_secs_f64()).collect()
    }

    pub fn refreshes(&self) -> u64 {
        self.0.refreshes.load(Ordering::SeqCst)
    }

    pub fn holder(&self) -> Option<String> {
        let stored = self.0.model.lock().unwrap().get("default", "job")?;
        let object: serde_json::Value = serde_json::from_slice(&stored).unwrap();
        Some(object["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    }

    /// The record, as JSON.
    pub fn stored(&self) -> Bytes {
        self.0.model.lock().unwrap().get("default", "job").unwrap()
    }

    /// `kubectl delete`.
    pub fn delete(&self) {
        assert!(self.0.model.lock().unwrap().delete("default", "job"));
    }

    /// An administrator writes another holder into the record.
    pub fn take_over(&self, by: &str) {
        let mut model = self.0.model.lock().unwrap();
        let stored = model.get("default", "job").unwrap();
        let mut object: serde_json::Value = serde_json::from_slice(&stored).unwrap();
        object["spec"]["holderIdentity"] = by.into();
        let body = serde_json::to_vec(&object).unwrap();
        model.put(self.time(), "default", "job", &body).unwrap();
    }

    fn time(&self) -> UnixMicros {
        UnixMicros(self.wall().as_micros())
    }

    fn wall(&self) -> WallTime {
        let passed = i64::try_from(self.passed().as_micros()).unwrap();
        let ahead = i64::try_from(self.0.ahead.load(Ordering::SeqCst) / 1000).unwrap();
        WallTime::from_micros(EPOCH + passed + ahead)
    }

    fn apply(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.0.model.lock().unwrap().handle(self.time(), request).into_response().unwrap()
    }
}

impl Clock for World {
    fn now(&self) -> Now {
        assert!(!self.0.panic.swap(false, Ordering::SeqCst), "made to panic");
        let passed = u64::try_from(self.passed().as_nanos()).unwrap();
        let mono = MonoTime::from_nanos(1_000_000_000 + passed + self.0.ahead.load(Ordering::SeqCst));
        Now { mono, wall: self.wall() }
    }
}

impl Transport for World {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, SendError>> {
        let request = call.request;
        self.0.requests.lock().unwrap().push((request.method().clone(), Instant::now()));
        let fate = (self.0.script.lock().unwrap())(&request);
        Box::pin(async move {
            match fate {
                Fate::Answer => Ok(self.apply(&request)),
                Fate::Delay(by) => {
                    sleep(by).await;
                    Ok(self.apply(&request))
                }
                Fate::DelayAnswer(by) => {
                    let response = self.apply(&request);
                    sleep(by).await;
                    Ok(response)
                }
                Fate::Hang => pending().await,
                Fate::HangAfter => {
                    self.apply(&request);
                    pending().await
                }
                Fate::Fail(failure) => Err(SendError::new(failure, "made to fail")),
                Fate::Status(status) => {
                    Ok(Response::builder().status(status).body(Bytes::from_static(b"{}")).unwrap())
                }
                Fate::Panic => panic!("made to panic"),
            }
        })
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        self.0.refreshes.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {})
    }
}

/// Lets every task run until nothing is left to do at this instant.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
