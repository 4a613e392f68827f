//! The address of an API server.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;

use super::error::{CredentialError, RequestProblem, UrlProblem};

/// The longest address that [`ServerUrl`] takes, in bytes.
pub const MAX_URL_BYTES: usize = 4096;

/// A validated address of an API server: `https://HOST[:PORT][/PREFIX]`, or the same with `http`.
///
/// HOST is a DNS name, an IPv4 address or an IPv6 address in brackets. PORT is 1 to 65535 and defaults to
/// 443 (https) or 80 (http). PREFIX is kept without its trailing slash, as proxies in front of many clusters
/// need it. User name and password, query and fragment are refused: they would be silently dropped, or would
/// leak. So is a host that URL libraries read in different ways (`127.1`, `0x7f.1`, `10.0.0.1.`).
///
/// Over `http` a bearer token is only sent to a [loopback](Self::is_loopback) host; see
/// [`CredentialError::PlainHttpToken`].
///
/// ```
/// use lease_core::credentials::ServerUrl;
///
/// let server: ServerUrl = "https://Proxy.example/k8s/clusters/c-1/".parse()?;
/// assert_eq!(server.to_string(), "https://proxy.example/k8s/clusters/c-1");
/// assert_eq!(server.port(), 443);
/// let uri = server.join(&"/version?timeout=5s".parse()?)?;
/// assert_eq!(uri, "https://proxy.example/k8s/clusters/c-1/version?timeout=5s");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    https: bool,
    host: Host,
    port: Option<u16>,
    prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Host {
    /// Lower case.
    Name(String),
    Address(IpAddr),
}

impl ServerUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// [`CredentialError::ServerUrl`] with what is wrong. It does not repeat the text, which may hold a
    /// password by mistake.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        parse(text).map_err(CredentialError::ServerUrl)
    }

    /// `https://HOST:PORT` of a host and a port that came apart; the host is a name or an address without
    /// brackets.
    pub(crate) fn from_host_and_port(host: &str, port: u16) -> Result<Self, UrlProblem> {
        let host = match host.parse::<Ipv6Addr>() {
            Ok(address) => Host::Address(address.into()),
            Err(_) => parse_name_or_ipv4(host)?,
        };
        Ok(Self { https: true, host, port: Some(port), prefix: String::new() })
    }

    /// Whether this is `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host alone, an IPv6 address without its brackets: what TLS verifies.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        }
    }

    /// The port, 1 to 65535, the scheme's default if none was given.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// The path in front of every request's path: empty, or `/…` without a trailing slash.
    pub fn path_prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the host is `localhost`, in 127.0.0.0/8, or `::1`: plain http does not leave the machine.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.is_loopback(),
        }
    }

    /// The full URI of a request for `request`, a path with an optional query.
    ///
    /// # Errors
    /// [`CredentialError::Request`] when `request` names a scheme or a host of its own (a redirect taken for
    /// a request would carry the token away), has no absolute path, has `.` or `..` segments (they could
    /// leave the prefix), or makes the URI too long.
    pub fn join(&self, request: &Uri) -> Result<Uri, CredentialError> {
        self.join_inner(request).map_err(CredentialError::Request)
    }

    fn join_inner(&self, request: &Uri) -> Result<Uri, RequestProblem> {
        if request.scheme().is_some() || request.authority().is_some() {
            return Err(RequestProblem::OwnHost);
        }
        let path = request.path();
        if !path.starts_with('/') {
            return Err(RequestProblem::NoPath);
        }
        if path.split('/').any(is_dot_segment) {
            return Err(RequestProblem::DotSegment);
        }
        let mut text = format!("{self}{path}");
        if let Some(query) = request.query() {
            text.push('?');
            text.push_str(query);
        }
        Uri::try_from(text).map_err(|_| RequestProblem::TooLong)
    }
}

/// A host alone, a DNS name or an address, in its usual form: lower case, no brackets.
#[cfg(feature = "kubeconfig")]
pub(super) fn host_alone(text: &str) -> Result<String, UrlProblem> {
    Ok(match text.parse::<Ipv6Addr>() {
        Ok(address) => address.to_string(),
        Err(_) => match parse_name_or_ipv4(text)? {
            Host::Name(name) => name,
            Host::Address(address) => address.to_string(),
        },
    })
}

