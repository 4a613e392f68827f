//! Users' components beside simulated leases.

use lease_core::{FencingToken, MonoTime};
use lease_sim::plan::{Beginning, Ending, Fault, FaultKind, Network, Plan, Swarm};
use lease_sim::simulation::{Component, Context, FailureKind, SendError, Simulation, TermEnd};
use lease_sim::trace::What;
use lease_sim::world::World;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

#[path = "../examples/worker.rs"]
#[allow(dead_code, unreachable_pub)]
mod worker;

const SECOND: u64 = 1_000_000_000;
const TICK: u64 = 1;
const WRITE: u64 = 2;
/// Enough for what a test without optimisation can bear.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 2_000 };

/// What a probe was told, and when: true time is not for components, its own clock is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Started(u32),
    Began(FencingToken),
    Ended(FencingToken, TermEnd),
    Timer(u64),
    Answered(u64, Result<u64, SendError>),
}

type Journal = Vec<(usize, MonoTime, Told)>;

/// Writes every second while it holds, and writes down all that it is told, in the end into the shared thing:
/// its operations never fail in plans without a bad network.
#[derive(Default)]
struct Probe {
    open: Option<FencingToken>,
    waits: bool,
    releases_after: Option<Duration>,
}

impl Probe {
    fn log(context: &mut Context<'_, Journal, u64>, told: Told) {
        let (holder, now) = (context.holder(), context.now().mono);
        context.send(0, move |journal: &mut Journal| {
            journal.push((holder, now, told.clone()));
            journal.len() as u64
        });
    }
}

const RELEASE: u64 = 3;
const CAMPAIGN: u64 = 4;

impl Component<Journal> for Probe {
    type Reply = u64;

    fn started(&mut self, context: &mut Context<'_, Journal, u64>) {
        assert!(!context.check_alive());
        Self::log(context, Told::Started(context.incarnation()));
    }

    fn began(&mut self, context: &mut Context<'_, Journal, u64>, token: FencingToken) {
        assert_eq!(self.open.replace(token), None, "a term begins within a term");
        Self::log(context, Told::Began(token));
        context.cancel(TICK);
        context.after(Duration::from_secs(1), TICK);
        if let Some(delay) = self.releases_after {
            context.after(delay, RELEASE);
        }
    }

    fn ended(&mut self, context: &mut Context<'_, Journal, u64>, token: FencingToken, end: &TermEnd) {
        assert_eq!(self.open.take(), Some(token), "a term ends that did not begin");
        assert_ne!(context.held().map(|held| held.token), Some(token));
        Self::log(context, Told::Ended(token, end.clone()));
    }

    fn timer(&mut self, context: &mut Context<'_, Journal, u64>, tag: u64) {
        Self::log(context, Told::Timer(tag));
        match tag {
            RELEASE if context.check_alive() => {
                context.release();
                assert_eq!(context.held(), None);
                context.after(Duration::from_secs(60), CAMPAIGN);
            }
            CAMPAIGN => context.campaign(),
            TICK => {
                context.after(Duration::from_secs(1), TICK);
                if context.check_alive() && !self.waits {
                    self.waits = true;
                    context.send(WRITE, |journal: &mut Journal| journal.len() as u64);
                }
            }
            _ => {}
        }
    }

    fn answered(
        &mut self,
        context: &mut Context<'_, Journal, u64>,
        tag: u64,
        answer: Result<u64, SendError>,
    ) {
        if tag == WRITE {
            assert!(self.waits, "an operation is answered twice");
            self.waits = false;
            Self::log(context, Told::Answered(tag, answer));
        }
    }
}

fn probes() -> Simulation<Journal, Probe> {
    World::builder().shared(Vec::new).component(|_| Probe::default())
}

