//! What holders tell their applications.

use lease_core::{AttemptOutcome, Event, LostReason, MonoTime, ReleaseOutcome};

use super::{Invariant, Mark, Oracle, Process};

impl Oracle {
    /// A holder of ours told something at `now`, by its own clock. `sent` is the number of its last request.
    pub(crate) fn told(&mut self, at: u64, process: Process, now: MonoTime, sent: u64, event: &Event) {
        let who = process.seat;
        let open = self.seats[usize::from(who)].open;
        match event {
            Event::Acquired { token, .. } => {
                if open {
                    self.grammar(at, who, "acquired twice");
                }
                if self.seats[usize::from(who)].watches.woke {
                    self.marks.hit(Mark::WatchWoke);
                }
                self.acquired(at, process, token.as_u64());
            }
            Event::Renewed { .. } if !open => self.grammar(at, who, "renewed what it does not hold"),
            Event::Renewed { .. } => {
                let base = self.seats[usize::from(who)].belief.map(|belief| belief.base);
                if self.record.touched_at.zip(base).is_some_and(|(touched, base)| touched > base) {
                    self.marks.hit(Mark::MetadataSurvived);
                }
            }
            Event::Released { .. } | Event::Lost { .. } if !open => self.grammar(at, who, "ended twice"),
            Event::Released { .. } => {
                self.ended(who);
                self.free_to_watch(who, true);
            }
            Event::Lost { reason, .. } => {
                self.lost(at, process, now, reason);
                self.ended(who);
                self.free_to_watch(who, false);
            }
            Event::AttemptEnded { outcome: AttemptOutcome::Denied(_), .. } => {
                self.seats[usize::from(who)].denied = sent;
                self.free_to_send(who);
                self.free_to_watch(who, false);
                self.nothing_in_doubt(at, process, now, "denied");
            }
            Event::AttemptEnded { .. } => {
                self.free_to_send(who);
                self.free_to_watch(who, false);
            }
            Event::QuarantineStarted { .. } => self.seats[usize::from(who)].quarantined = true,
            Event::WatchTrouble { retry_at, .. } => {
                self.seats[usize::from(who)].watches.not_before = Some(*retry_at);
            }
            Event::DuplicateIdentity => self.marks.hit(Mark::DuplicateIdentity),
            Event::ReleaseEnded { outcome } => self.release_ended(at, process, now, sent, outcome),
            _ => {}
        }
    }

    /// S21: a POST has no condition that somebody else's write could break, so one without an answer can win
    /// for as long as an API server keeps a request: nobody says "no" or "done" before that.
    fn nothing_in_doubt(&mut self, at: u64, process: Process, now: MonoTime, word: &str) {
        // Twice kube-apiserver's `--request-timeout`, less what a holder may take to give a request up.
        const KEPT: std::time::Duration = std::time::Duration::from_secs(115);
        let seat = &self.seats[usize::from(process.seat)];
        let open = seat.posts.iter().find(|(_, emitted)| now < emitted.saturating_add(KEPT)).copied();
        if let Some((number, _)) = open {
            self.violate(at, Invariant::NoMeansNo, || {
                format!("holder {} says {word} while nobody knows of its POST {number}", process.seat)
            });
        }
        let late = self.creating.iter().find(|(owner, _)| *owner == process).map(|(_, number)| *number);
        if let Some(number) = late {
            self.violate(at, Invariant::NoMeansNo, || {
                format!("holder {} says {word} while its POST {number} is on its way", process.seat)
            });
        }
    }

    fn grammar(&mut self, at: u64, who: u8, about: &str) {
        self.violate(at, Invariant::EventGrammar, || format!("holder {who} {about}"));
    }

    /// S6: a token above those of all terms that were written before, below those written after.
    fn acquired(&mut self, at: u64, process: Process, token: u64) {
        let begun = self.record.begun_at;
        let seat = &mut self.seats[usize::from(process.seat)];
        seat.open = true;
        seat.restarts = 0;
        seat.disturbed = false;
        let last = seat.last_token.replace(token);
        if std::mem::take(&mut seat.quarantined) {
            self.marks.hit(Mark::QuarantineEnded);
        }
        if last.is_some_and(|last| token <= last) {
            self.grammar(at, process.seat, "has a token that is not above its last one");
        }
        if self.record.author != Some(process) {
            // Whether it may believe is S2's question.
            return;
        }
        let wrong = self.terms.iter().any(|(other, former)| match other.cmp(&begun) {
            std::cmp::Ordering::Less => *former >= token,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => *former <= token,
        });
        if wrong || token < begun {
            self.violate(at, Invariant::TokenGrows, || {
                format!("holder {}: token {token} of the term from version {begun}", process.seat)
            });
        }
        self.terms.push((begun, token));
    }

    fn ended(&mut self, who: u8) {
        let seat = &mut self.seats[usize::from(who)];
        seat.open = false;
        // The requests from here on are another attempt's or a release's.
        seat.not_before = None;
    }

    fn lost(&mut self, at: u64, process: Process, now: MonoTime, reason: &LostReason) {
        let who = process.seat;
        let seat = &self.seats[usize::from(who)];
        let Some(belief) = seat.belief else {
            return;
        };
        let left = seat.left_at.is_some_and(|left| left >= belief.base) || seat.misled;
        match reason {
            LostReason::Expired { .. } => {
                self.marks.hit(Mark::Expired);
                let timeout = std::time::Duration::from_millis(2 * seat.plan.request_timeout);
                if !seat.disturbed && seat.last_sent < belief.local.saturating_sub(timeout) {
                    self.violate(at, Invariant::LastChance, || {
                        format!("holder {who} let its term expire at {now:?} without a last attempt")
                    });
                }
                if now < belief.local {
                    self.violate(at, Invariant::EventGrammar, || {
                        format!("holder {who} expired at {now:?}, before its deadline {:?}", belief.local)
                    });
                }
            }
            LostReason::Clock => self.marks.hit(Mark::ClockLost),
            other => {
                self.marks.hit(if *other == LostReason::Deleted { Mark::Deleted } else { Mark::TakenOver });
                if !left {
                    self.violate(at, Invariant::NoFalseLoss, || {
                        format!("holder {who} says {other:?}, but the record was its own all the time")
                    });
                }
            }
        }
    }

    fn release_ended(
        &mut self,
        at: u64,
        process: Process,
        now: MonoTime,
        sent: u64,
        outcome: &ReleaseOutcome,
    ) {
        let who = process.seat;
        self.free_to_send(who);
        self.free_to_watch(who, true);
        if !matches!(outcome, ReleaseOutcome::Unconfirmed { .. }) {
            self.seats[usize::from(who)].denied = sent;
            self.nothing_in_doubt(at, process, now, "released");
            // What a stale read or a doubled request made of it, nobody could have known.
            let unknowable = self.record.terminating
                || self.record.stripped
                || self.record.doubled
                || self.seats[usize::from(who)].misled;
            if self.record.author == Some(process) && !unknowable {
                self.violate(at, Invariant::NoMeansNo, || {
                    format!("holder {who} says {outcome:?}, but the record names it")
                });
            }
        }
        match outcome {
            ReleaseOutcome::NotOurs => self.marks.hit(Mark::ReleaseNotOurs),
            ReleaseOutcome::Unconfirmed { .. } => self.marks.hit(Mark::ReleaseUnconfirmed),
            _ => {}
        }
    }
}
