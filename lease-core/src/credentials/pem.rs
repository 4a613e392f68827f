//! Certificates and keys as PEM text: found, checked for form, and kept in one form.
//!
//! Only what the role needs is kept: certificates of a file that also holds a key do not carry the key along,
//! and comments or line ends make no difference to a comparison. Whether a certificate is sound, current and
//! matches its key is the TLS library's to judge.

use std::fmt;

use bytes::Bytes;

use super::error::{BlockFault, PemProblem};
use super::files::MAX_FILE_BYTES;

/// The certificates of the authorities that are trusted to vouch for the server; at least one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CaBundle(Certificates);

/// Our certificate, followed by those between it and its authority; at least one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificateChain(Certificates);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Certificates {
    pem: Bytes,
    count: usize,
}

/// The private key of a certificate: one PKCS#8, PKCS#1 or SEC 1 block, not encrypted.
///
/// `Debug` says `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Bytes);

/// A client certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificates, ours first.
    pub chain: CertificateChain,
    /// The private key of the first certificate.
    pub key: PrivateKey,
}

impl CaBundle {
    /// Takes every `CERTIFICATE` block of a PEM text; other blocks and what is outside of blocks are ignored.
    ///
    /// # Errors
    /// There is no such block, a block is cut off, empty or not base64 (the error says which), or it is
    /// larger than [`MAX_FILE_BYTES`].
    pub fn from_pem(text: &[u8]) -> Result<Self, PemProblem> {
        certificates(text).map(Self)
    }

    /// The certificates as PEM text.
    pub fn pem(&self) -> &[u8] {
        &self.0.pem
    }

    /// How many certificates there are, at least 1.
    pub fn count(&self) -> usize {
        self.0.count
    }
}

impl CertificateChain {
    /// Takes every `CERTIFICATE` block of a PEM text, in order; other blocks are ignored, so that a file may
    /// hold the key as well.
    ///
    /// # Errors
    /// As [`CaBundle::from_pem`].
    pub fn from_pem(text: &[u8]) -> Result<Self, PemProblem> {
        certificates(text).map(Self)
    }

    /// The certificates as PEM text.
    pub fn pem(&self) -> &[u8] {
        &self.0.pem
    }

    /// How many certificates there are, at least 1.
    pub fn count(&self) -> usize {
        self.0.count
    }
}

impl PrivateKey {
    /// Takes the one private key of a PEM text; other blocks are ignored, so that a file may hold the
    /// certificates as well.
    ///
    /// # Errors
    /// There is no key or more than one, the key is encrypted or of an unsupported form (OpenSSH, DSA), a
    /// block is cut off, empty or not base64, or the text is larger than [`MAX_FILE_BYTES`]. The error never
    /// repeats content.
    pub fn from_pem(text: &[u8]) -> Result<Self, PemProblem> {
        let blocks = blocks(text)?;
        let mut keys = blocks.iter().filter(|block| block.kind.is_key());
        let key = keys.next().ok_or(PemProblem::NoKey)?;
        if keys.next().is_some() {
            return Err(PemProblem::SeveralKeys);
        }
        if key.encrypted || key.kind == Kind::EncryptedKey {
            return Err(PemProblem::EncryptedKey);
        }
        if key.kind == Kind::OtherKey {
            return Err(PemProblem::UnsupportedKey);
        }
        let mut pem = Vec::new();
        key.write(&mut pem)?;
        Ok(Self(pem.into()))
    }

    /// The key as PEM text. It is a secret: hand it to the TLS library and to nobody else.
    pub fn secret_pem(&self) -> &[u8] {
        &self.0
    }
}

impl ClientCertificate {
    /// Takes the certificates of one PEM text and the key of another (which may be the same text).
    ///
    /// # Errors
    /// As [`CertificateChain::from_pem`] and [`PrivateKey::from_pem`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PemProblem> {
        Ok(Self { chain: CertificateChain::from_pem(chain)?, key: PrivateKey::from_pem(key)? })
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CaBundle({} certificates)", self.0.count)
    }
}

