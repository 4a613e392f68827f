//! The lease manager of kubert.

use std::time::Duration;

use lease_core::{
    Acquisition, AttemptOutcome, Input, LostReason, MonoTime, Now, Output, ReleaseOutcome, WakeReason,
    WallTime,
};
use serde_json::{Value, json};

use super::Protocol;
use super::common::{Desk, Patch, PeerSettings, Record, Reply, acquisition, stamp};

/// How long each request may take.
const API_TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses before the three retries, for who holds the lease and for who does not.
const RETRIES: [[u64; 3]; 2] = [[1, 1, 1], [1, 0, 0]];

/// The protocol of kubert 0.25.0: `LeaseManager::spawn` with a `renew_grace_period` of a third of the ttl.
///
/// This is a model of the protocol, not the library's code. The rules modelled:
///
/// * The Lease has to exist: the model creates an empty one at the start on 404, in the place of the manifest
///   that does so in a cluster. A 404 later is an error.
/// * A claim is a holder and an expiry, the record's `renewTime` + `leaseDurationSeconds`, judged by the wall
///   clock on both sides; one's own counts from when the write was sent.
/// * The holder sends a merge patch of `renewTime` with the resource version `grace` before the expiry.
/// * A contender sleeps until the expiry that it last read, then tries a forced server-side apply with the
///   resource version of that read: the 409 that a live holder's renewals cause is followed by a GET. A
///   record that names nobody is applied to at once.
/// * Every 409 is followed by a GET and another look, without end.
/// * Every request may take 10 s. Other errors are retried three times, after 1 s each by the holder and
///   after 1, 0 and 0 s by others (the configured backoff is not used); then the task ends for good, and the
///   claim that it left is what the program goes on to see.
/// * `is_current_for`, the local answer, is false at the claim's expiry. Nothing is *sent* to the program
///   then; `Lost` is told here at that instant for the reader of a trace.
/// * Vacating is a merge patch of nulls with the resource version, if the claim is one's own and current. The
///   program drops its claim first.
/// * `TryAcquire` is one `ensure_claimed`, which does not renew.
#[derive(Clone, Debug)]
pub struct Kubert {
    desk: Desk,
    grace: Duration,
    campaigning: bool,
    tried: bool,
    seen: Option<Seen>,
    /// The clocks at the last input: what turns a time of day into an instant.
    clocks: Now,
    retries: usize,
    phase: Phase,
}

/// The record at the last look or write.
#[derive(Clone, Debug)]
struct Seen {
    record: Record,
    holder: Option<String>,
    expiry: WallTime,
}

#[derive(Clone, Debug)]
enum Phase {
    Off,
    Sleeping { until: MonoTime },
    Opening,
    Reading,
    Renewing { sent: WallTime },
    Applying { sent: WallTime, from: Acquisition },
    Vacating,
}

impl Kubert {
    /// A manager that waits to be spawned.
    #[must_use]
    pub fn new(settings: PeerSettings) -> Self {
        Self {
            grace: settings.ttl / 3,
            desk: Desk::new(settings, "kubert"),
            campaigning: false,
            tried: false,
            seen: None,
            clocks: Now::default(),
            retries: 0,
            phase: Phase::Off,
        }
    }

    fn ask(&mut self, now: Now, request: http::Request<bytes::Bytes>, phase: Phase) {
        self.desk.ask(request, Some(now.mono.saturating_add(API_TIMEOUT)));
        self.phase = phase;
    }

    fn read(&mut self, now: Now) {
        let phase = if self.seen.is_some() { Phase::Reading } else { Phase::Opening };
        self.ask(now, self.desk.get(), phase);
    }

    fn mine(&self) -> bool {
        let holder = self.seen.as_ref().and_then(|seen| seen.holder.as_deref());
        holder == Some(self.desk.identity())
    }

