// Axes with round numbers, curves with a mark of their own, a legend, and where the controls stand.

import { make, scale, set } from "./core.js";

/** One mark for each curve, so that nobody needs the colors. */
const MARKS = [
  "M-5,0A5,5 0 1 1 5,0A5,5 0 1 1 -5,0Z", "M-4.5,-4.5H4.5V4.5H-4.5Z", "M0,-6L6,5H-6Z", "M0,-6.5L6.5,0L0,6.5L-6.5,0Z",
];

export const canvas = (width, height, role = "img") =>
  make("svg:svg", { viewBox: `0 0 ${width} ${height}`, width, height, role });

/** Grid, numbers and titles; `across` and `up` are ticks `[value, text]` and the axis in words. */
export function rules(box, X, Y, across, up) {
  const g = make("svg:g", { class: "ml-axes", "aria-hidden": "true" });
  const line = (x1, y1, x2, y2, kind) => g.append(make("svg:line", { x1, y1, x2, y2, class: kind }));
  const say = (x, y, text, anchor, kind = "ml-tick") =>
    g.append(make("svg:text", { x, y, text, "text-anchor": anchor, class: kind }));
  for (const [value, text] of across.ticks) {
    line(X(value), box.top, X(value), box.bottom, "ml-grid");
    say(X(value), box.bottom + 15, text, "middle");
  }
  for (const [value, text] of up.ticks) {
    line(box.left, Y(value), box.right, Y(value), "ml-grid");
    say(box.left - 6, Y(value) + 4, text, "end");
  }
  line(box.left, box.bottom, box.right, box.bottom, "ml-rule");
  line(box.left, box.top, box.left, box.bottom, "ml-rule");
  say((box.left + box.right) / 2, box.bottom + 35, `${across.title} →`, "middle", "ml-title");
  say(4, box.top - 10, `↑ ${up.title}`, "start", "ml-title");
  return g;
}

/** 1, 2 and 5 times the powers of ten within a domain; the powers alone if those are too many. */
export function powers([low, high]) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const each of [1, 2, 5]) found.push(each * 10 ** power);
  }
  const within = found.filter((value) => value >= low && value <= high);
  const few = within.length > 7 ? within.filter((value) => Math.log10(value) % 1 === 0) : within;
  return few.map((value) => [value, String(value)]);
}

/** What marks and colors mean, in as many lines as the width needs; returns its height. */
export function legend(svg, entries, width) {
  const g = make("svg:g", { class: "ml-legend", "aria-hidden": "true" });
  let [x, y] = [8, 14];
  for (const [attributes, text] of entries) {
    const wide = 7 * text.length + 36;
    if (x + wide > width && x > 8) [x, y] = [8, y + 19];
    g.append(make("svg:path", { ...attributes, transform: `translate(${x + 9},${y})` }));
    g.append(make("svg:text", { x: x + 22, y: y + 4, text }));
    x += wide;
  }
  svg.append(g);
  return y + 10;
}

/** A box of the page's width with room for a legend of this height above. */
export function room(width, top, left = 52) {
  const height = (width < 500 ? 310 : 350) + top;
  return { box: { left, right: width - 16, top: top + 24, bottom: height - 42, width }, height };
}

/**
 * Curves, `{ name, points, line }` each, in the order of their marks; `press` is told of a click
 * on a point, which the slider does for the keyboard.
 */
export class Chart {
  constructor(curves, { across, up, press }, width) {
    const key = make("svg:g");
    const top = legend(key, curves.map(({ name }, i) => [{ d: MARKS[i], class: `ml-curve-${i}` }, name]), width);
    const { box, height } = room(width, top);
    this.box = box;
    this.X = scale(across.domain, [box.left, box.right], across.log);
    this.Y = scale(up.domain, [box.bottom, box.top], up.log);
    this.element = canvas(width, height);
    this.at = make("svg:line", { class: "ml-at", y1: box.top, y2: box.bottom });
    this.rings = curves.map(() => make("svg:circle", { r: 10, class: "ml-ringed" }));
    this.element.append(key, rules(box, this.X, this.Y, across, up), this.at);
    curves.forEach((curve, i) => this.draw(curve, i, press));
    this.element.append(...this.rings);
  }

  draw({ points, line }, i, press) {
    const place = ([x, y]) => `${this.X(x)},${this.Y(y)}`;
    if (line) this.element.append(make("svg:path", { d: `M${line.map(place).join("L")}`, class: `ml-line ml-curve-${i}` }));
    for (const point of points) {
      this.element.append(make("svg:path", {
        d: MARKS[i], class: `ml-dot ml-curve-${i}`, transform: `translate(${place(point)})`,
        click: () => press(point[0]),
      }));
    }
  }

  /** The dashed line at the slider's place, and a ring around each of these points. */
  stand(x, points) {
    set(this.at, { x1: this.X(x), x2: this.X(x) });
    this.rings.forEach((ring, i) => {
      const point = points[i];
      set(ring, point ? { cx: this.X(point[0]), cy: this.Y(point[1]), visibility: null } : { visibility: "hidden" });
    });
  }
}
