//! Who believed when, written down while a run goes on, whatever protocol its holders follow.

use lease_core::Event;

/// A span of true time, in nanoseconds: from the first up to the second instant.
pub(crate) type Span = (u64, u64);

/// The facts of a run that comparisons are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    seats: Vec<Seat>,
    cut_short: bool,
    meddled: bool,
    end: u64,
}

/// The facts about one holder.
#[derive(Clone, Debug, Default)]
struct Seat {
    /// When it believed. One that is renewed in time is one belief.
    beliefs: Vec<Span>,
    /// The belief that has not ended yet, as far as it reaches without another input.
    open: Option<Span>,
    /// When its process stood still.
    pauses: Vec<Span>,
    paused_since: Option<u64>,
    requests: Vec<u64>,
    lost: Vec<u64>,
}

impl Seat {
    fn believes(&mut self, now: u64, until: Option<u64>) {
        let open = self.open.take();
        let still = open.filter(|(_, end)| *end >= now);
        match (still, until) {
            (Some((from, _)), Some(until)) => self.open = Some((from, until)),
            (None, Some(until)) => {
                self.beliefs.extend(open);
                self.open = Some((now, until));
            }
            (_, None) => self.beliefs.extend(open.map(|(from, end)| (from, end.min(now)))),
        }
    }

    fn goes_on(&mut self, now: u64) {
        self.pauses.extend(self.paused_since.take().map(|since| (since, now)));
    }
}

impl Watch {
    pub(crate) fn new(seats: usize) -> Self {
        Self { seats: vec![Seat::default(); seats], ..Self::default() }
    }

    fn seat(&mut self, seat: u8) -> &mut Seat {
        &mut self.seats[usize::from(seat)]
    }

    /// A holder believes until then from now on, if nothing else happens; or does not.
    pub(crate) fn believes(&mut self, now: u64, seat: u8, until: Option<u64>) {
        self.seat(seat).believes(now, until);
    }

    pub(crate) fn stops(&mut self, now: u64, seat: u8) {
        self.seat(seat).paused_since.get_or_insert(now);
    }

    pub(crate) fn goes_on(&mut self, now: u64, seat: u8) {
        self.seat(seat).goes_on(now);
    }

    pub(crate) fn died(&mut self, now: u64, seat: u8) {
        self.seat(seat).believes(now, None);
        self.seat(seat).goes_on(now);
    }

    pub(crate) fn sent(&mut self, now: u64, seat: u8) {
        self.seat(seat).requests.push(now);
    }

    pub(crate) fn told(&mut self, now: u64, seat: u8, event: &Event) {
        if matches!(event, Event::Lost { .. }) {
            self.seat(seat).lost.push(now);
        }
    }

    pub(crate) fn cut_short(&mut self) {
        self.cut_short = true;
    }

    /// The run is over: after its length, though nothing may have happened then, or when it was cut short.
    pub(crate) fn finish(&mut self, now: u64, length: u64, meddled: bool) {
        let now = if self.cut_short { now } else { length };
        self.end = now;
        self.meddled = meddled;
        for seat in &mut self.seats {
            seat.believes(now, None);
            seat.goes_on(now);
        }
    }

    /// When the run ended.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Whether the run was ended because its holders sent without end.
    pub(crate) const fn was_cut_short(&self) -> bool {
        self.cut_short
    }

    /// Whether an administrator or a stranger took the lease from whoever held it.
    pub(crate) const fn was_meddled_with(&self) -> bool {
        self.meddled
    }

    /// How many requests a holder sent in a span.
    pub(crate) fn requests(&self, seat: u8, (from, to): Span) -> u64 {
        let within = |at: &&u64| (from..to).contains(*at);
        self.seats[usize::from(seat)].requests.iter().filter(within).count() as u64
    }

    /// When a holder was first told of a loss from an instant on.
    pub(crate) fn told_of_loss(&self, seat: u8, since: u64) -> Option<u64> {
        self.seats[usize::from(seat)].lost.iter().copied().find(|at| *at >= since)
    }

    /// The belief of a holder that an instant lies in, or at whose end.
    pub(crate) fn belief_at(&self, seat: u8, at: u64) -> Option<Span> {
        self.seats[usize::from(seat)].beliefs.iter().copied().find(|(from, to)| *from < at && at <= *to)
    }

