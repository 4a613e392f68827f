//! Kubernetes JSON in both directions.
//!
//! Whatever is not understood is kept as the bytes that came, so that it survives our PUT, and so that
//! what we write does not depend on how `serde_json` was built (`preserve_order`, `arbitrary_precision`).

mod creation;
mod fields;
mod record;
mod reply;
mod request;
mod status;
#[cfg(test)]
mod tests;
mod text;
mod watch;

pub(crate) use creation::{OWN_ANNOTATIONS, creation_size, longest_own_annotations};
pub(crate) use record::{Change, Create, Holder, QuarantineMark, Record, Version};
pub(crate) use reply::{Reply, Trouble};
pub(crate) use request::{Call, Kind, Paths, watch_request};
pub(crate) use watch::{ObjectChange, Told};
