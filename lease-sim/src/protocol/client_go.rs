//! The elector of client-go.

use std::time::Duration;

use lease_core::{Acquisition, Input, LostReason, MonoTime, Now, Output, ReleaseOutcome, WakeReason};
use serde_json::{Value, json};

use super::Protocol;
use super::common::{Desk, FOR_EVER, Jitter, PeerSettings, Record, Reply, acquisition, stamp};

/// The leader election of client-go 1.20.2 with a Lease as its lock and `ReleaseOnCancel`.
///
/// This is a model of the protocol, not the library's code. The rules modelled:
///
/// * `LeaseDuration` is the ttl, `RenewDeadline` two thirds of it and `RetryPeriod` two fifteenths: the
///   documented 15/10/2 s, and 6/4/0.8 s for a ttl of 6 s. The duration on the wire is cut to whole seconds.
/// * An attempt is a GET and, where that lets it, a POST (404) or a PUT with the resource version that was
///   read. The PUT keeps `metadata` and writes a new `spec`.
/// * A contender waits for its own `LeaseDuration` since it last *saw the record change*, by its monotonic
///   clock, whatever the record's times say. An empty holder is free at once.
/// * Acquiring, attempts follow each other by `RetryPeriod` × (1 + 1.2 × random), and a request is waited for
///   without end.
/// * Holding, a round of attempts begins at once and then `RetryPeriod` after the last success; within it
///   attempts are repeated on a grid of `RetryPeriod` until `RenewDeadline` after the round's begin, which
///   also ends the request under way.
/// * A round that fails ends the term: the lease is released if the elector still thinks that it is the
///   leader, without a limit of time, and only then `OnStoppedLeading` (here: `Lost`) is called. The
///   program's loop starts a new elector.
/// * `IsLeader()` is "the last record observed names me": a flag that nothing expires. The local answer is that
///   of a program which asks it between `OnStartedLeading` and `OnStoppedLeading`.
/// * A release is one PUT: no holder, a duration of one second, the resource version at hand. A GET that was
///   cancelled or failed has wiped the version; then nothing is sent and the record stays as it is.
///   `Release` stands for cancelling the program's context: the program asks no more from then on.
/// * There is no single try: `TryAcquire` runs the elector.
#[derive(Clone, Debug)]
pub struct ClientGo {
    desk: Desk,
    jitter: Jitter,
    renew_deadline: Duration,
    retry_period: Duration,
    /// Whether the program wants to lead.
    wanted: bool,
    tried: bool,
    elector: Elector,
    phase: Phase,
}

/// What one run of the elector knows.
#[derive(Clone, Debug, Default)]
struct Elector {
    /// The last record that was seen, to notice changes.
    observed: Option<Value>,
    observed_holder: Option<String>,
    observed_at: MonoTime,
    /// The lock's copy of the object.
    lock: Option<Record>,
    /// Present while it renews.
    round: Option<Round>,
}

/// One round of attempts to renew.
#[derive(Clone, Copy, Debug)]
struct Round {
    deadline: MonoTime,
    /// When its first attempt failed: the origin of the grid on which it is repeated.
    grid: Option<MonoTime>,
}

#[derive(Clone, Debug)]
enum Phase {
    Off,
    Sleeping {
        until: MonoTime,
    },
    Getting,
    Creating,
    Updating {
        from: Acquisition,
    },
    /// The release after a lost term.
    Surrendering,
    /// The release that the program asked for.
    Releasing,
}

impl ClientGo {
    /// An elector that waits to be run.
    #[must_use]
    pub fn new(settings: PeerSettings) -> Self {
        let (ttl, seed) = (settings.ttl, settings.seed);
        Self {
            desk: Desk::new(settings, "client-go"),
            jitter: Jitter::new(seed),
            renew_deadline: ttl * 2 / 3,
            retry_period: ttl * 2 / 15,
            wanted: false,
            tried: false,
            elector: Elector::default(),
            phase: Phase::Off,
        }
    }

    fn is_leader(&self) -> bool {
        self.elector.observed_holder.as_deref() == Some(self.desk.identity())
    }

