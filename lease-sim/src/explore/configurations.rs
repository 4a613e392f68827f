//! The configurations that are worth a name.

use std::time::Duration;

use lease_core::{Config, ConfigBuilder, ReleasePolicy, SameIdentity};

use super::{Hostility, Liveness, Settings};

/// What a search should find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing, in all states.
    Safe,
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

/// A holder whose lease lasts for `ttl` ticks and who believes for `validity` of them. `patience` is how many
/// ticks late an answer may come, plus one; renewals, retries and polls are due at every tick.
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

/// The named configurations.
#[must_use]
pub fn named() -> Vec<NamedSettings> {
    let mut all = margins();
    all.extend(faults());
    all.extend(meddling());
    all.extend(assumptions());
    all.extend(long().into_iter().map(|row| NamedSettings { long: true, ..row }));
    all
}

/// W is 3 ticks; the margin decides.
fn margins() -> Vec<NamedSettings> {
    use Expected::{Safe, Violated};
    let margin = || pair(|identity| holder(identity, 3, 2, 1));
    let none = || pair(|identity| holder(identity, 3, 3, 1));
    vec![
        row("margin", "V = W - 1: delay, loss, pauses", Safe, margin(), |_| {}),
        row("margin-drift", "V = W - 1, and a clock runs ahead by 1", Safe, margin(), |it| it.drift = 1),
        row("margin-drift-2", "V = W - 1, and clocks run ahead by 2", Violated, margin(), |it| it.drift = 2),
        row("no-margin", "V = W, and clocks that agree", Safe, none(), |_| {}),
        row("no-margin-drift", "V = W, and a clock runs ahead by 1", Violated, none(), |it| it.drift = 1),
    ]
}

fn faults() -> Vec<NamedSettings> {
    use Expected::Safe;
    let margin = || pair(|identity| holder(identity, 3, 2, 1));
    vec![
        row("late", "an abandoned write lands later", Safe, margin(), |it| it.late = 1),
        row("crash", "a process crashes and comes back", Safe, margin(), |it| it.crashes = 1),
        row("release", "an application gives the lease back once", Safe, margin(), |it| it.releases = 1),
        row("late-drift-crash", "late writes, drift and a crash at once", Safe, margin(), |it| {
            (it.late, it.drift, it.crashes) = (1, 1, 1);
        }),
    ]
}

/// An administrator deletes the object of a live term.
fn meddling() -> Vec<NamedSettings> {
    use Expected::{Safe, Violated};
    let policy = |policy| pair(move |identity| holder(identity, 3, 2, 1).release_policy(policy));
    let meddled = |it: &mut Settings| (it.empty_lease, it.deletes) = (true, 1);
    vec![
        row(
            "delete",
            "an administrator deletes; absence means free",
            Violated,
            policy(ReleasePolicy::Delete),
            meddled,
        ),
        row(
            "vacate-delete",
            "an administrator deletes; absence means quarantine",
            Safe,
            policy(ReleasePolicy::Vacate),
            meddled,
        ),
    ]
}

/// What else the argument assumes, kept and broken.
fn assumptions() -> Vec<NamedSettings> {
    use Expected::{Safe, Violated};
    let margin = || pair(|identity| holder(identity, 3, 2, 1));
    let twins = |choice| {
        let twin = || holder("a", 3, 2, 1).same_identity(choice);
        contenders([twin(), twin()])
    };
    let rule_b = |apart| {
        let skewed = |identity| holder(identity, 3, 2, 1).max_clock_skew(Some(SECOND));
        let mut settings = contenders([skewed("a"), skewed("b")]);
        settings.walls = vec![0, apart];
        settings
    };
    vec![
        row("twins-reclaim", "two live processes share a name", Violated, twins(SameIdentity::Reclaim), |_| {}),
        row("twins-contend", "the same, under Contend", Safe, twins(SameIdentity::Contend), |_| {}),
        row("rule-b", "rule (b), wall clocks apart by the bound", Safe, rule_b(1), |_| {}),
        row("rule-b-skew", "rule (b), wall clocks apart by three times the bound", Violated, rule_b(3), |_| {}),
        row("any-version", "the server ignores resource versions", Violated, margin(), |it| {
            it.hostility = Hostility::IgnoresVersions;
        }),
        row("any-uid", "the server ignores UIDs", Violated, pair(|identity| holder(identity, 2, 1, 1).release_policy(ReleasePolicy::Vacate)), |it| {
            (it.hostility, it.deletes, it.late, it.empty_lease) = (Hostility::IgnoresUids, 1, 1, true);
        }),
        row("tiny", "", Safe, pair(|identity| holder(identity, 2, 1, 1)), |_|{}),
        row("tiny-nomargin", "", Safe, pair(|identity| holder(identity, 2, 2, 1)), |_|{}),
        row("tiny-drift", "", Safe, pair(|identity| holder(identity, 2, 1, 1)), |it|{it.drift=1}),
        row("tiny-0", "", Safe, pair(|identity| holder(identity, 2, 1, 1).acquire_retries(0)), |_|{}),
        row("tiny-0-drift-late", "", Safe, pair(|identity| holder(identity, 2, 1, 1).acquire_retries(0)), |it|{it.drift=1;it.late=1}),
        row("tiny-0-late-crash-drift", "", Safe, pair(|identity| holder(identity, 2, 1, 1).acquire_retries(0)), |it|{it.drift=1;it.late=1;it.crashes=1}),
        row("tiny-0-release", "", Safe, pair(|identity| holder(identity, 2, 1, 1).acquire_retries(0)), |it|{it.releases=1}),
        row("frozen", "wall clocks stand, a process crashes and comes back", Violated, margin(), |it| {
            (it.frozen_walls, it.crashes) = (true, 1);
        }),
    ]
}

fn long() -> Vec<NamedSettings> {
    use Expected::Safe;
    let patient = || pair(|identity| holder(identity, 4, 3, 2));
    vec![
        row("patient", "W is 4, V is 3; answers come up to a tick late", Safe, patient(), |_| {}),
        row("patient-late-drift", "the same with a late write and drift", Safe, patient(), |it| {
            (it.late, it.drift) = (1, 1);
        }),
    ]
}
