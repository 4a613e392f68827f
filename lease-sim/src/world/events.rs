//! What the API server tells on a watch, and what becomes of it on the way.

use bytes::Bytes;

use super::World;
use super::carry::resource_version;
use super::streams::{Said, State};
use crate::api_server::WatchItem;
use crate::oracle::Hint;
use crate::plan::{DEAF, Pieces, Telling};

const GONE: &[u8] = b"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\
    \"status\":\"Failure\",\"message\":\"too old resource version: 1 (100)\",\"reason\":\"Expired\",\"code\":410}}\n";
const GARBAGE: [&[u8]; 4] = [
    b"<html><body>upstream error</body></html>\n",
    b"{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Lease\"\n",
    b"\x00\xff\xfe\x1f\x8b\x08\n",
    b"{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"job\"}}}\n",
];

fn bookmark(version: u64) -> Bytes {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/v1\",\
         \"metadata\":{{\"resourceVersion\":\"{version}\"}},\"spec\":{{}}}}}}\n"
    )
    .into()
}

/// The same event, as if it were about another object: another's deletion, or another's holder.
fn of_another(line: &[u8], version: u64) -> Bytes {
    let next = format!("\"resourceVersion\":\"{}\"", version + 1);
    let text = String::from_utf8_lossy(line)
        .replacen(&format!("\"resourceVersion\":\"{version}\""), &next, 1)
        .replacen("\"name\":\"job\"", "\"name\":\"another\"", 1)
        .replacen("\"uid\":\"", "\"uid\":\"f", 1)
        .replace("holder-", "stranger-");
    if version.is_multiple_of(2) {
        text.replacen("\"MODIFIED\"", "\"DELETED\"", 1).into()
    } else {
        text.into()
    }
}

impl World<'_> {
    /// The object has changed: whoever watches is told.
    pub(super) fn tell_watches(&mut self) {
        for index in (0..self.unfinished.len()).rev() {
            if let Some(stream) = self.unfinished.get(index) {
                self.tell_watch(*stream);
            }
        }
    }

    /// A watch has lasted for as long as it was to.
    pub(super) fn watch_expires(&mut self, stream: u32) {
        let now = self.server_now();
        self.server.expire_watches(now);
        self.tell_watch(stream);
    }

    /// Carries what the server has to say on a watch.
    pub(super) fn tell_watch(&mut self, stream: u32) {
        while let State::Open(id) = self.streams[stream as usize].state {
            match self.server.poll_watch(id) {
                None => return,
                Some(WatchItem::End) => {
                    let open = &mut self.streams[stream as usize];
                    open.state = State::Ended;
                    let at = self.now + self.slowed(self.streams[stream as usize].fate.back);
                    return self.say(stream, at, Said::End);
                }
                Some(WatchItem::Line(line)) => self.tell(stream, line),
            }
        }
    }

    /// One line, and what befalls it.
    fn tell(&mut self, stream: u32, line: Bytes) {
        let open = &mut self.streams[stream as usize];
        open.events += 1;
        let (key, event, back) = (open.key(), open.events, open.fate.back);
        let before = std::mem::replace(&mut open.line, line.clone());
        if self.plan.watches.deaf {
            return self.counts.befell(DEAF);
        }
        let (telling, pieces) = match self.healed {
            true => (Telling::Plain, Pieces::One),
            false => self.plan.drawn_telling(key, event),
        };
        self.counts.befell(telling.name());
        let mut at = self.now + self.slowed(back);
        let hint = self.hint_of(&line);
        match telling {
            Telling::Plain => {}
            Telling::Drop => return,
            Telling::Late(span) => at = at.saturating_add(span).min(self.plan.heals_at.max(at)),
            Telling::Break => {
                self.say(stream, at, Said::Bytes(Bytes::from_static(GONE), vec![Hint::Gone]));
                return self.break_watch(stream);
            }
            Telling::Garbage => {
                let garbage = GARBAGE[event as usize % GARBAGE.len()];
                return self.say(stream, at, Said::Bytes(Bytes::from_static(garbage), vec![Hint::Garbage]));
            }
            Telling::Bookmark | Telling::Stranger => {
                self.say_line(stream, at, line.clone(), hint, pieces);
                return self.say_odd(stream, at, &line, telling == Telling::Bookmark);
            }
            Telling::Repeat => {
                self.say_line(stream, at, line.clone(), hint, pieces);
                let again = if before.is_empty() { line } else { before };
                let hint = self.hint_of(&again);
                return self.say_line(stream, at, again, hint, Pieces::One);
            }
        }
        self.say_line(stream, at, line, hint, pieces);
    }

    /// What nobody asked for: somebody has written another object, and a line tells that.
    fn say_odd(&mut self, stream: u32, at: u64, line: &Bytes, bookmark: bool) {
        let version = self.server.resource_version();
        if resource_version(line) != Some(version) {
            // More is to come that is older than that.
            return;
        }
        let next = self.server.next_revision();
        let line = if bookmark { self::bookmark(next) } else { of_another(line, version) };
        self.say(stream, at, Said::Bytes(line, vec![Hint::Odd]));
    }

    /// A line in one piece, in two, or in one with what goes before.
    fn say_line(&mut self, stream: u32, at: u64, line: Bytes, hint: Hint, pieces: Pieces) {
        match pieces {
            Pieces::Two(share) => {
                self.counts.befell(pieces.name());
                let cut = ((u64::from(share) * line.len() as u64) >> 32) as usize;
                self.say(stream, at, Said::Bytes(line.slice(..cut), Vec::new()));
                return self.say(stream, at + 1_000, Said::Bytes(line.slice(cut..), vec![hint]));
            }
            Pieces::Joined => {
                let now = self.now;
                let last = self.streams[stream as usize].coming.back_mut().filter(|piece| piece.at > now);
                if let Some(Said::Bytes(bytes, hints)) = last.map(|piece| &mut piece.what) {
                    *bytes = [&**bytes, &*line].concat().into();
                    hints.push(hint);
                    return self.counts.befell(pieces.name());
                }
            }
            Pieces::One => {}
        }
        self.say(stream, at, Said::Bytes(line, vec![hint]));
    }

    /// What a line of the server tells.
    fn hint_of(&self, line: &[u8]) -> Hint {
        let Some(version) = resource_version(line) else {
            return Hint::Gone;
        };
        if line.starts_with(b"{\"type\":\"DELETED\"") {
            return Hint::Deleted(version);
        }
        let known = self.history.iter().rev().find(|(_, _, shown)| shown.version == version);
        known.map_or(Hint::Unknown(version), |(_, _, shown)| Hint::Object(*shown))
    }
}
