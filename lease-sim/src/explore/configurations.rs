//! The configurations that are worth a name.

use std::time::Duration;

#[cfg(feature = "mutants")]
use lease_core::mutants::Mutant;
use lease_core::{Config, ConfigBuilder, ReleasePolicy, SameIdentity};

use super::{Hostility, Liveness, Settings};

/// What a search should find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing, in all states.
    Safe,
    /// Nothing, as far as it goes: there are more states than are visited.
    SafeSoFar,
    /// A counterexample: the configuration breaks an assumption, or the server does.
    Violated,
}

/// A configuration with a name.
#[derive(Clone, Debug)]
pub struct NamedSettings {
    /// For command lines and tables.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// What it should come to.
    pub expected: Expected,
    /// Whether it takes minutes rather than seconds.
    pub long: bool,
    /// The configuration.
    pub settings: Settings,
}

const SECOND: Duration = Duration::from_secs(1);
/// Due at the next tick.
const SOON: Duration = Duration::from_millis(1);

/// A holder whose lease lasts for `ttl` ticks and who believes for `validity` of them. With a `patience` of 1
/// an answer counts in the tick of its request only, with 2 in the next one as well. Renewals, retries and
/// polls are due at every tick.
fn holder(identity: &str, ttl: u32, validity: u32, patience: u32) -> ConfigBuilder {
    let margin = if validity < ttl { SECOND * (ttl - validity) } else { SECOND * ttl / 100 };
    Config::builder()
        .namespace("default")
        .name("job")
        .identity(identity)
        .ttl(SECOND * ttl)
        .safety_margin(margin)
        .renew_interval(SOON)
        .request_timeout(if patience > 1 { SECOND * (patience - 1) + SOON } else { SECOND * 2 / 5 })
        .retry_delay(SOON)
        .acquire_retries(1)
        .acquire_retry_delay(10 * SOON)
        .poll_interval(10 * SOON)
        .release_timeout(SECOND)
        .max_clock_skew(None)
}

/// Two holders that differ in their identities only.
fn pair(change: impl Fn(&str) -> ConfigBuilder) -> Settings {
    let mut settings = contenders(["a", "b"].map(change));
    settings.symmetric = true;
    settings
}

/// Whoever is not valid is missing, which the tests of this table would notice.
fn contenders<const N: usize>(builders: [ConfigBuilder; N]) -> Settings {
    let holders = builders.into_iter().filter_map(|builder| builder.build().ok()).collect();
    let mut settings = Settings::new(holders);
    settings.liveness = Some(Liveness { one_of: 16, within: 10 });
    settings
}

/// The smallest pair: W is 2 ticks, V is 1, and an attempt to acquire tries once.
fn smallest() -> Settings {
    pair(|identity| holder(identity, 2, 1, 1).acquire_retries(0))
}

/// W is 3 ticks, V is 2, or whatever is changed.
fn usual(change: impl Fn(ConfigBuilder) -> ConfigBuilder) -> Settings {
    pair(|identity| change(holder(identity, 3, 2, 1)))
}

fn row(
    name: &'static str,
    about: &'static str,
    expected: Expected,
    settings: Settings,
    change: impl FnOnce(&mut Settings),
) -> NamedSettings {
    let mut settings = settings;
    change(&mut settings);
    NamedSettings { name, about, expected, long: false, settings }
}

/// The named configurations, the long ones last.
#[must_use]
pub fn named() -> Vec<NamedSettings> {
    let mut all = margins();
    all.extend(faults());
    all.extend(meddling());
    all.extend(assumptions());
    all.extend(hostile_servers());
    all.extend(long().into_iter().map(|row| NamedSettings { long: true, ..row }));
    all
}

/// Where the rates of clocks meet the margin.
fn margins() -> Vec<NamedSettings> {
    use Expected::{Safe, Violated};
    let margin = || usual(|it| it);
    let none = || pair(|identity| holder(identity, 3, 3, 1));
    vec![
        row("smallest", "W = 2, V = 1: delay, loss, pauses", Safe, smallest(), |_| {}),
        row("margin", "W = 3, V = 2: delay, loss, pauses", Safe, margin(), |_| {}),
        row("margin-drift", "W = 3, V = 2, a clock runs ahead by 1", Safe, margin(), |it| it.drift = 1),
        row("margin-drift-2", "W = 3, V = 2, clocks run ahead by 2", Violated, margin(), |it| it.drift = 2),
        row("no-margin", "W = V = 3, clocks agree", Safe, none(), |_| {}),
        row("no-margin-drift", "W = V = 3, a clock runs ahead by 1", Violated, none(), |it| it.drift = 1),
    ]
}

