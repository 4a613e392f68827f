//! The numbered clauses.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Response;
use lease_core::{Action, Event, Failure, Input, Lease, MonoTime, Now, Output, RequestId, WallTime};
use proptest::prelude::*;

use super::cases;
use super::plan::{Drain, Edit, Plan, drained, edit, hostile};
use super::server::{Commit, text};
use super::world::{World, apply, events, http_date};
use crate::support::{Holder, absent, config, response, stored};

const NANOSECOND: Duration = Duration::from_nanos(1);

/// Polls everything out of a copy and tells it as text.
fn told(lease: &Lease) -> String {
    let mut copy = lease.clone();
    let mut text = String::new();
    loop {
        let output = copy.poll();
        text += &format!("{output:?}\n");
        if matches!(output, Output::Idle { .. }) {
            return text;
        }
    }
}

/// Carries out a plan step by step: the law hands the input to the machine itself.
pub(crate) fn step_by_step(
    plan: &Plan,
    mut law: impl FnMut(&mut World, Now, Input) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut world = World::new(plan);
    for step in &world.steps(plan) {
        let input = world.aim(step);
        let clamped = Now { mono: world.high, ..world.now };
        law(&mut world, clamped, input)?;
        world.drain(step.drain);
    }
    Ok(())
}

fn of_a_watch(input: &Input) -> bool {
    matches!(input, Input::WatchChunk { .. } | Input::WatchClosed { .. })
}

fn the_id(input: &Input) -> Option<RequestId> {
    match input {
        Input::Response { id, .. }
        | Input::Failed { id, .. }
        | Input::WatchChunk { id, .. }
        | Input::WatchClosed { id }
        | Input::CredentialsReady { id } => Some(*id),
        Input::Tick | Input::TryAcquire | Input::Campaign | Input::Release => None,
    }
}

/// Answers every write among the outputs, each time in one way that nearly confirms it.
fn near_misses(world: &World, outputs: &[Output]) {
    for output in outputs {
        let Output::Action(Action::Send { id, request, .. }) = output else {
            continue;
        };
        let mut answers = vec![request.body().clone()];
        let stored = world.server.clone().serve(request);
        if stored.commit == Commit::Written {
            answers.extend(NEAR_MISSES.iter().map(|miss| {
                let mut body = stored.body.clone();
                apply(*miss, &mut body);
                body.to_string().into()
            }));
        }
        for body in answers {
            let mut lease = world.lease.clone();
            let held = lease.check_alive(world.high);
            lease.handle(world.now, Input::Response { id: *id, response: Response::new(body.clone()) });
            let after = lease.check_alive(world.high);
            assert!(
                after.is_none() || after == held,
                "{} confirms {request:?}",
                String::from_utf8_lossy(&body)
            );
        }
    }
}

