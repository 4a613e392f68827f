//! Events of a watch: one JSON object a line.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::record::Record;
use super::status::Status;
use crate::config::Config;
use crate::mutated::mutated;
use crate::problem::{Malformation, Message, Problem};

/// What one line says.
#[derive(Debug)]
pub(crate) enum Told {
    /// The object as it now is; where it is gone, as it last was, with the version of its deletion.
    Change(Record, ObjectChange),
    /// Nothing about this lease.
    Nothing,
}

/// What happened to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectChange {
    Added,
    Modified,
    Deleted,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl ObjectChange {
    fn named(kind: &[u8]) -> Option<Self> {
        match kind {
            b"ADDED" => Some(Self::Added),
            b"MODIFIED" => Some(Self::Modified),
            b"DELETED" => Some(Self::Deleted),
            _ => None,
        }
    }
}

impl Told {
    /// Reads a line; `last` is the record last read.
    ///
    /// Of a server that does not know field selectors come events of other leases, and kinds of events may be
    /// invented: neither is wrong.
    pub(crate) fn read(line: &[u8], config: &Config, last: Option<&Record>) -> Result<Self, Problem> {
        if let Some((change, object)) = usual(line)
            && let Ok(record) = Record::read(&Bytes::copy_from_slice(object), config, last)
        {
            return Ok(Self::Change(record, change));
        }
        let Line { kind, object } =
            serde_json::from_slice(line).map_err(|_| Problem::Malformed(Malformation::NotAnEvent))?;
        let Some(change) = ObjectChange::named(kind.as_bytes()) else {
            return match &*kind {
                "ERROR" => Err(error(object)),
                _ => Ok(mutated!(by crate::mutants::bookmark(object, config, last), Self::Nothing)),
            };
        };
        // Copied: what is kept of a stream must not keep the stream's memory.
        let object = Bytes::copy_from_slice(object.get().as_bytes());
        match Record::read(&object, config, last) {
            Ok(record) => Ok(Self::Change(record, change)),
            Err(Malformation::OtherObject) => {
                Ok(mutated!(by crate::mutants::of_another(change, &object, config, last), Self::Nothing))
            }
            Err(malformation) => Err(Problem::Malformed(malformation)),
        }
    }
}

/// The object of an event in the spelling of all API servers, which spares a walk through it. That it is an object
/// and ends there is seen when it is read.
fn usual(line: &[u8]) -> Option<(ObjectChange, &[u8])> {
    let event = line.strip_prefix(b"{\"type\":\"")?.strip_suffix(b"}")?;
    let end = event.iter().position(|byte| *byte == b'"')?;
    let object = event[end..].strip_prefix(b"\",\"object\":")?;
    Some((ObjectChange::named(&event[..end])?, object.trim_ascii()))
}

#[derive(Deserialize)]
struct Code {
    code: u16,
}

/// What a server says at the end of a stream, mostly that its history does not reach back so far (410).
fn error(object: &RawValue) -> Problem {
    match Status::parse(object.get().as_bytes()) {
        Some(said) => Problem::Status {
            code: serde_json::from_str(object.get()).map_or(500, |Code { code }| code),
            message: Message::new(said.message.as_deref().unwrap_or("")),
        },
        None => Problem::Malformed(Malformation::NotAnEvent),
    }
}
