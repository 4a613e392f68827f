//! The Lease object: what was read, and what we write over it.

use std::time::Duration;

use bytes::Bytes;

use super::fields::{Fields, Object, write_string};
use crate::config::Config;
use crate::identifiers::{FencingToken, Identity, Nonce};
use crate::mutated::mutated;
use crate::problem::Malformation;
use crate::time::WallTime;
use crate::timestamp;

/// Who wrote the record last: `<nonce> <identity>`. The identity is in it so that another implementation,
/// which keeps annotations when it takes the lease over, is not mistaken for one of us.
const NONCE: &str = "lease-core.rs/nonce";
/// The object was created under `ReleasePolicy::Vacate` and nobody may hold it yet.
const QUARANTINE: &str = "lease-core.rs/quarantine";
const API_VERSION: &str = "coordination.k8s.io/v1";
/// What a contender's observation is keyed on, with the UID.
const STATE: [&str; 5] =
    ["holderIdentity", "acquireTime", "renewTime", "leaseDurationSeconds", "leaseTransitions"];

/// One state of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) uid: Box<str>,
    pub(crate) resource_version: Box<str>,
}

impl Version {
    /// The resource version as a number; `None` where it is none, so that nothing can be ordered by it.
    pub(crate) fn token(&self) -> Option<FencingToken> {
        let digits = self.resource_version.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| self.resource_version.parse().ok().map(FencingToken::from_u64))?
    }
}

/// What `spec.holderIdentity` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// Missing, `null` or empty.
    Nobody,
    Named(Identity),
    /// Not a string. Never taken for a free lease.
    Unreadable,
}

impl Holder {
    pub(crate) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Named(identity) => Some(identity),
            Self::Nobody | Self::Unreadable => None,
        }
    }
}

/// A Lease object as read. Never changed after that; a write makes a new body from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    object: Object,
    pub(crate) version: Version,
    pub(crate) holder: Holder,
    pub(crate) acquire_time: Option<WallTime>,
    pub(crate) renew_time: Option<WallTime>,
    /// The nonce of the incarnation that wrote the record, if the one named as holder did.
    pub(crate) nonce: Option<Nonce>,
    pub(crate) quarantined: bool,
    pub(crate) terminating: bool,
}

/// What becomes of the mark that says "created, but nobody may hold it yet".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuarantineMark {
    Keep,
    Set,
    Remove,
}

/// What a PUT writes over a record.
pub(crate) struct Change<'a> {
    /// `None` clears the holder.
    pub(crate) holder: Option<&'a Identity>,
    pub(crate) nonce: Nonce,
    /// `None` keeps the time.
    pub(crate) acquire_time: Option<WallTime>,
    pub(crate) renew_time: WallTime,
    pub(crate) quarantine: QuarantineMark,
}

/// What a POST creates.
pub(crate) struct Create {
    pub(crate) nonce: Nonce,
    pub(crate) time: WallTime,
    pub(crate) quarantine: bool,
}

impl Record {
    pub(crate) fn parse(body: &[u8], config: &Config) -> Result<Self, Malformation> {
        let object: Object = serde_json::from_slice(body)
            .map_err(|error| if error.is_data() { Malformation::NotALease } else { Malformation::NotJson })?;
        let says = |fields: &Fields, key: &str, wanted: &str| fields.string(key).as_deref() == Some(wanted);
        if !says(&object.top, "kind", "Lease") || !says(&object.top, "apiVersion", API_VERSION) {
            return Err(Malformation::NotALease);
        }
        if !says(&object.metadata, "name", config.name())
            || !says(&object.metadata, "namespace", config.namespace())
        {
            return Err(Malformation::OtherObject);
        }
        let present = |key: &str| object.metadata.string(key).filter(|text| !text.is_empty());
        let (Some(uid), Some(resource_version)) = (present("uid"), present("resourceVersion")) else {
            return Err(Malformation::NoVersion);
        };
        let holder = read_holder(&object.spec);
        let time = |key: &str| timestamp::parse(&object.spec.string(key)?);
        Ok(Self {
            version: Version { uid: uid.into(), resource_version: resource_version.into() },
            acquire_time: time("acquireTime"),
            renew_time: time("renewTime"),
            nonce: read_nonce(&object.annotations, &holder),
            quarantined: object.annotations.raw(QUARANTINE).is_some(),
            terminating: object.metadata.raw("deletionTimestamp").is_some_and(|raw| raw != "null"),
            holder,
            object,
        })
    }

    /// Whether a contender that saw `other` has seen nothing new in this one. Not the resource version: a
    /// label edit must not prolong a lease.
    pub(crate) fn same_state(&self, other: &Self) -> bool {
        self.version.uid == other.version.uid
            && STATE.iter().all(|key| self.object.spec.raw(key) == other.object.spec.raw(key))
    }

    /// The record's own duration, rounded up; `None` when it is missing, not positive or not a number.
    pub(crate) fn duration(&self) -> Option<Duration> {
        const LONGEST: f64 = i32::MAX as f64;
        let seconds: f64 = self.object.spec.raw("leaseDurationSeconds")?.parse().ok()?;
        (seconds > 0.0).then(|| Duration::from_secs(seconds.min(LONGEST).ceil() as u64))
    }

    /// The resource version as the number that orders terms.
    pub(crate) fn token(&self) -> Option<FencingToken> {
        self.version.token()
    }

