//! The modelled API server without a wire, on virtual time.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use lease_sim::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros, User, Verb};
use lease_tokio::{
    BoxFuture, Call, Clock, ConfigBuilder, Failure, Lease, MonoTime, Now, Seed, SendError, Transport,
    WallTime,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::counting::{Counting, Log};
use crate::support::{config, ms};

pub const NAMESPACE: &str = "jobs";
pub const NAME: &str = "singleton";
/// Every holder's, unless a test says otherwise: so ttl / 3 and ttl - margin are whole milliseconds.
pub const TTL: Duration = Duration::from_secs(3);
/// From the holder to the server, and the same back.
pub const LATENCY: Duration = ms(5);

const TOKEN: &str = "holders-token";
/// 2026-01-01T00:00:00Z.
const EPOCH_MICROS: i64 = 1_767_225_600_000_000;

/// tokio's paused time as both clocks. It can be set ahead of the timers: then time has passed, and nobody was told.
#[derive(Clone)]
pub struct VirtualClock {
    origin: Instant,
    ahead: Arc<AtomicU64>,
}

impl VirtualClock {
    fn new() -> Self {
        Self { origin: Instant::now(), ahead: Arc::default() }
    }

    /// It is `instant` now, although no timer has fired.
    pub fn set(&self, instant: MonoTime) {
        let left = instant.saturating_since(self.now().mono);
        self.ahead.fetch_add(u64::try_from(left.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    /// The monotonic reading of an instant of tokio's, as long as the clock was not set ahead.
    pub fn reading(&self, instant: Instant) -> MonoTime {
        MonoTime::ZERO.saturating_add(instant.duration_since(self.origin))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let ahead = Duration::from_nanos(self.ahead.load(Ordering::SeqCst));
        let since = self.origin.elapsed() + ahead;
        Now {
            mono: MonoTime::ZERO.saturating_add(since),
            wall: WallTime::from_micros(EPOCH_MICROS).saturating_add(since),
        }
    }
}

/// What becomes of a request on its way.
pub enum Fate {
    Deliver,
    /// The connection fails before a byte leaves.
    Refuse,
    /// It is neither applied nor answered.
    Vanish,
    /// It is applied, and the answer is lost.
    LoseAnswer,
    /// Somebody else answers.
    Answer(Response<Bytes>),
}

type Hook = Box<dyn FnMut(&mut Server, &Request<Bytes>) -> Fate + Send>;

/// The model, with what an administrator does to it.
pub struct Server {
    model: ApiServer,
    clock: VirtualClock,
}

impl Server {
    fn now(&self) -> UnixMicros {
        UnixMicros(self.clock.now().wall.as_micros())
    }

    fn admin(&mut self, method: Method, path: &str, body: &Value) -> Response<Bytes> {
        let mut request = Request::new(if body.is_null() { Bytes::new() } else { body.to_string().into() });
        let content_type =
            if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let admin = User { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()] };
        let now = self.now();
        let response = self.model.handle_as(now, Some(&admin), &request).into_response().unwrap();
        assert!(response.status().is_success(), "{response:?}");
        response
    }

    pub fn edit(&mut self, patch: &Value) {
        self.admin(Method::PATCH, &path(), patch);
    }

    pub fn delete(&mut self) {
        self.admin(Method::DELETE, &path(), &Value::Null);
    }

    pub fn create(&mut self, spec: &Value) {
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": NAME, "namespace": NAMESPACE }, "spec": spec,
        });
        self.admin(Method::POST, &collection(), &body);
    }

    pub fn find(&self) -> Option<Value> {
        self.model.get(NAMESPACE, NAME).map(|json| serde_json::from_slice(&json).unwrap())
    }
}

pub fn collection() -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases")
}

pub fn path() -> String {
    format!("{}/{NAME}", collection())
}

/// One cluster and its clock.
#[derive(Clone)]
pub struct World {
    pub clock: VirtualClock,
    server: Arc<Mutex<Server>>,
    seeds: Arc<AtomicU64>,
}

