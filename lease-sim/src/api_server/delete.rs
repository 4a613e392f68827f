//! DELETE of Leases: preconditions in the body, finalizers, and what is left to finalise.

use super::leases::{check_media_type, list_body};
use super::object::{self, Fields, LeaseObject, nullable};
use super::status::{self, Failure, FieldError, LEASES, Mistake, Refusal};
use super::watch::ChangeKind;
use super::{ApiServer, Call, Reply, Stored, UnixMicros};
use http::StatusCode;
use serde::de::{IgnoredAny, MapAccess};
use std::sync::Arc;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

impl ApiServer {
    pub(super) fn delete_lease(
        &mut self,
        call: &Call<'_>,
        namespace: &str,
        name: &str,
    ) -> Result<Reply, Refusal> {
        let options = delete_options(call)?;
        let existing = self.found(namespace, name)?;
        let (object, revision) = (Arc::clone(&existing.object), existing.revision);
        check_preconditions(&options, &object, revision)?;
        self.delete_or_mark(call, &object, &options)
    }

    fn delete_or_mark(
        &mut self,
        call: &Call<'_>,
        object: &Arc<LeaseObject>,
        options: &DeleteOptions,
    ) -> Result<Reply, Refusal> {
        let (namespace, name) = (object.meta.namespace.as_str(), object.meta.name.as_str());
        let finalizers = options.finalizers(object);
        if finalizers.is_empty() {
            if !object.meta.finalizers.is_empty() && options.resource_version.is_some() {
                return Err(self.lost_precondition(namespace, name));
            }
            self.remove(namespace, name);
            let body = status::deleted(LEASES, name, &object.meta.uid);
            return Ok(Reply::Json(StatusCode::OK, body));
        }
        let mut marked = LeaseObject::clone(object);
        let meta = &mut marked.meta;
        meta.finalizers = finalizers;
        if meta.deletion_grace_period_seconds.is_none() && meta.generation > 0 {
            meta.generation += 1;
        }
        meta.deletion_timestamp.get_or_insert(UnixMicros::from_seconds(call.now.seconds()));
        meta.deletion_grace_period_seconds = Some(0);
        let existing = self.found(namespace, name)?;
        let json = if marked == **object {
            existing.json.clone()
        } else {
            let manager = existing.manager.clone();
            self.store(marked, manager, ChangeKind::Modified)
        };
        let code =
            if options.orphan_dependents == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
        Ok(Reply::Json(code, json))
    }

    /// A DELETE whose policy takes the last finalizer away loses the version of its precondition on the way:
    /// a right one fails too, and nothing changes. The real server does so.
    fn lost_precondition(&self, namespace: &str, name: &str) -> Refusal {
        let revision = self.stored(namespace, name).map_or(0, |stored| stored.revision);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/leases/{namespace}/{name}, \
             ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ResourceVersion in precondition: \
             , ResourceVersion in object meta: {revision}"
        );
        Failure::conflict(LEASES, name, &why)
    }

    pub(super) fn delete_collection(&mut self, call: &Call<'_>, namespace: &str) -> Result<Reply, Refusal> {
        let options = delete_options(call)?;
        let found: Vec<Stored> = self.selected(Some(namespace), &call.query.selector).cloned().collect();
        for stored in &found {
            check_preconditions(&options, &stored.object, stored.revision)?;
            self.delete_or_mark(call, &stored.object, &options)?;
        }
        Ok(Reply::Json(StatusCode::OK, list_body(self.revision, found.iter())))
    }
}

/// `DeleteOptions`, as far as Leases care.
#[derive(Debug, Default)]
struct DeleteOptions {
    uid: Option<String>,
    resource_version: Option<String>,
    orphan_dependents: Option<bool>,
    propagation_policy: Option<String>,
    dry_run: Vec<String>,
    kind: String,
    api_version: String,
}

