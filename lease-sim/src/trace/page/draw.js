// The picture: the server's lane on top, the holders' below it, requests between them.

const GUTTER = 156;
const MARGIN = 14;
const HOLDER_COLOURS = 8;

function readInk() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue("--" + name).trim();
  const ink = {};
  for (const name of ["page", "panel", "line", "grid", "text", "soft", "faint", "bad", "warn", "good", "absent", "other"]) ink[name] = value(name);
  ink.holders = Array.from({ length: HOLDER_COLOURS }, (_, index) => value("holder-" + index));
  ink.pause = hatching(value("panel"), 7, 2.4);
  ink.pausedIdle = hatching(value("faint"), 7, 1.2);
  ink.admin = hatching(value("text"), 8, 1);
  return ink;
}

function colourOf(ink, lane) {
  return lane === null ? ink.other : ink.holders[lane % HOLDER_COLOURS];
}

// Where everything is, top to bottom. Lanes share what height there is, and need a minimum.
function arrange(model, height) {
  const rows = { axis: 26, flags: 32, faults: 52, server: 70, serverHeight: 30 };
  rows.serverEnd = rows.server + rows.serverHeight + 20;
  const count = Math.max(1, model.lanes.length);
  const room = (height - rows.serverEnd - 8) / count;
  rows.pitch = Math.max(80, Math.min(170, room));
  rows.labels = rows.pitch > 104 ? 2 : 1;
  rows.lanes = model.lanes.map((_, index) => {
    const bottom = rows.serverEnd + rows.pitch * (index + 1);
    return { band: bottom - 66, bandHeight: 20, marks: bottom - 34, notes: bottom - 15, bottom };
  });
  rows.height = rows.serverEnd + rows.pitch * count + 8;
  return rows;
}

class Picture {
  constructor(model, ink, shown) {
    Object.assign(this, { model, ink, shown, hits: [], counts: { lanes: 0, arrows: 0, faults: 0 } });
  }

