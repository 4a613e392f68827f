//! The faults of a plan, carried out.

use bytes::Bytes;
use http::{Method, Response};

use super::seat::{NAME, NAMESPACE};
use super::{Happening, World, replies};
use crate::api_server::micro_time;
use crate::oracle::Snapshot;
use crate::plan::PATH;
use crate::plan::{Beginning, Drive, Edit, Fault, FaultKind, Refusal, SECOND, Way};
use crate::trace::What;
use lease_core::{Input, MonoTime, Now};

/// Somebody else's client.
const STRANGER: &str = "stranger_7c1";

impl World<'_> {
    /// Faults of the plan that last at this instant; storms of labels never end anything.
    fn active(&self) -> impl Iterator<Item = &FaultKind> {
        let now = self.now;
        let lasts = move |fault: &&Fault| {
            fault.at <= now && fault.what.span().is_some_and(|span| now < fault.at.saturating_add(span))
        };
        self.plan
            .faults
            .iter()
            .take_while(move |fault| fault.at <= now)
            .filter(lasts)
            .map(|fault| &fault.what)
    }

    /// Whether connections of this request's sender are refused, or its messages are lost, this way.
    pub(super) fn blocked(&self, message: u32, there: bool) -> (bool, bool) {
        self.cut_from_server(self.messages[message as usize].seat, there)
    }

    /// The same for one holder.
    pub(super) fn cut_from_server(&self, seat: u8, there: bool) -> (bool, bool) {
        let (mut refused, mut lost) = (false, false);
        for what in self.active() {
            match what {
                FaultKind::Partition { holder, way, .. } if *holder == seat => match way {
                    Way::Both => lost = true,
                    Way::Requests => lost |= there,
                    Way::Replies => lost |= !there,
                    Way::Refused => refused |= there,
                },
                FaultKind::Outage { .. } => refused |= there,
                _ => {}
            }
        }
        (refused, lost)
    }

    pub(super) fn watches_are_forbidden(&self) -> bool {
        self.active().any(|what| matches!(what, FaultKind::ForbidWatches { .. }))
    }

    pub(super) fn is_down(&self) -> bool {
        self.active().any(|what| matches!(what, FaultKind::Outage { .. }))
    }

    pub(super) fn slowed(&self, delay: u64) -> u64 {
        self.active().fold(delay, |delay, what| match what {
            FaultKind::SlowMotion { factor, .. } => delay.saturating_mul((*factor).into()).min(30 * SECOND),
            _ => delay,
        })
    }

    /// What everything is refused with at this instant.
    pub(super) fn refusal(&self) -> Option<Response<Bytes>> {
        self.active().find_map(|what| match what {
            FaultKind::Refuse { how, .. } => Some(match how {
                Refusal::Unauthorized => replies::unauthorized(),
                Refusal::Forbidden => replies::forbidden(),
                Refusal::TooMany(seconds) => replies::throttled(crate::plan::Throttle::Seconds(*seconds)),
                Refusal::Unavailable => replies::unavailable(),
                Refusal::ProxyPage => replies::page(),
            }),
            _ => None,
        })
    }

    fn edited(&mut self, meddled: bool, takes: bool) {
        let after = self.object();
        self.oracle.edited(self.now, &after, meddled, takes);
        self.note_truth(&after, None);
        self.remember(&after);
    }

    fn patch(&mut self, body: impl Into<Bytes>) {
        let now = self.server_now();
        let mut request = http::Request::new(body.into());
        *request.method_mut() = Method::PATCH;
        *request.uri_mut() = http::Uri::from_static(PATH);
        let merge = http::HeaderValue::from_static("application/merge-patch+json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, merge);
        let _ = self.server.handle(now, &request);
    }

    fn put(&mut self, spec: &str) {
        let now = self.server_now();
        let json = format!(
            "{{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{{}},\"spec\":{{{spec}}}}}"
        );
        let stored = self.server.put(now, NAMESPACE, NAME, json.as_bytes());
        debug_assert!(stored.is_ok(), "{stored:?} of {json}");
    }

    fn time(&self, seconds: i64) -> String {
        micro_time(self.server_now().plus_seconds(seconds))
    }

    /// A record as client-go writes it, so many seconds ago: no annotation of ours.
    fn put_record(&mut self, holder: &str, ago: i64, seconds: i32, transitions: i32) {
        let time = self.time(-ago);
        self.put(&format!(
            "\"holderIdentity\":\"{holder}\",\"acquireTime\":\"{time}\",\"renewTime\":\"{time}\",\
             \"leaseDurationSeconds\":{seconds},\"leaseTransitions\":{transitions}"
        ));
    }
}

