//! Where in a Lease's JSON its fields are. The text stays where it came; this knows the places.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{string, write_string};
use crate::problem::Malformation;

/// The objects that are written anew in a PUT, so that their fields are known one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Top,
    Metadata,
    Annotations,
    Spec,
}

/// A range of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part`, a part of `text`, is in it.
    pub(super) fn within(text: &str, part: &str) -> Self {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        // No body is longer than `max_body`, 16 MiB at most.
        let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: place(start), end: place(start + part.len()) }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or_default()
    }
}

/// One field of one of the sections.
#[derive(Clone, Copy, Debug)]
struct Field {
    section: Section,
    /// Whether the key is written with escapes.
    escaped: bool,
    /// With its quotes.
    key: Span,
    value: Span,
}

impl Field {
    fn key<'a>(&self, body: &'a str) -> Cow<'a, str> {
        if self.escaped {
            return string(self.key.of(body)).unwrap_or_default();
        }
        Cow::Borrowed(Span { start: self.key.start + 1, end: self.key.end - 1 }.of(body))
    }
}

/// All fields of all sections, in the order in which they came; of a repeated key the last one counts.
#[derive(Clone, Debug)]
pub(super) struct Fields(Vec<Field>);

/// The raw values of the fields that mean something to us.
#[derive(Clone, Debug, Default)]
pub(super) struct Known<'de> {
    pub(super) api_version: Option<&'de str>,
    pub(super) kind: Option<&'de str>,
    pub(super) metadata: KnownMetadata<'de>,
    pub(super) annotations: KnownAnnotations<'de>,
    pub(super) spec: KnownSpec<&'de str>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct KnownMetadata<'de> {
    pub(super) name: Option<&'de str>,
    pub(super) namespace: Option<&'de str>,
    pub(super) uid: Option<&'de str>,
    pub(super) resource_version: Option<&'de str>,
    pub(super) deletion_timestamp: Option<&'de str>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct KnownAnnotations<'de> {
    pub(super) nonce: Option<&'de str>,
    pub(super) quarantine: Option<&'de str>,
}

/// What a contender's observation is keyed on, with the UID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KnownSpec<T> {
    pub(super) holder_identity: Option<T>,
    pub(super) acquire_time: Option<T>,
    pub(super) renew_time: Option<T>,
    pub(super) lease_duration_seconds: Option<T>,
    pub(super) lease_transitions: Option<T>,
}

impl<T> KnownSpec<T> {
    pub(super) fn map<U>(self, to: impl Fn(T) -> U) -> KnownSpec<U> {
        KnownSpec {
            holder_identity: self.holder_identity.map(&to),
            acquire_time: self.acquire_time.map(&to),
            renew_time: self.renew_time.map(&to),
            lease_duration_seconds: self.lease_duration_seconds.map(&to),
            lease_transitions: self.lease_transitions.map(&to),
        }
    }
}

/// Who wrote the record last: `<nonce> <identity>`. The identity is in it so that another implementation,
/// which keeps annotations when it takes the lease over, is not mistaken for one of us.
pub(super) const NONCE: &str = "lease-core.rs/nonce";
/// The object was created under `ReleasePolicy::Vacate` and nobody may hold it yet.
pub(super) const QUARANTINE: &str = "lease-core.rs/quarantine";

/// More than an API server's Lease has, so that the list grows only where somebody annotates a lot.
const USUAL: usize = 24;

/// One pass over a body.
struct Walk<'de> {
    text: &'de str,
    fields: Vec<Field>,
    known: Known<'de>,
    /// A key was no text: a lone surrogate.
    bad_key: bool,
}

/// Finds the fields of a Lease.
pub(super) fn find(text: &str) -> Result<(Fields, Known<'_>), Malformation> {
    let (fields, known) = (Vec::with_capacity(USUAL), Known::default());
    let mut walk = Walk { text, fields, known, bad_key: false };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walked = Object { section: Section::Top, walk: &mut walk }.deserialize(&mut deserializer);
    match walked.and_then(|()| deserializer.end()) {
        Ok(()) if walk.bad_key => Err(Malformation::NotJson),
        Ok(()) => Ok((Fields(walk.fields), walk.known)),
        Err(error) if error.is_data() && !walk.bad_key => Err(Malformation::NotALease),
        Err(_) => Err(Malformation::NotJson),
    }
}

