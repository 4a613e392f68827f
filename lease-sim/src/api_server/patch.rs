//! PATCH: merge patches, and of server-side apply as much as fits.

use super::leases::parse_version;
use super::object::{self, LeaseBody, LeaseObject};
use super::status::{Cause, Details, Failure, FieldError, LEASES, Refusal};
use super::{ApiServer, Call, Reply};
use http::StatusCode;
use serde_json::{Map, Value};

const UNKNOWN_FORMAT: &str = "the body of the request was in an unknown format - accepted media types \
include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

impl ApiServer {
    pub(super) fn patch(&mut self, call: &Call<'_>, namespace: &str, name: &str) -> Result<Reply, Refusal> {
        let content_type = call.content_type();
        let apply = match &*content_type {
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => false,
            "application/apply-patch+yaml" => true,
            _ => {
                let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Err(Failure::plain(code, "UnsupportedMediaType", UNKNOWN_FORMAT));
            }
        };
        if apply && call.query.field_manager.is_empty() {
            let error = FieldError {
                field: "fieldManager".to_owned(),
                kind: super::status::Mistake::Required,
                value: String::new(),
                detail: "is required for apply patch".to_owned(),
            };
            return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", vec![error]));
        }
        let unreadable = |_| Failure::internal("Invalid JSON Patch");
        let Some(existing) = self.stored(namespace, name) else {
            // Only an apply makes what is not there, so only then the body matters.
            if !apply {
                return Err(Failure::not_found(LEASES, name));
            }
            let patch: Value = serde_json::from_slice(call.body).map_err(unreadable)?;
            return self.apply_new(call, &patch, namespace, name);
        };
        let patch: Value = serde_json::from_slice(call.body).map_err(unreadable)?;
        let (json, revision, manager) =
            (existing.json.clone(), existing.revision, existing.manager.name.clone());
        let mut object: Value =
            serde_json::from_slice(&json).map_err(|error| Failure::internal(error.to_string()))?;
        if apply && !call.query.force {
            check_conflicts(&object, &patch, &manager)?;
        }
        let strategic = content_type.contains("strategic") || apply;
        let finalizers = strategic.then(|| merged_finalizers(&object, &patch));
        merge(&mut object, &patch);
        if let (Some(finalizers), Some(meta)) =
            (finalizers, object.get_mut("metadata").and_then(Value::as_object_mut))
        {
            meta.insert("finalizers".to_owned(), finalizers);
        }
        let lease = decode(&object)?;
        self.admit(call.now, namespace, name, false)?;
        let version = match parse_version(&lease.meta.resource_version).map_err(Failure::internal)? {
            // A patch that takes the version away patches whatever is there.
            0 => revision,
            version => version,
        };
        self.replace(call, lease, version, namespace, name)
    }

    /// An apply to a name that is free creates the object.
    fn apply_new(
        &mut self,
        call: &Call<'_>,
        patch: &Value,
        namespace: &str,
        name: &str,
    ) -> Result<Reply, Refusal> {
        let lease = decode(patch)?;
        if !lease.meta.uid.is_empty() {
            let why = "uid mismatch: the provided object specified uid, and no existing object was found";
            return Err(Failure::conflict(LEASES, name, why));
        }
        self.admit(call.now, namespace, name, true)?;
        self.create_by_update(call, lease, namespace, name)
    }
}

fn decode(object: &Value) -> Result<LeaseObject, Refusal> {
    let text = object.to_string();
    object::read::<LeaseBody>(text.as_bytes()).map(|body| body.lease).map_err(|error| {
        let error = FieldError::invalid("patch", text.clone(), error.to_string());
        let mut failure = Failure::invalid("", "", "", vec![error]);
        failure.message = failure.message.trim_start().to_owned();
        failure
    })
}

/// RFC 7386, but `null` elements of lists are dropped: the real server's library does so.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = match patch {
            Value::Array(elements) => elements.iter().filter(|element| !element.is_null()).cloned().collect(),
            other => other.clone(),
        };
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.as_str()).or_insert(Value::Null), value);
        }
    }
}

/// A strategic merge adds to the list of finalizers, and takes out what a directive names.
fn merged_finalizers(object: &Value, patch: &Value) -> Value {
    let list = |value: &Value, key: &str| -> Vec<Value> {
        value
            .get("metadata")
            .and_then(|meta| meta.get(key))
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let removed = list(patch, "$deleteFromPrimitiveList/finalizers");
    let mut finalizers = list(object, "finalizers");
    for added in list(patch, "finalizers") {
        if !finalizers.contains(&added) {
            finalizers.push(added);
        }
    }
    finalizers.retain(|name| !removed.contains(name));
    Value::Array(finalizers)
}

/// Every field of `spec` that an apply would change belongs to the one manager of the object.
fn check_conflicts(object: &Value, patch: &Value, manager: &str) -> Result<(), Refusal> {
    let empty = Map::new();
    let fields = |value: &Value| value.get("spec").and_then(Value::as_object).cloned();
    let (old, new) = (fields(object).unwrap_or_default(), fields(patch));
    let who = format!("conflict with \"{manager}\" using coordination.k8s.io/v1");
    let causes: Vec<Cause> = new
        .as_ref()
        .unwrap_or(&empty)
        .iter()
        .filter(|(key, value)| old.get(*key).is_some_and(|old| old != *value))
        .map(|(key, _)| Cause {
            reason: "FieldManagerConflict",
            message: who.clone(),
            field: format!(".spec.{key}"),
        })
        .collect();
    let message = match causes.as_slice() {
        [] => return Ok(()),
        [one] => format!("Apply failed with 1 conflict: {who}: {}", one.field),
        many => {
            let lines: Vec<String> = many.iter().map(|cause| format!("- {}", cause.field)).collect();
            format!("Apply failed with {} conflicts: {who}:\n{}", many.len(), lines.join("\n"))
        }
    };
    let mut failure = Failure::plain(StatusCode::CONFLICT, "Conflict", message);
    failure.details = Some(Details { causes, ..Details::default() });
    Err(failure)
}