impl fmt::Debug for CertificateChain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CertificateChain({} certificates)", self.0.count)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey([redacted])")
    }
}

fn certificates(text: &[u8]) -> Result<Certificates, PemProblem> {
    let blocks = blocks(text)?;
    let mut pem = Vec::new();
    let mut count = 0;
    for block in blocks.iter().filter(|block| block.kind == Kind::Certificate) {
        block.write(&mut pem)?;
        count += 1;
    }
    if count == 0 {
        return Err(PemProblem::NoCertificate);
    }
    Ok(Certificates { pem: pem.into(), count })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Certificate,
    Pkcs8,
    Pkcs1,
    Sec1,
    EncryptedKey,
    OtherKey,
    Other,
}

impl Kind {
    fn of(label: &[u8]) -> Self {
        match label {
            b"CERTIFICATE" => Self::Certificate,
            b"PRIVATE KEY" => Self::Pkcs8,
            b"RSA PRIVATE KEY" => Self::Pkcs1,
            b"EC PRIVATE KEY" => Self::Sec1,
            b"ENCRYPTED PRIVATE KEY" => Self::EncryptedKey,
            other if other.ends_with(b"PRIVATE KEY") => Self::OtherKey,
            _ => Self::Other,
        }
    }

    fn is_key(self) -> bool {
        !matches!(self, Self::Certificate | Self::Other)
    }
}

/// One block as it stands in the text.
struct Block<'a> {
    /// Its number in the text, from 1.
    number: usize,
    label: &'a [u8],
    kind: Kind,
    /// Says so in a header of the block, as OpenSSL's old format does.
    encrypted: bool,
    /// Without white space.
    base64: Vec<u8>,
}

impl Block<'_> {
    fn bad(&self, fault: BlockFault) -> PemProblem {
        PemProblem::Block { number: self.number, fault }
    }

    /// Appends the block in its usual form, lines of 64 characters.
    fn write(&self, pem: &mut Vec<u8>) -> Result<(), PemProblem> {
        if self.base64.is_empty() {
            return Err(self.bad(BlockFault::Empty));
        }
        if !is_base64(&self.base64) {
            return Err(self.bad(BlockFault::Base64));
        }
        pem.extend_from_slice(&[b"-----BEGIN ", self.label, b"-----\n"].concat());
        for line in self.base64.chunks(64) {
            pem.extend_from_slice(line);
            pem.push(b'\n');
        }
        pem.extend_from_slice(&[b"-----END ", self.label, b"-----\n"].concat());
        Ok(())
    }
}

/// All blocks of a text, in order. Lines outside of blocks are ignored, as RFC 7468 has it.
fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, PemProblem> {
    if text.len() > MAX_FILE_BYTES {
        return Err(PemProblem::TooLarge);
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut closed = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii) {
        match open.take() {
            None => {
                open = boundary(line, b"-----BEGIN ").map(|label| Block {
                    number: closed.len() + 1,
                    label,
                    kind: Kind::of(label),
                    encrypted: false,
                    base64: Vec::new(),
                });
            }
            Some(block) if boundary(line, b"-----END ") == Some(block.label) => closed.push(block),
            Some(block) if line.starts_with(b"-----") => return Err(block.bad(BlockFault::Unterminated)),
            Some(mut block) => {
                if line.contains(&b':') {
                    block.encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
                } else {
                    block.base64.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
                }
                open = Some(block);
            }
        }
    }
    match open {
        Some(block) => Err(block.bad(BlockFault::Unterminated)),
        None => Ok(closed),
    }
}

/// The label of a line such as `-----BEGIN LABEL-----`.
fn boundary<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    // A whole block on one line is no boundary.
    (!label.contains(&b'-')).then_some(label)
}

