//! The lock of kube-leader-election.

use std::time::Duration;

use lease_core::{
    Acquisition, AttemptOutcome, Input, MonoTime, Now, Output, Problem, ReleaseOutcome, WakeReason,
};
use serde_json::json;

use super::Protocol;
use super::common::{Desk, FOR_EVER, Patch, PeerSettings, Record, Reply, acquisition, denied, stamp};

/// The protocol of kube-leader-election 0.44.0 with the loop and the flag of its published example.
///
/// This is a model of the protocol, not the library's code. The rules modelled:
///
/// * A call is a GET and what follows from it. 404: a POST; its 409 is an error.
/// * The record names me: a merge patch of `renewTime`, without the holder and without a resource version.
///   Its success means *acquired*, whoever the answer names.
/// * The record's `renewTime` + `leaseDurationSeconds` lies before my wall clock: a merge patch of the whole
///   `spec`, without a resource version. Its success means *acquired*.
/// * Anything else means *not acquired*. A field that is missing in the record is an error, for ever.
/// * The program calls every third of the ttl, counted from the end of the last call, and keeps the outcome
///   in a flag. An error leaves the flag as it is, and nothing expires it.
/// * Nothing limits a request's time (kube 4.2 has no read timeout).
/// * A release is a GET, then, if it names me, a merge patch without a resource version: no holder, and a
///   duration of one second (by the 1.05 s that takeovers after a release were measured to take at least).
///   The flag is taken down first. A call under way is dropped.
/// * `TryAcquire` is one call and no loop.
#[derive(Clone, Debug)]
pub struct KubeLeaderElection {
    desk: Desk,
    pause: Duration,
    /// Whether the program's loop runs.
    looping: bool,
    tried: bool,
    leading: bool,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    Off,
    Sleeping { until: MonoTime },
    Getting,
    Writing { from: Acquisition },
    CheckingRelease,
    Releasing,
}

impl KubeLeaderElection {
    /// A lock that nobody has called yet.
    #[must_use]
    pub fn new(settings: PeerSettings) -> Self {
        let pause = settings.ttl / 3;
        let desk = Desk::new(settings, "kube-leader-election");
        Self { desk, pause, looping: false, tried: false, leading: false, phase: Phase::Off }
    }

    fn call(&mut self) {
        let request = self.desk.get();
        self.desk.ask(request, None);
        self.phase = Phase::Getting;
    }

    fn got(&mut self, now: Now, reply: &Reply) {
        let record = match reply {
            Reply::Lease(record) => record,
            Reply::Missing => {
                let spec = self.whole_spec(now, 1);
                let request = self.desk.post(&self.desk.fresh(spec));
                self.desk.ask(request, None);
                self.phase = Phase::Writing { from: Acquisition::Created };
                return;
            }
            _ => return self.call_failed(now, reply.problem()),
        };
        let Some(holder) = record.holder_field() else {
            return self.call_failed(now, Problem::NotConfirmed);
        };
        let spec = if holder == self.desk.identity() {
            json!({ "renewTime": stamp(now.wall) })
        } else {
            match (record.expiry(), record.transitions()) {
                (Some(expiry), _) if now.wall <= expiry => return self.not_acquired(now, record),
                (Some(_), Some(_)) => self.whole_spec(now, record.next_transition()),
                _ => return self.call_failed(now, Problem::NotConfirmed),
            }
        };
        let request = self.desk.patch(Patch::Merge, "", &json!({ "spec": spec }));
        self.desk.ask(request, None);
        self.phase = Phase::Writing { from: acquisition(Some(record), self.desk.identity()) };
    }

    fn whole_spec(&self, now: Now, transitions: i64) -> serde_json::Value {
        json!({
            "holderIdentity": self.desk.identity(),
            "leaseDurationSeconds": self.desk.ttl().as_secs(),
            "acquireTime": stamp(now.wall),
            "renewTime": stamp(now.wall),
            "leaseTransitions": transitions,
        })
    }

