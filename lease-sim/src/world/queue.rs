//! One queue of what will happen, in the order of time and then of arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What happens at an instant. Indices, so that it is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    /// A process starts, or starts again.
    Start { seat: u8 },
    /// A timer of a holder is due. Only the newest counts.
    Wake { seat: u8, generation: u32 },
    /// A driver wakes its holder although nothing is due.
    EarlyWake { seat: u8, generation: u32 },
    /// The application tells its holder what it wants.
    Command { seat: u8, incarnation: u32 },
    /// An application cancels what has not succeeded.
    Impatient { seat: u8, incarnation: u32 },
    /// A request reaches the API server.
    Arrive { message: u32 },
    /// The same request reaches it once more.
    ArriveAgain { message: u32 },
    /// A request that was given up by everybody else is carried out.
    ArriveLate { message: u32 },
    /// A reply, or the news that there is none, reaches the holder.
    Deliver { message: u32 },
    /// A process learns that the connection is broken on which an answer was to come.
    Broken { message: u32 },
    /// The request for a watch reaches the API server.
    WatchArrives { stream: u32 },
    /// Something on a watch reaches the holder.
    WatchTold { stream: u32 },
    /// A watch has lasted for as long as it was to.
    WatchExpires { stream: u32 },
    /// The connection of a watch breaks.
    WatchBreaks { stream: u32 },
    /// A watch that brings nothing should have been given up.
    WatchOverdue { stream: u32 },
    /// Fresh credentials are there.
    Credentials { seat: u8, incarnation: u32, id: u64 },
    /// A process goes on after a pause.
    Resume { seat: u8 },
    /// A fault of the plan.
    Fault { index: u32 },
    /// Its end.
    FaultEnds { index: u32 },
    /// One more label of a storm.
    Label { until: u64, every: u64 },
    /// A write with a fencing token reaches the resource that checks them.
    Guarded { seat: u8, token: u64 },
    /// Something of what runs beside the holders is due.
    Component { id: u64 },
    /// All faults end.
    Heal,
    /// Somebody has to hold by now.
    Settled,
    /// What the plan has for its end.
    Ending,
    /// Another has to hold by now.
    Followed,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(super) heap: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    sequence: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: u64, happening: Happening) {
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, happening)));
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Happening)> {
        self.heap.pop().map(|Reverse((at, _, happening))| (at, happening))
    }

    /// How often something was put in.
    pub(crate) fn pushed(&self) -> u64 {
        self.sequence
    }
}