const NEAR_MISSES: &[Edit] = &[
    edit("/metadata/annotations", "{}"),
    edit("/metadata/annotations", "{\"lease-core.rs/nonce\":\"0 a\"}"),
    edit("/metadata/name", "\"other\""),
    edit("/metadata/resourceVersion", "\"\""),
    edit("/metadata/uid", "\"\""),
    edit("/spec/holderIdentity", "\"b\""),
    edit("/spec/renewTime", "\"2026-01-01T00:00:00.999999Z\""),
    edit("/kind", "\"Status\""),
];

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn never_panics(plan in hostile(150)) {
        World::run(&plan, |world, _, _| {
            let lease = &world.lease;
            let looks = (lease.status(), lease.holder().cloned(), lease.stats(), lease.poll_timeout());
            assert_ne!(format!("{looks:?} {lease:?}"), "");
        });
    }

    /// Handling an input at some instant is the same as ticking at that instant and then handling it.
    #[test]
    fn clause_1_deadline_first(plan in hostile(60)) {
        step_by_step(&plan, |world, now, input| {
            let before = world.lease.check_alive(MonoTime::ZERO);
            let mut in_two = world.lease.clone();
            in_two.handle(now, Input::Tick);
            in_two.handle(now, input.clone());
            world.lease.handle(now, input);
            prop_assert_eq!(&in_two, &world.lease);
            let over = before.filter(|held| held.until <= now.mono).map(|held| held.token);
            let after = world.lease.check_alive(MonoTime::ZERO).map(|held| held.token);
            prop_assert!(over.is_none() || after != over, "revived: {before:?} at {now:?}");
            Ok(())
        })?;
    }

    /// `until` is the emission of the write that the reply shows, plus V; and at `until` it is over.
    #[test]
    fn clause_2_half_open_terms(plan in drained(80)) {
        let validity = plan.setup.config().validity();
        let mut failed = Ok(());
        World::run(&plan, |world, input, outputs| {
            let check = || {
                if let Some(held) = world.lease.check_alive(world.high) {
                    prop_assert!(held.until > world.high);
                    prop_assert_eq!(world.lease.check_alive(held.until), None);
                    let before = held.until.saturating_sub(NANOSECOND);
                    prop_assert_eq!(world.lease.check_alive(before), Some(held));
                }
                for event in events(outputs) {
                    let (Event::Acquired { until, .. } | Event::Renewed { until }) = event else {
                        continue;
                    };
                    let Input::Response { response, .. } = input else {
                        return Err(TestCaseError::fail(format!("{event:?} after {input:?}")));
                    };
                    prop_assert!(*until > world.high, "{event:?} at {:?}", world.high);
                    let shown = serde_json::from_slice(response.body()).unwrap_or_default();
                    let stamp = text(&shown, "/spec/renewTime");
                    let mut emissions = world
                        .sent
                        .iter()
                        .filter(|sent| sent.stamp().as_deref() == Some(stamp))
                        .map(|sent| sent.polled_at.saturating_add(validity));
                    prop_assert!(
                        emissions.any(|allowed| allowed == *until),
                        "{event:?} does not count from the emission of {stamp}"
                    );
                }
                Ok(())
            };
            if failed.is_ok() {
                failed = check();
            }
        });
        failed?;
    }

    /// A write is confirmed by an answer that shows this very write in a new state of the same object, or by
    /// a later read: nothing else begins or extends a term.
    #[test]
    fn only_its_own_echo_confirms_a_write(plan in drained(80)) {
        World::run(&plan, |world, input, outputs| {
            near_misses(world, outputs);
            let extends = |event: &Event| matches!(event, Event::Acquired { .. } | Event::Renewed { .. });
            if !events(outputs).any(extends) {
                return;
            }
            let Input::Response { id, response } = input else {
                panic!("{input:?} brought {outputs:?}");
            };
            assert!(response.status().is_success(), "{response:?}");
            let sent = world.find(*id).expect("an answer to what was sent").body();
            let shown: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
            let both = |pointer: &str| (text(&sent, pointer).to_owned(), text(&shown, pointer).to_owned());
            let nonce = format!("{} a", world.lease.nonce());
            assert_eq!(text(&shown, "/spec/holderIdentity"), "a");
            if sent.is_null() {
                return;
            }
            let (wanted, is) = both("/spec/renewTime");
            assert_eq!(wanted, is);
            assert_eq!(shown["metadata"]["annotations"]["lease-core.rs/nonce"], nonce.as_str());
            let (wanted, is) = both("/metadata/uid");
            assert!(wanted.is_empty() || wanted == is, "another object: {is}");
            let (before, after) = both("/metadata/resourceVersion");
            assert_ne!(before, after, "nothing changed");
        });
    }

    /// A request ends by its answer, by an abort, or not before the next one is sent.
    #[test]
    fn one_request_in_flight(plan in hostile(80)) {
        let mut in_flight: BTreeSet<RequestId> = BTreeSet::new();
        let (mut watches, mut ever_opened) = (BTreeSet::new(), BTreeSet::new());
        let mut aborted = BTreeSet::new();
        let mut failed = Ok(());
        World::run(&plan, |world, input, outputs| {
            if let Input::Response { id, .. } | Input::Failed { id, .. } = input {
                in_flight.remove(id);
                watches.remove(id);
            }
            if let Input::WatchClosed { id } = input {
                watches.remove(id);
            }
            let mut check = || {
                for output in outputs {
                    match output {
                        Output::Action(Action::Send { id, .. }) => {
                            prop_assert!(in_flight.is_empty(), "{id} beside {in_flight:?}");
                            in_flight.insert(*id);
                        }
                        Output::Action(Action::OpenWatch { id, .. }) => {
                            prop_assert!(watches.is_empty(), "{id} beside {watches:?}");
                            watches.insert(*id);
                            ever_opened.insert(*id);
                        }
                        Output::Action(Action::Abort { id }) => {
                            let known = world.find(*id).is_some() || ever_opened.contains(id);
                            prop_assert!(known && aborted.insert(*id), "{id}");
                            in_flight.remove(id);
                            watches.remove(id);
                        }
                        _ => {}
                    }
                }
                Ok(())
            };
            if failed.is_ok() {
                failed = check();
            }
        });
        failed?;
    }

    /// A request that nobody answers ends itself at `give_up_at`, and not before unless its cause ends.
    #[test]
    fn clause_3_one_request_in_flight(plan in drained(80)) {
        let mut pending: Option<(RequestId, MonoTime)> = None;
        step_by_step(&plan, |world, now, input| {
            let released = matches!(input, Input::Release);
            let answered = the_id(&input);
            for input in [Input::Tick, input] {
                let silent = the_id(&input).is_none();
                world.lease.handle(now, input);
                let outputs = world.drain(Drain::All);
                let over = events(&outputs)
                    .any(|event| matches!(event, Event::Lost { .. } | Event::ReleaseEnded { .. }));
                if !silent && pending.is_some_and(|(id, _)| Some(id) == answered) {
                    pending = None;
                }
                for output in &outputs {
                    match output {
                        Output::Action(Action::Abort { id }) if world.find(*id).is_some() => {
                            let early = pending.is_some_and(|(_, give_up_at)| give_up_at > now.mono);
                            prop_assert!(!early || over || released, "{id} is given up too early");
                            pending = pending.filter(|(asked, _)| asked != id);
                        }
                        Output::Action(Action::Send { id, give_up_at, .. }) => {
                            pending = Some((*id, *give_up_at));
                        }
                        Output::Idle { wake, .. } => if let Some((id, give_up_at)) = pending {
                            prop_assert!(give_up_at > now.mono, "{id} is overdue");
                            prop_assert!(wake.is_some_and(|wake| wake <= give_up_at), "{wake:?}");
                        },
                        _ => {}
                    }
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn ids_grow(plan in hostile(80)) {
        let mut last = RequestId(0);
        World::run(&plan, |_, _, outputs| {
            for output in outputs {
                if let Output::Action(
                    Action::Send { id, .. } | Action::OpenWatch { id, .. } | Action::RefreshCredentials { id },
                ) = output
                {
                    assert!(*id > last, "{id} after {last}");
                    last = *id;
                }
            }
        });
    }

    /// An input for an id that is unknown, answered, aborted or not yet polled does nothing but count.
    #[test]
    fn stray_ids_change_nothing(plan in drained(80), body in any::<bool>()) {
        let (mut wanted, mut watch) = (None, None);
        let stray = |lease: &Lease, now: Now, input: &Input| {
            let mut counted = lease.clone();
            counted.handle(now, Input::WatchClosed { id: RequestId(0) });
            let mut given = lease.clone();
            given.handle(now, input.clone());
            prop_assert_eq!(&given, &counted);
            let mut ticked = lease.clone();
            ticked.handle(now, Input::Tick);
            prop_assert_eq!(told(&given), told(&ticked));
            prop_assert_eq!(given.stats().stray_inputs, ticked.stats().stray_inputs + 1);
            Ok(())
        };
        step_by_step(&plan, |world, now, input| {
            let refreshed = matches!(input, Input::CredentialsReady { .. });
            match the_id(&input) {
                Some(id) if watch == Some(id) && !refreshed => {
                    watch = watch.filter(|_| matches!(input, Input::WatchChunk { .. }));
                }
                Some(id) if wanted == Some((id, refreshed)) && !of_a_watch(&input) => wanted = None,
                Some(_) => stray(&world.lease, now, &input)?,
                None => {}
            }
            world.lease.handle(now, input);
            let unpolled = world.lease.clone();
            for output in world.drain(Drain::All) {
                match output {
                    Output::Action(Action::Abort { id }) => {
                        wanted = wanted.filter(|(wanted, _)| *wanted != id);
                        watch = watch.filter(|watch| *watch != id);
                    }
                    Output::Action(Action::OpenWatch { id, .. }) => {
                        watch = Some(id);
                        stray(&unpolled, now, &Input::WatchClosed { id })?;
                    }
                    Output::Action(Action::Send { id, .. } | Action::RefreshCredentials { id }) => {
                        let refresh = world.find(id).is_some_and(|sent| sent.request.uri() == "/");
                        wanted = Some((id, refresh));
                        let failed = Input::Failed { id, failure: Failure::Unknown };
                        let early = if body { failed } else { Input::CredentialsReady { id } };
                        stray(&unpolled, now, &early)?;
                    }
                    _ => {}
                }
            }
            Ok(())
        })?;
    }

    /// A monotonic reading below the highest counts as the highest, and as one in the statistics.
    #[test]
    fn clause_5_clocks_are_not_trusted(plan in hostile(60)) {
        step_by_step(&plan, |world, now, input| {
            let mut raw = world.lease.clone();
            raw.handle(world.now, input.clone());
            world.lease.handle(now, input);
            prop_assert_eq!(told(&raw), told(&world.lease));
            let (there, here) = (raw.check_alive(MonoTime::ZERO), world.lease.check_alive(world.high));
            prop_assert_eq!(there, here);
            let clamped = u64::from(world.now.mono != now.mono);
            prop_assert_eq!(raw.stats().clamped_clocks, world.lease.stats().clamped_clocks + clamped);
            Ok(())
        })?;
    }

    /// Whatever the wall clock says: a tick never moves `until`, and a reply moves it to where it would have
    /// been moved anyway, or ends the term.
    #[test]
    fn wall_clock_jumps_never_extend_a_term(
        plan in drained(60), jump in any::<i64>(), shift in -1_000_000_000..1_000_000_000_i64,
    ) {
        step_by_step(&plan, |world, now, input| {
            let before = world.lease.check_alive(now.mono);
            let mut straight = world.lease.clone();
            straight.handle(now, input.clone());
            let straight = straight.check_alive(now.mono);
            for wall in [WallTime::from_micros(jump), now.wall.offset_by(shift)] {
                let jumped = Now { wall, ..now };
                let mut ticked = world.lease.clone();
                ticked.handle(jumped, Input::Tick);
                let after = ticked.check_alive(now.mono);
                prop_assert!(after.is_none() || after == before, "{before:?} to {after:?}");
                let mut given = world.lease.clone();
                given.handle(jumped, input.clone());
                let given = given.check_alive(now.mono);
                if let (Some(straight), Some(given)) = (straight, given) {
                    prop_assert_eq!(straight, given);
                }
                let begins = before.is_none() && given.is_some();
                prop_assert!(!begins || matches!(input, Input::Response { .. }), "revived: {given:?}");
            }
            world.lease.handle(now, input);
            Ok(())
        })?;
    }

    /// Whatever a watch brings: a term stays as it is or ends, and none begins. Nor is anything written.
    #[test]
    fn clause_6_the_watch_is_a_hint(plan in hostile(80)) {
        step_by_step(&plan, |world, now, input| {
            let mut ticked = world.lease.clone();
            ticked.handle(now, Input::Tick);
            let held = ticked.check_alive(now.mono);
            let about_watch = the_id(&input).is_some_and(|id| world.watch == Some(id));
            world.lease.handle(now, input.clone());
            if about_watch && !matches!(input, Input::CredentialsReady { .. }) {
                let after = world.lease.check_alive(now.mono);
                prop_assert!(after.is_none() || after == held, "{held:?} to {after:?}");
                let writes = |lease: &Lease| told(lease).matches("method: P").count();
                prop_assert!(writes(&world.lease) <= writes(&ticked), "a hint writes");
            }
            Ok(())
        })?;
    }

    /// Where a stream is cut makes no difference.
    #[test]
    fn a_watch_is_cut_anywhere(plan in drained(80), at in any::<prop::sample::Index>()) {
        step_by_step(&plan, |world, now, input| {
            if let Input::WatchChunk { id, bytes } = &input {
                let mut cut = world.lease.clone();
                let at = at.index(bytes.len() + 1);
                for part in [bytes.slice(..at), bytes.slice(at..)] {
                    cut.handle(now, Input::WatchChunk { id: *id, bytes: part });
                }
                let mut whole = world.lease.clone();
                whole.handle(now, input.clone());
                prop_assert_eq!(told(&cut), told(&whole));
                prop_assert_eq!((cut.status(), cut.poll_timeout()), (whole.status(), whole.poll_timeout()));
                prop_assert_eq!(cut.check_alive(now.mono), whole.check_alive(now.mono));
            }
            world.lease.handle(now, input);
            Ok(())
        })?;
    }

    /// After a drain `wake` lies ahead; before it, the machine is due at once.
    #[test]
    fn progress_law(plan in hostile(100)) {
        World::run(&plan, |world, _, outputs| {
            if let Some(Output::Idle { wake, .. }) = outputs.last() {
                assert!(wake.is_none_or(|wake| wake > world.high), "{wake:?} at {:?}", world.high);
                assert_eq!(world.lease.poll_timeout(), *wake);
            } else if told(&world.lease).lines().count() > 1 {
                assert_eq!(world.lease.poll_timeout(), Some(world.high));
            }
        });
    }

    /// Whatever comes without a drain, at most sixteen outputs wait.
    #[test]
    fn bounded_queue(plan in hostile(60), rest in super::plan::undrained(80)) {
        let mut world = World::run(&plan, |_, _, _| {});
        world.drain(Drain::All);
        for step in &rest {
            let input = world.aim(step);
            world.lease.handle(world.now, input);
        }
        let outputs = world.drain(Drain::All);
        prop_assert!(outputs.len() - 1 <= 16, "{} outputs: {outputs:#?}", outputs.len() - 1);
    }

    /// A tick that is not due changes nothing but the clock.
    #[test]
    fn extra_ticks_before_wake_change_nothing(
        plan in drained(60),
        extra in proptest::collection::vec((any::<u64>(), any::<i64>()), 1..40),
    ) {
        let mut at = 0;
        let mut without: Option<Lease> = None;
        step_by_step(&plan, |world, now, input| {
            let plain = without.get_or_insert_with(|| world.lease.clone());
            for _ in 0..2 {
                let (nanos, wall) = extra[at % extra.len()];
                at += 1;
                // Between the last reading and this one, and before the machine wants to be woken.
                let due = world.lease.poll_timeout();
                let most = due.map_or(now.mono, |wake| wake.saturating_sub(NANOSECOND).min(now.mono));
                let early = Now {
                    mono: most.saturating_sub(Duration::from_nanos(nanos % 5_000_000_000)),
                    wall: WallTime::from_micros(wall),
                };
                world.lease.handle(early, Input::Tick);
                prop_assert_eq!(told(&world.lease).lines().count(), 1, "nothing was due");
            }
            world.lease.handle(now, input.clone());
            plain.handle(now, input);
            prop_assert_eq!(told(plain), told(&world.lease));
            let seen = (world.lease.check_alive(now.mono), world.lease.status());
            prop_assert_eq!((plain.check_alive(now.mono), plain.status()), seen);
            while !matches!(plain.poll(), Output::Idle { .. }) {}
            Ok(())
        })?;
    }

    /// Commands at one instant, none of them a release of what they began: drained one by one or at the end,
    /// the machine is the same.
    #[test]
    fn draining_late_ends_in_the_same_state(
        plan in drained(60),
        batch in proptest::collection::vec(0..4_u8, 1..8),
        release in any::<bool>(),
    ) {
        let mut early = World::run(&plan, |_, _, _| {});
        early.now.mono = early.high;
        let mut late = early.clone();
        let commands = batch.iter().map(|kind| match kind {
            0 => Input::Tick,
            1 => Input::TryAcquire,
            2 => Input::Campaign,
            _ => Input::WatchClosed { id: RequestId(1) },
        });
        let commands = release.then_some(Input::Release).into_iter().chain(commands);
        let mut told_early = BTreeSet::new();
        for command in commands {
            early.lease.handle(early.now, command.clone());
            late.lease.handle(late.now, command);
            let outputs = early.drain(Drain::All);
            told_early.extend(outputs.iter().map(|output| format!("{output:?}")));
        }
        let outputs = late.drain(Drain::All);
        let told_late: BTreeSet<_> = outputs.iter().map(|output| format!("{output:?}")).collect();
        prop_assert_eq!(&early.lease, &late.lease);
        prop_assert!(told_late.is_subset(&told_early), "{told_late:?}");
    }

    #[test]
    fn clause_8_same_inputs_same_outputs(plan in hostile(80)) {
        let run = || {
            let mut log = String::new();
            let world = World::run(&plan, |_, input, outputs| log += &format!("{input:?}\n{outputs:?}\n"));
            (log, world.lease)
        };
        let (one, other) = (run(), run());
        prop_assert_eq!(&one, &other);
        use std::hash::{DefaultHasher, Hash, Hasher};
        let hash = |lease: &Lease| {
            let mut hasher = DefaultHasher::new();
            lease.hash(&mut hasher);
            hasher.finish()
        };
        prop_assert_eq!(hash(&one.1), hash(&other.1));
    }
}

/// The bound is no accident: somebody who never polls and a server that plays along fill the queue so far.
#[test]
fn fifteen_outputs_can_wait() {
    let mut a = Holder::new(config());
    let read = a.give(Input::TryAcquire);
    a.give(Input::Campaign);
    let create = a.respond(&read.sent[0], 404, &absent());
    let mut written = stored(&create.sent[0], 7);
    written["spec"]["leaseDurationSeconds"] = 100_000.into();
    let mut created = response(create.sent[0].id, 201, &written);
    if let Input::Response { response, .. } = &mut created {
        let date = http_date(a.now.wall.offset_by(3_600_000_000));
        response.headers_mut().insert(http::header::DATE, date.parse().expect("a header"));
    }
    // From here on nobody polls.
    let both = [Input::TryAcquire, Input::Campaign];
    let released = [Input::Release, Input::TryAcquire, Input::Campaign, Input::Release];
    for input in [created].into_iter().chain(both).chain(released) {
        a.lease.handle(a.now, input);
    }
    a.pass(Duration::from_secs(60));
    for input in [Input::Tick, Input::Release, Input::TryAcquire] {
        a.lease.handle(a.now, input);
    }
    for _ in 0..10 {
        a.pass(Duration::from_secs(10));
        a.lease.handle(a.now, Input::Tick);
    }
    a.lease.handle(a.now, Input::Campaign);
    let drained = a.drain();
    assert_eq!(drained.outputs, 15, "{drained:#?}");
}
