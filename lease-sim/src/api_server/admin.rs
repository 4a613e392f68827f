//! What an administrator does, without credentials and without being counted: for tests and simulations.

use super::encode::Manager;
use super::object::{self, LeaseBody};
use super::watch::ChangeKind;
use super::{ApiServer, LeaseObject, UnixMicros};
use bytes::Bytes;
use http::{Method, Request, Response};
use std::sync::Arc;

impl ApiServer {
    /// A Lease as GET would answer it.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Bytes> {
        self.stored(namespace, name).map(|stored| stored.json.clone())
    }

    /// A Lease as it is stored, and its resource version.
    pub(crate) fn lease_object(&self, namespace: &str, name: &str) -> Option<(&Arc<LeaseObject>, u64)> {
        self.stored(namespace, name).map(|stored| (&stored.object, stored.revision))
    }

    /// Changes a Lease as a patch of an administrator would, without the detour over JSON. Whether there is one.
    pub(crate) fn edit(
        &mut self,
        now: UnixMicros,
        (namespace, name): (&str, &str),
        change: impl FnOnce(&mut LeaseObject),
    ) -> bool {
        let Some(stored) = self.stored(namespace, name) else {
            return false;
        };
        let mut lease = LeaseObject::clone(&stored.object);
        change(&mut lease);
        self.store(lease, Manager { name: "admin".to_owned(), time: now }, ChangeKind::Modified);
        true
    }

    /// The names of all Leases of a namespace, sorted.
    pub fn names(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.leases.get(namespace).into_iter().flat_map(|leases| leases.keys().map(String::as_str))
    }

    /// Sends a request as an administrator, outside of all counters: what `kubectl` would do. Watches are
    /// answered with `None`.
    pub fn admin(
        &mut self,
        now: UnixMicros,
        method: Method,
        path_and_query: &str,
        body: impl Into<Bytes>,
    ) -> Option<Response<Bytes>> {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = path_and_query.parse().ok()?;
        let counts = self.counts.clone();
        let admin = super::User { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()] };
        let answer = self.handle_as(now, Some(&admin), &request);
        self.counts = counts;
        match answer {
            super::Answer::Response(response) => Some(response),
            super::Answer::Watch { id, .. } => {
                self.close_watch(id);
                None
            }
        }
    }

    /// Writes a Lease as it stands in `json`, whatever is there now: no check of versions or fields, and the
    /// UID, version and creation time are new unless `json` has a UID. The namespace need not exist.
    ///
    /// # Errors
    /// The JSON is no Lease that could be stored.
    pub fn put(
        &mut self,
        now: UnixMicros,
        namespace: &str,
        name: &str,
        json: &[u8],
    ) -> Result<Bytes, String> {
        let body: LeaseBody = object::read(json).map_err(|error| error.to_string())?;
        let mut lease = body.lease;
        namespace.clone_into(&mut lease.meta.namespace);
        name.clone_into(&mut lease.meta.name);
        let existing = self.stored(namespace, name).map(|stored| Arc::clone(&stored.object));
        if lease.meta.uid.is_empty() {
            lease.meta.uid = match &existing {
                Some(existing) => existing.meta.uid.clone(),
                None => self.next_uid(),
            };
        }
        if lease.meta.creation_timestamp.is_none() {
            lease.meta.creation_timestamp = Some(UnixMicros::from_seconds(now.seconds()));
        }
        let kind = if existing.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        Ok(self.store(lease, Manager { name: "admin".to_owned(), time: now }, kind))
    }

    /// Removes a Lease, finalizers or not. Whether there was one.
    pub fn delete(&mut self, namespace: &str, name: &str) -> bool {
        self.remove(namespace, name).is_some()
    }

    /// Makes a namespace, unless it exists.
    pub fn ensure_namespace(&mut self, now: UnixMicros, name: &str) {
        if !self.namespaces.contains_key(name) {
            self.add_namespace(now, name);
        }
    }

    /// Begins the deletion of a namespace: nothing new can be made in it. Whether there is one that may be
    /// deleted.
    pub fn terminate_namespace(&mut self, now: UnixMicros, name: &str) -> bool {
        self.terminate(now, name).is_ok()
    }

    /// Lets the resource version grow by that much, as writes to other objects of a cluster do. Zero does
    /// nothing.
    pub fn bump_resource_version(&mut self, by: u64) {
        self.revision = self.revision.saturating_add(by);
    }

    /// Sets the resource version back, as an etcd that is restored from a backup does; watches end and their
    /// history is forgotten. Objects stay as they are, so restore those too.
    pub fn restore_resource_version(&mut self, version: u64) {
        self.revision = version;
        self.end_watches(true);
    }
}
