use super::*;

#[test]
fn json_marks_and_line_ends_make_no_difference() {
    let expected = text(SIMPLE).unwrap();
    let json = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "dev", "preferences": {},
        "clusters": [{ "name": "c", "cluster": {
            "server": "https://10.0.0.1:6443", "certificate-authority": "pki/ca.crt",
        } }],
        "contexts": [{ "name": "dev", "context": { "cluster": "c", "user": "u", "namespace": "team-a" } }],
        "users": [{ "name": "u", "user": { "token": "s3cr3t" } }],
    });
    for variant in [
        json.to_string(),
        format!("{json:#}"),
        format!("\u{feff}{SIMPLE}"),
        format!("\u{feff}{json}"),
        SIMPLE.replace('\n', "\r\n"),
        format!("\u{feff}{}", SIMPLE.replace('\n', "\r\n")),
        format!("# comment\n%YAML 1.2\n---\n{SIMPLE}...\n"),
        SIMPLE.replace("s3cr3t", "\"s3cr3t\" # comment"),
        SIMPLE.replace("s3cr3t", ">-\n      s3cr3t"),
        SIMPLE.replace("s3cr3t", "!!str s3cr3t"),
        SIMPLE
            .replace("\n- name", "\n  - name")
            .replace("\n  cluster:\n", "\n    cluster:\n")
            .replace("\n    server", "\n        server")
            .replace("\n    certificate", "\n        certificate")
            .replace(
                "\n  context:\n    cluster: c\n    user: u\n    namespace",
                "\n    context:\n      cluster: c\n      user: u\n      namespace",
            )
            .replace("\n  user:\n    token", "\n    user:\n      token"),
    ] {
        assert_eq!(text(&variant), Ok(expected.clone()), "{variant}");
    }
}

#[test]
fn names_that_look_like_something_else_stay_names() {
    for name in ["on", "no", "0123", "1e3", "null-ish", "2026-01-01", "0x10", "a@b:c/d"] {
        let renamed = SIMPLE.replace("dev", name);
        assert_eq!(text(&renamed).unwrap().context(), name);
    }
    assert!(text(&SIMPLE.replace("s3cr3t", "12345")).is_ok());
}

#[test]
fn anchors_are_followed() {
    let shared = SIMPLE
        .replace(
            "  user:\n    token: s3cr3t",
            "  user: &u\n    token: s3cr3t\n- name: v\n  user:\n    <<: *u",
        )
        .replace("    user: u", "    user: v");
    assert_eq!(resolve_token(&shared), "Bearer s3cr3t");
}

fn resolve_token(config: &str) -> http::HeaderValue {
    let config = config.replace("    certificate-authority: pki/ca.crt\n", "");
    resolve(text(&config).unwrap()).authorization().unwrap()
}

#[test]
fn an_empty_file_is_an_empty_kubeconfig() {
    for empty in ["", "\n", "# nothing\n", "---\n", "null", "~", "{}", "\u{feff}"] {
        assert_eq!(problem(text(empty)), KubeconfigError::NoContext { available: vec![] }, "{empty:?}");
    }
    let nulls = "apiVersion: v1\nkind: Config\nclusters: null\ncontexts: ~\nusers:\ncurrent-context: ''\n";
    assert_eq!(problem(text(nulls)), KubeconfigError::NoContext { available: vec![] });
    let first = ("/1", Ok(""));
    assert!(list(&[first, ("/2", Ok(SIMPLE))], &KubeconfigOptions::new()).is_ok());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (content, problem, line) in [
        (SIMPLE.replace("clusters:", "clusters"), SyntaxProblem::Syntax, 5),
        (SIMPLE.replace("    token", "\ttoken"), SyntaxProblem::Syntax, 19),
        (SIMPLE.replace("s3cr3t", "\"s3cr3t"), SyntaxProblem::Syntax, 19),
        (SIMPLE.replace("s3cr3t", "s3cr3t: s3cr3t"), SyntaxProblem::Syntax, 19),
        (SIMPLE.replace("s3cr3t", "[s3cr3t]"), SyntaxProblem::Type, 19),
        (SIMPLE.replace("s3cr3t", "{s3cr3t: s3cr3t}"), SyntaxProblem::Type, 19),
        (SIMPLE.replace("s3cr3t", "*s3cr3t"), SyntaxProblem::Syntax, 19),
        (SIMPLE.replace("s3cr3t", "t\n    token: s3cr3t"), SyntaxProblem::DuplicateKey, 20),
        (SIMPLE.replace("clusters:\n", "clusters: s3cr3t\nx:\n"), SyntaxProblem::Type, 5),
        (
            SIMPLE.replace("    server", "    insecure-skip-tls-verify: s3cr3t\n    server"),
            SyntaxProblem::Type,
            8,
        ),
        (format!("{SIMPLE}---\n{SIMPLE}"), SyntaxProblem::SeveralDocuments, 21),
        ("s3cr3t".to_owned(), SyntaxProblem::Type, 1),
        ("[s3cr3t]".to_owned(), SyntaxProblem::Type, 1),
        (SIMPLE.replace("kind: Config", "kind: s3cr3t"), SyntaxProblem::AnotherKind { field: "kind" }, 0),
        (SIMPLE.replace("v1", "s3cr3t"), SyntaxProblem::AnotherKind { field: "apiVersion" }, 0),
    ] {
        let error = text(&content).unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(line == 0 || shown.contains(&format!("line {line}")), "{shown}\n{content}");
        assert_eq!(super::syntax(content.as_bytes()), (problem, line), "{content}");
    }
    assert_eq!(super::syntax(b"users: \xff\xfe").0, SyntaxProblem::NotUtf8);
    let large = vec![b' '; MAX_FILE_BYTES + 1];
    assert_eq!(super::syntax(&large).0, SyntaxProblem::TooLarge);
}

/// As the value of `key`, lists in lists.
fn deep(key: &str, depth: usize) -> String {
    format!("{key}:\n      {}1", "- ".repeat(depth))
}

#[test]
fn bombs_are_stopped() {
    let mut bomb = "a0: &a0 [s3cr3t]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb += &format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", "));
    }
    for (content, problem) in [
        (bomb, SyntaxProblem::TooComplex),
        ("[".repeat(100_000), SyntaxProblem::Syntax),
        ("{a: ".repeat(100_000), SyntaxProblem::Syntax),
        (format!("x:\n  {}a", "- ".repeat(100_000)), SyntaxProblem::TooComplex),
        (deep("x", 5000), SyntaxProblem::TooComplex),
        (
            deep("clusters:\n- name: c\n  cluster:\n    extensions:\n    - extension", 5000),
            SyntaxProblem::TooComplex,
        ),
        (deep("users:\n- name: u\n  user:\n    as-groups", 5000), SyntaxProblem::TooComplex),
    ] {
        assert_eq!(super::syntax(content.as_bytes()).0, problem, "{}", &content[..40]);
    }
}
