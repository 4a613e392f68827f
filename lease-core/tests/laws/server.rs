//! The Lease part of an API server, in memory: one object, compare-and-set, preconditions.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{absent, conflict, deleted, status};

/// Where the mark of the writer is kept.
pub(crate) const NONCE: &str = "lease-core.rs/nonce";

/// What changed the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Nothing was written.
    Nothing,
    /// The object that is there now was written by this request.
    Written,
    /// This object was there before and is gone, or marked as going.
    Deleted(Box<Value>),
}

/// An answer, and what it did.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) commit: Commit,
}

/// One namespace with at most one Lease in it, and the revision that grows with every write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) object: Option<Value>,
    pub(crate) revision: u64,
    pub(crate) objects: u64,
    /// Whether objects are made with a finalizer, which keeps them when they are deleted.
    pub(crate) finalizers: bool,
    /// What watches tell: the revision, the type, and the object.
    pub(crate) history: Vec<(u64, &'static str, Value)>,
}

impl Server {
    pub(crate) fn serve(&mut self, request: &Request<Bytes>) -> Served {
        let sent = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        match *request.method() {
            Method::GET => match &self.object {
                Some(object) => answer(200, object.clone()),
                None => answer(404, absent()),
            },
            Method::POST => self.create(sent),
            Method::PUT => self.update(sent),
            Method::DELETE => self.delete(&sent),
            _ => answer(405, status(405, "MethodNotAllowed", json!({}))),
        }
    }

    fn create(&mut self, mut sent: Value) -> Served {
        if !text(&sent, "/metadata/resourceVersion").is_empty() {
            return answer(500, status(500, "InternalError", json!({})));
        }
        if self.object.is_some() {
            return answer(409, conflict());
        }
        self.objects += 1;
        let uid = format!("00000000-0000-4000-8000-{:012}", self.objects);
        sent["metadata"]["uid"] = json!(uid);
        if self.finalizers {
            sent["metadata"]["finalizers"] = json!(["example.com/keep"]);
        }
        self.store(sent, 201)
    }

    fn update(&mut self, mut sent: Value) -> Served {
        let uid = text(&sent, "/metadata/uid").to_owned();
        let Some(stored) = &self.object else {
            // The trap: without a UID an update of a missing object creates it.
            if !uid.is_empty() {
                return answer(409, conflict());
            }
            sent["metadata"]["resourceVersion"] = Value::Null;
            return self.create(sent);
        };
        let version = text(&sent, "/metadata/resourceVersion");
        if version.is_empty() {
            return answer(422, status(422, "Invalid", json!({})));
        }
        if version != text(stored, "/metadata/resourceVersion")
            || (!uid.is_empty() && uid != text(stored, "/metadata/uid"))
        {
            return answer(409, conflict());
        }
        // Another trap: an update that changes nothing succeeds and keeps the resource version.
        if *stored == sent {
            return answer(200, sent);
        }
        self.store(sent, 200)
    }

    fn delete(&mut self, options: &Value) -> Served {
        let Some(stored) = self.object.take() else {
            return answer(404, absent());
        };
        for key in ["uid", "resourceVersion"] {
            let wanted = text(options, &format!("/preconditions/{key}"));
            if !wanted.is_empty() && wanted != text(&stored, &format!("/metadata/{key}")) {
                self.object = Some(stored);
                return answer(409, conflict());
            }
        }
        self.revision += 1;
        let commit = Commit::Deleted(Box::new(stored.clone()));
        if stored["metadata"]["finalizers"].is_null() {
            self.tell_end(stored);
            return Served { status: 200, body: deleted(), commit };
        }
        let mut going = stored;
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        going["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.object = Some(going.clone());
        self.history.push((self.revision, "MODIFIED", going.clone()));
        Served { status: 200, body: going, commit }
    }

    fn store(&mut self, mut object: Value, status: u16) -> Served {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.object = Some(object.clone());
        let kind = if status == 201 { "ADDED" } else { "MODIFIED" };
        self.history.push((self.revision, kind, object.clone()));
        Served { status, body: object, commit: Commit::Written }
    }

    /// Old servers tell the end with the last version, others with that of the end.
    fn tell_end(&mut self, mut gone: Value) {
        if self.revision.is_multiple_of(2) {
            gone["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        }
        self.history.push((self.revision, "DELETED", gone));
    }

    /// Somebody edits the object behind everybody's back.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        if let Some(mut object) = self.object.take() {
            change(&mut object);
            self.store(object, 200);
        }
    }

    /// Somebody makes an object with kubectl, blank or from a copy of another one.
    pub(crate) fn make(&mut self, copy: Option<Value>) {
        let mut object = copy.unwrap_or_else(|| {
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "job", "namespace": "default"},
            })
        });
        for of_the_other in ["resourceVersion", "uid", "deletionTimestamp", "finalizers"] {
            object["metadata"][of_the_other] = Value::Null;
        }
        self.create(object);
    }

    /// The object goes at once, finalizers or not.
    pub(crate) fn remove(&mut self) {
        self.revision += 1;
        if let Some(gone) = self.object.take() {
            self.tell_end(gone);
        }
    }
}

fn answer(status: u16, body: Value) -> Served {
    Served { status, body, commit: Commit::Nothing }
}

/// The string at a JSON pointer; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// Who wrote the object last, if the annotation still says so.
pub(crate) fn writer(object: &Value) -> &str {
    object["metadata"]["annotations"][NONCE].as_str().and_then(|mark| mark.split(' ').next()).unwrap_or("")
}
