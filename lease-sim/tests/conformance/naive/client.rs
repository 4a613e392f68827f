//! The transport: a thread for every request.

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use lease_core::Failure;
use lease_core::credentials::{CredentialSource, Credentials, RotationPolicy, ServerUrl};
use lease_core::driver::{
    BoxFuture, Call, Chunks, Rotating, SendError, SetupError, Transport, TransportSetup, client_config,
};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::connection::{Connection, Gullible, connect};
use super::runtime::block_on;
use super::watch;
use super::wire::{self, Broken};
use crate::sins::Sin;

/// So many idle connections are kept.
const IDLE: usize = 4;
/// Longer than this nobody waits for files.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Client {
    shared: Arc<Shared>,
    rotating: Arc<Rotating<Wire>>,
}

/// What follows from the credentials.
#[derive(Clone)]
pub(super) struct Wire {
    tls: Arc<ClientConfig>,
    generation: usize,
}

pub(super) struct Shared {
    pub(super) sin: Option<Sin>,
    /// Whoever thinks that there is one connection has it to himself.
    pub(super) line: Mutex<()>,
    idle: Mutex<Vec<Connection>>,
    /// Who waits, in the order of coming.
    waiting: Mutex<Vec<Weak<Exchange>>>,
    /// Whose answers nobody took.
    orphans: Mutex<Vec<Arc<Exchange>>>,
    alone: lease_sim::memory::Server,
}

/// One request under way.
#[derive(Default)]
struct Exchange {
    state: Mutex<(Option<Sent>, Option<Waker>)>,
    socket: Mutex<Option<TcpStream>>,
    given_up: AtomicBool,
    taken: AtomicBool,
}

type Sent = Result<Response<Bytes>, SendError>;

