//! The lease of actor-ts, whose contract this project began with.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Request;
use lease_core::{
    Acquisition, AttemptOutcome, Input, LostReason, MonoTime, Now, Output, Problem, ReleaseOutcome,
    RequestId, WakeReason,
};
use serde_json::json;

use super::Protocol;
use super::common::{Desk, FOR_EVER, PeerSettings, Record, Reply, acquisition, denied, stamp};

/// The socket may be idle for that long.
const TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// The protocol of `KubernetesLease` of actor-ts at d219e970.
///
/// This is a model of the protocol, not the library's code. The rules modelled:
///
/// * `acquire()` is at most three attempts, 100 ms apart, of a GET and a POST (404) or a PUT with the resource
///   version that was read; a 409 leads to the next attempt, any other error ends the call. However late the
///   success comes, it sets `held`.
/// * The record may be taken if it names nobody or the own identity, if its `renewTime` lies more than a ttl
///   ahead of the own wall clock, or if `renewTime` + the smaller of its duration and four own ttls is past.
/// * `checkAlive()`, the local answer, is `held`: a flag that nothing expires.
/// * A timer sends a PUT of `renewTime` every third of the ttl, at least 0.5 s, whether or not the one before
///   has been answered. Any answer but a success ends the term: 409, 404, 5xx, a timeout of 10 s.
/// * Answers carry no number of their term: that of an earlier term's PUT ends this one, or sets the copy of
///   the object that the next PUT is made from.
/// * `release()` stops the timer and DELETEs without preconditions, if `held`. While `acquire()` runs the
///   program waits for its end first.
/// * A campaign is the program's loop: `acquire()`, and again a third of the ttl after a denial or a loss.
///
/// The original writes times with three digits of a second, which API servers refuse with 400, the modelled
/// one too. They have six digits here, or there would be nothing to see.
#[derive(Clone, Debug)]
pub struct KubernetesLease {
    desk: Desk,
    period: Duration,
    campaigning: bool,
    tried: bool,
    held: bool,
    current: Option<Record>,
    renew_at: Option<MonoTime>,
    /// When the program's loop calls `acquire()` again.
    look_at: Option<MonoTime>,
    acquiring: Option<Acquiring>,
    release_after: bool,
    /// Renewals and DELETEs that are not answered yet.
    open: BTreeMap<RequestId, Open>,
}

#[derive(Clone, Debug)]
struct Acquiring {
    attempt: u32,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    Pausing { until: MonoTime },
    Getting,
    Writing { from: Acquisition },
}

#[derive(Clone, Copy, Debug)]
struct Open {
    give_up_at: MonoTime,
    release: bool,
}

impl KubernetesLease {
    /// A lease that nobody has asked for yet.
    #[must_use]
    pub fn new(settings: PeerSettings) -> Self {
        Self {
            period: settings.ttl / 3,
            desk: Desk::new(settings, "actor-ts"),
            campaigning: false,
            tried: false,
            held: false,
            current: None,
            renew_at: None,
            look_at: None,
            acquiring: None,
            release_after: false,
            open: BTreeMap::new(),
        }
    }

    fn acquire(&mut self, now: Now, attempt: u32) {
        self.look_at = None;
        let request = self.desk.get();
        self.write(now, request, attempt, Step::Getting);
    }

    fn write(&mut self, now: Now, request: Request<bytes::Bytes>, attempt: u32, step: Step) {
        self.desk.ask(request, Some(now.mono.saturating_add(TIMEOUT)));
        self.acquiring = Some(Acquiring { attempt, step });
    }

