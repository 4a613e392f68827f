//! The one place that reads a clock: the pure model gets its time from here.

use crate::api_server::UnixMicros;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock plus an offset in microseconds.
#[allow(clippy::disallowed_methods, reason = "a server that answers real clients shows them the real time")]
pub(crate) fn now(offset: i64) -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    UnixMicros(micros.saturating_add(offset))
}
