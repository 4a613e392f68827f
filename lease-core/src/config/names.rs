//! Names, as the API server validates them.

/// RFC 1123 label: 1 to 63 of `a-z`, `0-9` and `-`, alphanumeric at both ends.
pub(super) fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_label_shaped(text)
}

/// RFC 1123 subdomain: labels joined by dots, 253 at most (a label's own length is not limited by the server).
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label_shaped)
}

fn is_label_shaped(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// An identity that names somebody: 1 to 1024 bytes, no control characters, no blank at either end.
pub(super) fn is_identity(text: &str) -> bool {
    !text.is_empty() && text.len() <= 1024 && text.trim() == text && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_subdomains() {
        assert!(is_dns_label("kube-system") && is_dns_label("0") && is_dns_label(&"a".repeat(63)));
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "a/b", "ä", &"a".repeat(64)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
        assert!(is_dns_subdomain("a.b-c.d") && is_dns_subdomain(&"a".repeat(253)));
        for bad in ["", ".", "a..b", "a.", "..", "a/../b", "%2e", "Bad_Name", &"a".repeat(254)] {
            assert!(!is_dns_subdomain(bad), "{bad}");
        }
    }

    #[test]
    fn identities() {
        assert!(is_identity("pod-1_9f") && is_identity("Ünïcode name") && is_identity("a b"));
        for bad in ["", " ", " a", "a\n", "a\u{0}b", &"x".repeat(1025)] {
            assert!(!is_identity(bad), "{bad:?}");
        }
    }
}
