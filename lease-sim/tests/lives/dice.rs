//! What a life draws from its seed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_sim::plan::{Seeded, Source as _};

/// Keeps these numbers apart from those that plans draw from the same seeds.
const DOMAIN: u64 = 0x6c69_7665;

/// Numbers that decide. Clones draw from one sequence, in the order in which they get to: virtual time has one
/// thread, so that order is the seed's as well.
#[derive(Clone)]
pub(crate) struct Dice(Arc<Mutex<Seeded>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Seeded::new(seed, DOMAIN))))
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.lock().unwrap().below(end)
    }

    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Less than `end` milliseconds.
    pub(crate) fn millis(&self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}
