//! Setters, defaults and the checks between them.

use std::time::Duration;

use super::names::{is_dns_label, is_dns_subdomain, is_identity};
use super::{
    Config, ConfigError, Creation, OwnerReference, ReleasePolicy, SameIdentity, default_max_clock_skew,
};
use crate::identifiers::Identity;
#[cfg(feature = "mutants")]
use crate::mutants::Mutant;
use crate::wire::{Paths, creation_size};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Collects settings; [`build`](Self::build) checks them all.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConfigBuilder {
    namespace: Option<String>,
    name: Option<String>,
    identity: Option<String>,
    ttl: Option<Duration>,
    renew_interval: Option<Duration>,
    request_timeout: Option<Duration>,
    retry_delay: Option<Duration>,
    safety_margin: Option<Duration>,
    acquire_retries: Option<u32>,
    acquire_retry_delay: Option<Duration>,
    poll_interval: Option<Duration>,
    release_timeout: Option<Duration>,
    max_clock_skew: Option<Option<Duration>>,
    max_foreign_ttl: Option<Duration>,
    foreign_holder_grace: Duration,
    takeover_delay: Duration,
    quarantine: Option<Duration>,
    same_identity: SameIdentity,
    release_policy: Option<ReleasePolicy>,
    existing_only: bool,
    watch: bool,
    max_body: Option<usize>,
    creation: Creation,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl ConfigBuilder {
    /// The Lease object's namespace: an RFC 1123 label. Required.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The Lease object's name: an RFC 1123 subdomain. Required.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Who we are: what goes into `spec.holderIdentity`. 1 to 1024 bytes, no control characters. Required.
    ///
    /// Two live processes must not share it. A good one is the pod's name, and a random suffix where names
    /// are reused (a StatefulSet's pod that was force-deleted may still run).
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// How long the others wait for us: 100 ms to 68 years; the record says ⌈ttl⌉ in whole seconds. Required.
    ///
    /// Short: quick fail-over after a crash, more requests, less patience with a slow API server. 15 s is
    /// what `client-go` uses.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Between two renewals. Default ttl / 3. Short: more requests. Long: fewer retries fit into the term.
    pub fn renew_interval(mut self, interval: Duration) -> Self {
        self.renew_interval = Some(interval);
        self
    }

    /// How long one request may take. Default ttl / 5. Short: a loaded API server costs retries. Long: fewer
    /// retries fit into the term.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// Before the first retry of a failed renewal. Default ttl / 30. Doubles up to `renew_interval`.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// What we believe less than the others grant us. Default ttl / 10, from ttl / 100 to below the ttl.
    ///
    /// It covers clocks that run at different rates (ttl / 10 is good for 5 % each) and leaves the
    /// application time to stop.
    pub fn safety_margin(mut self, margin: Duration) -> Self {
        self.safety_margin = Some(margin);
        self
    }

    /// How often one attempt to acquire retries after a conflict or trouble. Default 3, 0 to 1000.
    pub fn acquire_retries(mut self, retries: u32) -> Self {
        self.acquire_retries = Some(retries);
        self
    }

    /// Before each of those retries, up to half of it cut at random. Default 100 ms, 1 ms to 60 s.
    pub fn acquire_retry_delay(mut self, delay: Duration) -> Self {
        self.acquire_retry_delay = Some(delay);
        self
    }

    /// How often a campaign looks at a lease that another holds, up to half of it cut at random. Default
    /// ttl / 3, 10 ms to 1 h. It looks once more when the record would expire.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }

    /// How long a release tries to be confirmed. Default ttl, 1 ms to 1 h. The local term ends at once
    /// whatever this says; afterwards the record expires by itself.
    pub fn release_timeout(mut self, timeout: Duration) -> Self {
        self.release_timeout = Some(timeout);
        self
    }

    /// How far two wall clocks may be apart. Default max(ttl, 10 s); at most 1 day.
    ///
    /// A record whose `renewTime` lies more than its duration and this in the past is taken over at the
    /// first look. `None`: only what our own monotonic clock saw counts, and no wall clock decides anything.
    pub fn max_clock_skew(mut self, skew: Option<Duration>) -> Self {
        self.max_clock_skew = Some(skew);
        self
    }

    /// The longest that a record's own duration is believed. Default max(1 h, ttl); at least ⌈ttl⌉ s.
    ///
    /// Too small takes a live lease from holders with a longer ttl; too large lets one hostile record keep
    /// everybody waiting for that long.
    pub fn max_foreign_ttl(mut self, longest: Duration) -> Self {
        self.max_foreign_ttl = Some(longest);
        self
    }

    /// Added to the wait for records that carry no nonce of their holder. Default 0, up to 1 h.
    ///
    /// `client-go` counts its deadline from the reply and can believe up to 2 s longer than its record says
    /// with its default settings.
    pub fn foreign_holder_grace(mut self, grace: Duration) -> Self {
        self.foreign_holder_grace = grace;
        self
    }

    /// Added to the wait after an expiry, never after a release. Default 0, up to 1 h. For resources that
    /// cannot check fencing tokens (Chubby and Consul call it lock-delay).
    pub fn takeover_delay(mut self, delay: Duration) -> Self {
        self.takeover_delay = delay;
        self
    }

    /// How long to wait between creating the object and the term, under [`ReleasePolicy::Vacate`], and between
    /// the first write to an object that is new and the term, with [`existing_only`](Self::existing_only).
    /// Default ttl, ttl to 1 day. At least the longest ttl of all contenders.
    ///
    /// Under [`ReleasePolicy::Vacate`] a record without our annotations whose `renewTime` is its `acquireTime` may
    /// be of an object in quarantine that somebody has stripped of them: it, too, is waited for that long from
    /// when it is first seen.
    pub fn quarantine(mut self, quarantine: Duration) -> Self {
        self.quarantine = Some(quarantine);
        self
    }

    /// What to make of a record with our identity that another incarnation wrote. Default `Reclaim`.
    pub fn same_identity(mut self, choice: SameIdentity) -> Self {
        self.same_identity = choice;
        self
    }

    /// How the lease is given back. Default `Delete`; `Vacate` with [`existing_only`](Self::existing_only). The
    /// same on every contender.
    pub fn release_policy(mut self, policy: ReleasePolicy) -> Self {
        self.release_policy = Some(policy);
        self
    }

    /// Works on an object that somebody else has made: never sends a POST or a DELETE. Default off. The same on
    /// every contender.
    ///
    /// So `get` and `update` on this one object are all the rights that it needs, by `resourceNames`, which RBAC
    /// [cannot do for `create`][names]. A release clears the holder, as under [`ReleasePolicy::Vacate`], which is
    /// the policy here unless another is asked for; `Delete` is refused, and so are labels, annotations and owner
    /// references, which only a POST could write.
    ///
    /// While the object is missing an attempt ends as failed with
    /// [`Problem::LeaseMissing`](crate::Problem::LeaseMissing), which says how to make it; a campaign looks again
    /// after [`poll_interval`](Self::poll_interval).
    ///
    /// Whoever makes the object may have deleted another one a moment ago, with a holder that has not noticed
    /// yet. So an object that is new, whatever is in it, is held only after [`quarantine`](Self::quarantine),
    /// once in its life: see [the argument](crate#an-object-that-others-make).
    ///
    /// [names]: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
    pub fn existing_only(mut self, existing_only: bool) -> Self {
        self.existing_only = existing_only;
        self
    }

    /// Watches the object while holding it or campaigning for it. Default off. Asks for the verb `watch`.
    ///
    /// Renewals and polls go on as without it, and all that the protocol promises rests on them: a watch is a hint.
    /// What it gives is time. A campaign hears of a release at once instead of at its next poll, and counts the wait
    /// for a holder that died from its last renewal instead of from the poll that found it. A holder hears at once
    /// that somebody deleted the object or put another name there. One more connection, and one request every
    /// eight ttl (30 s to 5 min).
    ///
    /// The same on every contender, at best: where an administrator deletes the object under
    /// [`ReleasePolicy::Delete`], campaigns that watch take it at once, and a holder that does not watch notices at
    /// its next renewal.
    ///
    /// A watch that cannot be opened, or ends, is opened again after a pause that grows up to a minute; an
    /// [event](crate::Event::WatchTrouble) says why. Without the verb: see [`Verb::Watch`](crate::Verb::Watch).
    pub fn watch(mut self, watch: bool) -> Self {
        self.watch = watch;
        self
    }

    /// The longest response body that is read, in bytes. Default 1 MiB, 4 KiB to 16 MiB.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// A label that the object gets when this holder creates it. The last one with a key counts.
    ///
    /// Like annotations and owner references it is written by the POST and never again: what an existing
    /// object has, and what others make of it later, is kept as it is. The [syntax][labels] of keys and values
    /// is Kubernetes'.
    ///
    /// [labels]: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.creation.labels.insert(key.into(), value.into());
        self
    }

    /// An annotation that the object gets when this holder creates it. The last one with a key counts.
    ///
    /// Keys as for labels, upper case allowed everywhere; any values; all of them together 256 KiB at most,
    /// less some 100 bytes and the identity for our own. Keys that begin with `lease-core.rs/` are ours.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.creation.annotations.insert(key.into(), value.into());
        self
    }

    /// An owner that the object gets when this holder creates it, after those given before.
    pub fn owner_reference(mut self, owner: OwnerReference) -> Self {
        self.creation.owner_references.push(owner);
        self
    }

    /// Switches a deliberate bug on, for a simulator to find. Only with the feature `mutants`; left out of
    /// [recordings](crate::recording), which replay the machine without it.
    #[cfg(feature = "mutants")]
    pub fn mutant(mut self, mutant: Option<Mutant>) -> Self {
        self.mutant = mutant;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the setting, what was given and what is allowed.
    pub fn build(self) -> Result<Config, ConfigError> {
        let namespace = required("namespace", self.namespace)?;
        if !is_dns_label(&namespace) {
            return Err(ConfigError::Namespace { given: namespace });
        }
        let name = required("name", self.name)?;
        if !is_dns_subdomain(&name) {
            return Err(ConfigError::Name { given: name });
        }
        let identity = required("identity", self.identity)?;
        if !is_identity(&identity) {
            return Err(ConfigError::Identity { given: identity });
        }
        self.creation.check(&identity)?;
        let release_policy = release_policy(self.release_policy, self.existing_only)?;
        if self.existing_only && !self.creation.is_empty() {
            return Err(ConfigError::ExistingOnly { setting: self.creation.first_setting() });
        }
        let longest = Duration::from_secs(u64::from(i32::MAX.unsigned_abs()));
        let ttl = within("ttl", required("ttl", self.ttl)?, 100 * MILLISECOND, longest)?;
        let ceiling = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let margin = self.safety_margin.unwrap_or(ttl / 10);
        let skew = self.max_clock_skew.unwrap_or_else(|| Some(default_max_clock_skew(ttl).min(DAY)));
        let config = Config {
            paths: Paths::new(&namespace, &name),
            namespace: namespace.into(),
            name: name.into(),
            identity: Identity::new(&identity),
            ttl,
            lease_duration_seconds: i32::try_from(ceiling).unwrap_or(i32::MAX),
            renew_interval: within(
                "renew_interval",
                self.renew_interval.unwrap_or(ttl / 3),
                MILLISECOND,
                ttl,
            )?,
            request_timeout: within(
                "request_timeout",
                self.request_timeout.unwrap_or(ttl / 5),
                MILLISECOND,
                ttl,
            )?,
            retry_delay: within("retry_delay", self.retry_delay.unwrap_or(ttl / 30), MILLISECOND, ttl)?,
            safety_margin: within("safety_margin", margin, ttl / 100, ttl - MILLISECOND)?,
            acquire_retries: acquire_retries(self.acquire_retries.unwrap_or(3))?,
            acquire_retry_delay: within(
                "acquire_retry_delay",
                self.acquire_retry_delay.unwrap_or(100 * MILLISECOND),
                MILLISECOND,
                Duration::from_secs(60),
            )?,
            poll_interval: within(
                "poll_interval",
                self.poll_interval.unwrap_or((ttl / 3).min(HOUR)),
                10 * MILLISECOND,
                HOUR,
            )?,
            release_timeout: within(
                "release_timeout",
                self.release_timeout.unwrap_or(ttl.min(HOUR)),
                MILLISECOND,
                HOUR,
            )?,
            max_clock_skew: skew
                .map(|skew| within("max_clock_skew", skew, Duration::ZERO, DAY))
                .transpose()?,
            max_foreign_ttl: within(
                "max_foreign_ttl",
                self.max_foreign_ttl.unwrap_or(HOUR.max(Duration::from_secs(ceiling))),
                Duration::from_secs(ceiling),
                longest,
            )?,
            foreign_holder_grace: within(
                "foreign_holder_grace",
                self.foreign_holder_grace,
                Duration::ZERO,
                HOUR,
            )?,
            takeover_delay: within("takeover_delay", self.takeover_delay, Duration::ZERO, HOUR)?,
            quarantine: within("quarantine", self.quarantine.unwrap_or(ttl), ttl, ttl.max(DAY))?,
            same_identity: self.same_identity,
            release_policy,
            existing_only: self.existing_only,
            watch: self.watch,
            max_body: max_body(self.max_body.unwrap_or(1 << 20), &self.creation)?,
            creation: self.creation,
            #[cfg(feature = "mutants")]
            mutant: self.mutant,
        };
        time_to_renew(&config)?;
        Ok(config)
    }
}