    fn spec(&self, now: Now, acquired: Value, transitions: i64) -> Value {
        json!({
            "holderIdentity": self.desk.identity(),
            "leaseDurationSeconds": self.desk.ttl().as_secs(),
            "acquireTime": acquired,
            "renewTime": stamp(now.wall),
            "leaseTransitions": transitions,
        })
    }

    fn deadline(&self) -> Option<MonoTime> {
        self.elector.round.map(|round| round.deadline)
    }

    fn attempt(&mut self) {
        let request = self.desk.get();
        self.desk.ask(request, self.deadline());
        self.phase = Phase::Getting;
    }

    fn got(&mut self, now: Now, reply: Reply) {
        let record = match reply {
            Reply::Lease(record) => record,
            Reply::Missing => {
                self.elector.lock = None;
                let spec = self.spec(now, stamp(now.wall).into(), 0);
                let request = self.desk.post(&self.desk.fresh(spec));
                self.desk.ask(request, self.deadline());
                self.phase = Phase::Creating;
                return;
            }
            _ => {
                // The empty result of a failed GET overwrites the lock's copy.
                self.elector.lock = None;
                return self.attempt_failed(now);
            }
        };
        let seen = record.spec();
        if self.elector.observed.as_ref() != Some(&seen) {
            self.elector.observed = Some(seen);
            self.elector.observed_holder = Some(record.holder().unwrap_or_default().to_owned());
            self.elector.observed_at = now.mono;
        }
        self.elector.lock = Some(record.clone());
        let live = now.mono < self.elector.observed_at.saturating_add(self.desk.ttl());
        if record.holder().is_some() && live && !self.is_leader() {
            return self.attempt_failed(now);
        }
        let spec = record.spec();
        let spec = if self.is_leader() {
            self.spec(now, spec["acquireTime"].clone(), record.transitions().unwrap_or(0))
        } else {
            self.spec(now, stamp(now.wall).into(), record.next_transition())
        };
        let request = self.desk.put(&record.with_spec(spec));
        self.desk.ask(request, self.deadline());
        self.phase = Phase::Updating { from: acquisition(Some(&record), self.desk.identity()) };
    }

    fn wrote(&mut self, now: Now, reply: Reply, from: Acquisition) {
        let Reply::Lease(record) = reply else { return self.attempt_failed(now) };
        self.elector.observed_holder = Some(self.desk.identity().to_owned());
        self.elector.observed_at = now.mono;
        self.desk.holds(&record, FOR_EVER, from);
        self.desk.attempt_acquired(&mut self.tried);
        self.elector.lock = Some(record);
        if self.elector.round.is_none() {
            // Renewing begins with a round of its own, at once.
            self.begin_round(now);
        } else {
            self.phase = Phase::Sleeping { until: now.mono.saturating_add(self.retry_period) };
        }
    }

    fn begin_round(&mut self, now: Now) {
        let deadline = now.mono.saturating_add(self.renew_deadline);
        self.elector.round = Some(Round { deadline, grid: None });
        self.attempt();
    }

    fn attempt_failed(&mut self, now: Now) {
        let Some(round) = &mut self.elector.round else {
            let most = self.retry_period * 11 / 5;
            let pause = self.jitter.between(self.retry_period, most);
            self.phase = Phase::Sleeping { until: now.mono.saturating_add(pause) };
            return;
        };
        if now.mono >= round.deadline {
            return self.surrender(now);
        }
        let grid = *round.grid.get_or_insert(now.mono);
        let steps = now.mono.saturating_since(grid).as_nanos() / self.retry_period.as_nanos().max(1) + 1;
        let next = grid.saturating_add(self.retry_period * u32::try_from(steps).unwrap_or(u32::MAX));
        self.phase = Phase::Sleeping { until: next.min(round.deadline) };
    }

    /// The round has failed: releases first, calls back then.
    fn surrender(&mut self, now: Now) {
        if self.is_leader() && self.put_release(now) {
            self.phase = Phase::Surrendering;
        } else {
            self.stopped(now);
        }
    }

