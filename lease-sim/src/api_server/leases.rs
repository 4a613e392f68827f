//! GET, LIST, POST, PUT and DELETE of Leases, in the order of checks of the real server.

use super::config::Verb;
use super::encode::{self, LEASE_PREFIX, Manager};
use super::object::{self, LeaseBody, LeaseObject};
use super::status::{Cause, Details, Failure, FieldError, LEASES, Refusal};
use super::watch::ChangeKind;
use super::{ApiServer, Call, Reply, Stored, UnixMicros, path, table, validate};
use bytes::Bytes;
use http::StatusCode;
use std::fmt::Display;
use std::sync::Arc;

const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// The 400 of a body that cannot be read.
pub(super) fn undecodable(kind: &str, error: &dyn Display, body: &[u8]) -> Refusal {
    let shown: String = String::from_utf8_lossy(body).chars().take(30).collect();
    Failure::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {error} ({shown})"
    ))
}

impl ApiServer {
    pub(super) fn lease_request(
        &mut self,
        call: &Call<'_>,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Reply, Refusal> {
        let verb =
            path::verb(call.method, name.is_some(), call.query.watch).ok_or_else(super::not_allowed)?;
        let shown = name.or_else(|| call.query.selector.only_name());
        self.authorize(&call.user, verb, LEASES, namespace, shown)?;
        match (verb, namespace, name) {
            (Verb::List | Verb::Watch, _, None) => {
                call.query.check_list_options()?;
                if verb == Verb::Watch {
                    self.start_watch(call, namespace)
                } else {
                    self.list(call, namespace)
                }
            }
            (Verb::Get, Some(namespace), Some(name)) => self.get_lease(call, namespace, name),
            (Verb::Create, Some(namespace), None) => self.create(call, namespace),
            (Verb::Update, Some(namespace), Some(name)) => self.update(call, namespace, name),
            (Verb::Patch, Some(namespace), Some(name)) => self.patch(call, namespace, name),
            (Verb::Delete, Some(namespace), Some(name)) => self.delete_lease(call, namespace, name),
            (Verb::DeleteCollection, Some(namespace), None) => self.delete_collection(call, namespace),
            _ => Err(super::not_allowed()),
        }
    }

    pub(super) fn stored(&self, namespace: &str, name: &str) -> Option<&Stored> {
        self.leases.get(namespace)?.get(name)
    }

    pub(super) fn found(&self, namespace: &str, name: &str) -> Result<&Stored, Refusal> {
        self.stored(namespace, name).ok_or_else(|| Failure::not_found(LEASES, name))
    }

    fn get_lease(&self, call: &Call<'_>, namespace: &str, name: &str) -> Result<Reply, Refusal> {
        self.readable_version(&call.query.resource_version)?;
        let stored = self.found(namespace, name)?;
        let body = if call.wants_table() {
            table::render(self.revision, call.now, std::iter::once(stored))
        } else {
            stored.json.clone()
        };
        Ok(Reply::Json(StatusCode::OK, body))
    }

