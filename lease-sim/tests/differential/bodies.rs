//! Random Leases: their metadata and specs, valid and odd.

use super::generate::Generator;
use serde_json::{Map, Value, json};

impl Generator {
    pub(super) fn lease(&mut self, name: &str, seen: usize, update: bool) -> Value {
        let mut body = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease" });
        let fields = body.as_object_mut().unwrap();
        match self.below(30) {
            0 => drop(fields.remove("kind")),
            1 => drop(fields.remove("apiVersion")),
            2 => drop(fields.insert(
                "apiVersion".into(),
                self.pick(&[
                    json!("v1"),
                    json!("coordination.k8s.io/v9"),
                    json!(5),
                    json!("a/b/c"),
                    json!("coordination.k8s.io/v1beta1"),
                ]),
            )),
            3 => drop(fields.insert(
                "kind".into(),
                self.pick(&[json!("Pod"), json!("lease"), json!(""), json!(null), json!(1)]),
            )),
            _ => {}
        }
        let metadata = self.metadata(name, seen, update);
        fields.insert("metadata".into(), metadata);
        match self.below(15) {
            0 => {}
            1 => drop(
                fields.insert("spec".into(), self.pick(&[json!(null), json!({}), json!([]), json!("x")])),
            ),
            _ => drop(fields.insert("spec".into(), self.spec())),
        }
        body
    }

    fn metadata(&mut self, name: &str, seen: usize, update: bool) -> Value {
        let mut meta = Map::new();
        meta.insert("name".into(), json!(name));
        match self.below(25) {
            0 => drop(meta.insert(
                "name".into(),
                self.pick(&[json!("Bad_Name"), json!(""), json!(null), json!("x".repeat(254)), json!(7)]),
            )),
            1 => drop(meta.remove("name")),
            2 => {
                drop(meta.insert(
                    "namespace".into(),
                    self.pick(&[json!("other"), json!(""), json!(null), json!({})]),
                ))
            }
            3..=10 => drop(meta.insert("namespace".into(), json!(self.namespace))),
            _ => {}
        }
        let version = match self.below(if update { 14 } else { 40 }) {
            0 => self.pick(&[
                json!("not-a-number"),
                json!("-1"),
                json!("99999999999999999999"),
                json!(5),
                json!("0x5"),
            ]),
            1 => self.pick(&[json!(""), json!("0"), json!(null), json!("00")]),
            2 if seen > 0 => json!("@rv+:0"),
            3..=4 if seen > 1 => json!(format!("@rv:{}", 1 + self.below(seen - 1))),
            5.. if seen > 0 && update => json!("@rv:0"),
            _ if update => json!("77"),
            _ => Value::Null,
        };
        if !(version.is_null() && self.one_in(2)) {
            meta.insert("resourceVersion".into(), version);
        }
        match self.below(12) {
            0 => drop(meta.insert("uid".into(), json!("00000000-0000-0000-0000-000000000000"))),
            1 => drop(meta.insert("uid".into(), self.pick(&[json!(""), json!(null), json!(1)]))),
            2 if seen > 1 => {
                drop(meta.insert("uid".into(), json!(format!("@uid:{}", 1 + self.below(seen - 1)))))
            }
            3..=7 if seen > 0 => drop(meta.insert("uid".into(), json!("@uid:0"))),
            _ => {}
        }
        self.extras(&mut meta);
        Value::Object(meta)
    }

