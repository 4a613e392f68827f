//! The manager of kube-lease-manager.

use std::time::Duration;

use lease_core::{
    Acquisition, AttemptOutcome, Input, MonoTime, Now, Output, ReleaseOutcome, WakeReason, WallTime,
};
use serde_json::{Value, json};

use super::Protocol;
use super::common::{Desk, FOR_EVER, Jitter, Patch, PeerSettings, Record, Reply, acquisition, stamp};

/// The pause between a forced release and the apply that follows it. The descriptions say that it is random
/// and there to avoid collisions; its length follows from a first acquisition after a median of 0.06 s when
/// six processes start together.
const AFTER_FORCE: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(100));
/// The pauses after conflicts and errors double from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The protocol of kube-lease-manager 0.13.1: its `watch()`, with a `grace` of a third of the ttl.
///
/// This is a model of the protocol, not the library's code. The rules modelled:
///
/// * At the start a GET, and a POST of an empty Lease on 404. Nothing creates it again later.
/// * The record is read again (GET) only when the copy at hand has expired by the wall clock, or names
///   nobody, or after a write.
/// * `is_holder`, the channel's value, is "the copy names me". It is compared, and told, only after a
///   successful read; an error on the way is logged, pauses the loop, and leaves the value as it was. Nothing
///   expires it.
/// * The holder sleeps until `grace` before the record's expiry, then sends a strategic merge patch of
///   `renewTime`, without holder and resource version, and a GET.
/// * A contender sleeps until the expiry that it last read, then GETs. A record that has expired and names
///   somebody is cleared by a patch of nulls without a resource version; after a short random pause follows a
///   server-side apply of the whole `spec` without force, by a field manager named like the identity. A free
///   record is applied to at once. A GET follows the apply, and a field conflict (409) is followed by a pause
///   that doubles from 0.1 s to 5 s and a GET.
/// * Nothing limits a request's time (kube 5 has no read timeout).
/// * A release is the patch of nulls, without a resource version, if the copy names me; the channel's value
///   is false before it.
/// * There is no single try: `TryAcquire` runs the manager.
#[derive(Clone, Debug)]
pub struct KubeLeaseManager {
    desk: Desk,
    jitter: Jitter,
    grace: Duration,
    wanted: bool,
    tried: bool,
    /// The copy of the record.
    copy: Option<Record>,
    /// What an acquisition would have been made from.
    before: Acquisition,
    /// The channel's value.
    told: bool,
    backoff: Duration,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Off,
    Sleeping { until: MonoTime, then: Next },
    Opening,
    Creating,
    Reading,
    Renewing,
    Clearing,
    Applying,
    Releasing,
}

/// What follows a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Open,
    Turn,
    Read,
    Renew,
    Apply,
}

impl KubeLeaseManager {
    /// A manager that waits to be run.
    #[must_use]
    pub fn new(settings: PeerSettings) -> Self {
        Self {
            jitter: Jitter::new(settings.seed),
            grace: settings.ttl / 3,
            desk: Desk::new(settings, "kube-lease-manager"),
            wanted: false,
            tried: false,
            copy: None,
            before: Acquisition::Vacant,
            told: false,
            backoff: BACKOFF.0,
            phase: Phase::Off,
        }
    }

    fn is_holder(&self) -> bool {
        self.copy.as_ref().and_then(Record::holder) == Some(self.desk.identity())
    }

    fn expired(&self, wall: WallTime) -> bool {
        self.copy.as_ref().and_then(Record::expiry).is_none_or(|expiry| expiry <= wall)
    }

    fn start(&mut self) {
        let request = self.desk.get();
        self.desk.ask(request, None);
        self.phase = Phase::Opening;
    }

    fn read(&mut self) {
        let request = self.desk.get();
        self.desk.ask(request, None);
        self.phase = Phase::Reading;
    }

    fn sleep(&mut self, now: Now, pause: Duration, then: Next) {
        self.phase = Phase::Sleeping { until: now.mono.saturating_add(pause), then };
    }

    /// One turn of the loop.
    fn turn(&mut self, now: Now) {
        if self.expired(now.wall) {
            self.read();
        } else {
            self.decide(now);
        }
    }

    /// What to do by the copy at hand, which is either fresh or has not expired.
    fn decide(&mut self, now: Now) {
        self.tell();
        let Some(copy) = &self.copy else { return self.read() };
        let left = copy.expiry().map_or(Duration::ZERO, |expiry| expiry.saturating_since(now.wall));
        if self.is_holder() {
            match left.saturating_sub(self.grace) {
                Duration::ZERO => self.renew(now),
                pause => self.sleep(now, pause, Next::Renew),
            }
        } else if copy.holder().is_some() && !left.is_zero() {
            self.sleep(now, left, Next::Turn);
        } else {
            self.before = acquisition(Some(copy), self.desk.identity());
            if copy.holder().is_some() {
                self.clear();
                self.phase = Phase::Clearing;
            } else {
                self.apply(now);
            }
        }
    }

    /// Compares the copy with what the channel says.
    fn tell(&mut self) {
        let Some(copy) = &self.copy else { return };
        let holder = copy.holder() == Some(self.desk.identity());
        if holder {
            self.desk.holds(copy, FOR_EVER, self.before.clone());
            self.desk.attempt_acquired(&mut self.tried);
        } else {
            let reason = self.desk.why_lost(copy);
            self.desk.lost(reason);
        }
        self.told = holder;
    }

