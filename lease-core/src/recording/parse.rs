//! From a file to a recording.

use serde::Deserialize;
use serde_json::Value;

use super::error::{LineProblem, RecordingError};
use super::lines::{EndLine, EntryLine, HeaderLine, now};
use super::{Entry, FORMAT, Recording, VERSION};

impl Recording {
    /// Reads a file, as [`Ring::to_text`](super::Ring::to_text) makes it.
    ///
    /// # Errors
    ///
    /// A [`RecordingError`] for files that are empty, something else, newer, cut off or damaged.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let mut lines = text.split_inclusive('\n').zip(1..);
        let (header, _) = lines.next().ok_or(RecordingError::Empty)?;
        let header = parse_header(header)?;
        let start = header.start.start().ok_or(RecordingError::Foreign)?.map_err(RecordingError::Config)?;
        let mut entries = Vec::new();
        let mut ended = false;
        for (text, line) in lines {
            let wrong = |problem| RecordingError::Line { line, problem };
            if ended {
                return Err(wrong(LineProblem::AfterTheEnd));
            }
            let Some(text) = text.strip_suffix('\n') else {
                return Err(RecordingError::Truncated { entries: entries.len() });
            };
            match parse_line(text).map_err(wrong)? {
                Line::Entry(entry) => entries.push(*entry),
                Line::End(count) if count == entries.len() => ended = true,
                Line::End(_) => return Err(wrong(LineProblem::Count)),
            }
        }
        if !ended {
            return Err(RecordingError::Truncated { entries: entries.len() });
        }
        Ok(Self { start, dropped: header.dropped, entries })
    }
}

fn parse_header(line: &str) -> Result<HeaderLine, RecordingError> {
    // Format and version first: what else a newer version has in its header cannot be known.
    #[derive(Deserialize)]
    struct Kind {
        format: String,
        version: u64,
    }
    let kind: Kind = serde_json::from_str(line).map_err(|_| RecordingError::Foreign)?;
    if kind.format != FORMAT {
        return Err(RecordingError::Foreign);
    }
    if kind.version > u64::from(VERSION) {
        return Err(RecordingError::Newer { version: kind.version });
    }
    serde_json::from_str(line)
        .map_err(|error| RecordingError::Line { line: 1, problem: LineProblem::Shape(error.to_string()) })
}

enum Line {
    Entry(Box<Entry>),
    End(usize),
}

fn parse_line(text: &str) -> Result<Line, LineProblem> {
    let shape = |error: serde_json::Error| LineProblem::Shape(error.to_string());
    let value: Value = serde_json::from_str(text).map_err(shape)?;
    if value.get("end").is_some() {
        let end: EndLine = serde_json::from_value(value).map_err(shape)?;
        return Ok(Line::End(end.end));
    }
    let line: EntryLine = serde_json::from_value(value).map_err(shape)?;
    Ok(Line::Entry(Box::new(Entry {
        now: now(line.mono, line.wall),
        input: line.input.input()?,
        outputs: line.outputs,
    })))
}
