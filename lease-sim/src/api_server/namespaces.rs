//! Namespaces: just enough to make them, end them and find them missing.

use super::config::Verb;
use super::object::{self, Fields, nullable};
use super::status::{Cause, Failure, FieldError, LEASES, NAMESPACES, Refusal};
use super::time::{self, Layout};
use super::{ApiServer, Call, Reply, UnixMicros, encode, path, validate};
use bytes::Bytes;
use http::StatusCode;
use serde::de::{IgnoredAny, MapAccess};

const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

/// A namespace, active or terminating.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    uid: String,
    revision: u64,
    created: UnixMicros,
    terminating: Option<UnixMicros>,
}

impl Namespace {
    fn write(&self, out: &mut Vec<u8>, name: &str, prefix: &str) {
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b"\"metadata\":{\"name\":");
        encode::string(out, name);
        let ids = format!(
            ",\"uid\":\"{}\",\"resourceVersion\":\"{}\",\"creationTimestamp\":",
            self.uid, self.revision
        );
        out.extend_from_slice(ids.as_bytes());
        time::write_json(out, self.created, Layout::Seconds);
        if let Some(time) = self.terminating {
            out.extend_from_slice(b",\"deletionTimestamp\":");
            time::write_json(out, time, Layout::Seconds);
        }
        let phase = if self.terminating.is_some() { "Terminating" } else { "Active" };
        let rest =
            format!("}},\"spec\":{{\"finalizers\":[\"kubernetes\"]}},\"status\":{{\"phase\":\"{phase}\"}}}}");
        out.extend_from_slice(rest.as_bytes());
    }

    fn json(&self, name: &str) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out, name, "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",");
        out.push(b'\n');
        Bytes::from(out)
    }
}

#[derive(Default)]
struct NamespaceBody {
    kind: String,
    meta: NamespaceMeta,
    spec: NamespaceSpec,
}

#[derive(Default)]
struct NamespaceMeta {
    name: String,
}

#[derive(Default)]
struct NamespaceSpec {
    finalizers: Vec<String>,
}