impl<'de> Walk<'de> {
    /// A section begins: what an earlier one of the same name had does not count.
    fn begin(&mut self, section: Section) {
        let Known { metadata, annotations, spec, .. } = &mut self.known;
        match section {
            Section::Top => return,
            Section::Metadata => (*metadata, *annotations) = Default::default(),
            Section::Annotations => *annotations = KnownAnnotations::default(),
            Section::Spec => *spec = KnownSpec::default(),
        }
        let within = |field: &Field| {
            field.section == section
                || (section == Section::Metadata && field.section == Section::Annotations)
        };
        if self.fields.iter().any(within) {
            self.fields.retain(|field| !within(field));
        }
    }

    /// The section that a field is.
    fn opens(section: Section, key: &str) -> Option<Section> {
        match (section, key) {
            (Section::Top, "metadata") => Some(Section::Metadata),
            (Section::Top, "spec") => Some(Section::Spec),
            (Section::Metadata, "annotations") => Some(Section::Annotations),
            _ => None,
        }
    }

    fn note(&mut self, section: Section, key: &str, raw_key: &str, value: &'de str) {
        let place = |part| Span::within(self.text, part);
        // Every escape is longer than what it stands for.
        let escaped = raw_key.len() != key.len() + 2;
        self.fields.push(Field { section, escaped, key: place(raw_key), value: place(value) });
        let Known { api_version, kind, metadata, annotations, spec } = &mut self.known;
        let place = match (section, key) {
            (Section::Top, "apiVersion") => api_version,
            (Section::Top, "kind") => kind,
            (Section::Metadata, "name") => &mut metadata.name,
            (Section::Metadata, "namespace") => &mut metadata.namespace,
            (Section::Metadata, "uid") => &mut metadata.uid,
            (Section::Metadata, "resourceVersion") => &mut metadata.resource_version,
            (Section::Metadata, "deletionTimestamp") => &mut metadata.deletion_timestamp,
            (Section::Annotations, NONCE) => &mut annotations.nonce,
            (Section::Annotations, QUARANTINE) => &mut annotations.quarantine,
            (Section::Spec, "holderIdentity") => &mut spec.holder_identity,
            (Section::Spec, "acquireTime") => &mut spec.acquire_time,
            (Section::Spec, "renewTime") => &mut spec.renew_time,
            (Section::Spec, "leaseDurationSeconds") => &mut spec.lease_duration_seconds,
            (Section::Spec, "leaseTransitions") => &mut spec.lease_transitions,
            _ => return,
        };
        *place = Some(value);
    }
}

/// Walks into one object.
struct Object<'walk, 'de> {
    section: Section,
    walk: &'walk mut Walk<'de>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.walk.begin(self.section);
        match self.section {
            Section::Top | Section::Metadata => deserializer.deserialize_map(self),
            // These two may be `null`.
            Section::Annotations | Section::Spec => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.section {
            Section::Annotations | Section::Spec => Ok(()),
            Section::Top | Section::Metadata => Err(E::invalid_type(serde::de::Unexpected::Unit, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(raw_key) = map.next_key::<&'de RawValue>()? {
            let key = string(raw_key.get()).unwrap_or_else(|| {
                self.walk.bad_key = true;
                Cow::Borrowed("")
            });
            if let Some(section) = Walk::opens(self.section, &key) {
                map.next_value_seed(Object { section, walk: &mut *self.walk })?;
            } else {
                let value = map.next_value::<&'de RawValue>()?;
                self.walk.note(self.section, &key, raw_key.get(), value.get());
            }
        }
        Ok(())
    }
}

impl Fields {
    /// Writes the fields of one section but those in `without`, sorted by key, each followed by a comma.
    pub(super) fn write_all_but(&self, section: Section, without: &[&str], body: &str, json: &mut String) {
        let mut sorted: Vec<(Cow<'_, str>, &Field)> = Vec::with_capacity(USUAL / 2);
        for field in self.0.iter().filter(|field| field.section == section) {
            let key = field.key(body);
            if !without.contains(&&*key) {
                sorted.push((key, field));
            }
        }
        // Stable: of equal keys the last one to come is the last one here.
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (index, (key, field)) in sorted.iter().enumerate() {
            if sorted.get(index + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            if !field.escaped && field.key.end + 1 == field.value.start {
                json.push_str(Span { start: field.key.start, end: field.value.end }.of(body));
            } else {
                write_string(key, json);
                json.push(':');
                json.push_str(field.value.of(body));
            }
            json.push(',');
        }
    }
}