fn faults() -> Vec<NamedSettings> {
    use Expected::Safe;
    let patient = || pair(|identity| holder(identity, 4, 3, 2).acquire_retries(0));
    vec![
        row("patient", "W = 4, V = 3, answers come a tick late", Safe, patient(), |_| {}),
        row("patient-drift", "the same and drift", Safe, patient(), |it| it.drift = 1),
        row("crash", "W = 2, V = 1: a process crashes and comes back", Safe, smallest(), |it| it.crashes = 1),
        row("late-drift", "W = 2, V = 1: a late write, drift", Safe, smallest(), |it| {
            (it.late, it.drift) = (1, 1);
        }),
        row("release", "W = 2, V = 1: the lease is given back once", Safe, smallest(), |it| it.releases = 1),
        row("breaks", "W = 2, V = 1: connections break, a late write", Safe, smallest(), |it| {
            (it.late, it.breaks) = (1, true);
        }),
    ]
}

/// Two holders that only use what exists. W is 2 ticks, V is 1.
fn existing_only() -> Settings {
    pair(|identity| holder(identity, 2, 1, 1).acquire_retries(0).existing_only(true))
}

/// An administrator deletes the object of a live term, and may make it again.
fn meddling() -> Vec<NamedSettings> {
    use Expected::{Safe, Violated};
    let policy =
        |policy| pair(move |identity| holder(identity, 2, 1, 1).acquire_retries(0).release_policy(policy));
    let meddled = |it: &mut Settings| (it.empty_lease, it.deletes) = (true, 1);
    let remade = |it: &mut Settings| (it.empty_lease, it.remakes) = (true, 1);
    let (free, strict) = (policy(ReleasePolicy::Delete), policy(ReleasePolicy::Vacate));
    vec![
        row("delete", "an administrator deletes, absence means free", Violated, free, meddled),
        row("vacate-delete", "the same, absence means quarantine", Safe, strict.clone(), meddled),
        row("vacate-remake", "an administrator makes the object again, `Vacate`", Violated, strict, remade),
        row("existing-remake", "the same, `existing_only`", Safe, existing_only(), |it| {
            remade(it);
            // There are many states.
            it.liveness = Some(Liveness { one_of: 128, within: 10 });
        }),
    ]
}

/// What else the argument assumes, kept and broken.
fn assumptions() -> Vec<NamedSettings> {
    use Expected::{Safe, SafeSoFar, Violated};
    let twins = |choice| {
        let twin = || holder("a", 3, 2, 1).same_identity(choice);
        contenders([twin(), twin()])
    };
    let (reclaim, contend) = (twins(SameIdentity::Reclaim), twins(SameIdentity::Contend));
    let apart = |apart| move |it: &mut Settings| it.walls = vec![0, apart];
    vec![
        row("twins-reclaim", "two live processes share an identity", Violated, reclaim, |_| {}),
        row("twins-contend", "the same, under `Contend`", Safe, contend, |_| {}),
        row("rule-b", "wall clocks 1 apart, as allowed", Safe, skewed(2, 1), apart(1)),
        row("rule-b-skew", "wall clocks 3 apart, 1 is allowed", Violated, skewed(3, 2), apart(3)),
        row("frozen", "wall clocks stand, a process restarts", SafeSoFar, usual(|it| it), |it| {
            (it.frozen_walls, it.crashes, it.most_states) = (true, 1, 200_000);
        }),
    ]
}

/// Rule (b) is on, and allows wall clocks to be a tick apart.
fn skewed(ttl: u32, validity: u32) -> Settings {
    let skewed = |identity| holder(identity, ttl, validity, 1).max_clock_skew(Some(SECOND));
    contenders(["a", "b"].map(|identity| skewed(identity).acquire_retries(0)))
}

