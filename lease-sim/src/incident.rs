//! An adapter's flight recording, run again and turned into a [`Trace`].
//!
//! A recording holds what one machine was told and what it asked for. The very same core runs over it once more,
//! bit for bit, and what happens is written down as for a simulated run: one lane, its requests, its belief.
//! What nobody recorded is filled in, and only that:
//!
//! * *When* a request reached the API server: half way between its emission and its answer. A write without an
//!   answer has arrived if the record shows it later.
//! * *The record*: as the holder saw it in answers, from the instant at which the answer was made.
//! * *Pauses*: the machine wanted to be woken and nobody came, for longer than a twentieth of the ttl.
//!
//! True time is the recorded monotonic clock, counted from the recording's start.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use lease_core::recording::{Recording, RecordingError, ReplayError};
use lease_core::{Action, Event, Failure, Input, Lease, MonoTime, Output, RequestId};
use serde_json::{Value, json};

use crate::trace::{Entry, Lane, Trace, What};

/// Why a file cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncidentError {
    /// It is no recording, is damaged, or was cut off.
    Recording(RecordingError),
    /// Its ring had wrapped: how the machine came to its state is not in it.
    Wrapped {
        /// How many inputs are missing.
        dropped: u64,
    },
}

impl fmt::Display for IncidentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording(error) => error.fmt(formatter),
            Self::Wrapped { dropped } => ReplayError::Wrapped { dropped: *dropped }.fmt(formatter),
        }
    }
}

impl Error for IncidentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Recording(error) => error.source(),
            Self::Wrapped { .. } => None,
        }
    }
}

/// Runs the recording in `file` (its text, not its path) again.
///
/// A core that does something else than what was recorded is no error: the trace shows the run up to there and
/// ends with a violation named `replay` that says what differs.
///
/// # Errors
///
/// An [`IncidentError`] for files that are no recordings, cut off, or begin in the midst of a life.
pub fn replay(file: &str) -> Result<Trace, IncidentError> {
    let recording = Recording::parse(file).map_err(IncidentError::Recording)?;
    // The outputs to show, in whole inputs and in outputs of the one after them.
    let (inputs, outputs, difference) = match recording.replay() {
        Ok(_) => (recording.entries().len(), 0, None),
        Err(ReplayError::Differs(difference)) => (difference.entry, difference.output, Some(difference)),
        // The other kind there is, and what may be added to it: inputs are missing.
        Err(_) => return Err(IncidentError::Wrapped { dropped: recording.dropped() }),
    };
    let mut tape = Tape::new(&recording);
    for (index, entry) in recording.entries().iter().take(inputs.saturating_add(1)).enumerate() {
        tape.wait(entry.now().mono);
        tape.input(entry.input());
        tape.machine.handle(entry.now(), entry.input().clone());
        // As many as were recorded: a recording may end in the midst of a drain.
        let count = if index < inputs { entry.outputs().count() } else { outputs };
        for _ in 0..count {
            let output = tape.machine.poll();
            tape.output(&output);
        }
        tape.believe();
    }
    if let Some(difference) = difference {
        let about = ReplayError::Differs(difference).to_string().replace('\n', "; ");
        tape.push(What::Violation { invariant: "replay".to_owned(), about });
    }
    Ok(tape.finish())
}

/// A request that was sent.
struct Sent {
    number: u32,
    verb: String,
    /// The `renewTime` that it writes: reads tell by it whether it landed.
    renews: Option<String>,
    at: u64,
    answered: bool,
    /// When nobody waited for it any more, while it is not known to have arrived.
    given_up: Option<u64>,
}

struct Tape {
    machine: Lease,
    first: MonoTime,
    /// The instant of the latest input; clocks that ran backwards are held.
    now: u64,
    /// Above this a late wake-up counts as a pause.
    patience: u64,
    trace: Trace,
    requests: BTreeMap<RequestId, Sent>,
    /// Those that opened watches.
    watches: BTreeSet<RequestId>,
    believed: Option<(u64, u64)>,
    /// The version that was seen last; `Some(None)`: no record.
    known: Option<Option<u64>>,
}

impl Tape {
    fn new(recording: &Recording) -> Self {
        let start = recording.start();
        let config = &start.config;
        let ttl = config.ttl();
        let about = format!(
            "lease-core, ttl {ttl:?}, {:?}, lease {}/{}",
            config.release_policy(),
            config.namespace(),
            config.name()
        );
        let mut tape = Self {
            machine: start.machine(),
            first: start.now.mono,
            now: 0,
            patience: u64::try_from(ttl.as_nanos() / 20).unwrap_or(u64::MAX),
            trace: Trace {
                title: format!("recording of {}: {} inputs", config.identity(), recording.entries().len()),
                lanes: vec![Lane { identity: config.identity().to_string(), about }],
                ..Trace::default()
            },
            requests: BTreeMap::new(),
            watches: BTreeSet::new(),
            believed: None,
            known: None,
        };
        tape.push(What::Started { holder: 0, incarnation: 1 });
        tape
    }

