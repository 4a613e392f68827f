//! Runs the inputs of one script, line by line.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use lease_core::{
    Action, ConfigBuilder, Failure, Input, Now, Output, ReleasePolicy, RequestId, SameIdentity, WallTime,
};

use crate::render::Renderer;
use crate::replies::Reply;
use crate::support::{Holder, Sent, config, deleted, ms};
use crate::times::{EPOCH_MICROS, duration, http_date, offset};

/// A machine, what it has sent, and what the script said about the answers.
#[derive(Debug)]
pub(crate) struct Machine {
    holder: Holder,
    render: Renderer,
    sent: Vec<Sent>,
    watches: Vec<Sent>,
    refresh: Option<RequestId>,
    /// How far the server's clock is from true time, which both of ours start with.
    date: Option<i64>,
    /// True time since the start, and how far our two clocks have stepped away from it, in microseconds.
    elapsed: Duration,
    wall_steps: i64,
    mono_steps: i64,
}

impl Machine {
    pub(crate) fn new(words: &[&str]) -> Result<Self, String> {
        let mut builder = config();
        let mut seed = 1;
        for word in words {
            let (key, value) = word.split_once('=').ok_or(format!("{word}: key=value is wanted"))?;
            match key {
                "seed" => seed = value.parse().map_err(|_| format!("{value} is no seed"))?,
                _ => builder = setting(builder, key, value)?,
            }
        }
        let holder = Holder::seeded(builder, seed);
        let render = Renderer { start: holder.now.mono, nonce: holder.lease.nonce() };
        let (elapsed, wall_steps, mono_steps) = (Duration::ZERO, 0, 0);
        Ok(Self {
            holder,
            render,
            sent: Vec::new(),
            watches: Vec::new(),
            refresh: None,
            date: None,
            elapsed,
            wall_steps,
            mono_steps,
        })
    }

    fn pass(&mut self, time: Duration) {
        self.elapsed += time;
        let steps = Duration::from_micros(self.mono_steps.unsigned_abs());
        let mono = self.render.start.saturating_add(self.elapsed);
        let mono = if self.mono_steps < 0 { mono.saturating_sub(steps) } else { mono.saturating_add(steps) };
        self.holder.now = Now { mono, wall: WallTime::from_micros(self.true_micros() + self.wall_steps) };
    }

    fn true_micros(&self) -> i64 {
        EPOCH_MICROS + i64::try_from(self.elapsed.as_micros()).expect("a short script")
    }

