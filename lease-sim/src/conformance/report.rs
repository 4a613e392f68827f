//! What came of the cases, and how it is shown.

use std::fmt;
use std::time::Duration;

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not hold: where, and what was found instead.
    Failed(String),
    /// It could not be tried here, and why.
    Skipped(String),
}

/// One case and what came of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What the case belongs to: `runtime`, `transport`, `lease`, or a part of the suite on a real server.
    pub group: &'static str,
    /// The case's name. Unique, and stable enough to be searched for.
    pub name: &'static str,
    /// What it shows, in a few words.
    pub shows: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took, with everything that it set up.
    pub took: Duration,
}

/// What came of all cases for one adapter. Shown as a table.
#[derive(Clone, Debug)]
#[must_use = "look at it, or call `assert_clean`"]
pub struct Report {
    pub(super) adapter: String,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) took: Duration,
}

impl Report {
    /// The adapter's name, as it was given.
    #[must_use]
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// All cases, in the suite's order.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The cases that do not hold.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Failed(_)))
    }

    /// Whether no case failed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failures().next().is_none()
    }

    /// For tests: does nothing if no case failed.
    ///
    /// # Panics
    ///
    /// If one did, with the whole table.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{} does not conform\n{self}", self.adapter);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        table(std::slice::from_ref(self)).fmt(formatter)
    }
}

/// Several reports side by side: a line for each case, a column for each adapter, the reasons of failures
/// beneath.
#[must_use]
pub fn table(reports: &[Report]) -> Table<'_> {
    Table(reports)
}

/// From [`table`]. Show it with `{}`.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(&'a [Report]);

/// The least width of an adapter's column: `FAILED 12.345 s`.
const COLUMN: usize = 16;

impl Table<'_> {
    /// Every case that any of the reports has, in the order of the first that has it.
    fn cases(&self) -> Vec<&Outcome> {
        let mut cases: Vec<&Outcome> = Vec::new();
        for outcome in self.0.iter().flat_map(|report| &report.outcomes) {
            if !cases.iter().any(|case| case.name == outcome.name) {
                cases.push(outcome);
            }
        }
        cases
    }

    fn rows(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = self.cases();
        let names = cases.iter().map(|case| case.name.len()).max().unwrap_or(0) + 2;
        let widths: Vec<_> =
            self.0.iter().map(|report| report.adapter.chars().count().max(COLUMN) + 2).collect();
        write!(formatter, "{:names$}", "")?;
        for (report, width) in self.0.iter().zip(&widths) {
            write!(formatter, "  {:width$}", report.adapter)?;
        }
        writeln!(formatter)?;
        let mut group = "";
        for case in cases {
            if case.group != group {
                group = case.group;
                writeln!(formatter, "{group}")?;
            }
            write!(formatter, "  {:width$}", case.name, width = names - 2)?;
            for (report, width) in self.0.iter().zip(&widths) {
                let cell = report.outcomes.iter().find(|outcome| outcome.name == case.name).map(cell);
                write!(formatter, "  {:width$}", cell.unwrap_or_default())?;
            }
            writeln!(formatter, "  {}", case.shows)?;
        }
        Ok(())
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows(formatter)?;
        for report in self.0 {
            for outcome in &report.outcomes {
                match &outcome.verdict {
                    Verdict::Passed => {}
                    Verdict::Failed(why) => {
                        writeln!(formatter, "FAILED  {}: {}: {why}", report.adapter, outcome.name)?;
                    }
                    Verdict::Skipped(why) => {
                        writeln!(formatter, "skipped {}: {}: {why}", report.adapter, outcome.name)?;
                    }
                }
            }
        }
        for report in self.0 {
            let count = |wanted: fn(&Verdict) -> bool| {
                report.outcomes.iter().filter(|outcome| wanted(&outcome.verdict)).count()
            };
            writeln!(
                formatter,
                "{}: {} cases, {} ok, {} failed, {} skipped, {:.1} s",
                report.adapter,
                report.outcomes.len(),
                count(|verdict| matches!(verdict, Verdict::Passed)),
                count(|verdict| matches!(verdict, Verdict::Failed(_))),
                count(|verdict| matches!(verdict, Verdict::Skipped(_))),
                report.took.as_secs_f64()
            )?;
        }
        Ok(())
    }
}

fn cell(outcome: &Outcome) -> String {
    let word = match outcome.verdict {
        Verdict::Passed => "ok",
        Verdict::Failed(_) => "FAILED",
        Verdict::Skipped(_) => "skipped",
    };
    format!("{word:7}{:7.3} s", outcome.took.as_secs_f64())
}
