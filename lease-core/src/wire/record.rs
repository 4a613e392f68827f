//! The Lease object: what was read, and what we write over it.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::creation;
use super::fields::{self, Fields, Known, KnownSpec, NONCE, QUARANTINE, SETTLED, Section, Span};
use super::text::{
    read_hexadecimal, string, write_hexadecimal, write_inside_string, write_number, write_string,
};
use crate::config::Config;
use crate::identifiers::{FencingToken, Identity, Nonce};
use crate::mutated::mutated;
use crate::problem::Malformation;
use crate::time::WallTime;
use crate::timestamp;

const API_VERSION: &str = "coordination.k8s.io/v1";
const HOLDER: &str = "holderIdentity";
const ACQUIRED: &str = "acquireTime";
const RENEWED: &str = "renewTime";
const DURATION: &str = "leaseDurationSeconds";
const TRANSITIONS: &str = "leaseTransitions";
/// By how much a PUT can be longer than what was read: all that we write.
const GROWS_BY: usize = 528;

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

/// A Lease object as read. Never changed after that, and shared where it is cloned; a write makes a new body
/// from it.
#[derive(Clone, Debug)]
pub(crate) struct Record(Arc<Parsed>);

/// What a body says: a pure function of it.
#[derive(Debug)]
pub(crate) struct Parsed {
    body: Bytes,
    fields: Fields,
    state: KnownSpec<Span>,
    duration: Option<Duration>,
    pub(crate) version: Version,
    pub(crate) holder: Holder,
    pub(crate) acquire_time: Option<WallTime>,
    pub(crate) renew_time: Option<WallTime>,
    /// The nonce of the incarnation that wrote the record, if the one named as holder did.
    pub(crate) nonce: Option<Nonce>,
    pub(crate) quarantined: bool,
    /// Whether it says that somebody has waited for the quarantine of this very object.
    pub(crate) settled: bool,
    pub(crate) terminating: bool,
}

impl Deref for Record {
    type Target = Parsed;

    fn deref(&self) -> &Parsed {
        &self.0
    }
}

/// The rest follows from the body.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.body == other.body
    }
}

impl Eq for Record {}

impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.body.hash(state);
    }
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
    /// Reads a body; `last` is taken again if it came from the same bytes.
    pub(crate) fn read(body: &Bytes, config: &Config, last: Option<&Self>) -> Result<Self, Malformation> {
        match last {
            Some(last) if last.body == *body => Ok(last.clone()),
            _ => Parsed::new(body, config).map(|parsed| Self(Arc::new(parsed))),
        }
    }
}

impl Parsed {
    fn new(body: &Bytes, config: &Config) -> Result<Self, Malformation> {
        let text = std::str::from_utf8(body).map_err(|_| Malformation::NotJson)?;
        let (fields, Known { api_version, kind, metadata, annotations, spec }) = fields::find(text)?;
        let says = |raw: Option<&str>, wanted: &str| raw.and_then(string).as_deref() == Some(wanted);
        if !says(kind, "Lease") || !says(api_version, API_VERSION) {
            return Err(Malformation::NotALease);
        }
        if !says(metadata.name, config.name()) || !says(metadata.namespace, config.namespace()) {
            return Err(Malformation::OtherObject);
        }
        let (Some(uid), Some(resource_version)) = (present(metadata.uid), present(metadata.resource_version))
        else {
            return Err(Malformation::NoVersion);
        };
        let version = Version { uid: (*uid).into(), resource_version: (*resource_version).into() };
        let holder = read_holder(spec.holder_identity);
        let time = |raw: Option<&str>| timestamp::parse(&string(raw?)?);
        Ok(Self {
            body: body.clone(),
            fields,
            state: spec.map(|raw| Span::within(text, raw)),
            duration: spec.lease_duration_seconds.and_then(read_duration),
            acquire_time: time(spec.acquire_time),
            renew_time: time(spec.renew_time),
            nonce: read_nonce(annotations.nonce, &holder),
            quarantined: annotations.quarantine.is_some(),
            settled: annotations.settled.and_then(string).is_some_and(|settled| *settled == *version.uid),
            terminating: metadata.deletion_timestamp.is_some_and(|raw| raw != "null"),
            holder,
            version,
        })
    }

