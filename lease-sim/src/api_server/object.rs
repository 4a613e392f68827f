//! The Lease as the server keeps it, and the one-pass reader of what clients send.

use super::time::{self, Layout, UnixMicros};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A Lease. What the API server generates itself (`managedFields`) is kept beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LeaseObject {
    pub(crate) meta: ObjectMeta,
    pub(crate) spec: LeaseSpec,
}

/// The part of `metadata` that the server stores. Empty strings, lists and maps mean absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ObjectMeta {
    pub(crate) name: String,
    pub(crate) generate_name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    /// As the client sent it; the store keeps the number.
    pub(crate) resource_version: String,
    pub(crate) generation: i64,
    pub(crate) creation_timestamp: Option<UnixMicros>,
    pub(crate) deletion_timestamp: Option<UnixMicros>,
    pub(crate) deletion_grace_period_seconds: Option<i64>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) owner_references: Vec<Value>,
    pub(crate) finalizers: Vec<String>,
}

/// `spec` of a Lease as Kubernetes 1.20 knows it; unknown fields are dropped.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LeaseSpec {
    pub(crate) holder_identity: Option<String>,
    pub(crate) lease_duration_seconds: Option<i32>,
    pub(crate) acquire_time: Option<UnixMicros>,
    pub(crate) renew_time: Option<UnixMicros>,
    pub(crate) lease_transitions: Option<i32>,
}

/// What a body says about itself, and the Lease in it.
#[derive(Debug, Default)]
pub(crate) struct LeaseBody {
    pub(crate) api_version: Word,
    pub(crate) kind: Word,
    pub(crate) lease: LeaseObject,
}

/// A string that nearly always is one of two.
#[derive(Debug, Default)]
pub(crate) struct Word(pub(crate) Cow<'static, str>);

impl<'de> de::Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;
        impl Visitor<'_> for WordVisitor {
            type Value = Word;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                let known = ["Lease", "coordination.k8s.io/v1"].into_iter().find(|known| *known == text);
                Ok(Word(known.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)))
            }
        }
        deserializer.deserialize_string(WordVisitor)
    }
}

/// A key of a JSON object, borrowed from the input where it has no escapes.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

impl<'de> de::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// A JSON object whose fields are read one by one into a value that is there already.
///
/// Not a derive, because Go takes the last of two equal keys (a derive refuses them), takes `null` for
/// every field, and is indifferent to unknown ones.
pub(crate) trait Fields: Default {
    /// What a message calls it.
    const NAME: &'static str;
    /// Reads the value of `key`, or skips it.
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads an object of [`Fields`] into its place, or `null` as its default. In place, because a Lease is large
/// and would be moved many times on its way out.
pub(crate) struct Place<'a, T>(pub(crate) &'a mut T);

impl<'de, T: Fields> DeserializeSeed<'de> for Place<'_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fields> Visitor<'de> for Place<'_, T> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a {} object", T::NAME)
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        *self.0 = T::default();
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        *self.0 = T::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            self.0.field(&key.0, &mut map)?;
        }
        Ok(())
    }
}

/// Reads a value whose `null` means its default.
pub(crate) fn nullable<'de, T, A>(map: &mut A) -> Result<T, A::Error>
where
    T: de::Deserialize<'de> + Default,
    A: MapAccess<'de>,
{
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

impl Fields for LeaseBody {
    const NAME: &'static str = "Lease";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "apiVersion" => self.api_version = nullable(map)?,
            "kind" => self.kind = nullable(map)?,
            "metadata" => map.next_value_seed(Place(&mut self.lease.meta))?,
            "spec" => map.next_value_seed(Place(&mut self.lease.spec))?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl Fields for ObjectMeta {
    const NAME: &'static str = "ObjectMeta";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = nullable(map)?,
            "generateName" => self.generate_name = nullable(map)?,
            "namespace" => self.namespace = nullable(map)?,
            "uid" => self.uid = nullable(map)?,
            "resourceVersion" => self.resource_version = nullable(map)?,
            "generation" => self.generation = nullable(map)?,
            "creationTimestamp" => self.creation_timestamp = map.next_value_seed(Time(Layout::Seconds))?,
            "deletionTimestamp" => self.deletion_timestamp = map.next_value_seed(Time(Layout::Seconds))?,
            "deletionGracePeriodSeconds" => self.deletion_grace_period_seconds = map.next_value()?,
            "labels" => self.labels = map.next_value_seed(StringMap)?,
            "annotations" => self.annotations = map.next_value_seed(StringMap)?,
            "ownerReferences" => self.owner_references = nullable(map)?,
            "finalizers" => self.finalizers = map.next_value_seed(StringList)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl Fields for LeaseSpec {
    const NAME: &'static str = "LeaseSpec";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "holderIdentity" => self.holder_identity = map.next_value()?,
            "leaseDurationSeconds" => self.lease_duration_seconds = map.next_value_seed(Int32)?,
            "acquireTime" => self.acquire_time = map.next_value_seed(Time(Layout::Micros))?,
            "renewTime" => self.renew_time = map.next_value_seed(Time(Layout::Micros))?,
            "leaseTransitions" => self.lease_transitions = map.next_value_seed(Int32)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// A time in one of the two layouts, or `null`.
struct Time(Layout);

impl<'de> DeserializeSeed<'de> for Time {
    type Value = Option<UnixMicros>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Time {
    type Value = Option<UnixMicros>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a time")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let layout = match self.0 {
            Layout::Seconds => "2006-01-02T15:04:05Z07:00",
            Layout::Micros => "2006-01-02T15:04:05.000000Z07:00",
        };
        time::parse(text, self.0)
            .map(Some)
            .ok_or_else(|| E::custom(format_args!("parsing time {text:?} as {layout:?}: cannot parse")))
    }
}

/// An int32, or `null`. Go reads `-0` as zero where serde_json sees a float.
struct Int32;

impl<'de> DeserializeSeed<'de> for Int32 {
    type Value = Option<i32>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Int32 {
    type Value = Option<i32>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an int32")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let overflow = |_| E::custom(format_args!("ReadInt32: overflow: {number}"));
        i32::try_from(number).map(Some).map_err(overflow)
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        let overflow = |_| E::custom(format_args!("ReadInt32: overflow: {number}"));
        i32::try_from(number).map(Some).map_err(overflow)
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        if number == 0.0 && number.is_sign_negative() {
            return Ok(Some(0));
        }
        Err(E::custom("ReadInt32: can not decode float as int"))
    }
}

/// A map of strings; `null` is empty, and a `null` value is the empty string.
struct StringMap;

impl<'de> DeserializeSeed<'de> for StringMap {
    type Value = BTreeMap<String, String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StringMap {
    type Value = BTreeMap<String, String>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map of strings")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, Option<String>>()? {
            entries.insert(key, value.unwrap_or_default());
        }
        Ok(entries)
    }
}

/// A list of strings; `null` is empty, and a `null` element is the empty string.
struct StringList;

impl<'de> DeserializeSeed<'de> for StringList {
    type Value = Vec<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StringList {
    type Value = Vec<String>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of strings")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element::<Option<String>>()? {
            elements.push(element.unwrap_or_default());
        }
        Ok(elements)
    }
}

/// Reads one JSON text into an object. Bytes that are no UTF-8 become U+FFFD, as in Go.
pub(crate) fn read<T: Fields>(body: &[u8]) -> Result<T, serde_json::Error> {
    // The lossy reader is slow even where nothing is lost.
    let text = std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let mut value = T::default();
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    Place(&mut value).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}
