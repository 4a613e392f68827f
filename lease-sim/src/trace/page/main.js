// Puts it together: reads the trace, draws, and follows mouse, keys and the address.

const byId = (id) => document.getElementById(id);
const trace = JSON.parse(byId("trace").textContent);
const model = buildModel(trace);
const shown = Object.fromEntries(KINDS.map(([kind]) => [kind, true]));
const canvas = byId("timeline");
const strip = byId("overview");
const tip = byId("tip");
const whole = { from: -model.length * 0.008, to: model.length * 1.008 };
const view = { ...whole };
let selected = null;
let picture = new Picture(model, readInk(), shown);

function fit(element, width, height) {
  const scale = window.devicePixelRatio || 1;
  if (element.width !== Math.round(width * scale) || element.height !== Math.round(height * scale)) {
    element.width = Math.round(width * scale);
    element.height = Math.round(height * scale);
    element.style.height = height + "px";
  }
  const pen = element.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return pen;
}

function draw() {
  const box = byId("stage");
  const width = box.clientWidth;
  const rows = arrange(model, box.clientHeight);
  picture.draw(fit(canvas, width, rows.height), width, rows, view.from, view.to, selected);
  drawOverview(fit(strip, width, 44), width, 44, model, picture.ink, Math.max(0, view.from), Math.min(model.length, view.to));
  byId("window").textContent = seconds(Math.max(0, view.from), digitsFor()) + " – " + seconds(Math.min(model.length, view.to), digitsFor()) + " s";
}

function digitsFor() {
  const span = (view.to - view.from) / SECOND;
  return span > 100 ? 0 : span > 5 ? 1 : 3;
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

// Moves the window; it stays within the run, and never gets narrower than a microsecond.
function show(from, to) {
  const most = whole.to - whole.from;
  const span = Math.max(1000, Math.min(most, to - from));
  const middle = (from + to) / 2;
  view.from = Math.max(whole.from, Math.min(whole.to - span, middle - span / 2));
  view.to = view.from + span;
  redraw();
}

function zoom(factor, at) {
  const centre = at === undefined ? (view.from + view.to) / 2 : at;
  const most = whole.to - whole.from;
  const span = Math.max(1000, Math.min(most, (view.to - view.from) * factor));
  const share = (centre - view.from) / (view.to - view.from);
  show(centre - share * span, centre + (1 - share) * span);
}

function pan(share) {
  const by = (view.to - view.from) * share;
  show(view.from + by, view.to + by);
}

function select(entry, scroll) {
  selected = entry;
  list.select(entry, scroll);
  const details = byId("details");
  details.hidden = entry === null;
  if (entry !== null) {
    byId("headline").textContent = who(model, model.entries[entry]) + ": " + model.texts[entry];
    byId("json").textContent = asJson(model.entries[entry], false);
  }
  // Opening the details shortens the list: what was selected must stay in sight.
  list.select(entry, scroll);
  redraw();
}

// Selects, and brings the entry into the window if it is not there.
function choose(entry) {
  const at = model.entries[entry].at;
  const span = view.to - view.from;
  if (at < view.from || at > view.to) show(at - span / 2, at + span / 2);
  select(entry, true);
}

const list = new List(byId("list"), model, choose);

function timeAt(x) {
  return view.from + ((x - GUTTER) / (canvas.clientWidth - GUTTER - MARGIN)) * (view.to - view.from);
}

function hover(event) {
  const box = canvas.getBoundingClientRect();
  const found = picture.find(event.clientX - box.left, event.clientY - box.top);
  tip.hidden = found === null;
  canvas.style.cursor = found === null ? "grab" : "pointer";
  if (found === null) return;
  const entry = model.entries[found];
  byId("tip-time").textContent = seconds(entry.at, 6) + " s · " + who(model, entry);
  byId("tip-text").textContent = model.texts[found];
  byId("tip-json").textContent = asJson(entry, true);
  const right = event.clientX + 18 + tip.offsetWidth > window.innerWidth;
  const below = event.clientY + 14 + tip.offsetHeight > window.innerHeight;
  tip.style.left = Math.max(4, right ? event.clientX - 14 - tip.offsetWidth : event.clientX + 16) + "px";
  tip.style.top = Math.max(4, below ? event.clientY - 10 - tip.offsetHeight : event.clientY + 14) + "px";
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, from: view.from, to: view.to, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return hover(event);
  const by = event.clientX - drag.x;
  if (Math.abs(by) > 3) drag.moved = true;
  if (!drag.moved) return;
  tip.hidden = true;
  const move = (-by / (canvas.clientWidth - GUTTER - MARGIN)) * (drag.to - drag.from);
  show(drag.from + move, drag.to + move);
});
canvas.addEventListener("pointerup", (event) => {
  const box = canvas.getBoundingClientRect();
  if (drag && !drag.moved) select(picture.find(event.clientX - box.left, event.clientY - box.top), true);
  drag = null;
});
canvas.addEventListener("pointercancel", () => (drag = null));
canvas.addEventListener("pointerleave", () => (tip.hidden = true));
canvas.addEventListener("dblclick", () => show(whole.from, whole.to));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return pan(event.deltaX / canvas.clientWidth);
  zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), timeAt(event.offsetX));
}, { passive: false });

