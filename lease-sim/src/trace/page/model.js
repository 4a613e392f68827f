// From the trace to what can be drawn: spans, arrows and marks, each with the indices of its entries.

const SECOND = 1e9;

// What can be switched off, in the order of the buttons.
const KINDS = [
  ["writes", "Writes"],
  ["reads", "Reads"],
  ["events", "Events"],
  ["commands", "Commands"],
  ["beliefs", "Beliefs"],
  ["record", "Record"],
  ["processes", "Processes"],
  ["faults", "Faults"],
  ["guarded", "Guarded writes"],
  ["components", "Components"],
  ["violations", "Violations"],
];

const KIND_OF = {
  started: "processes", crashed: "processes", paused: "processes",
  command: "commands", told: "events", belief: "beliefs", truth: "record",
  fault: "faults", guarded: "guarded", watch: "reads", component: "components", violation: "violations",
};

// Names come from anywhere: what does not print, and what turns the reading direction round, is made visible.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function clean(text) {
  return String(text).replace(UNPRINTABLE, (mark) => "\\u" + mark.charCodeAt(0).toString(16).padStart(4, "0"));
}

function seconds(nanos, digits = 3) {
  return (nanos / SECOND).toFixed(digits);
}

function buildModel(trace) {
  const entries = trace.entries;
  // A run whose first word on the record is that there is none: nobody took it away.
  const first = entries.findIndex((entry) => entry.what === "truth");
  const last = entries.reduce((most, entry) => Math.max(most, entry.at), 0);
  const length = Math.max(trace.length, last, 1);
  const model = {
    trace, entries, length, unmade: first >= 0 && entries[first].version === null ? first : null, kinds: [], texts: [],
    lanes: trace.lanes.map((lane, index) => ({
      index, name: clean(lane.identity), about: clean(lane.about),
      life: [], pauses: [], beliefs: [], births: [], deaths: [], marks: [], guarded: [], faults: [],
    })),
    requests: new Map(), truth: [], versions: [], faults: [], violations: [], overlaps: [],
  };
  entries.forEach((entry, index) => note(model, entry, index));
  finish(model);
  entries.forEach((entry, index) => {
    model.kinds[index] = kindOf(model, entry);
    model.texts[index] = index === model.unmade ? "no record" : describe(model, entry);
  });
  return model;
}

// One entry; spans stay open until something ends them.
function note(model, entry, index) {
  const at = entry.at;
  const lane = model.lanes[entry.holder];
  const request = model.requests.get(entry.request);
  switch (entry.what) {
    case "started":
      if (!lane) return;
      lane.life.push({ from: at, to: null });
      lane.births.push({ at, entry: index, label: "#" + entry.incarnation });
      return;
    case "crashed":
      if (!lane) return;
      endLast(lane.life, at);
      endLast(lane.beliefs, at);
      lane.deaths.push({ at, entry: index });
      return;
    case "paused":
      if (lane) lane.pauses.push({ from: at, to: entry.until, entry: index });
      return;
    case "belief":
      if (!lane) return;
      endLast(lane.beliefs, at);
      if (entry.until !== null && entry.until > at) {
        lane.beliefs.push({ from: at, to: null, until: entry.until, token: entry.token, entry: index });
      }
      return;
    case "command":
    case "told":
    case "component":
      if (lane) lane.marks.push({ at, entry: index, look: lookOf(entry) });
      return;
    case "guarded":
      if (lane) lane.guarded.push({ at, entry: index, accepted: entry.accepted });
      return;
    case "sent":
      model.requests.set(entry.request, {
        holder: entry.holder, sent: at, entry: index, verb: clean(entry.verb), about: clean(entry.about),
        fate: entry.fate === null ? null : clean(entry.fate), arrivals: [], answered: null,
      });
      return;
    case "arrived":
      if (request) request.arrivals.push({ at, entry: index, code: entry.code, applied: entry.applied, version: entry.version });
      return;
    case "answered":
      if (request && !request.answered) request.answered = { at, entry: index, outcome: clean(entry.outcome) };
      return;
    case "truth":
      endLast(model.truth, at);
      model.truth.push({
        from: at, to: null, entry: index, version: entry.version, expires: entry.expires, by: entry.by,
        holder: entry.holder === null || entry.version === null ? null : clean(entry.holder),
      });
      return;
    case "fault":
      (lane && lane.index === entry.holder ? lane : model).faults.push({
        at, to: entry.until === null ? null : Math.max(at, entry.until), entry: index, kind: clean(entry.kind),
      });
      return;
    case "violation":
      model.violations.push({ at, entry: index, name: clean(entry.invariant) });
      return;
  }
}

