//! What a holder tells, and what it shows: noted and waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lease_core::driver::{Adapter, Clock, Events, Lease, Subscription, SystemClock};
use lease_core::{Event, Held, LostReason, MonoTime};

use super::bench::Bench;

impl<A: Adapter> Bench<A> {
    /// The next event that `pick` picks; those before it are dropped.
    pub(super) async fn next_event<T>(
        &self,
        events: &mut Events,
        what: &str,
        pick: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        self.next_event_within(events, what, self.patience(), pick).await
    }

    /// The same, where it matters how soon that is.
    pub(super) async fn next_event_within<T>(
        &self,
        events: &mut Events,
        what: &str,
        within: Duration,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let picked = self.timeout(within, async {
            loop {
                let event = events.next().await.expect("the holder goes on telling");
                if let Some(picked) = pick(&event) {
                    return picked;
                }
            }
        });
        picked.await.unwrap_or_else(|| panic!("not told within {within:?}: {what}"))
    }

    /// The next confirmed renewal.
    pub(super) async fn renewed(&self, events: &mut Events) {
        self.next_event(events, "a renewal", |event| {
            assert!(!matches!(event, Event::Lost { .. }), "lost: {event:?}");
            matches!(event, Event::Renewed { .. }).then_some(())
        })
        .await;
    }

    /// Everything that was told and is not read yet.
    pub(super) async fn told(&self, events: &mut Events) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(Some(event)) = self.timeout(Duration::ZERO, events.next()).await {
            all.push(event);
        }
        all
    }
}

/// The losses that a handler of `on_lost` was told of.
pub(super) struct Losses {
    reasons: Arc<Mutex<Vec<LostReason>>>,
    subscription: Subscription,
}

impl Losses {
    pub(super) fn of<A: Adapter>(lease: &Lease<A>) -> Self {
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&reasons);
        let subscription = lease.on_lost(move |reason| noted.lock().unwrap().push(reason.clone()));
        Self { reasons, subscription }
    }

    /// Where they are noted, also after this is dropped.
    pub(super) fn reasons(&self) -> Arc<Mutex<Vec<LostReason>>> {
        Arc::clone(&self.reasons)
    }

    pub(super) fn all(&self) -> Vec<LostReason> {
        self.reasons.lock().unwrap().clone()
    }

    /// Not told any more from here on.
    pub(super) fn unregister(self) -> Arc<Mutex<Vec<LostReason>>> {
        self.subscription.unregister();
        self.reasons
    }

    /// Waits for the one loss. That there is no second one is for the caller to see, with [`all`](Self::all).
    pub(super) async fn one<A: Adapter>(&self, bench: &Bench<A>) -> LostReason {
        bench.until("a handler of on_lost is called", || !self.all().is_empty()).await;
        let all = self.all();
        assert_eq!(all.len(), 1, "one loss is told once: {all:?}");
        all[0].clone()
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_micros(250);

/// What a [`Sampler`] saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// How often it looked.
    pub(super) looks: u64,
    /// How often nobody held.
    pub(super) nobody: u64,
    /// How often another term than at the last look that saw one.
    pub(super) terms: u64,
    /// Two that held at one and the same instant: there must be none.
    pub(super) overlaps: Vec<String>,
    /// The longest time between two looks.
    pub(super) longest_gap: Duration,
    /// When a term was seen last.
    pub(super) last_held: Option<MonoTime>,
}

/// A thread that looks at handles all the time: no runtime is between it and `check_alive`.
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

impl Sampler {
    pub(super) fn start<A: Adapter>(leases: &[Lease<A>]) -> Self {
        let leases = leases.to_vec();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || sample(&leases, &stopped));
        Self { stop, thread: Some(thread) }
    }

    pub(super) fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn sample<A: Adapter>(leases: &[Lease<A>], stopped: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut last_token = None;
    let mut last_look: Option<MonoTime> = None;
    while !stopped.load(Ordering::SeqCst) {
        let now = SystemClock.now().mono;
        if let Some(last) = last_look.replace(now) {
            seen.longest_gap = seen.longest_gap.max(now.saturating_since(last));
        }
        seen.looks += 1;
        let mut holder: Option<(&Lease<A>, Held)> = None;
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
