//! The model behind real HTTP/1.1 and TLS, in a thread of its own.
//!
//! ```
//! use lease_sim::api_server::Rights;
//! use lease_sim::listener::{EmbeddedServer, Fault};
//!
//! let server = EmbeddedServer::builder().tls(true).token("secret", "admin", Rights::All).start()?;
//! println!("{} trusts\n{}", server.url(), server.ca_pem().unwrap_or_default());
//! server.queue_fault(Fault::CloseAfter); // the next request is applied, but its answer is lost
//! # Ok::<(), lease_sim::listener::EmbeddedServerError>(())
//! ```
//!
//! The server has its own thread and runtime, so its clients may use any executor, or none. All methods may
//! be called from any thread; those that wait ([`EmbeddedServer::stop`], [`EmbeddedServer::restart`],
//! [`EmbeddedServer::close_connections`], dropping) wait for that thread, a few milliseconds at most.

mod body;
mod clock;
mod fault;
mod serve;
mod tls;

pub use fault::Fault;
pub(crate) use tls::Clients;
pub use tls::{Authority, ClientCertificate};

use crate::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros, User};
use bytes::Bytes;
use fault::Faults;
use http::Request;
use serve::Command;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};

/// Why a server did not start, or could not make a certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmbeddedServerError {
    /// The address could not be listened on.
    Bind(SocketAddr, io::Error),
    /// The thread or its runtime could not be started, or has ended.
    Thread(io::Error),
    /// A key or certificate could not be made or read; the text says why.
    Tls(String),
    /// The server was built without TLS.
    NoTls,
}

impl fmt::Display for EmbeddedServerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) => write!(formatter, "cannot listen on {address}: {error}"),
            Self::Thread(error) => write!(formatter, "the server's thread does not run: {error}"),
            Self::Tls(why) => write!(formatter, "TLS: {why}"),
            Self::NoTls => formatter.write_str("the server was built without TLS"),
        }
    }
}

impl std::error::Error for EmbeddedServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(_, error) | Self::Thread(error) => Some(error),
            Self::Tls(_) | Self::NoTls => None,
        }
    }
}

/// Locks; a panic of another thread does not make the data unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Tls {
    authority: Authority,
    config: Arc<rustls::ServerConfig>,
    names: Vec<String>,
    clients: Clients,
}

/// What the owner and the thread share.
#[derive(Debug)]
struct Shared {
    model: Mutex<ApiServer>,
    /// Counts changes, so that watches look again.
    changed: watch::Sender<u64>,
    paused: watch::Sender<bool>,
    faults: Mutex<Faults>,
    faults_done: AtomicU64,
    tls: Mutex<Option<Tls>>,
    certificates: Mutex<BTreeMap<Vec<u8>, User>>,
    address: Mutex<SocketAddr>,
    /// Microseconds that the server's clock is ahead of the real one.
    offset: AtomicI64,
    connections: AtomicUsize,
    connections_made: AtomicU64,
}

/// Settings of an [`EmbeddedServer`].
#[derive(Debug)]
pub struct Builder {
    config: ApiServerConfig,
    listen: SocketAddr,
    tls: bool,
    authority: Option<Authority>,
    names: Vec<String>,
    usual_names: bool,
    client_certificates: bool,
}

impl Builder {
    /// The model's settings. Default: [`ApiServerConfig::default`]. Call it before [`Builder::token`] and
    /// [`Builder::namespace`], which change them.
    #[must_use]
    pub fn config(mut self, config: ApiServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds a token for a user and says what the user may do. Default: no tokens, so every request is
    /// refused.
    #[must_use]
    pub fn token(mut self, token: &str, user: &str, rights: Rights) -> Self {
        self.config = self.config.token(token, user, rights);
        self
    }

    /// Adds a namespace beside `default` and `kube-system`.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.config = self.config.namespace(name);
        self
    }