/// A fault begins.
pub(super) fn begins(world: &mut World<'_>, index: u32) {
    let Fault { what, .. } = world.plan.faults[index as usize];
    if world.healed {
        return;
    }
    let until = what.span().map(|span| world.now.saturating_add(span));
    world.count_fault(&what);
    world.note(|| What::Fault {
        holder: what.holder().map(usize::from),
        kind: what.name().to_owned(),
        about: format!("{what:?}"),
        until,
    });
    let ends = |world: &mut World<'_>, span: u64| {
        world.queue.push(world.now + span, Happening::FaultEnds { index });
    };
    match what {
        FaultKind::Pause { holder, span } => world.pause(holder, span),
        FaultKind::Suspend { holder, span } => {
            // Before the process goes on: it must not look at its clock before that is set back.
            ends(world, span);
            world.pause(holder, span);
        }
        FaultKind::Crash { holder, span } => {
            world.kill(holder);
            ends(world, span);
        }
        FaultKind::Replace { holder, span } => {
            world.kill(holder);
            world.seats[usize::from(holder)].rename(holder);
            ends(world, span);
        }
        FaultKind::Twin { span, .. } => {
            let seat = twin_seat(world, index);
            world.start(seat);
            ends(world, span);
        }
        FaultKind::Release { holder, span } => {
            world.release(holder);
            ends(world, span);
        }
        FaultKind::WallStep { holder, offset } => world.seats[usize::from(holder)].clock.step_wall(offset),
        FaultKind::WallFreeze { holder, span } => {
            let now = world.now;
            world.seats[usize::from(holder)].clock.freeze_wall(now);
            ends(world, span);
        }
        FaultKind::ClockBack { holder, by } => back(world, holder, by),
        FaultKind::AnswerFromPast { holder, by } => world.seats[usize::from(holder)].answer_from_past = by,
        FaultKind::Admin { edit } => admin(world, edit),
        FaultKind::LabelStorm { span, every } => {
            let until = world.now + span;
            label(world, until, every);
        }
        FaultKind::Namespace { span } => {
            let now = world.server_now();
            world.server.terminate_namespace(now, NAMESPACE);
            world.server.delete(NAMESPACE, NAME);
            world.server.finish_namespace(NAMESPACE);
            world.edited(true, true);
            ends(world, span);
        }
        FaultKind::Terminating { span } => {
            let now = world.server_now();
            world.server.terminate_namespace(now, NAMESPACE);
            world.server.delete(NAMESPACE, NAME);
            world.edited(true, true);
            ends(world, span);
        }
        FaultKind::Rollback => {
            let version = world.server.resource_version();
            world.server.restore_resource_version(version.saturating_sub(20));
            world.break_watches();
            // In the backup nobody held it.
            admin(world, Edit::Clear);
            world.edited(true, true);
            world.oracle.rolled_back(world.now);
        }
        FaultKind::Outage { .. } => world.break_watches(),
        FaultKind::Partition { .. }
        | FaultKind::SlowMotion { .. }
        | FaultKind::ForbidWatches { .. }
        | FaultKind::Refuse { .. } => {}
    }
}

