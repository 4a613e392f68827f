//! A server that does what no HTTP library would do: every byte that it sends, and when, is the case's own.
//!
//! Plain threads and blocking sockets, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lease_core::credentials::{AuthenticationSource, CredentialSource};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::bench::{bundle, explicit};
use crate::listener::{Authority, Clients};

/// How often a script that waits looks whether its server is still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// More than any case sends.
const MOST: usize = 4 << 20;

/// Listens until it is dropped. Then everything that is open is cut.
pub(super) struct RawServer {
    address: SocketAddr,
    tls: Option<Tls>,
    shared: Arc<Shared>,
    accepts: Option<JoinHandle<()>>,
}

/// What a raw server shows to its clients.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) ca: String,
}

impl Tls {
    pub(super) fn new(clients: Clients) -> Self {
        let authority = Authority::generate().unwrap();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let config = authority.server(&names, clients).unwrap();
        Self { config, ca: authority.certificate_pem().to_owned() }
    }
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    requests: Mutex<Vec<Received>>,
    /// Everything that came in before it was decrypted.
    wire: Mutex<Vec<u8>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// The connection's number, from 0.
    pub(super) connection: usize,
    /// Request line and headers, without the empty line.
    pub(super) head: String,
    /// As many bytes as the head announces.
    pub(super) body: Vec<u8>,
}

impl Received {
    pub(super) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

impl RawServer {
    /// Plain HTTP. The script gets every connection, each on a thread of its own.
    pub(super) fn plain(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::start(None, script)
    }

    /// With TLS, or without.
    pub(super) fn start(tls: Option<Tls>, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepts = {
            let (shared, config) = (Arc::clone(&shared), tls.clone().map(|tls| tls.config));
            thread::spawn(move || accept(&listener, &shared, config, &Arc::new(script)))
        };
        Self { address, tls, shared, accepts: Some(accepts) }
    }

    /// Every script once in plain and once with TLS.
    pub(super) fn both(script: impl Fn(&mut Connection) + Send + Sync + Clone + 'static) -> [Self; 2] {
        [Self::plain(script.clone()), Self::start(Some(Tls::new(Clients::Unasked)), script)]
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// This server, and whom to trust.
    pub(super) fn source(&self, how: AuthenticationSource) -> CredentialSource {
        explicit(&self.url(), self.tls.as_ref().map(|tls| bundle(&tls.ca)), how)
    }

    /// The requests that came, also those that were not answered.
    pub(super) fn requests(&self) -> Vec<Received> {
        lock(&self.shared.requests).clone()
    }

    /// How many of them were for this path.
    pub(super) fn arrivals(&self, path: &str) -> usize {
        lock(&self.shared.requests).iter().filter(|request| request.path() == path).count()
    }

    /// How many connections there have been.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Whether these bytes came in, in the clear.
    pub(super) fn heard(&self, needle: &str) -> bool {
        let wire = lock(&self.shared.wire);
        wire.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for socket in lock(&self.shared.sockets).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Whoever waits for a connection gets one.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.accepts.take() {
            let _ = thread.join();
        }
    }
}

fn accept<S: Fn(&mut Connection) + Send + Sync + 'static>(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    tls: Option<Arc<ServerConfig>>,
    script: &Arc<S>,
) {
    for socket in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let _ = socket.set_nodelay(true);
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(kept) = socket.try_clone() else { continue };
        lock(&shared.sockets).push(kept);
        let (shared, tls, script) = (Arc::clone(shared), tls.clone(), Arc::clone(script));
        thread::spawn(move || {
            if let Some(mut connection) = Connection::open(number, socket, tls, shared) {
                script(&mut connection);
            }
        });
    }
}

/// What a script works with. Dropping it closes the socket, as `close` does.
pub(super) struct Connection {
    /// From 0.
    pub(super) number: usize,
    stream: Stream,
    socket: TcpStream,
    shared: Arc<Shared>,
    /// Read, and not part of a request yet.
    ahead: Vec<u8>,
}

enum Stream {
    Plain(Tap),
    Tls(Box<StreamOwned<ServerConnection, Tap>>),
}

