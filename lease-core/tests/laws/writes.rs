//! What may ever leave a machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use http::{Method, Response};
use lease_core::{Action, Input, Output};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;

use super::cases;
use super::plan::{drained, hostile};
use super::server::text;
use super::world::World;
use crate::support::{Holder, Sent, config};

type Raw<'a> = BTreeMap<String, &'a RawValue>;

fn fields(json: &str) -> Raw<'_> {
    serde_json::from_str(json).expect("an object")
}

proptest! {
    #![proptest_config(cases(120))]

    /// Every PUT names the state that it was made for, and one that was really shown: without a UID it would
    /// create a deleted object anew.
    #[test]
    fn no_write_without_uid_and_resource_version(plan in hostile(100)) {
        let mut shown: BTreeSet<(String, String)> = BTreeSet::new();
        World::run(&plan, |_, input, outputs| {
            if let Input::Response { response, .. } = input {
                shown.extend(version(response.body(), "/metadata"));
            }
            for request in sent(outputs, &Method::PUT) {
                let written = version(request.body(), "/metadata");
                assert!(written.is_some_and(|written| shown.contains(&written)), "{request:?}");
            }
        });
    }

    /// Every DELETE names the state that may go, in its body, where the server looks.
    #[test]
    fn no_delete_without_preconditions(plan in hostile(100)) {
        let mut shown: BTreeSet<(String, String)> = BTreeSet::new();
        World::run(&plan, |_, input, outputs| {
            if let Input::Response { response, .. } = input {
                shown.extend(version(response.body(), "/metadata"));
            }
            for request in sent(outputs, &Method::DELETE) {
                let condition = version(request.body(), "/preconditions");
                assert!(condition.is_some_and(|condition| shown.contains(&condition)), "{request:?}");
            }
        });
    }

    /// Whoever works on what others make needs no right to create or delete.
    #[test]
    fn an_existing_only_machine_only_reads_and_updates(mut plan in hostile(100)) {
        plan.setup.existing = true;
        World::run(&plan, |_, _, outputs| {
            for output in outputs {
                if let Output::Action(Action::Send { request, .. }) = output {
                    assert!(matches!(*request.method(), Method::GET | Method::PUT), "{request:?}");
                }
            }
        });
    }

    /// Each `renewTime` tells its attempt from all others: a renewal's is above all since the term's
    /// acquisition, and none is used again.
    #[test]
    fn renew_time_strictly_grows(plan in drained(100)) {
        let mut highest = String::new();
        let mut recent: VecDeque<String> = VecDeque::new();
        World::run(&plan, |world, _, outputs| {
            for output in outputs {
                let Output::Action(Action::Send { id, request, .. }) = output else {
                    continue;
                };
                let stamp = world.find(*id).and_then(super::world::Sent::stamp);
                let Some(stamp) = stamp.filter(|_| request.method() != Method::DELETE) else {
                    continue;
                };
                let body = serde_json::from_slice(request.body()).unwrap_or_default();
                let acquires = text(&body, "/spec/acquireTime") == stamp;
                assert!(!recent.contains(&stamp), "{stamp} once more");
                assert!(acquires || stamp > highest, "{stamp} after {highest}");
                highest.clone_from(&stamp);
                recent.push_back(stamp);
                if recent.len() > 16 {
                    recent.pop_front();
                }
            }
        });
    }

    /// As long as no clock goes backwards this holds over all terms, too.
    #[test]
    fn renew_time_strictly_grows_over_all_terms(mut plan in drained(100)) {
        for step in &mut plan.steps {
            step.wall = super::plan::Wall::Follow;
            if let super::plan::Given::Response(_, _, headers) = &mut step.given {
                *headers = super::plan::Headers::default();
            }
        }
        let mut highest = String::new();
        World::run(&plan, |world, _, outputs| {
            for output in outputs {
                if let Output::Action(Action::Send { id, .. }) = output
                    && let Some(stamp) = world.find(*id).and_then(super::world::Sent::stamp)
                {
                    assert!(stamp > highest, "{stamp} after {highest}");
                    highest = stamp;
                }
            }
        });
    }

    /// Nobody ever becomes the holder by a write that does not say who.
    #[test]
    fn a_write_names_us_or_clears_the_holder_after_the_term(plan in hostile(100)) {
        World::run(&plan, |world, _, outputs| {
            for request in sent(outputs, &Method::PUT).chain(sent(outputs, &Method::POST)) {
                let body: serde_json::Value = serde_json::from_slice(request.body()).expect("JSON");
                let holder = body["spec"]["holderIdentity"].as_str().expect("a holder");
                let cleared = holder.is_empty() && request.method() == Method::PUT;
                assert!(holder == "a" || cleared, "{body}");
                assert!(!cleared || world.lease.check_alive(world.high).is_none(), "{body}");
                let seconds = body["spec"]["leaseDurationSeconds"].as_i64();
                assert_eq!(seconds, Some(i64::from(world.lease.config().lease_duration_seconds())));
            }
        });
    }

    /// Whatever a record has that we do not write goes back as the very bytes that came.
    #[test]
    fn unknown_fields_survive(record in records(), release in any::<bool>()) {
        let mut a = Holder::new(config());
        let read = a.give(Input::TryAcquire);
        let text = record.json("5", "");
        let taken = a.give(reply(&read.sent[0], &text));
        prop_assert_eq!(taken.sent.len(), 1, "{:?}", taken.events);
        record.is_kept(&taken.sent[0])?;
        // The acquiring write is echoed, and renewed.
        let echo = String::from_utf8_lossy(taken.sent[0].request.body()).replacen("\"5\"", "\"6\"", 1);
        a.give(reply(&taken.sent[0], &echo));
        prop_assert!(a.is_held(), "{echo}");
        let renewal = a.wake();
        record.is_kept(&renewal.sent[0])?;
        if release {
            // An edit in between comes along.
            let conflict = a.respond(&renewal.sent[0], 409, &crate::support::conflict());
            let edited = echo.replacen("\"6\"", "\"7\"", 1).replacen("{", "{\"edited\":1e400,", 1);
            let again = a.give(reply(&conflict.sent[0], &edited));
            record.is_kept(&again.sent[0])?;
            let body = String::from_utf8_lossy(again.sent[0].request.body()).into_owned();
            prop_assert!(body.contains("\"edited\":1e400,"), "{body}");
        }
    }
}