    /// Labels, annotations, finalizers, and fields that the server owns.
    pub(super) fn extras(&mut self, meta: &mut Map<String, Value>) {
        match self.below(8) {
            0 => drop(meta.insert(
                "labels".into(),
                self.pick(&[json!({"a": "b"}), json!({"a": "c", "x.io/y": ""}), json!({}), json!(null)]),
            )),
            1 => drop(meta.insert(
                "labels".into(),
                self.pick(&[
                    json!({"-a": "b"}),
                    json!({"a": "b c", "/": "x"}),
                    json!({"a": 5}),
                    json!([]),
                    json!({"a": null}),
                    json!({"a/b/c": "d"}),
                    json!({"A.io/b": "c"}),
                ]),
            )),
            2 => drop(meta.insert(
                "annotations".into(),
                self.pick(&[
                    json!({"n": "1"}),
                    json!({"Upper.IO/x": "é<&>"}),
                    json!({"a b": "c"}),
                    json!({"": "x"}),
                    json!(5),
                ]),
            )),
            _ => {}
        }
        match self.below(14) {
            0 => drop(meta.insert("finalizers".into(), json!(["example.com/hold"]))),
            1 => drop(meta.insert(
                "finalizers".into(),
                self.pick(&[
                    json!([]),
                    json!(null),
                    json!(["orphan"]),
                    json!(["example.com/b", "example.com/a"]),
                    json!(["example.com/hold", "example.com/hold"]),
                ]),
            )),
            2 => drop(meta.insert(
                "finalizers".into(),
                self.pick(&[
                    json!(["bad"]),
                    json!([""]),
                    json!(["a b/c"]),
                    json!("x"),
                    json!(["orphan", "foregroundDeletion"]),
                    json!([null]),
                ]),
            )),
            _ => {}
        }
        match self.below(20) {
            0 => drop(meta.insert("generation".into(), self.pick(&[json!(5), json!(-1), json!("1")]))),
            1 => drop(meta.insert(
                "creationTimestamp".into(),
                self.pick(&[
                    json!("2001-01-01T00:00:00Z"),
                    json!("x"),
                    json!(null),
                    json!("2001-01-01T00:00:00.5Z"),
                ]),
            )),
            // Not a valid one: claiming it changes `managedFields` and so the version, which is not modelled.
            2 => {
                drop(meta.insert("deletionTimestamp".into(), self.pick(&[json!(""), json!(null), json!(5)])))
            }
            3 => drop(meta.insert(
                "deletionGracePeriodSeconds".into(),
                self.pick(&[json!(0), json!(5), json!(null), json!("0")]),
            )),
            4 => drop(
                meta.insert("generateName".into(), self.pick(&[json!("gen-"), json!("Bad_"), json!("")])),
            ),
            5 => drop(meta.insert(
                "ownerReferences".into(),
                self.pick(&[
                    json!([]),
                    json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]),
                    json!([{"kind": "Pod"}]),
                    json!({}),
                ]),
            )),
            6 => drop(meta.insert("selfLink".into(), json!("/x"))),
            7 => drop(meta.insert("unknown".into(), json!([1, {"a": null}]))),
            _ => {}
        }
    }

    pub(super) fn spec(&mut self) -> Value {
        let mut spec = Map::new();
        let holders = [
            json!("a"),
            json!("b"),
            json!("a"),
            json!("c-é-\u{1f980}"),
            json!(""),
            json!(null),
            json!(5),
            json!("q\"\\<&>\u{2028}"),
        ];
        spec.insert("holderIdentity".into(), self.pick(&holders));
        if self.one_in(6) {
            spec.remove("holderIdentity");
        }
        let odd = [
            json!(0),
            json!(-5),
            json!(2_147_483_647),
            json!(2_147_483_648_u64),
            json!("15"),
            json!(1.5),
            json!(null),
            json!("@raw:-0"),
            json!("@raw:1e3"),
            json!("@raw:15.0"),
            json!(true),
            json!(-2_147_483_648_i64),
            json!("@raw:99999999999999999999"),
            json!("@raw:015"),
        ];
        for field in ["leaseDurationSeconds", "leaseTransitions"] {
            let value = if self.one_in(12) { self.pick(&odd) } else { json!(1 + self.below(3)) };
            spec.insert(field.into(), value);
        }
        for field in ["acquireTime", "renewTime"] {
            let value = if self.one_in(8) {
                self.odd_time()
            } else {
                json!(format!("2026-01-01T00:00:0{}.000000Z", self.below(3)))
            };
            spec.insert(field.into(), value);
        }
        match self.below(20) {
            0 => drop(spec.insert("nonsense".into(), json!({"a": [1]}))),
            1 => drop(spec.insert("strategy".into(), json!("OldestEmulationVersion"))),
            2 => drop(spec.insert("HolderIdentity".into(), json!("upper"))),
            _ => {}
        }
        Value::Object(spec)
    }

    fn odd_time(&mut self) -> Value {
        const TIMES: [&str; 42] = [
            "",
            "yesterday",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.123Z",
            "2026-01-01T00:00:00.123456789Z",
            "2026-01-01T02:00:00.123456+02:00",
            "2026-01-01T00:00:00.123456-00:30",
            "10000-01-01T00:00:00.000000Z",
            "9999-12-31T23:59:59.999999Z",
            "9999-12-31T23:59:59.999999-01:00",
            "0001-01-01T00:00:00.000000Z",
            "0000-01-01T00:00:00.000000Z",
            "0000-01-01T00:00:00.000000+01:00",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.000000Z",
            "1900-02-28T00:00:00.000000Z",
            "1900-02-29T00:00:00.000000Z",
            "2024-02-29T00:00:00.000000Z",
            "2023-02-29T00:00:00.000000Z",
            "2026-13-01T00:00:00.000000Z",
            "2026-00-01T00:00:00.000000Z",
            "2026-01-00T00:00:00.000000Z",
            "2026-04-31T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z",
            "2026-01-01T23:60:00.000000Z",
            "2026-01-01T23:59:60.000000Z",
            "2026-01-01t00:00:00.000000Z",
            "2026-01-01T00:00:00.000000z",
            "2026-01-01 00:00:00.000000Z",
            "2026-01-01T1:00:00.000000Z",
            "2026-1-01T00:00:00.000000Z",
            "2026-01-01T00:00:00,000001Z",
            "2026-01-01T00:00:00.+00001Z",
            "2026-01-01T00:00:00.-00001Z",
            "2026-01-01T00:00:00.000000+25:00",
            "2026-01-01T00:00:00.000000+00:99",
            "2026-01-01T00:00:00.000000+0000",
            "2026-01-01T00:00:00.000000+00-00",
            "2026-01-01T00:00:00.000000*00:00",
            "2026-01-01T00:00:00.000000",
            "2026-01-01T00:00:00.000000Z ",
            "-026-01-01T00:00:00.000000Z",
        ];
        match self.below(12) {
            0 => Value::Null,
            1 => json!(5),
            _ => json!(TIMES[self.below(TIMES.len())]),
        }
    }
}
