//! Prints a trace made by hand as a page: `sample_page [large|hostile] [text|short] > page.html`.

mod trace;

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|one| one == word);
    let trace = match (has("large"), has("hostile")) {
        (true, _) => trace::large(6, 60),
        (_, true) => trace::hostile(),
        _ => trace::sample(),
    };
    let output = match (has("text"), has("short")) {
        (_, true) => trace.to_text(true),
        (true, false) => trace.to_text(false),
        (false, false) => trace.to_html(),
    };
    std::io::stdout().write_all(output.as_bytes())
}
