//! What the switches in the machine ask where more than a word has to be wrong. Each gives what is right
//! unless one of its own mutants is switched on.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::value::RawValue;

use super::Mutant;
use crate::attempts::{Attempt, Attempts};
use crate::config::Config;
use crate::event::Denial;
use crate::identifiers::{FencingToken, Identity};
use crate::observation::{Judge, Observation};
use crate::problem::Problem;
use crate::time::{MonoTime, Now, WallTime};
use crate::wire::{ObjectChange, Record, Reply, Told, Trouble};

/// What is written into `leaseDurationSeconds`.
pub(crate) fn rounded_down(config: &Config) -> i32 {
    i32::try_from(config.ttl().as_secs().max(1)).unwrap_or(i32::MAX)
}

/// From when a confirmed renewal counts.
pub(crate) fn counts_from(config: &Config, now: Now, emitted: MonoTime) -> MonoTime {
    match config.mutant() {
        Some(Mutant::DeadlineFromReceipt) => now.mono,
        Some(Mutant::ClientGoDeadline) => now.mono.saturating_add(config.retry_delay()),
        _ => emitted,
    }
}

/// From when a write counts that a read has shown.
pub(crate) fn read_counts_from(config: &Config, now: Now, attempts: &Attempts, shown: Attempt) -> MonoTime {
    match config.mutant() {
        Some(Mutant::ReadExtends) => now.mono,
        Some(Mutant::NewestAttemptCredited) => attempts.last_emitted().unwrap_or(shown.emitted),
        _ => shown.emitted,
    }
}

/// The acquiring write that shows. A write that leaves a quarantine behind grants nothing and is left alone.
pub(crate) fn written(config: &Config, now: Now, shown: Attempt) -> Attempt {
    let in_time = now.mono < shown.emitted.saturating_add(config.validity());
    match config.mutant() {
        Some(Mutant::AcquireFromReceipt) if shown.begins_term && in_time => {
            Attempt { emitted: now.mono, ..shown }
        }
        Some(Mutant::LateReplyStartsTerm) if shown.begins_term && !in_time => {
            Attempt { emitted: now.mono, ..shown }
        }
        _ => shown,
    }
}

/// Whether this answer to a renewal is believed although it confirms nothing.
pub(crate) fn believes(config: &Config, reply: &Reply) -> bool {
    match (config.mutant(), reply) {
        (Some(Mutant::UnknownIsSuccess), Reply::Trouble(trouble)) => !trouble.definite,
        (Some(Mutant::ConflictIsSuccess), Reply::Conflict) => true,
        _ => false,
    }
}

/// The stamp of a renewal.
pub(crate) fn renew_time(
    config: &Config,
    observed: Option<&Observation>,
    now: Now,
    stamp: WallTime,
) -> WallTime {
    match config.mutant() {
        Some(Mutant::RenewTimeFrozen) => {
            observed.and_then(|observed| observed.record.renew_time).unwrap_or(stamp)
        }
        Some(Mutant::RenewTimeFromWallClock) => now.wall.clamp(WallTime::MIN_STORED, WallTime::MAX_STORED),
        _ => stamp,
    }
}

/// The clock that an acquiring write is stamped from.
pub(crate) fn acquiring_clock(config: &Config, observed: Option<&Observation>, clock: WallTime) -> WallTime {
    let foreign = observed.and_then(|observed| observed.record.renew_time);
    match (config.mutant(), foreign) {
        (Some(Mutant::FollowsForeignTimestamps), Some(foreign)) => clock.max(foreign.offset_by(1)),
        _ => clock,
    }
}

/// What a response means.
pub(crate) fn misjudged(config: &Config, response: &Response<Bytes>, reply: Reply) -> Reply {
    match (config.mutant(), reply) {
        (Some(Mutant::RetryAfterIgnored), Reply::Trouble(trouble)) => {
            Reply::Trouble(Trouble { retry_after: None, ..trouble })
        }
        (Some(Mutant::ServerErrorIsRefusal), Reply::Trouble(trouble))
            if matches!(trouble.problem, Problem::Status { code: 500.., .. }) =>
        {
            Reply::Trouble(Trouble { definite: true, ..trouble })
        }
        (Some(Mutant::AnyNotFoundIsAbsence), Reply::Trouble(_))
            if response.status() == StatusCode::NOT_FOUND =>
        {
            Reply::Absent
        }
        (_, reply) => reply,
    }
}

/// Whether a contender has seen nothing new.
pub(crate) fn same_state(config: &Config, last: &Record, record: &Record) -> bool {
    match config.mutant() {
        Some(Mutant::ObservationKeyedOnResourceVersion) => last.version == record.version,
        Some(Mutant::ObservationKeyedOnHolder) => {
            last.version.uid == record.version.uid && last.holder == record.holder
        }
        _ => last.same_state(record),
    }
}

