//! A JSON object whose values stay as the text that came.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Keys and raw JSON values, sorted by key; of a repeated key the last value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fields(BTreeMap<Box<str>, Box<str>>);

impl Fields {
    pub(crate) fn raw(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|raw| &**raw)
    }

    /// The value as a string; `None` when it is missing, `null` or something else.
    pub(crate) fn string(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    fn insert(&mut self, key: Box<str>, raw: Box<str>) {
        self.0.insert(key, raw);
    }

    /// Writes all fields but those in `without`, each followed by a comma.
    pub(crate) fn write_all_but(&self, without: &[&str], json: &mut String) {
        for (key, raw) in &self.0 {
            if !without.contains(&&**key) {
                write_string(key, json);
                json.push(':');
                json.push_str(raw);
                json.push(',');
            }
        }
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn write_string(text: &str, json: &mut String) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// A Lease's JSON, split where we write: beside `metadata`, `metadata.annotations` and `spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Object {
    pub(crate) top: Fields,
    pub(crate) metadata: Fields,
    pub(crate) annotations: Fields,
    pub(crate) spec: Fields,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object or null")
            }

            fn visit_unit<E>(self) -> Result<Fields, E> {
                Ok(Fields::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Box<str>>()? {
                    fields.insert(key, map.next_value::<&RawValue>()?.get().into());
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_any(FieldsVisitor)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
                while let Some(key) = map.next_key::<Box<str>>()? {
                    match &*key {
                        "metadata" => {
                            let metadata = map.next_value::<Metadata>()?;
                            (object.metadata, object.annotations) = (metadata.fields, metadata.annotations);
                        }
                        "spec" => object.spec = map.next_value()?,
                        _ => object.top.insert(key, map.next_value::<&RawValue>()?.get().into()),
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

#[derive(Default)]
struct Metadata {
    fields: Fields,
    annotations: Fields,
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;
        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut metadata = Metadata::default();
                while let Some(key) = map.next_key::<Box<str>>()? {
                    if &*key == "annotations" {
                        metadata.annotations = map.next_value()?;
                    } else {
                        metadata.fields.insert(key, map.next_value::<&RawValue>()?.get().into());
                    }
                }
                Ok(metadata)
            }
        }
        deserializer.deserialize_map(MetadataVisitor)
    }
}