fn required<T>(setting: &'static str, given: Option<T>) -> Result<T, ConfigError> {
    given.ok_or(ConfigError::Missing { setting })
}

fn within(
    setting: &'static str,
    given: Duration,
    least: Duration,
    most: Duration,
) -> Result<Duration, ConfigError> {
    if given < least || given > most {
        let allowed = format!("{least:?} to {most:?}");
        return Err(ConfigError::OutOfRange { setting, given: format!("{given:?}"), allowed });
    }
    Ok(given)
}

/// Whoever never deletes vacates. A `Delete` that was asked for is told rather than turned into something else:
/// it says that others expect the object to go.
fn release_policy(given: Option<ReleasePolicy>, existing_only: bool) -> Result<ReleasePolicy, ConfigError> {
    match (given, existing_only) {
        (Some(ReleasePolicy::Delete), true) => Err(ConfigError::ExistingOnly { setting: "release_policy" }),
        (None, true) => Ok(ReleasePolicy::Vacate),
        (given, _) => Ok(given.unwrap_or_default()),
    }
}

fn acquire_retries(given: u32) -> Result<u32, ConfigError> {
    if given > 1000 {
        let allowed = "0 to 1000".to_owned();
        return Err(ConfigError::OutOfRange {
            setting: "acquire_retries",
            given: given.to_string(),
            allowed,
        });
    }
    Ok(given)
}

