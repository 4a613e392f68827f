//! Schedules that broke other implementations of a Lease holder, each against ours. The names are those of the
//! implementations: CG client-go, AT actor-ts, KE kube-leader-election, KM kube-lease-manager, KB kubert,
//! KC kube-coordinate, RF the RustFS operator's, PK Pekko, F8 fabric8, JV the Java client's, PY the Python
//! client's, ET etcd's; SW is what sweeps found in our own core or oracle, made by hand where that says more than
//! the shrunk plan.

use lease_sim::oracle::Mark;
use lease_sim::plan::{Beginning, Deed, Edit, FaultKind, Refusal, Throttle, Way};

use super::builder::Expect::{Holds, Idle, Met, Somebody, Terms, TermsAtLeast, Told};
use super::builder::{SECOND, Schedule, s};

fn new(name: &'static str, about: &'static str) -> Schedule {
    Schedule::new(name, about)
}

fn admin(edit: Edit) -> FaultKind {
    FaultKind::Admin { edit }
}

fn release(holder: u8, back_after: f64) -> FaultKind {
    FaultKind::Release { holder, span: s(back_after) }
}

fn refuse(how: Refusal, seconds: f64) -> FaultKind {
    FaultKind::Refuse { how, span: s(seconds) }
}

pub(crate) fn all() -> Vec<Schedule> {
    let mut all = client_go();
    all.extend(actor_ts());
    all.extend(rust());
    all.extend(others());
    all.extend(sweeps());
    all
}

fn sweeps() -> Vec<Schedule> {
    let restart = |at: f64| (at, FaultKind::Crash { holder: 0, span: s(0.1) });
    let strip = |schedule: Schedule, at: f64, (then, what)| {
        schedule.each(|holder| holder.vacate = true).fault(at, admin(Edit::Strip)).fault(then, what)
    };
    vec![
        strip(
            new("sw-1-stripped-in-a-quarantine", "the creator restarts when the mark is gone: it waits"),
            2.0,
            restart(3.0),
        )
        .expect([Idle(0, 15.5), Somebody(25.0), Terms(1)]),
        strip(
            new("sw-1-stripped-in-a-term", "a term that was renewed is none: who restarts has it at once"),
            12.0,
            restart(12.5),
        )
        .begins(Beginning::Empty)
        .expect([Met(Mark::Reclaimed), Holds(0, 13.0), Terms(2)]),
        new("sw-2-stale-read-in-a-release", "a stale read between two of one state restarts no wait")
            .begins(Beginning::JustDied)
            .alone()
            .holder(0, |holder| holder.max_clock_skew = None)
            .fault(2.0, admin(Edit::RenewTime { seconds: 30 }))
            .deed(0, 7, Deed::LoseRequest)
            .deed(0, 8, Deed::Stale(20 * SECOND))
            .fault(21.0, release(0, 2.0))
            .expect([Met(Mark::StaleRead), Holds(0, 30.0), Terms(1)]),
        new(
            "sw-4-replaced",
            "whoever takes a dead process's place under another name waits like everybody else",
        )
        .alone()
        .fault(12.0, FaultKind::Replace { holder: 0, span: SECOND })
        .expect([Idle(0, 24.0), Holds(0, 45.0), Terms(2), Met(Mark::ByObservation)]),
        new(
            "sw-4-replaced-with-a-late-write",
            "a dead process's write lands when its place has another name",
        )
        .fault(6.0, FaultKind::Crash { holder: 0, span: s(0.1) })
        .later(0, 2, 2, |fate| fate.there = s(0.2))
        .fault(6.2, FaultKind::Replace { holder: 0, span: SECOND })
        .expect([Met(Mark::Reclaimed), Idle(0, 20.0), Idle(1, 20.0), Somebody(45.0), Terms(2)]),
        new("sw-3-two-in-one-second", "two take the lease in one second of the server's, which both go by")
            .begins(Beginning::JustDied)
            .each(|holder| holder.clock.wall_offset = 7_200_000_000)
            .holder(1, |holder| holder.starts_at = s(0.7))
            .fault(15.3, admin(Edit::Clear))
            .expect([Terms(2)]),
    ]
}

