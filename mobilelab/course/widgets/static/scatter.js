// Points in a plane: where they stand, their names, what lies outside and on top of each other.

import { canvas, rules } from "./chart.js";
import { make, scale, set, ticks } from "./core.js";

const EDGE = { left: 52, right: 22, bottom: 42 };
const TOGETHER = 7; // pixels within which points count as one on top of the other
const NAMED = 16; // more points than this keep their names for hover, focus and table

/** Cividis in five steps: dark is low. Colour-blind readers see it as others do. */
const CIVIDIS = [[0, 34, 78], [64, 75, 107], [124, 123, 120], [188, 174, 108], [254, 232, 56]];
export function shade(share) {
  const at = 0.05 + 0.9 * Math.min(1, Math.max(0, share)) * (CIVIDIS.length - 1);
  const i = Math.min(CIVIDIS.length - 2, Math.floor(at));
  const mix = CIVIDIS[i].map((c, k) => Math.round(c + (at - i) * (CIVIDIS[i + 1][k] - c)));
  return `rgb(${mix})`;
}

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** What an axis shows: the records that count. What lies far from them stands outside. */
export function domain(records, axes, name) {
  const axis = axes[name];
  const all = records.filter((r) => r.axes[name][0] != null);
  const sound = all.filter((r) => !r.different);
  const values = (sound.length ? sound : all).map((r) => r.axes[name][0]);
  if (!values.length) return [0, 1];
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (axis.more) {
    const room = Math.max(0.25 * (high - low), axis.unit === "%" ? 0.2 : 0.02 * Math.abs(high), 1e-9);
    return [low - room, axis.unit === "%" ? Math.min(high + room, 100.3) : high + room];
  }
  const near = values.filter((v) => v <= 8 * middle(values));
  if (near.length) high = Math.max(...near);
  return [Math.min(0, low), (high > 0 ? 1.08 * high : 1)];
}

const words = ({ label, unit, more }) =>
  label + (unit ? ` (${unit})` : "") + `, ${more ? "more" : "less"} is better`;

/** Points that stand on top of each other, greedily by the first of each heap. */
function heaps(points) {
  const found = [];
  for (const p of points) {
    const heap = found.find(([q]) => Math.hypot(p.x - q.x, p.y - q.y) < TOGETHER);
    if (heap) heap.push(p);
    else found.push([p]);
  }
  return found;
}

const crosses = (a, b) => a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2;

/** What a text of one line covers, about. */
function covered(text, [x, y, anchor]) {
  const wide = 6.3 * text.length + 2;
  const x1 = anchor === "start" ? x : anchor === "end" ? x - wide : x - wide / 2;
  return { x1, x2: x1 + wide, y1: y - 10, y2: y + 2 };
}

/**
 * A free place for every name beside its point; a name without one is left to hover and table.
 * Says also what is `taken` by then, by names and marks.
 */
function names(points, box) {
  const taken = points.map((p) => ({ x1: p.x - 7, x2: p.x + 7, y1: p.y - 7, y2: p.y + 7 }));
  const placed = [];
  for (const p of points) {
    const spots = [];
    for (const [rise, gap] of [[0, 11], [-13, 6], [13, 6], [-25, 2], [25, 2]]) {
      spots.push([p.x + gap, p.y + rise + 4, "start"], [p.x - gap, p.y + rise + 4, "end"]);
    }
    spots.push([p.x, p.y - 9, "middle"], [p.x, p.y + 21, "middle"]);
    for (const spot of spots) {
      const own = covered(p.label, spot);
      if (own.x1 < box.left + 2 || own.x2 > box.width - 2 || own.y1 < box.top - 6 || own.y2 > box.bottom - 1) continue;
      if (taken.some((other) => crosses(own, other))) continue;
      taken.push(own);
      placed.push({ p, spot });
      break;
    }
  }
  return { placed, taken };
}

