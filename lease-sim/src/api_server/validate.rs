//! Validation of Leases with the API server's rules, order and words.

use super::object::{LeaseObject, LeaseSpec, ObjectMeta};
use super::status::{FieldError, Mistake};
use super::time::{self, Layout, UnixMicros};
use serde_json::Value;
use std::borrow::Cow;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
'-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or \
'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// What is wrong with a Lease that is to be created.
pub(crate) fn create(lease: &LeaseObject) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata(&lease.meta, true, &mut errors);
    spec(&lease.spec, &mut errors);
    errors
}

/// What is wrong with a Lease that is to replace `old`.
///
/// The server runs the common checks twice; so does this, since each finding is one more cause.
pub(crate) fn update(lease: &LeaseObject, old: &LeaseObject) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata(&lease.meta, false, &mut errors);
    metadata_update(&lease.meta, &old.meta, &mut errors);
    if !errors.is_empty() {
        metadata_update(&lease.meta, &old.meta, &mut errors);
    }
    spec(&lease.spec, &mut errors);
    errors
}

fn quoted(text: &str) -> String {
    // A string always serialises; Go's %q and JSON agree on what names are made of.
    serde_json::to_string(text).unwrap_or_default()
}

/// `strict` is the Lease's own rule for names; the common one only refuses what a path cannot carry.
fn metadata(meta: &ObjectMeta, strict: bool, errors: &mut Vec<FieldError>) {
    if !meta.generate_name.is_empty() && strict {
        let masked = mask_trailing_dash(&meta.generate_name);
        for message in subdomain(&masked) {
            errors.push(FieldError::invalid("metadata.generateName", quoted(&meta.generate_name), message));
        }
    }
    if meta.name.is_empty() {
        errors.push(FieldError {
            field: "metadata.name".to_owned(),
            kind: Mistake::Required,
            value: String::new(),
            detail: "name or generateName is required".to_owned(),
        });
    } else if strict {
        for message in subdomain(&meta.name) {
            errors.push(FieldError::invalid("metadata.name", quoted(&meta.name), message));
        }
    }
    for message in label_name(&meta.namespace) {
        errors.push(FieldError::invalid("metadata.namespace", quoted(&meta.namespace), message));
    }
    if meta.generation < 0 {
        errors.push(FieldError::invalid(
            "metadata.generation",
            meta.generation.to_string(),
            "must be greater than or equal to 0",
        ));
    }
    maps_and_owners(meta, errors);
    finalizers(meta, errors);
}

fn maps_and_owners(meta: &ObjectMeta, errors: &mut Vec<FieldError>) {
    for (key, value) in &meta.labels {
        for message in qualified_name(key) {
            errors.push(FieldError::invalid("metadata.labels", quoted(key), message));
        }
        for message in label_value(value) {
            errors.push(FieldError::invalid("metadata.labels", quoted(value), message));
        }
    }
    let mut size = 0;
    for (key, value) in &meta.annotations {
        let lower = if key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
            Cow::Borrowed(key.as_str())
        } else {
            Cow::Owned(key.to_lowercase())
        };
        for message in qualified_name(&lower) {
            errors.push(FieldError::invalid("metadata.annotations", quoted(key), message));
        }
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError {
            field: "metadata.annotations".to_owned(),
            kind: Mistake::TooLong,
            value: String::new(),
            detail: format!("must have at most {MAX_ANNOTATIONS} bytes"),
        });
    }
    for owner in &meta.owner_references {
        for (key, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "kind must not be empty"),
            ("name", "name must not be empty"),
            ("uid", "uid must not be empty"),
        ] {
            if owner.get(key).and_then(Value::as_str).unwrap_or_default().is_empty() {
                let field = format!("metadata.ownerReferences.{key}");
                errors.push(FieldError::invalid(field, "\"\"", detail));
            }
        }
    }
}

