//! What a user's code has to be so that it can be simulated.

use lease_core::{Event, FencingToken, LostReason, MonoTime};
use std::fmt;

use super::Context;

/// Code that runs beside one holder, in the same simulated process, and uses a shared `S`.
///
/// Like the core it is *sans-IO*: it is told what happens and asks for what it wants through its [`Context`];
/// it never waits, and never looks at a real clock, a real random number or a thread. Every method is called
/// at one instant of simulated time. All but [`answered`](Self::answered) do nothing by default.
///
/// A process that stands still is told nothing; what happens meanwhile is told, in order, when it goes on. A
/// process that dies takes its component with it, timers and unread answers included; its messages that are on
/// their way still arrive. When it restarts, a new component is made.
pub trait Component<S> {
    /// What the operations on the shared thing answer. Often an enum, `()` if nothing of it matters.
    type Reply;

    /// The process has started. Its holder is about to ask for the lease for the first time.
    fn started(&mut self, context: &mut Context<'_, S, Self::Reply>) {
        let _ = context;
    }

    /// A term has begun. By the time that this is heard it may be over again: see [`Context::held`].
    fn began(&mut self, context: &mut Context<'_, S, Self::Reply>, token: FencingToken) {
        let _ = (context, token);
    }

    /// A renewal was confirmed: the term now lasts until that reading of the machine's own clock.
    fn renewed(&mut self, context: &mut Context<'_, S, Self::Reply>, until: MonoTime) {
        let _ = (context, until);
    }

    /// A term has ended. Each [`began`](Self::began) is followed by exactly one of these, unless the process
    /// dies.
    fn ended(&mut self, context: &mut Context<'_, S, Self::Reply>, token: FencingToken, end: &TermEnd) {
        let _ = (context, token, end);
    }

    /// A timer that was asked for with [`Context::after`] is due.
    fn timer(&mut self, context: &mut Context<'_, S, Self::Reply>, tag: u64) {
        let _ = (context, tag);
    }

    /// An operation that was sent with [`Context::send`] has come back, or will not. Once for each that left,
    /// at the latest after the [answer timeout](super::Simulation::answer_timeout).
    fn answered(
        &mut self,
        context: &mut Context<'_, S, Self::Reply>,
        tag: u64,
        answer: Result<Self::Reply, SendError>,
    );

    /// The holder told something else: a denial, trouble with the API server, the end of a release.
    fn event(&mut self, context: &mut Context<'_, S, Self::Reply>, event: &Event) {
        let _ = (context, event);
    }
}

/// Why a term has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TermEnd {
    /// Against our will.
    Lost(LostReason),
    /// It was given back: by [`Context::release`], or by the application as the plan has it.
    Released,
}

/// Why an operation brought no reply. Exhaustive on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SendError {
    /// Nothing was sent: it was not carried out, and will not be.
    NotSent,
    /// Nobody knows: it may have been carried out, once or twice, or may be later. Time-outs, resets, errors
    /// of proxies and unreadable replies all look like this.
    Unknown,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotSent => "not sent",
            Self::Unknown => "unknown outcome",
        })
    }
}

impl std::error::Error for SendError {}

/// A component that does nothing: what a [`Simulation`](super::Simulation) has until it is given another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bystander;

impl<S> Component<S> for Bystander {
    type Reply = ();

    fn answered(&mut self, _: &mut Context<'_, S, ()>, _: u64, _: Result<(), SendError>) {}
}
