//! What a watch brings, in a few words.

/// What a piece of a watch says, for people.
pub(crate) fn watched(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "open".to_owned();
    }
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let kind =
            line.strip_prefix(b"{\"type\":\"").and_then(|rest| rest.split(|byte| *byte == b'"').next());
        match (kind, version_in(line)) {
            _ if !line.ends_with(b"\n") => "a part of an event".to_owned(),
            (Some(kind), Some(version)) => format!("{} {version}", String::from_utf8_lossy(kind)),
            (Some(kind), None) => String::from_utf8_lossy(kind).into_owned(),
            _ => "the rest of an event, or garbage".to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join(", ")
}

/// The resource version in a line, which is the first there.
fn version_in(line: &[u8]) -> Option<u64> {
    const BEFORE: &str = "\"resourceVersion\":\"";
    let line = std::str::from_utf8(line).ok()?;
    line.split_once(BEFORE)?.1.split('"').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::watched;

    #[test]
    fn whole_lines_parts_and_garbage_are_told_apart() {
        let modified = "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"resourceVersion\":\"17\"}}}\n";
        let error = "{\"type\":\"ERROR\",\"object\":{}}\n";
        assert_eq!(watched(b""), "open");
        assert_eq!(watched(modified.as_bytes()), "MODIFIED 17");
        assert_eq!(watched(format!("{modified}{error}").as_bytes()), "MODIFIED 17, ERROR");
        assert_eq!(watched(&modified.as_bytes()[..20]), "a part of an event");
        assert_eq!(watched(&modified.as_bytes()[20..]), "the rest of an event, or garbage");
        assert_eq!(watched(b"\xff\xfe\n"), "the rest of an event, or garbage");
    }
}