impl Fields for NamespaceBody {
    const NAME: &'static str = "Namespace";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "kind" => self.kind = nullable(map)?,
            "metadata" => map.next_value_seed(object::Place(&mut self.meta))?,
            "spec" => map.next_value_seed(object::Place(&mut self.spec))?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl Fields for NamespaceMeta {
    const NAME: &'static str = "ObjectMeta";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = nullable(map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl Fields for NamespaceSpec {
    const NAME: &'static str = "NamespaceSpec";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "finalizers" => self.finalizers = nullable(map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl ApiServer {
    pub(super) fn namespace_request(
        &mut self,
        call: &Call<'_>,
        name: Option<&str>,
        finalize: bool,
    ) -> Result<Reply, Refusal> {
        let verb =
            path::verb(call.method, name.is_some(), call.query.watch).ok_or_else(super::not_allowed)?;
        self.authorize(&call.user, verb, NAMESPACES, None, name)?;
        match (verb, name, finalize) {
            (Verb::List, None, _) => Ok(Reply::Json(StatusCode::OK, self.namespace_list())),
            (Verb::Get, Some(name), false) => {
                let namespace =
                    self.namespaces.get(name).ok_or_else(|| Failure::not_found(NAMESPACES, name))?;
                Ok(Reply::Json(StatusCode::OK, namespace.json(name)))
            }
            (Verb::Create, None, _) => self.create_namespace(call),
            (Verb::Delete, Some(name), false) => self.terminate(call.now, name),
            (Verb::Update, Some(name), true) => self.finalize(call, name),
            _ => Err(super::not_allowed()),
        }
    }

    fn namespace_list(&self) -> Bytes {
        let head = format!(
            "{{\"kind\":\"NamespaceList\",\"apiVersion\":\"v1\",\"metadata\":{{\
             \"resourceVersion\":\"{}\"}},\"items\":[",
            self.revision
        );
        let mut out = head.into_bytes();
        for (index, (name, namespace)) in self.namespaces.iter().enumerate() {
            namespace.write(&mut out, name, if index > 0 { ",{" } else { "{" });
        }
        out.extend_from_slice(b"]}\n");
        Bytes::from(out)
    }

    fn create_namespace(&mut self, call: &Call<'_>) -> Result<Reply, Refusal> {
        super::leases::check_media_type(call)?;
        let body: NamespaceBody = object::read(call.body)
            .map_err(|error| super::leases::undecodable("Namespace", &error, call.body))?;
        if !matches!(body.kind.as_str(), "" | "Namespace") {
            return Err(Failure::bad_request(format!("{} cannot be handled as a Namespace", body.kind)));
        }
        let errors: Vec<FieldError> = validate::label_name(&body.meta.name)
            .into_iter()
            .map(|message| FieldError::invalid("metadata.name", format!("{:?}", body.meta.name), message))
            .collect();
        if !errors.is_empty() {
            return Err(Failure::invalid(NAMESPACES.group, NAMESPACES.kind, &body.meta.name, errors));
        }
        if let Some(existing) = self.namespaces.get(&body.meta.name) {
            return Err(Failure::already_exists(NAMESPACES, &body.meta.name, existing.terminating.is_some()));
        }
        let json = self.add_namespace(call.now, &body.meta.name);
        Ok(Reply::Json(StatusCode::CREATED, json))
    }

    /// Makes a namespace that does not exist yet.
    pub(super) fn add_namespace(&mut self, now: UnixMicros, name: &str) -> Bytes {
        let namespace = Namespace {
            uid: self.next_uid(),
            revision: self.next_revision(),
            created: now,
            terminating: None,
        };
        let json = namespace.json(name);
        self.namespaces.insert(name.to_owned(), namespace);
        json
    }

    /// Deleting only begins here: without controllers nothing ends it but a finalize.
    pub(super) fn terminate(&mut self, now: UnixMicros, name: &str) -> Result<Reply, Refusal> {
        if IMMORTAL.contains(&name) {
            return Err(Failure::forbidden(NAMESPACES, name, "this namespace may not be deleted"));
        }
        let revision = self.revision + 1;
        let namespace = self.namespaces.get_mut(name).ok_or_else(|| Failure::not_found(NAMESPACES, name))?;
        if namespace.terminating.is_none() {
            namespace.terminating = Some(now);
            namespace.revision = revision;
            self.revision = revision;
        }
        Ok(Reply::Json(StatusCode::OK, namespace.json(name)))
    }

    fn finalize(&mut self, call: &Call<'_>, name: &str) -> Result<Reply, Refusal> {
        super::leases::check_media_type(call)?;
        let body: NamespaceBody = object::read(call.body)
            .map_err(|error| super::leases::undecodable("Namespace", &error, call.body))?;
        let namespace = self.namespaces.get(name).ok_or_else(|| Failure::not_found(NAMESPACES, name))?;
        let json = namespace.json(name);
        if namespace.terminating.is_some() && body.spec.finalizers.is_empty() {
            self.namespaces.remove(name);
            self.next_revision();
        }
        Ok(Reply::Json(StatusCode::OK, json))
    }

    /// Admits a write to a namespace, or refuses it as the namespace lifecycle does.
    pub(super) fn admit(
        &mut self,
        now: UnixMicros,
        namespace: &str,
        name: &str,
        creating: bool,
    ) -> Result<(), Refusal> {
        let Some(found) = self.namespaces.get(namespace) else {
            if self.config.create_namespaces && validate::label_name(namespace).is_empty() {
                self.add_namespace(now, namespace);
                return Ok(());
            }
            return Err(Failure::not_found(NAMESPACES, namespace));
        };
        if !creating || found.terminating.is_none() {
            return Ok(());
        }
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let name = if name.is_empty() { "Unknown" } else { name };
        Err(Failure::forbidden(LEASES, name, &why).with_cause(Cause {
            reason: "NamespaceTerminating",
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        }))
    }

    /// Ends a namespace as the namespace controller does: every Lease in it goes, finalizers or not, then the
    /// namespace itself. Whether there was one.
    pub fn finish_namespace(&mut self, name: &str) -> bool {
        let inside: Vec<String> =
            self.leases.get(name).map(|leases| leases.keys().cloned().collect()).unwrap_or_default();
        for lease in inside {
            self.remove(name, &lease);
        }
        let found = self.namespaces.remove(name).is_some();
        if found {
            self.next_revision();
        }
        found
    }
}
