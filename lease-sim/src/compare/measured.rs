//! What was measured of the real programs: processes of each library in the version that its model names,
//! against kube-apiserver 1.20.2, all on one machine with one clock. In seconds.

use super::scenarios::{Measure, Scenario};
use crate::protocol::ProtocolKind::{self, ClientGo, KubeLeaderElection, KubeLeaseManager, Kubert};

/// The figures as they were written down: the least, the middle and the largest of ten rounds (six of B), or
/// all three rounds. Models of what was not measured have none.
pub(super) const fn measured(
    scenario: Scenario,
    kind: ProtocolKind,
    measure: Measure,
) -> Option<&'static str> {
    use Measure::{BelievesOn, BothBelieve, Rounds, Takeover, Told};
    use Scenario::{Crash, Cut, Refused, Release, Stall, Together};
    Some(match (scenario, measure, kind) {
        (Release, Takeover, ClientGo) => "0.27/0.92/2.79",
        (Release, Takeover, Kubert) => "3.19/7.40/12.45",
        (Release, Takeover, KubeLeaderElection) => "1.05/2.49/5.41",
        (Release, Takeover, KubeLeaseManager) => "3.23/7.41/12.44",
        (Crash, Takeover, ClientGo) => "5.96/6.77/7.06",
        (Crash, Takeover, Kubert) => "3.09/4.44/5.80",
        (Crash, Takeover, KubeLeaderElection) => "4.12/5.32/5.83",
        (Crash, Takeover, KubeLeaseManager) => "3.17/5.02/5.95",
        (Stall, Takeover, ClientGo) => "6.46/5.81/7.60",
        (Stall, Takeover, Kubert) => "5.28/4.64/2.45",
        (Stall, Takeover, KubeLeaderElection) => "5.30/4.68/4.49",
        (Stall, Takeover, KubeLeaseManager) => "5.46/5.56/3.13",
        // From the last "held" to the first "not held" of a poll every 20 ms.
        (Stall, BelievesOn, ClientGo) => "0.0002-0.0209/0.0001-0.0202/0.0001-0.0207",
        (Stall, BelievesOn, Kubert) => "0/0/0",
        (Stall, BelievesOn, KubeLeaderElection) => "0.0006-0.0207/0.0017-0.0221/0.0001-0.0202",
        (Stall, BelievesOn, KubeLeaseManager) => "0.0009-0.0211/0.0002-0.0203/0.0001-0.0202",
        (Stall, Told, ClientGo) => "4.0011/4.0011/4.0009",
        (Stall, Told, Kubert) => "0.0002/0.0004/0.0001",
        (Stall, Told, KubeLeaderElection) => "0.0030/0.0023/0.0021",
        (Stall, Told, KubeLeaseManager) => "0.0034/0.0021/0.0021",
        (Cut, Takeover, ClientGo) => "5.84/6.15/6.15",
        (Cut, Takeover, Kubert) => "2.41/3.88/3.89",
        (Cut, Takeover, KubeLeaderElection) => "4.48/5.94/5.94",
        (Cut, Takeover, KubeLeaseManager) => "2.97/4.84/4.48",
        (Cut, BelievesOn, ClientGo) => "4.03/4.19/4.10",
        (Cut, BelievesOn, Kubert) => "2.41/3.88/3.89",
        (Refused, Takeover, ClientGo) => "7.63/6.16/5.09",
        (Refused, Takeover, Kubert) => "2.45/3.90/3.90",
        (Refused, Takeover, KubeLeaderElection) => "4.48/5.92/5.93",
        (Refused, Takeover, KubeLeaseManager) => "2.92/4.61/4.21",
        (Refused, BelievesOn, ClientGo) => "4.81/4.29/4.03",
        (Refused, BelievesOn, Kubert) => "2.44/3.89/3.90",
        (Cut | Refused, BelievesOn, KubeLeaderElection | KubeLeaseManager) => "never/never/never",
        (Cut | Refused, BothBelieve, ClientGo) => "none, a gap of 1.05 to 2.82",
        (Cut | Refused, BothBelieve, Kubert) => "-0.0 to 0.01",
        (Cut | Refused, BothBelieve, KubeLeaderElection) => "24.06 and more",
        (Cut | Refused, BothBelieve, KubeLeaseManager) => "25.16 and more",
        (Together, Takeover, ClientGo) => "median 3.53",
        (Together, Takeover, Kubert) => "median 0.025",
        (Together, Takeover, KubeLeaderElection) => "median 0.02",
        (Together, Takeover, KubeLeaseManager) => "median 0.06",
        (Together, BothBelieve, KubeLeaderElection) => "up to 1.00",
        (Together, Rounds, KubeLeaderElection) => "9 of 10",
        (Together | Release | Crash, BothBelieve, ClientGo | Kubert | KubeLeaseManager)
        | (Release | Crash, BothBelieve, KubeLeaderElection) => "none",
        (Together, Rounds, ClientGo | Kubert | KubeLeaseManager) => "0 of 10",
        _ => return None,
    })
}
