//! How to test a component of one's own on virtual time: no thread, no socket, no sleeping, the same run each time.
//!
//! The component is a copier that moves a batch every minute while it holds a lease. A batch takes 4 s and must
//! never be under way when the lease is not held any more: the store that it copies to has other writers. So a
//! batch is begun only if it can end before the term does, whatever becomes of the renewals in the meantime.
//!
//! A real program would hand [`Copier::handle`] its clock, its HTTP client's answers and its timer. The test hands
//! it a number that counts nanoseconds and the answers of a modelled API server, and so can let hours pass, cut the
//! network and stop the process in any instant that it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use lease_core::{
    Action, Config, Event, Failure, FencingToken, Input, Lease, MonoTime, Now, Output, RequestId, Seed,
    WallTime,
};
use lease_sim::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};

// ------------------------------------------------------------------------------------------------- the component

const TTL: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_secs(60);
const BATCH: Duration = Duration::from_secs(4);

/// One batch, from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    token: FencingToken,
    began: MonoTime,
    ends: MonoTime,
}

struct Copier {
    lease: Lease,
    /// The time of the last input.
    now: MonoTime,
    /// When the next batch may begin.
    due: MonoTime,
    under_way: Option<Batch>,
    /// What was copied whole.
    done: Vec<Batch>,
    /// What had to be given up, and when that was noticed.
    given_up: Vec<(Batch, MonoTime)>,
}

impl Copier {
    fn new(identity: &str, now: Now) -> Self {
        let config = Config::builder().namespace("default").name("copier").identity(identity).ttl(TTL);
        let config = config.build().expect("a valid configuration");
        let seed = Seed(identity.bytes().map(u128::from).sum());
        let lease = Lease::new(config, seed, now);
        Self { lease, now: now.mono, due: now.mono, under_way: None, done: Vec::new(), given_up: Vec::new() }
    }

    /// Everything that this component ever does, it does in here. The requests that it wants to send.
    fn handle(&mut self, now: Now, input: Input) -> Vec<(RequestId, Request<Bytes>)> {
        self.now = now.mono;
        // The batch first: it is judged by the time, not by what the input says.
        self.look_at_the_batch(now.mono);
        self.lease.handle(now, input);
        let mut requests = Vec::new();
        loop {
            match self.lease.poll() {
                Output::Action(Action::Send { id, request, .. }) => requests.push((id, request)),
                Output::Action(_) => {}
                // A term ended early: taken over, deleted. The deadline would have been noticed without.
                Output::Event(Event::Lost { .. } | Event::Released { .. }) => self.give_up(now.mono),
                Output::Event(_) => {}
                Output::Idle { .. } => break,
            }
        }
        self.begin_a_batch(now.mono);
        requests
    }

    /// When [`Input::Tick`] is due.
    fn wake(&self) -> Option<MonoTime> {
        // A batch that is due and has not begun waits for a renewal, which is an input: there is no time to wait for.
        let own = match self.under_way {
            Some(batch) => Some(batch.ends),
            None => Some(self.due).filter(|due| *due > self.now),
        };
        own.into_iter().chain(self.lease.poll_timeout()).min()
    }

    fn look_at_the_batch(&mut self, now: MonoTime) {
        let Some(batch) = self.under_way.filter(|batch| batch.ends <= now) else { return };
        // Whoever was suspended in the midst of it wakes up after the end of the term.
        if self.lease.check_alive(now).is_some_and(|held| held.token == batch.token) {
            self.done.push(batch);
            self.under_way = None;
        } else {
            self.give_up(now);
        }
    }

    fn give_up(&mut self, now: MonoTime) {
        self.given_up.extend(self.under_way.take().map(|batch| (batch, now)));
    }

    fn begin_a_batch(&mut self, now: MonoTime) {
        let ends = now.saturating_add(BATCH);
        // Held *then*, even if no renewal is ever answered again.
        let held = self.lease.check_alive(ends);
        if let Some(held) = held.filter(|_| self.under_way.is_none() && self.due <= now) {
            self.under_way = Some(Batch { token: held.token, began: now, ends });
            self.due = now.saturating_add(EVERY);
        }
    }
}

