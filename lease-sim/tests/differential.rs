//! The same seeded random requests against a real API server and against the model.
//!
//! `LEASE_TEST_SERVER`, `LEASE_TEST_CA` (a file), `LEASE_TEST_TOKEN` (an administrator's) and
//! `LEASE_TEST_NAMESPACE` name the server; `LEASE_TEST_HOLDER_TOKEN` and `LEASE_TEST_NOBODY_TOKEN` are
//! optional. `LEASE_TEST_SEED` and `LEASE_TEST_STEPS` repeat a run, which ends at `LEASE_TEST_DIFFERENCES`
//! differences (10). Compared are status, reason, causes, the stored object after every write (generated
//! fields aside), and whether a write changed the UID and the resource version.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it saw")]

mod differential {
    pub(crate) mod bodies;
    pub(crate) mod generate;
    pub(crate) mod worlds;
}
mod support;

use differential::generate::{Generator, Step};
use differential::worlds::{Answered, Model, Real, World};
use serde_json::Value;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, default: u64) -> u64 {
    variable(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs a real API server: set LEASE_TEST_SERVER and its sisters"]
async fn two_thousand_random_requests_agree() {
    let seed = number("LEASE_TEST_SEED", 20_260_101);
    let steps = number("LEASE_TEST_STEPS", 2_500);
    let limit = number("LEASE_TEST_DIFFERENCES", 10) as usize;
    let namespace = variable("LEASE_TEST_NAMESPACE").expect("LEASE_TEST_NAMESPACE");
    let mut generator = Generator::new(seed, &namespace);
    let mut real = World::new(Real::from_environment(variable));
    let mut model = World::new(Model::like(&mut real.server, seed, &namespace).await);
    generator.tokens = real.server.token_names();
    for name in generator.names().to_vec() {
        real.clear(&namespace, &name).await;
    }
    let mut failures: Vec<String> = Vec::new();
    let mut tally = std::collections::BTreeMap::<u16, u32>::new();
    for number in 0..steps {
        let step = generator.step(&real.versions);
        let (theirs, ours) = (real.send(&step).await, model.send(&step).await);
        *tally.entry(theirs.status).or_default() += 1;
        let mut difference = differs(&theirs, &ours);
        if difference.is_none() && step.method != "GET" {
            let look = Step::look(&namespace, &step.name);
            let (theirs, ours) = (real.send(&look).await, model.send(&look).await);
            difference = differs(&theirs, &ours)
                .map(|why| format!("stored object: {why}\n  real:  {theirs:?}\n  model: {ours:?}"));
        }
        if let Some(why) = difference {
            failures.push(format!(
                "seed {seed}, step {number}: {why}\n  {step:?}\n  real:  {theirs:?}\n  model: {ours:?}"
            ));
            // Start afresh with this name, or every later step differs too.
            real.clear(&namespace, &step.name).await;
            model.clear(&namespace, &step.name).await;
        }
        if failures.len() >= limit {
            break;
        }
    }
    for name in generator.names().to_vec() {
        real.clear(&namespace, &name).await;
    }
    println!("seed {seed}: {steps} random requests, real answers by status: {tally:?}");
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

/// What differs between two answers, if anything does.
fn differs(theirs: &Answered, ours: &Answered) -> Option<String> {
    if theirs.status != ours.status {
        return Some(format!("status {} is not {}", ours.status, theirs.status));
    }
    for field in ["/kind", "/reason", "/status", "/details/kind", "/details/group", "/details/name"] {
        if theirs.body.pointer(field) != ours.body.pointer(field) {
            let show = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
            let (theirs, ours) = (theirs.body.pointer(field), ours.body.pointer(field));
            return Some(format!("{field}: {} is not {}", show(ours), show(theirs)));
        }
    }
    let causes = |answer: &Answered| -> Vec<(Value, Value)> {
        let list = answer.body.pointer("/details/causes").and_then(Value::as_array).cloned();
        list.unwrap_or_default()
            .iter()
            .map(|cause| (cause["reason"].clone(), cause["field"].clone()))
            .collect()
    };
    if causes(theirs) != causes(ours) {
        return Some(format!("causes {:?} are not {:?}", causes(ours), causes(theirs)));
    }
    if theirs.body["kind"] != "Status" && theirs.object() != ours.object() {
        return Some(format!("object {} is not {}", ours.object(), theirs.object()));
    }
    (theirs.version != ours.version)
        .then(|| format!("version index {:?} is not {:?}", ours.version, theirs.version))
}
