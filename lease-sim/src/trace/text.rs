//! A trace as lines: one for each entry, in columns that stay where they are.
//!
//! ```text
//!         time s  who  inc  role    left s        rv  what
//!       0.000000   h0    1     .         -         -  started
//!      12.345678   h0    1     H   +11.154       171  sends #4 PUT: rv 170
//! ```
//!
//! `who` is the holder that it happens to, `api` for the server, `*` for everybody. `role` is `.` for one that
//! waits, `H` for one that holds, `~` for one that stands still, `!` for one that is dead. `left` is what it
//! believes to have left of its term, `rv` the record's resource version at that instant.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::{Entry, Trace, What};

impl Trace {
    /// The run as lines; `short`: only what changes who runs, who holds and whom the record names, what
    /// components do out of the ordinary, and violations.
    #[must_use]
    pub fn to_text(&self, short: bool) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = Printer::new(self).print(&mut text, short);
        text
    }
}

/// All lines; with `{:#}` the short ones.
impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = formatter.alternate();
        Printer::new(self).print(formatter, short)
    }
}

/// What a line says of a holder, as of now.
#[derive(Clone, Default)]
struct State {
    incarnation: u32,
    dead: bool,
    paused_until: u64,
    held_until: Option<u64>,
    token: Option<u64>,
}

struct Printer<'a> {
    trace: &'a Trace,
    states: Vec<State>,
    version: Option<u64>,
    named: Option<&'a str>,
    was_made: bool,
    requests: BTreeMap<u32, (usize, &'a str)>,
    healed: bool,
}

impl<'a> Printer<'a> {
    fn new(trace: &'a Trace) -> Self {
        let states = vec![State::default(); trace.lanes.len()];
        Self {
            trace,
            states,
            version: None,
            named: None,
            was_made: false,
            requests: BTreeMap::new(),
            healed: false,
        }
    }

    fn print(mut self, out: &mut impl Write, short: bool) -> fmt::Result {
        self.head(out)?;
        let trace = self.trace;
        for entry in &trace.entries {
            self.heal(out, entry.at)?;
            let changes = self.take(entry);
            if changes || !short {
                self.line(out, entry)?;
            }
        }
        self.heal(out, trace.length)
    }

    fn head(&self, out: &mut impl Write) -> fmt::Result {
        writeln!(out, "# {}, {} s", Clean(&self.trace.title), Seconds(self.trace.length))?;
        if let Some(command) = &self.trace.command {
            writeln!(out, "# {}", Clean(command))?;
        }
        if !self.trace.broken_assumptions.is_empty() {
            let names: Vec<_> = self.trace.broken_assumptions.iter().map(|broken| broken.name()).collect();
            writeln!(out, "# breaks an assumption on purpose: {}", names.join(", "))?;
        }
        for (index, lane) in self.trace.lanes.iter().enumerate() {
            writeln!(out, "# h{index} = {} ({})", Clean(&lane.identity), Clean(&lane.about))?;
        }
        writeln!(out, "#       time s  who  inc  role    left s        rv  what")
    }

    fn heal(&mut self, out: &mut impl Write, now: u64) -> fmt::Result {
        match self.trace.healed_at {
            Some(at) if at <= now && !self.healed => {
                self.healed = true;
                writeln!(out, "{:>14}    *    -     -         -         -  no faults from here", Seconds(at))
            }
            _ => Ok(()),
        }
    }

    /// Brings the states up to date. Whether this entry changes who runs, who holds or whom the record names.
    fn take(&mut self, entry: &'a Entry) -> bool {
        let state = |holder: usize| self.states.get(holder).cloned().unwrap_or_default();
        let (holder, changed) = match &entry.what {
            What::Started { holder, incarnation } => {
                (*holder, State { incarnation: *incarnation, ..State::default() })
            }
            What::Crashed { holder } => {
                (*holder, State { dead: true, held_until: None, token: None, ..state(*holder) })
            }
            What::Paused { holder, until } => (*holder, State { paused_until: *until, ..state(*holder) }),
            What::Belief { holder, until, token, .. } => {
                let before = state(*holder);
                let held = before.held_until.is_some_and(|until| until > entry.at);
                let same = held == until.is_some() && (before.token == *token || !held);
                self.set(*holder, State { held_until: *until, token: *token, ..before });
                return !same;
            }
            What::Truth { holder, version, .. } => {
                let same = self.named == holder.as_deref() && self.version.is_some() == version.is_some();
                self.named = holder.as_deref();
                self.version = *version;
                self.was_made |= version.is_some();
                return !same;
            }
            What::Sent { holder, request, verb, .. } => {
                self.requests.insert(*request, (*holder, verb));
                return false;
            }
            What::Component { routine, .. } => return !routine,
            What::Violation { .. } => return true,
            _ => return false,
        };
        self.set(holder, changed);
        true
    }

    fn set(&mut self, holder: usize, changed: State) {
        if let Some(state) = self.states.get_mut(holder) {
            *state = changed;
        }
    }