// ------------------------------------------------------------------------------------------------ the virtual world

const SECOND: u64 = 1_000_000_000;
/// From here to the API server, and back again.
const LATENCY: u64 = 20_000_000;

enum Happening {
    Wake(usize),
    Arrives(usize, RequestId, Request<Bytes>),
    Input(usize, Input),
}

/// True time in nanoseconds, an API server, and some copiers.
struct World {
    now: u64,
    server: ApiServer,
    copiers: Vec<Copier>,
    queue: BTreeMap<(u64, u64), Happening>,
    order: u64,
    /// Whose network is cut.
    cut: BTreeSet<usize>,
    /// Until when a process does not run.
    stopped: BTreeMap<usize, u64>,
}

impl World {
    fn with(identities: &[&str]) -> Self {
        let config = ApiServerConfig { anonymous: Rights::All, ..ApiServerConfig::default() };
        let mut world = Self {
            now: 1000 * SECOND,
            server: ApiServer::new(config),
            copiers: Vec::new(),
            queue: BTreeMap::new(),
            order: 0,
            cut: BTreeSet::new(),
            stopped: BTreeMap::new(),
        };
        for (who, identity) in identities.iter().enumerate() {
            world.copiers.push(Copier::new(identity, world.clocks()));
            world.schedule(world.now, Happening::Input(who, Input::Campaign));
        }
        world
    }

    fn wall_micros(&self) -> i64 {
        1_767_225_600_000_000 + (self.now / 1000) as i64
    }

    fn clocks(&self) -> Now {
        Now { mono: MonoTime::from_nanos(self.now), wall: WallTime::from_micros(self.wall_micros()) }
    }

    fn schedule(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time.as_nanos() as u64;
        let mut at_once = 0;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), happening) = entry.remove_entry();
            at_once = if at > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 1000, "time stands still: somebody wants to be woken at once, again and again");
            self.now = self.now.max(at);
            self.happen(happening);
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        let who = match happening {
            Happening::Wake(who) | Happening::Arrives(who, ..) | Happening::Input(who, _) => who,
        };
        match happening {
            // A process that is stopped finds everything in its queue when it goes on.
            Happening::Wake(_) | Happening::Input(..) if self.stopped.get(&who) > Some(&self.now) => {
                self.schedule(self.stopped[&who], happening);
            }
            Happening::Wake(_) => {
                let wake = self.copiers[who].wake();
                if wake.is_some_and(|at| at <= self.clocks().mono) {
                    self.give(who, Input::Tick);
                }
            }
            Happening::Input(_, input) => self.give(who, input),
            Happening::Arrives(_, id, _) if self.cut.contains(&who) => {
                let failed = Input::Failed { id, failure: Failure::Unknown };
                self.schedule(self.now + LATENCY, Happening::Input(who, failed));
            }
            Happening::Arrives(_, id, request) => {
                let response = self.serve(&request);
                self.schedule(self.now + LATENCY, Happening::Input(who, Input::Response { id, response }));
            }
        }
    }

    fn serve(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let now = UnixMicros(self.wall_micros());
        self.server.handle(now, request).into_response().expect("nobody watches")
    }

    fn give(&mut self, who: usize, input: Input) {
        let now = self.clocks();
        for (id, request) in self.copiers[who].handle(now, input) {
            self.schedule(self.now + LATENCY, Happening::Arrives(who, id, request));
        }
        if let Some(at) = self.copiers[who].wake() {
            self.schedule(at.as_nanos().max(self.now), Happening::Wake(who));
        }
    }

    /// Who holds the lease at this very instant.
    fn holders(&self) -> Vec<usize> {
        let now = self.clocks().mono;
        (0..self.copiers.len()).filter(|who| self.copiers[*who].lease.check_alive(now).is_some()).collect()
    }

    /// Every batch that was ever begun, as long as it really lasted, by the time of its beginning.
    fn all_batches(&self) -> Vec<Batch> {
        let given_up = |(batch, at): &(Batch, MonoTime)| Batch { ends: (*at).min(batch.ends), ..*batch };
        let mut all: Vec<Batch> =
            self.copiers.iter().flat_map(|copier| copier.done.iter().copied()).collect();
        all.extend(self.copiers.iter().flat_map(|copier| copier.given_up.iter().map(given_up)));
        all.extend(self.copiers.iter().filter_map(|copier| copier.under_way));
        all.sort_by_key(|batch| batch.began);
        all
    }

    /// What the lease is there for.
    fn assert_one_after_the_other(&self) {
        for pair in self.all_batches().windows(2) {
            assert!(pair[0].ends <= pair[1].began, "{pair:?} overlap");
            assert!(pair[0].token <= pair[1].token, "{pair:?}: the token of an older term after a newer one");
        }
    }
}

