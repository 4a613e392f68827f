//! Plans for property tests with `proptest`, shrunk as [`shrink`](super::shrink) does. Feature `proptest`.

use proptest::num::u64::ANY;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::shrink::Shrinker;
use super::{Plan, Swarm};

/// Any plan of a swarm.
///
/// One that fails is made smaller: its run shorter, its holders fewer, its network a list of what happens to
/// single requests. Each smaller plan is made when it is asked for. A thousand steps are enough for most:
/// `ProptestConfig::max_shrink_iters`.
#[must_use]
pub const fn plans(swarm: Swarm) -> Plans {
    Plans { swarm }
}

/// See [`plans`].
#[derive(Clone, Copy, Debug)]
pub struct Plans {
    swarm: Swarm,
}

/// A plan and what it shrinks to.
#[derive(Clone, Debug)]
pub struct PlanTree {
    shrinker: Shrinker,
    /// What is tried now; `None`: the smallest plan that failed.
    candidate: Option<Plan>,
}

impl Strategy for Plans {
    type Tree = PlanTree;
    type Value = Plan;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let plan = self.swarm.plan(ANY.new_tree(runner)?.current());
        Ok(PlanTree { shrinker: Shrinker::new(plan), candidate: None })
    }
}

impl PlanTree {
    fn next(&mut self) -> bool {
        self.candidate = self.shrinker.candidate();
        self.candidate.is_some()
    }
}

impl ValueTree for PlanTree {
    type Value = Plan;

    fn current(&self) -> Plan {
        self.candidate.as_ref().unwrap_or(self.shrinker.best()).clone()
    }

    fn simplify(&mut self) -> bool {
        if let Some(failed) = self.candidate.take() {
            self.shrinker.accept(failed, None);
        }
        self.next()
    }

    fn complicate(&mut self) -> bool {
        if self.candidate.take().is_none() {
            return false;
        }
        self.shrinker.reject();
        self.next()
    }
}
