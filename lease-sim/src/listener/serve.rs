//! The listener's own thread: accepting, answering, streaming.

use super::body::{Outgoing, break_after};
use super::fault::Fault;
use super::{Shared, clock};
use crate::api_server::{Answer, User, WatchId, WatchItem};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Beyond this a body is not even read; the model itself refuses a little less.
const MAX_READ: usize = 4 * 1024 * 1024;

/// What the owner of the server tells its thread.
pub(crate) enum Command {
    Start(std::sync::mpsc::Sender<io::Result<SocketAddr>>),
    Stop(std::sync::mpsc::Sender<()>),
    CloseConnections(std::sync::mpsc::Sender<()>),
}

/// Runs until the owner is gone. While stopped, nothing listens.
pub(crate) async fn run(shared: Arc<Shared>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut listener: Option<TcpListener> = None;
    // While stopped: nobody else gets the port, and whoever connects is refused.
    let mut reserved: Option<TcpSocket> = None;
    let mut connections = JoinSet::new();
    let mut paused = shared.paused.subscribe();
    loop {
        let is_paused = *paused.borrow_and_update();
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Start(reply)) => {
                    let started = start(&shared, reserved.take()).await;
                    let answer = started.map(|(bound, address)| {
                        listener = Some(bound);
                        address
                    });
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(answer);
                }
                Some(Command::Stop(reply)) => {
                    if listener.take().is_some() {
                        // Without it the port is free for others meanwhile; `Start` tells if one took it.
                        let address = *super::lock(&shared.address);
                        reserved = bind(address).await.ok();
                    }
                    connections.shutdown().await;
                    let _ = reply.send(());
                }
                Some(Command::CloseConnections(reply)) => {
                    connections.shutdown().await;
                    let _ = reply.send(());
                }
            },
            accepted = accept(listener.as_ref()), if !is_paused => {
                if let Ok(stream) = accepted {
                    connections.spawn(connection(Arc::clone(&shared), stream));
                }
            }
            // A sender lives in `shared`.
            _ = paused.changed() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

/// How often, and how long apart, a port is tried that is taken: a process that is just being started can keep a
/// copy of the old socket for a moment.
const TRIES: u32 = 100;
const NEXT_TRY: Duration = Duration::from_millis(2);

async fn start(shared: &Shared, reserved: Option<TcpSocket>) -> io::Result<(TcpListener, SocketAddr)> {
    let wanted = *super::lock(&shared.address);
    let socket = match reserved {
        Some(socket) => socket,
        None => bind(wanted).await?,
    };
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    // From now on the port stays the same.
    *super::lock(&shared.address) = address;
    Ok((listener, address))
}

async fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let mut tries = 1;
    loop {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Old connections that linger do not keep a server from coming back.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        match socket.bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
            bound => return bound.map(|()| socket),
        }
        tokio::time::sleep(NEXT_TRY).await;
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Counts a connection for as long as it lives.
struct Counted<'a>(&'a Shared);

impl<'a> Counted<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.connections_made.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let _counted = Counted::new(&shared);
    // Without it small answers wait for the client's acknowledgement; it is not vital.
    let _ = stream.set_nodelay(true);
    let tls = super::lock(&shared.tls).as_ref().map(|tls| Arc::clone(&tls.config));
    let Some(config) = tls else {
        return http(&shared, stream, None).await;
    };
    // A client that does not finish the handshake is its own trouble.
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
        return;
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let user = certificate.and_then(|der| super::lock(&shared.certificates).get(der.as_ref()).cloned());
    http(&shared, stream, user).await;
}

async fn http(shared: &Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin, user: Option<User>) {
    let service = service_fn(|request| answer(Arc::clone(shared), user.clone(), request));
    // Errors are clients that hung up and faults on purpose.
    let _ =
        http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
}

/// Waits while the server is paused.
async fn unpaused(shared: &Shared) {
    // The sender lives in `shared`, so this cannot fail.
    let _ = shared.paused.subscribe().wait_for(|paused| !paused).await;
}

fn closed() -> io::Error {
    io::Error::other("closed on purpose")
}