    /// What is left of the claim at hand.
    fn left(&self, wall: WallTime) -> Duration {
        self.seen.as_ref().map_or(Duration::ZERO, |seen| seen.expiry.saturating_since(wall))
    }

    /// Sees to it that there is a current claim, be it another's.
    fn ensure_claimed(&mut self, now: Now) {
        let Some(seen) = &self.seen else { return self.read(now) };
        let left = self.left(now.wall);
        let version = seen.record.version();
        if self.mine() && left > self.grace || !self.mine() && !left.is_zero() {
            return self.claimed(now, left);
        }
        let stamp = stamp(now.wall);
        if self.mine() && !left.is_zero() {
            let patch = json!({
                "metadata": { "resourceVersion": version },
                "spec": { "renewTime": stamp },
            });
            let request = self.desk.patch(Patch::Merge, "", &patch);
            return self.ask(now, request, Phase::Renewing { sent: now.wall });
        }
        let transitions = seen.record.next_transition();
        let from = acquisition(Some(&seen.record), self.desk.identity());
        let mut object = self.desk.fresh(json!({
            "holderIdentity": self.desk.identity(),
            "leaseDurationSeconds": self.desk.ttl().as_secs(),
            "acquireTime": stamp,
            "renewTime": stamp,
            "leaseTransitions": transitions,
        }));
        object["metadata"]["resourceVersion"] = version;
        let request = self.desk.patch(Patch::Apply(true), "kubert", &object);
        self.ask(now, request, Phase::Applying { sent: now.wall, from });
    }

    /// There is a claim: sleeps until it is to be renewed or may be taken.
    fn claimed(&mut self, now: Now, left: Duration) {
        self.retries = 0;
        if self.mine() {
            self.desk.attempt_acquired(&mut self.tried);
        } else {
            let outcome = super::common::denied(now.mono.saturating_add(left));
            self.desk.attempt_ended(&mut self.tried, outcome);
        }
        self.phase = if self.campaigning {
            let pause = if self.mine() { left.saturating_sub(self.grace) } else { left };
            Phase::Sleeping { until: now.mono.saturating_add(pause) }
        } else {
            Phase::Off
        };
    }

    fn looked(&mut self, now: Now, record: Record) {
        let holder = record.holder().map(str::to_owned);
        // A record without times is nobody's.
        let expiry = record.expiry().filter(|_| holder.is_some()).unwrap_or_default();
        self.seen = Some(Seen { record, holder, expiry });
        self.tell(now);
        self.ensure_claimed(now);
    }

    fn wrote(&mut self, now: Now, record: Record, sent: WallTime, from: Acquisition) {
        let expiry = sent.saturating_add(self.desk.ttl());
        let until = now.mono.saturating_add(expiry.saturating_since(now.wall));
        if now.wall < expiry {
            self.desk.holds(&record, until, from);
        }
        self.seen = Some(Seen { record, holder: Some(self.desk.identity().to_owned()), expiry });
        self.ensure_claimed(now);
    }

    fn failed(&mut self, now: Now, reply: &Reply) {
        let pauses = RETRIES[usize::from(!self.mine())];
        let retry =
            pauses.get(self.retries).map(|pause| now.mono.saturating_add(Duration::from_secs(*pause)));
        self.retries += 1;
        self.desk.trouble(reply.problem(), retry);
        self.phase = match retry {
            Some(until) => Phase::Sleeping { until },
            None => {
                // The task is dead. Only a new campaign would start another.
                self.campaigning = false;
                self.desk.attempt_ended(&mut self.tried, AttemptOutcome::Failed(reply.problem()));
                Phase::Off
            }
        };
    }

    /// Ends the term in the trace when the claim is no longer current.
    fn tell(&mut self, now: Now) {
        if !self.desk.in_term() {
            return;
        }
        if !self.mine() {
            let reason =
                self.seen.as_ref().map_or(LostReason::Deleted, |seen| self.desk.why_lost(&seen.record));
            self.desk.lost(reason);
        } else if self.left(now.wall).is_zero() {
            self.desk.lost(LostReason::Expired { last: None });
        }
    }