/// Which seat a plan's twin has: they come after the holders, in the order of the faults.
fn twin_seat(world: &World<'_>, index: u32) -> u8 {
    let before = world.plan.faults[..index as usize].iter();
    let twins = before.filter(|fault| matches!(fault.what, FaultKind::Twin { .. })).count();
    (world.plan.holders.len() + twins) as u8
}

/// A fault ends.
pub(super) fn ends(world: &mut World<'_>, index: u32) {
    let Fault { what, .. } = world.plan.faults[index as usize];
    match what {
        FaultKind::Suspend { holder, span } => {
            let now = world.now;
            let seat = &mut world.seats[usize::from(holder)];
            seat.clock.stop(span);
            let until = match &seat.machine {
                Some(super::seat::Machine::Core(lease)) => lease.check_alive(seat.clock.mono(now)),
                _ => None,
            };
            let until = until.map(|held| seat.clock.instant(held.until));
            world.oracle.clock_stopped(now, holder, until);
            world.give(holder, Input::Tick);
        }
        FaultKind::Crash { holder, .. } | FaultKind::Replace { holder, .. } => world.start(holder),
        FaultKind::Twin { .. } => {
            let seat = twin_seat(world, index);
            if world.seats[usize::from(seat)].machine.is_some() {
                world.kill(seat);
            }
            world.seats[usize::from(seat)].retired = true;
        }
        FaultKind::Release { holder, .. } => world.command(holder),
        FaultKind::WallFreeze { holder, .. } => world.seats[usize::from(holder)].clock.thaw_wall(),
        FaultKind::Namespace { .. } | FaultKind::Terminating { .. } => {
            let now = world.server_now();
            if matches!(what, FaultKind::Terminating { .. }) {
                // Nothing is in it, unless somebody has made it anew meanwhile.
                let there = world.object().is_some();
                world.server.finish_namespace(NAMESPACE);
                if there {
                    world.edited(true, true);
                }
            }
            world.server.ensure_namespace(now, NAMESPACE);
        }
        _ => {}
    }
}

/// A driver hands in a reading from the past.
fn back(world: &mut World<'_>, holder: u8, by: u64) {
    let seat = &world.seats[usize::from(holder)];
    // The clocks of other libraries' runtimes never go back.
    if seat.paused_until > world.now || seat.machine.is_none() || world.protocol.is_some() {
        return;
    }
    let now = seat.clock.read(world.now);
    let past = MonoTime::from_nanos(now.mono.as_nanos().saturating_sub(by));
    let before = world.oracle.believes(world.now, holder);
    world.oracle.from_the_past = true;
    world.give_at(holder, Now { mono: past, wall: now.wall }, Input::Tick);
    world.oracle.from_the_past = false;
    let after = world.oracle.believes(world.now, holder);
    if after > before {
        world.oracle.violate(world.now, crate::oracle::Invariant::ClockAbuse, || {
            format!("holder {holder} believes longer after a reading from the past")
        });
    }
}

/// All faults end.
pub(super) fn heal(world: &mut World<'_>) {
    // Some models of other protocols give up for good unless they are asked again.
    let asks_again = world.protocol.is_some();
    for index in 0..world.seats.len() as u8 {
        let seat = &mut world.seats[usize::from(index)];
        if seat.paused_until > world.now {
            seat.paused_until = world.now;
            world.queue.push(world.now, Happening::Resume { seat: index });
        }
        let incarnation = seat.incarnation;
        // A campaign goes on by itself; an application that tries once at a time has to try again.
        if seat.machine.is_some() && (asks_again || seat.plan.drive != Drive::Campaign) {
            world.queue.push(world.now + 1, Happening::Command { seat: index, incarnation });
        }
        if usize::from(index) < world.plan.holders.len() {
            world.start(index);
        }
    }
    world.quicken_watches();
    admin(world, Edit::Unfinalize);
}