    fn line(&self, out: &mut impl Write, entry: &Entry) -> fmt::Result {
        let who = who(&entry.what);
        let state = who.and_then(|holder| self.states.get(holder));
        let name = match (who, &entry.what) {
            (Some(holder), _) => format!("h{holder}"),
            (None, What::Arrived { .. } | What::Truth { .. }) => "api".to_owned(),
            (None, _) => "*".to_owned(),
        };
        let incarnation = state.map_or_else(|| "-".to_owned(), |state| state.incarnation.to_string());
        let until = state.and_then(|state| state.held_until).filter(|until| *until > entry.at);
        let role = match state {
            None => '-',
            Some(state) if state.dead => '!',
            Some(state) if state.paused_until > entry.at => '~',
            Some(_) if until.is_some() => 'H',
            Some(_) => '.',
        };
        let left = until.map_or_else(|| "-".to_owned(), |until| left(until - entry.at));
        let version = self.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        let at = Seconds(entry.at);
        write!(out, "{at:>14}  {name:>3}  {incarnation:>3}     {role}  {left:>8}  {version:>8}  ")?;
        self.what(out, entry)?;
        out.write_char('\n')
    }

    fn what(&self, out: &mut impl Write, entry: &Entry) -> fmt::Result {
        match &entry.what {
            What::Started { .. } => out.write_str("started"),
            What::Crashed { .. } => out.write_str("crashed"),
            What::Paused { until, .. } => {
                write!(out, "paused for {} s", Seconds(until.saturating_sub(entry.at)))
            }
            What::Command { command, .. } => write!(out, "told to {}", Clean(command)),
            What::Sent { request, verb, about, fate, .. } => {
                write!(out, "sends #{request} {}", Clean(verb))?;
                if !about.is_empty() {
                    write!(out, ": {}", Clean(about))?;
                }
                fate.as_ref().map_or(Ok(()), |fate| write!(out, " [{}]", Clean(fate)))
            }
            What::Arrived { request, code, applied, .. } => {
                self.request(out, *request)?;
                write!(out, " arrives -> {code}{}", if *applied { ", applied" } else { "" })
            }
            What::Answered { request, outcome, .. } => {
                self.request(out, *request)?;
                write!(out, " -> {}", Clean(outcome))
            }
            What::Watch { watch, about, .. } => write!(out, "watch {watch}: {}", Clean(about)),
            What::Told { event, .. } => write!(out, "{}", Clean(event)),
            What::Belief { until: None, .. } => out.write_str("does not hold"),
            What::Belief { until: Some(until), token, .. } => {
                write!(out, "holds until {}", Seconds(*until))?;
                token.map_or(Ok(()), |token| write!(out, ", token {token}"))
            }
            What::Truth { holder, version, by, .. } => {
                match (version, holder) {
                    (None, _) => out.write_str("no record")?,
                    (Some(_), None) => out.write_str("the record names nobody")?,
                    (Some(_), Some(holder)) => write!(out, "the record names {}", Clean(holder))?,
                }
                match by {
                    // Nobody took away what was never there.
                    None if version.is_none() && !self.was_made => Ok(()),
                    Some(by) => write!(out, ", by h{by}"),
                    None => out.write_str(", by somebody else"),
                }
            }
            What::Fault { kind, about, until, .. } => {
                write!(out, "fault {}: {}", Clean(kind), Clean(about))?;
                until.map_or(Ok(()), |until| write!(out, ", until {}", Seconds(until)))
            }
            What::Guarded { token, accepted, .. } => {
                write!(
                    out,
                    "guarded write, token {token}: {}",
                    if *accepted { "accepted" } else { "rejected" }
                )
            }
            What::Component { about, .. } => write!(out, "component: {}", Clean(about)),
            What::Violation { invariant, about } => {
                write!(out, "VIOLATION {}: {}", Clean(invariant), Clean(about))
            }
        }
    }

    fn request(&self, out: &mut impl Write, request: u32) -> fmt::Result {
        match self.requests.get(&request) {
            Some((holder, verb)) => write!(out, "h{holder} #{request} {}", Clean(verb)),
            None => write!(out, "#{request}"),
        }
    }
}

/// Whom an entry happens to; `None`: the server or everybody.
fn who(what: &What) -> Option<usize> {
    match what {
        What::Started { holder, .. }
        | What::Crashed { holder }
        | What::Paused { holder, .. }
        | What::Command { holder, .. }
        | What::Sent { holder, .. }
        | What::Answered { holder, .. }
        | What::Watch { holder, .. }
        | What::Told { holder, .. }
        | What::Belief { holder, .. }
        | What::Guarded { holder, .. }
        | What::Component { holder, .. } => Some(*holder),
        What::Fault { holder, .. } => *holder,
        What::Arrived { .. } | What::Truth { .. } | What::Violation { .. } => None,
    }
}

/// What is left of a term, in seconds.
fn left(nanos: u64) -> String {
    if nanos / 1_000_000_000 > 9_999 {
        return "for ever".to_owned();
    }
    format!("+{}.{:03}", nanos / 1_000_000_000, nanos / 1_000_000 % 1_000)
}

/// Nanoseconds as seconds with six digits, padded as a whole.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{}.{:06}", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000))
    }
}

/// Somebody's text on one line, without anything that a terminal would obey or that turns text round.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            let odd = character.is_control()
                || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            if odd {
                write!(formatter, "{}", character.escape_unicode())?;
            } else {
                formatter.write_char(character)?;
            }
        }
        Ok(())
    }
}