    fn text(&self) -> &str {
        // It was read as text.
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// Whether a contender that saw `other` has seen nothing new in this one. Not the resource version: a
    /// label edit must not prolong a lease.
    pub(crate) fn same_state(&self, other: &Self) -> bool {
        // Another incarnation whose clock repeats a microsecond is news. That an annotation vanishes is not.
        let same_writer = self.nonce.is_none() || other.nonce.is_none() || self.nonce == other.nonce;
        self.version.uid == other.version.uid && self.state() == other.state() && same_writer
    }

    fn state(&self) -> KnownSpec<Option<&[u8]>> {
        self.state.map(|span| self.body.get(span.range()))
    }

    /// The record's own duration, rounded up; `None` when it is missing, not positive or not a number.
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// The resource version as the number that orders terms.
    pub(crate) fn token(&self) -> Option<FencingToken> {
        self.version.token()
    }

    /// The number of changes of holder, missing and odd ones count as 0.
    fn transitions(&self, text: &str) -> i32 {
        let raw = self.state.lease_transitions.map(|span| span.of(text));
        let number = raw.and_then(|raw| raw.parse::<i64>().ok()).unwrap_or(0);
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
        let text = self.text();
        let transitions = self.transitions(text);
        let transitions = match change.holder {
            Some(_) if changes_hands => transitions.saturating_add(1),
            _ => transitions,
        };
        let mut json = String::with_capacity(text.len() + GROWS_BY);
        let keep = |section, without: &[&str], json: &mut String| {
            self.fields.write_all_but(section, without, text, json);
        };
        json.push('{');
        keep(Section::Top, &[], &mut json);
        json.push_str("\"metadata\":{");
        keep(Section::Metadata, mutated!(by crate::mutants::left_out(config), &[]), &mut json);
        json.push_str("\"annotations\":{");
        let settles = change.quarantine == QuarantineMark::Remove && config.existing_only();
        let without: &[&str] = match change.quarantine {
            QuarantineMark::Keep => &[NONCE],
            QuarantineMark::Remove if settles => &[NONCE, QUARANTINE, SETTLED],
            QuarantineMark::Set | QuarantineMark::Remove => &[NONCE, QUARANTINE],
        };
        if !mutated!(config, DropsAnnotations) {
            keep(Section::Annotations, without, &mut json);
        }
        if change.quarantine == QuarantineMark::Set {
            write_quarantine(&mut json);
        }
        if settles {
            write_settled(&self.version.uid, &mut json);
        }
        write_nonce(change.nonce, change.holder, &mut json);
        json.push_str("}},\"spec\":{");
        match change.acquire_time {
            Some(time) => {
                keep(Section::Spec, &[HOLDER, ACQUIRED, RENEWED, DURATION, TRANSITIONS], &mut json);
                write_time(ACQUIRED, time, &mut json);
            }
            None => keep(Section::Spec, &[HOLDER, RENEWED, DURATION, TRANSITIONS], &mut json),
        }
        write_time(RENEWED, change.renew_time, &mut json);
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
        let creation = config.creation();
        creation::write_labels_and_owners(creation, &mut json);
        json.push_str(",\"annotations\":{");
        creation::write_annotations(creation, &mut json);
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
    json.push_str(",\"leaseDurationSeconds\":");
    write_number(duration, json);
    json.push_str(",\"leaseTransitions\":");
    write_number(transitions, json);
}

fn write_time(key: &str, time: WallTime, json: &mut String) {
    json.push('"');
    json.push_str(key);
    json.push_str("\":\"");
    timestamp::write(time, json);
    json.push_str("\",");
}

fn write_quarantine(json: &mut String) {
    write_string(QUARANTINE, json);
    json.push_str(":\"true\",");
}

fn write_settled(uid: &str, json: &mut String) {
    write_string(SETTLED, json);
    json.push(':');
    write_string(uid, json);
    json.push(',');
}

fn write_nonce(nonce: Nonce, holder: Option<&Identity>, json: &mut String) {
    write_string(NONCE, json);
    json.push_str(":\"");
    write_hexadecimal(nonce.0, json);
    json.push(' ');
    write_inside_string(holder.map_or("", Identity::as_str), json);
    json.push('"');
}

fn present(raw: Option<&str>) -> Option<Cow<'_, str>> {
    raw.and_then(string).filter(|text| !text.is_empty())
}

fn read_holder(raw: Option<&str>) -> Holder {
    match raw {
        None | Some("null") => Holder::Nobody,
        Some(raw) => match string(raw) {
            Some(name) if name.is_empty() => Holder::Nobody,
            Some(name) => Holder::Named(Identity::new(&name)),
            None => Holder::Unreadable,
        },
    }
}

fn read_duration(raw: &str) -> Option<Duration> {
    const LONGEST: f64 = i32::MAX as f64;
    let seconds: f64 = raw.parse().ok()?;
    (seconds > 0.0).then(|| Duration::from_secs(seconds.min(LONGEST).ceil() as u64))
}

fn read_nonce(raw: Option<&str>, holder: &Holder) -> Option<Nonce> {
    let text = string(raw?)?;
    let (nonce, identity) = text.split_once(' ')?;
    if holder.identity()?.as_str() != identity {
        return None;
    }
    read_hexadecimal(nonce).map(Nonce)
}