fn client_go() -> Vec<Schedule> {
    let far = |holder: &mut lease_sim::plan::HolderPlan| holder.max_clock_skew = None;
    vec![
        new("cg-1-late-delete", "A's DELETE reaches the server when B has held the lease for long")
            .third(1.0)
            .fault(12.0, release(0, 48.0))
            .deed(0, 5, Deed::Late(20 * SECOND))
            .partition(0, 12.05, 47.0, Way::Both)
            .expect([
                Told(0, "Released", 11.9, 12.1),
                Met(Mark::ReleaseUnconfirmed),
                Somebody(33.0),
                Terms(2),
            ]),
        new("cg-1-late-clear", "the same with a PUT that clears the holder")
            .third(1.0)
            .each(|holder| holder.vacate = true)
            .begins(Beginning::Empty)
            .fault(12.0, release(0, 48.0))
            .deed(0, 5, Deed::Late(20 * SECOND))
            .partition(0, 12.05, 47.0, Way::Both)
            .expect([
                Told(0, "Released", 11.9, 12.1),
                Met(Mark::ReleaseUnconfirmed),
                Somebody(33.0),
                Terms(2),
            ]),
        new("cg-2-slow-step-down", "the work ends before the API server hears that the lease is vacant")
            .each(|holder| holder.vacate = true)
            .begins(Beginning::Empty)
            .fate(0, 5, |fate| fate.there = s(2.9))
            .fault(12.0, release(0, 47.0))
            .expect([Told(0, "Released", 11.9, 12.01), Idle(0, 12.01), Idle(1, 14.8), Holds(1, 25.0)]),
        new("cg-3-tight-settings", "a holder with a margin of 2 % is cut off")
            .ttl(0, 5_000)
            .ttl(1, 5_000)
            .each(|holder| (holder.margin, holder.request_timeout) = (100, 250))
            .partition(0, 6.0, 30.0, Way::Both)
            .expect([Told(0, "Expired", 9.0, 10.1), Holds(1, 20.0)]),
        new("cg-4-late-reply", "a renewal's reply takes nearly as long as a request may, then nothing")
            .fate(0, 3, |fate| fate.back = s(2.9))
            .partition(0, 8.0, 50.0, Way::Both)
            .expect([Holds(0, 18.4), Idle(0, 18.6), Told(0, "Expired", 18.4, 18.6), Holds(1, 30.0)]),
        new("cg-5-fraction-of-a-second", "a ttl of 1.9 s is written as 2 s, not as 1 s")
            .ttl(0, 1_900)
            .ttl(1, 1_900)
            .partition(0, 6.0, 30.0, Way::Both)
            .expect([Told(0, "Expired", 6.0, 8.0), Holds(1, 12.0)]),
        new("cg-6-twins", "two processes with one identity, none of which may reclaim")
            .each(|holder| holder.contend = true)
            .holder(1, |holder| holder.name = Some(0))
            .expect([Met(Mark::DuplicateIdentity), Holds(0, 55.0), Terms(1)]),
        new(
            "cg-6-twins-that-reclaim",
            "the same where a record of one's identity is reclaimed: not in the model",
        )
        .holder(1, |holder| holder.name = Some(0))
        .expect([Met(Mark::Reclaimed)]),
        new("cg-7-paused-holder", "a holder stands still beyond its term; when it goes on it knows")
            .pause(0, 6.0, 20.0)
            .expect([Met(Mark::PauseAcrossEnd), Idle(0, 20.0), Told(0, "Lost", 25.9, 26.1), Holds(1, 30.0)]),
        new("cg-8-huge-duration", "somebody claims 68 years and is never seen again")
            .each(far)
            .lasts(120.0)
            .fault(6.0, admin(Edit::Stranger { seconds: i32::MAX }))
            .expect([Met(Mark::TakenOver), Idle(0, 30.0), Idle(1, 30.0), Somebody(90.0)]),
        new("cg-9-fields-of-others", "labels, annotations and owners that others set during a term")
            .fault(6.0, admin(Edit::Label))
            .fault(16.0, FaultKind::LabelStorm { span: 30 * SECOND, every: SECOND })
            .expect([
                Told(0, "Renewed", 10.01, 10.1),
                Told(0, "Renewed", 20.01, 20.1),
                Holds(0, 55.0),
                Terms(1),
            ]),
        new("cg-10-suspend", "a machine is suspended and its clock stops: not in the model")
            .lasts(120.0)
            .fault(6.0, FaultKind::Suspend { holder: 0, span: 60 * SECOND })
            .expect([Holds(1, 100.0), Idle(0, 100.0), Told(0, "Lost", 66.0, 90.0)]),
    ]
}