function endLast(spans, at) {
  const span = spans[spans.length - 1];
  if (span && span.to === null) span.to = "until" in span ? Math.min(at, span.until) : at;
}

function finish(model) {
  for (const lane of model.lanes) {
    if (lane.births.length === 0) lane.life.push({ from: 0, to: null });
    endLast(lane.life, model.length);
    endLast(lane.beliefs, model.length);
    lane.terms = joinBeliefs(lane.beliefs);
    for (const pause of lane.pauses) {
      const death = lane.deaths.find((death) => death.at >= pause.from);
      pause.to = Math.min(pause.to, death ? death.at : model.length, model.length);
    }
  }
  endLast(model.truth, model.length);
  if (model.truth.length === 0 || model.truth[0].from > 0) {
    const to = model.truth.length ? model.truth[0].from : model.length;
    model.truth.unshift({ from: 0, to, entry: null, version: null, expires: null, by: null, holder: null });
  }
  const names = new Map();
  for (const lane of model.lanes) if (!names.has(lane.name)) names.set(lane.name, lane.index);
  for (const span of model.truth) {
    const writer = model.lanes[span.by];
    if (span.holder === null) span.lane = null;
    else span.lane = writer && writer.name === span.holder ? writer.index : (names.get(span.holder) ?? null);
    span.admin = span.by === null && span.entry !== null && span.entry !== model.unmade;
  }
  model.record = joinTruth(model.truth);
  for (const request of model.requests.values()) judge(model, request);
  model.overlaps = overlaps(model);
}

// Renewals prolong one band; a new token, or a moment without belief, begins another.
function joinBeliefs(beliefs) {
  const terms = [];
  for (const belief of beliefs) {
    const term = terms[terms.length - 1];
    if (term && term.to === belief.from && term.token === belief.token) {
      term.to = belief.to;
      term.until = belief.until;
      term.entry = belief.entry;
    } else {
      terms.push({ ...belief });
    }
  }
  return terms;
}

// Neighbours that look the same become one band, so that its name is written once.
function joinTruth(spans) {
  const bands = [];
  for (const span of spans) {
    const band = bands[bands.length - 1];
    const same = band && band.holder === span.holder && band.lane === span.lane && band.admin === span.admin
      && (band.version === null) === (span.version === null);
    if (same) {
      band.to = span.to;
      band.spans.push(span);
    } else {
      bands.push({ ...span, spans: [span] });
    }
  }
  return bands;
}

// What became of a request. `late`: it reached the server when its sender was dead, had given it up, or had
// ceased to hold what it wrote as the holder of.
function judge(model, request) {
  const lane = model.lanes[request.holder];
  const gone = lane ? lane.deaths.find((death) => death.at >= request.sent) : undefined;
  const answer = request.answered;
  const known = answer !== null && /^\d{3}\b/.test(answer.outcome);
  const writes = request.verb !== "GET";
  const term = lane ? lane.terms.find((term) => term.from <= request.sent && request.sent < term.to) : undefined;
  for (const arrival of request.arrivals) {
    const givenUp = answer !== null && answer.at < arrival.at;
    arrival.late = writes && (givenUp || (gone !== undefined && gone.at < arrival.at) || (term !== undefined && term.to < arrival.at));
  }
  request.late = request.arrivals.some((arrival) => arrival.late);
  request.applied = request.arrivals.some((arrival) => arrival.applied);
  if (request.late) request.look = "late";
  else if (request.arrivals.length === 0) request.look = "lost";
  else if (!known) request.look = "unknown";
  else request.look = request.applied ? "applied" : "plain";
  request.ends = Math.max(request.sent, answer ? answer.at : 0, ...request.arrivals.map((arrival) => arrival.at));
  const codes = request.arrivals.map((arrival) => arrival.code);
  let label = request.verb;
  const version = request.arrivals.find((arrival) => arrival.applied && arrival.version !== null);
  if (version) label += " " + version.version;
  label += " → " + (known ? answer.outcome : codes.length ? codes.join(", ") + (answer ? " (" + answer.outcome + ")" : " (unheard)")
    : answer ? answer.outcome : "lost");
  request.label = label;
}

