//! The situations in which the real programs were measured, played in the world of the simulator.

use serde::Serialize;

use super::Contestant;
use super::measured::measured;
use crate::plan::{
    Beginning, Ending, Fault, FaultKind, HolderPlan, MILLISECOND, Network, Plan, SECOND, Seeded, Source,
    WatchFaults, Way,
};

/// The domain of what is drawn for scenarios.
const SCENARIO: u64 = 0x7363_656e;

/// A situation that was measured. The letters are those of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// A: the holder of three releases, with a ttl of 15 s.
    Release,
    /// B: the process of the holder of three is killed, with a ttl of 6 s.
    Crash,
    /// F: the process of the holder of three stands still for 2.5 ttl, with a ttl of 6 s.
    Stall,
    /// G: the holder of three is cut off from the API server for 30 s, silently, with a ttl of 6 s.
    Cut,
    /// G2: the same, but connections are refused.
    Refused,
    /// H: six processes start together on a lease that expired long ago, with a ttl of 3 s.
    Together,
}

/// What is measured in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Takeover,
    BelievesOn,
    Told,
    BothBelieve,
    Rounds,
}

/// What came of playing a scenario once. Spans are nanoseconds of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Whether the first holder, and nobody else, held when it began.
    pub ready: bool,
    /// From the event to the next belief of another.
    pub takeover: Option<u64>,
    /// From the event, in F from its end, until the old holder stops believing; nothing while it does not.
    pub believes_on: Option<u64>,
    /// From the event, in F from its end, until the old holder's application is told of the loss.
    pub told: Option<u64>,
    /// The longest time for which two processes that ran believed at once.
    pub both_believe: u64,
    /// How many processes believed at any time.
    pub acquired: usize,
}

/// One line of the table of scenarios: a figure of a protocol, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScenarioRow {
    /// The scenario's letter.
    pub scenario: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// What the protocol is called: a model is called one.
    pub label: String,
    /// What the figure is of.
    pub measure: &'static str,
    /// The figure of the real program, where it was measured.
    pub measured: Option<&'static str>,
    /// The least, the middle and the largest of the simulated rounds, or their number: see
    /// [`figures`](Self::figures).
    pub simulated: String,
    /// The same as numbers, in seconds where they are spans. Nothing stands for what never came.
    pub figures: Vec<Option<f64>>,
}

impl Scenario {
    /// All of them, in the order of their letters.
    pub const ALL: [Self; 6] =
        [Self::Release, Self::Crash, Self::Stall, Self::Cut, Self::Refused, Self::Together];

    /// The letter.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Release => "A",
            Self::Crash => "B",
            Self::Stall => "F",
            Self::Cut => "G",
            Self::Refused => "G2",
            Self::Together => "H",
        }
    }

    /// What happens in it, for people.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Release => "the holder releases, ttl 15 s",
            Self::Crash => "the holder's process dies, ttl 6 s",
            Self::Stall => "the holder's process stands still for 15 s, ttl 6 s",
            Self::Cut => "the holder is cut off silently for 30 s, ttl 6 s",
            Self::Refused => "the holder's connections are refused for 30 s, ttl 6 s",
            Self::Together => "six start together on a long expired lease, ttl 3 s",
        }
    }

    const fn ttl(self) -> u64 {
        match self {
            Self::Release => 15,
            Self::Together => 3,
            _ => 6,
        }
    }

    const fn measures(self) -> &'static [Measure] {
        use Measure::{BelievesOn, BothBelieve, Rounds, Takeover, Told};
        match self {
            Self::Release | Self::Crash => &[Takeover, BothBelieve],
            Self::Stall => &[Takeover, BelievesOn, Told, BothBelieve],
            Self::Cut | Self::Refused => &[Takeover, BelievesOn, BothBelieve],
            Self::Together => &[Takeover, BothBelieve, Rounds],
        }
    }

    /// The plan of a round, and when its event begins and ends.
    fn plan(self, seed: u64) -> (Plan, u64, u64) {
        let mut source = Seeded::new(seed, SCENARIO);
        let ttl = self.ttl() * SECOND;
        let together = self == Self::Together;
        let count = if together { 6 } else { 3 };
        let holders: Vec<HolderPlan> = (0..count)
            .map(|index| match index {
                // Processes that one script starts do so within a few milliseconds.
                _ if together => source.below(4 * MILLISECOND),
                // The first has the lease before the others come, out of phase.
                0 => 0,
                _ => 2 * SECOND + source.below(ttl),
            })
            .map(|starts_at| HolderPlan::usual(self.ttl() * 1000, starts_at))
            .collect();
        let began = if together { 0 } else { 4 * ttl + source.below(3 * ttl) };
        let (what, span, watched) = match self {
            Self::Release => (Some(FaultKind::Release { holder: 0, span: 600 * SECOND }), 0, 45 * SECOND),
            Self::Crash => (Some(FaultKind::Crash { holder: 0, span: 600 * SECOND }), 0, 30 * SECOND),
            Self::Stall => {
                let span = ttl * 5 / 2;
                (Some(FaultKind::Pause { holder: 0, span }), span, span + 10 * SECOND)
            }
            Self::Cut | Self::Refused => {
                let (span, way) = (60 * SECOND, if self == Self::Cut { Way::Both } else { Way::Refused });
                (Some(FaultKind::Partition { holder: 0, span, way }), 0, 30 * SECOND)
            }
            Self::Together => (None, 0, 13 * SECOND),
        };
        let length = began + watched;
        let plan = Plan {
            seed,
            length,
            heals_at: length,
            beginning: if together { Beginning::LongDead } else { Beginning::Absent },
            holders,
            // The measurements were made on one machine.
            network: Network {
                least_delay: MILLISECOND / 2,
                more_delay: MILLISECOND / 2,
                ..Network::default()
            },
            faults: what.map(|what| Fault { at: began, what }).into_iter().collect(),
            watches: WatchFaults::default(),
            fates: None,
            ending: Ending::Quiet,
        };
        (plan, began, began + span)
    }

    /// Plays a round. Equal seeds give equal rounds.
    #[must_use]
    pub fn play(self, contestant: Contestant, seed: u64) -> Round {
        let (plan, began, ended) = self.plan(seed);
        let watch = contestant.play(&plan);
        let together = self == Self::Together;
        let alone = (1..plan.holders.len() as u8).all(|seat| watch.belief_at(seat, began).is_none());
        let old = (!together).then_some(0);
        let until = watch.belief_at(0, ended).map_or(ended, |(_, to)| to);
        Round {
            ready: together || (alone && watch.belief_at(0, began).is_some()),
            takeover: watch.next_belief(old, began).map(|at| at - began),
            believes_on: (until < watch.end()).then(|| until - ended),
            told: watch.told_of_loss(0, ended).map(|at| at - ended),
            both_believe: watch.longest_dual_belief(),
            acquired: watch.acquired(),
        }
    }
}