function glyph(p) {
  if (p.out) { // an arrow to where the point would be
    const [u, v] = p.out;
    return `M${10 * u},${10 * v}L${-5 * u - 6 * v},${-5 * v + 6 * u}L${-5 * u + 6 * v},${-5 * v - 6 * u}Z`;
  }
  if (p.record.different) return "M-6,-6L6,6M-6,6L6,-6";
  return p.record.phone ? "M-6,0A6,6 0 1 1 6,0A6,6 0 1 1 -6,0Z" : "M-5.5,-5.5H5.5V5.5H-5.5Z";
}

const inside = (v, [low, high]) => Math.min(high, Math.max(low, v));

/** The picture for a pair of axes; `tint` paints it anew without moving anything. */
export class Scatter {
  constructor(records, axes, { x, y, front }, width, top) {
    const height = (width < 500 ? 330 : 380) + top;
    const box = { left: EDGE.left, right: width - EDGE.right, top: top + 24, bottom: height - EDGE.bottom, width };
    const [dx, dy] = [domain(records, axes, x), domain(records, axes, y)];
    Object.assign(this, { box, dx, dy, height });
    this.X = scale(dx, [box.left, box.right]);
    this.Y = scale(dy, [box.bottom, box.top]);
    this.points = records
      .filter((r) => r.axes[x][0] != null && r.axes[y][0] != null)
      .map((record) => this.place(record, x, y));
    this.element = canvas(width, height, "group");
    this.lines = make("svg:g", { class: "ml-limits", "aria-hidden": "true" });
    const across = { ticks: ticks(dx, width < 500 ? 4 : 7), title: words(axes[x]) };
    const up = { ticks: ticks(dy, 5), title: words(axes[y]) };
    this.element.append(rules(box, this.X, this.Y, across, up), this.lines);
    this.step(front, x, y);
    this.spreads(x, y);
    this.heaps = heaps(this.points);
    this.threads = make("svg:g", { class: "ml-threads", "aria-hidden": "true" });
    this.element.append(this.threads);
    for (const p of this.points) this.element.append(this.draw(p));
    this.written();
  }

  place(record, x, y) {
    const [vx, vy] = [record.axes[x][0], record.axes[y][0]];
    const [cx, cy] = [inside(vx, this.dx), inside(vy, this.dy)];
    const out = vx !== cx ? [Math.sign(vx - cx), 0] : vy !== cy ? [0, -Math.sign(vy - cy)] : null;
    const px = this.X(cx) - 8 * (out?.[0] ?? 0);
    const py = this.Y(cy) - 8 * (out?.[1] ?? 0);
    const value = vx !== cx ? record.axes[x][1] : record.axes[y][1];
    return { record, x: px, y: py, out, label: out ? `${record.name} ${value}` : record.name };
  }

  step(front, x, y) {
    const on = new Map(this.points.map((p) => [p.record, p]));
    const stops = front.map((r) => on.get(r)).filter(Boolean);
    if (stops.length < 2) return;
    const d = stops.map((p, i) => (i ? `H${p.x}V${p.y}` : `M${p.x},${p.y}`)).join("");
    this.element.append(make("svg:path", { d, class: "ml-front", "aria-hidden": "true" }));
  }

  spreads(x, y) {
    const g = make("svg:g", { class: "ml-spreads", "aria-hidden": "true" });
    const { left, right, top, bottom } = this.box;
    for (const p of this.points.filter((each) => !each.out)) {
      const [a, b] = [p.record.axes[x][2], p.record.axes[y][2]];
      const [w, h] = [this.X(a) - this.X(0), this.Y(0) - this.Y(b)];
      const across = [p.x - w, p.x + w].map((v) => inside(v, [left, right]));
      const up = [p.y - h, p.y + h].map((v) => inside(v, [top, bottom]));
      if (w > 0.5) g.append(make("svg:line", { x1: across[0], x2: across[1], y1: p.y, y2: p.y }));
      if (h > 0.5) g.append(make("svg:line", { x1: p.x, x2: p.x, y1: up[0], y2: up[1] }));
    }
    this.element.append(g);
  }