    /// Runs one input; the lines of output that it brings.
    pub(crate) fn run(&mut self, line: &str) -> Result<Vec<String>, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (command, rest) = words.split_first().ok_or("an empty line")?;
        let argument = rest.first().copied().unwrap_or("");
        let length = || duration(argument).ok_or(format!("{argument:?} is no duration"));
        let distance = || offset(argument).ok_or(format!("{argument:?} is no +duration or -duration"));
        let input = match *command {
            "pass" => {
                self.pass(length()?);
                return Ok(Vec::new());
            }
            "wall" | "mono" => {
                *(if *command == "wall" { &mut self.wall_steps } else { &mut self.mono_steps }) +=
                    distance()?;
                self.pass(Duration::ZERO);
                return Ok(Vec::new());
            }
            "date" => {
                self.date = if argument == "off" { None } else { Some(distance()?) };
                return Ok(Vec::new());
            }
            "alive" => {
                return Ok(vec![self.render.held(self.holder.lease.check_alive(self.holder.now.mono))]);
            }
            "at" => {
                let target = self.render.start.saturating_add(length()?);
                if target < self.holder.now.mono {
                    return Err("the clock is past that: use `mono` to step back".to_owned());
                }
                self.pass(target.saturating_since(self.holder.now.mono));
                Input::Tick
            }
            "tick" => Input::Tick,
            "wake" => {
                let wake = self.holder.lease.poll_timeout().ok_or("there is nothing to wake for")?;
                self.pass(wake.saturating_since(self.holder.now.mono));
                Input::Tick
            }
            "acquire" => Input::TryAcquire,
            "campaign" => Input::Campaign,
            "release" => Input::Release,
            "credentials" => {
                Input::CredentialsReady { id: self.refresh.ok_or("no credentials were asked for")? }
            }
            "fail" => Input::Failed { id: self.request(rest, "to")?.id, failure: failure(argument)? },
            "open" => self.told(rest, Bytes::new())?,
            "event" => self.told(rest, self.event(rest)?)?,
            "chunk" => {
                self.told(&[], Bytes::from(line["chunk".len()..].trim_start().replace("\\n", "\n")))?
            }
            "closed" => Input::WatchClosed { id: self.watch(rest)?.id },
            "accept" => self.accepted(rest)?,
            "reply" => self.replied(line, rest)?,
            other => return Err(format!("{other} is no input that is known here")),
        };
        self.holder.lease.handle(self.holder.now, input);
        Ok(self.drain())
    }

    /// Everything that waits, in its order.
    fn drain(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.holder.lease.poll() {
                Output::Action(Action::Send { id, request, give_up_at, .. }) => {
                    let sent = Sent { id, request, give_up_at };
                    lines.push(self.render.sent(&sent));
                    self.sent.push(sent);
                }
                Output::Action(Action::Abort { id }) => lines.push(format!("abort {id}")),
                Output::Action(Action::RefreshCredentials { id }) => {
                    lines.push(format!("refresh {id}"));
                    self.refresh = Some(id);
                }
                Output::Action(Action::OpenWatch { id, request, give_up_at, .. }) => {
                    let watch = Sent { id, request, give_up_at };
                    lines.push(self.render.watch(&watch));
                    self.watches.push(watch);
                }
                Output::Event(event) => lines.push(self.render.event(&event)),
                Output::Idle { wake, reason } => {
                    assert!(
                        wake.is_none_or(|wake| wake > self.holder.now.mono),
                        "clause 7: wake is not ahead"
                    );
                    lines.push(self.render.idle(wake, reason));
                    return lines;
                }
            }
        }
    }

    /// The request that `key=#3` names, or the last one.
    fn request(&self, words: &[&str], key: &str) -> Result<&Sent, String> {
        let named = words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix("=#"));
        match named {
            Some(number) => {
                self.sent.iter().chain(&self.watches).find(|sent| sent.id.0.to_string() == number)
            }
            None => self.sent.last(),
        }
        .ok_or_else(|| "no such request was sent".to_owned())
    }

    /// The watch that `to=#3` names, or the last one.
    fn watch(&self, words: &[&str]) -> Result<&Sent, String> {
        let named = words.iter().find_map(|word| word.strip_prefix("to=#"));
        let mut watches = self.watches.iter().rev();
        watches
            .find(|watch| named.is_none_or(|number| watch.id.0.to_string() == number))
            .ok_or_else(|| "no such watch was opened".to_owned())
    }

    fn told(&self, words: &[&str], bytes: Bytes) -> Result<Input, String> {
        Ok(Input::WatchChunk { id: self.watch(words)?.id, bytes })
    }

    /// A line of a watch.
    fn event(&self, words: &[&str]) -> Result<Bytes, String> {
        let (kind, rest) = words.split_first().ok_or("event of which type?")?;
        let code = if *kind == "ERROR" { "410" } else { "200" };
        let written = self.sent.iter().rfind(|sent| matches!(*sent.method(), Method::POST | Method::PUT));
        let object =
            Reply::parse(&[&[code], rest].concat())?.response(written, &self.render.nonce.to_string())?;
        let object = String::from_utf8_lossy(object.body()).into_owned();
        Ok(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").into())
    }

    /// The answer of a server that did what the last write asked for.
    fn accepted(&self, words: &[&str]) -> Result<Input, String> {
        let request = self.request(words, "to")?;
        let response = match *request.method() {
            Method::DELETE => Response::new(Bytes::from(deleted().to_string())),
            Method::POST | Method::PUT => {
                let code = if request.method() == Method::POST { "201" } else { "200" };
                let all = [&[code, "written"], words].concat();
                Reply::parse(&all)?.response(Some(request), &self.render.nonce.to_string())?
            }
            _ => return Err("only writes can be accepted".to_owned()),
        };
        Ok(self.dated(request.id, response))
    }

    fn replied(&self, line: &str, words: &[&str]) -> Result<Input, String> {
        if words.first() == Some(&"raw") {
            let mut parts = line.splitn(4, ' ').skip(2);
            let (code, body) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let response = Response::builder().status(code).body(Bytes::from(body.to_owned()));
            return Ok(self.dated(self.request(&[], "to")?.id, response.map_err(|error| error.to_string())?));
        }
        let reply = Reply::parse(words)?;
        let is_write = |sent: &&Sent| matches!(*sent.method(), Method::POST | Method::PUT);
        let written = match reply.option("written") {
            Some(_) => Some(self.request(words, "written")?),
            None => self.sent.iter().rfind(is_write),
        };
        let response = reply.response(written, &self.render.nonce.to_string())?;
        Ok(self.dated(self.request(words, "to")?.id, response))
    }

    fn dated(&self, id: RequestId, mut response: Response<Bytes>) -> Input {
        if let Some(offset) = self.date {
            let date = http_date(self.true_micros() + offset).parse().expect("a header");
            response.headers_mut().insert("date", date);
        }
        Input::Response { id, response }
    }
}

