//! Deliberate bugs, switched on by name, that a simulator must find. **Never in a release build.**
//!
//! A checker that cannot fail is worthless. Each [`Mutant`] breaks one rule of the protocol at one place
//! (rarely two); `lease-sim` switches them on one by one and has to notice every one of them. This module and
//! every switch exist only with the feature `mutants`; without [`ConfigBuilder::mutant`] the feature changes
//! nothing. Recordings leave the mutant out: they replay the machine as it should be.
//!
//! [`Mutant::expected`] names the invariants that should break: `S…` (safety) and `L…` (liveness) as
//! `lease-sim` numbers them, and rules of the protocol that none of those covers:
//!
//! - `P1` *settle first*: after a write without a definite outcome, the next request is a read;
//! - `P2` *honest answers*: "denied", "confirmed" and "nothing" are said only when no write of this machine
//!   can still put its name into the record, and "confirmed" only when the name is gone;
//! - `P3` *respect deletion*: no write and no term on an object that was seen with a `deletionTimestamp`;
//! - `P4` *stamps near the clock*: no `renewTime` lies further from true time than `max_clock_skew` allows.
//!
//! [`ConfigBuilder::mutant`]: crate::ConfigBuilder::mutant

mod wrong;

use std::fmt;
use std::str::FromStr;

pub(crate) use wrong::{
    acquiring_clock, backoff, believed, believes, bookmark, changes_hands, counts_from, delete_body,
    left_out, look_at, misjudged, of_another, own_attempt, read_counts_from, renew_time, rounded_down,
    same_state, token, written,
};

macro_rules! mutants {
    ($($variant:ident = $name:literal, [$($expected:literal),*], $about:literal, $reached_by:literal;)*) => {
        /// A deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Mutant {
            $(
                #[doc = concat!("Broken: ", $about, ".")]
                #[doc = ""]
                #[doc = concat!("Reached by: ", $reached_by, ".")]
                $variant,
            )*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, in kebab case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What is broken, in one line.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }

            /// The kind of schedule that brings it to light.
            #[must_use]
            pub const fn reached_by(self) -> &'static str {
                match self {
                    $(Self::$variant => $reached_by,)*
                }
            }

            /// The invariants that should catch it, the likeliest first: see the [module](self).
            #[must_use]
            pub const fn expected(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($expected),*],)*
                }
            }
        }
    };
}

