//! Plans as text: what is refused and why, and that nothing that is accepted makes a world panic.

use std::collections::BTreeSet;

use lease_sim::plan::{FAULT_NAMES, Fault, FaultKind, Plan, PlanError, RequestKey, Swarm, TapeError};
use lease_sim::world::World;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

fn plan() -> Plan {
    Swarm::default().plan(3)
}

fn refused(change: impl FnOnce(&mut Plan)) -> PlanError {
    let mut plan = plan();
    change(&mut plan);
    match Plan::from_tape(&plan.to_tape()) {
        Err(TapeError::Invalid(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_drawn_plan_can_be_written_and_read() {
    for seed in 0..300 {
        for holders in [1, 3, 16] {
            let plan = Swarm { holders, ..Swarm::default() }.plan(seed);
            assert_eq!(plan.check(), Ok(()), "seed {seed}");
            assert_eq!(Plan::from_tape(&plan.to_tape()), Ok(plan));
        }
    }
}

/// What reports count is all that can happen: what is not met is shown with a zero.
#[test]
fn every_fault_that_is_drawn_has_a_listed_name_and_the_other_way_round() {
    let mut drawn = BTreeSet::from(["process-stands-still", "overtaken", "request-delayed", "reply-delayed"]);
    for seed in 0..3_000 {
        let plan = Swarm::default().plan(seed);
        drawn.extend(plan.faults.iter().map(|fault| fault.what.name()));
        let fate = |number| plan.drawn_fate(RequestKey { holder: 0, incarnation: 1, number }, false);
        drawn.extend((1..40).map(|number| fate(number).deed.name()));
        drawn.extend(plan.watches.names());
    }
    drawn.remove("carried");
    assert_eq!(drawn, FAULT_NAMES.iter().copied().collect());
    assert!(FAULT_NAMES.is_sorted());
}

#[test]
fn a_line_about_it_comes_back() {
    let text = plan().to_tape_about(Some("what it is"));
    assert_eq!(Plan::from_tape_about(&text), Ok((plan(), Some("what it is".to_owned()))));
}

#[test]
fn what_ends_in_the_middle_is_told_so() {
    let text = plan().to_tape();
    let end = text.trim_end().len();
    for cut in [1, 2, 30, end / 2, end - 1] {
        assert_eq!(Plan::from_tape(&text[..cut]), Err(TapeError::Truncated), "{cut}");
    }
}

#[test]
fn what_is_something_else_is_told_so() {
    for text in ["", "null", "[]", "hello", "{}", "{\"format\":\"another\",\"version\":1}", "\u{0}"] {
        assert!(matches!(Plan::from_tape(text), Err(TapeError::Foreign { .. })), "{text:?}");
    }
}

#[test]
fn versions_that_are_not_known_are_told_so() {
    let version = |version: Value| {
        let text = json!({"format": "lease-sim-plan", "version": version, "plans": []}).to_string();
        Plan::from_tape(&text).unwrap_err()
    };
    assert_eq!(version(json!(2)), TapeError::TooNew { version: 2 });
    assert_eq!(version(json!(u64::MAX)), TapeError::TooNew { version: u64::MAX });
    assert!(matches!(version(json!(0)), TapeError::Malformed { .. }));
    assert!(matches!(version(json!(1)), TapeError::Malformed { .. }));
}

#[test]
fn fields_that_no_plan_has_are_told() {
    let text = plan().to_tape().replacen("\"heals_at\"", "\"heals_it\"", 1);
    let error = Plan::from_tape(&text).unwrap_err();
    assert!(matches!(&error, TapeError::Malformed { about } if about.contains("heals_it")), "{error}");
}

#[test]
fn what_cannot_be_run_is_told_with_its_place() {
    let fault = |at, what| Fault { at, what };
    assert!(matches!(refused(|plan| plan.holders.clear()), PlanError::Holders { .. }));
    assert!(matches!(
        refused(|plan| plan.holders = vec![plan.holders[0].clone(); 17]),
        PlanError::Holders { .. }
    ));
    assert!(matches!(
        refused(|plan| plan.holders[2].margin = plan.holders[2].ttl),
        PlanError::Settings { holder: 2, .. }
    ));
    assert!(matches!(
        refused(|plan| plan.holders[1].ttl = 0),
        PlanError::OutOfRange { what: "ttl", given: 0, .. }
    ));
    assert!(matches!(refused(|plan| plan.length = u64::MAX), PlanError::OutOfRange { what: "length", .. }));
    assert!(matches!(
        refused(|plan| plan.faults = vec![fault(5, FaultKind::Pause { holder: 3, span: 1 })]),
        PlanError::NoSuchHolder { holder: 3 }
    ));
    assert_eq!(
        refused(|plan| {
            plan.faults = vec![fault(5, FaultKind::Rollback), fault(4, FaultKind::Rollback)];
        }),
        PlanError::Unordered { index: 1 }
    );
    assert_eq!(
        refused(|plan| plan.faults = vec![fault(plan.heals_at, FaultKind::Outage { span: 1 })]),
        PlanError::Unhealed { index: 0 }
    );
    let suspend = |at| fault(at, FaultKind::Suspend { holder: 0, span: 10 });
    assert_eq!(
        refused(|plan| plan.faults = vec![suspend(5), suspend(14)]),
        PlanError::Overlapping { index: 1 }
    );
    let error = TapeError::Invalid(refused(|plan| plan.holders[2].margin = 0));
    assert!(error.to_string().starts_with("the plan cannot be run: holder 2: `safety_margin`"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

/// Every place in a value, depth first.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| places(field, format!("{at}/{key}"), found));
        }
        Value::Array(items) => (0..)
            .zip(items)
            .for_each(|(index, item): (usize, _)| places(item, format!("{at}/{index}"), found)),
        _ => {}
    }
    found.push(at);
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(|number| json!(number >> (number % 64))),
        any::<i64>().prop_map(|number| json!(number >> (number.unsigned_abs() % 64))),
        any::<bool>().prop_map(|flag| json!(flag)),
        Just(Value::Null),
        Just(json!("x")),
        Just(json!(u64::MAX)),
        Just(json!(i64::MIN)),
        Just(json!(1e300)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(debug_assertions) { 96 } else { 4_000 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_accepted_panics(
        seed in 0_u64..500,
        changes in prop::collection::vec((any::<Index>(), scalar()), 1..4),
    ) {
        let plan = Swarm { holders: 2, ..Swarm::default() }.plan(seed);
        let mut value: Value = serde_json::from_str(&plan.to_tape()).unwrap();
        for (index, scalar) in changes {
            let mut found = Vec::new();
            places(&value, String::new(), &mut found);
            let place = index.get(&found).clone();
            if let Some(place) = value.pointer_mut(&place) {
                *place = scalar;
            }
        }
        if let Ok(mut plan) = Plan::from_tape(&value.to_string()) {
            plan.length = plan.length.min(700_000_000_000);
            let _ = World::new(&plan).run();
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(text in "\\PC{0,200}", cut in any::<Index>()) {
        let _ = Plan::from_tape(&text);
        let whole = plan().to_tape();
        let cut = cut.index(whole.len());
        let _ = Plan::from_tape(&format!("{}{text}{}", &whole[..cut], &whole[cut..]));
    }
}
