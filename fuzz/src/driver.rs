//! Drives a machine through a script.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use lease_core::{
    Action, Command, Config, Failure, Input, Lease, MonoTime, Now, Output, RequestId, Seed, WallTime,
};
use serde_json::{Value, json};

use crate::checks::Checks;
use crate::script::{Choice, Edit, Lost, Saying, Script, Step, Time, Told};
use crate::server::{Server, absent, apply, response, status};
use crate::times::{http_date, rfc3339};

/// `LEASE_FUZZ_TRACE=1` prints what goes in and what comes out, to look at one file.
static TRACE: LazyLock<bool> = LazyLock::new(|| std::env::var_os("LEASE_FUZZ_TRACE").is_some());
/// Longer scripts find nothing that shorter ones do not.
const MOST_STEPS: usize = 200;
/// 2026-01-01T00:00:00Z.
const EPOCH: WallTime = WallTime::from_micros(1_767_225_600_000_000);

struct Driver {
    config: Config,
    lease: Lease,
    now: Now,
    /// What the machine takes for the monotonic time: the highest reading.
    highest: MonoTime,
    checks: Checks,
    server: Server,
    current: Option<(RequestId, Request<Bytes>)>,
    /// A request that reaches the server late.
    delayed: Option<Request<Bytes>>,
    writes: Vec<Value>,
    refresh: Option<RequestId>,
    /// The watch that was opened last.
    watch: RequestId,
}

/// Runs a script; panics when a clause is broken.
pub fn run(script: &Script) {
    let config = script.config.build();
    let now = Now { mono: MonoTime::from_nanos(1_000_000_000_000), wall: EPOCH };
    let lease = Lease::new(config.clone(), Seed(u128::from(script.seed)), now);
    let mut driver = Driver {
        config,
        lease,
        now,
        highest: now.mono,
        checks: Checks::default(),
        server: Server::default(),
        current: None,
        delayed: None,
        writes: Vec::new(),
        refresh: None,
        watch: RequestId(1),
    };
    for step in script.steps.iter().take(MOST_STEPS) {
        driver.step(step);
    }
    driver.give(Input::Tick, true);
}

impl Driver {
    fn step(&mut self, step: &Step) {
        self.pass(step.time);
        let alive_before = self.lease.check_alive(self.now.mono);
        if let Some(held) = alive_before {
            assert!(self.now.mono.max(self.highest) < held.until, "clause 1: alive past `until`");
        }
        if let Choice::Watch(told) = &step.input {
            self.tell(told, !step.skip_drain);
        } else if let Some(input) = self.input(&step.input) {
            self.give(input, !step.skip_drain);
        }
    }

    /// The watch brings something.
    fn tell(&mut self, told: &Told, drain: bool) {
        let id = self.watch;
        match told {
            Told::Head => self.hint(Input::WatchChunk { id, bytes: Bytes::new() }, drain),
            Told::Event { kind, edit, version, cut } => {
                let event = self.event(*kind, *edit, *version);
                let at = cut.map_or(event.len(), |cut| usize::from(cut) % event.len());
                let whole = self.lease.clone();
                self.hint(Input::WatchChunk { id, bytes: event.slice(..at) }, false);
                self.hint(Input::WatchChunk { id, bytes: event.slice(at..) }, false);
                self.same_as_whole(whole, Input::WatchChunk { id, bytes: event });
                self.give(Input::Tick, drain);
            }
            Told::Bytes(bytes) => self.hint(Input::WatchChunk { id, bytes: bytes.clone().into() }, drain),
            Told::Status(code) => {
                let body = status(code % 1000, "So", json!({})).to_string();
                let input = self.answer(id, code % 1000, body.into(), None, None);
                self.hint(input, drain);
            }
            Told::Lost(how) => {
                let input = self.fail(id, *how);
                self.hint(input, drain);
            }
            Told::Closed => {
                self.hint(Input::WatchClosed { id }, drain);
                self.checks.closed(id);
            }
        }
    }

    /// Clause 6: a term stays as it is, or ends.
    fn hint(&mut self, input: Input, drain: bool) {
        let (Input::WatchChunk { id, .. }
        | Input::WatchClosed { id }
        | Input::Response { id, .. }
        | Input::Failed { id, .. }) = &input
        else {
            return;
        };
        let is_watch = self.checks.is_watch(*id);
        let mut ticked = self.lease.clone();
        ticked.handle(self.now, Input::Tick);
        let before = ticked.check_alive(self.now.mono);
        self.give(input, drain);
        let after = self.lease.check_alive(self.now.mono);
        assert!(!is_watch || after.is_none() || after == before, "clause 6: {before:?} became {after:?}");
    }