#[rustfmt::skip]
mutants! {
    // Deadlines
    DeadlineFromReceipt = "deadline-from-receipt", ["S1", "S3", "S9"],
        "a renewal extends the term from the receipt of its reply, not from its own emission",
        "slow replies, then a holder that hears nothing more while a contender waits";
    AcquireFromReceipt = "acquire-from-receipt", ["S1", "S3", "S9"],
        "an acquiring write that is answered in time grants a term from the receipt of its reply",
        "a slow reply to the acquiring write, and no renewal after it";
    ClientGoDeadline = "client-go-deadline", ["S1", "S3", "S9"],
        "a term lasts as long as client-go's: from the reply, and a retry delay longer",
        "as `deadline-from-receipt`; with the default margin the delay alone is not enough";
    ReadExtends = "read-extends", ["S1", "S3", "S9"],
        "a read that shows our record extends the term from that read",
        "a confirmed renewal, then conflicts or lost replies, and reads that are answered";
    NewestAttemptCredited = "newest-attempt-credited", ["S1", "S3", "S9"],
        "a read that shows an older write of ours extends the term from the newest one",
        "two renewals without an answer of which only the first, or none, was applied, then a read";
    LateReplyStartsTerm = "late-reply-starts-term", ["S1", "S3", "S9"],
        "an acquiring write that shows only after its grant has run out starts a term from then on",
        "lost replies until a read shows our record, or a pause of more than V between write and reply";
    DeadlineAfterInput = "deadline-after-input", ["S14"],
        "a reply is looked at before the deadlines that came before it: it revives a term that has ended",
        "a reply that arrives at or after the end of the term, before the tick";
    HeldWithoutAClock = "held-without-a-clock", ["S1", "S2", "S3"],
        "`check_alive` tells what was last known, whatever the time is",
        "a pause or a late tick across the end of the term, and somebody who asks `check_alive` before it";
    NoSafetyMargin = "no-safety-margin", ["S1", "S3"],
        "V is the whole ttl: clocks that run at different rates are not allowed for",
        "rates at the bound, and a holder that hears nothing more";
    DurationRoundedDown = "duration-rounded-down", ["S1", "S3"],
        "the record says less than the term lasts: the ttl rounded down to whole seconds",
        "a ttl such as 1.9 s, whose fraction exceeds the margin; S1 needs a contender with a shorter ttl";

    // Writes
    PutWithoutUid = "put-without-uid", ["S5"],
        "a PUT carries no UID and re-creates an object that was deleted",
        "any write; for its effect, a delete while a write is on its way";
    PutWithoutResourceVersion = "put-without-resource-version", ["S5", "L1"],
        "a PUT carries no resource version; the API server refuses it (422)",
        "any write";
    DeleteWithoutPreconditions = "delete-without-preconditions", ["S5", "S13"],
        "a release deletes whatever is there by then",
        "any release; for its effect, one that is delayed until another holds";
    TwoWritesInFlight = "two-writes-in-flight", ["S18"],
        "a conditional write is sent a second time while the first one waits for its answer",
        "any PUT or DELETE";
    DropsLabels = "drops-labels", ["S12"],
        "a PUT drops the labels that others have set",
        "labels on the object";
    DropsAnnotations = "drops-annotations", ["S12"],
        "a PUT drops the annotations that others have set",
        "annotations on the object";

    // Timestamps
    RenewTimeFrozen = "renew-time-frozen", ["S10", "S1"],
        "every renewal repeats the record's `renewTime`, and is believed although nothing changed",
        "any renewal: contenders see none and take the lease over after W";
    RenewTimeFromWallClock = "renew-time-from-wall-clock", ["S10", "L2"],
        "a renewal's `renewTime` is the wall clock and nothing else",
        "a wall clock that stands still or steps back by less than `max_clock_skew`";
    FollowsForeignTimestamps = "follows-foreign-timestamps", ["S10", "L2", "P4"],
        "an acquiring write goes above the record's `renewTime`, however far ahead that is",
        "a record with a `renewTime` hours ahead, held or left by a holder that died";
    StampsIgnoreDate = "stamps-ignore-date", ["S1", "S4", "P4"],
        "timestamps are our own clock's although the server's `Date` says that it is off",
        "a holder whose clock lags by more than W and `max_clock_skew`, and a contender with a good one";
    ClockStepIgnored = "clock-step-ignored", ["P4"],
        "a wall clock that stepped back ends no term: timestamps run ahead of it for ever",
        "a step back by more than `max_clock_skew` during a term, with no `Date` to correct it";

    // Outcomes of requests
    UnknownIsSuccess = "unknown-is-success", ["S8", "S9", "S1", "S2"],
        "a renewal without a definite reply counts as confirmed",
        "lost renewals, one-way partitions, 5xx without an apply";
    ServerErrorIsRefusal = "server-error-is-refusal", ["P1", "P2"],
        "a 5xx says that the write was not applied, and never will be",
        "a 5xx that was applied, or will be, on an acquiring write that spends the last retry, or in a term";
    NoReadAfterUnknown = "no-read-after-unknown", ["P1"],
        "a renewal without a definite outcome is followed by another one, not by a read",
        "any time-out or reset in a term: two writes of one holder may be under way at the server";
    AnySuccessConfirms = "any-success-confirms", ["S8", "S2"],
        "a 2xx confirms a write whatever record it shows",
        "a reply that belongs to another request, as from a connection that a cancelled request left behind";
    ConflictIsSuccess = "conflict-is-success", ["S2", "S1"],
        "a 409 to a renewal counts as confirmed",
        "a takeover during a pause or a partition, then a renewal";
    ConflictIsLoss = "conflict-is-loss", ["L2"],
        "a 409 to a renewal ends the term without a look at the record",
        "a label edit, or an unanswered renewal that was applied";
    ConflictRetriedBlindly = "conflict-retried-blindly", ["S4", "S1"],
        "after a 409 an acquiring write is repeated over whatever the record has become",
        "two contenders for one free or expired lease";
    ForeignHolderNoticedLate = "foreign-holder-noticed-late", ["S16", "S2"],
        "a record that names another holder during a term is taken for a stale read",
        "a takeover or an admin's edit during a term, then a conflict";
    StaleReadBelieved = "stale-read-believed", ["L2"],
        "a read that is older than what we have seen is believed",
        "stale reads after a conflict or an unknown outcome";
    DeniesInDoubt = "denies-in-doubt", ["P2"],
        "an attempt is denied although a write of its own can still win",
        "an acquiring write without an answer that lands late, and a read that shows another holder first";
    AnyNotFoundIsAbsence = "any-not-found-is-absence", ["L2", "P2"],
        "every 404 says that the object is absent, a proxy's as well",
        "404s with a page of HTML, or for the namespace, on a read or a release";

    // Judging another's record
    OwnWriteTakenForForeign = "own-write-taken-for-foreign", ["L2"],
        "a renewal without an answer that a read shows is taken for somebody else's",
        "a lost reply to a renewal that was applied, and the read after it";
    ObservationKeyedOnResourceVersion = "observation-keyed-on-resource-version", ["L5"],
        "an edit of labels prolongs a dead holder's lease",
        "a holder that died, edits more often than W, and no rule (b)";
    ObservationKeyedOnHolder = "observation-keyed-on-holder", ["S4", "S1"],
        "a renewal does not restart the wait of those who watch",
        "a healthy holder for longer than W";
    ObservedAtEmission = "observed-at-emission", ["S4", "S1"],
        "the wait counts from the emission of the read that first showed the record's state",
        "slow reads and a holder whose last renewal was applied while one was under way";
    WaitsRecordDurationOnly = "waits-record-duration-only", ["S4", "S1"],
        "W is what the record says, even if that was edited down",
        "`leaseDurationSeconds` edited down, or a record by a holder with a shorter ttl";
    WaitsOwnTtlOnly = "waits-own-ttl-only", ["S4", "S1"],
        "W is our own ttl, whatever the record says",
        "contenders with a shorter ttl than the holder's";
    WaitsOneSecondLess = "waits-one-second-less", ["S4", "S1"],
        "W is one second too short",
        "a holder that hears nothing more; for S1 a margin below a second, or clocks at the bound";
    NoCapOnForeignTtl = "no-cap-on-foreign-ttl", ["L1"],
        "a record that claims 68 years keeps everybody waiting for 68 years",
        "a record of nobody alive with a huge `leaseDurationSeconds`, and no rule (b)";
    TimestampsWithoutSkew = "timestamps-without-skew", ["S4", "S1"],
        "rule (b) allows for no difference between wall clocks",
        "a contender whose clock is ahead of the holder's";
    TimestampsDespiteDate = "timestamps-despite-date", ["S4", "S1"],
        "rule (b) decides although the server's `Date` says that our clock is off",
        "a contender whose clock is ahead by more than W and `max_clock_skew`";

    // Who wrote it
    ReclaimsAtAnyRead = "reclaims-at-any-read", ["S1", "S15"],
        "a record with our identity that another process wrote is reclaimed at any read, not only the first",
        "two live processes with one identity: they take the lease from each other for ever";
    IdentityAlone = "identity-alone", ["S15", "S1"],
        "a record with our identity is ours, whoever wrote it",
        "two live processes with one identity, or a restart under `SameIdentity::Contend`";

    // Absence and quarantine
    CreatesWithoutQuarantine = "creates-without-quarantine", ["S1"],
        "under `Vacate` a POST holds at once",
        "an admin's delete during a term";
    QuarantineFromEmission = "quarantine-from-emission", ["S1"],
        "the quarantine counts from the emission of the write, not from when the object was seen",
        "an admin's delete between the emission of a POST and its late apply, more than the margin apart";
    QuarantineOfAnotherObject = "quarantine-of-another-object", ["S1"],
        "the wait for an object that is gone counts for the one that took its place",
        "a pause of a creator, delete, another's term, delete, and an echo of the first POST";
    QuarantineMarkIgnored = "quarantine-mark-ignored", ["S1"],
        "an object that another incarnation left in quarantine is held at once",
        "an admin's delete, a creator that dies in its quarantine and restarts with the same identity";
    StrippedQuarantineForgotten = "stripped-quarantine-forgotten", ["S1", "S4", "S15"],
        "an object whose annotations somebody stripped in its quarantine is taken like any other",
        "an admin who strips the annotations of an object in quarantine, and a creator that restarts";
    AcquiresTerminating = "acquires-terminating", ["P3", "L2"],
        "an object that is being deleted is acquired",
        "a finalizer on the object, and an admin's delete";
    HoldsTerminating = "holds-terminating", ["P3", "S1"],
        "a term goes on although its object is being deleted",
        "the same, during a term; S1 when the finalizer goes and others create";
    EmptyHolderIsLive = "empty-holder-is-live", ["L4"],
        "a record that names nobody is waited for like a live one",
        "a release under `Vacate`, or an admin who clears the holder, and a campaign";

    // Numbers in the record
    TokenCountsTerms = "token-counts-terms", ["S6", "S7"],
        "the fencing token counts this incarnation's attempts",
        "two holders after each other";
    TokenNotChecked = "token-not-checked", ["S6"],
        "a token that is not above the last one starts a term",
        "an etcd that was restored from a backup, between two terms of one holder";
    TransitionsOnRenewal = "transitions-on-renewal", ["S11"],
        "`leaseTransitions` grows with every renewal",
        "any renewal";
    TransitionsNever = "transitions-never", ["S11"],
        "`leaseTransitions` never grows",
        "any change of holder";
    AcquireTimeRewritten = "acquire-time-rewritten", ["S11"],
        "`acquireTime` moves with every renewal",
        "any renewal";

    // Releases
    HeldWhileReleasing = "held-while-releasing", ["S13", "S14"],
        "`check_alive` says held until the release is confirmed",
        "any release";
    ReleaseOvertakesWrite = "release-overtakes-write", ["P1", "S18"],
        "a release does not wait for what became of a write under way",
        "a release during a renewal, or after one without an answer";
    ReleaseDeletesStrangers = "release-deletes-strangers", ["S13", "S1"],
        "a release whose conditional write met a conflict repeats it over whatever it finds",
        "a release by a holder that was taken over meanwhile";
    ReleaseConfirmsInDoubt = "release-confirms-in-doubt", ["P2"],
        "a release is confirmed although a POST of ours may still land",
        "a POST without an answer, then a release; the POST lands late";
    LitterForgotten = "litter-forgotten", ["P2", "L3"],
        "a release without a term takes back nothing",
        "an acquiring write without an answer, or a term that expired, then a release";

    // Progress
    LostSwallowed = "lost-swallowed", ["S14"],
        "nobody is told of a loss",
        "any loss";
    RenewsOnce = "renews-once", ["L2"],
        "after the first renewal no other follows",
        "any term";
    CampaignEndsWithTerm = "campaign-ends-with-term", ["L1"],
        "a campaign does not try again after a loss",
        "any loss, and then peace";
    PollsAtOnce = "polls-at-once", ["S18"],
        "a campaign that was denied looks again at once",
        "a contender beside a holder";
    PollsOnlyAtExpiry = "polls-only-at-expiry", ["L4"],
        "a campaign that was denied looks again only when the record would expire",
        "a release with a contender waiting";
    RetryAfterIgnored = "retry-after-ignored", ["S18"],
        "the server's `Retry-After` is not obeyed",
        "429 with a `Retry-After` longer than our own pauses";
    EndlessRetryAfter = "endless-retry-after", ["L6"],
        "a campaign obeys an absurd `Retry-After`",
        "429 or 503 with `Retry-After: 1000000000` while contending";
    NoLastChance = "no-last-chance", ["L8"],
        "a pause in a term may be longer than the term: nothing is tried before its end",
        "429 with a `Retry-After` beyond the end of the term";
    NoBackoff = "no-backoff", ["S18"],
        "trouble is answered by the next request a millisecond later",
        "refused or failing requests, also ones that fail at once";
    GivesUp = "gives-up", ["L6", "S19"],
        "after a few failures in a row nothing is tried again for a year",
        "a storm of errors that outlasts four attempts, then peace";
    ClockRegressionAccepted = "clock-regression-accepted", ["S17"],
        "a monotonic reading before an earlier one is believed",
        "a clock that goes backwards within an incarnation";
    // Watches
    EventExtends = "event-extends", ["S26", "S9"],
        "a renewal that comes back on the watch extends the term from when it comes",
        "any renewal of a holder that watches";
    DeletionEventIgnored = "deletion-event-ignored", ["S16"],
        "a holder waits for its next renewal to tell it what its watch has: that the object is gone",
        "an administrator who deletes the object of a holder that watches";
    TakeoverEventIgnored = "takeover-event-ignored", ["S16", "S24"],
        "a holder waits for its next renewal to tell it what its watch has: that the record is another's",
        "a foreign client, or a finalizer and a deletion, during a term of a holder that watches";
    BookmarkIsObject = "bookmark-is-object", ["S22"],
        "a bookmark is taken for the object, which then names nobody",
        "a server that sends bookmarks although nobody asked for them";
    EventOfAnotherLease = "event-of-another-lease", ["S22"],
        "an event of another Lease is taken for one of ours",
        "a server that does not know field selectors";
    OldEventsBelieved = "old-events-believed", ["S22"],
        "an event is believed that is no newer than what is known",
        "a watch that tells a deletion late or twice, when the object was made anew long ago";
    EventKeepsWait = "event-keeps-wait", ["S4"],
        "an event that shows another state does not restart the wait",
        "a contender that watches, and whose last read is older than the wait";
    CreatesUnread = "creates-unread", ["S5"],
        "a campaign that is told of a deletion creates the object without a read",
        "a release by deletion while a contender watches";
    PollsOnlyWithoutWatch = "polls-only-without-watch", ["L4", "L3"],
        "while a watch is open a campaign looks again only when the record would expire",
        "watches that are open and tell nothing";
    WatchReopenedAtOnce = "watch-reopened-at-once", ["S18"],
        "a watch that has ended is opened again a millisecond later",
        "a server, or somebody before it, that closes watches right away";
    WatchPausesConstant = "watch-pauses-constant", ["S18"],
        "the pause before a watch is opened again does not grow",
        "as `watch-reopened-at-once`, for longer";
    RepeatsAreOfUse = "repeats-are-of-use", ["S18"],
        "a watch that tells what was told before is as good as one that tells something new",
        "a server that answers 410 and closes the next watch as soon as it has told what there is, in turns";
    WatchNotHungUp = "watch-not-hung-up", ["S18"],
        "a watch that is not wanted any more stays open",
        "a watch that is given up, then another one";
    SilentWatchKept = "silent-watch-kept", ["S18"],
        "a watch is not given up however long its head, or its end, does not come",
        "a request for a watch that is lost, or a stream whose end is";
}

