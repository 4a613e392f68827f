//! The cases that every adapter has to pass: what its runtime and its HTTP client must do, and must never do, over
//! real HTTP and TLS against servers that break, stall, lie and come back. Feature `conformance`.
//!
//! # Your adapter
//!
//! An adapter is a type that implements [`Adapter`]. Its tests are these few lines, in a test binary of their own:
//!
//! ```
//! # use lease_sim::memory::Memory as Mine;
//! # fn block_on(_: lease_core::driver::BoxFuture<'static, ()>) {}
//! # fn never() {
//! let report = lease_sim::conformance::run::<Mine>("mine", |case| block_on(case));
//! println!("{report}");
//! report.assert_clean();
//! # }
//! ```
//!
//! `block_on` drives one case to its end on your runtime. It is called on several threads at once; what it needs
//! (a runtime that has to be entered, say) is moved into the closure or made for every case.
//!
//! What a case waits for, it waits for by [`Adapter::runtime`]. One that panics, or takes too long, or blocks its
//! thread for ever, is a red row and nothing else. One case starts this very program again, with the same
//! arguments and with proxies in its environment; there [`run`] does not return.
//!
//! [`Suite`] picks cases, to look into one that fails.
#![allow(clippy::unwrap_used, reason = "a case that panics is a red row")]

mod bench;
mod engine;
mod lease;
mod raw;
mod report;
mod runtime;
mod transport;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use lease_core::driver::{Adapter, BoxFuture};

pub use report::{Outcome, Report, Table, Verdict, table};

/// Longer than any case takes that goes well, also on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(300);
/// So many cases at once: most of them wait most of the time.
const AT_ONCE: usize = 12;

/// Runs every case. See the module's documentation.
pub fn run<A: Adapter>(
    name: &str,
    block_on: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
) -> Report {
    Suite::<A>::new().run(name, block_on)
}

/// Cases that are not run yet: all, or those that were picked.
pub struct Suite<A> {
    cases: Vec<engine::Case<A>>,
    pace: engine::Pace,
}

impl<A: Adapter> Suite<A> {
    /// All cases against embedded servers.
    #[must_use]
    pub fn new() -> Self {
        let mut cases = runtime::cases();
        cases.extend(transport::cases());
        cases.extend(lease::cases());
        Self { cases, pace: engine::Pace { at_once: AT_ONCE, patience: bench::PATIENCE } }
    }

    /// Only those for which this says so; it is given group and name.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&str, &str) -> bool) -> Self {
        self.cases.retain(|case| keep(case.group, case.name));
        self
    }

    /// Group and name of every case, in order.
    pub fn cases(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.cases.iter().map(|case| (case.group, case.name))
    }

    /// How many cases run at once. Default: 12. Each takes a thread or two, and most of them wait.
    #[must_use]
    pub fn at_once(mut self, cases: usize) -> Self {
        self.pace.at_once = cases;
        self
    }

    /// How long a case waits for what has to come before it says that it did not. Default: 30 s. A
    /// shorter time makes red rows quicker, and on a busy machine green ones red.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.pace.patience = time.min(LIMIT / 2);
        self
    }

    /// Runs them.
    pub fn run(
        self,
        name: &str,
        block_on: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
    ) -> Report {
        let block_on: Arc<engine::BlockOn> = Arc::new(block_on);
        if transport::run_as_child::<A>(name, &block_on) {
            return engine::run::<A>(name, &[], self.pace, &block_on);
        }
        engine::run(name, &self.cases, self.pace, &block_on)
    }
}

impl<A: Adapter> Default for Suite<A> {
    fn default() -> Self {
        Self::new()
    }
}
