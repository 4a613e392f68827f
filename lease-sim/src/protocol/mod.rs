//! What the world drives: a holder as a value that turns inputs into requests.

use lease_core::{Input, Lease, MonoTime, Now, Output};

/// A holder of one lease, whatever protocol it follows. [`lease_core::Lease`] is one; the models of other
/// libraries' protocols are others.
///
/// The driver's side of the contract is that of [`lease_core`]: hand in an input with the two clocks, drain
/// [`poll`](Self::poll) until [`Output::Idle`], come back with [`Input::Tick`] at its `wake`.
pub trait Protocol: Send {
    /// Takes in what happened.
    fn handle(&mut self, now: Now, input: Input);
    /// The next thing to do or to know.
    fn poll(&mut self) -> Output;
    /// Until when this holder would tell its application that it holds the lease if nothing else happened:
    /// `None` when it does not hold it at `now`, the end of the clock where its answer never expires.
    fn held_until(&self, now: MonoTime) -> Option<MonoTime>;
}

impl Protocol for Lease {
    fn handle(&mut self, now: Now, input: Input) {
        Lease::handle(self, now, input);
    }

    fn poll(&mut self) -> Output {
        Lease::poll(self)
    }

    fn held_until(&self, now: MonoTime) -> Option<MonoTime> {
        self.check_alive(now).map(|held| held.until)
    }
}
