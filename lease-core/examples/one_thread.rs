//! A hundred leases on one thread: one event loop over non-blocking sockets, with `mio`.
//!
//! ```text
//! cargo run -p lease-core --example one_thread                                     # an API server in this process
//! cargo run -p lease-core --example one_thread -- 500                              # as many leases as that
//! kubectl proxy & cargo run -p lease-core --example one_thread -- 100 127.0.0.1:8001
//! ```
//!
//! Each lease has a machine and, while it asks something, a connection. The loop sleeps until a socket is ready or
//! the earliest machine wants its tick; nothing in it ever waits for a single lease.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use lease_core::{
    Action, Config, Event, Failure, Input, Lease, MonoTime, Now, Output, ReleaseOutcome, RequestId, Seed,
    WallTime,
};
use lease_sim::listener::EmbeddedServer;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{ClockId, clock_gettime};

const TTL: Duration = Duration::from_secs(6);
/// For so long all of them are held.
const HOLD: Duration = Duration::from_secs(5);
/// By then everything has to be over.
const PATIENCE: Duration = Duration::from_secs(60);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Both clocks, read together. On Linux `Boottime` is the one that goes on while the machine is suspended.
fn now() -> Now {
    let mono = clock_gettime(if cfg!(target_os = "linux") { ClockId::Boottime } else { ClockId::Monotonic });
    let wall = clock_gettime(ClockId::Realtime);
    Now {
        mono: MonoTime::from_nanos(mono.tv_sec as u64 * 1_000_000_000 + mono.tv_nsec as u64),
        wall: WallTime::from_micros(wall.tv_sec * 1_000_000 + wall.tv_nsec / 1000),
    }
}

/// One request, on a connection of its own: HTTP/1.0, so that the answer is whatever comes until its end.
struct Exchange {
    id: RequestId,
    socket: TcpStream,
    to_send: Vec<u8>,
    /// Whether a byte has left us: only then can the request have been applied.
    sent: bool,
    received: Vec<u8>,
    most: usize,
}

impl Exchange {
    fn start(server: SocketAddr, id: RequestId, request: &Request<Bytes>, most: usize) -> io::Result<Self> {
        let (method, path, body) = (request.method(), request.uri(), request.body());
        let mut head =
            format!("{method} {path} HTTP/1.0\r\nhost: {server}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in request.headers() {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
        let to_send = [head.as_bytes(), b"\r\n", body].concat();
        let socket = TcpStream::connect(server)?;
        Ok(Self { id, socket, to_send, sent: false, received: Vec::new(), most: most + 65_536 })
    }

    /// Sends what can be sent and takes in what has come; what the machine is to hear, if that was all.
    fn go_on(&mut self) -> Option<Input> {
        let id = self.id;
        match self.transfer() {
            Ok(false) => None,
            Ok(true) => Some(match parse(&self.received) {
                Some(response) => Input::Response { id, response },
                None => Input::Failed { id, failure: Failure::Unknown },
            }),
            Err(_) if self.sent => Some(Input::Failed { id, failure: Failure::Unknown }),
            Err(_) => Some(Input::Failed { id, failure: Failure::NotSent }),
        }
    }

    /// Whether the end of the answer has come.
    fn transfer(&mut self) -> io::Result<bool> {
        let later =
            |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected);
        while !self.to_send.is_empty() {
            match self.socket.write(&self.to_send) {
                Ok(length) => drop(self.to_send.drain(..length)),
                Err(error) if later(&error) => return self.socket.take_error()?.map_or(Ok(false), Err),
                Err(error) => return Err(error),
            }
            self.sent = true;
        }
        let mut buffer = [0; 4096];
        while self.received.len() <= self.most {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if later(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::FileTooLarge.into())
    }
}

/// A body that is cut short is no JSON, which the machine notices.
fn parse(bytes: &[u8]) -> Option<Response<Bytes>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
    let mut response = Response::builder().status(lines.next()?.split(' ').nth(1)?);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        response = response.header(name, value.trim());
    }
    response.body(Bytes::copy_from_slice(&bytes[end + 4..])).ok()
}

/// Everything on the one thread.
struct Loop {
    server: SocketAddr,
    poll: Poll,
    leases: Vec<Lease>,
    /// What is under way, by the number of the lease, which is also the token of its socket.
    exchanges: BTreeMap<usize, Exchange>,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    acquired: usize,
    renewed: usize,
    lost: usize,
    released: usize,
    requests: usize,
    wakes: usize,
}