/// Notes what comes in.
struct Tap {
    socket: TcpStream,
    shared: Arc<Shared>,
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(buffer)?;
        lock(&self.shared.wire).extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Connection {
    fn open(
        number: usize,
        socket: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        shared: Arc<Shared>,
    ) -> Option<Self> {
        let mut tap = Tap { socket: socket.try_clone().ok()?, shared: Arc::clone(&shared) };
        let stream = match tls {
            None => Stream::Plain(tap),
            Some(config) => {
                let mut session = ServerConnection::new(config).ok()?;
                while session.is_handshaking() {
                    if session.complete_io(&mut tap).is_err() {
                        refuse(&mut session, &mut tap);
                        return None;
                    }
                }
                Stream::Tls(Box::new(StreamOwned::new(session, tap)))
            }
        };
        Some(Self { number, stream, socket, shared, ahead: Vec::new() })
    }

    /// The protocol that was agreed on by ALPN, if any.
    pub(super) fn protocol(&self) -> Option<Vec<u8>> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.conn.alpn_protocol().map(<[u8]>::to_vec),
        }
    }

    /// Reads one whole request. `None` when the client has nothing more to say.
    pub(super) fn request(&mut self) -> Option<Received> {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            self.read_some()?;
        };
        let head = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
        self.ahead.drain(..end + 4);
        let mut received = Received { connection: self.number, head, body: Vec::new() };
        // It counts as arrived even if its body does not follow.
        let at = {
            let mut requests = lock(&self.shared.requests);
            requests.push(received.clone());
            requests.len() - 1
        };
        let length = header(&received.head, "content-length").and_then(|value| value.parse().ok());
        let length: usize = length.unwrap_or(0);
        while self.ahead.len() < length {
            self.read_some()?;
        }
        received.body = self.ahead.drain(..length).collect();
        lock(&self.shared.requests)[at] = received.clone();
        Some(received)
    }

    /// Reads the head of one request and leaves its body where it is.
    pub(super) fn head(&mut self) -> Option<()> {
        let mut one = [0];
        while !self.ahead.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut one).ok()?;
            self.ahead.push(one[0]);
        }
        let head = String::from_utf8_lossy(&self.ahead).trim_end().to_owned();
        self.ahead.clear();
        lock(&self.shared.requests).push(Received { connection: self.number, head, body: Vec::new() });
        Some(())
    }

    /// Reads until the client closes the connection.
    pub(super) fn until_closed(&mut self) {
        while self.read_some().is_some() {
            self.ahead.clear();
        }
    }

    /// Hands everything that comes to `take`, until either side has had enough.
    pub(super) fn each(&mut self, mut take: impl FnMut(&[u8]) -> bool) {
        loop {
            let ahead = std::mem::take(&mut self.ahead);
            if (!ahead.is_empty() && !take(&ahead)) || self.read_some().is_none() {
                return;
            }
        }
    }

    fn read_some(&mut self) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) if count > 0 && self.ahead.len() < MOST => {
                self.ahead.extend_from_slice(&buffer[..count]);
                Some(())
            }
            _ => None,
        }
    }

    /// Sends these bytes, now. False when the client is gone.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).is_ok()
    }

    /// A whole answer, after which the connection is good for more.
    pub(super) fn answer(&mut self, body: &str) -> bool {
        self.send(answer(body))
    }

    /// Long enough that what was sent before arrives by itself.
    pub(super) fn pause(&self) {
        Signal::default().wait(self, Duration::from_millis(50));
    }

    /// Closes the connection properly: with TLS the client is told that nothing was cut off.
    pub(super) fn close(&mut self) {
        if let Stream::Tls(stream) = &mut self.stream {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// The raw socket, for what knows nothing of HTTP.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Says why the handshake failed, and stays until the client has gone: closing at once would let the system
/// reset the connection, and the client might never read the reason.
fn refuse(session: &mut ServerConnection, tap: &mut Tap) {
    while session.wants_write() && session.write_tls(tap).is_ok() {}
    let _ = tap.socket.shutdown(Shutdown::Write);
    let mut rest = [0; 1024];
    while tap.read(&mut rest).is_ok_and(|count| count > 0) {}
}

/// A whole 200.
pub(super) fn answer(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The value of a header in a head. The first, if there are many.
pub(super) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// Lets a script go on when the case says so.
#[derive(Clone, Default)]
pub(super) struct Signal(Arc<(Mutex<bool>, Condvar)>);

impl Signal {
    pub(super) fn give(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    pub(super) fn take_back(&self) {
        *lock(&self.0.0) = false;
    }

    /// Until it is given, or so long, or nobody wants the server any more.
    pub(super) fn wait(&self, connection: &Connection, most: Duration) {
        let mut given = lock(&self.0.0);
        let mut waited = Duration::ZERO;
        while !*given && waited < most && !connection.shared.stopped.load(Ordering::SeqCst) {
            let (guard, late) =
                self.0.1.wait_timeout(given, LOOK_AGAIN).unwrap_or_else(PoisonError::into_inner);
            given = guard;
            if late.timed_out() {
                waited += LOOK_AGAIN;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