impl Mutant {
    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// There is no mutant of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMutant {
    /// The name that was given.
    pub given: String,
}

impl fmt::Display for UnknownMutant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "there is no mutant named {:?}", self.given)
    }
}

impl std::error::Error for UnknownMutant {}

impl FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::from_name(name).ok_or_else(|| UnknownMutant { given: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn kebab(variant: &str) -> String {
        let mut name = String::new();
        for (index, letter) in variant.char_indices() {
            if letter.is_uppercase() && index > 0 {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }

    #[test]
    fn names_are_unique_and_come_back() {
        let names: BTreeSet<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
        for mutant in Mutant::ALL.iter().copied() {
            assert_eq!(mutant.name(), kebab(&format!("{mutant:?}")));
            assert_eq!(Mutant::from_name(mutant.name()), Some(mutant));
            assert_eq!(mutant.to_string().parse(), Ok(mutant));
        }
        assert_eq!("None".parse::<Mutant>(), Err(UnknownMutant { given: "None".to_owned() }));
    }

    #[test]
    fn each_says_what_is_broken_and_who_should_notice() {
        for mutant in Mutant::ALL {
            assert!(!mutant.about().contains('\n') && mutant.about().len() > 20, "{mutant}");
            assert!(mutant.reached_by().len() > 5, "{mutant}");
            assert!(!mutant.expected().is_empty(), "{mutant}");
            for rule in mutant.expected() {
                let number = rule.strip_prefix(['S', 'L', 'P']).and_then(|number| number.parse().ok());
                let most = match &rule[..1] {
                    "S" => 26,
                    "L" => 9,
                    _ => 4,
                };
                assert!(number.is_some_and(|number: u8| (1..=most).contains(&number)), "{mutant}: {rule}");
            }
        }
    }

    #[test]
    fn rounding_down_shows_where_the_ttl_has_a_fraction() {
        for (millis, right, wrong) in [(1900, 2, 1), (900, 1, 1), (15_000, 15, 15)] {
            let ttl = Duration::from_millis(millis);
            let builder = Config::builder().namespace("a").name("b").identity("c").ttl(ttl);
            let mutant = builder.clone().mutant(Some(Mutant::DurationRoundedDown));
            assert_eq!(builder.build().unwrap().lease_duration_seconds(), right);
            assert_eq!(mutant.build().unwrap().lease_duration_seconds(), wrong);
        }
    }

    #[test]
    fn a_configuration_has_none_unless_told() {
        let builder = Config::builder().namespace("a").name("b").identity("c").ttl(Duration::from_secs(15));
        assert_eq!(builder.clone().build().unwrap().mutant(), None);
        for mutant in Mutant::ALL.iter().copied() {
            let config = builder.clone().mutant(Some(mutant)).build().unwrap();
            assert_eq!(config.mutant(), Some(mutant));
        }
    }
}