/// What the object is created with comes back in every response, and its keys once more in `managedFields`.
fn max_body(given: usize, creation: &Creation) -> Result<usize, ConfigError> {
    let least = (4 << 10) + 2 * creation_size(creation);
    if !(least..=16 << 20).contains(&given) {
        let allowed = format!("{least} to 16777216 bytes");
        return Err(ConfigError::OutOfRange { setting: "max_body", given: given.to_string(), allowed });
    }
    Ok(given)
}

/// One slow reply must never cost the lease: a renewal that times out, the pause, and the read that settles
/// it have to fit into the term.
fn time_to_renew(config: &Config) -> Result<(), ConfigError> {
    let (interval, timeout) = (config.renew_interval, config.request_timeout);
    let needed = interval.saturating_add(timeout.saturating_mul(2)).saturating_add(config.retry_delay);
    if needed > config.validity() {
        return Err(ConfigError::NoTimeToRenew {
            renew_interval: interval,
            request_timeout: timeout,
            retry_delay: config.retry_delay,
            validity: config.validity(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fifteen() -> ConfigBuilder {
        Config::builder().namespace("default").name("job").identity("a").ttl(Duration::from_secs(15))
    }

    #[test]
    fn defaults_follow_the_ttl() {
        let config = fifteen().build().unwrap();
        assert_eq!(config.renew_interval(), Duration::from_secs(5));
        assert_eq!(config.request_timeout(), Duration::from_secs(3));
        assert_eq!(config.retry_delay(), Duration::from_millis(500));
        assert_eq!(config.validity(), Duration::from_millis(13_500));
        assert_eq!(config.max_clock_skew(), Some(Duration::from_secs(15)));
        assert_eq!(config.max_foreign_ttl(), HOUR);
        assert_eq!(config.lease_duration_seconds(), 15);
    }

    #[test]
    fn every_ttl_in_range_has_working_defaults() {
        for millis in [100, 101, 999, 1000, 1001, 1900, 15_000, 3_600_001, 86_400_000, 2_147_483_647_000] {
            let config = fifteen().ttl(Duration::from_millis(millis)).build().unwrap();
            let written = u64::from(config.lease_duration_seconds().unsigned_abs());
            assert!(config.ttl() <= Duration::from_secs(written), "{millis}");
            assert!(config.ttl() > Duration::from_secs(written - 1), "{millis}");
            assert!(config.max_foreign_ttl() >= config.lease_duration());
        }
    }

    #[test]
    fn what_has_no_default_is_asked_for_by_name() {
        for (builder, setting) in [
            (Config::builder().name("a").identity("a").ttl(HOUR), "namespace"),
            (Config::builder().namespace("a").identity("a").ttl(HOUR), "name"),
            (Config::builder().namespace("a").name("a").ttl(HOUR), "identity"),
            (Config::builder().namespace("a").name("a").identity("a"), "ttl"),
        ] {
            assert_eq!(builder.build(), Err(ConfigError::Missing { setting }));
        }
    }

    #[test]
    fn odd_names_are_refused_before_anything_is_sent() {
        assert!(matches!(fifteen().namespace("a/b").build(), Err(ConfigError::Namespace { .. })));
        assert!(matches!(fifteen().name("../x").build(), Err(ConfigError::Name { .. })));
        assert!(matches!(fifteen().identity("").build(), Err(ConfigError::Identity { .. })));
    }

    #[test]
    fn a_slow_reply_must_fit_into_the_term() {
        let exact = fifteen().renew_interval(Duration::from_secs(7));
        assert!(exact.clone().build().is_ok(), "7 + 2 x 3 + 0.5 is exactly 13.5");
        let refused = exact.retry_delay(Duration::from_millis(501)).build().unwrap_err();
        assert!(matches!(refused, ConfigError::NoTimeToRenew { .. }), "{refused}");
        assert!(refused.to_string().contains("13.5s"), "{refused}");
    }

    #[test]
    fn an_existing_only_holder_vacates_and_creates_nothing() {
        let existing = || fifteen().existing_only(true);
        assert_eq!(fifteen().build().unwrap().release_policy(), ReleasePolicy::Delete);
        for builder in [existing(), existing().release_policy(ReleasePolicy::Vacate)] {
            assert_eq!(builder.build().unwrap().release_policy(), ReleasePolicy::Vacate);
        }
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: "a".to_owned(),
            uid: "1".to_owned(),
            ..OwnerReference::default()
        };
        for (builder, setting) in [
            (existing().release_policy(ReleasePolicy::Delete), "release_policy"),
            (existing().label("a", "b"), "label"),
            (existing().annotation("a", "b"), "annotation"),
            (existing().owner_reference(owner), "owner_reference"),
        ] {
            assert_eq!(builder.clone().build(), Err(ConfigError::ExistingOnly { setting }));
            assert!(builder.existing_only(false).build().is_ok(), "{setting}");
        }
    }

    #[test]
    fn ranges() {
        let second = Duration::from_secs(1);
        for (builder, setting) in [
            (fifteen().ttl(Duration::from_millis(99)), "ttl"),
            (fifteen().ttl(Duration::from_secs(1 << 32)), "ttl"),
            (fifteen().safety_margin(Duration::ZERO), "safety_margin"),
            (fifteen().safety_margin(15 * second), "safety_margin"),
            (fifteen().acquire_retries(1001), "acquire_retries"),
            (fifteen().max_foreign_ttl(14 * second), "max_foreign_ttl"),
            (fifteen().quarantine(14 * second), "quarantine"),
            (fifteen().max_clock_skew(Some(2 * DAY)), "max_clock_skew"),
            (fifteen().max_body(1), "max_body"),
            (fifteen().takeover_delay(2 * HOUR), "takeover_delay"),
        ] {
            match builder.build() {
                Err(ConfigError::OutOfRange { setting: named, .. }) => assert_eq!(named, setting),
                other => panic!("{setting}: {other:?}"),
            }
        }
    }
}