function toStrip(event) {
  const box = strip.getBoundingClientRect();
  const at = ((event.clientX - box.left - GUTTER) / (strip.clientWidth - GUTTER - MARGIN)) * model.length;
  const span = view.to - view.from;
  show(at - span / 2, at + span / 2);
}
strip.addEventListener("pointerdown", (event) => {
  strip.setPointerCapture(event.pointerId);
  toStrip(event);
});
strip.addEventListener("pointermove", (event) => event.buttons === 1 && toStrip(event));

const KEYS = {
  "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), 0: () => show(whole.from, whole.to),
  ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), ArrowUp: () => list.step(-1), ArrowDown: () => list.step(1),
  Home: () => show(whole.from, whole.from + view.to - view.from), End: () => show(whole.to - view.to + view.from, whole.to),
  Escape: () => select(null, false),
  v: () => nextViolation(),
};
window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

// The next one after what is selected, close enough to see what led to it.
function nextViolation() {
  const after = selected === null ? -1 : selected;
  const next = model.violations.find((violation) => violation.entry > after) || model.violations[0];
  if (!next) return;
  const span = Math.min(model.length, 30 * SECOND);
  show(next.at - span / 2, next.at + span / 2);
  select(next.entry, true);
}

function heading() {
  document.title = clean(trace.title);
  byId("title").textContent = clean(trace.title);
  const command = byId("command");
  command.hidden = trace.command === null;
  command.textContent = trace.command === null ? "" : clean(trace.command);
  const broken = byId("broken");
  broken.hidden = trace.broken_assumptions.length === 0;
  broken.textContent = "breaks an assumption on purpose: " + trace.broken_assumptions.map(clean).join(", ");
  const requests = [...model.requests.values()];
  const count = (look) => requests.filter((request) => request.look === look).length;
  const faults = [model, ...model.lanes].reduce((sum, owner) => sum + owner.faults.length, 0);
  const facts = [
    [seconds(model.length, 1) + " s", "true time"],
    [model.lanes.length, "holders"],
    [model.lanes.reduce((sum, lane) => sum + new Set(lane.terms.map((term) => term.token)).size, 0), "terms"],
    [requests.length, "requests"],
    [count("lost"), "lost"],
    [count("unknown"), "unknown"],
    [count("late"), "late"],
    [faults, "faults"],
    [model.violations.length, model.violations.length === 1 ? "violation" : "violations"],
  ];
  byId("facts").replaceChildren(...facts.map(([figure, words]) => {
    const fact = document.createElement("span");
    fact.className = "fact " + (/^violation/.test(words) ? (figure ? "bad" : "good") : figure === 0 ? "none" : "");
    fact.append(cell("figure", String(figure)), cell("words", words));
    return fact;
  }));
}

function filters() {
  const search = byId("search");
  const refresh = () => {
    list.filter(shown, search.value);
    byId("shown").textContent = list.rows.length + " of " + model.entries.length + " entries";
    redraw();
  };
  byId("filters").replaceChildren(...KINDS.map(([kind, words]) => {
    const button = document.createElement("button");
    button.textContent = words;
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      shown[kind] = !shown[kind];
      button.setAttribute("aria-pressed", String(shown[kind]));
      refresh();
    });
    return button;
  }));
  search.addEventListener("input", refresh);
  refresh();
}

// `#12.5-20` shows these seconds; a link can point at what matters.
function fromAddress() {
  const found = /^#(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(window.location.hash);
  if (!found) return;
  const [from, to] = [Number(found[1]) * SECOND, Number(found[2]) * SECOND];
  if (to <= from) return;
  show(from, to);
  list.reveal(model.entries.findIndex((entry) => entry.at >= from));
}

for (const [id, action] of [["nearer", "+"], ["farther", "-"], ["reset", "0"], ["violation", "v"]]) {
  byId(id).addEventListener("click", KEYS[action]);
}
byId("violation").hidden = model.violations.length === 0;
window.addEventListener("resize", () => {
  redraw();
  list.render();
});
window.addEventListener("hashchange", fromAddress);
for (const query of ["(prefers-color-scheme: dark)", "(resolution: 1dppx)"]) {
  window.matchMedia(query).addEventListener("change", () => {
    picture.ink = readInk();
    redraw();
  });
}

heading();
filters();
draw();
// What the first frame, which shows everything, has really laid out: for tests without a screen.
window.leaseSim = { ...picture.counts, violations: model.violations.length, entries: model.entries.length };
Object.assign(document.body.dataset, window.leaseSim);
fromAddress();
draw();