impl FromStr for ServerUrl {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.https { "https://" } else { "http://" })?;
        match &self.host {
            Host::Name(name) => formatter.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(formatter, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]")?,
        }
        if let Some(port) = self.port {
            write!(formatter, ":{port}")?;
        }
        formatter.write_str(&self.prefix)
    }
}

fn parse(text: &str) -> Result<ServerUrl, UrlProblem> {
    if text.len() > MAX_URL_BYTES {
        return Err(UrlProblem::TooLong);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UrlProblem::Character);
    }
    let (scheme, rest) = text.split_once("://").ok_or(UrlProblem::Scheme)?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(UrlProblem::Scheme),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(UrlProblem::UserInfo);
    }
    if path.contains('#') {
        return Err(UrlProblem::Fragment);
    }
    if path.contains('?') {
        return Err(UrlProblem::Query);
    }
    let (host, port) = parse_authority(authority)?;
    Ok(ServerUrl { https, host, port, prefix: parse_prefix(path)? })
}

/// The host and the port, if one is given, of `HOST[:PORT]`.
pub(super) fn parse_authority(authority: &str) -> Result<(Host, Option<u16>), UrlProblem> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(UrlProblem::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| UrlProblem::Host)?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or(UrlProblem::Host)?),
        };
        (Host::Address(address.into()), port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        (parse_name_or_ipv4(host)?, port)
    };
    let port = port.map(parse_port).transpose()?;
    Ok((host, port))
}

/// 1 to 65535, digits only (`parse` alone would take a sign).
pub(crate) fn parse_port(text: &str) -> Result<u16, UrlProblem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(UrlProblem::Port),
    }
}

fn parse_name_or_ipv4(text: &str) -> Result<Host, UrlProblem> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let name = text.to_ascii_lowercase();
    let labels = name.strip_suffix('.').unwrap_or(&name);
    let last = labels.rsplit('.').next().unwrap_or_default();
    // URL libraries read a name that ends in a number as an IPv4 address in an old notation.
    let numeric = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    if labels.len() > 253 || numeric || !labels.split('.').all(is_label) {
        return Err(UrlProblem::Host);
    }
    Ok(Host::Name(name))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn parse_prefix(path: &str) -> Result<String, UrlProblem> {
    let path = path.trim_end_matches('/');
    let Some(segments) = path.strip_prefix('/') else {
        return Ok(String::new());
    };
    let fine = |segment: &str| !segment.is_empty() && !is_dot_segment(segment) && is_path_text(segment);
    if !segments.split('/').all(fine) {
        return Err(UrlProblem::Path);
    }
    Ok(path.to_owned())
}

/// Whether a URL library would take this segment as `.` or `..`.
fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

