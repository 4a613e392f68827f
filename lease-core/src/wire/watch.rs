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

impl Told {
    /// Reads a line; `last` is the record last read.
    ///
    /// Of a server that does not know field selectors come events of other leases, and kinds of events may be
    /// invented: neither is wrong.
    pub(crate) fn read(line: &[u8], config: &Config, last: Option<&Record>) -> Result<Self, Problem> {
        let Line { kind, object } =
            serde_json::from_slice(line).map_err(|_| Problem::Malformed(Malformation::NotAnEvent))?;
        let change = match &*kind {
            "ADDED" => ObjectChange::Added,
            "MODIFIED" => ObjectChange::Modified,
            "DELETED" => ObjectChange::Deleted,
            "ERROR" => return Err(error(object)),
            _ => return Ok(mutated!(by crate::mutants::bookmark(object, config, last), Self::Nothing)),
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