    fn spec(&self, now: Now, transitions: i64) -> serde_json::Value {
        let ttl = self.desk.ttl();
        json!({
            "holderIdentity": self.desk.identity(),
            "leaseDurationSeconds": ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0),
            "acquireTime": stamp(now.wall),
            "renewTime": stamp(now.wall),
            "leaseTransitions": transitions,
        })
    }

    /// The record's own fields on top of what it had, known or not.
    fn spread(record: &Record, spec: &serde_json::Value) -> serde_json::Value {
        let mut all = record.spec();
        if let (Some(all), Some(new)) = (all.as_object_mut(), spec.as_object()) {
            all.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        record.with_spec(all)
    }

    fn may_take(&self, now: Now, record: &Record) -> bool {
        let ttl = self.desk.ttl();
        match (record.holder(), record.renewed()) {
            (None, _) | (_, None) => true,
            (Some(holder), _) if holder == self.desk.identity() => true,
            (Some(_), Some(renewed)) => {
                let believed = record.duration().unwrap_or(ttl).min(ttl * 4);
                renewed > now.wall.saturating_add(ttl) || renewed.saturating_add(believed) < now.wall
            }
        }
    }

    fn got(&mut self, now: Now, attempt: u32, reply: &Reply) {
        match reply {
            Reply::Missing => {
                let request = self.desk.post(&self.desk.fresh(self.spec(now, 1)));
                self.write(now, request, attempt, Step::Writing { from: Acquisition::Created });
            }
            Reply::Lease(record) if self.may_take(now, record) => {
                let same = record.holder() == Some(self.desk.identity());
                let transitions =
                    if same { record.transitions().unwrap_or(0) } else { record.next_transition() };
                let object = Self::spread(record, &self.spec(now, transitions));
                let from = acquisition(Some(record), self.desk.identity());
                let request = self.desk.put(&object);
                self.write(now, request, attempt, Step::Writing { from });
            }
            Reply::Lease(_) => {
                let outcome = denied(now.mono.saturating_add(self.period));
                self.acquire_ended(now, outcome);
            }
            _ => self.acquire_ended(now, AttemptOutcome::Failed(reply.problem())),
        }
    }

    fn wrote(&mut self, now: Now, attempt: u32, reply: Reply, from: Acquisition) {
        match reply {
            Reply::Lease(record) => {
                self.held = true;
                self.renew_at = Some(now.mono.saturating_add(self.renewal()));
                self.desk.holds(&record, FOR_EVER, from);
                self.desk.attempt_acquired(&mut self.tried);
                self.current = Some(record);
                self.settle_release(now);
            }
            Reply::Conflict if attempt < ATTEMPTS => {
                let until = now.mono.saturating_add(BETWEEN_ATTEMPTS);
                self.acquiring = Some(Acquiring { attempt, step: Step::Pausing { until } });
            }
            _ => self.acquire_ended(now, AttemptOutcome::Failed(reply.problem())),
        }
    }

    fn acquire_ended(&mut self, now: Now, outcome: AttemptOutcome) {
        self.desk.attempt_ended(&mut self.tried, outcome);
        self.look_again(now);
        self.settle_release(now);
    }

    fn look_again(&mut self, now: Now) {
        self.look_at = self.campaigning.then(|| now.mono.saturating_add(self.period));
    }

    fn settle_release(&mut self, now: Now) {
        if std::mem::take(&mut self.release_after) {
            self.release(now);
        }
    }

    fn renewal(&self) -> Duration {
        self.period.max(Duration::from_millis(500))
    }

    fn renew(&mut self, now: Now) {
        self.renew_at = Some(now.mono.saturating_add(self.renewal()));
        let Some(current) = &self.current else { return };
        let mut spec = current.spec();
        spec["renewTime"] = stamp(now.wall).into();
        let request = self.desk.put(&current.with_spec(spec));
        self.open_request(now, request, false);
    }

    fn open_request(&mut self, now: Now, request: Request<bytes::Bytes>, release: bool) {
        let give_up_at = now.mono.saturating_add(TIMEOUT);
        let id = self.desk.send(request, Some(give_up_at));
        self.open.insert(id, Open { give_up_at, release });
    }

    fn answered(&mut self, now: Now, open: Open, reply: Reply) {
        if open.release {
            return self.desk.release_answered(now.mono, &reply);
        }
        match reply {
            Reply::Lease(record) => {
                if self.held {
                    self.desk.holds(&record, FOR_EVER, Acquisition::Own);
                }
                self.current = Some(record);
            }
            reply if self.held => self.fire_lost(now, &reply),
            _ => {}
        }
    }

    fn fire_lost(&mut self, now: Now, reply: &Reply) {
        self.held = false;
        self.renew_at = None;
        self.desk.lost(match reply {
            Reply::Conflict => LostReason::TakenOver { by: None },
            Reply::Missing => LostReason::Deleted,
            _ => LostReason::Expired { last: Some(Problem::Timeout) },
        });
        self.look_again(now);
    }

    fn release(&mut self, now: Now) {
        self.campaigning = false;
        self.look_at = None;
        if self.acquiring.is_some() {
            self.release_after = true;
            return;
        }
        if self.open.values().any(|open| open.release) {
            return;
        }
        if !std::mem::take(&mut self.held) {
            return self.desk.release_ended(ReleaseOutcome::Nothing);
        }
        self.renew_at = None;
        self.desk.released();
        let request = self.desk.delete();
        self.open_request(now, request, true);
    }

    fn replied(&mut self, now: Now, id: RequestId, reply: Reply) {
        if let Some(open) = self.open.remove(&id) {
            return self.answered(now, open, reply);
        }
        if self.desk.answers(id) {
            self.acquire_replied(now, reply);
        }
    }

    fn acquire_replied(&mut self, now: Now, reply: Reply) {
        let Some(Acquiring { attempt, step }) = self.acquiring.take() else { return };
        match step {
            Step::Getting => self.got(now, attempt, &reply),
            Step::Writing { from } => self.wrote(now, attempt, reply, from),
            Step::Pausing { .. } => {}
        }
    }

    fn timers(&mut self, now: Now) {
        let overdue: Vec<RequestId> =
            self.open.iter().filter(|(_, open)| open.give_up_at <= now.mono).map(|(id, _)| *id).collect();
        for id in overdue {
            self.replied(now, id, Reply::Nothing);
        }
        if self.desk.gives_up(now.mono) {
            self.acquire_replied(now, Reply::Nothing);
        }
        match &self.acquiring {
            Some(Acquiring { attempt, step: Step::Pausing { until } }) if *until <= now.mono => {
                self.acquire(now, attempt + 1);
            }
            None if self.look_at.is_some_and(|at| at <= now.mono) => self.acquire(now, 1),
            _ => {}
        }
        if self.renew_at.is_some_and(|at| at <= now.mono) {
            self.renew(now);
        }
    }
}

