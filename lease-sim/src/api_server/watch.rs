//! WATCH: a bounded log of changes, and cursors into it.

use super::encode::{self, LEASE_PREFIX};
use super::leases::parse_version;
use super::object::LeaseObject;
use super::path::Selector;
use super::status::{Failure, Refusal};
use super::{ApiServer, Call, Reply, UnixMicros};
use bytes::Bytes;
use http::StatusCode;
use std::collections::VecDeque;
use std::sync::Arc;

/// How long a watch lasts that does not say it: half an hour, as on a real server at least.
const DEFAULT_TIMEOUT_SECONDS: i64 = 1_800;

/// The name of one watch; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(u64);

/// What comes out of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// One event: a line of JSON with its newline.
    Line(Bytes),
    /// The stream is over, and the watch is forgotten.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

impl ChangeKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change of one Lease.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    kind: ChangeKind,
    revision: u64,
    object: Arc<LeaseObject>,
    json: Bytes,
}

/// A client that follows changes.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    namespace: Option<String>,
    selector: Selector,
    /// Only changes after this resource version are told.
    after: u64,
    /// The sequence number of the next change to look at.
    next: u64,
    /// Lines that come before any change from the log.
    waiting: VecDeque<Bytes>,
    deadline: UnixMicros,
    bookmarks: bool,
    /// The sequence number at which the stream is over.
    end: Option<u64>,
}

/// An event line around an object's JSON, whose last byte is a newline.
fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(object.len() + 32);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object.strip_suffix(b"\n").unwrap_or(object));
    out.extend_from_slice(b"}\n");
    Bytes::from(out)
}

fn expired(wanted: u64, oldest: u64) -> Bytes {
    let message = format!("too old resource version: {wanted} ({oldest})");
    line("ERROR", &Failure::plain(StatusCode::GONE, "Expired", message).body())
}

impl ApiServer {
    /// Remembers a change for the watches, and forgets the oldest beyond the limit.
    pub(super) fn record(
        &mut self,
        kind: ChangeKind,
        revision: u64,
        object: &Arc<LeaseObject>,
        json: &Bytes,
    ) {
        self.log.push_back(Change { kind, revision, object: Arc::clone(object), json: json.clone() });
        while self.log.len() > self.config.history.max(1) {
            if let Some(oldest) = self.log.pop_front() {
                self.oldest_watchable = oldest.revision;
                self.log_start += 1;
            }
        }
    }

    pub(super) fn start_watch(&mut self, call: &Call<'_>, namespace: Option<&str>) -> Result<Reply, Refusal> {
        let text = call.query.resource_version.as_str();
        let after = parse_version(text)
            .map_err(|why| Failure::internal(format!("resourceVersion: Invalid value: {text:?}: {why}")))?;
        let end = self.log_start + self.log.len() as u64;
        let mut watcher = Watcher {
            namespace: namespace.map(str::to_owned),
            selector: call.query.selector.clone(),
            after,
            next: end,
            waiting: VecDeque::new(),
            deadline: call.now.plus_seconds(
                call.query.timeout_seconds.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_TIMEOUT_SECONDS),
            ),
            bookmarks: call.query.bookmarks,
            end: None,
        };
        if after == 0 {
            // Without a version a watch begins with all that is there.
            let present = self.selected(namespace, &watcher.selector);
            watcher.waiting = present.map(|stored| line("ADDED", &stored.json)).collect();
        } else if after < self.oldest_watchable {
            watcher.waiting.push_back(expired(after, self.oldest_watchable));
            watcher.end = Some(end);
        } else {
            let skipped = self.log.partition_point(|change| change.revision <= after);
            watcher.next = self.log_start + skipped as u64;
        }
        let id = WatchId(self.next_watch);
        self.next_watch += 1;
        self.watches.insert(id, watcher);
        Ok(Reply::Watch(id))
    }

    /// The next line of a watch, if there is one. [`WatchItem::End`] comes once, then `None`; an unknown
    /// watch has nothing to tell.
    #[must_use]
    pub fn poll_watch(&mut self, id: WatchId) -> Option<WatchItem> {
        let watcher = self.watches.get_mut(&id)?;
        if let Some(line) = watcher.waiting.pop_front() {
            return Some(WatchItem::Line(line));
        }
        if watcher.next < self.log_start && watcher.end.is_none_or(|end| watcher.next < end) {
            // It is further behind than the log reaches back.
            watcher.next = u64::MAX;
            watcher.end = Some(0);
            return Some(WatchItem::Line(expired(watcher.after, self.oldest_watchable)));
        }
        while watcher.end.is_none_or(|end| watcher.next < end) {
            let index = watcher.next.saturating_sub(self.log_start) as usize;
            let change = self.log.get(index)?;
            watcher.next += 1;
            let meta = &change.object.meta;
            let here = watcher.namespace.as_ref().is_none_or(|namespace| *namespace == meta.namespace);
            if change.revision > watcher.after
                && here
                && watcher.selector.matches(&meta.namespace, &meta.name)
            {
                watcher.after = change.revision;
                return Some(WatchItem::Line(line(change.kind.as_str(), &change.json)));
            }
        }
        self.watches.remove(&id);
        Some(WatchItem::End)
    }

    /// Forgets a watch whose client hung up. Whether there was one.
    pub fn close_watch(&mut self, id: WatchId) -> bool {
        self.watches.remove(&id).is_some()
    }

    /// Ends every watch whose `timeoutSeconds` are over; what happened before is still told.
    pub fn expire_watches(&mut self, now: UnixMicros) {
        let end = self.log_start + self.log.len() as u64;
        for watcher in self.watches.values_mut().filter(|watcher| watcher.deadline <= now) {
            watcher.end.get_or_insert(end);
        }
    }

    /// When the next watch ends by itself, if there is any.
    #[must_use]
    pub fn next_watch_deadline(&self) -> Option<UnixMicros> {
        self.watches.values().filter(|watcher| watcher.end.is_none()).map(|watcher| watcher.deadline).min()
    }

    /// How many watches are open.
    #[must_use]
    pub fn open_watches(&self) -> usize {
        self.watches.len()
    }

    /// Sends a BOOKMARK to every watch that asked for them and has read everything before it.
    ///
    /// A real server does so about once a minute; the model only when told.
    pub fn send_bookmarks(&mut self) {
        let end = self.log_start + self.log.len() as u64;
        let empty = LeaseObject::default();
        let mut object = LEASE_PREFIX.to_vec();
        object.extend_from_slice(b"\"metadata\":");
        encode::metadata(&mut object, &empty, self.revision, None);
        object.extend_from_slice(b",\"spec\":{}}");
        for watcher in self.watches.values_mut() {
            if watcher.bookmarks && watcher.end.is_none() && watcher.next == end {
                watcher.waiting.push_back(line("BOOKMARK", &object));
            }
        }
    }

    /// Ends every watch at once, as a server that restarts does. With `forget`, the history goes too, so that
    /// a watch from an older version is answered with 410.
    pub fn end_watches(&mut self, forget: bool) {
        let end = self.log_start + self.log.len() as u64;
        for watcher in self.watches.values_mut() {
            watcher.end.get_or_insert(end);
        }
        if forget {
            self.log_start += self.log.len() as u64;
            self.log.clear();
            self.oldest_watchable = self.revision;
        }
    }
}
