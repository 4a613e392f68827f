//! The diagram and the tables of `src/manual/transitions.md` are what the machine does, seen in random scripts: `BLESS=1` rewrites
//! them.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "manual/diagram.rs"]
mod diagram;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use http::Method;
use lease_core::{Failure, Input, ReleasePolicy, RequestId, Status};
use serde_json::{Value, json};
use support::{Drained, Holder, Sent, absent, config, conflict, deleted, lease_of, status, stored};

const SCRIPTS: u64 = 8_000;
const STEPS: u32 = 60;

/// What has been seen: from a state, by an input, to states; and what was sent in a state.
#[derive(Default)]
struct Seen {
    transitions: BTreeMap<(Status, &'static str), BTreeSet<Status>>,
    requests: BTreeMap<&'static str, BTreeSet<Status>>,
}

/// Good enough to pick what happens next, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A server of one object.
#[derive(Default)]
struct Server {
    object: Option<Value>,
    version: u64,
}

impl Server {
    fn answer(&mut self, sent: &Sent) -> (u16, Value) {
        let now = self.object.as_ref().map(|object| object["metadata"].clone());
        match *sent.method() {
            Method::GET => self.object.clone().map_or_else(|| (404, absent()), |object| (200, object)),
            Method::POST if now.is_some() => (409, conflict()),
            Method::POST => (201, self.store(stored(sent, 0))),
            Method::PUT => match now {
                Some(now) if matches(&now, &sent.body()["metadata"]) => (200, self.store(sent.body())),
                _ => (409, conflict()),
            },
            _ => match now {
                None => (404, absent()),
                Some(now) if matches(&now, &sent.body()["preconditions"]) => {
                    self.object = None;
                    (200, deleted())
                }
                Some(_) => (409, conflict()),
            },
        }
    }

    /// What a watch tells: the object as it is, or the end of one.
    fn tells(&self, id: RequestId) -> Input {
        let event = match &self.object {
            Some(object) => json!({"type": "MODIFIED", "object": object}),
            None => {
                json!({"type": "DELETED", "object": lease_of("other", "2026-01-01T00:00:00.000000Z", self.version + 1)})
            }
        };
        Input::WatchChunk { id, bytes: format!("{event}\n").into() }
    }

    fn store(&mut self, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.object = Some(object.clone());
        object
    }
}

fn matches(now: &Value, wanted: &Value) -> bool {
    now["uid"] == wanted["uid"] && now["resourceVersion"] == wanted["resourceVersion"]
}

fn kind(sent: &Sent) -> &'static str {
    match *sent.method() {
        Method::GET => "`GET`",
        Method::POST => "`POST`",
        Method::DELETE => "`DELETE`",
        _ if sent.body()["spec"]["holderIdentity"].as_str().is_none_or(str::is_empty) => "`PUT`, vacating",
        _ => "`PUT`",
    }
}

fn script(seed: u64, seen: &mut Seen) {
    let mut dice = Dice(seed);
    let mut server = Server { version: 100, ..Server::default() };
    let policy = if dice.roll(2) == 0 { ReleasePolicy::Delete } else { ReleasePolicy::Vacate };
    let builder = config().release_policy(policy).watch(seed % 2 == 1);
    let mut holder = Holder::seeded(builder, u128::from(seed) + 1);
    let mut sent: Option<Sent> = None;
    let mut watch: Option<RequestId> = None;
    for _ in 0..STEPS {
        let from = holder.lease.status();
        // Now and then so long that a deadline passes.
        let most = if dice.roll(30) == 0 { 20_000 } else { 400 };
        holder.pass(Duration::from_millis(dice.roll(most)));
        let (input, drained): (&'static str, Drained) = match (dice.roll(12), sent.take()) {
            (0, waiting) => {
                sent = waiting;
                ("`TryAcquire`", holder.give(Input::TryAcquire))
            }
            (1, waiting) => {
                sent = waiting;
                ("`Campaign`", holder.give(Input::Campaign))
            }
            (2, waiting) if dice.roll(2) == 0 => {
                sent = waiting;
                ("`Release`", holder.give(Input::Release))
            }
            (3, waiting) => {
                sent = waiting;
                // Somebody else writes, or deletes.
                match dice.roll(3) {
                    0 => server.object = None,
                    _ => drop(server.store(lease_of("other", "2026-01-01T00:00:00.000000Z", 0))),
                }
                continue;
            }
            (4, Some(request)) => {
                // Applied, and the answer is lost.
                server.answer(&request);
                ("failure", holder.fail(&request, Failure::Unknown))
            }
            (5, Some(request)) => {
                ("response", holder.respond(&request, 503, &status(503, "ServiceUnavailable", Value::Null)))
            }
            (7, waiting) if watch.is_some() => {
                sent = waiting;
                ("watch", holder.give(server.tells(watch.unwrap_or(RequestId(0)))))
            }
            (6, waiting) => {
                sent = waiting;
                holder.pass(Duration::from_millis(dice.roll(20_000)));
                ("`Tick`", holder.give(Input::Tick))
            }
            (_, Some(request)) => {
                let (code, body) = server.answer(&request);
                ("response", holder.respond(&request, code, &body))
            }
            (_, None) if holder.lease.poll_timeout().is_some() => ("`Tick`", holder.wake()),
            (_, None) => continue,
        };
        let to = holder.lease.status();
        seen.transitions.entry((from, input)).or_default().insert(to);
        watch = drained.watches.last().map_or(watch, |opened| Some(opened.id));
        for id in &drained.refreshes {
            holder.give(Input::CredentialsReady { id: *id });
        }
        for request in drained.sent {
            seen.requests.entry(kind(&request)).or_default().insert(to);
            sent = Some(request);
        }
    }
}

fn tables(seen: &Seen) -> String {
    let list = |states: &BTreeSet<Status>| {
        states.iter().map(|state| format!("`{state:?}`")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "# What leads where\n\nMade by a test that runs {SCRIPTS} random scripts and writes down what it sees; it fails when the \
         machine does anything else.\nA deadline that has passed is handled before the input that shows it, so any input can \
         end a term.\n\n{}\n| in | input | then |\n| --- | --- | --- |\n",
        diagram::svg(&seen.transitions)
    );
    for ((from, input), to) in &seen.transitions {
        writeln!(text, "| `{from:?}` | {input} | {} |", list(to)).unwrap();
    }
    text.push_str("\n| request | sent in |\n| --- | --- |\n");
    for (request, states) in &seen.requests {
        writeln!(text, "| {request} | {} |", list(states)).unwrap();
    }
    text
}

#[test]
fn the_manuals_diagram_and_tables_are_what_the_machine_does() {
    let mut seen = Seen::default();
    for seed in 0..SCRIPTS {
        script(seed, &mut seen);
    }
    let made = tables(&seen);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/transitions.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    assert_eq!(made, std::fs::read_to_string(path).unwrap(), "BLESS=1 writes the new tables");
}
