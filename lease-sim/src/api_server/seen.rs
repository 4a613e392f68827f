//! What the last write asked for, so that an oracle beside the model need not read its body again.

use super::ApiServer;
use super::config::Verb;
use super::object::{LeaseObject, LeaseSpec};
use std::sync::Arc;

/// A POST, PUT or DELETE of one Lease whose body could be read, whatever became of it.
#[derive(Clone, Debug)]
pub(crate) struct SeenWrite {
    /// `Create`, `Update` or `Delete`.
    pub(crate) verb: Verb,
    /// The UID that the client sent: in `metadata`, or as a precondition of a DELETE.
    pub(crate) uid: Option<String>,
    /// The resource version that the client sent, as it sent it.
    pub(crate) resource_version: Option<String>,
    /// The `spec` that the client sent; empty for a DELETE.
    pub(crate) spec: LeaseSpec,
}

/// The last write. Its strings are kept and written over: cheaper than new ones for every request.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Whether the last request was that write.
    fresh: bool,
    write: SeenWrite,
}

impl Seen {
    pub(super) const fn nothing() -> Self {
        let spec = LeaseSpec {
            holder_identity: None,
            lease_duration_seconds: None,
            acquire_time: None,
            renew_time: None,
            lease_transitions: None,
        };
        Self { fresh: false, write: SeenWrite { verb: Verb::Get, uid: None, resource_version: None, spec } }
    }

    pub(super) const fn forget(&mut self) {
        self.fresh = false;
    }

    /// A POST or PUT with this body.
    pub(super) fn body(&mut self, verb: Verb, lease: &LeaseObject) {
        // Empty is absent.
        let uid = Some(lease.meta.uid.as_str()).filter(|uid| !uid.is_empty());
        let version = Some(lease.meta.resource_version.as_str()).filter(|version| !version.is_empty());
        self.note(verb, uid, version);
        let (spec, sent) = (&mut self.write.spec, &lease.spec);
        spec.holder_identity.clone_from(&sent.holder_identity);
        spec.lease_duration_seconds = sent.lease_duration_seconds;
        spec.acquire_time = sent.acquire_time;
        spec.renew_time = sent.renew_time;
        spec.lease_transitions = sent.lease_transitions;
    }

    /// A DELETE with these preconditions.
    pub(super) fn delete(&mut self, uid: Option<&str>, resource_version: Option<&str>) {
        self.note(Verb::Delete, uid, resource_version);
        self.write.spec = LeaseSpec::default();
    }

    fn note(&mut self, verb: Verb, uid: Option<&str>, resource_version: Option<&str>) {
        self.fresh = true;
        self.write.verb = verb;
        write_over(&mut self.write.uid, uid);
        write_over(&mut self.write.resource_version, resource_version);
    }
}

fn write_over(kept: &mut Option<String>, new: Option<&str>) {
    match new {
        Some(new) => new.clone_into(kept.get_or_insert_default()),
        None => *kept = None,
    }
}

impl ApiServer {
    /// What the last request asked for, if it was a POST, PUT or DELETE of one Lease and could be read.
    pub(crate) fn seen_write(&self) -> Option<&SeenWrite> {
        self.seen.fresh.then_some(&self.seen.write)
    }

    /// A Lease as it is stored, and its resource version.
    pub(crate) fn lease_object(&self, namespace: &str, name: &str) -> Option<(&Arc<LeaseObject>, u64)> {
        self.stored(namespace, name).map(|stored| (&stored.object, stored.revision))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ApiServerConfig, Rights, UnixMicros};
    use super::*;
    use http::{Method, Request};

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

    fn send(server: &mut ApiServer, method: Method, path: &str, body: &str) -> u16 {
        let mut request = Request::new(body.to_owned().into());
        (*request.method_mut(), *request.uri_mut()) = (method, path.parse().unwrap());
        let answer = server.handle(UnixMicros::from_seconds(1_800_000_000), &request);
        answer.into_response().unwrap().status().as_u16()
    }

    #[test]
    fn a_write_is_seen_as_it_was_sent_until_the_next_request() {
        let mut server = ApiServer::new(ApiServerConfig { anonymous: Rights::All, ..Default::default() });
        assert!(server.seen_write().is_none());
        let named = format!("{PATH}/a");
        let body = r#"{"metadata":{"name":"a"},"spec":{"holderIdentity":"x","leaseDurationSeconds":15}}"#;
        assert_eq!(send(&mut server, Method::POST, PATH, body), 201);
        let seen = server.seen_write().unwrap();
        assert_eq!((seen.verb, &seen.uid, &seen.resource_version), (Verb::Create, &None, &None));
        let wanted = LeaseSpec {
            holder_identity: Some("x".to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        assert_eq!(seen.spec, wanted);

        assert_eq!(send(&mut server, Method::GET, &named, ""), 200);
        assert!(server.seen_write().is_none());

        // A refused write counts too.
        let stale = r#"{"metadata":{"name":"a","resourceVersion":"7","uid":"u"},"spec":{}}"#;
        assert_eq!(send(&mut server, Method::PUT, &named, stale), 409);
        let seen = server.seen_write().unwrap();
        let sent = (seen.verb, seen.uid.as_deref(), seen.resource_version.as_deref());
        assert_eq!(sent, (Verb::Update, Some("u"), Some("7")));
        assert_eq!(seen.spec, LeaseSpec::default());
        assert_eq!(send(&mut server, Method::PUT, &named, "{"), 400);
        assert!(server.seen_write().is_none());

        let (object, revision) = server.lease_object("default", "a").unwrap();
        assert_eq!((object.spec.clone(), revision), (wanted, server.resource_version()));
        let only = format!(r#"{{"preconditions":{{"uid":"","resourceVersion":"{revision}"}}}}"#);
        assert_eq!(send(&mut server, Method::DELETE, &named, &only), 409);
        let seen = server.seen_write().unwrap();
        let sent = (seen.verb, seen.uid.as_deref(), seen.resource_version.clone());
        assert_eq!(sent, (Verb::Delete, Some(""), Some(revision.to_string())));
        assert_eq!(send(&mut server, Method::DELETE, &named, ""), 200);
        assert_eq!(server.seen_write().unwrap().uid, None);
        assert!(server.lease_object("default", "a").is_none());
    }
}