impl Exchange {
    fn finish(&self, sent: Sent) {
        let mut state = self.state.lock().unwrap();
        if state.0.is_none() {
            state.0 = Some(sent);
        }
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

/// A thread that panics has told nothing.
struct Finishes(Arc<Exchange>);

impl Drop for Finishes {
    fn drop(&mut self) {
        self.0.finish(Err(SendError::new(Failure::Unknown, "its thread is gone")));
    }
}

/// Gives the request up when it is dropped.
struct GivesUp(Arc<Shared>, Arc<Exchange>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        match self.0.sin {
            Some(Sin::HandsLateAnswersOn) => {
                if !self.1.taken.load(Ordering::SeqCst) {
                    self.0.orphans.lock().unwrap().push(Arc::clone(&self.1));
                }
                return;
            }
            Some(Sin::LeavesHungConnections) => return,
            _ => {}
        }
        self.1.given_up.store(true, Ordering::SeqCst);
        if let Some(socket) = self.1.socket.lock().unwrap().take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Client {
    pub fn new(setup: TransportSetup, sin: Option<Sin>) -> Result<Self, SetupError> {
        if let Some(url) = setup.proxy
            && sin != Some(Sin::IgnoresProxies)
        {
            let why = if sin == Some(Sin::TellsTheProxy) {
                format!("not through {url}")
            } else {
                "no proxies".into()
            };
            return Err(SetupError::Client(why.into()));
        }
        if sin == Some(Sin::KnowsNoCluster) && matches!(setup.credentials, CredentialSource::InCluster(_)) {
            return Err(SetupError::Client("no such place".into()));
        }
        let told = format!("{:?}", setup.credentials);
        let generation = AtomicUsize::new(0);
        let build = move |credentials: &Credentials| {
            let generation = generation.fetch_add(1, Ordering::SeqCst);
            Ok(Wire { tls: tls(credentials, sin)?, generation })
        };
        let policy = RotationPolicy::default();
        let rotating = Rotating::start(setup.credentials, policy, setup.clock, setup.runtime, build);
        let rotating = rotating.map_err(|error| match sin {
            Some(Sin::TellsWhatItRead) => SetupError::Client(read_again(&told).into()),
            _ => error,
        })?;
        let shared = Shared {
            sin,
            line: Mutex::default(),
            idle: Mutex::default(),
            waiting: Mutex::default(),
            orphans: Mutex::default(),
            alone: lease_sim::memory::Server::default(),
        };
        Ok(Self { shared: Arc::new(shared), rotating: Arc::new(rotating) })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.shared.sin == Some(Sin::LeaksConnections) {
            std::mem::forget(Arc::clone(&self.shared));
        }
    }
}

/// What the file says that the credentials name, since somebody may want to know.
fn read_again(source: &str) -> String {
    let path = source.split('"').find(|part| part.starts_with('/')).unwrap_or_default();
    format!("{path}: {}", std::fs::read_to_string(path).unwrap_or_default())
}

fn tls(credentials: &Credentials, sin: Option<Sin>) -> Result<Arc<ClientConfig>, SetupError> {
    let mut config = client_config(credentials).map_err(SetupError::Tls)?;
    let gullible = match sin {
        Some(Sin::IgnoresNames) => credentials.ca().is_some(),
        _ => sin == Some(Sin::TrustsAnybody),
    };
    if let Some(sin) = sin.filter(|_| gullible) {
        let inner = credentials.ca().map(|bundle| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(
                CertificateDer::pem_slice_iter(bundle.pem()).map(|certificate| certificate.unwrap()),
            );
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap() as _
        });
        config.dangerous().set_certificate_verifier(Arc::new(Gullible { inner, sin }));
    }
    if sin == Some(Sin::ShowsNoCertificate) {
        config.client_auth_cert_resolver = Arc::new(NoCertificate);
    }
    if sin == Some(Sin::OffersHttp2) {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

impl Transport for Client {
    fn send(&self, call: Call) -> BoxFuture<'_, Sent> {
        if self.shared.sin == Some(Sin::SendsUnpolled) {
            let started = self.start(call);
            // Until it has certainly been sent.
            let outcome = block_on(wait(Arc::clone(&self.shared), started));
            return Box::pin(std::future::ready(outcome));
        }
        Box::pin(async move {
            if self.shared.sin == Some(Sin::LivesAlone) {
                return self.shared.alone.send(call).await;
            }
            if self.shared.sin == Some(Sin::KeepsItsLeases) && call.request.method() == http::Method::DELETE {
                let done = r#"{"kind":"Status","apiVersion":"v1","status":"Success"}"#;
                return Ok(Response::new(Bytes::from_static(done.as_bytes())));
            }
            let orphan = self.shared.orphans.lock().unwrap().pop();
            let started = match orphan {
                Some(orphan) => orphan,
                None => self.start(call),
            };
            wait(Arc::clone(&self.shared), started).await
        })
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<Response<Chunks>, SendError>> {
        Box::pin(watch::open(Arc::clone(&self.shared), Arc::clone(&self.rotating), call))
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        match self.shared.sin {
            Some(Sin::NeverReadsAgain | Sin::RefreshesNothing) => Box::pin(async {}),
            _ => Box::pin(self.rotating.freshen_after_refusal()),
        }
    }
}

async fn wait(shared: Arc<Shared>, exchange: Arc<Exchange>) -> Sent {
    let _gives_up = GivesUp(Arc::clone(&shared), Arc::clone(&exchange));
    poll_fn(|context| {
        let mut state = exchange.state.lock().unwrap();
        match state.0.take() {
            Some(sent) => {
                exchange.taken.store(true, Ordering::SeqCst);
                Poll::Ready(sent)
            }
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

impl Client {
    fn start(&self, call: Call) -> Arc<Exchange> {
        let exchange = Arc::new(Exchange::default());
        self.shared.waiting.lock().unwrap().push(Arc::downgrade(&exchange));
        let (shared, rotating) = (Arc::clone(&self.shared), Arc::clone(&self.rotating));
        let finishes = Finishes(Arc::clone(&exchange));
        thread::spawn(move || {
            let sent = carry(&shared, &rotating, &finishes.0, call);
            match shared.first_come(&finishes.0) {
                Some(first) => first.finish(sent),
                None => finishes.0.finish(sent),
            }
        });
        exchange
    }
}

impl Shared {
    /// Who waits for longest.
    fn first_come(&self, own: &Arc<Exchange>) -> Option<Arc<Exchange>> {
        let mut waiting = self.waiting.lock().unwrap();
        if self.sin != Some(Sin::FirstComeFirstServed) {
            waiting
                .retain(|other| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(own)));
            return None;
        }
        while !waiting.is_empty() {
            let first = waiting.remove(0).upgrade();
            if let Some(first) = first.filter(|first| !first.given_up.load(Ordering::SeqCst)) {
                return Some(first);
            }
        }
        None
    }
}

/// What is to be sent, where to, and how.
pub(super) fn prepare(
    shared: &Shared,
    rotating: &Arc<Rotating<Wire>>,
    call: Call,
) -> Result<(ServerUrl, Wire, Request<Bytes>), SendError> {
    let sin = shared.sin;
    let patience = PATIENCE.min(call.time_left / 4);
    match sin {
        Some(Sin::NeverReadsAgain) => {}
        Some(Sin::WaitsForFiles) => block_on(rotating.freshen(Duration::MAX)),
        _ => block_on(rotating.freshen(patience)),
    }
    if sin == Some(Sin::NeedsItsFiles) && rotating.problem().is_some() {
        return Err(SendError::new(Failure::NotSent, "where are the files?"));
    }
    let (credentials, wire) = rotating.current();
    if sin == Some(Sin::GoesAnywhere)
        && let Some(authority) = call.request.uri().authority()
    {
        let server = ServerUrl::parse(&format!("http://{authority}")).unwrap();
        return Ok((server, wire, call.request));
    }
    let server = credentials.server().clone();
    let request = credentials.prepare(call.request);
    Ok((server, wire, request.map_err(|error| SendError::new(Failure::NotSent, error))?))
}

fn carry(shared: &Shared, rotating: &Arc<Rotating<Wire>>, exchange: &Exchange, call: Call) -> Sent {
    let sin = shared.sin;
    let (time_left, max_body) = (call.time_left, call.max_body);
    let (server, wire, request) = prepare(shared, rotating, call)?;
    let attempt = || shared.exchange(exchange, &server, &wire, &request, max_body, time_left);
    let mut came = attempt();
    if sin == Some(Sin::SendsTwice) || (sin == Some(Sin::TriesAgain) && came.is_err()) {
        came = attempt();
    }
    if came.is_err() && sin != Some(Sin::NeverDoubts) {
        rotating.doubt();
    }
    let response = came.map_err(|broken| error(broken, &request, sin));
    if sin == Some(Sin::RenewsByItself) && response.is_err() && request.method() == http::Method::PUT {
        return Ok(confirmed(&request));
    }
    let response = response?;
    let listed = response.status().canonical_reason().is_some();
    match sin {
        Some(Sin::ErrorsForRefusals) if response.status().as_u16() >= 400 => {
            Err(SendError::new(Failure::Unknown, "refused"))
        }
        Some(Sin::KnowsItsStatuses) if !listed => Err(SendError::new(Failure::Unknown, "no such status")),
        Some(Sin::FollowsRedirects) if response.headers().contains_key("location") => {
            follow(shared, exchange, &server, &wire, &request, &response, max_body)
        }
        _ => Ok(response),
    }
}

/// What the server would have said.
fn confirmed(request: &Request<Bytes>) -> Response<Bytes> {
    let mut record: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let version = record["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
    let version: u64 = version.unwrap_or(0);
    record["metadata"]["resourceVersion"] = (version + 1).to_string().into();
    Response::new(Bytes::from(record.to_string()))
}

fn follow(
    shared: &Shared,
    exchange: &Exchange,
    server: &ServerUrl,
    wire: &Wire,
    request: &Request<Bytes>,
    response: &Response<Bytes>,
    max_body: usize,
) -> Sent {
    let location = response.headers()["location"].to_str().unwrap();
    let elsewhere =
        location.starts_with("http").then(|| ServerUrl::parse(&location.replace("/elsewhere", "")));
    let server = elsewhere.map_or_else(|| server.clone(), |server| server.unwrap());
    let mut again = request.clone();
    *again.uri_mut() = server.join(&"/elsewhere".parse().unwrap()).unwrap();
    let wire = Wire { generation: usize::MAX, ..wire.clone() };
    shared
        .exchange(exchange, &server, &wire, &again, max_body, Duration::from_secs(20))
        .map_err(|broken| error(broken, request, shared.sin))
}

pub(super) fn error(broken: Broken, request: &Request<Bytes>, sin: Option<Sin>) -> SendError {
    let (failure, cause) = match broken {
        Broken::TooLarge => return Failure::TooLarge.into(),
        Broken::NotSent(cause) => (Failure::NotSent, cause),
        Broken::Unknown(cause) => (Failure::Unknown, cause),
    };
    match sin {
        Some(Sin::SaysNotSent) => SendError::new(Failure::NotSent, cause),
        Some(Sin::SaysUnknown) => SendError::new(Failure::Unknown, cause),
        Some(Sin::TellsNoCause) => failure.into(),
        Some(Sin::TellsTheToken) => {
            let token = request.headers().get("authorization").map(|value| value.as_bytes().to_vec());
            let token = String::from_utf8(token.unwrap_or_default()).unwrap();
            SendError::new(failure, format!("{cause}, and that although I said {token}"))
        }
        _ => SendError::new(failure, cause),
    }
}

impl Shared {
    fn exchange(
        &self,
        exchange: &Exchange,
        server: &ServerUrl,
        wire: &Wire,
        request: &Request<Bytes>,
        max_body: usize,
        time_left: Duration,
    ) -> Result<Response<Bytes>, Broken> {
        let _line = (self.sin == Some(Sin::OneConnectionForAll)).then(|| self.line.lock());
        let mut connection = self.connection(server, wire, request).map_err(Broken::NotSent)?;
        *exchange.socket.lock().unwrap() = connection.socket.try_clone().ok();
        if exchange.given_up.load(Ordering::SeqCst) {
            return Err(Broken::NotSent(io::Error::other("given up")));
        }
        let limit = match self.sin {
            Some(Sin::HasATimeout) => Duration::from_secs(3),
            Some(Sin::RenewsByItself) => Duration::from_millis(200).min(time_left / 2),
            // Whoever waits drops the future; this is for the thread.
            _ => Duration::from_secs(60),
        };
        let _ = connection.socket.set_read_timeout(Some(limit));
        let came = wire::write(&mut connection, request, self.sin)
            .map_err(Broken::Unknown)
            .and_then(|()| wire::read(&mut connection, max_body, self.sin));
        exchange.socket.lock().unwrap().take();
        let unread = matches!(came, Err(Broken::TooLarge)) && self.sin == Some(Sin::ReusesUnreadConnections);
        let broken = came.is_err() && self.sin == Some(Sin::KeepsBrokenConnections);
        let (response, reusable) = match came {
            Ok((response, reusable)) => {
                (Ok(response), reusable || self.sin == Some(Sin::IgnoresConnectionClose))
            }
            Err(error) => (Err(error), false),
        };
        if (reusable || unread || broken) && self.sin != Some(Sin::NeverKeepsAConnection) {
            let mut idle = self.idle.lock().unwrap();
            idle.push(connection);
            if idle.len() > IDLE {
                idle.remove(0);
            }
        }
        response
    }

    /// One that is there, or a new one.
    pub(super) fn connection(
        &self,
        server: &ServerUrl,
        wire: &Wire,
        request: &Request<Bytes>,
    ) -> io::Result<Connection> {
        let same = |connection: &Connection| {
            connection.generation == wire.generation || self.sin == Some(Sin::KeepsOldConnections)
        };
        {
            let mut idle = self.idle.lock().unwrap();
            while let Some(connection) = idle.pop() {
                let good = match self.sin {
                    Some(Sin::KeepsBrokenConnections | Sin::ReusesUnreadConnections) => true,
                    _ => connection.is_idle(),
                };
                if good && same(&connection) && wire.generation != usize::MAX {
                    return Ok(connection);
                }
            }
        }
        if self.sin == Some(Sin::AsksTheEnvironment)
            && let Ok(proxy) = std::env::var("HTTP_PROXY")
            && let Some((host, port)) = proxy.trim_start_matches("http://").rsplit_once(':')
        {
            connect(host, port.parse().unwrap())?;
        }
        if self.sin == Some(Sin::SaysHelloInTheClear)
            && let Some(who) = request.headers().get("authorization")
            && let Ok(mut socket) = connect(&server.host(), server.port())
        {
            let _ = io::Write::write_all(&mut socket, who.as_bytes());
            let _ = socket.shutdown(Shutdown::Write);
            // Until it has certainly been heard.
            let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
            let _ = io::Read::read_to_end(&mut socket, &mut Vec::new());
        }
        let socket = connect(&server.host(), server.port())?;
        match Connection::open(socket, server, &wire.tls, wire.generation) {
            Err(_) if self.sin == Some(Sin::FallsBackToPlain) => {
                let plain = ServerUrl::parse(&server.to_string().replace("https", "http")).unwrap();
                let socket = connect(&server.host(), server.port())?;
                Connection::open(socket, &plain, &wire.tls, wire.generation)
            }
            opened => opened,
        }
    }
}