impl Measure {
    const fn about(self) -> &'static str {
        match self {
            Self::Takeover => "another holds after s",
            Self::BelievesOn => "the old one believes on for s",
            Self::Told => "the old one is told after s",
            Self::BothBelieve => "two believe at once for s",
            Self::Rounds => "rounds with two at once",
        }
    }

    fn of(self, round: &Round) -> Option<u64> {
        match self {
            Self::Takeover => round.takeover,
            Self::BelievesOn => round.believes_on,
            Self::Told => round.told,
            Self::BothBelieve | Self::Rounds => Some(round.both_believe),
        }
    }
}

/// Plays every scenario so many times with every contestant, and puts what was measured of the real programs
/// beside it.
#[must_use]
pub fn scenarios(rounds: u32) -> Vec<ScenarioRow> {
    let mut rows = Vec::new();
    for scenario in Scenario::ALL {
        for contestant in Contestant::ALL {
            let played: Vec<Round> =
                (0..u64::from(rounds)).map(|seed| scenario.play(contestant, seed)).collect();
            rows.extend(
                scenario.measures().iter().map(|measure| row(scenario, contestant, *measure, &played)),
            );
        }
    }
    rows
}

fn row(scenario: Scenario, contestant: Contestant, measure: Measure, played: &[Round]) -> ScenarioRow {
    let mut spans: Vec<Option<u64>> = played.iter().map(|round| measure.of(round)).collect();
    // What never comes is longer than anything.
    spans.sort_unstable_by_key(|span| span.unwrap_or(u64::MAX));
    let (figures, simulated) = if measure == Measure::Rounds {
        let several = spans.iter().filter(|span| **span != Some(0)).count();
        (vec![Some(several as f64), Some(played.len() as f64)], format!("{several} of {}", played.len()))
    } else {
        let last = spans.len().saturating_sub(1);
        let chosen = [0, last / 2, last].map(|index| spans.get(index).copied().flatten());
        let figures = chosen.map(|span| span.map(|span| span as f64 / SECOND as f64)).to_vec();
        let text = |figure: &Option<f64>| match figure {
            Some(seconds) if *seconds != 0.0 && *seconds < 0.01 => format!("{seconds:.4}"),
            Some(seconds) => format!("{seconds:.2}"),
            None => "never".to_owned(),
        };
        let simulated = figures.iter().map(text).collect::<Vec<_>>().join("/");
        (figures, simulated)
    };
    ScenarioRow {
        scenario: scenario.letter(),
        about: scenario.about(),
        label: contestant.to_string(),
        measure: measure.about(),
        measured: match contestant {
            Contestant::LeaseCore => None,
            Contestant::Model(kind) => measured(scenario, kind, measure),
        },
        simulated,
        figures,
    }
}
