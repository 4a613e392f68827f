//! One holder, its handles, and all that was seen of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::driver::{Events, Interrupted, Runtime as _, Subscription};
use lease_core::{Config, Event, FencingToken, LostReason, ReleasePolicy};
use lease_sim::memory::{Cluster, Lease};

use super::dice::Dice;
use super::other_threads::{OtherThreads, SharedClock};
use super::surroundings::{FewThreads, Moody};

/// What somebody writes down for the verdict.
pub(crate) type Notes<T> = Arc<Mutex<Vec<T>>>;

/// Held by what must come to its end: it is still there while there are two of it.
pub(crate) type Kept = Arc<()>;

/// How the three holders of a life are set up.
pub(crate) struct Settings {
    policy: ReleasePolicy,
    /// How often there is no thread for blocking work.
    no_thread: u64,
    /// How often a transport panics or loses an answer.
    moods: u64,
    /// Whether they watch.
    watch: bool,
}

impl Settings {
    pub(crate) fn draw(dice: &Dice) -> Self {
        Self {
            policy: if dice.percent(30) { ReleasePolicy::Vacate } else { ReleasePolicy::Delete },
            no_thread: if dice.percent(30) { 60 } else { 0 },
            moods: if dice.percent(30) { 3 } else { 0 },
            watch: dice.percent(50),
        }
    }

    fn config(&self, name: &str) -> Config {
        let ttl = Duration::from_secs(15);
        let builder = Config::builder().namespace("default").name("job").identity(name).ttl(ttl);
        builder.release_policy(self.policy).watch(self.watch).build().unwrap()
    }
}

/// What waits for an answer or has yet to be let go.
#[derive(Default)]
pub(crate) struct Open {
    pub(crate) attempts: Kept,
    pub(crate) releases: Kept,
    pub(crate) works: Kept,
    pub(crate) events: Kept,
    pub(crate) handler: Kept,
    pub(crate) transport: Kept,
}

/// A call of `lost()` while this term was held, and what it resolved with.
pub(crate) struct Waiter {
    pub(crate) token: FencingToken,
    pub(crate) reason: Arc<Mutex<Option<LostReason>>>,
}

pub(crate) struct Holder {
    pub(crate) name: &'static str,
    /// All the same; the holder stops renewing when they are gone, and those that tasks have.
    pub(crate) handles: Vec<Lease>,
    pub(crate) events: Notes<Event>,
    /// What the handler was told, and what keeps it registered.
    pub(crate) heard: Notes<LostReason>,
    subscription: Option<Subscription>,
    /// How much the handler had heard when it was unregistered.
    pub(crate) heard_in_time: Option<usize>,
    /// The terms that were held when they were given back.
    pub(crate) given_back: Notes<FencingToken>,
    pub(crate) waiters: Vec<Waiter>,
    /// How work ended, by its term.
    pub(crate) works: Notes<(FencingToken, Result<(), Interrupted>)>,
    pub(crate) others: OtherThreads,
    /// Its driver was shut down, has panicked or is about to. Nothing else may stop it while there are handles.
    pub(crate) stops: bool,
    pub(crate) open: Open,
}

impl Holder {
    /// `latest` is the highest token of all holders.
    pub(crate) fn start(
        name: &'static str,
        cluster: &Cluster,
        settings: &Settings,
        dice: &Dice,
        latest: &Arc<Mutex<Option<FencingToken>>>,
    ) -> Self {
        let open = Open::default();
        let (time, dice) = (cluster.time().clone(), dice.clone());
        let transport = Moody {
            server: cluster.server().clone(),
            time: time.clone(),
            dice: dice.clone(),
            percent: settings.moods,
            _kept: Arc::clone(&open.transport),
        };
        let others = OtherThreads::default();
        let runtime =
            FewThreads { time: time.clone(), dice, percent: settings.no_thread, others: others.clone() };
        let lease = cluster
            .builder(settings.config(name))
            .clock(SharedClock { time: time.clone(), others: others.clone() })
            .runtime(runtime)
            .transport(transport)
            .spawn()
            .unwrap();
        let heard = Notes::default();
        let subscription = subscribe(&lease, Arc::clone(&heard), Arc::clone(&open.handler));
        let events = Notes::default();
        let listening =
            listen(lease.events(), Arc::clone(&events), Arc::clone(latest), Arc::clone(&open.events));
        time.spawn(Box::pin(listening));
        Self {
            name,
            handles: vec![lease],
            events,
            heard,
            subscription: Some(subscription),
            heard_in_time: None,
            given_back: Notes::default(),
            waiters: Vec::new(),
            works: Notes::default(),
            others,
            stops: false,
            open,
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.handles.first().is_some_and(Lease::check_alive)
    }

    pub(crate) fn unregister(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.unregister();
            self.heard_in_time = Some(self.heard.lock().unwrap().len());
        }
    }
}

fn subscribe(lease: &Lease, heard: Notes<LostReason>, kept: Kept) -> Subscription {
    lease.on_lost(move |reason| {
        let _ = &kept;
        heard.lock().unwrap().push(reason.clone());
    })
}

/// Writes down all that the holder tells, until it says that nothing more will come.
async fn listen(
    mut stream: Events,
    events: Notes<Event>,
    latest: Arc<Mutex<Option<FencingToken>>>,
    _kept: Kept,
) {
    while let Some(event) = stream.next().await {
        if let Event::Acquired { token, .. } = event {
            let before = latest.lock().unwrap().replace(token);
            assert!(before < Some(token), "{token:?} came after {before:?}");
        }
        events.lock().unwrap().push(event);
    }
    assert_eq!(stream.missed(), 0);
}
