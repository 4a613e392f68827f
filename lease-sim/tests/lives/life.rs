//! One life: three holders, what is done with them, what befalls them, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use lease_sim::memory::Cluster;

use super::deeds::Doer;
use super::dice::Dice;
use super::holder::{Holder, Settings};
use super::surroundings::Trouble;
use super::verdict::{self, Tally};

/// Longer than any retry, quarantine or time-out of a release takes when nothing is wrong.
const HEALING: Duration = Duration::from_secs(120);

/// Longer than three campaigns that nobody watches any more need to get the lease and to let it expire in turn.
const ENDING: Duration = Duration::from_secs(300);

struct Life {
    cluster: Cluster,
    dice: Dice,
    trouble: Trouble,
    doer: Doer,
    holders: Vec<Holder>,
}

/// Lives the life of this seed and judges it.
pub(crate) fn live(seed: u64) -> Tally {
    let mut life = Life::new(seed);
    let cluster = life.cluster.clone();
    cluster.block_on(async {
        for _ in 0..60 + life.dice.below(100) {
            life.step().await;
        }
        life.heal().await;
        life.end().await;
    });
    let mut tally = Tally::default();
    for holder in &life.holders {
        tally += verdict::of(holder);
    }
    tally
}

impl Life {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let cluster = Cluster::new();
        let settings = Settings::draw(&dice);
        let trouble = Trouble::default();
        trouble.befalls(&cluster, &dice);
        let latest = Arc::default();
        let holders = ["a", "b", "c"]
            .into_iter()
            .map(|name| Holder::start(name, &cluster, &settings, &dice, &latest))
            .collect();
        let doer = Doer { time: cluster.time().clone(), dice: dice.clone() };
        Self { cluster, dice, trouble, doer, holders }
    }

    async fn step(&mut self) {
        match self.dice.below(16) {
            0 => self.trouble.set(self.dice.below(100)),
            1 => self.trouble.set(0),
            2 => self.cluster.time().suspend(self.dice.millis(20_000)),
            _ => {}
        }
        let at = self.dice.below(self.holders.len() as u64) as usize;
        self.doer.act(&mut self.holders[at]);
        self.one_holds_at_most();
        for _ in 0..self.dice.below(4) {
            self.cluster.sleep(self.dice.millis(2500)).await;
            self.one_holds_at_most();
        }
    }

    /// The server is well again: every release that somebody waits for has its answer after a while.
    async fn heal(&mut self) {
        self.trouble.set(0);
        for holder in &self.holders {
            holder.others.end();
        }
        let slice = Duration::from_secs(3);
        for _ in 0..HEALING.as_secs() / slice.as_secs() {
            self.cluster.sleep(slice).await;
            self.one_holds_at_most();
        }
        for holder in &self.holders {
            verdict::releases_are_answered(holder);
        }
    }

    /// Everybody lets go. Campaigns end with a release, or else with the lease when the others are gone.
    async fn end(&mut self) {
        let mut releases = Vec::new();
        for holder in &mut self.holders {
            let lease = holder.handles.pop();
            holder.handles.clear();
            releases.extend(lease.map(|lease| (holder.name, holder.stops, lease.release())));
        }
        self.cluster.sleep(ENDING).await;
        for (name, stops, release) in releases {
            let answer = release.await;
            assert!(stops || answer.is_ok(), "{name} has stopped by itself: {answer:?}");
        }
    }

    fn one_holds_at_most(&self) {
        let holding: Vec<_> =
            self.holders.iter().filter(|holder| holder.holds()).map(|holder| holder.name).collect();
        assert!(holding.len() <= 1, "{holding:?} all hold");
    }
}