fn actor_ts() -> Vec<Schedule> {
    let wide = |holder: &mut lease_sim::plan::HolderPlan| holder.max_clock_skew = Some(40_000);
    vec![
        new(
            "at-1-stopped-after-sending",
            "a process stops right after a renewal left; the answer waits for it",
        )
        .fate(0, 3, |fate| fate.pause_after = 20 * SECOND)
        .expect([Met(Mark::PauseAcrossEnd), Idle(0, 19.0), Holds(1, 30.0)]),
        new("at-2-black-hole", "renewals vanish without a word, with a short ttl")
            .ttl(0, 5_000)
            .ttl(1, 5_000)
            .partition(0, 1.6, 30.0, Way::Requests)
            .expect([Told(0, "Expired", 4.0, 5.0), Idle(0, 5.0), Holds(1, 9.0)]),
        new("at-3-thawed-release", "a frozen holder is told to release; when it thaws another holds")
            .third(1.0)
            .pause(0, 6.0, 24.0)
            .fault(20.0, release(0, 39.0))
            .expect([Met(Mark::PauseAcrossEnd), Somebody(31.0), Somebody(50.0), Terms(2)]),
        new("at-4-slow-renewal", "a renewal is slower than the time to the next one")
            .fate(0, 3, |fate| fate.there = 6 * SECOND)
            .expect([Holds(0, 15.0), Holds(0, 55.0), Terms(1)]),
        new("at-5-old-reply", "release and campaign again while a renewal is on its way")
            .alone()
            .fate(0, 3, |fate| (fate.there, fate.back) = (SECOND, SECOND))
            .fault(5.5, release(0, 0.2))
            .expect([Told(0, "Released", 5.4, 5.6), Holds(0, 30.0), TermsAtLeast(2)]),
        new("at-6-clock-behind", "a contender's clock is 20 s behind the holder's")
            .each(wide)
            .holder(1, |holder| holder.clock.wall_offset = -20_000_000)
            .expect([Holds(0, 55.0), Terms(1)]),
        new("at-6-clock-ahead", "a contender's clock is 20 s ahead of the holder's")
            .each(wide)
            .holder(1, |holder| holder.clock.wall_offset = 20_000_000)
            .expect([Holds(0, 55.0), Terms(1)]),
        new("at-7-short-contender", "a holder with 60 s, a contender with 4 s: a rolling upgrade of the ttl")
            .ttl(0, 60_000)
            .ttl(1, 4_000)
            .lasts(200.0)
            .expect([Holds(0, 50.0), Holds(0, 190.0), Terms(1)]),
        new("at-8-one-500", "a renewal is answered with 500")
            .deed(0, 3, Deed::Error(500))
            .expect([Holds(0, 25.0), Terms(1)]),
        new("at-8-one-429", "a renewal is refused for now, with a Retry-After")
            .deed(0, 3, Deed::Throttle(Throttle::Seconds(2)))
            .expect([Holds(0, 25.0), Terms(1)]),
        new("at-8-one-time-out", "a renewal is applied and never answered")
            .deed(0, 3, Deed::LoseReply)
            .expect([Holds(0, 25.0), Terms(1)]),
        new("at-8-reset-after-apply", "a connection is reset after the renewal was applied")
            .deed(0, 3, Deed::ResetAfter)
            .expect([Met(Mark::UnknownApplied), Holds(0, 25.0), Terms(1)]),
        new("at-9-rotated-token", "the API server refuses the old token")
            .fault(4.9, refuse(Refusal::Unauthorized, 1.0))
            .expect([Met(Mark::Refreshed), Holds(0, 25.0), Terms(1)]),
        new("at-10-late-acquisition", "the POST is applied, its answer takes longer than the ttl")
            .ttl(0, 5_000)
            .ttl(1, 5_000)
            .fate(0, 2, |fate| fate.back = 9 * SECOND)
            .expect([Idle(0, 0.9), Somebody(20.0)]),
        new("at-10-late-look", "the answer to the POST waits for a process that stands still")
            .ttl(0, 5_000)
            .ttl(1, 5_000)
            .fate(0, 2, |fate| fate.pause_before = 9 * SECOND)
            .expect([Met(Mark::LateAck), Holds(1, 8.9), Idle(0, 9.5)]),
        new("at-11-token-after-delete", "the object is made anew for every term, and tokens grow")
            .fault(8.0, release(0, 20.0))
            .fault(30.0, release(1, 20.0))
            .lasts(80.0)
            .expect([TermsAtLeast(3), Somebody(45.0)]),
        new("at-12-forced-deletion", "a pod is replaced by one of the same name while it lives on")
            .each(|holder| holder.contend = true)
            .fault(6.0, FaultKind::Twin { holder: 0, span: 40 * SECOND })
            .expect([Met(Mark::DuplicateIdentity), Holds(0, 40.0), Terms(1)]),
        new("at-13-release-forbidden", "nobody allows the release")
            .fault(11.9, refuse(Refusal::Forbidden, 30.0))
            .fault(12.0, release(0, 47.0))
            .expect([
                Told(0, "Released", 11.9, 12.1),
                Met(Mark::ReleaseUnconfirmed),
                Idle(0, 20.0),
                Holds(1, 57.0),
            ]),
    ]
}

