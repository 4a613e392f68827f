//! A thread that looks at handles all the time: nothing of tokio is between it and `check_alive`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::adapter::{Clock, Lease, MonoTime, SystemClock};

/// Between two looks.
const PAUSE: Duration = Duration::from_micros(250);

/// What the thread saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How often it looked.
    pub looks: u64,
    /// How often nobody held.
    pub nobody: u64,
    /// How often another term than at the last look that saw one.
    pub terms: u64,
    /// Two that held at one and the same instant: there must be none.
    pub overlaps: Vec<String>,
    /// The longest time between two looks.
    pub longest_gap: Duration,
    /// When a term was seen last.
    pub last_held: Option<MonoTime>,
}

/// Looks until [`stop`](Sampler::stop).
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

impl Sampler {
    pub fn start(leases: &[Lease]) -> Self {
        let leases = leases.to_vec();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || sample(&leases, &stopped));
        Self { stop, thread: Some(thread) }
    }

    pub fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn sample(leases: &[Lease], stopped: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut last_token = None;
    let mut last_look: Option<MonoTime> = None;
    while !stopped.load(Ordering::SeqCst) {
        let now = SystemClock.now().mono;
        if let Some(last) = last_look.replace(now) {
            seen.longest_gap = seen.longest_gap.max(now.saturating_since(last));
        }
        seen.looks += 1;
        let mut holder: Option<(&Lease, crate::adapter::Held)> = None;
        for lease in leases {
            let Some(held) = lease.held() else { continue };
            // One after the other is no overlap. A term never comes back, so one that is seen before and after
            // another has run all the time between.
            if let Some((first, before)) = &holder
                && first.held().is_some_and(|after| after.token == before.token)
            {
                let pair =
                    format!("{:?} and {:?} at {now:?}", first.config().identity(), lease.config().identity());
                seen.overlaps.push(pair);
            }
            holder = Some((lease, held));
        }
        match holder {
            None => seen.nobody += 1,
            Some((_, held)) => {
                seen.last_held = Some(now);
                if last_token.replace(held.token) != Some(held.token) {
                    seen.terms += 1;
                }
            }
        }
        thread::park_timeout(PAUSE);
    }
    seen
}
