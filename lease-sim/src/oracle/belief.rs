//! What holders believe, and whether they may.

use lease_core::MonoTime;
use std::time::Duration;

use super::{Assumption, Belief, Invariant, Mark, Oracle, Process};

/// What a holder believes after an input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Believed {
    pub(crate) until: MonoTime,
    /// The same in true time.
    pub(crate) until_at: u64,
    pub(crate) token: u64,
}

impl Oracle {
    /// A holder of ours has taken in an input; `answered`: it was a definite answer to a request of its own.
    pub(crate) fn believed(&mut self, at: u64, process: Process, believed: Option<Believed>, answered: bool) {
        self.look(at);
        let index = usize::from(process.seat);
        let before = self.seats[index].belief;
        // Who was told a reading from the past may not know yet that its term is over.
        let readings = self.broken.contains(&Assumption::Readings)
            // Nor can who is told one at its very first look after its term has ended.
            || (self.from_the_past && self.seats[index].open && believed.is_none());
        if self.seats[index].open != believed.is_some() && !readings {
            let (who, open) = (process.seat, self.seats[index].open);
            self.violate(at, Invariant::EventGrammar, || {
                format!("holder {who} told that a term goes on: {open}, but it believes: {}", !open)
            });
        }
        let Some(now) = believed else {
            self.seats[index].belief = None;
            return;
        };
        let same = before.is_some_and(|before| before.local == now.until && before.token == now.token);
        if same {
            return;
        }
        let who = process.seat;
        if !answered {
            let hinting = self.seats[index].watches.hinting;
            let broken = if hinting { Invariant::HintsOnly } else { Invariant::UnknownIsNeutral };
            self.violate(at, broken, || {
                format!("holder {who} moved its deadline without an answer that says so")
            });
        }
        self.rests_on_a_write(at, process, now);
        self.excludes(at, process);
    }

    /// S9 and S3: the deadline is that of an applied write; remembers which.
    fn rests_on_a_write(&mut self, at: u64, process: Process, now: Believed) {
        let seat = &mut self.seats[usize::from(process.seat)];
        let validity = Duration::from_millis(seat.plan.validity());
        let found =
            seat.attempts.iter().rev().find(|attempt| attempt.emitted.saturating_add(validity) == now.until);
        let found = found.and_then(|attempt| Some((attempt.emitted_at, attempt.applied?)));
        let (base, version) = found.map_or((0, 0), |(_, (base, _, version))| (base, version));
        seat.belief = Some(Belief { until: now.until_at, local: now.until, token: now.token, base, version });
        let who = process.seat;
        let Some((emitted_at, (_, seconds, _))) = found else {
            return self.violate(at, Invariant::OwnSend, || {
                format!(
                    "holder {who} believes until {:?}, which is no applied write's emission plus V",
                    now.until
                )
            });
        };
        let granted = u128::from(seconds.unsigned_abs()) * 1_000_000_000 * 1_000_000;
        let granted = (granted / (1_000_000 + self.rate) as u128) as u64;
        let span = now.until_at - emitted_at;
        if span > granted {
            self.violate(at, Invariant::BeliefBound, || {
                format!(
                    "holder {who} believes for {span} ns of a write that the others keep to for {granted} ns"
                )
            });
        }
    }

    /// S1 and S2 at the instant at which somebody begins to believe, or goes on.
    fn excludes(&mut self, at: u64, process: Process) {
        let own = usize::from(process.seat);
        let mine = self.excused(own);
        let others: Vec<_> = (0..self.seats.len())
            .filter(|other| *other != own)
            .filter_map(|other| Some((other, self.seats[other].belief.filter(|belief| belief.until > at)?)))
            .collect();
        for (other, belief) in others {
            let span = belief.until - at;
            if mine || self.excused(other) {
                self.marks.hit(Mark::ExcusedOverlap);
                continue;
            }
            self.violate(at, Invariant::MutualExclusion, || {
                format!("holder {own} believes while holder {other} does for another {span} ns")
            });
        }
        if self.record.author != Some(process) && !mine && !self.disturbed(own) {
            let author = self.record.author;
            self.violate(at, Invariant::BeliefBacked, || {
                format!("holder {own} believes, but the record's author is {author:?}")
            });
        }
    }

    /// Whether somebody has meddled with the record since the write that a belief rests on.
    pub(super) fn excused(&self, seat: usize) -> bool {
        let base = self.seats[seat].belief.map_or(0, |belief| belief.base);
        self.record.meddled_at.is_some_and(|meddled| meddled >= base)
    }

    /// Whether the record was taken out of a holder's hands since the write that its belief rests on.
    pub(super) fn disturbed(&self, seat: usize) -> bool {
        let base = self.seats[seat].belief.map_or(0, |belief| belief.base);
        self.record.disturbed_at.is_some_and(|disturbed| disturbed >= base)
    }

    /// A holder of another implementation: only who believes when is of interest.
    pub(crate) fn peer_believed(&mut self, at: u64, seat: u8, believed: Option<Believed>) {
        self.look(at);
        self.seats[usize::from(seat)].belief = believed.map(|now| Belief {
            until: now.until_at,
            local: now.until,
            token: now.token,
            base: at,
            version: 0,
        });
    }
}
