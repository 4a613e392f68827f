//! Traces as pages and as lines. What a browser makes of a page is looked at by `.ci/page.sh`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../examples/sample_page/trace.rs"]
mod sample;

use lease_sim::trace::Trace;
use sample::{HOSTILE, hostile};
use serde_json::Value;

fn embedded(page: &str) -> Value {
    let begin = "<script type=\"application/json\" id=\"trace\">";
    let (_, rest) = page.split_once(begin).unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    assert!(!json.contains(['<', '>', '&', '\n']));
    serde_json::from_str(json).unwrap()
}

#[test]
fn nothing_from_a_trace_is_ever_markup() {
    let plain = Trace::default().to_html();
    let page = hostile().to_html();
    for mark in ["<script", "</script", "<img", "<!--", "<div", "<style"] {
        assert_eq!(page.matches(mark).count(), plain.matches(mark).count(), "{mark}");
    }
    let read = embedded(&page);
    assert_eq!(read["lanes"][0]["identity"], HOSTILE);
    assert_eq!(read, serde_json::to_value(hostile()).unwrap());
}

#[test]
fn a_page_loads_nothing() {
    let page = sample::sample().to_html();
    for word in ["http:", "https:", "src=", "href=", "url(", "@import", "fetch(", "innerHTML", "eval("] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("<!--@"), "a name in the template was not filled in");
}

#[test]
fn the_page_has_the_whole_trace_in_it() {
    for trace in [Trace::default(), sample::sample(), sample::large(4, 30)] {
        assert_eq!(embedded(&trace.to_html()), serde_json::to_value(&trace).unwrap());
    }
    let large = sample::large(6, 60);
    assert!(large.entries.len() > 3_000, "{}", large.entries.len());
}

#[test]
fn lines_are_one_for_each_entry_and_stay_in_their_columns() {
    let trace = sample::sample();
    let text = trace.to_text(false);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    // One more: the end of the faults.
    assert_eq!(lines.len(), trace.entries.len() + 1);
    assert_eq!(text, trace.to_string());
    let heading = text.lines().find(|line| line.ends_with("what")).unwrap();
    let column = heading.find("what").unwrap();
    for line in lines {
        assert_eq!(&line[column - 2..column], "  ", "{line}");
        assert_ne!(&line[column..=column], " ", "{line}");
    }
}

#[test]
fn lines_show_what_a_holder_is_at_that_instant() {
    let text = sample::sample().to_text(false);
    let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap();
    let fields = |words: &str| line(words).split_whitespace().take(6).collect::<Vec<_>>();
    assert_eq!(fields("crashed"), ["33.800000", "h0", "1", "!", "-", "107"]);
    assert_eq!(fields("paused for"), ["61.000000", "h1", "1", "~", "+8.400", "110"]);
    assert_eq!(fields("VIOLATION S1")[..3], ["101.051000", "*", "-"]);
}

#[test]
fn short_lines_are_changes_of_state_only() {
    let trace = sample::sample();
    let short = trace.to_text(true);
    assert_eq!(short, format!("{trace:#}"));
    let all = trace.to_text(false);
    for line in short.lines() {
        assert!(all.lines().any(|other| other == line), "{line}");
        assert!(!line.contains("sends") && !line.contains("arrives") && !line.contains("Renewed"), "{line}");
    }
    let beliefs = short.lines().filter(|line| line.contains("holds until")).count();
    assert_eq!(beliefs, 5, "terms, not renewals:\n{short}");
    assert!(short.contains("crashed") && short.contains("paused") && short.contains("VIOLATION S1"));
}

#[test]
fn a_terminal_finds_nothing_to_obey() {
    let text = hostile().to_text(false);
    let odd = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
    assert!(!text.contains(odd), "{text:?}");
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), hostile().entries.len());
    assert!(text.contains("\\u{1b}[2J"));
}

#[test]
fn an_empty_trace_is_a_page_and_a_text() {
    let empty = Trace::default();
    assert!(empty.to_html().ends_with("</html>\n"));
    assert_eq!(empty.to_text(true).lines().count(), 2);
}
