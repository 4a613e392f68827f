//! Whether a holder kept its promises, when its life is over.

use std::ops::AddAssign;
use std::sync::Arc;

use lease_core::driver::Interrupted;
use lease_core::{Event, FencingToken, LostReason};

use super::holder::{Holder, Kept};

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    acquired: usize,
    renewed: usize,
    lost: usize,
    released: usize,
    /// Works that were done, and that ended with their term.
    done: usize,
    interrupted: usize,
    /// Calls of `lost()` that resolved.
    told: usize,
}

impl Tally {
    /// Whether everything happened now and then that a promise is about.
    pub(crate) fn is_worth_watching(&self) -> bool {
        let Self { acquired, renewed, lost, released, done, interrupted, told } = *self;
        [acquired, renewed, lost, released, done, interrupted, told].iter().all(|count| *count > 0)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.acquired += other.acquired;
        self.renewed += other.renewed;
        self.lost += other.lost;
        self.released += other.released;
        self.done += other.done;
        self.interrupted += other.interrupted;
        self.told += other.told;
    }
}

/// A term that is over: by this loss, or by a release.
type Term = (FencingToken, Option<LostReason>);

pub(crate) fn of(holder: &Holder) -> Tally {
    let terms = terms(holder);
    everything_is_let_go(holder);
    what_was_given_back_was_released(holder, &terms);
    handlers_heard_every_loss_once(holder, &terms);
    let told = waiters_were_told(holder, &terms);
    let (done, interrupted) = works_ended_as_their_terms(holder, &terms);
    let lost = terms.iter().filter(|(_, loss)| loss.is_some()).count();
    let renewed = |event: &&Event| matches!(event, Event::Renewed { .. });
    Tally {
        acquired: terms.len(),
        renewed: holder.events.lock().unwrap().iter().filter(renewed).count(),
        lost,
        released: terms.len() - lost,
        done,
        interrupted,
        told,
    }
}

pub(crate) fn releases_are_answered(holder: &Holder) {
    assert!(is_over(&holder.open.releases), "{}", tell("a release has no answer", holder));
}

/// The terms that the events tell of: one after the other, each with one end.
fn terms(holder: &Holder) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    let mut current = None;
    for event in holder.events.lock().unwrap().iter() {
        let end = match event {
            Event::Acquired { token, .. } => {
                assert_eq!(current.replace(*token), None, "a term of {} begins in a term", holder.name);
                continue;
            }
            Event::Lost { token, reason } => (*token, Some(reason.clone())),
            Event::Released { token } => (*token, None),
            _ => continue,
        };
        assert_eq!(current.take(), Some(end.0), "a term of {} ends that is not there", holder.name);
        terms.push(end);
    }
    assert_eq!(current, None, "{}", tell("a term has no end", holder));
    terms
}

fn everything_is_let_go(holder: &Holder) {
    let open = &holder.open;
    assert!(is_over(&open.attempts), "{}", tell("an attempt has no answer", holder));
    assert!(is_over(&open.works), "{}", tell("work goes on", holder));
    assert!(is_over(&open.events), "{}", tell("events have no end", holder));
    assert!(is_over(&open.handler), "{}", tell("a handler is kept", holder));
    assert!(is_over(&open.transport), "{}", tell("the transport is kept", holder));
    releases_are_answered(holder);
}

/// A term ends at the call of a release, whenever the holder hears of it: no loss can come of that.
fn what_was_given_back_was_released(holder: &Holder, terms: &[Term]) {
    for token in holder.given_back.lock().unwrap().iter() {
        assert!(terms.contains(&(*token, None)), "{}", tell(&format!("{token:?} was not released"), holder));
    }
}

fn handlers_heard_every_loss_once(holder: &Holder, terms: &[Term]) {
    let losses: Vec<_> = terms.iter().filter_map(|(_, loss)| loss.clone()).collect();
    let heard = holder.heard.lock().unwrap();
    if let Some(heard_in_time) = holder.heard_in_time {
        assert_eq!(heard.len(), heard_in_time, "{}", tell("handlers heard after their end", holder));
        // The latest loss may not have been told when the handler went.
        assert!(
            losses.starts_with(&heard),
            "{heard:?} of {losses:?}: {}",
            tell("what handlers heard", holder)
        );
    } else {
        assert_eq!(*heard, losses, "{}", tell("what handlers heard", holder));
    }
}

/// Each by the loss of the term that was held then; after a release, by the next loss, if there was one.
fn waiters_were_told(holder: &Holder, terms: &[Term]) -> usize {
    let mut told = 0;
    for waiter in &holder.waiters {
        let loss =
            terms.iter().filter(|(token, _)| *token >= waiter.token).find_map(|(_, loss)| loss.clone());
        let reason = waiter.reason.lock().unwrap();
        assert_eq!(*reason, loss, "{}", tell(&format!("`lost()` in {:?}", waiter.token), holder));
        told += usize::from(loss.is_some());
    }
    told
}

fn works_ended_as_their_terms(holder: &Holder, terms: &[Term]) -> (usize, usize) {
    let works = holder.works.lock().unwrap();
    for (token, ended) in works.iter() {
        let end = match ended {
            Ok(()) => continue,
            Err(Interrupted::Lost(reason)) => (*token, Some(reason.clone())),
            Err(Interrupted::Released) => (*token, None),
            Err(other) => panic!("work of {} that ran in {token:?} says: {other}", holder.name),
        };
        assert!(terms.contains(&end), "{}", tell(&format!("work in {token:?} says {ended:?}"), holder));
    }
    let done = works.iter().filter(|(_, ended)| ended.is_ok()).count();
    (done, works.len() - done)
}

fn is_over(kept: &Kept) -> bool {
    Arc::strong_count(kept) == 1
}

fn tell(what: &str, holder: &Holder) -> String {
    format!("{}: {what}: {:#?}", holder.name, holder.events.lock().unwrap())
}