    fn renew(&mut self, now: Now) {
        let patch = json!({ "spec": { "renewTime": stamp(now.wall) } });
        let request = self.desk.patch(Patch::Strategic, "", &patch);
        self.desk.ask(request, None);
        self.phase = Phase::Renewing;
    }

    fn clear(&mut self) {
        let patch = json!({ "spec": {
            "holderIdentity": null,
            "leaseDurationSeconds": null,
            "acquireTime": null,
            "renewTime": null,
            "leaseTransitions": null,
        } });
        let request = self.desk.patch(Patch::Strategic, "", &patch);
        self.desk.ask(request, None);
    }

    fn apply(&mut self, now: Now) {
        let transitions = self.copy.as_ref().map_or(0, Record::next_transition);
        let object: Value = self.desk.fresh(json!({
            "holderIdentity": self.desk.identity(),
            "leaseDurationSeconds": self.desk.ttl().as_secs(),
            "acquireTime": stamp(now.wall),
            "renewTime": stamp(now.wall),
            "leaseTransitions": transitions,
        }));
        let request = self.desk.patch(Patch::Apply(false), self.desk.identity(), &object);
        self.desk.ask(request, None);
        self.phase = Phase::Applying;
    }

    /// Logs, and goes on later with the copy at hand.
    fn failed(&mut self, now: Now, reply: &Reply, then: Next) {
        let pause = self.backoff;
        self.backoff = (pause * 2).min(BACKOFF.1);
        self.sleep(now, pause, then);
        self.desk.trouble(reply.problem(), Some(now.mono.saturating_add(pause)));
    }

    fn release(&mut self) {
        if self.phase == Phase::Releasing {
            return;
        }
        self.wanted = false;
        self.desk.attempt_ended(&mut self.tried, AttemptOutcome::Cancelled);
        self.desk.abort();
        self.desk.released();
        self.told = false;
        if self.phase != Phase::Off && self.is_holder() {
            self.clear();
            self.phase = Phase::Releasing;
        } else {
            self.desk.release_ended(ReleaseOutcome::Nothing);
            self.phase = Phase::Off;
        }
        self.copy = None;
    }

    fn replied(&mut self, now: Now, reply: Reply) {
        match (self.phase, reply) {
            (Phase::Opening, Reply::Missing) => {
                let request = self.desk.post(&self.desk.fresh(json!({})));
                self.desk.ask(request, None);
                self.phase = Phase::Creating;
            }
            (Phase::Opening | Phase::Creating | Phase::Reading, Reply::Lease(record)) => {
                self.copy = Some(record);
                self.backoff = BACKOFF.0;
                self.decide(now);
            }
            // Somebody else created it first.
            (Phase::Creating, Reply::Conflict) => self.start(),
            (Phase::Opening | Phase::Creating, reply) => {
                // The constructor failed; the program calls it again.
                self.failed(now, &reply, Next::Open);
            }
            // The copy's holder is forgotten, but nothing compares it with what was told.
            (Phase::Reading, reply @ Reply::Missing) => {
                self.copy = None;
                self.failed(now, &reply, Next::Turn);
            }
            (Phase::Renewing | Phase::Applying, Reply::Lease(_)) => self.read(),
            (Phase::Applying, reply @ Reply::Conflict) => self.failed(now, &reply, Next::Read),
            (Phase::Clearing, Reply::Lease(record)) => {
                self.copy = Some(record);
                let pause = self.jitter.between(AFTER_FORCE.0, AFTER_FORCE.1);
                self.sleep(now, pause, Next::Apply);
            }
            (Phase::Reading | Phase::Renewing | Phase::Clearing | Phase::Applying, reply) => {
                self.failed(now, &reply, Next::Turn);
            }
            (Phase::Releasing, reply) => {
                self.desk.release_answered(now.mono, &reply);
                self.phase = Phase::Off;
                if self.wanted {
                    self.start();
                }
            }
            (Phase::Off | Phase::Sleeping { .. }, _) => {}
        }
    }
}

impl Protocol for KubeLeaseManager {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Campaign | Input::TryAcquire => {
                self.tried |= matches!(input, Input::TryAcquire);
                self.wanted = true;
                if self.phase == Phase::Off {
                    self.start();
                }
            }
            Input::Release => self.release(),
            Input::Response { id, response } if self.desk.answers(id) => {
                self.replied(now, Reply::read(&response));
            }
            Input::Failed { id, .. } if self.desk.answers(id) => self.replied(now, Reply::Nothing),
            _ => {}
        }
        while let Phase::Sleeping { until, then } = self.phase
            && now.mono >= until
        {
            match then {
                Next::Open => self.start(),
                Next::Turn => self.turn(now),
                Next::Read => self.read(),
                Next::Renew if self.expired(now.wall) => self.read(),
                Next::Renew => self.renew(now),
                Next::Apply => self.apply(now),
            }
        }
    }

    fn poll(&mut self) -> Output {
        let (timer, reason) = match self.phase {
            Phase::Sleeping { until, then: Next::Renew } => (Some(until), WakeReason::Renewal),
            Phase::Sleeping { until, .. } => (Some(until), WakeReason::Poll),
            _ => (None, WakeReason::Nothing),
        };
        self.desk.poll(timer, reason)
    }

    fn held_until(&self, _: MonoTime) -> Option<MonoTime> {
        self.told.then_some(FOR_EVER)
    }
}
