//! What goes wrong with watches.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::network::throttle;
use super::{Fate, Network, Plan, RequestKey, Seeded, Source, Throttle, mix};

/// The domains of the choices that decide the fate of watches, and of what they tell.
const OPENINGS: u64 = 6;
const EVENTS: u64 = 7;
const WATCHES: u64 = 8;

/// The name of a watch's silence for the whole run.
pub(crate) const DEAF: &str = "watches-are-deaf";

/// How watches fare, beside what a network does to the requests that open them. Chances are in millionths, of
/// watches or of events, spans in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchFaults {
    /// No event reaches anybody, in the whole run: not even when all faults have ended. Nothing may rest on a watch.
    pub deaf: bool,
    /// Watches on which nothing comes for up to `stall_span`, and then all of it.
    pub stalls: u32,
    /// For how long at most.
    pub stall_span: u64,
    /// Watches that end after up to `short_span`.
    pub short: u32,
    /// How long they last at most.
    pub short_span: u64,
    /// Watches that end right after the head.
    pub empty: u32,
    /// Watches that are answered with 410.
    pub gone: u32,
    /// Watches that are answered with an error of the server or a proxy, or with 429.
    pub refused: u32,
    /// Events that come a second time, after newer ones.
    pub repeats: u32,
    /// Events that never come.
    pub drops: u32,
    /// Events that come up to `late_span` later; whatever is told after them waits for them.
    pub late: u32,
    /// How much later at most.
    pub late_span: u64,
    /// Events before which the stream says that it has lost the thread: 410 in the midst of it.
    pub breaks: u32,
    /// Events in whose place comes garbage.
    pub garbage: u32,
    /// Events before which comes what nobody asked for: a bookmark, or another object's event.
    pub strangers: u32,
    /// Events that come in two pieces.
    pub cuts: u32,
    /// Events that come in one piece with the one before, if that is still on its way.
    pub joins: u32,
}

/// What becomes of one watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Plain,
    /// Opened; then nothing for so long.
    Stall(u64),
    /// Ends after so long.
    Short(u64),
    /// Ends right after the head.
    Empty,
    /// Answered with 410.
    Gone,
    /// Answered with this status.
    Error(u16),
    /// Answered with 429.
    Throttle(Throttle),
}

/// What becomes of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    Plain,
    /// The one before comes once more, after it.
    Repeat,
    Drop,
    /// Comes so much later.
    Late(u64),
    /// 410 first, and it is the last that comes.
    Break,
    /// Garbage in its place.
    Garbage,
    /// A bookmark first.
    Bookmark,
    /// An event of another object first.
    Stranger,
}

/// How the bytes of one event are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pieces {
    One,
    /// Two, so many bytes (of all of them, in 2^32ths) in the first one.
    Two(u32),
    /// In one piece with what came before.
    Joined,
}

impl Opening {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "carried",
            Self::Stall(_) => "watch-stalls",
            Self::Short(_) => "watch-ends-early",
            Self::Empty => "watch-ends-at-once",
            Self::Gone => "watch-answered-410",
            Self::Error(_) => "watch-answered-5xx",
            Self::Throttle(_) => "watch-answered-429",
        }
    }
}

impl Telling {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "carried",
            Self::Repeat => "watch-event-repeated",
            Self::Drop => "watch-event-dropped",
            Self::Late(_) => "watch-event-late",
            Self::Break => "watch-breaks-with-410",
            Self::Garbage => "watch-garbage",
            Self::Bookmark => "watch-bookmark",
            Self::Stranger => "watch-event-of-another",
        }
    }
}

impl Pieces {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "carried",
            Self::Two(_) => "watch-event-cut",
            Self::Joined => "watch-events-joined",
        }
    }
}

/// What one draw decides between; the chances add up.
struct Fall(u32);

impl Fall {
    fn draw(source: &mut impl Source) -> Self {
        Self(source.below(1_000_000) as u32)
    }

    fn on(&mut self, chance: u32) -> bool {
        let hit = self.0 < chance;
        self.0 = self.0.wrapping_sub(if hit { 0 } else { chance });
        hit
    }
}