  draw(p) {
    p.mark = make("svg:path", { d: glyph(p), class: "ml-mark" });
    p.element = make("svg:g", {
      class: "ml-point", transform: `translate(${p.x},${p.y})`, role: "button", tabindex: -1,
      "data-name": p.record.name,
    }, make("svg:circle", { r: 12, class: "ml-ring" }), p.mark);
    return p.element;
  }

  /** Names beside points, and how many stand on top of each other. */
  written() {
    const g = make("svg:g", { class: "ml-names", "aria-hidden": "true" });
    const alone = this.points.length <= NAMED ? this.points : this.points.filter((p) => p.out).slice(0, 6);
    const { placed, taken } = names(alone, this.box);
    this.taken = taken;
    for (const { p, spot: [x, y, anchor] } of placed) {
      g.append(make("svg:text", { x, y, text: p.label, "text-anchor": anchor }));
    }
    for (const heap of this.heaps.filter((each) => each.length > 1)) {
      g.append(make("svg:text", { x: heap[0].x, y: heap[0].y - 10, text: `×${heap.length}`, "text-anchor": "middle", class: "ml-heap" }));
    }
    this.element.append(g);
  }

  /** Points of one heap side by side around their place, or back on it. */
  fan(p) {
    const heap = p && this.heaps.find((each) => each.length > 1 && each.includes(p));
    if (heap === this.open) return;
    for (const q of this.open ?? []) set(q.element, { transform: `translate(${q.x},${q.y})` });
    this.threads.replaceChildren();
    this.open = heap;
    heap?.forEach((q, i) => {
      const r = 16 + 1.5 * heap.length;
      const turn = (2 * Math.PI * i) / heap.length - Math.PI / 2;
      const [x, y] = [heap[0].x + r * Math.cos(turn), heap[0].y + r * Math.sin(turn)];
      set(q.element, { transform: `translate(${x},${y})` });
      this.threads.append(make("svg:line", { x1: q.x, y1: q.y, x2: x, y2: y }));
    });
  }

  /** Limits as dashed lines; one that lies outside is said at the edge. */
  limits(x, y) {
    const { left, right, top, bottom } = this.box;
    const beside = (at) => (at > right - 90 ? [at - 4, "end"] : [at + 4, "start"]);
    const heights = ([at, anchor]) => [top + 11, bottom - 8, (top + bottom) / 2].map((h) => [at, h, anchor]);
    this.bound("x", x, this.dx, this.X, (at) => ({ x1: at, x2: at, y1: top, y2: bottom }),
      (at) => heights(beside(at)),
      (above) => heights(above ? [right, "end"] : [left + 4, "start"]), [" →", "← "]);
    const along = (h) => [[right, h, "end"], [left + 4, h, "start"], [(left + right) / 2, h, "middle"]];
    this.bound("y", y, this.dy, this.Y, (at) => ({ x1: left, x2: right, y1: at, y2: at }),
      (at) => along(at < top + 24 ? at + 13 : at - 5),
      (above) => along(above ? top + 26 : bottom - 6), [" ↑", "↓ "]);
  }

  bound(name, limit, [low, high], place, along, beside, outside, [more, less]) {
    this.bounds ??= {};
    const [line, text] = (this.bounds[name] ??= [make("svg:line"), make("svg:text")]);
    if (!line.parentNode) this.lines.append(line, text);
    set(line, { visibility: "hidden" });
    text.textContent = "";
    if (!limit) return;
    const above = limit.value > high;
    const out = above || limit.value < low;
    if (!out) set(line, { ...along(place(limit.value)), visibility: null });
    const said = !out ? limit.text : above ? limit.text + more : less + limit.text;
    // Where the text covers no mark and no name, if there is such a place.
    const spots = out ? outside(above) : beside(place(limit.value));
    const clear = (spot) => !this.taken.some((other) => crosses(covered(said, spot), other));
    const [x, y, anchor] = spots.find(clear) ?? spots[0];
    set(text, { x, y, "text-anchor": anchor });
    text.textContent = said;
  }
}