// -------------------------------------------------------------------------------------------------------- the tests

#[test]
fn a_day_passes_in_no_time() {
    let mut world = World::with(&["a", "b"]);
    world.run_for(Duration::from_secs(24 * 3600));
    assert_eq!(world.holders().len(), 1);
    let batches = world.all_batches();
    assert_eq!(batches.len(), 24 * 60, "one a minute");
    assert!(batches.iter().all(|batch| batch.token == batches[0].token), "one term");
    world.assert_one_after_the_other();
}

#[test]
fn no_batch_is_under_way_when_the_term_ends_by_itself() {
    // The network is cut at any time of the minute; the renewals go on until the term is over.
    for millis in (0..60_000).step_by(250) {
        let mut world = World::with(&["a"]);
        world.run_for(Duration::from_millis(60_000 + millis));
        world.cut.insert(0);
        world.run_for(Duration::from_secs(3600));
        assert!(world.holders().is_empty());
        let copier = &world.copiers[0];
        assert_eq!(copier.under_way, None);
        assert_eq!(copier.given_up, [], "cut after {millis} ms");
        assert!(copier.done.len() <= 3);
    }
}

#[test]
fn another_takes_over_and_no_two_batches_overlap() {
    for millis in (0..60_000).step_by(250) {
        let mut world = World::with(&["a", "b"]);
        world.run_for(Duration::from_millis(60_000 + millis));
        let [first] = world.holders()[..] else { panic!("one of them holds") };
        world.cut.insert(first);
        world.run_for(Duration::from_secs(120));
        assert_eq!(world.holders(), [1 - first], "within two minutes");
        assert!(!world.copiers[1 - first].done.is_empty());
        world.cut.clear();
        world.run_for(Duration::from_secs(300));
        world.assert_one_after_the_other();
    }
}

/// What a lease alone cannot do: the process stops in the midst of a batch, and the other one does not wait for it.
/// The first thing that it does when it goes on is to give the batch up; what it has under way in the network by
/// then has to be refused by its token.
#[test]
fn who_was_stopped_in_the_midst_of_a_batch_gives_it_up() {
    let mut world = World::with(&["a", "b"]);
    while world.all_batches().len() < 3 {
        world.run_for(Duration::from_millis(100));
    }
    let [first] = world.holders()[..] else { panic!("one of them holds") };
    let interrupted = world.copiers[first].under_way.expect("a batch");
    world.stopped.insert(first, world.now + 90 * SECOND);
    world.run_for(Duration::from_secs(89));
    let second = &world.copiers[1 - first];
    assert!(second.done[0].token > interrupted.token, "the other one has a higher token");
    world.run_for(Duration::from_secs(60));
    let [(batch, noticed)] = world.copiers[first].given_up[..] else { panic!("one batch is given up") };
    assert_eq!(batch, interrupted);
    assert!(noticed > second_began(&world, first), "which is too late: hence the token");
    assert_eq!(world.copiers[first].done.last().map(|batch| batch.token), Some(interrupted.token));
}

fn second_began(world: &World, first: usize) -> MonoTime {
    world.copiers[1 - first].done[0].began
}

#[test]
fn the_same_run_each_time() {
    let run = || {
        let mut world = World::with(&["a", "b"]);
        world.run_for(Duration::from_secs(600));
        world.cut.insert(0);
        world.run_for(Duration::from_secs(600));
        (world.all_batches(), world.copiers.into_iter().map(|copier| copier.lease).collect::<Vec<_>>())
    };
    assert_eq!(run(), run());
}