/// Whether this is base64 with its padding.
fn is_base64(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let (digits, _) = text.split_at(text.len() - padding);
    padding <= 2
        && text.len().is_multiple_of(4)
        && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    fn ca(text: impl AsRef<[u8]>) -> Result<CaBundle, PemProblem> {
        CaBundle::from_pem(text.as_ref())
    }

    fn key(text: impl AsRef<[u8]>) -> Result<PrivateKey, PemProblem> {
        PrivateKey::from_pem(text.as_ref())
    }

    fn bad(number: usize, fault: BlockFault) -> PemProblem {
        PemProblem::Block { number, fault }
    }

    #[test]
    fn certificates_are_found_among_other_things_and_kept_in_one_form() {
        let plain = pem("CERTIFICATE", "MIIBAQ==") + &pem("CERTIFICATE", "MIIC");
        let bundle = ca(&plain).unwrap();
        assert_eq!(bundle.count(), 2);
        assert_eq!(bundle.pem(), plain.as_bytes());
        let noisy = format!("{}# comment: x\n{}", pem("PRIVATE KEY", "S3CR"), plain.replace("MII", "M I\nI"));
        let noisy = format!("\u{feff}{}", noisy.replace('\n', " \r\n"));
        assert_eq!(ca(&noisy).unwrap(), bundle, "{noisy}");
        assert_eq!(format!("{bundle:?}"), "CaBundle(2 certificates)");
        let long = pem("CERTIFICATE", &"ABCD".repeat(40));
        assert_eq!(ca(&long).unwrap().pem().split(|b| *b == b'\n').map(<[u8]>::len).max(), Some(64));
    }

    #[test]
    fn the_bad_block_is_named() {
        let good = pem("CERTIFICATE", "MIIB");
        let one_line = good.replace('\n', "");
        for text in ["", "s3cr3t", &one_line, &pem("PUBLIC KEY", "MIIB"), &pem("TRUSTED CERTIFICATE", "MIIB")]
        {
            assert_eq!(ca(text), Err(PemProblem::NoCertificate), "{text}");
        }
        for body in ["MII", "MII=B===", "MI==MIIB", "M===", "MI*B", "====", "M\u{e9}IB"] {
            let text = good.clone() + &pem("CERTIFICATE", body) + &good;
            assert_eq!(ca(&text), Err(bad(2, BlockFault::Base64)), "{body}");
        }
        assert_eq!(ca(pem("CERTIFICATE", " ")), Err(bad(1, BlockFault::Empty)));
        let cut = good.clone() + good.strip_suffix("-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(ca(&cut), Err(bad(2, BlockFault::Unterminated)));
        assert_eq!(ca(cut + &good), Err(bad(2, BlockFault::Unterminated)));
        assert_eq!(ca(good.replace("END CERT", "END KERT")), Err(bad(1, BlockFault::Unterminated)));
        assert_eq!(ca(vec![b' '; MAX_FILE_BYTES + 1]), Err(PemProblem::TooLarge));
    }

    #[test]
    fn exactly_one_plain_key_is_taken() {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let text =
                pem("EC PARAMETERS", "BggqhkjOPQMBBw==") + &pem(label, "S3CR") + &pem("CERTIFICATE", "MIIB");
            let taken = key(&text).unwrap();
            assert_eq!(taken.secret_pem(), pem(label, "S3CR").as_bytes());
            assert_eq!(format!("{taken:?}"), "PrivateKey([redacted])");
            assert_eq!(key(text + &pem("PRIVATE KEY", "S3CR")), Err(PemProblem::SeveralKeys));
        }
        assert_eq!(key(pem("CERTIFICATE", "MIIB")), Err(PemProblem::NoKey));
        assert_eq!(key(pem("ENCRYPTED PRIVATE KEY", "S3CR")), Err(PemProblem::EncryptedKey));
        let old = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nS3CR";
        assert_eq!(key(pem("RSA PRIVATE KEY", old)), Err(PemProblem::EncryptedKey));
        assert_eq!(key(pem("OPENSSH PRIVATE KEY", "S3CR")), Err(PemProblem::UnsupportedKey));
        assert_eq!(key(pem("PRIVATE KEY", "S3C")), Err(bad(1, BlockFault::Base64)));
    }
}
