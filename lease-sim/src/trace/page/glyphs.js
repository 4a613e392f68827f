// Small marks, drawn by hand around a point.

function path(pen, points, close) {
  pen.beginPath();
  points.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  if (close) pen.closePath();
}

// Commands and events. What matters has a shape of its own, the rest is a dot.
const MARKS = {
  command(pen, x, y, ink) {
    pen.strokeStyle = ink.text;
    pen.lineWidth = 1.6;
    path(pen, [[x - 3, y - 4], [x + 2, y], [x - 3, y + 4]]);
    pen.stroke();
  },
  acquired(pen, x, y, ink, own) {
    pen.fillStyle = own;
    path(pen, [[x, y - 5], [x + 5, y + 4], [x - 5, y + 4]], true);
    pen.fill();
  },
  ended(pen, x, y, ink) {
    pen.fillStyle = ink.bad;
    path(pen, [[x, y + 5], [x + 5, y - 4], [x - 5, y - 4]], true);
    pen.fill();
  },
  released(pen, x, y, ink, own) {
    pen.strokeStyle = own;
    pen.lineWidth = 1.6;
    path(pen, [[x, y + 4], [x + 4.5, y - 3.5], [x - 4.5, y - 3.5]], true);
    pen.stroke();
  },
  trouble(pen, x, y, ink) {
    pen.strokeStyle = ink.warn;
    pen.lineWidth = 2;
    path(pen, [[x, y - 5], [x, y + 1]]);
    pen.stroke();
    pen.fillStyle = ink.warn;
    pen.fillRect(x - 1, y + 3, 2, 2);
  },
  renewed(pen, x, y, ink, own) {
    pen.fillStyle = own;
    pen.beginPath();
    pen.arc(x, y, 1.5, 0, 7);
    pen.fill();
  },
  event(pen, x, y, ink) {
    pen.strokeStyle = ink.soft;
    pen.lineWidth = 1.2;
    pen.beginPath();
    pen.arc(x, y, 2.4, 0, 7);
    pen.stroke();
  },
};

// When marks would cover each other the first of these stays.
const WEIGHT = { ended: 6, acquired: 5, released: 4, command: 3, trouble: 2, event: 1, renewed: 0 };

// One picture per kind of fault, found by a word in its name; kinds are open, so there is one for the rest.
const FAULT_ICONS = [
  [/partition|unreachable|isolat|clog/, "partition"],
  [/admin|edit|foreign|recreate/, "admin"],
  [/pause|freeze|suspend|stop/, "pause"],
  [/crash|kill|restart|replaced|outage|down/, "power"],
  [/clock|drift|skew|step|wall/, "clock"],
  [/delay|slow|late|reorder|overtaken|stall/, "delay"],
  [/lost|loss|drop|reset/, "lost"],
  [/dup|twin|twice|second/, "twice"],
  [/garbage|garbled|partial|truncat|corrupt|content/, "garbage"],
  [/stale|old|rollback|restore/, "stale"],
  [/429|5\d\d|40\d|storm|status|refus|error|unauthor|forbid|overload/, "status"],
];

function faultIcon(kind) {
  const found = FAULT_ICONS.find(([words]) => words.test(kind.toLowerCase()));
  return found ? found[1] : "bolt";
}

const ICON_LINES = {
  partition: [[[-5, 0], [-2, 0]], [[2, 0], [5, 0]], [[-1, -4], [-2, 4]], [[2, -4], [1, 4]]],
  pause: [[[-2, -4], [-2, 4]], [[2, -4], [2, 4]]],
  delay: [[[-3, -4], [3, -4], [-3, 4], [3, 4], [-3, -4]]],
  lost: [[[-5, 0], [0, 0]], [[1, -3], [5, 3]], [[5, -3], [1, 3]]],
  garbage: [[[-5, 0], [-3, -4], [-1, 4], [1, -4], [3, 4], [5, 0]]],
  status: [[[0, -5], [0, 1]], [[0, 3], [0, 4.5]]],
  bolt: [[[1, -5], [-3, 1], [0, 1], [-1, 5], [3, -1], [0, -1], [1, -5]]],
  power: [[[0, -5], [0, 0]]],
  clock: [[[0, -2.5], [0, 0], [2, 1]]],
  stale: [[[-4, -4.5], [-4, -1], [-0.5, -1]]],
  twice: [],
  admin: [],
};

function drawFaultIcon(pen, kind, x, y, colour) {
  const icon = faultIcon(kind);
  pen.strokeStyle = colour;
  pen.fillStyle = colour;
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  for (const line of ICON_LINES[icon]) {
    path(pen, line.map(([dx, dy]) => [x + dx, y + dy]));
    pen.stroke();
  }
  pen.beginPath();
  if (icon === "power") pen.arc(x, y + 0.5, 4.2, -0.9, Math.PI + 0.9);
  if (icon === "clock") pen.arc(x, y, 4.8, 0, 7);
  if (icon === "stale") pen.arc(x, y + 0.5, 4, -2.4, 2.2);
  if (icon === "twice") {
    pen.rect(x - 4.5, y - 4.5, 6, 6);
    pen.rect(x - 1.5, y - 1.5, 6, 6);
  }
  if (icon === "admin") {
    pen.arc(x, y - 2.2, 2.4, 0, 7);
    pen.moveTo(x - 4.5, y + 5);
    pen.quadraticCurveTo(x - 4, y + 0.8, x, y + 0.8);
    pen.quadraticCurveTo(x + 4, y + 0.8, x + 4.5, y + 5);
  }
  pen.stroke();
}

function hatching(colour, gap, width) {
  const tile = document.createElement("canvas");
  const scale = window.devicePixelRatio || 1;
  tile.width = tile.height = Math.round(gap * scale);
  const pen = tile.getContext("2d");
  const size = tile.width;
  pen.strokeStyle = colour;
  pen.lineWidth = width * scale;
  // Three strokes, so that the corners join up with the neighbouring tiles.
  for (const shift of [-size, 0, size]) {
    path(pen, [[shift - 1, size + 1], [shift + size + 1, -1]]);
    pen.stroke();
  }
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / scale));
  return pattern;
}
