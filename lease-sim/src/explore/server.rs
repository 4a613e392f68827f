//! The least API server that keeps a Lease: one object, compare-and-set, preconditions, real JSON.
//!
//! The model in [`crate::api_server`] knows far more, and costs far more per request and per copy: a search
//! serves millions of them.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use serde::Deserialize;

use super::Hostility;
use crate::api_server::time::{Layout, parse};

const ABSENT: &[u8] = br#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"details":{"name":"job","group":"coordination.k8s.io","kind":"leases"}}"#;
const CONFLICT: &[u8] =
    br#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409}"#;
const INVALID: &[u8] =
    br#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}"#;
const DELETED: &[u8] = br#"{"kind":"Status","apiVersion":"v1","status":"Success"}"#;

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) holder: Option<Box<str>>,
    /// Of the incarnation that wrote it.
    pub(super) nonce: Option<u128>,
    pub(super) acquired: Option<i64>,
    pub(super) renewed: Option<i64>,
    pub(super) quarantined: bool,
    /// Whether the quarantine of this very object is over, by the word of somebody who has waited for it.
    pub(super) settled: bool,
    pub(super) duration: i64,
    pub(super) transitions: i64,
}

/// The object as stored.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) uid: u64,
    pub(super) version: u64,
    pub(super) spec: Spec,
    texts: Texts,
    json: Bytes,
}

/// A request, read once and served at most once.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uid: Option<u64>,
    pub(super) version: Option<u64>,
    /// What a POST or PUT writes.
    pub(super) spec: Option<Spec>,
    texts: Texts,
}

/// The parts of a body that are stored as they came.
#[derive(Clone, Debug, Default)]
struct Texts {
    annotations: String,
    spec: String,
}

/// What the server says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// The object in the body, if it is one.
    pub(super) object: Option<Arc<Object>>,
}

/// One namespace with at most one Lease in it, and the revision that grows with every write.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    pub(super) object: Option<Arc<Object>>,
    revision: u64,
    objects: u64,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    spec: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    preconditions: Option<Preconditions<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    uid: Option<&'a str>,
    resource_version: Option<&'a str>,
    #[serde(borrow)]
    annotations: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions<'a> {
    uid: Option<&'a str>,
    resource_version: Option<&'a str>,
}

#[derive(Default, Deserialize)]
struct Annotations<'a> {
    #[serde(borrow, rename = "lease-core.rs/nonce")]
    nonce: Option<&'a str>,
    #[serde(borrow, rename = "lease-core.rs/quarantine")]
    quarantine: Option<&'a str>,
    #[serde(borrow, rename = "lease-core.rs/settled")]
    settled: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecBody<'a> {
    holder_identity: Option<&'a str>,
    acquire_time: Option<&'a str>,
    renew_time: Option<&'a str>,
    #[serde(default)]
    lease_duration_seconds: i64,
    #[serde(default)]
    lease_transitions: i64,
}

impl Call {
    /// `None` when the body is not what the server can read, which no holder should ever send.
    pub(super) fn read(request: &Request<Bytes>) -> Option<Self> {
        let method = request.method().clone();
        if request.body().is_empty() {
            return Some(Self { method, uid: None, version: None, spec: None, texts: Texts::default() });
        }
        let body: Body<'_> = serde_json::from_slice(request.body()).ok()?;
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        if let Some(wanted) = body.preconditions {
            let (uid, version) = (number(wanted.uid), number(wanted.resource_version));
            return Some(Self { method, uid, version, spec: None, texts: Texts::default() });
        }
        if method == Method::DELETE {
            return Some(Self { method, uid: None, version: None, spec: None, texts: Texts::default() });
        }
        let metadata = body.metadata?;
        let texts = Texts {
            annotations: metadata.annotations.map_or("{}", |raw| raw.get()).to_owned(),
            spec: body.spec?.get().to_owned(),
        };
        let (uid, version) = (number(metadata.uid), number(metadata.resource_version));
        let spec = Some(Spec::read(&texts, uid)?);
        Some(Self { method, uid, version, spec, texts })
    }

    /// Whether it names the one state that it may change.
    pub(super) fn is_conditional(&self) -> bool {
        self.uid.is_some() && self.version.is_some()
    }

    pub(super) fn writes(&self) -> bool {
        self.method != Method::GET
    }
}

impl Spec {
    /// What an object with this UID says.
    fn read(texts: &Texts, uid: Option<u64>) -> Option<Self> {
        let annotations: Annotations<'_> = serde_json::from_str(&texts.annotations).ok()?;
        let spec: SpecBody<'_> = serde_json::from_str(&texts.spec).ok()?;
        let time = |text: Option<&str>| parse(text?, Layout::Micros).map(|time| time.0);
        let mark = annotations.nonce.and_then(|mark| mark.split_once(' '));
        Some(Self {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()).map(Into::into),
            nonce: mark.and_then(|(nonce, _)| u128::from_str_radix(nonce, 16).ok()),
            acquired: time(spec.acquire_time),
            renewed: time(spec.renew_time),
            quarantined: annotations.quarantine.is_some(),
            settled: annotations.settled.is_some_and(|settled| settled.parse().ok() == uid),
            duration: spec.lease_duration_seconds,
            transitions: spec.lease_transitions,
        })
    }
}

