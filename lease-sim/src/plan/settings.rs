//! A holder's plan as settings of the real machine.

use lease_core::{Config, ConfigBuilder, ReleasePolicy, SameIdentity};
use std::time::Duration;

use super::HolderPlan;
use crate::oracle::{MAX_FOREIGN_TTL, identity};

/// The namespace and the name of the one lease. `default` cannot be deleted.
pub(crate) const NAMESPACE: &str = "team";
pub(crate) const NAME: &str = "job";
/// Where it is: both of them in a path.
pub(crate) const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/team/leases/job";

impl HolderPlan {
    /// The settings of the holder at this place, not checked yet.
    pub(crate) fn settings(&self, index: u8) -> ConfigBuilder {
        let millis = Duration::from_millis;
        let duration = millis(self.ttl.div_ceil(1000).saturating_mul(1000));
        Config::builder()
            .namespace(NAMESPACE)
            .name(NAME)
            .identity(identity(index, self, 0))
            .ttl(millis(self.ttl))
            .safety_margin(millis(self.margin))
            .request_timeout(millis(self.request_timeout))
            .max_clock_skew(self.max_clock_skew.map(millis))
            .max_foreign_ttl(MAX_FOREIGN_TTL.max(duration))
            .quarantine(millis(self.quarantine))
            .takeover_delay(millis(self.takeover_delay))
            .foreign_holder_grace(millis(self.foreign_holder_grace))
            .watch(self.watch)
            .same_identity(if self.contend { SameIdentity::Contend } else { SameIdentity::Reclaim })
            .release_policy(if self.vacate { ReleasePolicy::Vacate } else { ReleasePolicy::Delete })
    }
}
