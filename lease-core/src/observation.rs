//! A contender's view of the record: since when nothing has changed, and so whether it may be taken.

use std::time::Duration;

use crate::attempts::{Attempt, Attempts};
use crate::config::{Config, ReleasePolicy};
use crate::event::{Acquisition, Denial, DenialReason};
use crate::identifiers::Nonce;
use crate::mutated::mutated;
use crate::time::{MonoTime, Now, WallTime};
use crate::wire::{Holder, Record};

/// The record as last read, and since when its state has been what it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Observation {
    pub(crate) record: Record,
    /// Taken after the bytes arrived: an earlier instant would let us take a lease too early.
    pub(crate) since: MonoTime,
    /// An earlier incarnation of us wrote it, and it was found at our first read.
    pub(crate) reclaimable: bool,
}

/// What may be done about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A write of this incarnation put our name there.
    Own(Attempt),
    /// It may be taken.
    Take(Acquisition),
    /// It may not.
    Refuse(Denial),
}

/// Who is asking, and with which clocks.
pub(crate) struct Judge<'a> {
    pub(crate) config: &'a Config,
    pub(crate) nonce: Nonce,
    pub(crate) attempts: &'a Attempts,
    pub(crate) now: Now,
    /// Whether the wall clock may decide: rule (b).
    pub(crate) wall_is_trusted: bool,
}

impl Judge<'_> {
    /// The attempt that the record shows, if this very incarnation wrote it.
    pub(crate) fn own_attempt(&self, record: &Record) -> Option<Attempt> {
        self.term_attempt(record, None)
    }

    /// The same for a record of the term that began with `acquire_time`: where somebody stripped the
    /// annotation, that tells us from a twin.
    pub(crate) fn term_attempt(&self, record: &Record, acquire_time: Option<WallTime>) -> Option<Attempt> {
        let stripped =
            record.nonce.is_none() && acquire_time.is_some() && record.acquire_time == acquire_time;
        let ours = record.holder.identity() == Some(self.config.identity())
            && (record.nonce == Some(self.nonce) || stripped);
        mutated!(
            by crate::mutants::own_attempt(self, record, ours),
            ours.then(|| self.attempts.find(record.renew_time?).copied())?
        )
    }

    pub(crate) fn verdict(&self, observation: &Observation) -> Verdict {
        let record = &observation.record;
        if record.terminating && !mutated!(self.config, AcquiresTerminating) {
            return Verdict::Refuse(Denial {
                holder: record.holder.identity().cloned(),
                reason: DenialReason::Terminating,
                retry_at: self.now.mono.saturating_add(self.config.poll_interval()),
            });
        }
        if record.holder == Holder::Nobody && !mutated!(self.config, EmptyHolderIsLive) {
            return Verdict::Take(Acquisition::Vacant);
        }
        if let Some(attempt) = self.own_attempt(record) {
            return Verdict::Own(attempt);
        }
        if observation.reclaimable
            && (!may_be_in_quarantine(record, self.config) || self.is_expired(observation))
        {
            return Verdict::Take(Acquisition::Reclaimed);
        }
        let holder = record.holder.identity().cloned();
        if self.is_expired(observation) {
            return Verdict::Take(Acquisition::TakenOver { previous: holder });
        }
        let twin = holder.as_ref() == Some(self.config.identity()) && !observation.reclaimable;
        Verdict::Refuse(Denial {
            holder,
            reason: if twin { DenialReason::DuplicateIdentity } else { DenialReason::Held },
            retry_at: self.expires_at(observation),
        })
    }

    fn is_expired(&self, observation: &Observation) -> bool {
        self.observed_expiry(observation) <= self.now.mono || self.is_expired_by_timestamp(observation)
    }

    /// Rule (a): our own monotonic clock has advanced by W and nothing changed.
    pub(crate) fn observed_expiry(&self, observation: &Observation) -> MonoTime {
        observation.since.saturating_add(wait(&observation.record, self.config))
    }

    /// Rule (b): our own wall clock is past `renewTime + W + max_clock_skew`.
    fn is_expired_by_timestamp(&self, observation: &Observation) -> bool {
        self.until_timestamp_expiry(observation).is_some_and(|left| left.is_zero())
    }

    /// How long until rule (b) frees the record; `None` where it may not decide.
    fn until_timestamp_expiry(&self, observation: &Observation) -> Option<Duration> {
        let allowed = self.config.max_clock_skew().filter(|_| self.wall_is_trusted)?;
        if may_be_in_quarantine(&observation.record, self.config) {
            // A POST may have landed long after its timestamp: a quarantine counts from when it is seen.
            return None;
        }
        let skew = mutated!(self.config, TimestampsWithoutSkew, Duration::ZERO, allowed);
        let waited = wait(&observation.record, self.config).saturating_add(skew);
        let expiry = observation.record.renew_time?.saturating_add(waited);
        let past = self.now.wall > expiry;
        Some(if past {
            Duration::ZERO
        } else {
            expiry.saturating_since(self.now.wall).saturating_add(Duration::from_micros(1))
        })
    }

    /// When the record expires if nothing changes, by whichever rule is first.
    pub(crate) fn expires_at(&self, observation: &Observation) -> MonoTime {
        let observed = self.observed_expiry(observation);
        match self.until_timestamp_expiry(observation) {
            Some(left) => observed.min(self.now.mono.saturating_add(left)),
            None => observed,
        }
    }
}

/// Under `Vacate`: whether the object may be in quarantine although nothing says so, because somebody has
/// stripped its annotations: the mark, and with it the nonce. Whoever keeps it writes `acquireTime` anew with
/// every renewal; a renewal of a term leaves `acquireTime` behind, and then there is no quarantine any more.
fn may_be_in_quarantine(record: &Record, config: &Config) -> bool {
    let renewed =
        record.acquire_time.zip(record.renew_time).is_some_and(|(acquired, renewed)| renewed > acquired);
    config.release_policy() == ReleasePolicy::Vacate
        && record.nonce.is_none()
        && !record.quarantined
        && !renewed
        && !mutated!(config, StrippedQuarantineForgotten)
}

/// The wait for a record: W, and what was asked for on top of it; a quarantine of which nothing is left to be
/// seen, too.
fn wait(record: &Record, config: &Config) -> Duration {
    let claimed = record.duration().unwrap_or(Duration::ZERO);
    let believed = mutated!(
        by crate::mutants::believed(config, claimed),
        claimed.max(config.lease_duration()).min(config.max_foreign_ttl())
    );
    let quarantine = if may_be_in_quarantine(record, config) { config.quarantine() } else { Duration::ZERO };
    let grace = if record.nonce.is_none() { config.foreign_holder_grace() } else { Duration::ZERO };
    believed.max(quarantine).saturating_add(grace).saturating_add(config.takeover_delay())
}
