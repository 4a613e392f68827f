//! Carries out a plan: turns each step into a reading of the clocks and an input.

use bytes::Bytes;
use http::header::{DATE, RETRY_AFTER};
use http::{Request, Response};
use lease_core::{Action, Event, Input, Lease, MonoTime, Now, Output, RequestId, WallTime};
use serde_json::{Value, json};

use super::plan::{
    Answer, Command, Drain, Edit, Given, Headers, Pace, Plan, StatusBody, Step, Target, Told, Wall,
};
use super::server::{NONCE, Server, text};
use crate::support::{absent, conflict, deleted, status};

/// A request as it was polled.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) id: RequestId,
    pub(crate) request: Request<Bytes>,
    pub(crate) give_up_at: MonoTime,
    /// The reading at which it was polled: the one at which it was queued, where everything is drained.
    pub(crate) polled_at: MonoTime,
}

impl Sent {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_slice(self.request.body()).unwrap_or(Value::Null)
    }

    /// The `renewTime` of a write that puts a name there.
    pub(crate) fn stamp(&self) -> Option<String> {
        let body = self.body();
        let names_somebody = !text(&body, "/spec/holderIdentity").is_empty();
        names_somebody.then(|| text(&body, "/spec/renewTime").to_owned())
    }
}

/// One machine, its clocks, a server, and what was sent so far.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) lease: Lease,
    pub(crate) now: Now,
    /// The highest monotonic reading that was handed in.
    pub(crate) high: MonoTime,
    pub(crate) server: Server,
    pub(crate) sent: Vec<Sent>,
    /// The watch that was opened last.
    pub(crate) watch: Option<RequestId>,
}