    fn finish(mut self) -> Trace {
        self.trace.length = self.now;
        // Arrivals were put in afterwards. Stable: what happened at one instant stays in order.
        self.trace.entries.sort_by_key(|entry| entry.at);
        self.trace
    }

    fn push(&mut self, what: What) {
        self.push_at(self.now, what);
    }

    fn push_at(&mut self, at: u64, what: What) {
        self.trace.entries.push(Entry { at, what });
    }

    fn since_start(&self, at: MonoTime) -> u64 {
        at.as_nanos().saturating_sub(self.first.as_nanos())
    }

    /// Time passes until the next input.
    fn wait(&mut self, until: MonoTime) {
        let until = self.since_start(until).max(self.now);
        let wake = self.machine.poll_timeout().map(|wake| self.since_start(wake).max(self.now));
        if let Some(wake) = wake.filter(|wake| until.saturating_sub(*wake) > self.patience) {
            self.push_at(wake, What::Paused { holder: 0, until });
        }
        self.now = until;
    }

    fn input(&mut self, input: &Input) {
        let command = match input {
            Input::TryAcquire => "try_acquire",
            Input::Campaign => "campaign",
            Input::Release => "release",
            Input::Response { id, response } => {
                self.watch(*id, || format!("answered {}", response.status().as_u16()));
                return self.response(*id, response);
            }
            Input::Failed { id, failure } => {
                let outcome = match failure {
                    Failure::NotSent => "not sent",
                    Failure::Unknown => "unknown",
                    Failure::TooLarge => "too large",
                };
                self.watch(*id, || outcome.to_owned());
                return self.answer(*id, outcome);
            }
            Input::WatchChunk { id, bytes } => {
                return self.watch(*id, || crate::trace::watched(bytes));
            }
            Input::WatchClosed { id } => return self.watch(*id, || "ended".to_owned()),
            Input::Tick | Input::CredentialsReady { .. } => return,
        };
        self.push(What::Command { holder: 0, command: command.to_owned() });
    }

    fn response(&mut self, id: RequestId, response: &http::Response<bytes::Bytes>) {
        let Some(sent) = self.requests.get(&id) else {
            return;
        };
        let (request, at) = (sent.number, sent.at + (self.now - sent.at) / 2);
        let code = response.status().as_u16();
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let seen = Seen::judge(&sent.verb, code, &body);
        let applied = sent.verb != "GET" && response.status().is_success();
        let in_time = !sent.answered;
        let version = match &seen {
            Seen::Record { version, .. } => Some(*version),
            Seen::Absent | Seen::Nothing => None,
        };
        self.push_at(at, What::Arrived { request, code, applied, version });
        // An answer that came too late shows a record that may have changed since.
        if in_time {
            self.land(&body, &seen);
            self.see(at, seen, applied);
        }
        self.answer(id, &code.to_string());
    }

    /// A write that was given up turns out to have landed: the record shows what it wrote.
    fn land(&mut self, body: &Value, seen: &Seen) {
        let Seen::Record { version, .. } = seen else {
            return;
        };
        let shown = renew_time(body);
        let landed = self.requests.values_mut().find(|sent| {
            shown.is_some() && sent.renews == shown && sent.given_up.is_some_and(|at| at >= sent.at)
        });
        let Some((sent, given_up)) = landed.and_then(|sent| sent.given_up.take().map(|at| (sent, at))) else {
            return;
        };
        let at = sent.at + (given_up - sent.at) / 2;
        let code = if sent.verb == "POST" { 201 } else { 200 };
        let (request, version) = (sent.number, Some(*version));
        self.push_at(at, What::Arrived { request, code, applied: true, version });
        self.see(at, seen.clone(), true);
    }

    /// The record as an answer shows it. Reads that show what is known already add nothing.
    fn see(&mut self, at: u64, seen: Seen, ours: bool) {
        let (holder, version, lasts) = match seen {
            Seen::Nothing => return,
            Seen::Absent => (None, None, None),
            Seen::Record { holder, version, lasts } => (holder, Some(version), lasts),
        };
        if self.known.replace(version) == Some(version) {
            return;
        }
        let expires = lasts.map(|lasts| at.saturating_add(lasts));
        self.push_at(at, What::Truth { holder, version, expires, by: ours.then_some(0) });
    }

    fn answer(&mut self, id: RequestId, outcome: &str) {
        let Some(sent) = self.requests.get_mut(&id) else {
            return;
        };
        let request = sent.number;
        if outcome == "unknown" {
            sent.given_up = Some(self.now);
        }
        let late = if std::mem::replace(&mut sent.answered, true) { ", too late" } else { "" };
        self.push(What::Answered { holder: 0, request, outcome: format!("{outcome}{late}") });
    }

