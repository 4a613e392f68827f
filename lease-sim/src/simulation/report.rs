//! What came of runs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::oracle::Violation;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::Outcome;

/// How many lines of a trace a failure shows.
const SHOWN: usize = 30;

/// One run: what [`Simulation::run`](super::Simulation::run) gives.
#[derive(Clone, Debug)]
pub struct Report<S> {
    /// Its seed.
    pub seed: u64,
    /// What must not have happened, if something has.
    pub failure: Option<Failure>,
    /// The shared thing at the end.
    pub shared: S,
    /// How many operations were carried out on it, copies included.
    pub carried_out: u64,
    /// The holders' figures. What the oracle found is in [`failure`](Self::failure), too, if it is of interest.
    pub outcome: Outcome,
    /// What happened, in the order of true time.
    pub trace: Trace,
}

impl<S> Report<S> {
    /// The shared thing at the end, or the failure.
    ///
    /// # Errors
    ///
    /// If something has happened that must not.
    pub fn into_result(self) -> Result<S, Failure> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.shared),
        }
    }
}

/// Many runs without a failure: what [`Simulation::check`](super::Simulation::check) gives.
///
/// Look at [`terms`](Self::terms) and [`carried_out`](Self::carried_out) once: an invariant that nothing ever
/// touched says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many.
    pub runs: u64,
    /// True time that was simulated.
    pub simulated: Duration,
    /// Terms that began.
    pub terms: u64,
    /// Operations that were carried out on the shared thing, copies included.
    pub carried_out: u64,
    /// Requests that left the holders.
    pub requests: u64,
    /// Faults that hit the holders and their API server, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// A hash of everything that happened: equal for equal seeds, settings and code.
    pub hash: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, simulated, terms, carried_out, requests, .. } = self;
        let faults: u64 = self.faults.values().sum();
        let minutes = simulated.as_secs() / 60;
        write!(
            formatter,
            "{runs} runs, {minutes} simulated minutes, {terms} terms, {carried_out} operations, \
             {requests} requests to the API server, {faults} faults"
        )
    }
}

/// What must not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// An [invariant](super::Simulation::invariant) does not hold, or a component has called
    /// [`Context::fail`](super::Context::fail).
    Invariant(String),
    /// What has to be so [at the end](super::Simulation::at_the_end) of a run is not.
    AtTheEnd(String),
    /// A component, the closure that makes it, an operation or an invariant has panicked.
    Panic(String),
    /// The components asked for more timers and messages than a run can have: 900 000.
    Endless,
    /// Two runs of one seed differ: a component or the shared thing looks at a real clock, at real random
    /// numbers, at the order of a `HashMap`, or at something that outlives a run.
    NotDeterministic,
    /// The holders broke their own promise: a bug in this library or a plan that asks too much.
    Lease(Violation),
}

impl FailureKind {
    /// Its name in traces.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Invariant(_) => "invariant",
            Self::AtTheEnd(_) => "at the end",
            Self::Panic(_) => "panic",
            Self::Endless => "endless",
            Self::NotDeterministic => "not deterministic",
            Self::Lease(_) => "lease",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(about) | Self::AtTheEnd(about) => formatter.write_str(about),
            Self::Panic(about) => write!(formatter, "panicked: {about}"),
            Self::Endless => formatter.write_str("the components ask for timers and messages without end"),
            Self::NotDeterministic => formatter.write_str("two runs of this seed differ"),
            Self::Lease(violation) => {
                write!(formatter, "the lease itself: {}: {}", violation.invariant.name(), violation.about)
            }
        }
    }
}

/// A seed that fails, and all that is needed to see why.
///
/// Its text, and what a failed `unwrap` prints, is the seed, the instant, what was seen, how to run it again,
/// and the last lines of the [trace](Self::trace).
#[derive(Clone)]
pub struct Failure(pub(super) Box<Details>);

#[derive(Clone)]
pub(super) struct Details {
    pub(super) seed: u64,
    pub(super) at: u64,
    pub(super) kind: FailureKind,
    pub(super) plan: Plan,
    pub(super) trace: Option<Trace>,
    pub(super) reproducible: bool,
}

impl Failure {
    /// The seed that shows it again.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// When it happened: true time since the beginning of the run.
    #[must_use]
    pub fn at(&self) -> Duration {
        Duration::from_nanos(self.0.at)
    }

    /// What it was.
    #[must_use]
    pub fn kind(&self) -> &FailureKind {
        &self.0.kind
    }

    /// Everything that was decided before the run: who, which clocks, what goes wrong when. Take faults out of
    /// it and hand it to [`Simulation::plan`](super::Simulation::plan) to see which of them matter.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// What happened up to there; as text, and as a page with [`Trace::to_html`]. `None` if it did not happen
    /// again.
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        self.0.trace.as_ref()
    }

    /// Whether a second run of the seed went the same way. If not, see [`FailureKind::NotDeterministic`].
    #[must_use]
    pub fn is_reproducible(&self) -> bool {
        self.0.reproducible
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { seed, at, kind, trace, reproducible, .. } = &*self.0;
        let seconds = Duration::from_nanos(*at).as_secs_f64();
        writeln!(formatter, "seed {seed} fails after {seconds:.6} s: {kind}")?;
        writeln!(formatter, "to run it again, and to look at its trace: `.seed({seed}).run()`")?;
        if !reproducible {
            writeln!(
                formatter,
                "a second run of this seed went another way: something in it is not simulated"
            )?;
        }
        let Some(trace) = trace else {
            return Ok(());
        };
        let text = trace.to_text(true);
        let (head, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
        for line in head.iter().filter(|line| !line.starts_with("# seed")) {
            writeln!(formatter, "{line}")?;
        }
        if lines.len() > SHOWN {
            writeln!(formatter, "  … {} lines", lines.len() - SHOWN)?;
        }
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            writeln!(formatter, "{line}")?;
        }
        Ok(())
    }
}

/// The same as its text: it is what a failed `unwrap` prints.
impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Failure {}