/// The end of the clock.
const LAST: MonoTime = MonoTime::from_nanos(u64::MAX / 2);

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let now = plan.setup.start();
        let mut server = Server { revision: 1000, ..Server::default() };
        if plan.setup.existing {
            // Somebody has waited for it already, so that a warm machine holds at once.
            server.make(None);
            server.edit(|object| {
                let uid = object["metadata"]["uid"].clone();
                object["metadata"]["annotations"] = json!({"lease-core.rs/settled": uid});
            });
        }
        Self {
            lease: plan.setup.lease(),
            now,
            high: now.mono.min(LAST),
            server,
            sent: Vec::new(),
            watch: None,
        }
    }

    /// Carries out a whole plan. `law` looks at the world after each step, with what was handed in and what
    /// came out; the friendly beginning of a warm plan is part of it.
    pub(crate) fn run(plan: &Plan, mut law: impl FnMut(&Self, &Input, &[Output])) -> Self {
        let mut world = Self::new(plan);
        for step in &world.steps(plan) {
            let input = world.aim(step);
            world.lease.handle(world.now, input.clone());
            let outputs = world.drain(step.drain);
            law(&world, &input, &outputs);
        }
        world
    }

    /// The plan's steps, with the friendly beginning that it asks for.
    pub(crate) fn steps(&self, plan: &Plan) -> Vec<Step> {
        let friendly =
            |given| Step { pace: Pace::Nanos(10_000_000), wall: Wall::Follow, given, drain: Drain::All };
        let mut steps = Vec::new();
        if let Some(command) = plan.setup.warm {
            steps.push(friendly(Given::Command(command)));
            for _ in 0..2 {
                let answer = Given::Response(Target::Latest, Answer::Faithful, Headers::default());
                steps.push(friendly(answer));
            }
        }
        steps.extend(plan.steps.iter().cloned());
        steps
    }

    /// Moves the clocks as a step says and makes its input. Changes the server, not yet the machine.
    pub(crate) fn aim(&mut self, step: &Step) -> Input {
        self.turn(step);
        self.high = self.high.max(self.now.mono).min(LAST);
        match &step.given {
            Given::Tick => Input::Tick,
            Given::Command(Command::TryAcquire) => Input::TryAcquire,
            Given::Command(Command::Campaign) => Input::Campaign,
            Given::Command(Command::Release) => Input::Release,
            Given::Response(target, answer, headers) => {
                let id = self.id(*target);
                let response = self.respond(id, answer, headers);
                Input::Response { id, response }
            }
            Given::Failed(target, failure, applied) => {
                let id = self.id(*target);
                let request = self.request(id);
                if let Some(request) = request.filter(|_| *applied) {
                    self.server.serve(&request);
                }
                Input::Failed { id, failure: *failure }
            }
            Given::Credentials(target) => Input::CredentialsReady { id: self.id(*target) },
            Given::Watch(target, told) => {
                let watch = self.watch.filter(|_| matches!(target, Target::Latest));
                let id = watch.unwrap_or_else(|| self.id(*target));
                self.tell(id, told)
            }
        }
    }

    fn tell(&mut self, id: RequestId, told: &Told) -> Input {
        let read = Request::default();
        let bytes = match told {
            Told::Head => Bytes::new(),
            Told::Event(kind, answer) => {
                let (_, object) = self.answer(&read, answer);
                let event =
                    [format!("{{\"type\":\"{kind}\",\"object\":").as_bytes(), &object, b"}\n"].concat();
                event.into()
            }
            Told::Bytes(bytes) => bytes.clone().into(),
            Told::Response(answer) => {
                let response = self.respond(id, answer, &Headers::default());
                return Input::Response { id, response };
            }
            Told::Failed(failure) => return Input::Failed { id, failure: *failure },
            Told::Closed => return Input::WatchClosed { id },
        };
        Input::WatchChunk { id, bytes }
    }

    /// Polls, and remembers what was sent.
    pub(crate) fn drain(&mut self, drain: Drain) -> Vec<Output> {
        let mut outputs = Vec::new();
        while drain == Drain::All || (drain == Drain::One && outputs.is_empty()) {
            let output = self.lease.poll();
            match &output {
                Output::Action(Action::Send { id, request, give_up_at, .. }) => self.sent.push(Sent {
                    id: *id,
                    request: request.clone(),
                    give_up_at: *give_up_at,
                    polled_at: self.high,
                }),
                // An answer to a refresh finds it like a request that was sent.
                Output::Action(Action::RefreshCredentials { id }) => self.sent.push(Sent {
                    id: *id,
                    request: Request::default(),
                    give_up_at: self.high,
                    polled_at: self.high,
                }),
                Output::Action(Action::OpenWatch { id, .. }) => self.watch = Some(*id),
                _ => {}
            }
            let idle = matches!(output, Output::Idle { .. });
            outputs.push(output);
            if idle {
                break;
            }
        }
        outputs
    }

    pub(crate) fn find(&self, id: RequestId) -> Option<&Sent> {
        self.sent.iter().find(|sent| sent.id == id)
    }

    fn request(&self, id: RequestId) -> Option<Request<Bytes>> {
        self.find(id).map(|sent| sent.request.clone())
    }

    fn turn(&mut self, step: &Step) {
        let before = self.now;
        let near = |at: Option<MonoTime>, nanos: i64| {
            let at = at.unwrap_or(before.mono).as_nanos();
            MonoTime::from_nanos(at.saturating_add_signed(nanos).max(self.high.as_nanos()))
        };
        self.now.mono = match step.pace {
            Pace::Nanos(nanos) => MonoTime::from_nanos(self.high.as_nanos().saturating_add(nanos)),
            Pace::Back(nanos) => MonoTime::from_nanos(before.mono.as_nanos().saturating_sub(nanos)),
            Pace::Absolute(nanos) => MonoTime::from_nanos(nanos),
            Pace::ToWake(nanos) => near(self.wake(), nanos),
            Pace::ToUntil(nanos) => near(self.lease.check_alive(self.high).map(|held| held.until), nanos),
            Pace::ToGiveUp(nanos) => near(self.sent.last().map(|sent| sent.give_up_at), nanos),
        };
        self.now.wall = match step.wall {
            Wall::Follow => {
                let passed = self.now.mono.saturating_since(before.mono);
                // The wall clock of the far end would only ever be the same absurd one.
                before.wall.saturating_add(passed.min(std::time::Duration::from_secs(1 << 30)))
            }
            Wall::Stand => before.wall,
            Wall::Jump(micros) => before.wall.offset_by(micros),
            Wall::Absolute(micros) => WallTime::from_micros(micros),
        };
    }

    /// What the machine would ask to be woken for, were it drained now.
    pub(crate) fn wake(&self) -> Option<MonoTime> {
        let mut drained = self.lease.clone();
        loop {
            if let Output::Idle { wake, .. } = drained.poll() {
                return wake;
            }
        }
    }

    fn id(&self, target: Target) -> RequestId {
        let last = self.sent.last().map_or(RequestId(0), |sent| sent.id);
        match target {
            Target::Latest => last,
            Target::Older(back) => {
                let older = self.sent.len().checked_sub(2 + back);
                older.map_or(RequestId(0), |index| self.sent[index].id)
            }
            Target::Unpolled => RequestId(last.0 + 1),
            Target::Random(number) => RequestId(number),
        }
    }

    fn respond(&mut self, id: RequestId, answer: &Answer, headers: &Headers) -> Response<Bytes> {
        let request = self.request(id).unwrap_or_default();
        let (status, body) = self.answer(&request, answer);
        let mut response = Response::new(body);
        *response.status_mut() = status.try_into().unwrap_or_default();
        let date = headers.date.map(|seconds| http_date(self.now.wall.offset_by(seconds * 1_000_000)));
        let date = headers.odd_date.map(str::to_owned).or(date);
        if let Some(date) = date.and_then(|date| date.parse().ok()) {
            response.headers_mut().insert(DATE, date);
        }
        if let Some(pause) = headers.retry_after.and_then(|pause| pause.parse().ok()) {
            response.headers_mut().insert(RETRY_AFTER, pause);
        }
        response
    }

    fn answer(&mut self, request: &Request<Bytes>, answer: &Answer) -> (u16, Bytes) {
        let (status, body) = match answer {
            Answer::Faithful => self.serve(request),
            Answer::Truncated(length) => {
                let (status, body) = self.serve(request);
                let mut bytes = body.to_string().into_bytes();
                bytes.truncate(*length);
                return (status, bytes.into());
            }
            Answer::Restored(writes) => {
                self.server.revision = self.server.revision.saturating_sub(*writes);
                self.server.object = None;
                self.serve(request)
            }
            Answer::Mirror => return (200, request.body().clone()),
            Answer::Edited(edit) => {
                let (status, mut body) = self.serve(request);
                apply(*edit, &mut body);
                (status, body)
            }
            Answer::Meddled(edit) => {
                self.server.edit(|object| apply(*edit, object));
                self.serve(request)
            }
            Answer::Foreign { holder, age, seconds, revisions } => {
                self.server.revision = self.server.revision.saturating_add_signed(*revisions);
                let time = rfc3339(self.now.wall.offset_by(-*age));
                self.server.object = Some(foreign(holder, &time, *seconds, self.server.revision));
                self.serve(request)
            }
            Answer::Absent => {
                self.server.object = None;
                (404, absent())
            }
            Answer::Conflict => (409, conflict()),
            Answer::Deleted => (200, deleted()),
            Answer::Status { code, body } => (*code, status_body(*code, *body)),
            Answer::Bytes(bytes) => return (200, bytes.clone().into()),
        };
        let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        (status, bytes)
    }

    fn serve(&mut self, request: &Request<Bytes>) -> (u16, Value) {
        let served = self.server.serve(request);
        (served.status, served.body)
    }
}

