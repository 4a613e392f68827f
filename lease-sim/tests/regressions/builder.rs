//! Plans by hand: what is not said is plain, every message takes 2 ms.

use lease_sim::oracle::Mark;
use lease_sim::plan::{
    Beginning, Deed, Ending, Fate, Fault, FaultKind, HolderPlan, Network, Plan, RequestKey, WatchFaults, Way,
};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// In milliseconds.
const TTL: u64 = 15_000;

/// That many seconds, in nanoseconds.
pub(crate) fn s(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// What shows that a schedule got to where another implementation broke.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// The run counted this situation.
    Met(Mark),
    /// This holder told its application something whose text contains this, between those seconds.
    Told(usize, &'static str, f64, f64),
    /// This holder, and only this one, believes at this second.
    Holds(usize, f64),
    /// This one does not.
    Idle(usize, f64),
    /// Somebody does, and only one.
    Somebody(f64),
    /// As many terms began.
    Terms(u64),
    /// At least as many.
    TermsAtLeast(u64),
}

/// One schedule.
pub(crate) struct Schedule {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) plan: Plan,
    pub(crate) expects: Vec<Expect>,
}

impl Schedule {
    /// Two holders with a ttl of 15 s: the first starts at once and creates the object, the second a second
    /// later. A minute, in which nothing goes wrong. The first one's requests: a GET, a POST, and a renewal
    /// every five seconds from the third on.
    pub(crate) fn new(name: &'static str, about: &'static str) -> Self {
        let plan = Plan {
            seed: 7,
            length: 60 * SECOND,
            heals_at: 60 * SECOND,
            beginning: Beginning::Absent,
            holders: vec![HolderPlan::usual(TTL, 0), HolderPlan::usual(TTL, SECOND)],
            network: Network::good(),
            faults: Vec::new(),
            watches: WatchFaults::default(),
            fates: Some(Vec::new()),
            ending: Ending::Quiet,
        };
        Self { name, about, plan, expects: Vec::new() }
    }

    pub(crate) fn third(mut self, starts_at: f64) -> Self {
        self.plan.holders.push(HolderPlan::usual(TTL, s(starts_at)));
        self
    }

    pub(crate) fn alone(mut self) -> Self {
        self.plan.holders.truncate(1);
        self
    }

    pub(crate) fn together(self) -> Self {
        self.each(|holder| holder.starts_at = 0)
    }

    pub(crate) fn begins(mut self, beginning: Beginning) -> Self {
        self.plan.beginning = beginning;
        self
    }

    pub(crate) fn lasts(mut self, seconds: f64) -> Self {
        (self.plan.length, self.plan.heals_at) = (s(seconds), s(seconds));
        self
    }

    pub(crate) fn each(mut self, change: impl Fn(&mut HolderPlan)) -> Self {
        self.plan.holders.iter_mut().for_each(change);
        self
    }

    pub(crate) fn holder(mut self, index: usize, change: impl FnOnce(&mut HolderPlan)) -> Self {
        change(&mut self.plan.holders[index]);
        self
    }

    /// A ttl with its usual settings.
    pub(crate) fn ttl(self, index: usize, millis: u64) -> Self {
        let mut schedule = self.holder(index, |holder| {
            (holder.ttl, holder.margin, holder.request_timeout) = (millis, millis / 10, millis / 5);
        });
        let longest = schedule.plan.holders.iter().map(|holder| holder.ttl.div_ceil(1000) * 1000).max();
        for holder in &mut schedule.plan.holders {
            holder.quarantine = longest.unwrap_or(0);
        }
        schedule
    }

    pub(crate) fn fault(mut self, at: f64, what: FaultKind) -> Self {
        self.plan.faults.push(Fault { at: s(at), what });
        self.plan.faults.sort_by_key(|fault| fault.at);
        self
    }

    pub(crate) fn partition(self, holder: u8, at: f64, seconds: f64, way: Way) -> Self {
        self.fault(at, FaultKind::Partition { holder, span: s(seconds), way })
    }

    pub(crate) fn pause(self, holder: u8, at: f64, seconds: f64) -> Self {
        self.fault(at, FaultKind::Pause { holder, span: s(seconds) })
    }

    /// What happens to a request of a holder's first incarnation.
    pub(crate) fn fate(self, holder: u8, number: u64, change: impl FnOnce(&mut Fate)) -> Self {
        self.later(holder, 1, number, change)
    }

    /// The same for a later incarnation.
    pub(crate) fn later(
        mut self,
        holder: u8,
        incarnation: u32,
        number: u64,
        change: impl FnOnce(&mut Fate),
    ) -> Self {
        let mut fate = Fate::PLAIN;
        change(&mut fate);
        let key = RequestKey { holder, incarnation, number };
        self.plan.fates.get_or_insert_default().push((key, fate));
        self
    }

    pub(crate) fn deed(self, holder: u8, number: u64, deed: Deed) -> Self {
        self.fate(holder, number, |fate| fate.deed = deed)
    }

    pub(crate) fn expect(mut self, expects: impl IntoIterator<Item = Expect>) -> Self {
        self.expects.extend(expects);
        self
    }
}
