//! The lines of a recording as data, and what they stand for.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::ConfigLine;
use super::error::LineProblem;
use super::{FORMAT, Start, VERSION};
use crate::config::ConfigError;
use crate::identifiers::{RequestId, Seed};
use crate::input::{Failure, Input};
use crate::output::{Action, Output};
use crate::time::{MonoTime, Now, WallTime};

/// What a machine reads of a response's headers. Nothing else of them is written.
const KEPT: [HeaderName; 3] = [DATE, RETRY_AFTER, CONTENT_TYPE];

#[derive(Serialize, Deserialize)]
pub(super) struct HeaderLine {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) dropped: u64,
    pub(super) start: StartLine,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StartLine {
    seed: String,
    mono: u64,
    wall: i64,
    config: ConfigLine,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EntryLine {
    pub(super) mono: u64,
    pub(super) wall: i64,
    pub(super) input: InputLine,
    #[serde(default)]
    pub(super) outputs: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EndLine {
    pub(super) end: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InputLine {
    Tick,
    TryAcquire,
    Campaign,
    Release,
    Response { id: u64, status: u16, headers: Vec<(String, String)>, body: Body },
    Failed { id: u64, failure: FailureLine },
    WatchChunk { id: u64, body: Body },
    WatchClosed { id: u64 },
    CredentialsReady { id: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FailureLine {
    NotSent,
    Unknown,
    TooLarge,
}

/// Bytes: text where they are UTF-8.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Body {
    Text(String),
    Hex(String),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum OutputLine {
    Send(RequestLine),
    OpenWatch(RequestLine),
    Abort { id: u64 },
    RefreshCredentials { id: u64 },
    Event(String),
    Idle { wake: Option<u64>, reason: String },
}

#[derive(Serialize)]
struct RequestLine {
    id: u64,
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    body: Body,
    give_up_at: u64,
    max_body: usize,
}

impl HeaderLine {
    pub(super) fn new(start: &Start, dropped: u64) -> Self {
        let start = StartLine {
            seed: format!("{:032x}", start.seed.0),
            mono: start.now.mono.as_nanos(),
            wall: start.now.wall.as_micros(),
            config: ConfigLine::new(&start.config),
        };
        Self { format: FORMAT.to_owned(), version: VERSION, dropped, start }
    }
}

impl StartLine {
    /// `None`: the seed is no number.
    pub(super) fn start(&self) -> Option<Result<Start, ConfigError>> {
        let seed = Seed(u128::from_str_radix(&self.seed, 16).ok()?);
        let now = now(self.mono, self.wall);
        Some(self.config.config().map(|config| Start { config, seed, now }))
    }
}

impl InputLine {
    pub(super) fn new(input: &Input) -> Self {
        match input {
            Input::Tick => Self::Tick,
            Input::TryAcquire => Self::TryAcquire,
            Input::Campaign => Self::Campaign,
            Input::Release => Self::Release,
            Input::Response { id, response } => Self::Response {
                id: id.0,
                status: response.status().as_u16(),
                headers: headers(response.headers(), |name| KEPT.contains(name)),
                body: Body::new(response.body()),
            },
            Input::Failed { id, failure } => Self::Failed {
                id: id.0,
                failure: match failure {
                    Failure::NotSent => FailureLine::NotSent,
                    Failure::Unknown => FailureLine::Unknown,
                    Failure::TooLarge => FailureLine::TooLarge,
                },
            },
            Input::WatchChunk { id, bytes } => Self::WatchChunk { id: id.0, body: Body::new(bytes) },
            Input::WatchClosed { id } => Self::WatchClosed { id: id.0 },
            Input::CredentialsReady { id } => Self::CredentialsReady { id: id.0 },
        }
    }

    pub(super) fn input(self) -> Result<Input, LineProblem> {
        Ok(match self {
            Self::Tick => Input::Tick,
            Self::TryAcquire => Input::TryAcquire,
            Self::Campaign => Input::Campaign,
            Self::Release => Input::Release,
            Self::Response { id, status, headers, body } => {
                Input::Response { id: RequestId(id), response: response(status, &headers, body)? }
            }
            Self::Failed { id, failure } => {
                let failure = match failure {
                    FailureLine::NotSent => Failure::NotSent,
                    FailureLine::Unknown => Failure::Unknown,
                    FailureLine::TooLarge => Failure::TooLarge,
                };
                Input::Failed { id: RequestId(id), failure }
            }
            Self::WatchChunk { id, body } => Input::WatchChunk { id: RequestId(id), bytes: body.bytes()? },
            Self::WatchClosed { id } => Input::WatchClosed { id: RequestId(id) },
            Self::CredentialsReady { id } => Input::CredentialsReady { id: RequestId(id) },
        })
    }
}

fn response(status: u16, headers: &[(String, String)], body: Body) -> Result<Response<Bytes>, LineProblem> {
    let mut response = Response::new(body.bytes()?);
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| LineProblem::Status)?;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| LineProblem::Header)?;
        let value = unescape(value).and_then(|value| HeaderValue::from_bytes(&value).ok());
        response.headers_mut().append(name, value.ok_or(LineProblem::Header)?);
    }
    Ok(response)
}

impl OutputLine {
    fn new(output: &Output) -> Self {
        match output {
            Output::Action(Action::Send { id, request, give_up_at, max_body }) => {
                Self::Send(RequestLine::new(*id, request, *give_up_at, *max_body))
            }
            Output::Action(Action::OpenWatch { id, request, give_up_at, max_body }) => {
                Self::OpenWatch(RequestLine::new(*id, request, *give_up_at, *max_body))
            }
            Output::Action(Action::Abort { id }) => Self::Abort { id: id.0 },
            Output::Action(Action::RefreshCredentials { id }) => Self::RefreshCredentials { id: id.0 },
            Output::Event(event) => Self::Event(format!("{event:?}")),
            Output::Idle { wake, reason } => {
                Self::Idle { wake: wake.map(MonoTime::as_nanos), reason: format!("{reason:?}") }
            }
        }
    }
}

impl RequestLine {
    fn new(id: RequestId, request: &Request<Bytes>, give_up_at: MonoTime, max_body: usize) -> Self {
        Self {
            id: id.0,
            method: request.method().to_string(),
            uri: request.uri().to_string(),
            headers: headers(request.headers(), |name| name != AUTHORIZATION),
            body: Body::new(request.body()),
            give_up_at: give_up_at.as_nanos(),
            max_body,
        }
    }
}

pub(super) fn output(output: &Output) -> Value {
    // Strings, numbers and lists cannot fail to become JSON.
    serde_json::to_value(OutputLine::new(output)).unwrap_or_default()
}

/// In the order of their names, so that it does not hang on a hash.
fn headers(headers: &HeaderMap, keep: impl Fn(&HeaderName) -> bool) -> Vec<(String, String)> {
    let kept = headers.iter().filter(|(name, _)| keep(name));
    let mut list: Vec<_> = kept.map(|(name, value)| (name.to_string(), escape(value.as_bytes()))).collect();
    list.sort_by(|one, other| one.0.cmp(&other.0));
    list
}

/// Header values as text: what is not printable ASCII, and the backslash, as `\xNN`.
fn escape(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for &byte in value {
        match byte {
            b'\\' => text.push_str("\\x5c"),
            b' '..=b'~' => text.push(char::from(byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'\\' {
            let digits = after.strip_prefix(b"x")?;
            let (digits, after) = digits.split_at_checked(2)?;
            value.extend(from_hex(digits)?);
            rest = after;
        } else {
            value.push(first);
        }
    }
    Some(value)
}

impl Body {
    fn new(bytes: &Bytes) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    fn bytes(self) -> Result<Bytes, LineProblem> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Hex(digits) => Ok(from_hex(digits.as_bytes()).ok_or(LineProblem::Hexadecimal)?.into()),
        }
    }
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

pub(super) fn now(mono: u64, wall: i64) -> Now {
    Now { mono: MonoTime::from_nanos(mono), wall: WallTime::from_micros(wall) }
}
