//! A bearer token.

use std::fmt;

use http::HeaderValue;

use super::error::TokenProblem;
use super::files::MAX_FILE_BYTES;

/// A bearer token that fits into an `Authorization` header.
///
/// It has no `Display`, its `Debug` says `[redacted]`, and its text can only be had as the
/// [header](Self::header_value). Equality tells whether a re-read brought a new one.
///
/// ```
/// use lease_core::credentials::BearerToken;
///
/// let token = BearerToken::parse(b"s3cr3t\n")?;
/// assert_eq!(format!("{token:?}"), "BearerToken([redacted])");
/// assert_eq!(token.header_value(), "Bearer s3cr3t");
/// assert!(token.header_value().is_sensitive());
/// # Ok::<(), lease_core::credentials::TokenProblem>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(HeaderValue);

impl BearerToken {
    /// Takes the content of a token file, or a token as it is. White space around it is removed.
    ///
    /// # Errors
    /// Nothing is left, a character is not visible ASCII (0x21 to 0x7e), or it is larger than
    /// [`MAX_FILE_BYTES`]. The error never repeats the token.
    pub fn parse(content: &[u8]) -> Result<Self, TokenProblem> {
        if content.len() > MAX_FILE_BYTES {
            return Err(TokenProblem::TooLarge);
        }
        let token = content.trim_ascii();
        if token.is_empty() {
            return Err(TokenProblem::Empty);
        }
        if let Some(at) = token.iter().position(|byte| !byte.is_ascii_graphic()) {
            return Err(TokenProblem::NotVisibleAscii { at });
        }
        let text = [b"Bearer ".as_slice(), token].concat();
        let mut header = HeaderValue::try_from(text).map_err(|_| TokenProblem::NotVisibleAscii { at: 0 })?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// `Bearer TOKEN`, marked sensitive so that HTTP libraries neither print it nor index it.
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BearerToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_token_is_removed() {
        let plain = BearerToken::parse(b"a.b-c_~+/=").unwrap();
        assert_eq!(BearerToken::parse(b"\t a.b-c_~+/=\r\n\n").unwrap(), plain);
        assert_ne!(BearerToken::parse(b"a.b-c_~+/").unwrap(), plain);
        assert!(plain.header_value().is_sensitive());
    }

    #[test]
    fn bad_tokens_are_refused_without_being_shown() {
        for (content, problem) in [
            (b"".as_slice(), TokenProblem::Empty),
            (b" \r\n\t", TokenProblem::Empty),
            (b"s3cr3t\ns3cr3t", TokenProblem::NotVisibleAscii { at: 6 }),
            (b"Bearer s3cr3t", TokenProblem::NotVisibleAscii { at: 6 }),
            (b"s3cr3t\0", TokenProblem::NotVisibleAscii { at: 6 }),
            (b"\xef\xbb\xbfs3cr3t", TokenProblem::NotVisibleAscii { at: 0 }),
            (b"s3cr3t\x7f", TokenProblem::NotVisibleAscii { at: 6 }),
        ] {
            assert_eq!(BearerToken::parse(content), Err(problem));
            assert!(!format!("{problem:?}{problem}").contains("s3cr3t"));
        }
        let most = vec![b'a'; MAX_FILE_BYTES];
        assert!(BearerToken::parse(&most).is_ok());
        assert_eq!(BearerToken::parse(&vec![b'a'; MAX_FILE_BYTES + 1]), Err(TokenProblem::TooLarge));
    }
}