fn rust() -> Vec<Schedule> {
    vec![
        new("ke-1-two-takers", "two find a holder that has been dead for long, at the same instant")
            .together()
            .begins(Beginning::LongDead)
            .expect([Met(Mark::RaceLost), Somebody(20.0), Terms(1)]),
        new("ke-2-late-renewal", "a renewal arrives when another holds")
            .deed(0, 4, Deed::Late(30 * SECOND))
            .partition(0, 10.01, 49.0, Way::Both)
            .expect([Told(0, "Expired", 18.0, 19.0), Holds(1, 39.0), Holds(1, 55.0), Terms(2)]),
        new("ke-3-paused-step-down", "a release under way, the process stops, another holds, it goes on")
            .third(1.0)
            .each(|holder| holder.vacate = true)
            .begins(Beginning::Empty)
            .fault(12.0, release(0, 47.0))
            .deed(0, 5, Deed::LoseRequest)
            .pause(0, 12.01, 30.0)
            .expect([Told(0, "Released", 11.9, 12.1), Somebody(41.0), Somebody(55.0), Terms(2)]),
        new("ke-4-one-name-for-all", "three replicas with the constant of a README as their identity")
            .third(2.0)
            .each(|holder| (holder.contend, holder.name) = (true, Some(0)))
            .expect([Met(Mark::DuplicateIdentity), Holds(0, 55.0), Terms(1)]),
        new("ke-5-errors-only", "every connection of the holder is refused for 40 s")
            .partition(0, 6.0, 40.0, Way::Refused)
            .expect([Told(0, "Expired", 18.0, 19.0), Idle(0, 25.0), Holds(1, 30.0)]),
        new("ke-6-blank-lease", "an object without a holder, as a manifest makes it")
            .begins(Beginning::Empty)
            .expect([Holds(0, 0.5), Terms(1)]),
        new("km-1-blackout", "nothing passes between the holder and the API server")
            .partition(0, 6.0, 50.0, Way::Both)
            .expect([Told(0, "Expired", 18.0, 19.0), Holds(1, 40.0)]),
        new("km-2-lease-deleted", "kubectl delete lease, during a term, with nobody else there")
            .alone()
            .fault(6.0, admin(Edit::Delete))
            .expect([Met(Mark::Deleted), Told(0, "Lost", 10.0, 10.1), Holds(0, 20.0), Terms(2)]),
        new("km-2-lease-deleted-and-taken", "the same where another is quicker")
            .fault(6.0, admin(Edit::Delete))
            .expect([Met(Mark::TakenOver), Holds(1, 20.0), Terms(2)]),
        new("km-2-namespace-deleted", "the namespace goes and comes back")
            .fault(6.0, FaultKind::Namespace { span: 10 * SECOND })
            .expect([Met(Mark::Deleted), Somebody(40.0), TermsAtLeast(2)]),
        new("km-2-namespace-terminating", "the namespace is being deleted, then it is there again")
            .fault(6.0, FaultKind::Terminating { span: 10 * SECOND })
            .expect([Met(Mark::Deleted), Idle(0, 15.0), Idle(1, 15.0), Somebody(40.0), TermsAtLeast(2)]),
        new("km-3-two-heirs", "the holder dies, two wake at the same expiry")
            .third(1.0)
            .fault(6.0, FaultKind::Crash { holder: 0, span: 54 * SECOND })
            .expect([Met(Mark::ByObservation), Somebody(40.0), Terms(2)]),
        new(
            "km-4-paused-in-a-call",
            "a renewal waits in the network for longer than the ttl, then is carried on",
        )
        .fate(0, 4, |fate| fate.there = 20 * SECOND)
        .pause(0, 10.01, 25.0)
        .expect([Idle(0, 20.0), Somebody(34.0), Somebody(55.0)]),
        new("km-5-resumed-after-expiry", "a holder goes on after its term, before anybody took the lease")
            .alone()
            .pause(0, 6.0, 14.0)
            .expect([
                Met(Mark::PauseAcrossEnd),
                Told(0, "Lost", 19.9, 20.1),
                Holds(0, 25.0),
                TermsAtLeast(2),
            ]),
        new(
            "km-6-hostile-record",
            "the end of time, the longest duration, the most transitions, a name of quotes",
        )
        .lasts(120.0)
        .fault(6.0, admin(Edit::Hostile))
        .expect([Met(Mark::TakenOver), Somebody(100.0), TermsAtLeast(2)]),
        new("kb-1-short-outage", "the API server is down for nine seconds")
            .fault(6.0, FaultKind::Outage { span: 10 * SECOND })
            .expect([Holds(0, 30.0), Terms(1)]),
        new("kb-1-long-outage", "the API server is down for a minute, and nobody gives up")
            .lasts(120.0)
            .fault(6.0, FaultKind::Outage { span: 60 * SECOND })
            .expect([Met(Mark::Expired), Idle(0, 50.0), Idle(1, 50.0), Somebody(110.0)]),
        new("kb-2-fast-clock", "a contender's clock is 1.5 s ahead")
            .lasts(120.0)
            .holder(1, |holder| holder.clock.wall_offset = 1_500_000)
            .expect([Holds(0, 115.0), Terms(1)]),
        (3..9)
            .fold(new("kb-3-slow-replies", "every reply takes 2.5 s"), |schedule, number| {
                schedule.fate(0, number, |fate| fate.back = s(2.5))
            })
            .expect([Holds(0, 30.0), Terms(1)]),
        new("kb-4-nobody-asks", "a term that ends by itself is told at once, not at the next question")
            .alone()
            .partition(0, 1.0, 58.0, Way::Both)
            .expect([Told(0, "Lost", 13.4, 13.6), Met(Mark::Expired)]),
        new("kb-5-most-transitions", "after the greatest `leaseTransitions` the count stays where it is")
            .lasts(120.0)
            .holder(1, |holder| holder.starts_at = SECOND * 50)
            .fault(6.0, admin(Edit::Hostile))
            .fault(95.0, FaultKind::Crash { holder: 0, span: 24 * SECOND })
            .expect([Met(Mark::TakenOver), Holds(0, 94.0), Holds(1, 118.0), Terms(3)]),
        new("kc-1-create-race", "three find nothing at the same instant").third(0.0).together().expect([
            Met(Mark::RaceLost),
            Somebody(1.0),
            Somebody(55.0),
            Terms(1),
        ]),
        new("kc-1-vacant-race", "three find a record that names nobody at the same instant")
            .third(0.0)
            .together()
            .begins(Beginning::Empty)
            .expect([Met(Mark::RaceLost), Somebody(1.0), Somebody(55.0), Terms(1)]),
        new("kc-2-long-timeout", "a request may take as long as the settings allow, and takes for ever")
            .each(|holder| holder.request_timeout = 4_000)
            .deed(0, 4, Deed::LoseRequest)
            .partition(0, 10.5, 49.0, Way::Both)
            .expect([Told(0, "Expired", 18.4, 18.6), Holds(1, 30.0)]),
        new("kc-3-one-failed-write", "a renewal is answered with 503 by a proxy")
            .deed(0, 3, Deed::Error(503))
            .expect([Holds(0, 25.0), Terms(1)]),
        new("kc-4-shutdown", "a holder is told to stop: another holds soon")
            .fault(12.0, release(0, 47.0))
            .expect([Told(0, "Released", 11.9, 12.1), Holds(1, 18.0), Idle(0, 12.1)]),
        new("rf-1-hanging-write", "a renewal hangs, and so does everything after it")
            .deed(0, 3, Deed::LoseRequest)
            .partition(0, 5.5, 54.0, Way::Requests)
            .expect([Told(0, "Expired", 13.4, 13.6), Holds(1, 25.0)]),
        new("rf-3-standby-steps", "a contender's clock steps ahead by half of what is allowed")
            .fault(8.0, FaultKind::WallStep { holder: 1, offset: 7_400_000 })
            .expect([Holds(0, 55.0), Terms(1)]),
        new("rf-3-holder-steps-back", "the holder's clock steps back, then nothing reaches the API server")
            .fault(8.0, FaultKind::WallStep { holder: 0, offset: -7_400_000 })
            .partition(0, 11.0, 48.0, Way::Both)
            .expect([Told(0, "Lost", 23.4, 23.6), Holds(1, 35.0)]),
        new(
            "rf-3-monotonic-decides",
            "a contender's clock steps ahead by an hour where timestamps decide nothing",
        )
        .each(|holder| holder.max_clock_skew = None)
        .fault(8.0, FaultKind::WallStep { holder: 1, offset: 3_600_000_000 })
        .expect([Holds(0, 55.0), Terms(1)]),
        new("rf-4-labels", "labels that were there before the first term")
            .begins(Beginning::Empty)
            .holder(0, |holder| holder.starts_at = SECOND)
            .fault(0.5, admin(Edit::Label))
            .expect([Holds(0, 50.0), Terms(1)]),
    ]
}

