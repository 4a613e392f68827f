//! What a PUT keeps of any object that was read, held against a JSON library's idea of it.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{Change, QuarantineMark, Record};
use crate::config::Config;
use crate::identifiers::Nonce;
use crate::time::WallTime;

const VALUES: [&str; 11] = [
    "null",
    r#""""#,
    "15",
    "-3",
    r#"{"a" : [1, {"b":"\u00e4"}]}"#,
    r#""me""#,
    r#""\u006de""#,
    r#""2026-01-01T00:00:00.123456Z""#,
    r#""0000000000000000000000000000002a me""#,
    "true",
    "[ ]",
];
const TOP: [&str; 6] = ["a", "z", "status", r"x\ny", r"\u006bindly", "metadata2"];
const METADATA: [&str; 6] =
    ["labels", "deletionTimestamp", "managedFields", "A", r"la\u0062els", "finalizers"];
const ANNOTATIONS: [&str; 6] =
    ["lease-core.rs/nonce", "lease-core.rs/quarantine", "b", r"\u0061", "a", r"lease-core.rs\/nonce"];
const SPEC: [&str; 8] = [
    "holderIdentity",
    "acquireTime",
    "renewTime",
    "leaseDurationSeconds",
    "leaseTransitions",
    "strategy",
    "Abc",
    r"preferred\tHolder",
];

fn fields(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let gap = || select(vec!["", "", "", " ", "\n\t"]);
    let field = (select(keys), select(&VALUES[..]), gap(), gap());
    vec(
        field.prop_map(|(key, value, before, after)| format!("{before}\"{key}\"{after}:{after}{value}")),
        0..8,
    )
}

/// A Lease with odd, repeated and escaped keys in any order, some of its sections twice.
fn lease() -> impl Strategy<Value = String> {
    let annotations = prop_oneof![
        fields(&ANNOTATIONS).prop_map(|fields| format!("\"annotations\":{{{}}}", fields.join(","))),
        Just("\"annotations\":null".to_owned()),
    ];
    let metadata = (fields(&METADATA), vec(annotations, 0..3)).prop_flat_map(|(mut all, annotations)| {
        let named = [r#""name":"a""#, r#""namespace":"ns""#, r#""uid":"u-1""#, r#""resourceVersion":"7""#];
        all.extend(named.map(str::to_owned));
        all.extend(annotations);
        Just(all).prop_shuffle().prop_map(|all| format!("\"metadata\":{{{}}}", all.join(",")))
    });
    let spec = prop_oneof![
        fields(&SPEC).prop_map(|fields| format!("\"spec\" : {{{}}}", fields.join(","))),
        Just("\"spec\":null".to_owned()),
    ];
    (fields(&TOP), vec(metadata, 1..3), vec(spec, 0..3)).prop_flat_map(|(mut all, metadata, spec)| {
        all.extend([r#""kind":"Lease""#, r#""apiVersion":"coordination.k8s.io/v1""#].map(str::to_owned));
        all.extend(metadata.into_iter().chain(spec));
        Just(all).prop_shuffle().prop_map(|all| format!("{{{}}}", all.join(",")))
    })
}

fn config() -> Config {
    let builder = Config::builder().namespace("ns").name("a").identity("q\"ö");
    builder.ttl(Duration::from_secs(15)).build().unwrap()
}

fn read(body: &[u8]) -> Record {
    Record::read(&Bytes::copy_from_slice(body), &config(), None).unwrap()
}

/// The object of this name, which is empty where there is none.
fn object<'a>(parent: &'a mut Value, key: &str) -> &'a mut Value {
    let child = &mut parent[key];
    if child.is_null() {
        *child = json!({});
    }
    child
}

/// The same write by way of a JSON library.
fn expected(body: &str, change: &Change<'_>, transitions: &Value) -> Value {
    let mut lease: Value = serde_json::from_str(body).unwrap();
    let annotations = object(&mut lease["metadata"], "annotations");
    match change.quarantine {
        QuarantineMark::Keep => {}
        QuarantineMark::Set => annotations["lease-core.rs/quarantine"] = json!("true"),
        QuarantineMark::Remove => {
            annotations.as_object_mut().unwrap().remove("lease-core.rs/quarantine");
        }
    }
    let holder = change.holder.map_or("", |holder| holder.as_str());
    annotations["lease-core.rs/nonce"] = json!(format!("{} {holder}", change.nonce));
    let spec = object(&mut lease, "spec");
    if change.acquire_time.is_some() {
        spec["acquireTime"] = json!("1970-01-01T00:00:00.000005Z");
    }
    spec["renewTime"] = json!("2026-01-01T00:00:00.000001Z");
    spec["holderIdentity"] = json!(holder);
    spec["leaseDurationSeconds"] = json!(15);
    spec["leaseTransitions"] = transitions.clone();
    lease
}

proptest! {
    #[test]
    fn a_put_keeps_everything_but_our_fields(body in lease(), ours in any::<bool>(), renews in any::<bool>()) {
        let (config, record) = (config(), read(body.as_bytes()));
        for quarantine in [QuarantineMark::Keep, QuarantineMark::Set, QuarantineMark::Remove] {
            let change = Change {
                holder: ours.then_some(config.identity()),
                nonce: Nonce(42),
                acquire_time: (!renews).then_some(WallTime::from_micros(5)),
                renew_time: WallTime::from_micros(1_767_225_600_000_001),
                quarantine,
            };
            let written = record.put_body(&change, &config);
            let shown: Value = serde_json::from_slice(&written).unwrap();
            prop_assert_eq!(&shown, &expected(&body, &change, &shown["spec"]["leaseTransitions"]));
            // Sorted and without repetition: reading it again and writing the same changes no byte.
            let again = Change { acquire_time: change.acquire_time, ..change };
            let rewritten = read(&written).put_body(&again, &config);
            prop_assert_eq!(rewritten, written);
        }
    }

    #[test]
    fn a_body_that_came_before_is_the_same_record(body in lease(), other in lease()) {
        let (one, two) = (Bytes::from(body), Bytes::from(other));
        let last = Record::read(&one, &config(), None).unwrap();
        for (bytes, same) in [(&one, true), (&two, one == two)] {
            let record = Record::read(bytes, &config(), Some(&last)).unwrap();
            prop_assert_eq!(record == last, same);
            prop_assert_eq!(format!("{:?}", record), format!("{:?}", read(bytes)));
        }
    }
}
