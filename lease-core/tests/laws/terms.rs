//! Terms, tokens and answers: the fourth clause.

use std::collections::BTreeSet;

use lease_core::{
    Action, AttemptOutcome, Command, Event, FencingToken, Held, Input, MonoTime, Output, Status,
};
use proptest::prelude::*;

use super::cases;
use super::clauses::step_by_step;
use super::plan::{Drain, drained, hostile};
use super::world::{World, events};

/// What the events said about terms so far.
#[derive(Clone, Debug, Default)]
struct Grammar {
    open: Option<(FencingToken, MonoTime)>,
    last: Option<FencingToken>,
}

impl Grammar {
    fn hear(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::Acquired { token, until, .. } => {
                prop_assert!(self.open.is_none(), "acquired twice: {event:?} in {self:?}");
                prop_assert!(self.last < Some(*token), "{event:?} after {self:?}");
                self.last = Some(*token);
                self.open = Some((*token, *until));
            }
            Event::Renewed { until } => {
                let Some((_, before)) = &mut self.open else {
                    return Err(TestCaseError::fail(format!("{event:?} without a term")));
                };
                prop_assert!(*until > *before, "{event:?} does not extend {before:?}");
                *before = *until;
            }
            Event::Lost { token, .. } | Event::Released { token } => {
                let open = self.open.take();
                prop_assert_eq!(open.map(|(open, _)| open), Some(*token), "{:?}", event);
            }
            Event::AttemptEnded {
                outcome: AttemptOutcome::Acquired { token } | AttemptOutcome::AlreadyHeld { token },
                ..
            } => prop_assert!(self.last >= Some(*token), "{event:?} in {self:?}"),
            _ => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn term_grammar(plan in hostile(100)) {
        let mut grammar = Grammar::default();
        let mut failed = Ok(());
        World::run(&plan, |world, _, outputs| {
            let mut check = || {
                for event in events(outputs) {
                    grammar.hear(event)?;
                }
                if matches!(outputs.last(), Some(Output::Idle { .. })) {
                    let held = world.lease.check_alive(world.high);
                    prop_assert_eq!(held, grammar.open.map(|(token, until)| Held { until, token }));
                    let holding = world.lease.status() == Status::Holding;
                    prop_assert_eq!(holding, held.is_some());
                }
                Ok(())
            };
            if failed.is_ok() {
                failed = check();
            }
        });
        failed?;
    }

    /// The end of a term is queued before any later action.
    #[test]
    fn clause_4_every_beginning_has_one_end(plan in drained(100)) {
        World::run(&plan, |_, _, outputs| {
            let end = outputs.iter().rposition(|output| {
                matches!(output, Output::Event(Event::Lost { .. } | Event::Released { .. }))
            });
            let later = outputs.iter().position(|output| {
                let Output::Action(action) = output else {
                    return false;
                };
                // A request that was given up before the term ended is aborted before, too.
                !matches!(action, Action::Abort { .. })
            });
            if let (Some(end), Some(later)) = (end, later) {
                assert!(end < later, "{outputs:?}");
            }
        });
    }

    #[test]
    fn one_answer_per_command(plan in drained(100)) {
        let mut asked: BTreeSet<&str> = BTreeSet::new();
        let hear = |outputs: &[Output], asked: &mut BTreeSet<&str>| {
            for event in events(outputs) {
                let answered = match event {
                    Event::AttemptEnded { command: Command::TryAcquire, .. } => "try",
                    Event::AttemptEnded { command: Command::Campaign, outcome } => {
                        let settled = matches!(
                            outcome,
                            AttemptOutcome::Acquired { .. }
                                | AttemptOutcome::AlreadyHeld { .. }
                                | AttemptOutcome::Cancelled
                        );
                        prop_assert!(settled, "a campaign goes on: {event:?}");
                        "campaign"
                    }
                    Event::ReleaseEnded { .. } => "release",
                    _ => continue,
                };
                prop_assert!(asked.remove(answered), "nobody asked: {event:?}");
            }
            Ok(())
        };
        let mut end = None;
        step_by_step(&plan, |world, now, input| {
            // What a deadline answers was asked before; see clause 1.
            world.lease.handle(now, Input::Tick);
            hear(&world.drain(Drain::All), &mut asked)?;
            let command = match input {
                Input::TryAcquire => Some("try"),
                Input::Campaign => Some("campaign"),
                Input::Release => Some("release"),
                _ => None,
            };
            asked.extend(command);
            world.lease.handle(now, input);
            hear(&world.drain(Drain::All), &mut asked)?;
            if command == Some("release") {
                prop_assert!(!asked.contains("try") && !asked.contains("campaign"), "not cancelled");
            }
            end = Some(world.clone());
            Ok(())
        })?;
        // A release, and time: everything is answered and the machine rests.
        if let Some(mut world) = end.filter(|world| world.high.as_nanos() < u64::MAX / 4) {
            world.lease.handle(world.now, Input::Release);
            asked.insert("release");
            hear(&world.drain(Drain::All), &mut asked)?;
            for _ in 0..2000 {
                let Some(wake) = world.wake() else { break };
                world.now.mono = wake;
                world.high = wake;
                world.lease.handle(world.now, Input::Tick);
                hear(&world.drain(Drain::All), &mut asked)?;
            }
            prop_assert!(asked.is_empty(), "never answered: {asked:?}");
            prop_assert_eq!(world.lease.status(), Status::Idle);
        }
    }

    /// A command that was given many times before anybody looked has between one answer and as many.
    #[test]
    fn answers_never_outnumber_commands(plan in hostile(100)) {
        let (mut asked, mut answered) = ([0; 3], [0; 3]);
        World::run(&plan, |_, input, outputs| {
            match input {
                Input::TryAcquire => asked[0] += 1,
                Input::Campaign => asked[1] += 1,
                Input::Release => asked[2] += 1,
                _ => {}
            }
            for event in events(outputs) {
                match event {
                    Event::AttemptEnded { command: Command::TryAcquire, .. } => answered[0] += 1,
                    Event::AttemptEnded { command: Command::Campaign, .. } => answered[1] += 1,
                    Event::ReleaseEnded { .. } => answered[2] += 1,
                    _ => {}
                }
            }
            assert!((0..3).all(|kind| answered[kind] <= asked[kind]), "{answered:?} of {asked:?}");
        });
    }

    #[test]
    fn tokens_strictly_grow(plan in hostile(120)) {
        let mut last = None;
        World::run(&plan, |_, _, outputs| {
            for event in events(outputs) {
                if let Event::Acquired { token, .. } = event {
                    assert!(Some(*token) > last, "{token} after {last:?}");
                    last = Some(*token);
                }
            }
        });
    }
}