fn finalizers(meta: &ObjectMeta, errors: &mut Vec<FieldError>) {
    for name in &meta.finalizers {
        for message in qualified_name(name) {
            errors.push(FieldError::invalid("metadata.finalizers", quoted(name), message));
        }
    }
    let has = |wanted: &str| meta.finalizers.iter().any(|name| name == wanted);
    if has("orphan") && has("foregroundDeletion") {
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            format!("{:?}", meta.finalizers),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

fn metadata_update(meta: &ObjectMeta, old: &ObjectMeta, errors: &mut Vec<FieldError>) {
    // `metadata` has looked at the maps and found nothing.
    let fine_already = errors.is_empty();
    if old.deletion_timestamp.is_some() {
        let added: Vec<&String> =
            meta.finalizers.iter().filter(|name| !old.finalizers.contains(name)).collect();
        if !added.is_empty() {
            errors.push(FieldError {
                field: "metadata.finalizers".to_owned(),
                kind: Mistake::Forbidden,
                value: String::new(),
                detail: format!(
                    "no new finalizers can be added if the object is being deleted, \
                     found new finalizers {added:?}"
                ),
            });
        }
    }
    let mut immutable = |field: &str, same: bool, value: &dyn Fn() -> String| {
        if !same {
            errors.push(FieldError::invalid(format!("metadata.{field}"), value(), "field is immutable"));
        }
    };
    immutable("name", meta.name == old.name, &|| quoted(&meta.name));
    immutable("namespace", meta.namespace == old.namespace, &|| quoted(&meta.namespace));
    immutable("uid", meta.uid == old.uid, &|| quoted(&meta.uid));
    immutable(
        "deletionTimestamp",
        meta.deletion_timestamp.map(UnixMicros::seconds) == old.deletion_timestamp.map(UnixMicros::seconds),
        &|| optional_time(meta.deletion_timestamp),
    );
    immutable(
        "deletionGracePeriodSeconds",
        meta.deletion_grace_period_seconds == old.deletion_grace_period_seconds,
        &|| meta.deletion_grace_period_seconds.map_or("null".to_owned(), |seconds| seconds.to_string()),
    );
    if !fine_already {
        maps_and_owners(meta, errors);
    }
}

fn optional_time(time: Option<UnixMicros>) -> String {
    let mut out = Vec::new();
    time::write_json(&mut out, time.unwrap_or(time::GO_ZERO), Layout::Seconds);
    String::from_utf8_lossy(&out).into_owned()
}

fn spec(spec: &LeaseSpec, errors: &mut Vec<FieldError>) {
    if let Some(seconds) = spec.lease_duration_seconds.filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            seconds.to_string(),
            "must be greater than 0",
        ));
    }
    if let Some(transitions) = spec.lease_transitions.filter(|transitions| *transitions < 0) {
        // The grammar is the real server's.
        errors.push(FieldError::invalid(
            "spec.leaseTransitions",
            transitions.to_string(),
            "must to greater or equal than 0",
        ));
    }
}

fn mask_trailing_dash(name: &str) -> String {
    name.strip_suffix('-').map_or_else(|| name.to_owned(), |stem| format!("{stem}a"))
}

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if allowed(*first) && allowed(*last))
        && bytes.iter().all(|byte| allowed(*byte) || *byte == b'-')
}

/// What is wrong with a DNS-1123 subdomain; nothing if it is one.
pub(crate) fn subdomain(name: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if name.len() > 253 {
        messages.push("must be no more than 253 characters".to_owned());
    }
    if !name.split('.').all(is_label) {
        messages.push(SUBDOMAIN.to_owned());
    }
    messages
}

/// What is wrong with a DNS-1123 label; nothing if it is one.
pub(crate) fn label_name(name: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if name.len() > 63 {
        messages.push("must be no more than 63 characters".to_owned());
    }
    if !is_label(name) {
        messages.push(LABEL.to_owned());
    }
    messages
}

fn is_qualified_part(part: &str) -> bool {
    let bytes = part.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last))
        if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn qualified_name(key: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut parts = key.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, None) => name,
        (Some(""), Some(name), None) => {
            messages.push("prefix part must be non-empty".to_owned());
            name
        }
        (Some(prefix), Some(name), None) => {
            messages.extend(subdomain(prefix).into_iter().map(|message| format!("prefix part {message}")));
            name
        }
        _ => {
            return vec![format!(
                "a qualified name {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        messages.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_qualified_part(name) {
        messages.push(format!("name part {QUALIFIED}"));
    }
    messages
}

fn label_value(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > 63 {
        messages.push("must be no more than 63 characters".to_owned());
    }
    if !value.is_empty() && !is_qualified_part(value) {
        messages.push(LABEL_VALUE.to_owned());
    }
    messages
}