    fn release(&mut self, now: Now) {
        if matches!(self.phase, Phase::Vacating) {
            return;
        }
        self.campaigning = false;
        self.desk.attempt_ended(&mut self.tried, AttemptOutcome::Cancelled);
        self.desk.abort();
        self.desk.released();
        self.phase = Phase::Off;
        let seen = self
            .seen
            .take()
            .filter(|seen| seen.holder.as_deref() == Some(self.desk.identity()) && now.wall < seen.expiry);
        let Some(seen) = seen else {
            return self.desk.release_ended(ReleaseOutcome::Nothing);
        };
        let patch: Value = json!({
            "metadata": { "resourceVersion": seen.record.version() },
            "spec": {
                "holderIdentity": null,
                "leaseDurationSeconds": null,
                "acquireTime": null,
                "renewTime": null,
            },
        });
        let request = self.desk.patch(Patch::Merge, "", &patch);
        self.ask(now, request, Phase::Vacating);
    }

    fn replied(&mut self, now: Now, reply: Reply) {
        match (std::mem::replace(&mut self.phase, Phase::Off), reply) {
            (Phase::Opening, Reply::Missing) => {
                let request = self.desk.post(&self.desk.fresh(json!({})));
                self.ask(now, request, Phase::Opening);
            }
            (Phase::Opening | Phase::Reading, Reply::Lease(record)) => self.looked(now, record),
            (Phase::Renewing { sent }, Reply::Lease(record)) => {
                self.wrote(now, record, sent, Acquisition::Own);
            }
            (Phase::Applying { sent, from }, Reply::Lease(record)) => self.wrote(now, record, sent, from),
            (Phase::Vacating, reply) => {
                self.desk.release_answered(now.mono, &reply);
                if self.campaigning {
                    self.read(now);
                }
            }
            (Phase::Off | Phase::Sleeping { .. }, _) => {}
            (_, Reply::Conflict) => self.read(now),
            (_, reply) => self.failed(now, &reply),
        }
    }

    fn command(&mut self, now: Now) {
        if matches!(self.phase, Phase::Off) {
            self.retries = 0;
            self.ensure_claimed(now);
        }
    }

    fn expires_at(&self) -> Option<MonoTime> {
        let seen = self.seen.as_ref().filter(|_| self.mine())?;
        Some(self.clocks.mono.saturating_add(seen.expiry.saturating_since(self.clocks.wall)))
    }
}

impl Protocol for Kubert {
    fn handle(&mut self, now: Now, input: Input) {
        self.clocks = now;
        self.tell(now);
        match input {
            Input::Campaign => {
                self.campaigning = true;
                self.command(now);
            }
            Input::TryAcquire => {
                self.tried = true;
                if matches!(self.phase, Phase::Sleeping { .. }) {
                    self.phase = Phase::Off;
                }
                self.command(now);
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
        // A retry without a pause is due at once, and may fail no earlier than with the next input.
        if matches!(self.phase, Phase::Sleeping { until } if now.mono >= until) {
            self.phase = Phase::Off;
            self.ensure_claimed(now);
        }
    }

    fn poll(&mut self) -> Output {
        let next = match self.phase {
            Phase::Sleeping { until } => Some(until),
            _ => None,
        };
        let expiry = self.expires_at().filter(|_| self.desk.in_term());
        match (expiry, next) {
            (Some(expiry), next) if next.is_none_or(|next| expiry <= next) => {
                self.desk.poll(Some(expiry), WakeReason::TermEnds)
            }
            (_, next) => self.desk.poll(next, WakeReason::Renewal),
        }
    }

    fn held_until(&self, now: MonoTime) -> Option<MonoTime> {
        self.expires_at().filter(|expiry| now < *expiry)
    }
}