/// W, for a record that claims this duration.
pub(crate) fn believed(config: &Config, claimed: Duration) -> Duration {
    let own = config.lease_duration();
    let believed = claimed.max(own).min(config.max_foreign_ttl());
    match config.mutant() {
        Some(Mutant::WaitsRecordDurationOnly) if !claimed.is_zero() => claimed.min(config.max_foreign_ttl()),
        Some(Mutant::WaitsOwnTtlOnly) => own,
        Some(Mutant::WaitsOneSecondLess) => believed.saturating_sub(Duration::from_secs(1)),
        Some(Mutant::NoCapOnForeignTtl) => claimed.max(own),
        _ => believed,
    }
}

/// The attempt that a record shows. `ours`: identity and nonce say that it is this incarnation's.
pub(crate) fn own_attempt(judge: &Judge<'_>, record: &Record, ours: bool) -> Option<Attempt> {
    let renew_time = record.renew_time?;
    let found = judge.attempts.find(renew_time).copied();
    if judge.config.mutant() != Some(Mutant::IdentityAlone) {
        return found.filter(|_| ours);
    }
    let named = record.holder.identity() == Some(judge.config.identity());
    // What it never wrote counts as its newest write, of no episode: it is written over at once.
    let emitted = judge.attempts.last_emitted().unwrap_or(judge.now.mono);
    named.then(|| found.unwrap_or(Attempt { renew_time, emitted, episode: u64::MAX, begins_term: true }))
}

/// A token that is no resource version.
pub(crate) fn token(config: &Config, episode: u64) -> Option<FencingToken> {
    (config.mutant() == Some(Mutant::TokenCountsTerms)).then(|| FencingToken::from_u64(episode))
}

/// Whether a PUT counts as a change of holder.
pub(crate) fn changes_hands(config: &Config, after: Option<&Identity>, before: Option<&Identity>) -> bool {
    match config.mutant() {
        Some(Mutant::TransitionsOnRenewal) => true,
        Some(Mutant::TransitionsNever) => false,
        _ => after != before,
    }
}

/// The body of a DELETE of whatever is there.
pub(crate) fn delete_body() -> Bytes {
    Bytes::from_static(b"{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}")
}

/// The fields of `metadata` that a PUT leaves out.
pub(crate) fn left_out(config: &Config) -> &'static [&'static str] {
    match config.mutant() {
        Some(Mutant::PutWithoutUid) => &["uid"],
        Some(Mutant::PutWithoutResourceVersion) => &["resourceVersion"],
        Some(Mutant::DropsLabels) => &["labels"],
        _ => &[],
    }
}

/// When a campaign that was denied looks again.
pub(crate) fn look_at(config: &Config, now: Now, denial: &Denial, look_at: MonoTime) -> MonoTime {
    match config.mutant() {
        Some(Mutant::PollsAtOnce) => now.mono,
        Some(Mutant::PollsOnlyAtExpiry) => denial.retry_at,
        _ => look_at,
    }
}

/// The pause after so many failures in a row.
pub(crate) fn backoff(config: &Config, failures: u32, pause: Duration) -> Duration {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    match config.mutant() {
        Some(Mutant::NoBackoff) => Duration::from_millis(1),
        Some(Mutant::GivesUp) if failures > 3 => YEAR,
        _ => pause,
    }
}

/// What a bookmark says: nothing, but for who takes it for the object.
pub(crate) fn bookmark(object: &RawValue, config: &Config, last: Option<&Record>) -> Told {
    let uid = last.map(|last| &*last.version.uid);
    let is_wrong = config.mutant() == Some(Mutant::BookmarkIsObject);
    let read = is_wrong.then(|| as_ours(object.get().as_bytes(), config, uid)).flatten();
    read.map_or(Told::Nothing, |record| Told::Change(record, ObjectChange::Modified))
}

/// What an event of another Lease says: nothing, but for who takes it for ours.
pub(crate) fn of_another(
    change: ObjectChange,
    object: &Bytes,
    config: &Config,
    last: Option<&Record>,
) -> Told {
    let uid = last.map(|last| &*last.version.uid);
    let is_wrong = config.mutant() == Some(Mutant::EventOfAnotherLease);
    let read = is_wrong.then(|| as_ours(object, config, uid)).flatten();
    read.map_or(Told::Nothing, |record| Told::Change(record, change))
}

/// An object as if it were our Lease.
fn as_ours(object: &[u8], config: &Config, uid: Option<&str>) -> Option<Record> {
    let mut object: serde_json::Value = serde_json::from_slice(object).ok()?;
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    for (key, value) in [("name", config.name()), ("namespace", config.namespace()), ("uid", uid?)] {
        metadata.insert(key.to_owned(), value.into());
    }
    Record::read(&object.to_string().into(), config, None).ok()
}