    /// Checks the version that a read wants to see at least. One in the future is a time-out.
    fn readable_version(&self, text: &str) -> Result<(), Refusal> {
        let wanted = parse_version(text)
            .map_err(|why| Failure::internal(format!("resourceVersion: Invalid value: {text:?}: {why}")))?;
        if wanted <= self.revision {
            return Ok(());
        }
        let message = format!("Timeout: Too large resource version: {wanted}, current: {}", self.revision);
        let mut failure = Failure::plain(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        let cause = Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".to_owned(),
            field: String::new(),
        };
        failure.details = Some(Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() });
        Err(failure)
    }

    /// The Leases of one namespace, or of all.
    pub(super) fn selected<'a>(
        &'a self,
        namespace: Option<&'a str>,
        selector: &'a path::Selector,
    ) -> impl Iterator<Item = &'a Stored> {
        self.leases
            .iter()
            .filter(move |(place, _)| namespace.is_none_or(|wanted| wanted == place.as_str()))
            .flat_map(move |(place, leases)| {
                leases.iter().filter(move |(name, _)| selector.matches(place, name)).map(|(_, stored)| stored)
            })
    }

    fn list(&self, call: &Call<'_>, namespace: Option<&str>) -> Result<Reply, Refusal> {
        self.readable_version(&call.query.resource_version)?;
        let found = self.selected(namespace, &call.query.selector);
        let body = if call.wants_table() {
            table::render(self.revision, call.now, found)
        } else {
            list_body(self.revision, found)
        };
        Ok(Reply::Json(StatusCode::OK, body))
    }

    fn create(&mut self, call: &Call<'_>, namespace: &str) -> Result<Reply, Refusal> {
        let mut lease = decode(call)?;
        let shown = if lease.meta.name.is_empty() { &lease.meta.generate_name } else { &lease.meta.name };
        self.admit(call.now, namespace, shown, true)?;
        self.before_create(call.now, &mut lease, namespace)?;
        // A version that is no number is forgotten like an absent one; the real server does so too.
        if parse_version(&lease.meta.resource_version).unwrap_or(0) != 0 {
            return Err(Failure::internal("resourceVersion should not be set on objects to be created"));
        }
        if let Some(existing) = self.stored(namespace, &lease.meta.name) {
            if !lease.meta.generate_name.is_empty() {
                // The server takes it for bad luck with a generated name.
                return Err(Failure::server_timeout(LEASES, "POST"));
            }
            let deleting = existing.object.meta.deletion_timestamp.is_some();
            return Err(Failure::already_exists(LEASES, &lease.meta.name, deleting));
        }
        let json = self.store(lease, call.manager(), ChangeKind::Added);
        Ok(Reply::Json(StatusCode::CREATED, json))
    }

    /// Fills in what the server decides, then validates.
    fn before_create(
        &mut self,
        now: UnixMicros,
        lease: &mut LeaseObject,
        namespace: &str,
    ) -> Result<(), Refusal> {
        check_namespace(lease, namespace)?;
        let meta = &mut lease.meta;
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
        meta.creation_timestamp = Some(UnixMicros::from_seconds(now.seconds()));
        meta.uid = self.next_uid();
        if meta.name.is_empty() && !meta.generate_name.is_empty() {
            meta.name = self.generated_name(&meta.generate_name);
        }
        let errors = validate::create(lease);
        invalid_unless_empty(&lease.meta.name, errors)
    }

    fn generated_name(&mut self, base: &str) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut name: String = base.chars().take(58).collect();
        let mut random = self.next_random();
        for _ in 0..5 {
            name.push(ALPHABET[(random % ALPHABET.len() as u64) as usize] as char);
            random /= ALPHABET.len() as u64;
        }
        name
    }

    fn update(&mut self, call: &Call<'_>, namespace: &str, name: &str) -> Result<Reply, Refusal> {
        let lease = decode(call)?;
        check_name(&lease, namespace, name)?;
        let uid = lease.meta.uid.as_str();
        let existing_uid = self.stored(namespace, name).map_or("", |stored| stored.object.meta.uid.as_str());
        if !uid.is_empty() && uid != existing_uid {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/leases/{namespace}/{name}, \
                 ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, \
                 UID in object meta: {existing_uid}"
            );
            return Err(Failure::conflict(LEASES, name, &why));
        }
        let exists = !existing_uid.is_empty();
        self.admit(call.now, namespace, name, !exists)?;
        let version = parse_version(&lease.meta.resource_version).map_err(Failure::internal)?;
        if exists {
            self.replace(call, lease, version, namespace, name)
        } else {
            self.create_by_update(call, lease, namespace, name)
        }
    }

    /// A PUT to a name that is free creates the object, if the sender may create.
    pub(super) fn create_by_update(
        &mut self,
        call: &Call<'_>,
        mut lease: LeaseObject,
        namespace: &str,
        name: &str,
    ) -> Result<Reply, Refusal> {
        self.before_create(call.now, &mut lease, namespace)?;
        if !self.allows(&call.user, Verb::Create.as_str(), LEASES, Some(namespace)) {
            // The reason of the access check is empty, so the message ends here.
            return Err(Failure::forbidden(LEASES, name, ""));
        }
        let json = self.store(lease, call.manager(), ChangeKind::Added);
        Ok(Reply::Json(StatusCode::CREATED, json))
    }

    /// Replaces an object that exists.
    pub(super) fn replace(
        &mut self,
        call: &Call<'_>,
        mut lease: LeaseObject,
        version: u64,
        namespace: &str,
        name: &str,
    ) -> Result<Reply, Refusal> {
        let existing = self.found(namespace, name)?;
        if version == 0 {
            let error =
                FieldError::invalid("metadata.resourceVersion", "0x0", "must be specified for an update");
            return Err(Failure::invalid(LEASES.group, LEASES.plural, name, vec![error]));
        }
        if version != existing.revision {
            return Err(Failure::conflict(LEASES, name, MODIFIED));
        }
        let old = Arc::clone(&existing.object);
        check_namespace(&mut lease, namespace)?;
        before_update(&mut lease, &old);
        let errors = validate::update(&lease, &old);
        invalid_unless_empty(&lease.meta.name, errors)?;
        if lease.meta.finalizers.is_empty() && old.meta.deletion_grace_period_seconds == Some(0) {
            // The last finalizer is gone: the object goes too, and the answer still shows it.
            let json = encode::lease(&lease, version, self.shown_manager(&call.manager()));
            self.remove(namespace, name);
            return Ok(Reply::Json(StatusCode::OK, json));
        }
        if lease == *old {
            return Ok(Reply::Json(StatusCode::OK, existing.json.clone()));
        }
        let json = self.store(lease, call.manager(), ChangeKind::Modified);
        Ok(Reply::Json(StatusCode::OK, json))
    }

    fn shown_manager<'a>(&self, manager: &'a Manager) -> Option<&'a Manager> {
        self.config.managed_fields.then_some(manager)
    }

    /// Writes an object under its name, whatever was there, and tells the watches.
    pub(super) fn store(&mut self, mut lease: LeaseObject, manager: Manager, kind: ChangeKind) -> Bytes {
        let revision = self.next_revision();
        lease.meta.resource_version.clear();
        let json = encode::lease(&lease, revision, self.shown_manager(&manager));
        let object = Arc::new(lease);
        self.record(kind, revision, &object, &json);
        let stored = Stored { object: Arc::clone(&object), revision, manager, json: json.clone() };
        let meta = &object.meta;
        if let Some(place) = self.leases.get_mut(&meta.namespace) {
            if let Some(slot) = place.get_mut(&meta.name) {
                *slot = stored;
            } else {
                place.insert(meta.name.clone(), stored);
            }
        } else {
            self.leases.entry(meta.namespace.clone()).or_default().insert(meta.name.clone(), stored);
        }
        json
    }

    /// Takes an object out of the store and tells the watches.
    pub(super) fn remove(&mut self, namespace: &str, name: &str) -> Option<Stored> {
        let stored = self.leases.get_mut(namespace)?.remove(name)?;
        let revision = self.next_revision();
        let json = encode::lease(&stored.object, revision, self.shown_manager(&stored.manager));
        self.record(ChangeKind::Deleted, revision, &stored.object, &json);
        Some(stored)
    }
}

