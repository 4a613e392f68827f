//! Writing a Lease as the API server writes it: fields in Go's order, maps sorted.

use super::object::{LeaseObject, LeaseSpec, ObjectMeta};
use super::time::{self, Layout, UnixMicros};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What every Lease that stands alone begins with; list items lack it.
pub(crate) const LEASE_PREFIX: &[u8] = br#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","#;

/// Who wrote an object, and when: the little of `managedFields` that is modelled.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) time: UnixMicros,
}

/// The JSON of a Lease with its kind, and a newline at the end.
pub(crate) fn lease(object: &LeaseObject, resource_version: u64, manager: Option<&Manager>) -> Bytes {
    // More than a Lease of one holder takes, so that it is not moved while it grows.
    let mut out = Vec::with_capacity(if manager.is_some() { 1_024 } else { 704 });
    out.extend_from_slice(LEASE_PREFIX);
    out.extend_from_slice(b"\"metadata\":");
    metadata(&mut out, object, resource_version, manager);
    out.extend_from_slice(b",\"spec\":");
    spec(&mut out, &object.spec);
    out.extend_from_slice(b"}\n");
    Bytes::from(out)
}

/// Appends a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    // Without an early end the compiler looks at many bytes at a time.
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to a vector cannot fail, and a string is always valid JSON.
        let _ = serde_json::to_writer(out, text);
    }
}

fn number(out: &mut Vec<u8>, value: impl Into<i128>) {
    // An i128 of this size always serialises.
    let _ = serde_json::to_writer(out, &(value.into() as i64));
}

/// Writes `{`, then fields with commas between them, then `}`.
struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> ObjectWriter<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            string(self.key(key), value);
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends `metadata`.
pub(crate) fn metadata(
    out: &mut Vec<u8>,
    object: &LeaseObject,
    resource_version: u64,
    manager: Option<&Manager>,
) {
    let meta = &object.meta;
    let mut writer = ObjectWriter::new(out);
    writer.text("name", &meta.name);
    writer.text("generateName", &meta.generate_name);
    writer.text("namespace", &meta.namespace);
    writer.text("uid", &meta.uid);
    if resource_version != 0 {
        let out = writer.key("resourceVersion");
        out.push(b'"');
        number(out, resource_version);
        out.push(b'"');
    }
    if meta.generation != 0 {
        number(writer.key("generation"), meta.generation);
    }
    let creation = writer.key("creationTimestamp");
    time::write_json(creation, meta.creation_timestamp.unwrap_or(time::GO_ZERO), Layout::Seconds);
    if let Some(deletion) = meta.deletion_timestamp {
        time::write_json(writer.key("deletionTimestamp"), deletion, Layout::Seconds);
    }
    if let Some(seconds) = meta.deletion_grace_period_seconds {
        number(writer.key("deletionGracePeriodSeconds"), seconds);
    }
    lists_and_maps(&mut writer, meta);
    if let Some(manager) = manager.filter(|_| owns_anything(object)) {
        managed_fields(writer.key("managedFields"), object, manager);
    }
    writer.end();
}

fn string_map(out: &mut Vec<u8>, map: &BTreeMap<String, String>) {
    let mut separator = b'{';
    for (key, value) in map {
        out.push(separator);
        string(out, key);
        out.push(b':');
        string(out, value);
        separator = b',';
    }
    out.push(b'}');
}

fn lists_and_maps(writer: &mut ObjectWriter<'_>, meta: &ObjectMeta) {
    if !meta.labels.is_empty() {
        string_map(writer.key("labels"), &meta.labels);
    }
    if !meta.annotations.is_empty() {
        string_map(writer.key("annotations"), &meta.annotations);
    }
    // Serialising values that were parsed from JSON into a vector cannot fail.
    if !meta.owner_references.is_empty() {
        let _ = serde_json::to_writer(writer.key("ownerReferences"), &meta.owner_references);
    }
    if !meta.finalizers.is_empty() {
        let _ = serde_json::to_writer(writer.key("finalizers"), &meta.finalizers);
    }
}

fn spec(out: &mut Vec<u8>, spec: &LeaseSpec) {
    let mut writer = ObjectWriter::new(out);
    if let Some(holder) = &spec.holder_identity {
        string(writer.key("holderIdentity"), holder);
    }
    if let Some(seconds) = spec.lease_duration_seconds {
        number(writer.key("leaseDurationSeconds"), seconds);
    }
    if let Some(time) = spec.acquire_time {
        time::write_json(writer.key("acquireTime"), time, Layout::Micros);
    }
    if let Some(time) = spec.renew_time {
        time::write_json(writer.key("renewTime"), time, Layout::Micros);
    }
    if let Some(transitions) = spec.lease_transitions {
        number(writer.key("leaseTransitions"), transitions);
    }
    writer.end();
}

fn owns_metadata(meta: &ObjectMeta) -> bool {
    !(meta.labels.is_empty() && meta.annotations.is_empty() && meta.finalizers.is_empty())
}

fn owns_anything(object: &LeaseObject) -> bool {
    object.spec != LeaseSpec::default() || owns_metadata(&object.meta)
}

/// One entry that owns every field that is set. Who owned what before is not modelled.
fn managed_fields(out: &mut Vec<u8>, object: &LeaseObject, manager: &Manager) {
    out.extend_from_slice(b"[{\"manager\":");
    string(out, &manager.name);
    out.extend_from_slice(b",\"operation\":\"Update\",\"apiVersion\":\"coordination.k8s.io/v1\",\"time\":");
    time::write_json(out, manager.time, Layout::Seconds);
    out.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
    let mut fields = ObjectWriter::new(out);
    if owns_metadata(&object.meta) {
        let mut meta = ObjectWriter::new(fields.key("f:metadata"));
        owned_keys(&mut meta, "f:annotations", object.meta.annotations.keys(), "f:");
        let finalizers: Vec<String> =
            object.meta.finalizers.iter().map(|name| format!("\"{name}\"")).collect();
        owned_keys(&mut meta, "f:finalizers", finalizers.iter(), "v:");
        owned_keys(&mut meta, "f:labels", object.meta.labels.keys(), "f:");
        meta.end();
    }
    let spec = &object.spec;
    if *spec != LeaseSpec::default() {
        let mut owned = ObjectWriter::new(fields.key("f:spec"));
        let present = [
            ("f:acquireTime", spec.acquire_time.is_some()),
            ("f:holderIdentity", spec.holder_identity.is_some()),
            ("f:leaseDurationSeconds", spec.lease_duration_seconds.is_some()),
            ("f:leaseTransitions", spec.lease_transitions.is_some()),
            ("f:renewTime", spec.renew_time.is_some()),
        ];
        for (key, _) in present.into_iter().filter(|(_, set)| *set) {
            owned.key(key).extend_from_slice(b"{}");
        }
        owned.end();
    }
    fields.end();
    out.extend_from_slice(b"}]");
}

fn owned_keys<'k>(
    writer: &mut ObjectWriter<'_>,
    field: &str,
    keys: impl ExactSizeIterator<Item = &'k String>,
    prefix: &str,
) {
    if keys.len() == 0 {
        return;
    }
    let out = writer.key(field);
    out.extend_from_slice(b"{\".\":{}");
    for key in keys {
        out.push(b',');
        string(out, &format!("{prefix}{key}"));
        out.extend_from_slice(b":{}");
    }
    out.push(b'}');
}
