// The whole run in a strip, with the window that the picture shows: drag it, or click to go there.

function drawOverview(pen, width, height, model, ink, from, to) {
  const x = (at) => GUTTER + (at / model.length) * (width - GUTTER - MARGIN);
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = ink.panel;
  pen.fillRect(GUTTER, 0, width - GUTTER - MARGIN, height);
  pen.font = "11px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif";
  pen.textBaseline = "middle";
  pen.fillStyle = ink.soft;
  pen.fillText("whole run", 14, height / 2);
  const count = model.lanes.length + 1;
  const step = (height - 8) / count;
  const bar = Math.max(1, Math.min(7, step - 1.5));
  const band = (start, end, row, colour) => {
    pen.fillStyle = colour;
    pen.fillRect(x(start), 4 + row * step, Math.max(1, x(end) - x(start)), bar);
  };
  for (const span of model.record) {
    if (span.holder !== null) band(span.from, span.to, 0, colourOf(ink, span.lane));
  }
  model.lanes.forEach((lane, index) => lane.terms.forEach((term) => band(term.from, term.to, index + 1, colourOf(ink, index))));
  pen.globalAlpha = 0.7;
  for (const fault of [model, ...model.lanes].flatMap((owner) => owner.faults)) {
    pen.fillStyle = ink.warn;
    pen.fillRect(x(fault.at) - 0.5, height - 3, 1.5, 3);
  }
  pen.globalAlpha = 1;
  for (const violation of model.violations) {
    pen.fillStyle = ink.bad;
    pen.fillRect(x(violation.at) - 1, 0, 2, height);
  }
  const [left, right] = [x(from), x(to)];
  pen.fillStyle = ink.page;
  pen.globalAlpha = 0.62;
  pen.fillRect(GUTTER, 0, left - GUTTER, height);
  pen.fillRect(right, 0, width - MARGIN - right, height);
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.soft;
  pen.lineWidth = 1.2;
  pen.strokeRect(left + 0.5, 0.5, Math.max(3, right - left - 1), height - 1);
}
