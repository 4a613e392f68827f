// The list of entries: only the rows in sight exist. And the details of one entry.

const ROW = 22;

class List {
  constructor(box, model, choose) {
    Object.assign(this, { box, model, choose, rows: [], selected: null });
    this.inner = document.createElement("div");
    this.inner.className = "rows";
    box.append(this.inner);
    box.addEventListener("scroll", () => this.render());
    this.inner.addEventListener("click", (event) => {
      const row = event.target.closest("[data-entry]");
      if (row) choose(Number(row.dataset.entry));
    });
  }

  filter(shown, words) {
    const wanted = words.trim().toLowerCase();
    const { model } = this;
    this.rows = [];
    model.entries.forEach((entry, index) => {
      if (!shown[model.kinds[index]]) return;
      if (wanted && !(who(model, entry) + " " + model.texts[index]).toLowerCase().includes(wanted)) return;
      this.rows.push(index);
    });
    this.inner.style.height = this.rows.length * ROW + "px";
    this.render();
  }

  select(entry, scroll) {
    this.selected = entry;
    const place = entry === null ? -1 : this.place(entry);
    if (scroll && place >= 0) {
      const top = place * ROW;
      const { scrollTop, clientHeight } = this.box;
      if (top < scrollTop + ROW || top > scrollTop + clientHeight - 2 * ROW) this.box.scrollTop = top - clientHeight / 3;
    }
    this.render();
  }

  // Scrolls so that an entry is the first one to be seen.
  reveal(entry) {
    if (entry >= 0) this.box.scrollTop = this.place(entry) * ROW;
    this.render();
  }

  // The place of an entry among the rows, or of the first one after it.
  place(entry) {
    let [low, high] = [0, this.rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle] < entry) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, this.rows.length - 1);
  }

  step(by) {
    if (this.rows.length === 0) return;
    const from = this.selected === null ? (by > 0 ? -1 : this.rows.length) : this.place(this.selected);
    this.choose(this.rows[Math.max(0, Math.min(this.rows.length - 1, from + by))]);
  }

  render() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 4);
    const last = Math.min(this.rows.length, first + Math.ceil(this.box.clientHeight / ROW) + 8);
    const made = [];
    for (let place = first; place < last; place++) {
      const index = this.rows[place];
      const entry = this.model.entries[index];
      const row = document.createElement("div");
      row.className = "row kind-" + this.model.kinds[index] + (index === this.selected ? " selected" : "");
      row.style.top = place * ROW + "px";
      row.dataset.entry = index;
      const lane = laneOf(this.model, entry);
      row.append(cell("time", seconds(entry.at)), cell("who" + (lane === null ? "" : " of-" + (lane % HOLDER_COLOURS)), who(this.model, entry)), cell("text", this.model.texts[index]));
      made.push(row);
    }
    this.inner.replaceChildren(...made);
  }
}

function cell(name, words) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = words;
  made.title = words;
  return made;
}

function who(model, entry) {
  const lane = laneOf(model, entry);
  if (lane !== null) return model.lanes[lane].name;
  if (entry.what === "truth" || entry.what === "arrived") return "API server";
  return entry.what === "violation" ? "oracle" : "everybody";
}

// The entry as JSON; the machine's state, which may be JSON in a string, is spread out.
function asJson(entry, brief) {
  const copy = { ...entry };
  if (typeof copy.state === "string") {
    if (brief) copy.state = "…";
    else {
      try {
        copy.state = JSON.parse(copy.state);
      } catch {
        // Then it is text.
      }
    }
  }
  return JSON.stringify(copy, null, brief ? 1 : 2).replace(UNPRINTABLE, (mark) => (mark === "\n" ? mark : clean(mark)));
}