fn hostile_servers() -> Vec<NamedSettings> {
    use Expected::Violated;
    let strict = pair(|identity| holder(identity, 2, 1, 1).release_policy(ReleasePolicy::Vacate));
    vec![
        row("any-version", "the server ignores resource versions", Violated, usual(|it| it), |it| {
            it.hostility = Hostility::IgnoresVersions;
        }),
        row("any-uid", "`vacate-delete`, and the server ignores UIDs", Violated, strict, |it| {
            it.hostility = Hostility::IgnoresUids;
            (it.empty_lease, it.deletes, it.late) = (true, 1, 1);
        }),
    ]
}

fn long() -> Vec<NamedSettings> {
    use Expected::Safe;
    let vacate = usual(|it| it.release_policy(ReleasePolicy::Vacate));
    vec![
        row("crash-3", "a process crashes and comes back", Safe, usual(|it| it), |it| it.crashes = 1),
        row("late", "an abandoned write lands later", Safe, usual(|it| it), |it| it.late = 1),
        row("late-drift-crash", "late writes, drift and a crash at once", Safe, usual(|it| it), |it| {
            (it.late, it.drift, it.crashes) = (1, 1, 1);
        }),
        row("release-3", "the lease is given back once", Safe, usual(|it| it), |it| it.releases = 1),
        row("vacate-delete-3", "`vacate-delete` with W = 3", Safe, vacate, |it| {
            (it.empty_lease, it.deletes) = (true, 1);
        }),
        row("existing-crash", "`existing-remake`, and a process crashes", Safe, existing_only(), |it| {
            (it.empty_lease, it.remakes, it.crashes) = (true, 1, 1);
        }),
        row("existing-late", "`existing-remake`, and an abandoned write", Safe, existing_only(), |it| {
            (it.empty_lease, it.remakes, it.late) = (true, 1, 1);
        }),
        row("rule-b-3", "`rule-b` with W = 3", Safe, skewed(3, 2), |it| it.walls = vec![0, 1]),
    ]
}

/// The searches that find deliberate bugs, the quick ones first. Each is safe without the bug. The view was
/// made for machines as they should be: a bug that decides by what it leaves out may be missed, but what is
/// found is there.
#[cfg(feature = "mutants")]
#[must_use]
pub fn hunts(mutant: Mutant) -> Vec<NamedSettings> {
    use Expected::Violated;
    let usual = || usual(|it| it.mutant(Some(mutant)));
    let patient = || pair(|identity| holder(identity, 4, 3, 2).acquire_retries(0).mutant(Some(mutant)));
    let strict = usual_strict(mutant);
    let unlike =
        contenders([holder("a", 5, 4, 1).mutant(Some(mutant)), holder("b", 3, 2, 1).mutant(Some(mutant))]);
    let twin = || holder("a", 3, 2, 1).same_identity(SameIdentity::Contend).mutant(Some(mutant));
    let rule_b = contenders(
        ["a", "b"]
            .map(|identity| holder(identity, 3, 2, 1).max_clock_skew(Some(2 * SECOND)).mutant(Some(mutant))),
    );
    vec![
        row("margin", "delay, loss, pauses", Violated, usual(), |_| {}),
        row("drift", "a clock runs ahead by 1", Violated, usual(), |it| it.drift = 1),
        row("unlike", "one contender has a longer ttl", Violated, unlike, |_| {}),
        row("rule-b", "wall clocks are 2 apart", Violated, rule_b, |it| it.walls = vec![0, 2]),
        row("patient", "answers come a tick late, drift", Violated, patient(), |it| it.drift = 1),
        row("twins", "two live processes share an identity", Violated, contenders([twin(), twin()]), |_| {}),
        row("vacate-delete", "an administrator deletes", Violated, strict, |it| {
            (it.empty_lease, it.deletes, it.late) = (true, 1, 1);
        }),
        row("late-release", "a late write, the lease is given back", Violated, usual(), |it| {
            (it.late, it.releases) = (1, 1);
        }),
        row("crash", "a crash and drift", Violated, usual(), |it| (it.crashes, it.drift) = (1, 1)),
    ]
}

#[cfg(feature = "mutants")]
fn usual_strict(mutant: Mutant) -> Settings {
    pair(|identity| holder(identity, 2, 1, 1).release_policy(ReleasePolicy::Vacate).mutant(Some(mutant)))
}