#[derive(Debug, Default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Fields for Preconditions {
    const NAME: &'static str = "Preconditions";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "uid" => self.uid = map.next_value()?,
            "resourceVersion" => self.resource_version = map.next_value()?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl Fields for DeleteOptions {
    const NAME: &'static str = "DeleteOptions";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "preconditions" => {
                let mut preconditions = Preconditions::default();
                map.next_value_seed(object::Place(&mut preconditions))?;
                (self.uid, self.resource_version) = (preconditions.uid, preconditions.resource_version);
            }
            "orphanDependents" => self.orphan_dependents = map.next_value()?,
            "propagationPolicy" => self.propagation_policy = map.next_value()?,
            "gracePeriodSeconds" => drop(map.next_value::<Option<i64>>()?),
            "kind" => self.kind = nullable(map)?,
            "apiVersion" => self.api_version = nullable(map)?,
            "dryRun" => self.dry_run = nullable(map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl DeleteOptions {
    /// What is left to finalise after this DELETE.
    fn finalizers(&self, object: &LeaseObject) -> Vec<String> {
        let has = |wanted: &str| object.meta.finalizers.iter().any(|name| name == wanted);
        let policy = self.propagation_policy.as_deref();
        let orphan = match (self.orphan_dependents, policy) {
            (Some(orphan), _) => orphan,
            (None, Some(policy)) => policy == "Orphan",
            (None, None) => has(ORPHAN),
        };
        let foreground = match (self.orphan_dependents, policy) {
            (Some(_), _) => false,
            (None, Some(policy)) => policy == "Foreground",
            (None, None) => has(FOREGROUND) && !has(ORPHAN),
        };
        let garbage = |name: &&String| *name != ORPHAN && *name != FOREGROUND;
        let mut finalizers: Vec<String> = object.meta.finalizers.iter().filter(garbage).cloned().collect();
        finalizers.extend(orphan.then(|| ORPHAN.to_owned()));
        finalizers.extend(foreground.then(|| FOREGROUND.to_owned()));
        finalizers
    }
}

fn delete_options(call: &Call<'_>) -> Result<DeleteOptions, Refusal> {
    let options = if call.body.is_empty() {
        // Preconditions in the query are not read by the real server either.
        DeleteOptions {
            propagation_policy: call.query.propagation_policy.clone(),
            orphan_dependents: call.query.orphan_dependents,
            ..DeleteOptions::default()
        }
    } else {
        check_media_type(call)?;
        object::read(call.body).map_err(|error| Failure::internal(error.to_string()))?
    };
    if !options.dry_run.is_empty() {
        return Err(Failure::bad_request("dryRun is not modelled by this server"));
    }
    // The group does not matter: every one of them has DeleteOptions.
    if !matches!(options.kind.as_str(), "" | "DeleteOptions") {
        let (kind, version) = (&options.kind, &options.api_version);
        let message = format!("no kind \"{kind}\" is registered for version \"{version}\" in scheme");
        return Err(Failure::internal(message));
    }
    let policy = options.propagation_policy.as_deref();
    let (kind, detail) = match (policy, options.orphan_dependents) {
        (Some(_), Some(_)) => {
            (Mistake::Invalid, "orphanDependents and deletionPropagation cannot be both set")
        }
        (None | Some("Foreground" | "Background" | "Orphan"), _) => return Ok(options),
        _ => {
            let values = "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"";
            (Mistake::NotSupported, values)
        }
    };
    let error = FieldError {
        field: "propagationPolicy".to_owned(),
        kind,
        value: format!("{:?}", policy.unwrap_or_default()),
        detail: detail.to_owned(),
    };
    Err(Failure::invalid("meta.k8s.io", "DeleteOptions", "", vec![error]))
}

fn check_preconditions(options: &DeleteOptions, object: &LeaseObject, revision: u64) -> Result<(), Refusal> {
    let (name, actual_uid) = (object.meta.name.as_str(), object.meta.uid.as_str());
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != actual_uid) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({actual_uid}). The \
             object might have been deleted and then recreated"
        );
        return Err(Failure::precondition(LEASES, name, &why));
    }
    let actual = revision.to_string();
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != actual) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({actual}). The object might have been modified"
        );
        return Err(Failure::precondition(LEASES, name, &why));
    }
    Ok(())
}