/// Whether every character stands for itself in a path (RFC 3986), percent signs with two hex digits.
fn is_path_text(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => hex(at + 1) && hex(at + 2),
        b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'!' | b'$' | b'&' | b'(' | b')' | b'*' => true,
        b'+' | b',' | b';' | b'=' => true,
        other => other.is_ascii_alphanumeric(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> UrlProblem {
        match ServerUrl::parse(text) {
            Err(CredentialError::ServerUrl(problem)) => problem,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn good_addresses_are_kept_in_one_form() {
        for (text, form, port, loopback) in [
            ("https://10.0.0.1:6443", "https://10.0.0.1:6443", 6443, false),
            ("HTTPS://Kubernetes.Default.svc", "https://kubernetes.default.svc", 443, false),
            ("https://kubernetes.default.svc.", "https://kubernetes.default.svc.", 443, false),
            ("https://[FD00:0::1]:443/", "https://[fd00::1]:443", 443, false),
            ("http://[::1]/", "http://[::1]", 80, true),
            ("http://127.9.9.9:8080//", "http://127.9.9.9:8080", 8080, true),
            ("http://LOCALHOST", "http://localhost", 80, true),
            ("http://localhost.example", "http://localhost.example", 80, false),
            ("https://p/k8s/%2Fc-1:x///", "https://p/k8s/%2Fc-1:x", 443, false),
        ] {
            let server = ServerUrl::parse(text).unwrap();
            assert_eq!(server.to_string(), form);
            assert_eq!((server.port(), server.is_loopback()), (port, loopback), "{text}");
            assert_eq!(ServerUrl::parse(form).unwrap(), server);
        }
        assert_eq!(ServerUrl::parse("https://[::1]").unwrap().host(), "::1");
    }

    #[test]
    fn bad_addresses_are_refused_with_the_reason() {
        for (text, expected) in [
            ("", UrlProblem::Scheme),
            ("10.0.0.1:6443", UrlProblem::Scheme),
            ("ftp://a", UrlProblem::Scheme),
            ("https:/a", UrlProblem::Scheme),
            (" https://a", UrlProblem::Character),
            ("https://a\n", UrlProblem::Character),
            ("https://bücher.example", UrlProblem::Character),
            ("https://user:pass@a", UrlProblem::UserInfo),
            ("https://a@b/", UrlProblem::UserInfo),
            ("https://a?x=1", UrlProblem::Query),
            ("https://a/b?x=1", UrlProblem::Query),
            ("https://a#f", UrlProblem::Fragment),
            ("https://a/b#f?x", UrlProblem::Fragment),
            ("https://", UrlProblem::Host),
            ("https:///path", UrlProblem::Host),
            ("https://.", UrlProblem::Host),
            ("https://a..b", UrlProblem::Host),
            ("https://-a", UrlProblem::Host),
            ("https://a\\b", UrlProblem::Host),
            ("https://127.1", UrlProblem::Host),
            ("https://2130706433", UrlProblem::Host),
            ("https://a.0x7f", UrlProblem::Host),
            ("https://127.0.0.1.", UrlProblem::Host),
            ("https://256.0.0.1", UrlProblem::Host),
            ("https://::1", UrlProblem::Host),
            ("https://[::1", UrlProblem::Host),
            ("https://[::1]x", UrlProblem::Host),
            ("https://[fe80::1%25eth0]", UrlProblem::Host),
            ("https://[127.0.0.1]", UrlProblem::Host),
            ("https://a:", UrlProblem::Port),
            ("https://a:0", UrlProblem::Port),
            ("https://a:+1", UrlProblem::Port),
            ("https://a:65536", UrlProblem::Port),
            ("https://[::1]:x", UrlProblem::Port),
            ("https://a/../b", UrlProblem::Path),
            ("https://a/b/%2E.", UrlProblem::Path),
            ("https://a/b//c", UrlProblem::Path),
            ("https://a/b%2", UrlProblem::Path),
            ("https://a/\"", UrlProblem::Path),
        ] {
            assert_eq!(problem(text), expected, "{text}");
        }
        assert_eq!(problem(&format!("https://a/{}", "b".repeat(MAX_URL_BYTES))), UrlProblem::TooLong);
        assert!(ServerUrl::parse(&format!("https://{}", "a".repeat(63))).is_ok());
        assert_eq!(problem(&format!("https://{}", "a".repeat(64))), UrlProblem::Host);
    }

    #[test]
    fn join_keeps_prefix_and_query_and_refuses_another_host() {
        let server = ServerUrl::parse("https://[::1]:6443/p/").unwrap();
        let join = |text: &str| server.join(&text.parse().unwrap());
        assert_eq!(join("/apis?a=/b").unwrap(), "https://[::1]:6443/p/apis?a=/b");
        assert_eq!(join("/").unwrap(), "https://[::1]:6443/p/");
        assert_eq!(join("//evil.example/x").unwrap(), "https://[::1]:6443/p//evil.example/x");
        let refused =
            |text, problem| assert_eq!(join(text), Err(CredentialError::Request(problem)), "{text}");
        refused("https://evil.example/x", RequestProblem::OwnHost);
        refused("evil.example:443", RequestProblem::OwnHost);
        refused("*", RequestProblem::NoPath);
        refused("/a/%2e%2E/b", RequestProblem::DotSegment);
        refused(&format!("/{}", "a".repeat(65_529)), RequestProblem::TooLong);
        assert_eq!(join("/a?b=/../c").unwrap(), "https://[::1]:6443/p/a?b=/../c");
    }
}