/// Nothing but these faults.
fn plan(holders: u8, faults: &[(u64, FaultKind)]) -> Plan {
    let mut plan = Swarm { holders, breaks_assumptions: false, ..Swarm::default() }.plan(1);
    plan.network = Network::good();
    plan.beginning = Beginning::Absent;
    plan.ending = Ending::Quiet;
    plan.faults = faults.iter().map(|(at, what)| Fault { at: at * SECOND, what: *what }).collect();
    for holder in &mut plan.holders {
        holder.lateness = 0;
        holder.clock = Default::default();
        holder.drive = Default::default();
        (holder.starts_at, holder.vacate) = (0, false);
        (holder.ttl, holder.margin, holder.request_timeout) = (15_000, 1_500, 3_000);
    }
    plan
}

#[test]
fn a_worker_that_forgets_the_token_is_found() {
    let failure = worker::simulation(false).check(0..300).expect_err("the planted bug");
    let FailureKind::Invariant(about) = failure.kind() else { panic!("{failure}") };
    assert!(about.contains("was written after term"), "{about}");
    assert!(failure.is_reproducible());
    let seed = failure.seed();
    let text = failure.to_string();
    assert!(text.starts_with(&format!("seed {seed} fails after ")), "{text}");
    assert!(text.contains(&format!("`.seed({seed}).run()`")) && text.contains("VIOLATION"), "{text}");
    assert!(failure.trace().is_some_and(|trace| trace.to_html().contains("was written after term")));

    let again = worker::simulation(false).seed(seed).run();
    let again = again.failure.expect("the same failure");
    assert_eq!((again.at(), again.kind(), again.trace()), (failure.at(), failure.kind(), failure.trace()));
}