    /// The number of changes of holder, missing and odd ones count as 0.
    fn transitions(&self) -> i32 {
        let read = |raw: &str| raw.parse::<i64>().ok();
        let number = self.object.spec.raw("leaseTransitions").and_then(read).unwrap_or(0);
        i32::try_from(number.clamp(0, i64::from(i32::MAX))).unwrap_or(0)
    }

    /// The body of a PUT: everything that was read, with our fields changed. UID and resource version are
    /// in it because they were read: without a UID a PUT re-creates a deleted object.
    pub(crate) fn put_body(&self, change: &Change<'_>, config: &Config) -> Bytes {
        let before = self.holder.identity();
        let changes_hands = mutated!(
            by crate::mutants::changes_hands(config, change.holder, before),
            change.holder != before
        );
        let transitions = match change.holder {
            Some(_) if changes_hands => self.transitions().saturating_add(1),
            _ => self.transitions(),
        };
        let mut json = String::with_capacity(1536);
        json.push('{');
        self.object.top.write_all_but(&[], &mut json);
        json.push_str("\"metadata\":{");
        self.object.metadata.write_all_but(mutated!(by crate::mutants::left_out(config), &[]), &mut json);
        json.push_str("\"annotations\":{");
        let without: &[&str] = match change.quarantine {
            QuarantineMark::Keep => &[NONCE],
            QuarantineMark::Set | QuarantineMark::Remove => &[NONCE, QUARANTINE],
        };
        if !mutated!(config, DropsAnnotations) {
            self.object.annotations.write_all_but(without, &mut json);
        }
        if change.quarantine == QuarantineMark::Set {
            write_quarantine(&mut json);
        }
        write_nonce(change.nonce, change.holder, &mut json);
        json.push_str("}},\"spec\":{");
        match change.acquire_time {
            Some(time) => {
                self.object.spec.write_all_but(&STATE, &mut json);
                write_time("acquireTime", time, &mut json);
            }
            None => self.object.spec.write_all_but(
                &["holderIdentity", "renewTime", "leaseDurationSeconds", "leaseTransitions"],
                &mut json,
            ),
        }
        write_time("renewTime", change.renew_time, &mut json);
        json.push_str("\"holderIdentity\":");
        write_string(change.holder.map_or("", Identity::as_str), &mut json);
        push_numbers(config.lease_duration_seconds(), transitions, &mut json);
        json.push_str("}}");
        json.into()
    }

    /// The body of a DELETE: only this very state may go. Preconditions live in the body and nowhere else.
    pub(crate) fn delete_body(&self) -> Bytes {
        let mut json = String::with_capacity(192);
        json.push_str("{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":");
        write_string(&self.version.uid, &mut json);
        json.push_str(",\"resourceVersion\":");
        write_string(&self.version.resource_version, &mut json);
        json.push_str("}}");
        json.into()
    }
}

impl Create {
    /// The body of a POST.
    pub(crate) fn body(&self, config: &Config) -> Bytes {
        let mut json = String::with_capacity(640);
        json.push_str(
            "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":",
        );
        write_string(config.name(), &mut json);
        json.push_str(",\"namespace\":");
        write_string(config.namespace(), &mut json);
        json.push_str(",\"annotations\":{");
        if self.quarantine {
            write_quarantine(&mut json);
        }
        write_nonce(self.nonce, Some(config.identity()), &mut json);
        json.push_str("}},\"spec\":{\"holderIdentity\":");
        write_string(config.identity().as_str(), &mut json);
        json.push(',');
        write_time("acquireTime", self.time, &mut json);
        write_time("renewTime", self.time, &mut json);
        json.pop();
        push_numbers(config.lease_duration_seconds(), 0, &mut json);
        json.push_str("}}");
        json.into()
    }
}

fn push_numbers(duration: i32, transitions: i32, json: &mut String) {
    json.push_str(&format!(",\"leaseDurationSeconds\":{duration},\"leaseTransitions\":{transitions}"));
}

fn write_time(key: &str, time: WallTime, json: &mut String) {
    json.push_str(&format!("\"{key}\":\"{}\",", timestamp::format(time)));
}

fn write_quarantine(json: &mut String) {
    write_string(QUARANTINE, json);
    json.push_str(":\"true\",");
}

fn write_nonce(nonce: Nonce, holder: Option<&Identity>, json: &mut String) {
    write_string(NONCE, json);
    json.push(':');
    write_string(&format!("{nonce} {}", holder.map_or("", Identity::as_str)), json);
}

fn read_holder(spec: &Fields) -> Holder {
    match spec.raw("holderIdentity") {
        None | Some("null" | "\"\"") => Holder::Nobody,
        Some(raw) => match serde_json::from_str::<String>(raw) {
            Ok(name) if name.is_empty() => Holder::Nobody,
            Ok(name) => Holder::Named(Identity::new(&name)),
            Err(_) => Holder::Unreadable,
        },
    }
}

fn read_nonce(annotations: &Fields, holder: &Holder) -> Option<Nonce> {
    let text = annotations.string(NONCE)?;
    let (nonce, identity) = text.split_once(' ')?;
    let number = u128::from_str_radix(nonce, 16).ok()?;
    (holder.identity()?.as_str() == identity).then_some(Nonce(number))
}