fn sent<'a>(outputs: &'a [Output], method: &'a Method) -> impl Iterator<Item = &'a http::Request<Bytes>> {
    outputs.iter().filter_map(move |output| match output {
        Output::Action(Action::Send { request, .. }) if request.method() == method => Some(request),
        _ => None,
    })
}

/// UID and resource version, if both are there.
fn version(body: &[u8], pointer: &str) -> Option<(String, String)> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let says = |key: &str| {
        let says = text(&body, &format!("{pointer}/{key}")).to_owned();
        (!says.is_empty()).then_some(says)
    };
    Some((says("uid")?, says("resourceVersion")?))
}

fn reply(to: &Sent, body: &str) -> Input {
    let response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    Input::Response { id: to.id, response }
}

/// A free Lease with things in it that we know nothing of.
#[derive(Clone, Debug)]
struct Odd {
    top: Vec<(String, &'static str)>,
    metadata: Vec<(String, &'static str)>,
    annotations: Vec<(String, &'static str)>,
    spec: Vec<(String, &'static str)>,
    /// Where our own keys come among the others.
    first: bool,
}

fn records() -> impl Strategy<Value = Odd> {
    let odd = || {
        let values = select(vec![
            "1e400",
            "-0",
            "12345678901234567890123",
            "0.10000000000000000000000000000001",
            "1E+2",
            "\"\\u00e9\\ud83d\\ude00\\/\\b\"",
            "\"\\ud800\"",
            "\"\u{e9}\u{1f600}\"",
            "null",
            "[1,  2 ,\n3]",
            "{\"z\":1,\"a\":{\"z\":null,\"z\":2}}",
            "{}",
            "true",
        ]);
        // A prefix, so that none of our own keys is hit.
        vec(("[a-z\u{e4}\"\\\\ /.]{0,6}".prop_map(|key| format!("x{key}")), values), 0..5)
    };
    (odd(), odd(), odd(), odd(), any::<bool>()).prop_map(|(top, metadata, annotations, spec, first)| Odd {
        top,
        metadata,
        annotations,
        spec,
        first,
    })
}

impl Odd {
    fn object(&self, ours: &str, others: &[(String, &'static str)]) -> String {
        let others =
            others.iter().map(|(key, raw)| format!("{}:{raw}", serde_json::Value::from(key.as_str())));
        let mut all: Vec<String> = others.collect();
        if !ours.is_empty() {
            all.insert(if self.first { 0 } else { all.len() }, ours.to_owned());
        }
        format!("{{{}}}", all.join(","))
    }

    fn json(&self, resource_version: &str, holder: &str) -> String {
        let annotations = self.object("", &self.annotations);
        let metadata = format!(
            "\"name\":\"job\",\"namespace\":\"default\",\"uid\":\"u\",\
             \"resourceVersion\":\"{resource_version}\",\"annotations\":{annotations}"
        );
        let metadata = self.object(&metadata, &self.metadata);
        let spec = self.object(&format!("\"holderIdentity\":\"{holder}\""), &self.spec);
        let top = format!(
            "\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\
             \"metadata\":{metadata},\"spec\":{spec}"
        );
        self.object(&top, &self.top)
    }

    fn is_kept(&self, write: &Sent) -> Result<(), TestCaseError> {
        let body = String::from_utf8_lossy(write.request.body()).into_owned();
        let top = fields(&body);
        let metadata = fields(top["metadata"].get());
        let annotations = fields(metadata["annotations"].get());
        let spec = fields(top["spec"].get());
        for (before, after) in [
            (&self.top, &top),
            (&self.metadata, &metadata),
            (&self.annotations, &annotations),
            (&self.spec, &spec),
        ] {
            // Of a repeated key the last value counts.
            let before: BTreeMap<_, _> = before.iter().cloned().collect();
            for (key, raw) in before {
                let kept = after.get(&key).map(|raw| raw.get());
                prop_assert_eq!(kept, Some(raw), "{} in {}", key, body);
            }
        }
        Ok(())
    }
}

/// Clause 8 under any feature set of `serde_json`: numbers that no `f64` holds (`arbitrary_precision`), keys
/// out of order (`preserve_order`), nesting too deep for a tree (`unbounded_depth`) and odd escapes go back
/// byte for byte, because nothing of a record ever becomes a number, a map or a tree of ours.
#[test]
fn clause_8_the_same_bytes_under_any_feature_set_of_serde_json() {
    let deep = format!("{}1e400{}", "[".repeat(300), "]".repeat(300));
    let top = ["\"zz\":12345678901234567890123", "\"aa\":\"\\ud83d\\ude00\\ud800\""];
    let metadata = ["\"zebra\":-0.0", "\"uid\":\"\\u0075\"", &format!("\"alpha\":{deep}")];
    let annotations = ["\"z\":\"\\u007a\\/\"", "\"a\":\"\u{e9}\""];
    let spec = ["\"zeta\":1e400", "\"beta\":{\"b\":1.0,\"a\":1E5, \"b\":-0}"];
    let read = format!(
        "{{ {} ,\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io\\/v1\",\
         \"metadata\":{{{},\"name\":\"job\",\
         \"namespace\":\"default\",\"annotations\":{{{}}},\"resourceVersion\":\"41\"}},\
         \"spec\":{{\"leaseTransitions\":4,{},\"holderIdentity\":\"\"}},{}}}",
        top[0],
        metadata.join(","),
        annotations.join(" ,"),
        spec.join(", "),
        top[1]
    );
    let mut a = Holder::new(config());
    let asked = a.give(Input::TryAcquire);
    let taken = a.give(reply(&asked.sent[0], &read));
    let written = String::from_utf8_lossy(taken.sent[0].request.body()).into_owned();
    let kept = top.iter().chain(&metadata).chain(&annotations).chain(&spec);
    let ours = [
        "\"apiVersion\":\"coordination.k8s.io\\/v1\"",
        "\"resourceVersion\":\"41\"",
        "\"acquireTime\":\"2026-01-01T00:00:00.000000Z\"",
        "\"renewTime\":\"2026-01-01T00:00:00.000000Z\"",
        "\"holderIdentity\":\"a\"",
        "\"leaseDurationSeconds\":15",
        "\"leaseTransitions\":5",
        &format!("\"lease-core.rs/nonce\":\"{} a\"", a.lease.nonce()),
    ];
    for fragment in kept.chain(&ours) {
        let times = written.matches(fragment).count();
        assert_eq!(times, 1, "{fragment} in {written}");
    }
    // Nothing else is in it: brackets, commas, and the keys that were read and not changed.
    let fragments = top.iter().chain(&metadata).chain(&annotations).chain(&spec).chain(&ours);
    let rest = fragments.fold(written, |rest, fragment| rest.replacen(fragment, "", 1));
    let keys = [
        "kind\":\"Lease",
        "name\":\"job",
        "namespace\":\"default",
        "metadata\":",
        "annotations\":",
        "spec\":",
    ];
    let rest = keys.iter().fold(rest, |rest, key| rest.replacen(&format!("\"{key}"), "", 1));
    assert_eq!(rest.trim_matches(['{', '}', ',', '"']).replace(['{', '}', ',', '"'], ""), "");
}