/// One label of a storm.
pub(super) fn label(world: &mut World<'_>, until: u64, every: u64) {
    let now = world.now;
    let touch = |object: &mut crate::api_server::LeaseObject| {
        object.meta.labels.insert("touched".to_owned(), format!("at-{now}"));
    };
    if world.server.edit(world.server_now(), (NAMESPACE, NAME), touch) {
        world.edited(false, false);
    }
    let next = world.now + every.max(1_000_000);
    if next < until {
        world.queue.push(next, Happening::Label { until, every });
    }
}

/// Somebody meddles.
pub(super) fn admin(world: &mut World<'_>, edit: Edit) {
    let vacates = world.plan.holders.iter().all(|holder| holder.vacate);
    let there = world.object();
    if there.is_none() && !matches!(edit, Edit::Recreate | Edit::Pekko | Edit::Nulls) {
        return;
    }
    let now = world.server_now();
    let (meddled, takes) = match edit {
        Edit::Delete => {
            let _ = world.server.admin(now, Method::DELETE, PATH, Bytes::new());
            // Under `Vacate` whoever creates the object waits: nothing is taken from anybody.
            (!vacates, false)
        }
        Edit::Recreate => {
            world.server.delete(NAMESPACE, NAME);
            world.put("");
            (true, true)
        }
        Edit::Clear => {
            world.patch("{\"spec\":{\"holderIdentity\":null}}");
            (true, true)
        }
        Edit::Stranger { seconds } => {
            world.put_record(STRANGER, 0, seconds, 3);
            (true, true)
        }
        Edit::Duration { seconds } => {
            world.patch(format!("{{\"spec\":{{\"leaseDurationSeconds\":{seconds}}}}}"));
            (true, false)
        }
        Edit::RenewTime { seconds } => {
            let time = world.time(seconds.into());
            world.patch(format!("{{\"spec\":{{\"renewTime\":\"{time}\"}}}}"));
            (true, true)
        }
        Edit::Label => {
            world.patch(
                "{\"metadata\":{\"labels\":{\"team\":\"a\"},\"annotations\":{\"example.com/note\":\"kept\"},\
                 \"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"u\"}]}}",
            );
            (false, false)
        }
        Edit::Finalize => {
            world.patch("{\"metadata\":{\"finalizers\":[\"example.com/keep\"]}}");
            (false, false)
        }
        Edit::Unfinalize => {
            world.patch("{\"metadata\":{\"finalizers\":null}}");
            (false, false)
        }
        Edit::Strip => {
            world.patch("{\"metadata\":{\"annotations\":null}}");
            (false, false)
        }
        Edit::Pekko => {
            let time = world.time(0);
            world.put(&format!("\"holderIdentity\":\"pekko@10.0.0.1:2551\",\"acquireTime\":\"{time}\""));
            (true, true)
        }
        Edit::Nulls => {
            world.put("\"holderIdentity\":null,\"renewTime\":null,\"leaseDurationSeconds\":null");
            (true, true)
        }
        Edit::Hostile => {
            let time = "9999-12-31T23:59:59.999999Z";
            world.put(&format!(
                "\"holderIdentity\":\"</script>\\u0000\\\"\",\"acquireTime\":\"{time}\",\"renewTime\":\"{time}\",\
                 \"leaseDurationSeconds\":2147483647,\"leaseTransitions\":2147483647"
            ));
            (true, true)
        }
    };
    let gone = world.object().is_none();
    world.edited(meddled, takes || gone);
}

/// What is there before anybody starts.
pub(super) fn make_beginning(world: &mut World<'_>) {
    match world.plan.beginning {
        Beginning::Absent => {}
        Beginning::Empty => world.put(""),
        Beginning::LongDead => world.put_record(STRANGER, 86_400, 15, 4),
        Beginning::JustDied => world.put_record(STRANGER, 0, 15, 4),
        Beginning::Reclaimable => world.put_record("holder-0", 1, 15, 4),
    }
    let object: Snapshot = world.object();
    world.oracle.edited(0, &object, false, true);
    world.remember(&object);
}
