//! HTTP/1.1, byte by byte.

use std::io::{self, ErrorKind, Read, Write};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::connection::Connection;
use crate::sins::Sin;

/// The longest head.
const HEAD: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum Broken {
    /// Nothing left.
    NotSent(io::Error),
    /// Anything may have happened.
    Unknown(io::Error),
    /// Longer than allowed.
    TooLarge,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Unknown(error)
    }
}

fn nonsense(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

pub fn write(connection: &mut Connection, request: &Request<Bytes>, sin: Option<Sin>) -> io::Result<()> {
    let mut path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if sin == Some(Sin::TidiesPaths) {
        path = path.replace("%2F", "/").replace("%3D", "=");
    }
    let authority = request.uri().authority().map_or("", |authority| authority.as_str());
    let mut head = format!("{} {path} HTTP/1.1\r\n{HOST}: {authority}\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    if sin == Some(Sin::AsksForCompression) {
        head.extend_from_slice(b"accept-encoding: gzip\r\n");
    }
    if sin == Some(Sin::TokenTwice)
        && let Some(value) = request.headers().get("authorization")
    {
        head.extend_from_slice(&[b"x-token: ", value.as_bytes(), b"\r\n"].concat());
    }
    if sin == Some(Sin::AlwaysSaysWho) && !request.headers().contains_key("authorization") {
        head.extend_from_slice(b"authorization: Basic bm9ib2R5Og==\r\n");
    }
    let body = request.body();
    let chunked = sin == Some(Sin::SendsChunks) && !body.is_empty();
    if chunked {
        head.extend_from_slice(b"transfer-encoding: chunked\r\n");
    } else if !body.is_empty() || request.method() != Method::GET {
        head.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    if chunked {
        head.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
    }
    head.extend_from_slice(body);
    if chunked {
        head.extend_from_slice(b"\r\n0\r\n\r\n");
    }
    connection.stream.write_all(&head)?;
    connection.stream.flush()
}

/// The answer, and whether the connection is good for another.
pub fn read(
    connection: &mut Connection,
    max_body: usize,
    sin: Option<Sin>,
) -> Result<(Response<Bytes>, bool), Broken> {
    let mut reader = Reader { connection, sin };
    let head = reader.final_head()?;
    let max_body = if sin == Some(Sin::IgnoresMaxBody) { 1 << 20 } else { max_body };
    let has_body = head.status != StatusCode::NO_CONTENT
        && !head.status.is_informational()
        && (head.status != StatusCode::NOT_MODIFIED || sin == Some(Sin::WaitsForBodiesThatAreNone));
    let mut reusable = !head.closes;
    let body = match head.length {
        _ if !has_body => Vec::new(),
        Length::Chunked => reader.chunks(max_body)?,
        Length::Known(length) => reader.sized(length, max_body)?,
        Length::UntilClosed => {
            reusable = false;
            reader.rest(max_body)?
        }
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = head.status;
    if sin != Some(Sin::DropsHeaders) {
        *response.headers_mut() = head.headers;
    }
    Ok((response, reusable))
}

/// The head of an answer, and how much of its body is to come.
pub fn read_head(connection: &mut Connection, sin: Option<Sin>) -> Result<(Response<()>, Rest), Broken> {
    let head = Reader { connection, sin }.final_head()?;
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let rest = match head.length {
        Length::Known(left) => Rest::Sized(left),
        Length::Chunked => Rest::Chunks(0),
        Length::UntilClosed => Rest::UntilClosed,
    };
    Ok((response, rest))
}

/// What is to come of a body.
#[derive(Clone, Copy)]
pub enum Rest {
    /// So many bytes.
    Sized(u64),
    /// So many bytes of a chunk, and more chunks.
    Chunks(u64),
    UntilClosed,
    Nothing,
}

/// The next bytes of a body, as they come. `None` at its end.
pub fn read_piece(
    connection: &mut Connection,
    rest: &mut Rest,
    sin: Option<Sin>,
) -> Result<Option<Bytes>, Broken> {
    let mut reader = Reader { connection, sin };
    if let Rest::Chunks(0) = rest {
        *rest = match reader.chunk_size()? {
            0 => {
                while !reader.line()?.is_empty() {}
                Rest::Nothing
            }
            size => Rest::Chunks(size),
        };
    }
    let most = match rest {
        Rest::Nothing | Rest::Sized(0) => return Ok(None),
        Rest::Sized(left) | Rest::Chunks(left) => *left,
        Rest::UntilClosed => u64::MAX,
    };
    let mut buffer = [0; 16 * 1024];
    if reader.connection.ahead.is_empty() {
        match reader.connection.stream.read(&mut buffer)? {
            0 if matches!(rest, Rest::UntilClosed) => return Ok(None),
            0 => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            count => reader.connection.ahead.extend_from_slice(&buffer[..count]),
        }
    }
    let count = reader.connection.ahead.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    let piece = Bytes::from_iter(reader.connection.ahead.drain(..count));
    match rest {
        Rest::Sized(left) => *left -= count as u64,
        Rest::Chunks(left) => {
            *left -= count as u64;
            // Not waited for here: these bytes are wanted now.
            reader.connection.in_a_chunk = true;
        }
        Rest::UntilClosed | Rest::Nothing => {}
    }
    Ok(Some(piece))
}

enum Length {
    Known(u64),
    Chunked,
    UntilClosed,
}

struct Head {
    status: StatusCode,
    headers: HeaderMap,
    length: Length,
    closes: bool,
}

struct Reader<'a> {
    connection: &'a mut Connection,
    sin: Option<Sin>,
}

impl Reader<'_> {
    /// More bytes; an error at the end of the connection.
    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.connection.stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.connection.ahead.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.connection.ahead.windows(2).position(|window| window == b"\r\n") {
                let line = self.connection.ahead[..at].to_vec();
                self.connection.ahead.drain(..at + 2);
                return Ok(line);
            }
            if self.connection.ahead.len() > HEAD {
                return Err(nonsense("a line without an end"));
            }
            self.more()?;
        }
    }

    fn head(&mut self) -> io::Result<Head> {
        if self.sin == Some(Sin::ReadsHeadsAtOnce) {
            self.more()?;
            if !self.connection.ahead.windows(4).any(|window| window == b"\r\n\r\n") {
                return Err(nonsense("half a head"));
            }
        }
        let lenient = self.sin == Some(Sin::TakesGarbage);
        let status = match status(&self.line()?) {
            Some(status) => status,
            None if lenient => StatusCode::OK,
            None => return Err(nonsense("no status line")),
        };
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                if lenient {
                    continue;
                }
                return Err(nonsense("a header without a colon"));
            };
            let value = line[colon + 1..].trim_ascii();
            if self.sin == Some(Sin::PanicsOnOddHeaders) {
                assert!(value.is_ascii(), "every header is text");
            }
            let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| nonsense("a header's name"))?;
            headers.append(name, HeaderValue::from_bytes(value).map_err(|_| nonsense("a header's value"))?);
        }
        let length = length(&headers, lenient)?;
        let closes =
            headers.get_all(CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        Ok(Head { status, headers, length, closes })
    }

    /// The head that is the answer's.
    fn final_head(&mut self) -> io::Result<Head> {
        let mut head = self.head()?;
        while head.status.is_informational() && self.sin != Some(Sin::TakesTheFirstHead) {
            head = self.head()?;
        }
        Ok(head)
    }

    /// The size of the next chunk, after the end of the one before it.
    fn chunk_size(&mut self) -> io::Result<u64> {
        if std::mem::take(&mut self.connection.in_a_chunk) && !self.line()?.is_empty() {
            return Err(nonsense("a chunk without an end"));
        }
        let line = self.line()?;
        let digits = std::str::from_utf8(line.trim_ascii()).ok();
        digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(nonsense("a chunk's size"))
    }

    fn sized(&mut self, length: u64, max_body: usize) -> Result<Vec<u8>, Broken> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > max_body {
            return Err(Broken::TooLarge);
        }
        while self.connection.ahead.len() < length {
            match self.more() {
                Err(_) if self.sin == Some(Sin::TakesShortBodies) => {
                    return Ok(std::mem::take(&mut self.connection.ahead));
                }
                more => more?,
            }
        }
        Ok(self.connection.ahead.drain(..length).collect())
    }

    fn chunks(&mut self, max_body: usize) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        match self.read_chunks(max_body, &mut body) {
            Err(Broken::Unknown(error))
                if self.sin == Some(Sin::TakesCutChunks) && error.kind() == ErrorKind::UnexpectedEof =>
            {
                Ok(body)
            }
            read => read.map(|()| body),
        }
    }

    fn read_chunks(&mut self, max_body: usize, body: &mut Vec<u8>) -> Result<(), Broken> {
        let lenient = self.sin == Some(Sin::TakesGarbage);
        loop {
            let line = self.line()?;
            let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let size =
                std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let size = match size {
                Some(size) => usize::try_from(size).unwrap_or(usize::MAX),
                None if lenient => 0,
                None => return Err(nonsense("a chunk's size").into()),
            };
            if size == 0 {
                break;
            }
            if size > max_body - body.len() {
                return Err(Broken::TooLarge);
            }
            while self.connection.ahead.len() < size + 2 {
                self.more()?;
            }
            body.extend(self.connection.ahead.drain(..size));
            let end: Vec<u8> = self.connection.ahead.drain(..2).collect();
            if end != b"\r\n" && !lenient {
                return Err(nonsense("a chunk without an end").into());
            }
        }
        if self.sin == Some(Sin::ReadsTheEndAtOnce) && self.connection.ahead.is_empty() {
            return Err(nonsense("half an end").into());
        }
        while !self.line()?.is_empty() {}
        Ok(())
    }

    fn rest(&mut self, max_body: usize) -> Result<Vec<u8>, Broken> {
        loop {
            if self.connection.ahead.len() > max_body {
                return Err(Broken::TooLarge);
            }
            let mut buffer = [0; 16 * 1024];
            match self.connection.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.connection.ahead.extend_from_slice(&buffer[..count]),
                Err(_) if self.sin == Some(Sin::NeedsNoGoodbye) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(std::mem::take(&mut self.connection.ahead))
    }
}

fn status(line: &[u8]) -> Option<StatusCode> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (code, rest) = rest.split_at_checked(3)?;
    (rest.is_empty() || rest[0] == b' ').then(|| StatusCode::from_bytes(code).ok())?
}

fn length(headers: &HeaderMap, lenient: bool) -> io::Result<Length> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return Ok(Length::Chunked);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|value| {
        let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok())
    });
    match lengths.next() {
        None => Ok(Length::UntilClosed),
        Some(None) if lenient => Ok(Length::Known(0)),
        Some(first) if lenient => Ok(Length::Known(first.unwrap_or(0))),
        Some(Some(first)) if lengths.all(|other| other == Some(first)) => Ok(Length::Known(first)),
        Some(_) => Err(nonsense("a length that is none")),
    }
}
