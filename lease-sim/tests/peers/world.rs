//! A small world: virtual time, one API server, a network of 1 to 2 ms a round trip, and switches.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use lease_core::{Action, Event, Failure, Input, MonoTime, Now, Output, RequestId, WallTime};
use lease_sim::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};
use lease_sim::protocol::{PeerSettings, Protocol, ProtocolKind};

pub(crate) const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;
/// What the clocks on the wall show at the beginning, in microseconds.
const EPOCH: i64 = 1_800_000_000_000_000;

/// What a process can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// What is sent vanishes.
    Silent,
    /// Connections are closed and refused.
    Refused,
}

/// What happens later.
enum Happening {
    Arrive { process: usize, id: RequestId, request: Request<Bytes> },
    Deliver { process: usize, id: RequestId, response: Response<Bytes> },
    Refuse { process: usize, id: RequestId },
    Wake { process: usize },
    Command { process: usize, input: Input },
}

pub(crate) struct Process {
    protocol: Box<dyn Protocol>,
    alive: bool,
    frozen: bool,
    link: Link,
    waiting: Vec<Input>,
    /// What it believed from when on: the end of its belief, if it had one.
    beliefs: Vec<(u64, Option<u64>)>,
    pub(crate) events: Vec<(u64, Event)>,
}

pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) now: u64,
    pub(crate) processes: Vec<Process>,
    /// How long a request takes to the API server, by process; otherwise 0.5 to 1 ms.
    pub(crate) slow: BTreeMap<usize, u64>,
    /// Every request that the server answered: when, whose, what, and the status.
    pub(crate) log: Vec<(u64, usize, String, u16)>,
    /// What is answered in the API server's place.
    pub(crate) answer_with: Option<(u16, &'static str)>,
    agenda: BTreeMap<(u64, u64), Happening>,
    planned: u64,
    random: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let config = ApiServerConfig { anonymous: Rights::All, seed, ..ApiServerConfig::default() };
        Self {
            server: ApiServer::new(config),
            now: 0,
            processes: Vec::new(),
            slow: BTreeMap::new(),
            log: Vec::new(),
            answer_with: None,
            agenda: BTreeMap::new(),
            planned: 0,
            random: seed,
        }
    }

    /// Contenders of one protocol that start their campaigns within `spread`.
    pub(crate) fn campaigning(
        kind: ProtocolKind,
        seed: u64,
        ttl: u64,
        count: usize,
        spread: Duration,
    ) -> Self {
        let mut world = Self::new(seed);
        for _ in 0..count {
            let process = world.add(kind, ttl);
            let at = world.below(spread.as_nanos() as u64);
            world.plan(at, Happening::Command { process, input: Input::Campaign });
        }
        world
    }

    pub(crate) fn add(&mut self, kind: ProtocolKind, ttl: u64) -> usize {
        let process = self.processes.len();
        let settings = PeerSettings {
            namespace: "default".to_owned(),
            name: "leader".to_owned(),
            identity: format!("process-{process}"),
            ttl: Duration::from_secs(ttl),
            seed: self.draw(),
        };
        self.processes.push(Process {
            protocol: kind.start(settings),
            alive: true,
            frozen: false,
            link: Link::Up,
            waiting: Vec::new(),
            beliefs: Vec::new(),
            events: Vec::new(),
        });
        process
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or(0)
    }

    fn plan(&mut self, at: u64, happening: Happening) {
        self.planned += 1;
        self.agenda.insert((at.max(self.now), self.planned), happening);
    }

    fn clocks(&self) -> Now {
        Now {
            mono: MonoTime::from_nanos(self.now),
            wall: WallTime::from_micros(EPOCH + (self.now / 1_000) as i64),
        }
    }

    fn server_time(&self) -> UnixMicros {
        UnixMicros(self.clocks().wall.as_micros())
    }

    /// One request of an administrator.
    pub(crate) fn administer(&mut self, method: &str, body: &str) -> Response<Bytes> {
        let collection = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
        let uri = if method == "POST" { collection.to_owned() } else { format!("{collection}/leader") };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_owned()))
            .expect("a request");
        self.server.handle(self.server_time(), &request).into_response().expect("no watch")
    }

    /// The object, if there is one.
    pub(crate) fn object(&mut self) -> Option<serde_json::Value> {
        let response = self.administer("GET", "");
        (response.status() == 200).then(|| serde_json::from_slice(response.body()).expect("JSON"))
    }

    /// Whom the object names.
    pub(crate) fn holder(&mut self) -> Option<String> {
        let object = self.object()?;
        object["spec"]["holderIdentity"].as_str().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    pub(crate) fn command(&mut self, process: usize, input: Input) {
        self.hand_in(process, input);
    }

    pub(crate) fn freeze(&mut self, process: usize) {
        self.processes[process].frozen = true;
    }

    /// Lets a process go on, and says what it would answer first: whether it holds the lease.
    pub(crate) fn thaw(&mut self, process: usize) -> bool {
        let answer = self.believes(process);
        self.processes[process].frozen = false;
        for input in std::mem::take(&mut self.processes[process].waiting) {
            self.hand_in(process, input);
        }
        self.hand_in(process, Input::Tick);
        answer
    }

    pub(crate) fn cut(&mut self, process: usize, link: Link) {
        self.processes[process].link = link;
    }

    pub(crate) fn kill(&mut self, process: usize) {
        self.processes[process].alive = false;
        let now = self.now;
        self.processes[process].beliefs.push((now, None));
    }

    /// Whether a process would say now that it holds the lease.
    pub(crate) fn believes(&self, process: usize) -> bool {
        let process = &self.processes[process];
        process.alive && process.protocol.held_until(self.clocks().mono).is_some()
    }

    /// The one process that believes.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leaders: Vec<usize> = (0..self.processes.len()).filter(|index| self.believes(*index)).collect();
        assert!(leaders.len() < 2, "several believe at {}: {leaders:?}", self.now);
        leaders.first().copied()
    }

    fn hand_in(&mut self, index: usize, input: Input) {
        let clocks = self.clocks();
        let process = &mut self.processes[index];
        if !process.alive {
            return;
        }
        if process.frozen {
            process.waiting.push(input);
            return;
        }
        process.protocol.handle(clocks, input);
        loop {
            match self.processes[index].protocol.poll() {
                Output::Action(Action::Send { id, request, .. }) => self.send(index, id, request),
                Output::Action(_) => {}
                Output::Event(event) => self.processes[index].events.push((self.now, event)),
                Output::Idle { wake, .. } => {
                    assert!(wake.is_none_or(|wake| wake > clocks.mono), "a wake that is not ahead");
                    if let Some(wake) = wake.filter(|wake| wake.as_nanos() < u64::MAX) {
                        self.plan(wake.as_nanos(), Happening::Wake { process: index });
                    }
                    break;
                }
            }
        }
        let until = self.processes[index].protocol.held_until(clocks.mono).map(MonoTime::as_nanos);
        self.processes[index].beliefs.push((self.now, until));
    }

    fn one_way(&mut self) -> u64 {
        MILLI / 2 + self.below(MILLI / 2)
    }

    fn send(&mut self, process: usize, id: RequestId, request: Request<Bytes>) {
        let delay = self.slow.get(&process).copied().unwrap_or_else(|| self.one_way());
        self.plan(self.now + delay, Happening::Arrive { process, id, request });
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { process, id, request } => match self.processes[process].link {
                Link::Silent => {}
                Link::Refused => self.plan(self.now, Happening::Refuse { process, id }),
                Link::Up => {
                    let response =
                        self.server.handle(self.server_time(), &request).into_response().expect("no watch");
                    let odd = self.answer_with.map(|(status, body)| {
                        let response = Response::builder().status(status).body(Bytes::from(body));
                        response.expect("a response")
                    });
                    let response = odd.unwrap_or(response);
                    let what = request.method().to_string();
                    self.log.push((self.now, process, what, response.status().as_u16()));
                    let at = self.now + self.one_way();
                    self.plan(at, Happening::Deliver { process, id, response });
                }
            },
            Happening::Deliver { process, id, response } => match self.processes[process].link {
                Link::Silent => {}
                Link::Refused => self.plan(self.now, Happening::Refuse { process, id }),
                Link::Up => self.hand_in(process, Input::Response { id, response }),
            },
            Happening::Refuse { process, id } => {
                self.hand_in(process, Input::Failed { id, failure: Failure::Unknown });
            }
            Happening::Wake { process } => self.hand_in(process, Input::Tick),
            Happening::Command { process, input } => self.hand_in(process, input),
        }
    }

    /// Goes on until something is so, or until `limit`. Whether it became so.
    pub(crate) fn run_until(&mut self, limit: u64, mut so: impl FnMut(&Self) -> bool) -> bool {
        while !so(self) {
            match self.agenda.pop_first() {
                Some(((at, _), happening)) if at <= limit => {
                    self.now = at;
                    self.happen(happening);
                }
                next => {
                    if let Some((key, happening)) = next {
                        self.agenda.insert(key, happening);
                    }
                    self.now = limit;
                    return so(self);
                }
            }
        }
        true
    }

    pub(crate) fn run_for(&mut self, time: u64) {
        self.run_until(self.now + time, |_| false);
    }

    /// Runs until another than `old` acquires, and says who and after how many seconds.
    pub(crate) fn next_holder(&mut self, old: usize, limit: u64) -> Option<(usize, f64)> {
        let began = self.now;
        let find = |world: &Self| {
            world.processes.iter().enumerate().filter(|(index, _)| *index != old).find_map(
                |(index, process)| {
                    let fresh =
                        |(at, event): &&(u64, Event)| *at >= began && matches!(event, Event::Acquired { .. });
                    process.events.iter().find(fresh).map(|(at, _)| (index, *at))
                },
            )
        };
        self.run_until(began + limit, |world| find(world).is_some());
        find(self).map(|(index, at)| (index, seconds(at - began)))
    }

    /// How long, from `since` on, a process went on to believe; `None`: it still does.
    pub(crate) fn believed_for(&self, process: usize, since: u64) -> Option<f64> {
        let end = self.intervals(process).into_iter().filter(|(_, to)| *to > since).map(|(_, to)| to).next();
        match end {
            Some(end) if end >= self.now => None,
            end => Some(seconds(end.unwrap_or(since) - since)),
        }
    }

    /// When a process believed, until now: joined intervals.
    fn intervals(&self, process: usize) -> Vec<(u64, u64)> {
        let beliefs = &self.processes[process].beliefs;
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (index, (from, until)) in beliefs.iter().enumerate() {
            let next = beliefs.get(index + 1).map_or(self.now, |(at, _)| *at);
            let Some(until) = until.map(|until| until.min(next)).filter(|until| until > from) else {
                continue;
            };
            match joined.last_mut() {
                Some(last) if last.1 == *from => last.1 = until,
                _ => joined.push((*from, until)),
            }
        }
        joined
    }

    /// The longest time for which two processes believed at once, in seconds.
    pub(crate) fn longest_overlap(&self) -> f64 {
        self.longest_overlap_since(0)
    }

    /// The same, of what lies after an instant.
    pub(crate) fn longest_overlap_since(&self, since: u64) -> f64 {
        let all: Vec<_> = (0..self.processes.len()).map(|index| self.intervals(index)).collect();
        let mut longest = 0;
        for (index, one) in all.iter().enumerate() {
            for (from, to) in one {
                for (other_from, other_to) in all[index + 1..].iter().flatten() {
                    longest = longest.max(to.min(other_to).saturating_sub(*from.max(other_from).max(&since)));
                }
            }
        }
        seconds(longest)
    }

    /// How many processes have acquired the lease.
    pub(crate) fn acquired(&self) -> usize {
        let has = |process: &&Process| {
            process.events.iter().any(|(_, event)| matches!(event, Event::Acquired { .. }))
        };
        self.processes.iter().filter(has).count()
    }
}

pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}