fn failure(word: &str) -> Result<Failure, String> {
    match word {
        "unknown" => Ok(Failure::Unknown),
        "not-sent" => Ok(Failure::NotSent),
        "too-large" => Ok(Failure::TooLarge),
        other => Err(format!("fail {other}: unknown, not-sent or too-large is wanted")),
    }
}

fn setting(builder: ConfigBuilder, key: &str, value: &str) -> Result<ConfigBuilder, String> {
    let length = || duration(value).ok_or(format!("{value} is no duration"));
    Ok(match (key, value) {
        ("ttl", _) => builder.ttl(length()?),
        ("identity", name) => builder.identity(name),
        ("policy", "delete") => builder.release_policy(ReleasePolicy::Delete),
        ("policy", "vacate") => builder.release_policy(ReleasePolicy::Vacate),
        ("watch", "on") => builder.watch(true),
        ("same", "reclaim") => builder.same_identity(SameIdentity::Reclaim),
        ("same", "contend") => builder.same_identity(SameIdentity::Contend),
        ("max_clock_skew", "none") => builder.max_clock_skew(None),
        ("max_clock_skew", _) => builder.max_clock_skew(Some(length()?)),
        ("max_foreign_ttl", _) => builder.max_foreign_ttl(length()?),
        ("foreign_holder_grace", _) => builder.foreign_holder_grace(length()?),
        ("takeover_delay", _) => builder.takeover_delay(length()?),
        ("quarantine", _) => builder.quarantine(length()?),
        ("release_timeout", _) => builder.release_timeout(length()?),
        #[cfg(feature = "mutants")]
        ("mutant", _) => builder.mutant(Some(value.parse().map_err(|error| format!("{error}"))?)),
        ("acquire_retries", _) => {
            builder.acquire_retries(value.parse().map_err(|_| format!("{value} is no number"))?)
        }
        _ => return Err(format!("{key}={value} is no setting that is known here")),
    })
}

/// The machine of a script that says nothing about it.
pub(crate) fn default_machine() -> Machine {
    Machine::new(&[]).expect("the defaults are valid")
}

#[test]
fn the_start_is_not_zero() {
    assert!(default_machine().render.start > ms(0), "arithmetic below the start must show");
}
