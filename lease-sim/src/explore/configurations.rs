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
        .request_timeout(if patience > 1 { SECOND * (patience - 1) + SOON } else { SECOND / 2 })
        .retry_delay(SOON)
        .acquire_retries(1)
        .acquire_retry_delay(10 * SOON)
        .poll_interval(10 * SOON)
        .release_timeout(SECOND)
        .max_clock_skew(None)
}

/// Two holders that differ in their identities only.
fn pair(change: impl Fn(&str) -> ConfigBuilder) -> Settings {
    let holders = ["a", "b"].map(|identity| change(identity).build());
    let mut settings = Settings::new(holders.into_iter().flatten().collect());
    settings.symmetric = true;
    settings
}

/// The named configurations, the quick ones first.
#[must_use]
pub fn named() -> Vec<NamedSettings> {
    let mut all = margins();
    all.extend(faults());
    all
}

fn margins() -> Vec<NamedSettings> {
    let _ = (Hostility::None, ReleasePolicy::Vacate, SameIdentity::Contend, Liveness { one_of: 1, within: 1 });
    let base = pair(|identity| holder(identity, 3, 2, 1));
    vec![NamedSettings { name: "base", about: "", expected: Expected::Safe, long: false, settings: base }]
}

fn faults() -> Vec<NamedSettings> {
    Vec::new()
}