fn foreign(holder: &str, time: &str, seconds: i64, revision: u64) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "job", "namespace": "default",
            "uid": "22222222-2222-4222-8222-222222222222",
            "resourceVersion": revision.to_string(),
            "annotations": {NONCE: format!("{:032x} {holder}", 77)},
        },
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": 3,
            "acquireTime": time, "renewTime": time,
        }
    })
}

fn status_body(code: u16, body: StatusBody) -> Value {
    match body {
        StatusBody::Full => {
            status(code, "Reason", json!({"name": "job", "group": "coordination.k8s.io", "kind": "leases"}))
        }
        StatusBody::Namespace => status(code, "Reason", json!({"name": "default", "kind": "namespaces"})),
        StatusBody::Terminating => {
            status(code, "Reason", json!({"causes": [{"reason": "NamespaceTerminating"}]}))
        }
        StatusBody::Empty => Value::Null,
        StatusBody::Page => json!("<html>a proxy's page</html>"),
    }
}

/// Puts a value at a JSON pointer, or removes it.
pub(crate) fn apply(edit: Edit, body: &mut Value) {
    let (parent, key) = edit.pointer.rsplit_once('/').unwrap_or(("", ""));
    let Some(Value::Object(fields)) = body.pointer_mut(parent) else {
        return;
    };
    match serde_json::from_str(edit.json) {
        Ok(value) => fields.insert(key.to_owned(), value),
        Err(_) => fields.remove(key),
    };
}

/// Every event among some outputs.
pub(crate) fn events(outputs: &[Output]) -> impl Iterator<Item = &Event> {
    outputs.iter().filter_map(|output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    })
}

/// Days since the epoch and the civil date, by counting: slow, and plainly right.
fn civil(wall: WallTime) -> (i64, i64, i64, i64) {
    let seconds = wall.as_micros().clamp(0, 253_402_300_799_999_999) / 1_000_000;
    let (mut days, mut year) = (seconds / 86_400, 1970);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as i64 + 1, days + 1, seconds % 86_400)
}

/// A `Date` header.
pub(crate) fn http_date(wall: WallTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, second) = civil(wall);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let month = MONTHS[month as usize - 1];
    format!("Mon, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// A timestamp as an API server stores it.
pub(crate) fn rfc3339(wall: WallTime) -> String {
    let (year, month, day, second) = civil(wall);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = wall.as_micros().clamp(0, 253_402_300_799_999_999) % 1_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}
