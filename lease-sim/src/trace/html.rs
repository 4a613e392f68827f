//! A trace as a page: one file, no other resources, for people with a browser.
//!
//! The trace goes into the page as JSON; scripts draw it there. Nothing that comes from a trace is ever markup:
//! names of holders are other people's input.

use super::Trace;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const LEGEND: &str = include_str!("page/legend.html");
/// They share one scope, in this order.
const SCRIPTS: [&str; 7] = [
    include_str!("page/model.js"),
    include_str!("page/glyphs.js"),
    include_str!("page/draw.js"),
    include_str!("page/overlay.js"),
    include_str!("page/overview.js"),
    include_str!("page/list.js"),
    include_str!("page/main.js"),
];

impl Trace {
    /// The run as an HTML page that stands for itself: it loads nothing.
    ///
    /// The top lane is the record on the API server, below it is one lane for each holder; `x` is true time.
    /// `#12.5-20` behind its address shows these seconds. What was laid out stands in the attributes
    /// `data-lanes`, `data-arrows`, `data-faults` and `data-errors` of the body, for tests.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut page = String::with_capacity(100_000 + self.entries.len() * 160);
        // Each piece of the template but the first begins with the name of what goes before it. What was put
        // in is not looked at again: a title that looks like a name stays a title.
        for (index, piece) in PAGE.split("<!--@").enumerate() {
            let Some((name, rest)) = piece.split_once("-->").filter(|_| index > 0) else {
                page.push_str(piece);
                continue;
            };
            match name {
                "title" => push_text(&mut page, &self.title),
                "style" => page.push_str(STYLE),
                "legend" => page.push_str(LEGEND),
                "trace" => self.push_json(&mut page),
                "script" => SCRIPTS.iter().for_each(|script| page.push_str(script)),
                other => debug_assert!(false, "the template asks for {other}"),
            }
            page.push_str(rest);
        }
        page
    }

    /// JSON that can stand within a script element: nothing in it can look like the element's end.
    fn push_json(&self, page: &mut String) {
        // Strings, numbers and lists cannot fail to become JSON.
        for character in serde_json::to_string(self).unwrap_or_default().chars() {
            match character {
                '<' => page.push_str("\\u003c"),
                '>' => page.push_str("\\u003e"),
                '&' => page.push_str("\\u0026"),
                other => page.push(other),
            }
        }
    }
}

fn push_text(page: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '&' => page.push_str("&amp;"),
            '"' => page.push_str("&quot;"),
            other => page.push(other),
        }
    }
}
