//! What a driver keeps while it runs.

use std::collections::VecDeque;

use super::Start;
use super::lines::{self, EndLine, EntryLine, HeaderLine, InputLine};
use crate::input::Input;
use crate::output::{Action, Output};
use crate::time::Now;

/// The latest inputs and outputs of one machine, bounded in number and in bytes.
///
/// Hand in each input before the machine gets it, and each output as it is polled. See the
/// [module](super) for what happens when it is full.
#[derive(Clone, Debug)]
pub struct Ring {
    start: Start,
    most_inputs: usize,
    most_bytes: usize,
    bytes: usize,
    dropped: u64,
    entries: VecDeque<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    now: Now,
    input: Input,
    outputs: Vec<Output>,
    bytes: usize,
}

/// What an input or an output takes beside its body, roughly.
const OVERHEAD: usize = 256;

impl Ring {
    /// An empty ring for a machine that starts at `start`, for at most `most_inputs` inputs (at least one)
    /// that take, with their outputs, roughly `most_bytes` bytes.
    pub fn new(start: Start, most_inputs: usize, most_bytes: usize) -> Self {
        Self {
            start,
            most_inputs: most_inputs.max(1),
            most_bytes,
            bytes: 0,
            dropped: 0,
            entries: VecDeque::new(),
        }
    }

    /// Something is about to be handed in.
    pub fn input(&mut self, now: Now, input: &Input) {
        let body = match input {
            Input::Response { response, .. } => response.body().len(),
            Input::WatchChunk { bytes, .. } => bytes.len(),
            _ => 0,
        };
        let entry = Entry { now, input: input.clone(), outputs: Vec::new(), bytes: body + OVERHEAD };
        self.bytes += entry.bytes;
        self.entries.push_back(entry);
        self.make_room();
    }

    /// Something was polled. What is polled before the first input is not kept: a machine at rest has nothing
    /// to say.
    pub fn output(&mut self, output: &Output) {
        let Some(entry) = self.entries.back_mut() else {
            return;
        };
        let body = match output {
            Output::Action(Action::Send { request, .. } | Action::OpenWatch { request, .. }) => {
                request.body().len()
            }
            _ => 0,
        };
        // A driver that polls again after an idle hears the same again.
        if matches!((entry.outputs.last(), output), (Some(Output::Idle { .. }), Output::Idle { .. })) {
            return;
        }
        entry.bytes += body + OVERHEAD;
        self.bytes += body + OVERHEAD;
        entry.outputs.push(output.clone());
        self.make_room();
    }

    /// The newest input always stays.
    fn make_room(&mut self) {
        while self.entries.len() > self.most_inputs
            || (self.bytes > self.most_bytes && self.entries.len() > 1)
        {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= oldest.bytes;
                self.dropped += 1;
            }
        }
    }

    /// How many inputs are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Roughly how many bytes what is kept takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was handed in yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many inputs were dropped. Zero: the recording can be replayed.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The file, as the [module](super) describes it.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.bytes.saturating_mul(2));
        push_line(&mut text, &HeaderLine::new(&self.start, self.dropped));
        for entry in &self.entries {
            let line = EntryLine {
                mono: entry.now.mono.as_nanos(),
                wall: entry.now.wall.as_micros(),
                input: InputLine::new(&entry.input),
                outputs: entry.outputs.iter().map(lines::output).collect(),
            };
            push_line(&mut text, &line);
        }
        push_line(&mut text, &EndLine { end: self.entries.len() });
        text
    }
}

fn push_line(text: &mut String, line: &impl serde::Serialize) {
    // Strings, numbers and lists cannot fail to become JSON.
    text.push_str(&serde_json::to_string(line).unwrap_or_default());
    text.push('\n');
}