    /// Lets requests do everything that have no token, or one that is not known.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.config.anonymous = Rights::All;
        self.config.unknown_tokens_are_anonymous = true;
        self
    }

    /// Where to listen. Default: `127.0.0.1`, a free port.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Whether to speak TLS, with a made certificate for `localhost`, `127.0.0.1`, `::1`,
    /// `kubernetes.default.svc` and the address that is listened on. Default: plain HTTP.
    #[must_use]
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Signs with this authority instead of a new one; switches TLS on.
    #[must_use]
    pub fn authority(mut self, authority: Authority) -> Self {
        self.authority = Some(authority);
        self.tls = true;
        self
    }

    /// One more name or address in the server's certificate.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// Only this name is in the server's certificate: clients that come to any other must refuse it. Switches
    /// TLS on.
    #[must_use]
    pub fn only_server_name(mut self, name: &str) -> Self {
        self.names = vec![name.to_owned()];
        self.usual_names = false;
        self.tls = true;
        self
    }

    /// Whether clients may show a certificate; those who do are who it says. Switches TLS on. Default: no.
    #[must_use]
    pub fn client_certificates(mut self, accept: bool) -> Self {
        self.client_certificates = accept;
        self.tls |= accept;
        self
    }

    /// Starts the thread and listens; requests are answered from here on.
    ///
    /// # Errors
    /// The address is taken, no certificate could be made, or no thread started.
    pub fn start(mut self) -> Result<EmbeddedServer, EmbeddedServerError> {
        if self.config.started == UnixMicros(0) {
            self.config.started = clock::now(0);
        }
        let tls = if self.tls { Some(self.make_tls()?) } else { None };
        let shared = Arc::new(Shared {
            model: Mutex::new(ApiServer::new(self.config)),
            changed: watch::Sender::new(0),
            paused: watch::Sender::new(false),
            faults: Mutex::default(),
            faults_done: AtomicU64::new(0),
            tls: Mutex::new(tls),
            certificates: Mutex::default(),
            address: Mutex::new(self.listen),
            offset: AtomicI64::new(0),
            connections: AtomicUsize::new(0),
            connections_made: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(EmbeddedServerError::Thread)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("lease-sim".to_owned())
            .spawn(move || {
                runtime.block_on(serve::run(for_thread, receiver));
                // Streams may still wait for their clients.
                runtime.shutdown_background();
            })
            .map_err(EmbeddedServerError::Thread)?;
        let server = EmbeddedServer { shared, commands: Some(commands), thread: Some(thread) };
        server.restart()?;
        Ok(server)
    }

    fn make_tls(&self) -> Result<Tls, EmbeddedServerError> {
        let mut names = self.names.clone();
        if self.usual_names {
            names.extend(["localhost", "127.0.0.1", "::1", "kubernetes.default.svc"].map(str::to_owned));
            names.push(self.listen.ip().to_string());
        }
        names.sort();
        names.dedup();
        let authority = match &self.authority {
            Some(authority) => Authority::from_pem(&authority.key_pem(), Some(authority.certificate_pem()))?,
            None => Authority::generate()?,
        };
        let clients = if self.client_certificates { Clients::Asked } else { Clients::Unasked };
        let config = authority.server(&names, clients)?;
        Ok(Tls { authority, config, names, clients })
    }
}

/// A modelled API server that listens. Dropping it stops it and closes every connection.
#[derive(Debug)]
pub struct EmbeddedServer {
    shared: Arc<Shared>,
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedServer {
    /// The settings to start from.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            config: ApiServerConfig::default(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: false,
            authority: None,
            names: Vec::new(),
            usual_names: true,
            client_certificates: false,
        }
    }

    /// The address that is listened on; the same after a restart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *lock(&self.shared.address)
    }

    /// `http://…` or `https://…`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if lock(&self.shared.tls).is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// The certificate that clients must trust, PEM; `None` without TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<String> {
        lock(&self.shared.tls).as_ref().map(|tls| tls.authority.certificate_pem().to_owned())
    }

    /// The authority's private key, PKCS #8 PEM; `None` without TLS. Keep it secret.
    #[must_use]
    pub fn ca_key_pem(&self) -> Option<String> {
        lock(&self.shared.tls).as_ref().map(|tls| tls.authority.key_pem())
    }

    /// Makes a new authority and a new server certificate. New connections use them; old ones live on, see
    /// [`EmbeddedServer::close_connections`]. Client certificates of the old authority are refused from now
    /// on.
    ///
    /// # Errors
    /// [`EmbeddedServerError::NoTls`], or no key could be made; the old ones stay then.
    pub fn rotate_ca(&self) -> Result<(), EmbeddedServerError> {
        let mut slot = lock(&self.shared.tls);
        let tls = slot.as_mut().ok_or(EmbeddedServerError::NoTls)?;
        let authority = Authority::generate()?;
        tls.config = authority.server(&tls.names, tls.clients)?;
        tls.authority = authority;
        Ok(())
    }

    /// A certificate that lets its bearer be `common_name` in `groups`; in `system:masters` it may do
    /// everything. Say with [`ApiServer::set_rights`] what the name or a group may do.
    ///
    /// # Errors
    /// [`EmbeddedServerError::NoTls`], or no key could be made.
    pub fn issue_client_certificate(
        &self,
        common_name: &str,
        groups: &[&str],
    ) -> Result<ClientCertificate, EmbeddedServerError> {
        let slot = lock(&self.shared.tls);
        let tls = slot.as_ref().ok_or(EmbeddedServerError::NoTls)?;
        let certificate = tls.authority.client(common_name, groups)?;
        let user = User {
            name: common_name.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        lock(&self.shared.certificates).insert(certificate.der.clone(), user);
        Ok(certificate)
    }

    /// Reads or changes the model: counters, admin edits, tokens, namespaces. Watches see what it changes.
    ///
    /// No request is answered meanwhile, so be brief, and call no other method of this server inside.
    pub fn with_model<T>(&self, action: impl FnOnce(&mut ApiServer) -> T) -> T {
        let result = action(&mut lock(&self.shared.model));
        self.shared.changed.send_modify(|version| *version += 1);
        result
    }

    /// The server's time: the clock plus the offset.
    #[must_use]
    pub fn now(&self) -> UnixMicros {
        clock::now(self.shared.offset.load(Ordering::Relaxed))
    }

    /// Sets the server's clock that many microseconds ahead (or behind) of the real one: its `Date` headers
    /// and timestamps. Default 0.
    pub fn set_clock_offset(&self, micros: i64) {
        self.shared.offset.store(micros, Ordering::Relaxed);
        self.shared.changed.send_modify(|version| *version += 1);
    }

    /// Lets a token stand for a user from now on.
    pub fn set_token(&self, token: &str, user: &str, rights: Rights) {
        self.with_model(|model| model.set_token(token, user, rights));
    }

    /// Forgets a token: requests with it are answered with 401.
    pub fn remove_token(&self, token: &str) {
        self.with_model(|model| model.remove_token(token));
    }

    /// Does this to the next request that no earlier queued fault takes, whatever it is.
    pub fn queue_fault(&self, fault: Fault) {
        lock(&self.shared.faults).queue.push_back(fault);
    }

    /// Asks this for every request that no queued fault takes. Replaces the last hook.
    ///
    /// The hook must not call methods of this server.
    pub fn set_fault_hook(&self, hook: impl FnMut(&Request<Bytes>) -> Option<Fault> + Send + 'static) {
        lock(&self.shared.faults).hook = Some(Box::new(hook));
    }

    /// Forgets queued faults and the hook. Requests that hang go on hanging.
    pub fn clear_faults(&self) {
        *lock(&self.shared.faults) = Faults::default();
    }

    /// How many faults have met their request.
    #[must_use]
    pub fn faults_done(&self) -> u64 {
        self.shared.faults_done.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many connections there have been, those included that are closed by now.
    #[must_use]
    pub fn connections_made(&self) -> u64 {
        self.shared.connections_made.load(Ordering::Relaxed)
    }

    /// Stops accepting and answering, like a process that is suspended; the port stays bound and the kernel
    /// still takes connections.
    pub fn pause(&self) {
        self.shared.paused.send_replace(true);
    }

    /// Goes on after [`EmbeddedServer::pause`]: requests that waited are answered.
    pub fn resume(&self) {
        self.shared.paused.send_replace(false);
    }

    /// Closes every connection, watches included, and goes on listening.
    pub fn close_connections(&self) {
        let (reply, done) = std::sync::mpsc::channel();
        self.send(Command::CloseConnections(reply));
        // An error means that the thread is gone, and its connections with it.
        let _ = done.recv();
    }

    /// Closes the port and every connection. The model lives on.
    pub fn stop(&self) {
        let (reply, done) = std::sync::mpsc::channel();
        self.send(Command::Stop(reply));
        let _ = done.recv();
    }

    /// Listens again on the same port. A running server goes on.
    ///
    /// # Errors
    /// The port was taken meanwhile.
    pub fn restart(&self) -> Result<(), EmbeddedServerError> {
        self.stop();
        let (reply, done) = std::sync::mpsc::channel();
        self.send(Command::Start(reply));
        let gone = |_| EmbeddedServerError::Thread(io::Error::other("it has ended"));
        done.recv()
            .map_err(gone)?
            .map(|_| ())
            .map_err(|error| EmbeddedServerError::Bind(self.address(), error))
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // An error means that the thread is gone; the waiting side notices.
            let _ = commands.send(command);
        }
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by it already.
            let _ = thread.join();
        }
    }
}