pub(super) fn list_body<'a>(revision: u64, items: impl Iterator<Item = &'a Stored>) -> Bytes {
    let head = format!(
        "{{\"kind\":\"LeaseList\",\"apiVersion\":\"coordination.k8s.io/v1\",\
         \"metadata\":{{\"resourceVersion\":\"{revision}\"}},\"items\":["
    );
    let mut out = head.into_bytes();
    for (index, stored) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'{');
        out.extend_from_slice(&stored.json[LEASE_PREFIX.len()..stored.json.len() - 1]);
    }
    out.extend_from_slice(b"]}\n");
    Bytes::from(out)
}

/// A resource version; empty is 0. The error is Go's.
pub(super) fn parse_version(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let why = if digits { "value out of range" } else { "invalid syntax" };
    let parsed = if digits { text.parse().ok() } else { None };
    parsed.ok_or_else(|| format!("strconv.ParseUint: parsing {text:?}: {why}"))
}

pub(super) fn check_media_type(call: &Call<'_>) -> Result<(), Refusal> {
    if matches!(&*call.content_type(), "" | "application/json" | "application/yaml") {
        return Ok(());
    }
    let message = "the body of the request was in an unknown format - accepted media types include: \
                   application/json, application/yaml, application/vnd.kubernetes.protobuf";
    Err(Failure::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message))
}

