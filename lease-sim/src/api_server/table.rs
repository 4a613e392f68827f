//! The table that `kubectl get` asks for.

use super::encode;
use super::time;
use super::{Stored, UnixMicros};
use bytes::Bytes;

/// A `meta.k8s.io/v1` table of Leases with the columns of the real server.
pub(crate) fn render<'a>(revision: u64, now: UnixMicros, rows: impl Iterator<Item = &'a Stored>) -> Bytes {
    let head = format!(
        "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\
         \"metadata\":{{\"resourceVersion\":\"{revision}\"}},\"columnDefinitions\":[\
         {{\"name\":\"Name\",\"type\":\"string\",\"format\":\"name\",\"description\":\"\",\"priority\":0}},\
         {{\"name\":\"Holder\",\"type\":\"string\",\"format\":\"\",\"description\":\"\",\"priority\":0}},\
         {{\"name\":\"Age\",\"type\":\"string\",\"format\":\"\",\"description\":\"\",\"priority\":0}}],\
         \"rows\":["
    );
    let mut out = head.into_bytes();
    for (index, stored) in rows.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        row(&mut out, now, stored);
    }
    out.extend_from_slice(b"]}\n");
    Bytes::from(out)
}

fn row(out: &mut Vec<u8>, now: UnixMicros, stored: &Stored) {
    let meta = &stored.object.meta;
    out.extend_from_slice(b"{\"cells\":[");
    encode::string(out, &meta.name);
    out.push(b',');
    encode::string(out, stored.object.spec.holder_identity.as_deref().unwrap_or_default());
    out.push(b',');
    let created = meta.creation_timestamp.unwrap_or(time::GO_ZERO);
    encode::string(out, &age(now.seconds().saturating_sub(created.seconds())));
    out.extend_from_slice(
        b"],\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":",
    );
    encode::metadata(out, &stored.object, stored.revision, None);
    out.extend_from_slice(b"}}");
}

/// A duration as kubectl shows it: the two largest units where the larger one is small.
fn age(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 if seconds % MINUTE != 0 => format!("{}m{}s", seconds / MINUTE, seconds % MINUTE),
        120..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 if seconds / MINUTE % 60 != 0 => {
            format!("{}h{}m", seconds / HOUR, seconds / MINUTE % 60)
        }
        10_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 if seconds / HOUR % 24 != 0 => {
            format!("{}d{}h", seconds / DAY, seconds / HOUR % 24)
        }
        _ => format!("{}d", seconds / DAY),
    }
}