    /// Whether anybody believed in the last `span`.
    pub(crate) fn held_lately(&self, span: u64) -> bool {
        let since = self.end.saturating_sub(span);
        self.seats.iter().flat_map(|seat| &seat.beliefs).any(|(_, to)| *to > since)
    }

    /// When another than `but` first believed from an instant on.
    pub(crate) fn next_belief(&self, but: Option<u8>, since: u64) -> Option<u64> {
        let others = self.seats.iter().enumerate().filter(|(index, _)| but != Some(*index as u8));
        let later = others.flat_map(|(_, seat)| &seat.beliefs).filter(|(_, to)| *to > since);
        later.map(|(from, _)| (*from).max(since)).min()
    }

    /// How many believed at any time.
    pub(crate) fn acquired(&self) -> usize {
        self.seats.iter().filter(|seat| !seat.beliefs.is_empty()).count()
    }

    /// The longest time without a break for which two or more processes believed and ran. What a process
    /// believes while it stands still moves nobody to anything, and so counts only from when it goes on.
    pub(crate) fn longest_dual_belief(&self) -> u64 {
        let mut steps: Vec<(u64, i32)> = Vec::new();
        for seat in &self.seats {
            for (from, to) in without(&seat.beliefs, &seat.pauses) {
                steps.extend([(from, 1), (to, -1)]);
            }
        }
        // All that happens at one instant counts as one step, whatever comes first.
        steps.sort_unstable();
        let (mut believing, mut since, mut longest) = (0, None, 0);
        for together in steps.chunk_by(|one, other| one.0 == other.0) {
            believing += together.iter().map(|(_, step)| step).sum::<i32>();
            let at = together[0].0;
            if believing >= 2 {
                since.get_or_insert(at);
            } else if let Some(since) = since.take() {
                longest = longest.max(at - since);
            }
        }
        longest
    }
}

/// The parts of `spans` that lie in none of `holes`. Both are in order and do not overlap.
fn without(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    for &(mut from, to) in spans {
        for &(begin, end) in holes {
            if end > from && begin < to {
                left.push((from, begin));
                from = end;
            }
        }
        left.push((from, to));
    }
    left.retain(|(from, to)| from < to);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beliefs_that_are_renewed_in_time_are_one() {
        let mut watch = Watch::new(2);
        watch.believes(10, 0, Some(20));
        watch.believes(20, 0, Some(30));
        watch.believes(40, 0, Some(60));
        watch.believes(45, 1, Some(u64::MAX));
        watch.finish(50, 50, false);
        assert_eq!(watch.seats[0].beliefs, [(10, 30), (40, 50)]);
        assert_eq!(watch.seats[1].beliefs, [(45, 50)]);
        assert_eq!(watch.longest_dual_belief(), 5);
        assert_eq!((watch.next_belief(Some(0), 12), watch.next_belief(Some(1), 35)), (Some(45), Some(40)));
        assert_eq!(watch.belief_at(0, 30), Some((10, 30)));
        assert!(watch.held_lately(1) && watch.acquired() == 2);
    }

    #[test]
    fn who_stands_still_does_not_count() {
        let mut watch = Watch::new(2);
        watch.believes(10, 0, Some(u64::MAX));
        watch.stops(20, 0);
        watch.believes(30, 1, Some(u64::MAX));
        watch.goes_on(40, 0);
        watch.believes(43, 0, None);
        watch.finish(43, 100, false);
        assert_eq!(watch.longest_dual_belief(), 3);
        watch.seats[0].pauses = vec![(0, 43)];
        assert_eq!(watch.longest_dual_belief(), 0);
    }

    #[test]
    fn a_handover_at_one_instant_is_no_dual_belief() {
        let mut watch = Watch::new(3);
        watch.believes(1, 0, Some(5));
        watch.believes(5, 1, Some(9));
        watch.believes(8, 2, Some(12));
        watch.believes(9, 0, Some(11));
        watch.finish(43, 100, false);
        // The third believed beside the second and then beside the first, without a break.
        assert_eq!(watch.longest_dual_belief(), 3);
    }
}