impl Loop {
    fn new(server: SocketAddr, number: usize) -> Result<Self> {
        let mut leases = Vec::new();
        for number in 0..number {
            let config = Config::builder().namespace("default").name(format!("many-{number}"));
            let mut seed = [0; 16];
            getrandom::fill(&mut seed)?;
            let seed = Seed(u128::from_ne_bytes(seed));
            leases.push(Lease::new(config.identity("many").ttl(TTL).build()?, seed, now()));
        }
        let (poll, exchanges) = (Poll::new()?, BTreeMap::new());
        Ok(Self { server, poll, leases, exchanges, seen: Seen::default() })
    }

    fn give_all(&mut self, input: &Input) -> Result<()> {
        (0..self.leases.len()).try_for_each(|number| self.give(number, input.clone()))
    }

    /// Hands an input to one machine and does what it wants.
    fn give(&mut self, number: usize, input: Input) -> Result<()> {
        self.leases[number].handle(now(), input);
        loop {
            match self.leases[number].poll() {
                Output::Action(Action::Send { id, request, max_body, .. }) => {
                    self.seen.requests += 1;
                    let mut exchange = Exchange::start(self.server, id, &request, max_body)?;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut exchange.socket, Token(number), interest)?;
                    self.exchanges.insert(number, exchange);
                }
                // Dropping the socket also takes it out of `mio`'s list.
                Output::Action(Action::Abort { .. }) => drop(self.exchanges.remove(&number)),
                Output::Action(Action::OpenWatch { .. } | Action::RefreshCredentials { .. }) => {}
                Output::Event(event) => self.hear(&event),
                Output::Idle { .. } => return Ok(()),
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Acquired { .. } => self.seen.acquired += 1,
            Event::Renewed { .. } => self.seen.renewed += 1,
            Event::Lost { .. } => self.seen.lost += 1,
            Event::ReleaseEnded { outcome: ReleaseOutcome::Confirmed } => self.seen.released += 1,
            _ => {}
        }
    }

    /// Sleeps until something is ready or due, but no longer than until `end`, and sees to it.
    fn turn(&mut self, events: &mut Events, end: MonoTime) -> Result<()> {
        // For hundreds of leases a look at each will do; for many thousands keep them in a heap.
        let due = self.leases.iter().filter_map(Lease::poll_timeout).min();
        let wake = due.map_or(end, |due| due.min(end));
        // Rounded up: `mio` counts in milliseconds, and waking too early would be a busy wait.
        let pause = wake.saturating_since(now().mono) + Duration::from_micros(999);
        match self.poll.poll(events, Some(pause)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            polled => polled?,
        }
        self.seen.wakes += 1;
        for event in &*events {
            let Token(number) = event.token();
            if let Some(input) = self.exchanges.get_mut(&number).and_then(Exchange::go_on) {
                self.exchanges.remove(&number);
                self.give(number, input)?;
            }
        }
        for number in 0..self.leases.len() {
            if self.leases[number].poll_timeout().is_some_and(|at| at <= now().mono) {
                self.give(number, Input::Tick)?;
            }
        }
        Ok(())
    }

    /// Goes on until `done`; the time that took.
    fn until(&mut self, done: impl Fn(&Self) -> bool, most: Duration) -> Result<Duration> {
        let (began, mut events) = (now().mono, Events::with_capacity(256));
        let end = began.saturating_add(most);
        while !done(self) && now().mono < end {
            self.turn(&mut events, end)?;
        }
        Ok(now().mono.saturating_since(began))
    }

    fn held(&self) -> usize {
        let now = now().mono;
        self.leases.iter().filter(|lease| lease.check_alive(now).is_some()).count()
    }
}

fn main() -> Result<()> {
    let embedded = EmbeddedServer::builder().open().start()?;
    let mut arguments = std::env::args().skip(1);
    let number = arguments.next().map_or(Ok(100), |number| number.parse())?;
    let server = arguments.next().map_or(Ok(embedded.address()), |address| address.parse())?;

    let mut all = Loop::new(server, number)?;
    all.give_all(&Input::Campaign)?;
    let took = all.until(|all| all.seen.acquired == number, PATIENCE)?;
    println!("{} leases held after {took:?}, on one thread", all.held());
    all.until(|_| false, HOLD)?;
    let held = all.held();
    println!("{held} leases held after {HOLD:?} more: {:?}", all.seen);
    all.give_all(&Input::Release)?;
    let took = all.until(|all| all.seen.released == number, PATIENCE)?;
    println!("{} releases confirmed after {took:?}", all.seen.released);
    if held == number && all.seen.lost == 0 && all.seen.released == number {
        Ok(())
    } else {
        Err(format!("not all of {number} leases were held and given back: {:?}", all.seen).into())
    }
}