fn decode(call: &Call<'_>) -> Result<LeaseObject, Refusal> {
    check_media_type(call)?;
    let body: LeaseBody = object::read(call.body).map_err(|error| {
        if error.is_data() {
            let message = format!("Lease in version \"v1\" cannot be handled as a Lease: {error}");
            Failure::bad_request(message)
        } else {
            let parse = format!("couldn't get version/kind; json parse error: {error}");
            undecodable("Lease", &parse, call.body)
        }
    })?;
    let (kind, api_version) = (&*body.kind.0, &*body.api_version.0);
    if matches!(kind, "" | "Lease") && matches!(api_version, "" | "coordination.k8s.io/v1") {
        return Ok(body.lease);
    }
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let why = if api_version == "v1" && matches!(kind, "Pod" | "ConfigMap" | "Namespace") {
        format!("converting (v1.{kind}) to (coordination.Lease): unknown conversion")
    } else {
        format!("no kind \"{kind}\" is registered for version \"{api_version}\"")
    };
    Err(Failure::bad_request(format!(
        "{} in version \"{version}\" cannot be handled as a Lease: {why}",
        if kind.is_empty() { "Lease" } else { kind }
    )))
}

fn check_name(lease: &LeaseObject, namespace: &str, name: &str) -> Result<(), Refusal> {
    let meta = &lease.meta;
    if meta.name.is_empty() {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if meta.name != name {
        let message =
            format!("the name of the object ({}) does not match the name on the URL ({name})", meta.name);
        return Err(Failure::bad_request(message));
    }
    if !meta.namespace.is_empty() && meta.namespace != namespace {
        return Err(Failure::bad_request(format!(
            "the namespace of the object ({}) does not match the namespace on the request ({namespace})",
            meta.namespace
        )));
    }
    Ok(())
}

/// Fills in a missing namespace and refuses a foreign one.
fn check_namespace(lease: &mut LeaseObject, namespace: &str) -> Result<(), Refusal> {
    if lease.meta.namespace.is_empty() {
        namespace.clone_into(&mut lease.meta.namespace);
    }
    if lease.meta.namespace == namespace {
        return Ok(());
    }
    let message = "the namespace of the provided object does not match the namespace sent on the request";
    Err(Failure::bad_request(message))
}

/// Carries over what a client cannot change.
fn before_update(lease: &mut LeaseObject, old: &LeaseObject) {
    let (meta, old) = (&mut lease.meta, &old.meta);
    meta.resource_version.clear();
    meta.generation = old.generation;
    if meta.uid.is_empty() {
        meta.uid.clone_from(&old.uid);
    }
    meta.creation_timestamp = old.creation_timestamp;
    if old.deletion_timestamp.is_some() {
        meta.deletion_timestamp = old.deletion_timestamp;
    }
    if meta.deletion_grace_period_seconds.is_none() {
        meta.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    }
}

fn invalid_unless_empty(name: &str, errors: Vec<FieldError>) -> Result<(), Refusal> {
    if errors.is_empty() { Ok(()) } else { Err(Failure::invalid(LEASES.group, LEASES.kind, name, errors)) }
}
