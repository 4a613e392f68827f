// What lies over the lanes: requests, marks, faults, violations.

const LOOKS = {
  applied: { dash: [], width: 1.4, ink: "own" },
  plain: { dash: [], width: 0.8, ink: "own" },
  lost: { dash: [6, 4], width: 1.2, ink: "own" },
  unknown: { dash: [1.5, 3], width: 1.4, ink: "own" },
  late: { dash: [], width: 1.6, ink: "bad" },
};

Object.assign(Picture.prototype, {
  arrows() {
    const { model, rows, shown } = this;
    const visible = [];
    for (const request of model.requests.values()) {
      const row = rows.lanes[request.holder];
      if (!row || !shown[request.verb === "GET" ? "reads" : "writes"]) continue;
      if (request.ends < this.from || request.sent > this.to) continue;
      visible.push(request);
    }
    // Many at once become a texture: what went wrong must still stand out.
    const crowd = visible.length > 800 ? 0.14 : visible.length > 300 ? 0.3 : visible.length > 120 ? 0.5 : 0.85;
    for (const request of visible) {
      this.arrow(request, rows.lanes[request.holder], crowd);
      this.counts.arrows++;
    }
    return visible;
  },

  // What went wrong is labelled first, and when there are many nothing else is.
  arrowLabels(visible) {
    const { rows } = this;
    const taken = rows.lanes.map(() => Array.from({ length: rows.labels }, () => []));
    const odd = (request) => request.look !== "applied" && request.look !== "plain";
    const most = (request) => (odd(request) ? 300 : request.look === "applied" ? 60 : 40);
    const wanted = visible.filter((request) => visible.length <= most(request));
    wanted.sort((one, other) => odd(other) - odd(one) || (other.look === "applied") - (one.look === "applied"));
    for (const request of wanted) this.arrowLabel(request, rows.lanes[request.holder], taken[request.holder]);
  },

  arrow(request, row, crowd) {
    const { pen, ink, rows } = this;
    const look = LOOKS[request.look];
    const bottom = row.band - 2;
    const top = rows.server + rows.serverHeight + 6;
    const answer = request.answered;
    pen.strokeStyle = pen.fillStyle = look.ink === "bad" ? ink.bad : colourOf(ink, request.holder);
    const chosen = this.selected !== null && [request.entry, answer && answer.entry, ...request.arrivals.map((one) => one.entry)].includes(this.selected);
    const usual = request.look === "applied" || request.look === "plain";
    pen.globalAlpha = chosen || request.look === "late" ? 1 : !usual ? Math.max(0.7, crowd) : request.look === "plain" ? crowd * 0.6 : crowd;
    pen.lineWidth = look.width + (chosen ? 1.2 : 0);
    const start = this.x(request.sent);
    if (request.arrivals.length === 0) {
      // Nobody knows how far it came: half way stands for "on its way".
      const until = answer ? answer.at : request.sent;
      const stop = (bottom + top) / 2;
      const x = Math.max(start, Math.min(this.x(until), start + (bottom - stop) * 0.2));
      this.leg(start, bottom, x, stop, look.dash, false, request.entry);
      pen.lineWidth = 1.6;
      pen.setLineDash([]);
      path(pen, [[x - 3.5, stop - 3.5], [x + 3.5, stop + 3.5]]);
      pen.stroke();
      path(pen, [[x + 3.5, stop - 3.5], [x - 3.5, stop + 3.5]]);
      pen.stroke();
    }
    request.arrivals.forEach((arrival, index) => {
      const x = this.x(arrival.at);
      this.leg(start, bottom, x, top, request.look === "late" && !arrival.applied ? [2, 3] : [], true, request.entry);
      if (index > 0) return;
      if (answer && answer.at >= arrival.at) {
        this.leg(x, top, this.x(answer.at), bottom, look.dash, true, answer.entry);
      } else {
        // Unheard: the answer goes nowhere.
        this.leg(x, top, x + (bottom - top) * 0.12, top + (bottom - top) * 0.3, [1.5, 3], false, arrival.entry);
      }
    });
    pen.globalAlpha = 1;
  },

  leg(x0, y0, x1, y1, dash, head, entry) {
    const { pen } = this;
    pen.setLineDash(dash);
    path(pen, [[x0, y0], [x1, y1]]);
    pen.stroke();
    pen.setLineDash([]);
    this.hits.push({ x0, y0, x1, y1, entry, line: true });
    if (!head || this.scale * SECOND < 4) return;
    const long = Math.hypot(x1 - x0, y1 - y0) || 1;
    const [ux, uy] = [(x1 - x0) / long, (y1 - y0) / long];
    path(pen, [[x1, y1], [x1 - ux * 6 - uy * 2.6, y1 - uy * 6 + ux * 2.6], [x1 - ux * 6 + uy * 2.6, y1 - uy * 6 - ux * 2.6]], true);
    pen.fill();
  },

  // Over the lane, in the first row that is free; not at all where it would cover another.
  arrowLabel(request, row, taken) {
    const { pen, ink, rows } = this;
    const x = this.x(request.sent) + 5;
    if (x < GUTTER || x > this.width - 30) return;
    this.font(10, 500);
    const wide = pen.measureText(request.label).width;
    for (let line = 0; line < rows.labels; line++) {
      if (taken[line].some(([from, to]) => x < to + 8 && x + wide > from - 8)) continue;
      const y = row.band - 10 - line * 13;
      pen.globalAlpha = 0.85;
      pen.fillStyle = ink.page;
      pen.fillRect(x - 2, y - 6, wide + 4, 12);
      pen.globalAlpha = 1;
      pen.fillStyle = request.look === "late" ? ink.bad : request.look === "plain" ? ink.soft : ink.text;
      pen.fillText(request.label, x, y);
      this.hit(x - 2, y - 6, x + wide + 2, y + 6, request.entry);
      taken[line].push([x, x + wide]);
      return;
    }
  },

  marks(lane, row) {
    const { pen, ink, shown } = this;
    const own = colourOf(ink, lane.index);
    const kept = [];
    for (const mark of lane.marks) {
      if (mark.at < this.from || mark.at > this.to) continue;
      if (!shown[mark.look === "command" ? "commands" : "events"]) continue;
      const x = this.x(mark.at);
      const before = kept[kept.length - 1];
      if (before && x - before.x < 9) {
        if (WEIGHT[mark.look] > WEIGHT[before.look]) kept[kept.length - 1] = { ...mark, x };
        continue;
      }
      kept.push({ ...mark, x });
    }
    for (const mark of kept) {
      MARKS[mark.look](pen, mark.x, row.marks, ink, own);
      this.hit(mark.x - 6, row.marks - 7, mark.x + 6, row.marks + 7, mark.entry);
    }
    if (shown.guarded) {
      for (const write of lane.guarded) {
        if (write.at < this.from || write.at > this.to) continue;
        const x = this.x(write.at);
        pen.fillStyle = write.accepted ? ink.good : ink.bad;
        if (write.accepted) pen.fillRect(x - 1, row.notes - 4, 2, 8);
        else {
          path(pen, [[x, row.notes - 5], [x + 5, row.notes], [x, row.notes + 5], [x - 5, row.notes]], true);
          pen.fill();
        }
        this.hit(x - 4, row.notes - 6, x + 4, row.notes + 6, write.entry);
      }
    }
    this.faults(lane.faults, row.notes, ink.warn);
  },

  faults(faults, y, colour) {
    const { pen, ink, shown } = this;
    if (!shown.faults) return;
    let free = -Infinity;
    this.font(10);
    const visible = faults.filter((fault) => this.cut(fault.at, fault.to === null ? fault.at : fault.to));
    visible.forEach((fault, index) => {
      const at = this.x(fault.at);
      this.counts.faults++;
      if (fault.to !== null) {
        const [left, right] = this.cut(fault.at, fault.to);
        pen.globalAlpha = 0.22;
        pen.fillStyle = colour;
        pen.fillRect(left, y - 8, right - left, 16);
        pen.globalAlpha = 1;
        this.hit(left, y - 8, right, y + 8, fault.entry);
      }
      const x = Math.max(at, GUTTER + 2);
      pen.fillStyle = colour;
      pen.fillRect(at - 0.75, y - 8, 1.5, 16);
      this.hit(x - 3, y - 8, x + 17, y + 8, fault.entry);
      if (x < free) return;
      // A tile in the page's colour keeps the icon apart from what lies under it.
      pen.globalAlpha = 0.8;
      pen.fillStyle = ink.page;
      pen.fillRect(x + 1, y - 8, 17, 16);
      pen.globalAlpha = 1;
      drawFaultIcon(pen, fault.kind, x + 10, y, colour);
      free = x + 18;
      const next = visible[index + 1];
      const room = Math.min(next ? this.x(next.at) : Infinity, this.width) - x - 26;
      const words = fault.kind.replaceAll("_", " ");
      const wide = pen.measureText(words).width;
      if (wide < room) {
        pen.fillStyle = ink.soft;
        pen.fillText(words, x + 21, y + 0.5);
        free = x + 24 + wide;
      }
    });
  },

  violations() {
    const { pen, ink, rows, shown } = this;
    if (!shown.violations) return;
    let free = -Infinity;
    for (const violation of this.model.violations) {
      if (!this.cut(violation.at, violation.at)) continue;
      const x = Math.round(this.x(violation.at)) + 0.5;
      pen.strokeStyle = ink.bad;
      pen.lineWidth = 2;
      path(pen, [[x, rows.axis - 2], [x, rows.height]]);
      pen.stroke();
      this.hit(x - 4, rows.axis, x + 4, rows.height, violation.entry);
      this.font(11, 700);
      const name = violation.name.length > 24 ? violation.name.slice(0, 23) + "…" : violation.name;
      const wide = pen.measureText(name).width + 10;
      const left = Math.min(x, this.width - wide);
      if (left < free) continue;
      pen.fillStyle = ink.bad;
      pen.fillRect(left, rows.flags - 8, wide, 16);
      pen.fillStyle = ink.page;
      pen.fillText(name, left + 5, rows.flags + 0.5);
      free = left + wide + 2;
    }
    this.font(10, 600);
    for (const span of this.model.overlaps) {
      const ends = this.cut(span.from, span.to);
      if (!ends) continue;
      const words = "overlap " + seconds(span.to - span.from) + " s";
      const wide = pen.measureText(words).width;
      const left = Math.max(GUTTER + 4, Math.min(ends[1] + 6, this.width - wide - 6));
      pen.fillStyle = ink.page;
      pen.fillRect(left - 3, rows.serverEnd - 3, wide + 6, 14);
      pen.fillStyle = ink.bad;
      pen.fillText(words, left, rows.serverEnd + 4);
    }
  },

  selection() {
    if (this.selected === null) return;
    const { pen, ink, rows } = this;
    const at = this.model.entries[this.selected].at;
    if (!this.cut(at, at)) return;
    const x = Math.round(this.x(at)) + 0.5;
    pen.strokeStyle = ink.text;
    pen.lineWidth = 1;
    pen.setLineDash([2, 3]);
    path(pen, [[x, rows.axis - 6], [x, rows.height]]);
    pen.stroke();
    pen.setLineDash([]);
  },

  // The entry at a point: the topmost shape that holds it, or the line that is nearest.
  find(x, y) {
    for (let index = this.hits.length - 1; index >= 0; index--) {
      const hit = this.hits[index];
      if (!hit.line && x >= hit.left && x <= hit.right && y >= hit.top && y <= hit.bottom && hit.right - hit.left < 40) return hit.entry;
    }
    let best = 5;
    let found = null;
    for (const hit of this.hits) {
      if (!hit.line) continue;
      const [dx, dy] = [hit.x1 - hit.x0, hit.y1 - hit.y0];
      const along = Math.max(0, Math.min(1, ((x - hit.x0) * dx + (y - hit.y0) * dy) / (dx * dx + dy * dy || 1)));
      const away = Math.hypot(hit.x0 + along * dx - x, hit.y0 + along * dy - y);
      if (away < best) {
        best = away;
        found = hit.entry;
      }
    }
    if (found !== null) return found;
    const wide = this.hits.filter((hit) => !hit.line && x >= hit.left && x <= hit.right && y >= hit.top && y <= hit.bottom);
    return wide.length ? wide[wide.length - 1].entry : null;
  },
});
