//! A lease on plain threads and blocking sockets: no runtime, no HTTP library.
//!
//! ```text
//! cargo run -p lease-core --example threads                                  # an API server in this process
//! kubectl proxy & cargo run -p lease-core --example threads -- 127.0.0.1:8001
//! ```
//!
//! What an application needs stands between the two marks, in under 60 lines. Below is a demonstration: two
//! holders, of which the second one takes over when the first one gives the lease back.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use lease_core::{Action, Config, Event, Failure, Input, Lease, MonoTime, Now, Output, Seed, WallTime};
use lease_sim::listener::EmbeddedServer;
use rustix::time::{ClockId, clock_gettime};

// embedding begins

type Inputs = (Sender<Input>, Receiver<Input>);
type Answer = Response<Bytes>;

/// Both clocks, read together. On Linux `Boottime` is the one that goes on while the machine is suspended.
fn now() -> Now {
    let mono = clock_gettime(if cfg!(target_os = "linux") { ClockId::Boottime } else { ClockId::Monotonic });
    let wall = clock_gettime(ClockId::Realtime);
    Now {
        mono: MonoTime::from_nanos(mono.tv_sec as u64 * 1_000_000_000 + mono.tv_nsec as u64),
        wall: WallTime::from_micros(wall.tv_sec * 1_000_000 + wall.tv_nsec / 1000),
    }
}

/// Runs a machine for as long as somebody listens to what it tells. Each request has a thread of its own.
fn drive(lease: &Mutex<Lease>, server: SocketAddr, (give, inputs): Inputs, tell: &Sender<Event>) {
    let mut wait = Duration::MAX;
    loop {
        let input = inputs.recv_timeout(wait).unwrap_or(Input::Tick);
        let mut lease = lease.lock().expect("nobody panics while the lease is locked");
        lease.handle(now(), input);
        wait = loop {
            match lease.poll() {
                Output::Action(Action::Send { id, request, give_up_at, max_body }) => {
                    let (give, patience) = (give.clone(), give_up_at.saturating_since(now().mono));
                    thread::spawn(move || {
                        let answer = exchange(server, &request, patience, max_body);
                        // Without one it may have been applied, or not: the machine reads, and then it knows.
                        let failed = Input::Failed { id, failure: Failure::Unknown };
                        let _ = give.send(answer.map_or(failed, |response| Input::Response { id, response }));
                    });
                }
                // Late answers are ignored, and `kubectl proxy` is who has credentials.
                Output::Action(_) => {}
                Output::Event(event) => {
                    if tell.send(event).is_err() {
                        return;
                    }
                }
                Output::Idle { wake: None, .. } => break Duration::MAX,
                Output::Idle { wake: Some(at), .. } => break at.saturating_since(now().mono),
            }
        };
    }
}

/// One request on a connection of its own. In HTTP/1.0 the answer comes in one piece, up to the connection's end.
fn exchange(to: SocketAddr, request: &Request<Bytes>, patience: Duration, most: usize) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let (method, path, body) = (request.method(), request.uri(), request.body());
    let mut head = format!("{method} {path} HTTP/1.0\r\nhost: {to}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().ok()?);
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).ok()?;
    let mut bytes = Vec::new();
    stream.take(most as u64 + 65_536).read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
    let mut answer = Response::builder().status(lines.next()?.split(' ').nth(1)?);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        answer = answer.header(name, value.trim());
    }
    // A body that is cut short is no JSON, which the machine notices.
    answer.body(Bytes::copy_from_slice(&bytes[end + 4..])).ok()
}

// embedding ends

/// What an application has of it: somewhere to give commands, and somewhere to ask.
struct Holder {
    name: &'static str,
    lease: Arc<Mutex<Lease>>,
    give: Sender<Input>,
    told: Receiver<Event>,
}

impl Holder {
    fn start(name: &'static str, server: SocketAddr) -> Result<Self> {
        let config = Config::builder().namespace("default").name("threads").identity(name);
        let config = config.ttl(Duration::from_secs(3)).poll_interval(Duration::from_millis(200)).build()?;
        let mut seed = [0; 16];
        getrandom::fill(&mut seed)?;
        let lease = Arc::new(Mutex::new(Lease::new(config, Seed(u128::from_ne_bytes(seed)), now())));
        let ((give, inputs), (tell, told)) = (channel(), channel());
        let holder = Self { name, lease: Arc::clone(&lease), give: give.clone(), told };
        thread::spawn(move || drive(&lease, server, (give, inputs), &tell));
        Ok(holder)
    }

    /// Waits for an event that is wanted, and shows all on the way.
    fn wait_for(&self, wanted: impl Fn(&Event) -> bool) -> Result<()> {
        loop {
            let event = self.told.recv_timeout(Duration::from_secs(10))?;
            println!("{:6} {event:?}", self.name);
            if wanted(&event) {
                return Ok(());
            }
        }
    }

    /// Asks the deadline and the clock, not the thread that drives: right even if that one hangs.
    fn is_alive(&self) -> bool {
        self.lease.lock().expect("nobody panics while the lease is locked").check_alive(now().mono).is_some()
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let embedded = EmbeddedServer::builder().open().start()?;
    let server = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => embedded.address(),
    };
    let (first, second) = (Holder::start("first", server)?, Holder::start("second", server)?);
    first.give.send(Input::Campaign)?;
    first.wait_for(|event| matches!(event, Event::Acquired { .. }))?;
    second.give.send(Input::Campaign)?;
    second.wait_for(|event| matches!(event, Event::HolderChanged { holder: Some(_) }))?;
    first.wait_for(|event| matches!(event, Event::Renewed { .. }))?;
    println!("first holds: {}, second holds: {}", first.is_alive(), second.is_alive());
    first.give.send(Input::Release)?;
    first.wait_for(|event| matches!(event, Event::ReleaseEnded { .. }))?;
    second.wait_for(|event| matches!(event, Event::Acquired { .. }))?;
    println!("first holds: {}, second holds: {}", first.is_alive(), second.is_alive());
    second.give.send(Input::Release)?;
    second.wait_for(|event| matches!(event, Event::ReleaseEnded { .. }))
}
