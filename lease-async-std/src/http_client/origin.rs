//! The one server that a client talks to.

use std::fmt;

use surf::Url;

/// Scheme, host and port, in the form that the URL library gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    tls: bool,
    /// As it stands in a URL: an IPv6 address in brackets.
    host: String,
    port: u16,
    port_is_default: bool,
}

impl Origin {
    /// The origin of a URL; `None` unless it is `http` or `https` with a host.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        let (tls, default) = match url.scheme() {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return None,
        };
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        let port = url.port_or_known_default()?;
        Some(Self { tls, host, port, port_is_default: port == default })
    }

    pub(super) fn tls(&self) -> bool {
        self.tls
    }

    /// The host without brackets, as resolvers and TLS take it.
    pub(super) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT`, as a proxy takes it.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What the `Host` header says.
    pub(super) fn host_header(&self) -> String {
        if self.port_is_default { self.host.clone() } else { self.authority() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.host_header())
    }
}