impl Server {
    /// With a Lease that names nobody, as a manifest makes it.
    pub(super) fn with_empty_lease() -> Self {
        let mut server = Self::default();
        server.make(None);
        server
    }

    /// Somebody makes the object, with what another one said or as an empty manifest.
    pub(super) fn make(&mut self, copied: Option<&Object>) {
        let blank = || {
            let spec = r#"{"leaseDurationSeconds":1,"leaseTransitions":0}"#.to_owned();
            Texts { annotations: "{}".to_owned(), spec }
        };
        let texts = copied.map_or_else(blank, |object| object.texts.clone());
        if let Some(spec) = Spec::read(&texts, Some(self.objects + 1)) {
            self.create(&spec, &texts);
        }
    }

    /// Whether this request would change nothing, now and at any later time.
    pub(super) fn is_dead(&self, call: &Call, hostility: Hostility) -> bool {
        if !call.writes() {
            return true;
        }
        if call.method == Method::POST || hostility != Hostility::None {
            return false;
        }
        let Some(object) = &self.object else {
            return true;
        };
        call.uid != Some(object.uid) || call.version != Some(object.version)
    }

    pub(super) fn serve(&mut self, call: &Call, hostility: Hostility) -> Answer {
        match (&call.method, &call.spec) {
            (&Method::GET, _) => match &self.object {
                Some(object) => {
                    Answer { status: 200, body: object.json.clone(), object: Some(Arc::clone(object)) }
                }
                None => say(404, ABSENT),
            },
            (&Method::POST, Some(_)) if self.object.is_some() => say(409, CONFLICT),
            (&Method::POST, Some(spec)) => self.create(spec, &call.texts),
            (&Method::PUT, Some(spec)) => self.update(call, spec, hostility),
            (&Method::DELETE, _) => self.delete(call, hostility),
            _ => say(422, INVALID),
        }
    }

    fn create(&mut self, spec: &Spec, texts: &Texts) -> Answer {
        self.objects += 1;
        self.store(self.objects, spec, texts, 201)
    }

    fn update(&mut self, call: &Call, spec: &Spec, hostility: Hostility) -> Answer {
        let any_uid = hostility == Hostility::IgnoresUids || call.uid.is_none();
        let Some(object) = &self.object else {
            // The trap: without a UID an update of a missing object creates it.
            return if any_uid { self.create(spec, &call.texts) } else { say(409, CONFLICT) };
        };
        let Some(version) = call.version else {
            return say(422, INVALID);
        };
        let any_version = hostility == Hostility::IgnoresVersions;
        if !(any_version || version == object.version) || !(any_uid || call.uid == Some(object.uid)) {
            return say(409, CONFLICT);
        }
        let uid = object.uid;
        // Another trap: an update that changes nothing succeeds and keeps the resource version.
        if object.spec == *spec {
            return Answer { status: 200, body: object.json.clone(), object: Some(Arc::clone(object)) };
        }
        self.store(uid, spec, &call.texts, 200)
    }

    fn delete(&mut self, call: &Call, hostility: Hostility) -> Answer {
        let Some(object) = &self.object else {
            return say(404, ABSENT);
        };
        let wrong_uid = hostility != Hostility::IgnoresUids && call.uid.is_some_and(|uid| uid != object.uid);
        let wrong_version = hostility != Hostility::IgnoresVersions
            && call.version.is_some_and(|version| version != object.version);
        if wrong_uid || wrong_version {
            return say(409, CONFLICT);
        }
        self.remove();
        say(200, DELETED)
    }

    /// The object goes, whoever wants that.
    pub(super) fn remove(&mut self) {
        self.revision += 1;
        self.object = None;
    }

    fn store(&mut self, uid: u64, spec: &Spec, texts: &Texts, status: u16) -> Answer {
        self.revision += 1;
        let version = self.revision;
        let json = format!(
            "{{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{{\"name\":\"job\",\
             \"namespace\":\"default\",\"uid\":\"{uid}\",\"resourceVersion\":\"{version}\",\"annotations\":{}}},\
             \"spec\":{}}}",
            texts.annotations, texts.spec
        );
        let (spec, texts) = (spec.clone(), texts.clone());
        let object = Arc::new(Object { uid, version, spec, texts, json: json.into() });
        self.object = Some(Arc::clone(&object));
        Answer { status, body: object.json.clone(), object: Some(object) }
    }
}

fn say(status: u16, body: &'static [u8]) -> Answer {
    Answer { status, body: Bytes::from_static(body), object: None }
}