    fn output(&mut self, output: &Output) {
        match output {
            Output::Action(Action::Send { id, request, .. }) => {
                // Numbers of requests are small; one that is not is still told apart from its neighbours.
                #[allow(clippy::cast_possible_truncation)]
                let number = id.0 as u32;
                let verb = request.method().to_string();
                self.requests.insert(
                    *id,
                    Sent {
                        number,
                        verb: verb.clone(),
                        renews: renew_time(&serde_json::from_slice(request.body()).unwrap_or_default()),
                        at: self.now,
                        answered: false,
                        given_up: None,
                    },
                );
                let about = about(request.body());
                self.push(What::Sent { holder: 0, request: number, verb, about, fate: None });
            }
            Output::Action(Action::OpenWatch { id, request, .. }) => {
                self.watches.insert(*id);
                self.watch(*id, || format!("asked for: {}", request.uri().query().unwrap_or_default()));
            }
            Output::Action(Action::Abort { id }) => {
                self.watch(*id, || "given up".to_owned());
                if self.requests.get(id).is_some_and(|sent| !sent.answered) {
                    self.answer(*id, "unknown");
                }
            }
            Output::Action(Action::RefreshCredentials { .. }) => {
                self.push(What::Told { holder: 0, event: "asks for fresh credentials".to_owned() });
            }
            Output::Event(event) => {
                let event = self.words(event);
                self.push(What::Told { holder: 0, event });
            }
            Output::Idle { .. } => {}
        }
    }

    /// What becomes of a watch; nothing if that is none.
    fn watch(&mut self, id: RequestId, about: impl FnOnce() -> String) {
        if self.watches.contains(&id) {
            #[allow(clippy::cast_possible_truncation, reason = "numbers of requests are small")]
            let watch = id.0 as u32;
            self.push(What::Watch { holder: 0, watch, about: about() });
        }
    }

    /// An event as text, its instants in true time.
    fn words(&self, event: &Event) -> String {
        let at = |instant: MonoTime| format!("{:.3} s", seconds(self.since_start(instant)));
        match event {
            Event::Acquired { token, until, acquisition } => {
                format!("Acquired ({acquisition:?}): token {token}, until {}", at(*until))
            }
            Event::Renewed { until } => format!("Renewed until {}", at(*until)),
            Event::Lost { token, reason } => format!("Lost: {reason:?}, token {token}"),
            Event::Released { token } => format!("Released: token {token}"),
            Event::Trouble { problem, retry_at: Some(retry) } => {
                format!("Trouble: {problem}; retry at {}", at(*retry))
            }
            Event::Trouble { problem, retry_at: None } => format!("Trouble: {problem}"),
            Event::HolderChanged { holder: Some(holder) } => format!("HolderChanged: {holder}"),
            Event::HolderChanged { holder: None } => "HolderChanged: nobody".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn believe(&mut self) {
        // A clock that ran backwards is clamped by the machine itself.
        let now = MonoTime::from_nanos(self.first.as_nanos().saturating_add(self.now));
        let held = self.machine.check_alive(now);
        let believed = held.map(|held| (self.since_start(held.until), held.token.as_u64()));
        if believed == self.believed {
            return;
        }
        self.believed = believed;
        let stats = self.machine.stats();
        let state = json!({
            "status": format!("{:?}", self.machine.status()),
            "holder": self.machine.holder().map(|holder| holder.as_str()),
            "conflicts": stats.conflicts,
            "unknown_outcomes": stats.unknown_outcomes,
            "stray_inputs": stats.stray_inputs,
            "clamped_clocks": stats.clamped_clocks,
        });
        let (until, token) = believed.unzip();
        self.push(What::Belief { holder: 0, until, token, state: Some(state.to_string()) });
    }
}

/// What an answer says of the record.
#[derive(Clone)]
enum Seen {
    Record { holder: Option<String>, version: u64, lasts: Option<u64> },
    Absent,
    Nothing,
}

impl Seen {
    fn judge(verb: &str, code: u16, body: &Value) -> Self {
        let kind = body["kind"].as_str().unwrap_or_default();
        let version = body["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        match (code, kind, version) {
            (200..=299, "Lease", Some(version)) => {
                let spec = &body["spec"];
                let holder = spec["holderIdentity"].as_str().filter(|name| !name.is_empty());
                let lasts = spec["leaseDurationSeconds"].as_u64().filter(|_| holder.is_some());
                let lasts = lasts.map(|seconds| seconds.saturating_mul(1_000_000_000));
                Self::Record { holder: holder.map(str::to_owned), version, lasts }
            }
            (200..=299, "Status", _) if verb == "DELETE" => Self::Absent,
            (404, "Status", _) if verb == "GET" || verb == "DELETE" => Self::Absent,
            _ => Self::Nothing,
        }
    }
}

/// What a request carries: the version that it was made for, and whom it names.
fn about(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let texts = [
        ("rv", &body["metadata"]["resourceVersion"]),
        ("rv", &body["preconditions"]["resourceVersion"]),
        ("holder", &body["spec"]["holderIdentity"]),
        ("renewed", &body["spec"]["renewTime"]),
    ];
    let found: Vec<_> =
        texts.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_str()?))).collect();
    found.join(", ")
}

fn renew_time(body: &Value) -> Option<String> {
    body["spec"]["renewTime"].as_str().map(str::to_owned)
}

#[allow(clippy::cast_precision_loss)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
