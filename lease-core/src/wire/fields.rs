//! Where in a Lease's JSON its fields are. The text stays where it came; this knows the places.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::write_string;
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
    key: Key,
    value: Span,
}

#[derive(Clone, Copy, Debug)]
enum Key {
    /// Between its quotes.
    Plain(Span),
    /// One with escapes, by its number.
    Escaped(u32),
}

/// All fields of all sections, in the order in which they came; of a repeated key the last one counts.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    list: Vec<Field>,
    /// The keys with escapes, without them.
    escaped: Vec<String>,
}

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
    pub(super) settled: Option<&'de str>,
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
/// The object is new and nobody may hold it yet.
pub(super) const QUARANTINE: &str = "lease-core.rs/quarantine";
/// The UID of an object whose quarantine somebody has waited for. Written by `existing_only` holders. With its
/// UID, so that an object that was made from another one's manifest is not taken for that one.
pub(super) const SETTLED: &str = "lease-core.rs/settled";

/// More than an API server's Lease has, so that the list grows only where somebody annotates a lot.
const USUAL: usize = 24;

/// One pass over a body.
struct Walk<'de> {
    text: &'de str,
    fields: Fields,
    known: Known<'de>,
}

/// Finds the fields of a Lease.
pub(super) fn find(text: &str) -> Result<(Fields, Known<'_>), Malformation> {
    let fields = Fields { list: Vec::with_capacity(USUAL), escaped: Vec::new() };
    let mut walk = Walk { text, fields, known: Known::default() };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walked = Object { section: Section::Top, walk: &mut walk }.deserialize(&mut deserializer);
    match walked.and_then(|()| deserializer.end()) {
        Ok(()) => Ok((walk.fields, walk.known)),
        Err(error) if error.is_data() => Err(Malformation::NotALease),
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
        if self.fields.list.iter().any(within) {
            self.fields.list.retain(|field| !within(field));
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

    fn note(&mut self, section: Section, key: &str, place: Key, value: &'de str) {
        self.fields.list.push(Field { section, key: place, value: Span::within(self.text, value) });
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
            (Section::Annotations, SETTLED) => &mut annotations.settled,
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
        while let Some(Text(key)) = map.next_key()? {
            if let Some(section) = Walk::opens(self.section, &key) {
                map.next_value_seed(Object { section, walk: &mut *self.walk })?;
                continue;
            }
            let value = map.next_value::<&'de RawValue>()?.get();
            match key {
                Cow::Borrowed(key) => {
                    let place = Key::Plain(Span::within(self.walk.text, key));
                    self.walk.note(self.section, key, place, value);
                }
                Cow::Owned(key) => {
                    let escaped = &self.walk.fields.escaped;
                    let place = Key::Escaped(u32::try_from(escaped.len()).unwrap_or(u32::MAX));
                    self.walk.note(self.section, &key, place, value);
                    self.walk.fields.escaped.push(key);
                }
            }
        }
        Ok(())
    }
}

/// A key, borrowed unless it has escapes.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl Fields {
    /// Writes the fields of one section but those in `without`, sorted by key, each followed by a comma.
    pub(super) fn write_all_but(&self, section: Section, without: &[&str], body: &str, json: &mut String) {
        let mut sorted: Vec<(&str, &Field)> = Vec::with_capacity(USUAL / 2);
        for field in self.list.iter().filter(|field| field.section == section) {
            let key = self.key(field, body);
            if !without.contains(&key) {
                sorted.push((key, field));
            }
        }
        // Stable: of equal keys the last one to come is the last one here.
        sorted.sort_by_key(|(key, _)| *key);
        for (index, (key, field)) in sorted.iter().enumerate() {
            if sorted.get(index + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            match field.key {
                // Nothing but `":` between the two: what came is what is written.
                Key::Plain(place) if place.end + 2 == field.value.start => {
                    json.push_str(Span { start: place.start - 1, end: field.value.end }.of(body));
                }
                _ => {
                    write_string(key, json);
                    json.push(':');
                    json.push_str(field.value.of(body));
                }
            }
            json.push(',');
        }
    }

    fn key<'a>(&'a self, field: &Field, body: &'a str) -> &'a str {
        match field.key {
            Key::Plain(place) => place.of(body),
            Key::Escaped(number) => self.escaped.get(number as usize).map_or("", String::as_str),
        }
    }
}
