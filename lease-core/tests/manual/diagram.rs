//! The transitions as a picture: states where they are put, and an arrow for every change that was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lease_core::Status;

type Point = (f64, f64);

/// Half the width and half the height of a state.
const HALF: Point = (58.0, 22.0);
/// How far a line of text is from the next one.
const LINE: f64 = 13.0;

fn place(state: Status) -> Point {
    match state {
        Status::Idle => (80.0, 290.0),
        Status::Contending => (490.0, 40.0),
        Status::Waiting => (490.0, 290.0),
        Status::Holding => (900.0, 290.0),
        Status::Releasing => (490.0, 540.0),
        other => panic!("{other:?} has no place in the diagram"),
    }
}

/// How far an arrow bends to its right: out of the way of the one back, and of a state that stands between.
fn bend(from: Status, to: Status) -> f64 {
    match (from, to) {
        (Status::Contending, Status::Releasing) | (Status::Releasing, Status::Contending) => 165.0,
        (Status::Holding, Status::Idle) => -330.0,
        _ => 26.0,
    }
}

/// All arrows, with what leads along them. Inputs that change nothing are left to the table.
fn arrows(
    transitions: &BTreeMap<(Status, &'static str), BTreeSet<Status>>,
) -> BTreeMap<(Status, Status), Vec<&'static str>> {
    let mut arrows: BTreeMap<(Status, Status), Vec<&'static str>> = BTreeMap::new();
    for ((from, input), to) in transitions {
        for to in to.iter().filter(|to| *to != from) {
            arrows.entry((*from, *to)).or_default().push(input.trim_matches('`'));
        }
    }
    arrows
}

/// Where the line from `inside`, a state's middle, to `outside` leaves the state.
fn edge(inside: Point, outside: Point) -> Point {
    let (x, y) = (outside.0 - inside.0, outside.1 - inside.1);
    let length = (x / HALF.0).hypot(y / HALF.1);
    (inside.0 + x / length, inside.1 + y / length)
}

fn arrow(svg: &mut String, from: Status, to: Status, inputs: &[&str]) {
    let ((x1, y1), (x2, y2)) = (place(from), place(to));
    let length = (x2 - x1).hypot(y2 - y1);
    let right = (-(y2 - y1) / length, (x2 - x1) / length);
    let bend = bend(from, to);
    let far = 2.0 * bend;
    let control = (f64::midpoint(x1, x2) + far * right.0, f64::midpoint(y1, y2) + far * right.1);
    let (begin, end) = (edge((x1, y1), control), edge((x2, y2), control));
    writeln!(
        svg,
        "<path d=\"M{:.0} {:.0} Q{:.0} {:.0} {:.0} {:.0}\" fill=\"none\" stroke=\"currentColor\" marker-end=\"url(#tip)\"/>",
        begin.0, begin.1, control.0, control.1, end.0, end.1
    )
    .unwrap();
    // Beside the middle of the arrow, on the side to which it bends.
    let halfway = |begin, control, end| f64::midpoint(f64::midpoint(begin, end), control);
    let middle = (halfway(begin.0, control.0, end.0), halfway(begin.1, control.1, end.1));
    let side = right.0 * bend;
    let anchor = if side.abs() < 5.0 {
        "middle"
    } else if side < 0.0 {
        "end"
    } else {
        "start"
    };
    let lines: Vec<_> = inputs.chunks(2).map(|inputs| inputs.join(", ")).collect();
    let height = LINE * (lines.len() - 1) as f64;
    let top = match right.1 * bend {
        down if down > 5.0 => middle.1 + LINE,
        up if up < -5.0 => middle.1 - 5.0 - height,
        _ => middle.1 + 4.0 - height / 2.0,
    };
    for (line, text) in lines.iter().enumerate() {
        let (x, y) =
            (middle.0 + 6.0 * side.signum() * f64::from(side.abs() >= 5.0), top + LINE * line as f64);
        writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{text}</text>").unwrap();
    }
}

/// Without an empty line in it: one would end it in Markdown.
pub(super) fn svg(transitions: &BTreeMap<(Status, &'static str), BTreeSet<Status>>) -> String {
    let mut svg = String::from(
        "<svg viewBox=\"0 0 980 680\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" font-size=\"11\" fill=\"currentColor\">\n\
         <title>The states, and what leads from one to the other</title>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
         <path d=\"M0 0 L8 4 L0 8 z\" fill=\"currentColor\"/></marker></defs>\n",
    );
    let states: BTreeSet<Status> = transitions.keys().map(|(from, _)| *from).collect();
    for state in states {
        let (x, y) = place(state);
        writeln!(
            svg,
            "<ellipse cx=\"{x}\" cy=\"{y}\" rx=\"{}\" ry=\"{}\" fill=\"none\" stroke=\"currentColor\"/>\n\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"14\">{state:?}</text>",
            HALF.0,
            HALF.1,
            y + 5.0
        )
        .unwrap();
    }
    for ((from, to), inputs) in arrows(transitions) {
        arrow(&mut svg, from, to, &inputs);
    }
    svg.push_str("</svg>\n");
    svg
}
