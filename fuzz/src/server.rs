//! As much of an API server as one lease needs: compare-and-set on UID and resource version.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::script::Edit;

/// Where our annotations are.
pub const NONCE: &str = "lease-core.rs/nonce";
const QUARANTINE: &str = "lease-core.rs/quarantine";

/// The one object, if it exists.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// As stored.
    pub object: Option<Value>,
    version: u64,
    made: u64,
}

impl Server {
    /// Does what a request asks for; the status and the body of the answer.
    pub fn serve(&mut self, request: &Request<Bytes>) -> (u16, Value) {
        match *request.method() {
            Method::GET => self.object.clone().map_or_else(|| (404, absent()), |object| (200, object)),
            Method::POST => self.create(parse(request)),
            Method::PUT => self.update(parse(request)),
            _ => self.delete(&parse(request)),
        }
    }

    fn next_version(&mut self) -> Value {
        self.version += 1;
        json!(self.version.to_string())
    }

    fn create(&mut self, mut object: Value) -> (u16, Value) {
        if self.object.is_some() {
            return (409, status(409, "AlreadyExists", named()));
        }
        self.made += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.made));
        object["metadata"]["resourceVersion"] = self.next_version();
        self.object = Some(object.clone());
        (201, object)
    }

    fn update(&mut self, mut object: Value) -> (u16, Value) {
        let same = |key: &str| {
            let stored = self.object.as_ref().map(|stored| &stored["metadata"][key]);
            stored == Some(&object["metadata"][key])
        };
        if !same("uid") || !same("resourceVersion") {
            return (409, status(409, "Conflict", named()));
        }
        // What changes nothing keeps the version.
        if self.object.as_ref() != Some(&object) {
            object["metadata"]["resourceVersion"] = self.next_version();
            self.object = Some(object.clone());
        }
        (200, object)
    }

    fn delete(&mut self, options: &Value) -> (u16, Value) {
        let Some(object) = &mut self.object else {
            return (404, absent());
        };
        let wanted = &options["preconditions"];
        if ["uid", "resourceVersion"].iter().any(|key| wanted[key] != object["metadata"][key]) {
            return (409, status(409, "Conflict", named()));
        }
        if object["metadata"]["finalizers"].is_array() {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            return (200, object.clone());
        }
        self.object = None;
        (200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
    }

    /// Somebody else changes the object; `now` is the wall clock in RFC 3339.
    pub fn edit(&mut self, edit: Edit, time: impl Fn(i64) -> String) {
        match edit {
            Edit::Delete => self.object = None,
            Edit::Restore(version) => self.version = u64::from(version),
            Edit::Foreign { .. } if self.object.is_none() => {
                self.made += 1;
                self.object = Some(json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {},
                    "metadata": {"name": "job", "namespace": "default", "uid": format!("uid-{}", self.made)},
                }));
                self.edit(edit, time);
            }
            _ => {
                let version = self.next_version();
                if let Some(object) = &mut self.object {
                    object["metadata"]["resourceVersion"] = version;
                    apply(object, edit, time);
                }
            }
        }
    }
}

/// Changes an object.
pub fn apply(object: &mut Value, edit: Edit, time: impl Fn(i64) -> String) {
    const FIELDS: [&str; 5] =
        ["holderIdentity", "acquireTime", "renewTime", "leaseDurationSeconds", "leaseTransitions"];
    match edit {
        Edit::Delete | Edit::Restore(_) => {}
        Edit::Foreign { renewed, duration } => {
            object["spec"]["holderIdentity"] = json!("b");
            object["spec"]["renewTime"] = json!(time(i64::from(renewed)));
            object["spec"]["leaseDurationSeconds"] = json!(duration);
        }
        Edit::Twin => {
            object["spec"]["holderIdentity"] = json!("a");
            object["metadata"]["annotations"][NONCE] = json!("000000000000000000000000000000ff a");
            object["spec"]["renewTime"] = json!(time(0));
        }
        Edit::Clear => object["spec"]["holderIdentity"] = json!(""),
        Edit::Label => object["metadata"]["labels"] = json!({"edited": "yes"}),
        Edit::Strip => object["metadata"]["annotations"] = Value::Null,
        Edit::Quarantine(true) => object["metadata"]["annotations"][QUARANTINE] = json!("true"),
        Edit::Quarantine(false) => {
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.remove(QUARANTINE);
            }
        }
        Edit::Terminate => {
            object["metadata"]["finalizers"] = json!(["example.com/hold"]);
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Edit::Odd { field, value } => {
            let odd = [
                Value::Null,
                json!(-1),
                json!(i64::MAX),
                json!(1.5),
                json!("9999-12-31T23:59:59.999999Z"),
                json!("15"),
                json!({}),
                json!([[]]),
            ];
            let field = FIELDS[usize::from(field) % FIELDS.len()];
            object["spec"][field] = odd[usize::from(value) % odd.len()].clone();
        }
        Edit::Unordered => object["metadata"]["resourceVersion"] = json!("7-beta"),
        Edit::NoUid => object["metadata"]["uid"] = json!(""),
    }
}

fn parse(request: &Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).expect("what the machine writes is JSON")
}

fn named() -> Value {
    json!({"name": "job", "group": "coordination.k8s.io", "kind": "leases"})
}

/// There is no such lease.
pub fn absent() -> Value {
    status(404, "NotFound", named())
}

/// A `Status` that tells of a failure.
pub fn status(code: u16, reason: &str, details: Value) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "details": details, "code": code,
    })
}

/// A response with a body.
pub fn response(code: u16, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::OK);
    response
}