  // Draws the window [from, to) of true time; fills `hits` and `counts` with what came to lie in it.
  draw(pen, width, rows, from, to, selected) {
    Object.assign(this, { pen, width, rows, from, to, selected, hits: [] });
    this.counts = { lanes: 0, arrows: 0, faults: 0 };
    this.scale = (width - GUTTER - MARGIN) / (to - from);
    pen.clearRect(0, 0, width, rows.height);
    pen.textBaseline = "middle";
    this.axis();
    this.names();
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, width - GUTTER, rows.height);
    pen.clip();
    this.shades();
    // Requests run behind the lanes that they pass.
    const requests = this.arrows();
    this.server();
    this.model.lanes.forEach((lane, index) => this.lane(lane, rows.lanes[index]));
    this.arrowLabels(requests);
    this.model.lanes.forEach((lane, index) => this.marks(lane, rows.lanes[index]));
    this.faults(this.model.faults, rows.faults, this.ink.warn);
    this.violations();
    this.selection();
    pen.restore();
  }

  x(at) {
    return GUTTER + (at - this.from) * this.scale;
  }

  // A span's ends on the screen, or null when nothing of it is in sight.
  cut(from, to) {
    if (to < this.from || from > this.to) return null;
    const left = Math.max(this.x(from), GUTTER - 20);
    const right = Math.min(this.x(to), this.width + 20);
    return [left, Math.max(right, left + 1)];
  }

  hit(left, top, right, bottom, entry) {
    if (entry !== null && entry !== undefined) this.hits.push({ left, top, right, bottom, entry });
  }

  font(size, weight) {
    this.pen.font = (weight || 400) + " " + size + "px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif";
  }

  // Text that is cut to a width, with an ellipsis; nothing when not even a few letters fit.
  text(words, x, y, most) {
    const pen = this.pen;
    if (pen.measureText(words).width > most) {
      let low = 0;
      let high = words.length;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (pen.measureText(words.slice(0, middle) + "…").width <= most) low = middle;
        else high = middle - 1;
      }
      if (low < 3) return;
      words = words.slice(0, low) + "…";
    }
    pen.fillText(words, x, y);
  }

  axis() {
    const { pen, ink, rows, width } = this;
    const span = (this.to - this.from) / SECOND;
    const most = Math.max(2, Math.floor((width - GUTTER) / 96));
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600];
    let step = steps.find((step) => span / step <= most);
    if (span / most < 0.5) {
      const power = 10 ** Math.floor(Math.log10(span / most));
      step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => span / step <= most);
    }
    step = step || 3600 * Math.ceil(span / most / 3600);
    const digits = Math.max(0, Math.min(9, -Math.floor(Math.log10(step) + 1e-9)));
    this.font(11);
    pen.lineWidth = 1;
    pen.textAlign = "center";
    const first = Math.ceil(this.from / SECOND / step - 1e-9);
    for (let tick = first; tick * step * SECOND <= this.to; tick++) {
      const x = Math.round(this.x(tick * step * SECOND)) + 0.5;
      pen.strokeStyle = ink.grid;
      path(pen, [[x, rows.axis - 6], [x, rows.height]]);
      pen.stroke();
      pen.fillStyle = ink.soft;
      const half = x > width - 24 ? width - 24 : Math.max(x, GUTTER + 4);
      pen.fillText((tick * step).toFixed(digits) + " s", half, 13);
    }
    pen.textAlign = "left";
    this.font(11);
    pen.fillStyle = ink.soft;
    pen.fillText("true time", 14, 13);
  }

  names() {
    const { pen, ink, rows } = this;
    const most = GUTTER - 30;
    this.font(13, 600);
    pen.fillStyle = ink.text;
    this.text("API server", 14, rows.server + 9, most);
    this.font(11);
    pen.fillStyle = ink.soft;
    this.text("the record, in truth", 14, rows.server + 26, most);
    pen.strokeStyle = ink.line;
    pen.lineWidth = 1;
    this.model.lanes.forEach((lane, index) => {
      const row = rows.lanes[index];
      this.counts.lanes++;
      pen.fillStyle = colourOf(ink, index);
      pen.fillRect(14, row.band, 4, row.bandHeight + 22);
      this.font(13, 600);
      pen.fillStyle = ink.text;
      this.text(lane.name, 26, row.band + 10, most - 12);
      this.font(11);
      pen.fillStyle = ink.soft;
      const [first, ...others] = lane.about.split(", ");
      this.text(first, 26, row.band + 27, most - 12);
      this.text(others.join(", "), 26, row.band + 41, most - 12);
    });
  }

  // What lies behind everything: overlaps, and the end of the faults.
  shades() {
    const { pen, ink, rows } = this;
    for (const span of this.model.overlaps) {
      const ends = this.cut(span.from, span.to);
      if (!ends) continue;
      pen.globalAlpha = 0.2;
      pen.fillStyle = ink.bad;
      pen.fillRect(ends[0], rows.server - 4, Math.max(2, ends[1] - ends[0]), rows.height);
      pen.globalAlpha = 1;
    }
    const healed = this.model.trace.healed_at;
    if (healed === null || !this.cut(healed, healed)) return;
    const x = Math.round(this.x(healed)) + 0.5;
    pen.strokeStyle = ink.good;
    pen.setLineDash([5, 4]);
    pen.lineWidth = 1.2;
    path(pen, [[x, rows.axis - 4], [x, rows.height]]);
    pen.stroke();
    pen.setLineDash([]);
    this.font(11);
    pen.fillStyle = ink.good;
    pen.fillText("no faults from here", x + 5, rows.height - 7);
  }

  server() {
    const { pen, ink, rows } = this;
    const top = rows.server;
    const height = rows.serverHeight;
    for (const band of this.model.record) {
      const ends = this.cut(band.from, band.to);
      if (!ends) continue;
      const [left, right] = ends;
      const absent = band.version === null;
      if (absent || band.holder === null) {
        pen.fillStyle = ink.absent;
        pen.fillRect(left, absent ? top + height / 2 - 2 : top, right - left, absent ? 4 : height);
      } else {
        pen.fillStyle = colourOf(ink, band.lane);
        pen.fillRect(left, top, right - left, height);
      }
      if (band.admin) {
        pen.fillStyle = ink.admin;
        pen.globalAlpha = 0.55;
        pen.fillRect(left, top, right - left, height);
        pen.globalAlpha = 1;
      }
      this.hit(left, top, right, top + height, band.entry);
      this.versions(band, top, height);
      const start = Math.max(left, GUTTER) + 6;
      const words = absent ? "absent" : band.holder === null ? "nobody" : band.holder;
      this.font(12, 600);
      const most = Math.min(right, this.width) - start - 4;
      if (most > 24) {
        pen.fillStyle = absent || band.holder === null ? ink.soft : ink.page;
        if (absent) {
          const wide = Math.min(most, pen.measureText(words).width);
          pen.fillStyle = ink.page;
          pen.fillRect(start - 4, top + height / 2 - 8, wide + 8, 16);
          pen.fillStyle = ink.soft;
        }
        this.text(words, start, absent ? top + height / 2 : top + 10, most);
      }
    }
    // Until when those who wait must wait: a thin line under the record.
    for (const span of this.model.truth) {
      if (span.expires === null || span.holder === null) continue;
      const ends = this.cut(span.from, Math.max(span.from, span.expires));
      if (!ends) continue;
      pen.fillStyle = colourOf(ink, span.lane);
      pen.fillRect(ends[0], top + height + 3, ends[1] - ends[0], 1.5);
      if (span.expires <= this.to) pen.fillRect(ends[1] - 1, top + height + 1, 1.5, 6);
    }
  }

  // A tick for each resource version, with its number where there is room.
  versions(band, top, height) {
    const { pen, ink } = this;
    if (band.version === null || !this.shown.record) return;
    let free = -Infinity;
    this.font(10);
    for (const span of band.spans) {
      if (span.from < this.from || span.from > this.to) continue;
      const x = Math.round(this.x(span.from)) + 0.5;
      pen.strokeStyle = ink.page;
      pen.lineWidth = 1;
      path(pen, [[x, top + height - 11], [x, top + height]]);
      pen.stroke();
      this.hit(x - 4, top, x + 4, top + height, span.entry);
      const words = String(span.version);
      const wide = pen.measureText(words).width;
      if (x > free && x + 4 + wide < Math.min(this.width, this.x(span.to)) - 2) {
        pen.fillStyle = band.holder === null ? ink.soft : ink.page;
        pen.fillText(words, x + 4, top + height - 7);
        free = x + wide + 10;
      }
    }
  }

  lane(lane, row) {
    const { pen, ink } = this;
    const own = colourOf(ink, lane.index);
    const middle = row.band + row.bandHeight / 2;
    for (const life of lane.life) {
      const ends = this.cut(life.from, life.to);
      if (!ends) continue;
      pen.fillStyle = ink.line;
      pen.fillRect(ends[0], middle - 1, ends[1] - ends[0], 2);
    }
    for (const term of lane.terms) {
      const ends = this.cut(term.from, term.to);
      if (!ends) continue;
      pen.fillStyle = own;
      pen.fillRect(ends[0], row.band, ends[1] - ends[0], row.bandHeight);
      this.hit(ends[0], row.band, ends[1], row.band + row.bandHeight, term.entry);
      const birth = lane.births.find((birth) => Math.abs(this.x(birth.at) - ends[0]) < 26);
      const start = Math.max(birth ? this.x(birth.at) + 22 : ends[0], GUTTER) + 6;
      if (term.token !== null && Math.min(ends[1], this.width) - start > 62) {
        this.font(11, 600);
        pen.fillStyle = ink.page;
        pen.fillText("token " + term.token, start, middle);
      }
    }
    for (const belief of lane.beliefs) this.hitBelief(belief, row);
    for (const pause of lane.pauses) {
      const ends = this.cut(pause.from, pause.to);
      if (!ends) continue;
      pen.fillStyle = ink.pausedIdle;
      pen.fillRect(ends[0], row.band, ends[1] - ends[0], row.bandHeight);
      for (const term of lane.terms) {
        const inside = this.cut(Math.max(term.from, pause.from), Math.min(term.to, pause.to));
        if (!inside || term.from >= pause.to || term.to <= pause.from) continue;
        pen.fillStyle = own;
        pen.fillRect(inside[0], row.band, inside[1] - inside[0], row.bandHeight);
        pen.fillStyle = ink.pause;
        pen.fillRect(inside[0], row.band, inside[1] - inside[0], row.bandHeight);
      }
      pen.strokeStyle = ink.soft;
      pen.lineWidth = 1;
      pen.strokeRect(ends[0] + 0.5, row.band + 0.5, ends[1] - ends[0] - 1, row.bandHeight - 1);
      this.hit(ends[0], row.band, ends[1], row.band + row.bandHeight, pause.entry);
    }
    this.lives(lane, row, own);
  }

  hitBelief(belief, row) {
    if (!this.shown.beliefs || belief.from < this.from || belief.from > this.to) return;
    const x = this.x(belief.from);
    this.hit(x - 3, row.band, x + 3, row.band + row.bandHeight, belief.entry);
  }

  lives(lane, row, own) {
    const { pen, ink } = this;
    if (!this.shown.processes) return;
    this.font(10, 600);
    for (const birth of lane.births) {
      if (!this.cut(birth.at, birth.at)) continue;
      const x = Math.round(this.x(birth.at)) + 0.5;
      const wide = pen.measureText(birth.label).width + 8;
      pen.fillStyle = ink.page;
      pen.fillRect(x - 0.5, row.band + 3, wide, row.bandHeight - 6);
      pen.strokeStyle = own;
      pen.lineWidth = 1;
      pen.strokeRect(x, row.band + 3.5, wide - 1, row.bandHeight - 7);
      pen.fillStyle = own;
      pen.fillRect(x - 1, row.band - 3, 2, row.bandHeight + 6);
      pen.fillText(birth.label, x + 4, row.band + row.bandHeight / 2 + 0.5);
      this.hit(x - 4, row.band - 3, x + wide, row.band + row.bandHeight + 3, birth.entry);
    }
    for (const death of lane.deaths) {
      if (!this.cut(death.at, death.at)) continue;
      const x = this.x(death.at);
      const y = row.band + row.bandHeight / 2;
      pen.strokeStyle = ink.bad;
      pen.lineWidth = 2.4;
      path(pen, [[x - 5, y - 5], [x + 5, y + 5]]);
      pen.stroke();
      path(pen, [[x + 5, y - 5], [x - 5, y + 5]]);
      pen.stroke();
      this.hit(x - 6, y - 6, x + 6, y + 6, death.entry);
    }
  }
}