    fn wrote(&mut self, now: Now, reply: Reply, from: Acquisition) {
        let Reply::Lease(record) = reply else { return self.call_failed(now, reply.problem()) };
        self.leading = true;
        self.desk.holds(&record, FOR_EVER, from);
        self.desk.attempt_acquired(&mut self.tried);
        self.pause(now);
    }

    fn not_acquired(&mut self, now: Now, record: &Record) {
        self.leading = false;
        self.desk.lost(self.desk.why_lost(record));
        let outcome = denied(now.mono.saturating_add(self.pause));
        self.desk.attempt_ended(&mut self.tried, outcome);
        self.pause(now);
    }

    fn call_failed(&mut self, now: Now, problem: Problem) {
        let again = self.looping.then(|| now.mono.saturating_add(self.pause));
        self.desk.attempt_ended(&mut self.tried, AttemptOutcome::Failed(problem.clone()));
        self.desk.trouble(problem, again);
        self.pause(now);
    }

    fn pause(&mut self, now: Now) {
        self.phase = if self.looping {
            Phase::Sleeping { until: now.mono.saturating_add(self.pause) }
        } else {
            Phase::Off
        };
    }

    fn release(&mut self) {
        if matches!(self.phase, Phase::CheckingRelease | Phase::Releasing) {
            return;
        }
        self.looping = false;
        self.desk.attempt_ended(&mut self.tried, AttemptOutcome::Cancelled);
        self.desk.abort();
        self.desk.released();
        if std::mem::take(&mut self.leading) {
            let request = self.desk.get();
            self.desk.ask(request, None);
            self.phase = Phase::CheckingRelease;
        } else {
            self.desk.release_ended(ReleaseOutcome::Nothing);
            self.phase = Phase::Off;
        }
    }

    fn release_checked(&mut self, now: Now, reply: &Reply) {
        match reply {
            Reply::Lease(record) if record.holder() == Some(self.desk.identity()) => {
                let time = stamp(now.wall);
                let spec = json!({
                    "holderIdentity": "",
                    "leaseDurationSeconds": 1,
                    "acquireTime": time,
                    "renewTime": time,
                });
                let request = self.desk.patch(Patch::Merge, "", &json!({ "spec": spec }));
                self.desk.ask(request, None);
                self.phase = Phase::Releasing;
            }
            Reply::Lease(_) => {
                self.desk.release_ended(ReleaseOutcome::NotOurs);
                self.released();
            }
            _ => {
                self.desk.release_answered(now.mono, reply);
                self.released();
            }
        }
    }

    fn released(&mut self) {
        self.phase = Phase::Off;
        if self.looping {
            self.call();
        }
    }

    fn replied(&mut self, now: Now, reply: Reply) {
        match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Getting => self.got(now, &reply),
            Phase::Writing { from } => self.wrote(now, reply, from),
            Phase::CheckingRelease => self.release_checked(now, &reply),
            Phase::Releasing => {
                self.desk.release_answered(now.mono, &reply);
                self.released();
            }
            Phase::Off | Phase::Sleeping { .. } => {}
        }
    }
}

impl Protocol for KubeLeaderElection {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Campaign => {
                self.looping = true;
                if matches!(self.phase, Phase::Off) {
                    self.call();
                }
            }
            Input::TryAcquire => {
                self.tried = true;
                if matches!(self.phase, Phase::Off | Phase::Sleeping { .. }) {
                    self.call();
                }
            }
            Input::Release => self.release(),
            Input::Response { id, response } if self.desk.answers(id) => {
                self.replied(now, Reply::read(&response));
            }
            Input::Failed { id, .. } if self.desk.answers(id) => self.replied(now, Reply::Nothing),
            _ => {}
        }
        if matches!(self.phase, Phase::Sleeping { until } if now.mono >= until) {
            self.call();
        }
    }

    fn poll(&mut self) -> Output {
        let timer = match self.phase {
            Phase::Sleeping { until } => Some(until),
            _ => None,
        };
        let reason = if self.leading { WakeReason::Renewal } else { WakeReason::Poll };
        self.desk.poll(timer, reason)
    }

    fn held_until(&self, _: MonoTime) -> Option<MonoTime> {
        self.leading.then_some(FOR_EVER)
    }
}