/// One holder, the log of its requests, and its line to the server.
pub struct Node {
    pub lease: Lease,
    pub log: Log,
    pub line: Line,
}

/// Faults of one holder's requests.
#[derive(Clone, Default)]
pub struct Line(Arc<Mutex<Option<Hook>>>);

impl Line {
    /// Asks this for every request from now on.
    pub fn hook(&self, hook: impl FnMut(&mut Server, &Request<Bytes>) -> Fate + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(hook));
    }

    pub fn mend(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Nothing goes through any more.
    pub fn cut(&self) {
        self.hook(|_, _| Fate::Vanish);
    }
}

impl World {
    pub fn new() -> Self {
        let clock = VirtualClock::new();
        let verbs = [Verb::Get, Verb::Create, Verb::Update, Verb::Delete];
        let settings = ApiServerConfig::default().namespace(NAMESPACE).token(
            TOKEN,
            "holder",
            Rights::leases(NAMESPACE, &verbs),
        );
        let server = Server { model: ApiServer::new(settings), clock: clock.clone() };
        Self { clock, server: Arc::new(Mutex::new(server)), seeds: Arc::default() }
    }

    pub fn server<T>(&self, action: impl FnOnce(&mut Server) -> T) -> T {
        action(&mut self.server.lock().unwrap())
    }

    pub fn find(&self) -> Option<Value> {
        self.server(|server| server.find())
    }

    pub fn object(&self) -> Value {
        self.find().expect("the lease object exists")
    }

    pub fn config(identity: &str) -> ConfigBuilder {
        config(NAMESPACE, NAME, identity, TTL)
    }

    pub fn holder(&self, identity: &str) -> Node {
        self.spawn(Self::config(identity))
    }

    pub fn spawn(&self, config: ConfigBuilder) -> Node {
        let (log, line) = (Log::default(), Line::default());
        let transport = InProcess { server: Arc::clone(&self.server), line: line.clone() };
        let seed = Seed(u128::from(self.seeds.fetch_add(1, Ordering::SeqCst)));
        let lease = Lease::builder(config.build().unwrap())
            .transport(Counting::new(transport, &log))
            .clock(self.clock.clone())
            .seed(seed);
        Node { lease: lease.spawn().unwrap(), log, line }
    }

    pub fn mono(&self) -> MonoTime {
        self.clock.now().mono
    }

    /// Lets virtual time pass up to an instant of its monotonic clock.
    pub async fn sleep_until(&self, instant: MonoTime) {
        sleep(instant.saturating_since(self.mono())).await;
    }
}

struct InProcess {
    server: Arc<Mutex<Server>>,
    line: Line,
}

impl InProcess {
    fn deliver(server: &mut Server, request: &Request<Bytes>) -> Response<Bytes> {
        let now = server.now();
        server.model.handle(now, request).into_response().expect("a holder opens no watch")
    }
}

impl Transport for InProcess {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, SendError>> {
        let mut request = call.request;
        let bearer = format!("Bearer {TOKEN}").parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        Box::pin(async move {
            sleep(LATENCY).await;
            let answer = {
                let mut server = self.server.lock().unwrap();
                let fate = match self.line.0.lock().unwrap().as_mut() {
                    Some(hook) => hook(&mut server, &request),
                    None => Fate::Deliver,
                };
                match fate {
                    Fate::Deliver => Some(Ok(Self::deliver(&mut server, &request))),
                    Fate::Refuse => Some(Err(Failure::NotSent)),
                    Fate::Vanish => None,
                    Fate::LoseAnswer => {
                        Self::deliver(&mut server, &request);
                        Some(Err(Failure::Unknown))
                    }
                    Fate::Answer(response) => Some(Ok(response)),
                }
            };
            match answer {
                Some(Ok(response)) => {
                    sleep(LATENCY).await;
                    Ok(response)
                }
                Some(Err(failure)) => Err(failure.into()),
                None => pending().await,
            }
        })
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