    fn put_release(&mut self, now: Now) -> bool {
        let Some(lock) = &self.elector.lock else { return false };
        let spec = json!({
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": stamp(now.wall),
            "renewTime": stamp(now.wall),
            "leaseTransitions": lock.transitions().unwrap_or(0),
        });
        let request = self.desk.put(&lock.with_spec(spec));
        self.desk.ask(request, None);
        true
    }

    fn stopped(&mut self, now: Now) {
        let other = self.elector.observed_holder.as_deref().is_some_and(|name| !name.is_empty());
        self.desk.lost(if other && !self.is_leader() {
            LostReason::TakenOver { by: None }
        } else {
            LostReason::Expired { last: None }
        });
        self.elector = Elector { observed_at: now.mono, ..Elector::default() };
        self.phase = Phase::Off;
        if self.wanted {
            self.attempt();
        }
    }

    fn release(&mut self, now: Now) {
        self.wanted = false;
        self.desk.attempt_ended(&mut self.tried, lease_core::AttemptOutcome::Cancelled);
        match self.phase {
            Phase::Releasing => return,
            // Its reply ends both.
            Phase::Surrendering => {
                self.desk.released();
                self.phase = Phase::Releasing;
                return;
            }
            Phase::Getting if self.desk.abort() => self.elector.lock = None,
            _ => {
                self.desk.abort();
            }
        }
        let led = self.elector.round.is_some();
        self.desk.released();
        if led && self.is_leader() && self.put_release(now) {
            self.phase = Phase::Releasing;
            return;
        }
        let outcome = if led && self.is_leader() {
            ReleaseOutcome::Unconfirmed { expires_at: now.mono.saturating_add(self.desk.ttl()), last: None }
        } else {
            ReleaseOutcome::Nothing
        };
        self.desk.release_ended(outcome);
        self.elector = Elector::default();
        self.phase = Phase::Off;
    }

    fn replied(&mut self, now: Now, reply: Reply) {
        match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Getting => self.got(now, reply),
            Phase::Creating => self.wrote(now, reply, Acquisition::Created),
            Phase::Updating { from } => self.wrote(now, reply, from),
            Phase::Surrendering => {
                if matches!(reply, Reply::Lease(_)) {
                    self.elector.observed_holder = None;
                }
                self.stopped(now);
            }
            Phase::Releasing => {
                self.desk.release_answered(now.mono, &reply);
                self.elector = Elector::default();
                if self.wanted {
                    self.attempt();
                }
            }
            Phase::Off | Phase::Sleeping { .. } => {}
        }
    }
}

impl Protocol for ClientGo {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Campaign | Input::TryAcquire => {
                self.tried |= matches!(input, Input::TryAcquire);
                self.wanted = true;
                if matches!(self.phase, Phase::Off) {
                    self.attempt();
                }
            }
            Input::Release => self.release(now),
            Input::Response { id, response } if self.desk.answers(id) => {
                self.replied(now, Reply::read(&response));
            }
            Input::Failed { id, .. } if self.desk.answers(id) => self.replied(now, Reply::Nothing),
            _ => {}
        }
        if self.desk.gives_up(now.mono) {
            self.replied(now, Reply::Nothing);
        }
        if let Phase::Sleeping { until } = self.phase
            && now.mono >= until
        {
            match self.elector.round {
                Some(round) if round.grid.is_none() => self.begin_round(now),
                Some(round) if now.mono >= round.deadline => self.surrender(now),
                _ => self.attempt(),
            }
        }
    }

    fn poll(&mut self) -> Output {
        let timer = match self.phase {
            Phase::Sleeping { until } => Some(until),
            _ => None,
        };
        let reason = if self.elector.round.is_some() { WakeReason::Renewal } else { WakeReason::Poll };
        self.desk.poll(timer, reason)
    }

    fn held_until(&self, _: MonoTime) -> Option<MonoTime> {
        (self.is_leader() && self.desk.in_term()).then_some(FOR_EVER)
    }
}