impl Protocol for KubernetesLease {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Campaign | Input::TryAcquire => {
                self.campaigning |= matches!(input, Input::Campaign);
                self.tried |= matches!(input, Input::TryAcquire);
                if self.held {
                    self.desk.attempt_acquired(&mut self.tried);
                } else if self.acquiring.is_none() {
                    self.acquire(now, 1);
                }
            }
            Input::Release => self.release(now),
            Input::Response { id, response } => self.replied(now, id, Reply::read(&response)),
            Input::Failed { id, .. } => self.replied(now, id, Reply::Nothing),
            _ => {}
        }
        self.timers(now);
    }

    fn poll(&mut self) -> Output {
        let pause = match &self.acquiring {
            Some(Acquiring { step: Step::Pausing { until }, .. }) => Some((*until, WakeReason::Retry)),
            _ => None,
        };
        let patience = self.open.values().map(|open| (open.give_up_at, WakeReason::GiveUp)).min();
        let renewal = self.renew_at.map(|at| (at, WakeReason::Renewal));
        let look = self.look_at.filter(|_| self.acquiring.is_none()).map(|at| (at, WakeReason::Poll));
        match [pause, patience, renewal, look].into_iter().flatten().min() {
            Some((at, reason)) => self.desk.poll(Some(at), reason),
            None => self.desk.poll(None, WakeReason::Nothing),
        }
    }

    fn held_until(&self, _: MonoTime) -> Option<MonoTime> {
        self.held.then_some(FOR_EVER)
    }
}