    /// Where a stream is cut makes no difference.
    fn same_as_whole(&self, mut whole: Lease, input: Input) {
        whole.handle(self.now, input);
        let seen = |lease: &Lease| (lease.status(), lease.poll_timeout(), lease.check_alive(self.now.mono));
        assert_eq!(seen(&whole), seen(&self.lease), "a stream that is cut says something else");
    }

    /// A line of a watch.
    fn event(&self, kind: u8, edit: Option<Edit>, version: i8) -> Bytes {
        const TYPES: [&str; 6] = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "NEW"];
        let last = || self.writes.last().cloned().unwrap_or_default();
        let mut object = self.server.object.clone().unwrap_or_else(last);
        if let Some(edit) = edit.filter(|_| object.is_object()) {
            apply(&mut object, edit, |seconds| rfc3339(self.now.wall, seconds));
        }
        if let Some(known) =
            object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok())
        {
            let moved = known.saturating_add_signed(version.into());
            object["metadata"]["resourceVersion"] = json!(moved.to_string());
        }
        let kind = TYPES[usize::from(kind) % TYPES.len()];
        format!("{}\n", json!({"type": kind, "object": object})).into()
    }

    fn pass(&mut self, time: Time) {
        let both = |now: Now, by: Duration| Now {
            mono: now.mono.saturating_add(by),
            wall: now.wall.saturating_add(by),
        };
        let to_wake = self.lease.poll_timeout().unwrap_or(self.now.mono).saturating_since(self.now.mono);
        self.now = match time {
            Time::Stand => self.now,
            Time::Nanos(nanos) => both(self.now, Duration::from_nanos(u64::from(nanos))),
            Time::Millis(millis) => both(self.now, Duration::from_millis(u64::from(millis))),
            Time::Tenths(tenths) => both(self.now, self.config.ttl() / 10 * u32::from(tenths)),
            Time::ToWake => both(self.now, to_wake),
            Time::BeforeWake => both(self.now, to_wake.saturating_sub(Duration::from_nanos(1))),
            Time::MonoBack(millis) => {
                let mono = self.now.mono.saturating_sub(Duration::from_millis(u64::from(millis)));
                Now { mono, ..self.now }
            }
            Time::MonoLeap(nanos) => {
                // The end of the clock is its own world: leaps of 18 years at most.
                let mono = self.now.mono.saturating_add(Duration::from_nanos(nanos >> 5));
                Now { mono: mono.min(MonoTime::from_nanos(u64::MAX / 4)), ..self.now }
            }
            Time::WallSeconds(seconds) => {
                Now { wall: self.now.wall.offset_by(i64::from(seconds) * 1_000_000), ..self.now }
            }
            Time::WallLeap(micros) => Now { wall: WallTime::from_micros(micros), ..self.now },
        };
    }

    fn input(&mut self, choice: &Choice) -> Option<Input> {
        Some(match choice {
            Choice::Tick => Input::Tick,
            Choice::TryAcquire => self.command(Some(Command::TryAcquire), Input::TryAcquire),
            Choice::Campaign => self.command(Some(Command::Campaign), Input::Campaign),
            Choice::Release => self.command(None, Input::Release),
            Choice::Serve { date } => {
                self.serve_delayed();
                let (id, request) = self.current.take()?;
                let (code, body) = self.server.serve(&request);
                self.answer(id, code, body.to_string().into(), None, *date)
            }
            Choice::ServeSilently(how) => {
                self.serve_delayed();
                let (id, request) = self.current.take()?;
                if !matches!(how, Lost::NotSent) {
                    self.server.serve(&request);
                }
                self.fail(id, *how)
            }
            Choice::Delay => {
                let (id, request) = self.current.take()?;
                self.delayed = Some(request);
                self.fail(id, Lost::Unknown)
            }
            Choice::Say(saying) => {
                let (id, _) = self.current.take()?;
                self.say(id, saying)
            }
            Choice::Fail(how) => {
                let (id, _) = self.current.take()?;
                self.fail(id, *how)
            }
            Choice::Stray(id) => Input::Failed { id: RequestId(u64::from(*id)), failure: Failure::Unknown },
            Choice::Credentials => Input::CredentialsReady { id: self.refresh.take()? },
            // Told by itself.
            Choice::Watch(_) => return None,
            Choice::Admin(edit) => {
                self.serve_delayed();
                let wall = self.now.wall;
                self.server.edit(*edit, |seconds| rfc3339(wall, seconds));
                return None;
            }
        })
    }

    fn command(&mut self, command: Option<Command>, input: Input) -> Input {
        self.checks.asked(command);
        input
    }

    fn serve_delayed(&mut self) {
        if let Some(request) = self.delayed.take() {
            self.server.serve(&request);
        }
    }

    fn fail(&mut self, id: RequestId, how: Lost) -> Input {
        let failure = match how {
            Lost::Unknown => Failure::Unknown,
            Lost::NotSent => Failure::NotSent,
            Lost::TooLarge => Failure::TooLarge,
        };
        Input::Failed { id, failure }
    }

    fn answer(
        &self,
        id: RequestId,
        code: u16,
        body: Bytes,
        retry_after: Option<u32>,
        date: Option<i16>,
    ) -> Input {
        let mut response = response(code, body);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        if let Some(offset) = date {
            let text = http_date(self.now.wall, i64::from(offset));
            response.headers_mut().insert("date", text.parse().expect("a header"));
        }
        Input::Response { id, response }
    }

    fn say(&mut self, id: RequestId, saying: &Saying) -> Input {
        let conflict = || status(409, "Conflict", json!({"name": "job"}));
        let (code, body, retry_after) = match saying {
            Saying::Absent => (404, absent().to_string().into(), None),
            Saying::Conflict => (409, conflict().to_string().into(), None),
            Saying::Status { code, retry_after, bare } => {
                let code = if *code < 100 { 400 + code } else { *code % 1000 };
                let body = if *bare { String::new() } else { status(code, "So", json!({})).to_string() };
                (code, body.into(), *retry_after)
            }
            Saying::Namespace(true) => {
                let causes = json!([{"reason": "NamespaceTerminating"}]);
                (403, status(403, "Forbidden", json!({"causes": causes})).to_string().into(), None)
            }
            Saying::Namespace(false) => {
                (404, status(404, "NotFound", json!({"kind": "namespaces"})).to_string().into(), None)
            }
            Saying::Written { back, version } => {
                let index = self.writes.len().checked_sub(1 + usize::from(*back) % 4);
                let mut object = index.map_or(Value::Null, |index| self.writes[index].clone());
                if object["metadata"].is_object() {
                    let read =
                        object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
                    let version = read.unwrap_or(1_u64).saturating_add(u64::from(*version));
                    object["metadata"]["resourceVersion"] = json!(version.to_string());
                    if object["metadata"]["uid"].is_null() {
                        object["metadata"]["uid"] = json!("uid-1");
                    }
                }
                (200, object.to_string().into(), None)
            }
            Saying::Edited(edit) => {
                let mut object = self.server.object.clone().unwrap_or_default();
                if object.is_object() {
                    apply(&mut object, *edit, |seconds| rfc3339(self.now.wall, seconds));
                }
                (200, object.to_string().into(), None)
            }
            Saying::Garbage { code, body } => (code.unwrap_or(200) % 1000, body.clone().into(), None),
        };
        self.answer(id, code, body, retry_after, None)
    }

    fn give(&mut self, input: Input, drain: bool) {
        if let Input::Response { id, .. } | Input::Failed { id, .. } = &input
            && self.checks.answers(*id)
        {
            // A stray with the id of the real one ends it, too.
            self.current = None;
        }
        if *TRACE {
            eprintln!("{:?} {input:?}", self.now);
        }
        let mut twin = self.lease.clone();
        self.lease.handle(self.now, input.clone());
        twin.handle(self.now, input);
        assert!(self.lease == twin, "clause 8: equal machines differ after an equal input");
        self.highest = self.highest.max(self.now.mono);
        if drain {
            self.drain(twin);
        }
    }

    fn drain(&mut self, mut twin: Lease) {
        let now = Now { mono: self.highest, ..self.now };
        for count in 0.. {
            let queued = self.lease.poll_timeout();
            let output = self.lease.poll();
            let other = twin.poll();
            assert_eq!(format!("{output:?}"), format!("{other:?}"), "clause 8");
            if *TRACE {
                eprintln!("    {output:?}");
            }
            self.checks.output(&self.config, now, &output);
            match output {
                Output::Idle { wake, .. } => {
                    assert_eq!(queued, wake, "poll_timeout and poll disagree");
                    return self.checks.rest(&self.lease, now, count);
                }
                Output::Action(Action::Send { id, request, .. }) => {
                    if let Ok(body) = serde_json::from_slice::<Value>(request.body())
                        && body["spec"].is_object()
                    {
                        self.writes.push(body);
                    }
                    self.current = Some((id, request));
                }
                Output::Action(Action::Abort { .. }) => {
                    // It may still reach the server.
                    self.delayed = self.current.take().map(|(_, request)| request).or(self.delayed.take());
                }
                Output::Action(Action::RefreshCredentials { id }) => self.refresh = Some(id),
                Output::Action(Action::OpenWatch { id, .. }) => self.watch = id,
                _ => {}
            }
            assert_eq!(queued, Some(self.highest), "clause 7: `poll_timeout` while something waits");
        }
    }
}