fn others() -> Vec<Schedule> {
    vec![
        new("pk-1-answer-before-the-write", "an acquisition meets a conflict; nobody is told yes for it")
            .together()
            .begins(Beginning::Empty)
            .expect([Met(Mark::RaceLost), Somebody(10.0), Terms(1)]),
        new("pk-2-long-pause", "a pause of 97 s with a ttl of 120 s: nobody takes over")
            .ttl(0, 120_000)
            .ttl(1, 120_000)
            .lasts(300.0)
            .pause(0, 41.0, 97.0)
            .expect([Holds(0, 137.0), Holds(0, 290.0), Terms(1)]),
        new("pk-3-restart", "a holder dies and comes back with its identity")
            .fault(6.0, FaultKind::Crash { holder: 0, span: SECOND })
            .expect([Met(Mark::Reclaimed), Holds(0, 8.0), Terms(2)]),
        new("pk-3-restart-without-reclaim", "the same where only a new write of one's own counts")
            .each(|holder| holder.contend = true)
            .fault(6.0, FaultKind::Crash { holder: 0, span: SECOND })
            .expect([Idle(0, 8.0), Somebody(45.0), Terms(2)]),
        new("pk-4-release-races-renewal", "a release while a renewal is on its way, which lands afterwards")
            .fate(0, 3, |fate| fate.deed = Deed::Late(2 * SECOND))
            .fault(5.5, release(0, 50.0))
            .expect([Told(0, "Released", 5.4, 5.6), Somebody(40.0), Idle(0, 40.0)]),
        new("pk-5-foreign-record", "a record without duration and renewal time, over a live term")
            .fault(6.0, admin(Edit::Pekko))
            .expect([Met(Mark::TakenOver), Idle(0, 15.0), Somebody(50.0), Terms(2)]),
        new("pk-6-one-failure", "three seconds of 503")
            .fault(4.9, refuse(Refusal::Unavailable, 3.0))
            .expect([Holds(0, 25.0), Terms(1)]),
        new(
            "pk-7-clock-an-hour-ahead",
            "a contender's clock is an hour ahead where timestamps decide nothing",
        )
        .each(|holder| holder.max_clock_skew = None)
        .holder(1, |holder| holder.clock.wall_offset = 3_600_000_000)
        .expect([Holds(0, 55.0), Terms(1)]),
        new("pk-7-date-contradicts", "a contender's clock is an hour ahead, and the API server's says so")
            .holder(1, |holder| holder.clock.wall_offset = 3_600_000_000)
            .expect([Holds(0, 55.0), Terms(1)]),
        (3..12)
            .fold(
                new("f8-1-blocking-calls", "every request from a renewal on is lost"),
                |schedule, number| schedule.deed(0, number, Deed::LoseRequest),
            )
            .expect([Told(0, "Expired", 13.4, 13.6), Idle(0, 13.6), Somebody(40.0)]),
        new("f8-2-release-before-stop", "the term has ended here before the API server hears of it")
            .fate(0, 5, |fate| fate.there = SECOND)
            .fault(12.0, release(0, 47.0))
            .expect([Told(0, "Released", 11.9, 12.01), Idle(0, 12.01), Holds(1, 20.0)]),
        new("f8-3-slow-start", "the application is busy for 20 s when the answer to the POST comes")
            .fate(0, 2, |fate| fate.pause_before = 20 * SECOND)
            .expect([Met(Mark::LateAck), Idle(0, 19.0), Holds(1, 19.9), Idle(0, 21.0)]),
        new("f8-4-fast-standby", "a contender's clock is 13 s ahead where timestamps decide nothing")
            .each(|holder| holder.max_clock_skew = None)
            .holder(1, |holder| holder.clock.wall_offset = 13_000_000)
            .expect([Holds(0, 55.0), Terms(1)]),
        new("f8-5-nulls", "a record of nulls, as a vacating client leaves it")
            .holder(0, |holder| holder.starts_at = SECOND)
            .holder(1, |holder| holder.starts_at = 2 * SECOND)
            .fault(0.5, admin(Edit::Nulls))
            .expect([Holds(0, 1.5), Terms(1)]),
        new("jv-1-own-duration", "a holder with 60 s, a contender with 10 s")
            .ttl(0, 60_000)
            .ttl(1, 10_000)
            .lasts(200.0)
            .expect([Holds(0, 190.0), Terms(1)]),
        new("jv-3-no-transitions", "a record without transitions by a holder that is dead")
            .holder(0, |holder| holder.starts_at = SECOND)
            .holder(1, |holder| holder.starts_at = SECOND)
            .fault(0.5, admin(Edit::Pekko))
            .expect([Somebody(40.0), Terms(1)]),
        new("py-1-no-answer", "writes arrive, answers do not: the term ends although the record is renewed")
            .partition(0, 6.0, 50.0, Way::Replies)
            .expect([Told(0, "Expired", 18.4, 18.6), Idle(0, 30.0)]),
        new("py-3-local-time", "the holder's timestamps are an hour behind, as of another time zone")
            .each(|holder| holder.max_clock_skew = None)
            .holder(0, |holder| holder.clock.wall_offset = -3_600_000_000)
            .expect([Holds(0, 55.0), Terms(1)]),
        new("et-1-campaign-outlives-its-session", "a contender sleeps while the record changes hands twice")
            .third(2.0)
            .pause(1, 3.0, 25.0)
            .fault(10.0, release(0, 49.0))
            .fault(16.0, admin(Edit::Delete))
            .expect([Idle(1, 28.5), Somebody(30.0), Somebody(55.0)]),
    ]
}
