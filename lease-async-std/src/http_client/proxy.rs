//! A tunnel through an HTTP proxy, by `CONNECT`.

use std::error::Error;
use std::fmt;
use std::io;

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use percent_encoding::percent_decode_str;
use surf::Url;

use super::origin::Origin;

/// More than any proxy says before a tunnel.
const MAX_HEAD: usize = 16 * 1024;

/// An HTTP proxy.
#[derive(Clone)]
pub(crate) struct HttpProxy {
    origin: Origin,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// What is wrong with a proxy's address. It does not repeat the address, which can hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyProblem {
    /// It is not a URL.
    Malformed,
    /// It is not `http://…`: TLS to the proxy itself, or SOCKS.
    Scheme,
    /// It has a path, a query or a fragment, which mean nothing for a proxy.
    Path,
}

impl HttpProxy {
    /// `http://[USER:PASSWORD@]HOST[:PORT]`, port 80 by default.
    pub(crate) fn parse(text: &str) -> Result<Self, ProxyProblem> {
        let url = Url::parse(text).map_err(|_| ProxyProblem::Malformed)?;
        if url.scheme() != "http" {
            return Err(ProxyProblem::Scheme);
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyProblem::Path);
        }
        let origin = Origin::of(&url).ok_or(ProxyProblem::Malformed)?;
        let password = url.password();
        let authorization = (!url.username().is_empty() || password.is_some()).then(|| {
            let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
            pair.push(b':');
            pair.extend(percent_decode_str(password.unwrap_or_default()));
            format!("Basic {}", base64(&pair))
        });
        Ok(Self { origin, authorization })
    }

    pub(super) fn host(&self) -> &str {
        self.origin.host()
    }

    pub(super) fn port(&self) -> u16 {
        self.origin.port()
    }

    /// Asks for a tunnel. When this succeeds, what is written to the stream goes to `target`.
    pub(super) async fn open_tunnel(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        target: &Origin,
    ) -> io::Result<()> {
        let target = target.authority();
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            head.push_str("Proxy-Authorization: ");
            head.push_str(authorization);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        granted(&read_head(stream).await?)
    }
}

/// Reads to the empty line and no further: what comes then is the server's. (The server of a TLS connection
/// says nothing before its client does, but a byte at a time is quick enough, once per connection.)
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::Error::other("its answer has no end"));
        }
        stream.read_exact(&mut byte).await?;
        head.push(byte[0]);
    }
    Ok(head)
}

/// Whether `HTTP/1.x 2xx …` stands at the beginning.
fn granted(head: &[u8]) -> io::Result<()> {
    let version = head.starts_with(b"HTTP/1.0 ") || head.starts_with(b"HTTP/1.1 ");
    let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
    match status.filter(|_| version) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(io::Error::other(format!("it answers with status {status}"))),
        None => Err(io::Error::other("it does not speak HTTP/1")),
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) as usize % 64;
            text.push(if at <= group.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its address without user and password.
        write!(formatter, "HttpProxy({})", self.origin)
    }
}

impl fmt::Display for ProxyProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Malformed => "the proxy's address is not a URL",
            Self::Scheme => "the proxy's address does not begin with http://",
            Self::Path => "the proxy's address has a path, a query or a fragment",
        })
    }
}

impl Error for ProxyProblem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies() {
        let proxy = HttpProxy::parse("http://Proxy.example:3128").unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy.example", 3128));
        assert_eq!(proxy.authorization, None);
        let proxy = HttpProxy::parse("http://a%40b:p%3Aw@[::1]/").unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("::1", 80));
        // "a@b:p:w"
        assert_eq!(proxy.authorization.as_deref(), Some("Basic YUBiOnA6dw=="));
        assert_eq!(format!("{proxy:?}"), "HttpProxy(http://[::1])");

        for (text, problem) in [
            ("", ProxyProblem::Malformed),
            ("proxy.example", ProxyProblem::Malformed),
            ("http://u:p@", ProxyProblem::Malformed),
            ("http://:3128", ProxyProblem::Malformed),
            ("proxy.example:3128", ProxyProblem::Scheme),
            ("https://proxy.example", ProxyProblem::Scheme),
            ("socks5://proxy.example", ProxyProblem::Scheme),
            ("http://proxy.example/x", ProxyProblem::Path),
            ("http://proxy.example?x", ProxyProblem::Path),
        ] {
            assert_eq!(HttpProxy::parse(text).unwrap_err(), problem, "{text}");
        }
    }

    #[test]
    fn only_2xx_grants_a_tunnel() {
        let answer = |text: &str| granted(text.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(answer("HTTP/1.1 200 Connection established\r\n\r\n"), Ok(()));
        assert_eq!(answer("HTTP/1.0 200 OK\r\n\r\n"), Ok(()));
        assert_eq!(answer("HTTP/1.1 407 No\r\n\r\n"), Err("it answers with status 407".to_owned()));
        for other in ["\r\n\r\n", "HTTP/1.1 2\r\n\r\n", "HTTP/2.0 200 \r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n"] {
            assert_eq!(answer(other), Err("it does not speak HTTP/1".to_owned()), "{other:?}");
        }
    }

    #[test]
    fn base64_as_in_the_standard() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }
}