// Where two or more believe at once.
function overlaps(model) {
  const edges = [];
  for (const lane of model.lanes) {
    for (const term of lane.terms) edges.push([term.from, 1, lane.index], [term.to, -1, lane.index]);
  }
  // At one instant ends come before beginnings: terms are half-open.
  edges.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  const believers = new Set();
  const found = [];
  for (const [at, step, lane] of edges) {
    if (believers.size > 1) found[found.length - 1].to = at;
    if (step > 0) believers.add(lane);
    else believers.delete(lane);
    if (believers.size > 1) found.push({ from: at, to: null, lanes: [...believers] });
  }
  return found.filter((span) => span.to !== null && span.to > span.from);
}

function lookOf(entry) {
  if (entry.what === "command") return "command";
  if (entry.what === "component") return "event";
  const event = entry.event;
  if (/^acquired/i.test(event)) return "acquired";
  if (/^lost/i.test(event)) return "ended";
  if (/^released/i.test(event)) return "released";
  if (/^trouble/i.test(event)) return "trouble";
  if (/^renewed/i.test(event)) return "renewed";
  return "event";
}

function kindOf(model, entry) {
  if (KIND_OF[entry.what]) return KIND_OF[entry.what];
  const request = model.requests.get(entry.request);
  return request && request.verb === "GET" ? "reads" : "writes";
}

function nameOf(model, holder) {
  const lane = model.lanes[holder];
  return lane ? lane.name : "holder " + holder;
}

// One line for lists and tooltips.
function describe(model, entry) {
  const request = model.requests.get(entry.request);
  const verb = request ? request.verb + " #" + entry.request : "#" + entry.request;
  switch (entry.what) {
    case "started": return "started, incarnation " + entry.incarnation;
    case "crashed": return "crashed";
    case "paused": return "paused for " + seconds(Math.max(0, Math.min(entry.until, model.length) - entry.at)) + " s";
    case "command": return "told to " + clean(entry.command);
    case "watch": return "watch " + entry.watch + ": " + clean(entry.about);
    case "told": return clean(entry.event);
    case "sent": return "sends " + verb + (entry.about ? ": " + clean(entry.about) : "") + (entry.fate ? " [" + clean(entry.fate) + "]" : "");
    case "arrived":
      return verb + " arrives: " + entry.code + (entry.applied ? ", applied" : "") + (entry.version === null ? "" : ", version " + entry.version);
    case "answered": return "hears of " + verb + ": " + clean(entry.outcome);
    case "belief":
      return entry.until === null ? "does not hold" : "holds until " + (entry.until > model.length ? "after the end" : seconds(entry.until) + " s")
        + (entry.token === null ? "" : ", token " + entry.token);
    case "truth": {
      const by = entry.by === null ? "somebody else" : nameOf(model, entry.by);
      if (entry.version === null) return "no record, by " + by;
      return "version " + entry.version + (entry.holder === null ? " names nobody" : " names " + clean(entry.holder)) + ", by " + by;
    }
    case "fault": return clean(entry.kind) + (entry.about ? ": " + clean(entry.about) : "");
    case "guarded": return "guarded write with token " + entry.token + (entry.accepted ? " accepted" : " rejected");
    case "component": return "component: " + clean(entry.about);
    case "violation": return clean(entry.invariant) + ": " + clean(entry.about);
    default: return clean(entry.what);
  }
}

// Whose entry it is: the index of a lane, or null for the server and everybody.
function laneOf(model, entry) {
  if (entry.holder !== undefined && entry.what !== "truth" && model.lanes[entry.holder]) return entry.holder;
  const request = model.requests.get(entry.request);
  return request && entry.what === "answered" && model.lanes[request.holder] ? request.holder : null;
}
