//! One holder's machine, process and clocks.

use lease_core::{Config, ConfigBuilder, Input, Lease, MonoTime, Now, Output, Seed};

use super::clock::Clock;
use crate::oracle::{Process, identity};
use crate::plan::{HolderPlan, Plan, mix};
use crate::protocol::Protocol;

/// The namespace and the name of the one lease.
pub(crate) use crate::plan::{NAME, NAMESPACE};

/// What a process runs.
pub(crate) enum Machine {
    Core(Box<Lease>),
    Peer(Box<dyn Protocol>),
}

impl Machine {
    pub(crate) fn handle(&mut self, now: Now, input: Input) {
        match self {
            Self::Core(lease) => lease.handle(now, input),
            Self::Peer(peer) => peer.handle(now, input),
        }
    }

    pub(crate) fn poll(&mut self) -> Output {
        match self {
            Self::Core(lease) => lease.poll(),
            Self::Peer(peer) => peer.poll(),
        }
    }
}

/// A place in the fleet. Processes come and go in it.
pub(crate) struct Seat {
    pub(crate) plan: HolderPlan,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) machine: Option<Machine>,
    pub(crate) incarnation: u32,
    /// How often a process with another identity took the place of the one before.
    pub(crate) renamed: u32,
    /// The highest number of its requests that has reached the server, with the incarnation.
    pub(crate) arrived: (u32, u64),
    /// Requests that this incarnation has sent.
    pub(crate) sent: u64,
    /// Watches that it has asked for.
    pub(crate) watches: u64,
    pub(crate) paused_until: u64,
    /// What arrived while the process stood still.
    pub(crate) inbox: Vec<Incoming>,
    pub(crate) generation: u32,
    /// When the newest timer is due, in true time.
    pub(crate) wake_at: Option<u64>,
    /// The process is not to be started again.
    pub(crate) retired: bool,
    /// The highest reading that was handed in.
    pub(crate) high: MonoTime,
    /// The next answer is handed in with a reading from so long ago.
    pub(crate) answer_from_past: u64,
}

/// Something for a process that stands still.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Incoming {
    Reply(u32),
    Command,
    Release,
    Credentials(u64),
    /// The oldest piece of a watch.
    Stream(u32),
}

impl Seat {
    pub(crate) fn new(index: u8, plan: HolderPlan, epoch: i64) -> Self {
        Self {
            config: build(settings(index, &plan)),
            clock: Clock::new(plan.clock, epoch),
            plan,
            machine: None,
            incarnation: 0,
            renamed: 0,
            arrived: (0, 0),
            sent: 0,
            watches: 0,
            paused_until: 0,
            inbox: Vec::new(),
            generation: 0,
            wake_at: None,
            retired: false,
            high: MonoTime::ZERO,
            answer_from_past: 0,
        }
    }

    /// Whoever starts here next has another identity.
    pub(crate) fn rename(&mut self, index: u8) {
        self.renamed += 1;
        let settings = settings(index, &self.plan).identity(identity(index, &self.plan, self.renamed));
        #[cfg(feature = "mutants")]
        let settings = settings.mutant(self.config.mutant());
        self.config = build(settings);
    }

    /// Whether this request comes after one that was sent later.
    pub(crate) fn is_overtaken(&mut self, incarnation: u32, number: u64) -> bool {
        let overtaken = (incarnation, number) < self.arrived;
        self.arrived = self.arrived.max((incarnation, number));
        overtaken
    }

    pub(crate) fn process(&self, index: u8) -> Process {
        Process { seat: index, incarnation: self.incarnation }
    }

    /// Whether what arrives has to wait: the process is stopped, or has yet to look at what came before.
    pub(crate) fn has_to_wait(&self, now: u64) -> bool {
        self.paused_until > now || !self.inbox.is_empty()
    }

    /// A new incarnation.
    pub(crate) fn start(&mut self, plan: &Plan, index: u8, at: u64) {
        self.incarnation += 1;
        self.sent = 0;
        self.watches = 0;
        self.inbox.clear();
        self.paused_until = 0;
        let now = self.clock.read(at);
        self.high = now.mono;
        let seed = mix(plan.seed ^ mix(u64::from(index) << 32 | u64::from(self.incarnation)));
        let seed = Seed(u128::from(seed) << 64 | u128::from(mix(seed)));
        self.machine = Some(Machine::Core(Box::new(Lease::new(self.config.clone(), seed, now))));
    }
}

/// The settings of a holder.
pub(super) fn settings(index: u8, plan: &HolderPlan) -> ConfigBuilder {
    plan.settings(index)
}

/// Plans are drawn so that their settings are valid.
pub(super) fn build(settings: ConfigBuilder) -> Config {
    settings.build().unwrap_or_else(|error| unreachable!("a plan with settings that are refused: {error}"))
}
