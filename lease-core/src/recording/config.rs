//! The configuration in a recording's first line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigBuilder, ConfigError, OwnerReference, ReleasePolicy, SameIdentity};

/// Durations in nanoseconds.
#[derive(Serialize, Deserialize)]
pub(super) struct ConfigLine {
    namespace: String,
    name: String,
    identity: String,
    ttl: u64,
    renew_interval: u64,
    request_timeout: u64,
    retry_delay: u64,
    safety_margin: u64,
    acquire_retries: u32,
    acquire_retry_delay: u64,
    poll_interval: u64,
    release_timeout: u64,
    max_clock_skew: Option<u64>,
    max_foreign_ttl: u64,
    foreign_holder_grace: u64,
    takeover_delay: u64,
    quarantine: u64,
    same_identity: SameIdentityLine,
    release_policy: ReleasePolicyLine,
    max_body: usize,
    // Since version 2, and `watch` since 3; left out where there is nothing to say.
    #[serde(default, skip_serializing_if = "is_false")]
    existing_only: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    watch: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    owner_references: Vec<OwnerReferenceLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SameIdentityLine {
    Reclaim,
    Contend,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReleasePolicyLine {
    Delete,
    Vacate,
}

#[derive(Serialize, Deserialize)]
struct OwnerReferenceLine {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    controller: bool,
    block_owner_deletion: bool,
}

impl ConfigLine {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            namespace: config.namespace().to_owned(),
            name: config.name().to_owned(),
            identity: config.identity().as_str().to_owned(),
            ttl: nanos(config.ttl()),
            renew_interval: nanos(config.renew_interval()),
            request_timeout: nanos(config.request_timeout()),
            retry_delay: nanos(config.retry_delay()),
            safety_margin: nanos(config.safety_margin()),
            acquire_retries: config.acquire_retries(),
            acquire_retry_delay: nanos(config.acquire_retry_delay()),
            poll_interval: nanos(config.poll_interval()),
            release_timeout: nanos(config.release_timeout()),
            max_clock_skew: config.max_clock_skew().map(nanos),
            max_foreign_ttl: nanos(config.max_foreign_ttl()),
            foreign_holder_grace: nanos(config.foreign_holder_grace()),
            takeover_delay: nanos(config.takeover_delay()),
            quarantine: nanos(config.quarantine()),
            same_identity: match config.same_identity() {
                SameIdentity::Reclaim => SameIdentityLine::Reclaim,
                SameIdentity::Contend => SameIdentityLine::Contend,
            },
            release_policy: match config.release_policy() {
                ReleasePolicy::Delete => ReleasePolicyLine::Delete,
                ReleasePolicy::Vacate => ReleasePolicyLine::Vacate,
            },
            max_body: config.max_body(),
            existing_only: config.existing_only(),
            watch: config.watch(),
            labels: config.labels().clone(),
            annotations: config.annotations().clone(),
            owner_references: config.owner_references().iter().map(OwnerReferenceLine::new).collect(),
        }
    }

    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let builder = Config::builder()
            .namespace(&self.namespace)
            .name(&self.name)
            .identity(&self.identity)
            .ttl(duration(self.ttl))
            .renew_interval(duration(self.renew_interval))
            .request_timeout(duration(self.request_timeout))
            .retry_delay(duration(self.retry_delay))
            .safety_margin(duration(self.safety_margin))
            .acquire_retries(self.acquire_retries)
            .acquire_retry_delay(duration(self.acquire_retry_delay))
            .poll_interval(duration(self.poll_interval))
            .release_timeout(duration(self.release_timeout))
            .max_clock_skew(self.max_clock_skew.map(duration))
            .max_foreign_ttl(duration(self.max_foreign_ttl))
            .foreign_holder_grace(duration(self.foreign_holder_grace))
            .takeover_delay(duration(self.takeover_delay))
            .quarantine(duration(self.quarantine))
            .same_identity(match self.same_identity {
                SameIdentityLine::Reclaim => SameIdentity::Reclaim,
                SameIdentityLine::Contend => SameIdentity::Contend,
            })
            .release_policy(match self.release_policy {
                ReleasePolicyLine::Delete => ReleasePolicy::Delete,
                ReleasePolicyLine::Vacate => ReleasePolicy::Vacate,
            })
            .max_body(self.max_body)
            .existing_only(self.existing_only)
            .watch(self.watch);
        let builder = self.labels.iter().fold(builder, |builder, (key, value)| builder.label(key, value));
        let builder =
            self.annotations.iter().fold(builder, |builder, (key, value)| builder.annotation(key, value));
        let owners = self.owner_references.iter().map(OwnerReferenceLine::owner);
        owners.fold(builder, ConfigBuilder::owner_reference).build()
    }
}

impl OwnerReferenceLine {
    fn new(owner: &OwnerReference) -> Self {
        let OwnerReference { api_version, kind, name, uid, controller, block_owner_deletion } = owner.clone();
        Self { api_version, kind, name, uid, controller, block_owner_deletion }
    }

    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: self.controller,
            block_owner_deletion: self.block_owner_deletion,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn duration(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}
