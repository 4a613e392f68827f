//! What a source says about the connection itself: whose name the server must prove, and through what.

use std::fmt;

use super::error::UrlProblem;
use super::url::{MAX_URL_BYTES, ServerUrl, parse_authority};

/// Settings of the connection that only a kubeconfig has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Connection {
    /// Lower case; an address without brackets.
    pub(super) tls_server_name: Option<String>,
    pub(super) insecure: bool,
    pub(super) proxy: Option<ProxyUrl>,
}

impl Connection {
    /// Nothing out of the ordinary.
    pub(super) const PLAIN: Self = Self { tls_server_name: None, insecure: false, proxy: None };
}

/// Something about credentials that must be reported to whoever runs the application, loudly. Its text says
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialWarning {
    /// The server's certificate is not verified: whoever sits on the way reads the token and can fake every
    /// answer, and with it two holders at a time.
    InsecureSkipTlsVerify {
        /// The address; it holds no user name, password or query.
        server: ServerUrl,
    },
}

impl fmt::Display for CredentialWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsecureSkipTlsVerify { server } => write!(
                formatter,
                "TLS VERIFICATION IS OFF for {server}: anybody on the way can read the credentials and fake \
                 the server's answers; set certificate-authority-data instead of insecure-skip-tls-verify"
            ),
        }
    }
}

/// How to speak to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyScheme {
    /// `CONNECT` over plain TCP.
    Http,
    /// `CONNECT` over TLS.
    Https,
    /// SOCKS version 5.
    Socks5,
}

/// The validated address of a proxy: `SCHEME://[USER[:PASSWORD]@]HOST[:PORT]` with a scheme of
/// [`ProxyScheme`]. An adapter sends everything through it, or refuses to start: it is never ignored.
///
/// `Debug` and `Display` say `[redacted]` for user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    scheme: ProxyScheme,
    /// Without a trailing slash.
    text: String,
}

impl ProxyUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// What is wrong. It does not repeat the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, UrlProblem> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlProblem::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlProblem::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlProblem::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyScheme::Http,
            "https" => ProxyScheme::Https,
            "socks5" => ProxyScheme::Socks5,
            _ => return Err(UrlProblem::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        match &rest[end..] {
            "" | "/" => {}
            path if path.contains('#') => return Err(UrlProblem::Fragment),
            path if path.contains('?') => return Err(UrlProblem::Query),
            _ => return Err(UrlProblem::Path),
        }
        let authority = &rest[..end];
        // URL libraries take it for a slash: the host would be another one than the one that is shown.
        if authority.contains('\\') {
            return Err(UrlProblem::Host);
        }
        parse_authority(authority.rsplit_once('@').map_or(authority, |(_, host)| host))?;
        let text = text.strip_suffix('/').unwrap_or(text).to_owned();
        Ok(Self { scheme, text })
    }

    /// How to speak to it.
    pub fn scheme(&self) -> ProxyScheme {
        self.scheme
    }

    /// The whole address. It may hold a password: hand it to the HTTP client and to nobody else.
    pub fn secret_url(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text.split_once("://"), self.text.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => write!(formatter, "{scheme}://[redacted]@{host}"),
            _ => formatter.write_str(&self.text),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ProxyUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_are_kept_without_showing_who_we_are() {
        for (text, scheme, shown) in [
            ("http://proxy:3128/", ProxyScheme::Http, "http://proxy:3128"),
            ("HTTPS://[::1]", ProxyScheme::Https, "HTTPS://[::1]"),
            ("socks5://127.0.0.1:1080", ProxyScheme::Socks5, "socks5://127.0.0.1:1080"),
            ("http://me:s3cr3t@proxy:3128", ProxyScheme::Http, "http://[redacted]@proxy:3128"),
            ("http://me:s3c@r3t@proxy", ProxyScheme::Http, "http://[redacted]@proxy"),
        ] {
            let proxy = ProxyUrl::parse(text).unwrap();
            assert_eq!((proxy.scheme(), proxy.to_string().as_str()), (scheme, shown));
            assert_eq!(proxy.secret_url(), text.trim_end_matches('/'));
            assert_eq!(format!("{proxy:?}"), format!("ProxyUrl({shown})"));
        }
    }

    #[test]
    fn bad_addresses_are_refused_with_the_reason() {
        for (text, problem) in [
            ("proxy:3128", UrlProblem::Scheme),
            ("socks5h://proxy", UrlProblem::Scheme),
            ("ftp://proxy", UrlProblem::Scheme),
            ("http://", UrlProblem::Host),
            ("http://me@", UrlProblem::Host),
            // For URL libraries the host is `proxy`, and what follows a path.
            ("http://proxy\\@me", UrlProblem::Host),
            ("http://proxy:0", UrlProblem::Port),
            ("http://proxy/path", UrlProblem::Path),
            ("http://proxy?a", UrlProblem::Query),
            ("http://proxy/#a", UrlProblem::Fragment),
            ("http://pro xy", UrlProblem::Character),
        ] {
            assert_eq!(ProxyUrl::parse(text), Err(problem), "{text}");
        }
        let long = format!("http://{}", "a".repeat(MAX_URL_BYTES));
        assert_eq!(ProxyUrl::parse(&long), Err(UrlProblem::TooLong));
    }
}