impl WatchFaults {
    /// Whether nothing goes wrong with a watch.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The names of what can go wrong with watches here, as reports count it.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let chances = [
            (self.stalls, Opening::Stall(0).name()),
            (self.short, Opening::Short(0).name()),
            (self.empty, Opening::Empty.name()),
            (self.gone, Opening::Gone.name()),
            (self.refused, Opening::Error(500).name()),
            (self.refused, Opening::Throttle(Throttle::Missing).name()),
            (self.repeats, Telling::Repeat.name()),
            (self.drops, Telling::Drop.name()),
            (self.late, Telling::Late(0).name()),
            (self.breaks, Telling::Break.name()),
            (self.garbage, Telling::Garbage.name()),
            (self.strangers, Telling::Bookmark.name()),
            (self.strangers, Telling::Stranger.name()),
            (self.cuts, Pieces::Two(0).name()),
            (self.joins, Pieces::Joined.name()),
            (u32::from(self.deaf), DEAF),
        ];
        chances.into_iter().filter(|(chance, _)| *chance > 0).map(|(_, name)| name).collect()
    }

    /// Some of them, each on in a part of the runs.
    pub(super) fn drawn(source: &mut impl Source) -> Self {
        // On a logarithmic scale, as for networks.
        let chance = |source: &mut dyn FnMut() -> u64, most: u64| -> u32 {
            let on = source() % 100 >= 72;
            let cut = source() % 5;
            if on { (most >> cut) as u32 } else { 0 }
        };
        let mut draw = || source.next() >> 20;
        let stalls = chance(&mut draw, 600_000);
        let short = chance(&mut draw, 800_000);
        let empty = chance(&mut draw, 700_000);
        let gone = chance(&mut draw, 300_000);
        let refused = chance(&mut draw, 300_000);
        let repeats = chance(&mut draw, 300_000);
        let drops = chance(&mut draw, 300_000);
        let late = chance(&mut draw, 150_000);
        let breaks = chance(&mut draw, 60_000);
        let garbage = chance(&mut draw, 60_000);
        let strangers = chance(&mut draw, 200_000);
        let cuts = chance(&mut draw, 600_000);
        let joins = chance(&mut draw, 400_000);
        Self {
            deaf: source.chance(120_000),
            stalls,
            stall_span: source.spread(Duration::from_secs(1), Duration::from_secs(300)),
            short,
            short_span: source.spread(Duration::from_millis(10), Duration::from_secs(60)),
            empty,
            gone,
            refused,
            repeats,
            drops,
            late,
            late_span: source.spread(Duration::from_millis(100), Duration::from_secs(60)),
            breaks,
            garbage,
            strangers,
            cuts,
            joins,
        }
    }

    fn opening(&self, source: &mut impl Source) -> Opening {
        const CODES: [u16; 4] = [500, 502, 503, 504];
        let mut falls = Fall::draw(source);
        if falls.on(self.empty) {
            Opening::Empty
        } else if falls.on(self.gone) {
            Opening::Gone
        } else if falls.on(self.refused) {
            if source.chance(300_000) {
                Opening::Throttle(throttle(source))
            } else {
                Opening::Error(source.pick(&CODES))
            }
        } else if falls.on(self.stalls) {
            Opening::Stall(source.below(self.stall_span))
        } else if falls.on(self.short) {
            Opening::Short(source.below(self.short_span))
        } else {
            Opening::Plain
        }
    }

    fn telling(&self, source: &mut impl Source) -> (Telling, Pieces) {
        let mut falls = Fall::draw(source);
        let telling = if falls.on(self.repeats) {
            Telling::Repeat
        } else if falls.on(self.drops) {
            Telling::Drop
        } else if falls.on(self.late) {
            Telling::Late(source.below(self.late_span))
        } else if falls.on(self.breaks) {
            Telling::Break
        } else if falls.on(self.garbage) {
            Telling::Garbage
        } else if falls.on(self.strangers) {
            if source.chance(500_000) { Telling::Bookmark } else { Telling::Stranger }
        } else {
            Telling::Plain
        };
        let mut falls = Fall::draw(source);
        let pieces = if falls.on(self.cuts) {
            Pieces::Two(source.below(1 << 32) as u32)
        } else if falls.on(self.joins) {
            Pieces::Joined
        } else {
            Pieces::One
        };
        (telling, pieces)
    }
}

impl Plan {
    /// What the plan's network does to a watch: to the request, and to what comes back. Fates that are spelled out
    /// are those of other requests.
    pub(crate) fn drawn_watch(&self, key: RequestKey, healed: bool) -> Fate {
        let mut source = Seeded::new(self.seed ^ key.domain(), WATCHES);
        if healed { Network::good().plain(&mut source) } else { self.network.draw(&mut source) }
    }

    /// What becomes of a watch. Its number counts the watches of its holder's incarnation, so that they leave the
    /// requests as they are, and the other way round.
    pub(crate) fn drawn_opening(&self, key: RequestKey) -> Opening {
        self.watches.opening(&mut Seeded::new(self.seed ^ key.domain(), OPENINGS))
    }

    /// What becomes of the event with this number on a watch.
    pub(crate) fn drawn_telling(&self, key: RequestKey, event: u64) -> (Telling, Pieces) {
        self.watches.telling(&mut Seeded::new(self.seed ^ mix(key.domain() ^ event), EVENTS))
    }
}