async fn answer(
    shared: Arc<Shared>,
    user: Option<User>,
    request: Request<Incoming>,
) -> io::Result<Response<Outgoing>> {
    unpaused(&shared).await;
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_READ).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let mut response = Response::new(Outgoing::Whole(None));
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return Ok(response);
        }
        Err(_) => return Err(closed()),
    };
    let request = Request::from_parts(head, body);
    let fault = super::lock(&shared.faults).next(&request);
    if fault.is_some() {
        shared.faults_done.fetch_add(1, Ordering::Relaxed);
    }
    match &fault {
        Some(Fault::DelayBefore(duration)) => tokio::time::sleep(*duration).await,
        Some(Fault::HangBefore) => std::future::pending().await,
        Some(Fault::CloseBefore) => return Err(closed()),
        Some(Fault::Answer(response)) => return Ok(whole(response.clone())),
        _ => {}
    }
    unpaused(&shared).await;
    let answer = apply(&shared, user.as_ref(), &request);
    let mut cut = None;
    match fault {
        Some(Fault::DelayAfter(duration)) => tokio::time::sleep(duration).await,
        Some(Fault::HangAfter) => hang(&shared, &answer).await,
        Some(Fault::CloseAfter) => {
            forget(&shared, &answer);
            return Err(closed());
        }
        Some(Fault::AnswerAfter(response)) => {
            forget(&shared, &answer);
            return Ok(whole(response));
        }
        Some(Fault::CutBody(at)) => cut = Some(at),
        _ => {}
    }
    unpaused(&shared).await;
    Ok(match answer {
        Answer::Watch { id, head } => {
            let (sender, receiver) = mpsc::channel(64);
            tokio::spawn(pump(Arc::clone(&shared), id, sender, cut));
            head.map(|()| Outgoing::Pieces(receiver))
        }
        Answer::Response(response) => match cut {
            None => whole(response),
            Some(at) => cut_off(response, at),
        },
    })
}

fn apply(shared: &Shared, user: Option<&User>, request: &Request<Bytes>) -> Answer {
    let now = clock::now(shared.offset.load(Ordering::Relaxed));
    let answer = super::lock(&shared.model).handle_as(now, user, request);
    if request.method() != http::Method::GET {
        shared.changed.send_modify(|version| *version += 1);
    }
    answer
}

/// A watch that nobody will read is closed.
fn forget(shared: &Shared, answer: &Answer) {
    if let Answer::Watch { id, .. } = answer {
        super::lock(&shared.model).close_watch(*id);
    }
}

async fn hang(shared: &Shared, answer: &Answer) {
    forget(shared, answer);
    std::future::pending().await
}

fn whole(response: Response<Bytes>) -> Response<Outgoing> {
    response.map(|body| Outgoing::Whole(Some(body)))
}

/// Announces the whole body, sends its beginning, then closes the connection.
fn cut_off(mut response: Response<Bytes>, at: usize) -> Response<Outgoing> {
    let length = HeaderValue::from(response.body().len());
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    let (sender, receiver) = mpsc::channel(1);
    let piece = response.body().slice(..at.min(response.body().len()));
    tokio::spawn(async move { break_after(&sender, piece).await });
    response.map(|_| Outgoing::Pieces(receiver))
}

/// Carries the lines of one watch to its client until either is done.
async fn pump(
    shared: Arc<Shared>,
    id: WatchId,
    sender: mpsc::Sender<io::Result<Bytes>>,
    mut cut: Option<usize>,
) {
    let mut changed = shared.changed.subscribe();
    'stream: loop {
        unpaused(&shared).await;
        changed.borrow_and_update();
        loop {
            let item = {
                let mut model = super::lock(&shared.model);
                model.expire_watches(clock::now(shared.offset.load(Ordering::Relaxed)));
                model.poll_watch(id)
            };
            match item {
                None => break,
                Some(WatchItem::End) => break 'stream,
                Some(WatchItem::Line(line)) => {
                    if !send(&sender, line, &mut cut).await {
                        break 'stream;
                    }
                }
            }
        }
        tokio::select! {
            () = sender.closed() => break,
            _ = changed.changed() => {}
            () = tokio::time::sleep(until_deadline(&shared)) => {}
        }
    }
    super::lock(&shared.model).close_watch(id);
}

/// Sends one line, or the part of it that the cut leaves. Whether the stream goes on.
async fn send(sender: &mpsc::Sender<io::Result<Bytes>>, line: Bytes, cut: &mut Option<usize>) -> bool {
    let Some(left) = cut else {
        return sender.send(Ok(line)).await.is_ok();
    };
    if line.len() < *left {
        *left -= line.len();
        return sender.send(Ok(line)).await.is_ok();
    }
    break_after(sender, line.slice(..*left)).await;
    false
}

/// How long until a watch may end by itself: between a millisecond and a minute.
fn until_deadline(shared: &Shared) -> Duration {
    let now = clock::now(shared.offset.load(Ordering::Relaxed));
    let deadline = super::lock(&shared.model).next_watch_deadline();
    let micros = deadline.map_or(60_000_000, |deadline| deadline.0.saturating_sub(now.0));
    Duration::from_micros(micros.clamp(1_000, 60_000_000).unsigned_abs())
}