#[test]
fn the_same_worker_with_the_token_is_clean() {
    let summary = worker::simulation(true).check(0..SEEDS).unwrap();
    assert_eq!(summary.runs, SEEDS);
    assert!(summary.terms > SEEDS && summary.carried_out > 50 * SEEDS, "{summary}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let one = probes().check(0..20).unwrap();
    assert_eq!(probes().check(0..20).unwrap(), one);
    assert_ne!(probes().check(20..40).unwrap().hash, one.hash);
    let (first, second) = (probes().seed(7).run(), probes().seed(7).run());
    assert_eq!((first.outcome.hash, first.shared), (second.outcome.hash, second.shared));
    assert_eq!(first.trace, second.trace);
}

#[test]
fn a_bystander_changes_nothing() {
    let swarm = Swarm::default();
    for seed in 0..20 {
        let plan = swarm.plan(seed);
        let plain = World::new(&plan).to_the_end().run();
        assert_eq!(World::builder().plan(plan).seed(seed).run().outcome.hash, plain.outcome.hash);
    }
}

#[test]
fn grammar_and_single_answers_hold_in_every_swarm() {
    // The probe asserts them.
    probes().swarm(Swarm::default()).answer_timeout(Duration::from_secs(1)).check(0..SEEDS / 3).unwrap();
}

#[test]
fn in_calm_everything_arrives_and_time_is_the_machine_s() {
    let report = probes().calm().holders(2).ttl(Duration::from_secs(10)).seed(5).run();
    let journal = report.into_result().unwrap();
    let began = journal.iter().filter(|(.., told)| matches!(told, Told::Began(_))).count();
    assert_eq!(began, 1);
    assert!(!journal.iter().any(|(.., told)| matches!(told, Told::Answered(_, Err(_)) | Told::Ended(..))));
    let ticks: Vec<_> =
        journal.iter().filter(|(.., told)| *told == Told::Timer(TICK)).map(|(_, now, _)| now).collect();
    assert!(ticks.len() > 500);
    for (one, next) in ticks.iter().zip(&ticks[1..]) {
        let gap = next.saturating_since(**one).as_nanos();
        assert!((1_000_000_000..1_000_002_000).contains(&gap), "{gap}");
    }
}

#[test]
fn what_is_for_a_process_that_stands_still_waits() {
    let pause = FaultKind::Pause { holder: 0, span: 40 * SECOND };
    let report = probes().plan(plan(1, &[(30, pause)])).run();
    let journal = report.into_result().unwrap();
    let paused = MonoTime::from_nanos(30 * SECOND)..MonoTime::from_nanos(70 * SECOND);
    assert!(!journal.iter().any(|(_, now, _)| *now > paused.start && *now < paused.end), "{journal:?}");
    let after: Vec<_> =
        journal.iter().filter(|(_, now, _)| *now == paused.end).map(|(.., told)| told).collect();
    assert!(after.iter().any(|told| matches!(told, Told::Ended(_, TermEnd::Lost(_)))), "{after:?}");
    assert_eq!(after.iter().filter(|told| ***told == Told::Timer(TICK)).count(), 1, "{after:?}");
}

#[test]
fn a_crash_takes_timers_along_and_a_restart_makes_a_new_component() {
    let crash = FaultKind::Crash { holder: 0, span: 10 * SECOND };
    let made = Rc::new(Cell::new(0));
    let count = Rc::clone(&made);
    let simulation = World::builder()
        .shared(Vec::new)
        .component(move |_| {
            count.set(count.get() + 1);
            Probe::default()
        })
        .plan(plan(1, &[(30, crash)]));
    let journal = simulation.run().into_result().unwrap();
    assert_eq!(made.get(), 2);
    let second = journal.iter().position(|(.., told)| *told == Told::Started(2)).expect("a restart");
    assert_eq!(journal[second].1, MonoTime::from_nanos(40 * SECOND));
    let before = &journal[second - 1].1;
    assert!(*before <= MonoTime::from_nanos(30 * SECOND), "{before:?}");
    assert!(matches!(journal[second + 1].2, Told::Began(_)), "no timer of the first one");
}

#[test]
fn an_operation_that_left_arrives_although_its_sender_died() {
    let crash = FaultKind::Crash { holder: 0, span: 100 * SECOND };
    let mut plan = plan(1, &[(30, crash)]);
    (plan.network.least_delay, plan.network.more_delay) = (SECOND * 5 / 4, 0);
    let report = probes().plan(plan).run();
    assert_eq!(report.failure.map(|failure| failure.kind().clone()), None);
    let dead: Vec<_> = report
        .trace
        .entries
        .iter()
        .filter(|entry| entry.at > 30 * SECOND && entry.at < 130 * SECOND)
        .filter_map(|entry| match &entry.what {
            What::Component { about, .. } => Some(about.as_str()),
            _ => None,
        })
        .collect();
    assert!(
        !dead.is_empty() && dead.iter().all(|about| about.contains("is carried out, 1.250000 s")),
        "{dead:?}"
    );
}

#[test]
fn a_component_can_give_back_and_ask_again() {
    let simulation = World::builder()
        .shared(Vec::new)
        .component(|_| Probe { releases_after: Some(Duration::from_secs(20)), ..Probe::default() })
        .calm()
        .holders(3);
    let report = simulation.run();
    assert!(report.outcome.terms > 10, "{}", report.outcome.terms);
    let journal: Journal = report.into_result().unwrap();
    let released = |told: &Told| matches!(told, Told::Ended(_, TermEnd::Released));
    assert!(journal.iter().filter(|(.., told)| released(told)).count() > 10);
    simulation.check(0..30).unwrap();
}

/// Does one odd thing when its term begins.
struct Odd(fn(&mut Context<'_, u64, ()>));

impl Component<u64> for Odd {
    type Reply = ();

    fn began(&mut self, context: &mut Context<'_, u64, ()>, _: FencingToken) {
        (self.0)(context);
    }

    fn timer(&mut self, context: &mut Context<'_, u64, ()>, _: u64) {
        context.after(Duration::ZERO, TICK);
    }

    fn answered(&mut self, _: &mut Context<'_, u64, ()>, _: u64, _: Result<(), SendError>) {}
}

fn odd(act: fn(&mut Context<'_, u64, ()>)) -> Simulation<u64, Odd> {
    World::builder().shared(|| 0).component(move |_| Odd(act)).calm()
}

fn kind_of(simulation: &Simulation<u64, Odd>) -> (u64, FailureKind) {
    let failure = simulation.check(3..10).expect_err("a failure");
    (failure.seed(), failure.kind().clone())
}

#[test]
fn panics_are_caught_wherever_they_are() {
    let panic = |about: &str| (3, FailureKind::Panic(about.to_owned()));
    assert_eq!(kind_of(&odd(|_| panic!("component {}", 1))), panic("component 1"));
    assert_eq!(kind_of(&odd(|context| context.send(WRITE, |_| panic!("operation")))), panic("operation"));
    let invariant = odd(|context| context.send(WRITE, |value| *value += 1))
        .invariant(|value| -> Result<(), &str> { panic!("invariant {value}") });
    assert_eq!(kind_of(&invariant), panic("invariant 1"));
    let made = World::builder().shared(|| 0).component(|_| -> Odd { panic!("made") }).calm();
    assert_eq!(kind_of(&made), panic("made"));
}

#[test]
fn failures_say_what_they_are() {
    let told = odd(|context| context.fail(format_args!("at {}", context.incarnation())));
    assert_eq!(kind_of(&told), (3, FailureKind::Invariant("at 1".to_owned())));
    let end = odd(|_| ()).at_the_end(|_| Err("nothing was done"));
    assert_eq!(kind_of(&end), (3, FailureKind::AtTheEnd("nothing was done".to_owned())));
    assert_eq!(kind_of(&odd(|context| context.after(Duration::ZERO, TICK))), (3, FailureKind::Endless));
}

#[test]
fn what_outlives_a_run_is_noticed() {
    let runs = Rc::new(Cell::new(0));
    let simulation = World::builder()
        .shared(|| 0)
        .component(move |_| {
            runs.set(runs.get() + 1);
            let more = runs.get() > 3;
            Odd(if more { |context| context.send(WRITE, |_| ()) } else { |_| () })
        })
        .calm();
    assert_eq!(kind_of(&simulation), (3, FailureKind::NotDeterministic));
}

#[test]
fn operations_come_to_harm_like_requests() {
    // One of each: a deed that a network does to every message.
    let every = |change: fn(&mut Network)| {
        let mut plan = plan(1, &[]);
        change(&mut plan.network);
        // The holder itself has a good one.
        plan.fates = Some(Vec::new());
        plan.heals_at = 300 * SECOND;
        let simulation = World::builder().shared(|| 0).component(|_| Once::default()).plan(plan);
        let report = simulation.run();
        (report.shared, report.trace.to_text(false).contains("hears of operation 2: unknown outcome"))
    };
    assert_eq!(every(|_| ()), (1, false));
    assert_eq!(every(|network| network.lost_requests = 1_000_000), (0, true));
    assert_eq!(every(|network| network.lost_replies = 1_000_000), (1, true));
    assert_eq!(every(|network| network.refused = 1_000_000), (0, false));
    assert_eq!(every(|network| network.resets_before = 1_000_000), (0, true));
    assert_eq!(every(|network| network.resets_after = 1_000_000), (1, true));
    assert_eq!(every(|network| network.copies = 1_000_000), (2, false));
    assert_eq!(every(|network| network.errors = 1_000_000), (0, true));
    assert_eq!(every(|network| network.masked = 1_000_000), (1, true));
    assert_eq!(every(|network| (network.late, network.late_span) = (1_000_000, 20 * SECOND)), (1, true));
    assert_eq!(every(|network| network.stale_reads = 1_000_000), (1, false));
}

/// Counts up once.
#[derive(Default)]
struct Once {
    done: bool,
}

impl Component<u64> for Once {
    type Reply = ();

    fn began(&mut self, context: &mut Context<'_, u64, ()>, _: FencingToken) {
        if !std::mem::replace(&mut self.done, true) {
            context.send(WRITE, |value| *value += 1);
        }
    }

    fn answered(&mut self, _: &mut Context<'_, u64, ()>, _: u64, _: Result<(), SendError>) {}
}

#[test]
#[should_panic(expected = "holders: 17 is not from 1 to 16")]
fn settings_out_of_range_are_refused() {
    let _ = World::builder().holders(17);
}
