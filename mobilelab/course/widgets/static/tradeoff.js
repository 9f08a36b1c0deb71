// The trade-off explorer: which files fit a budget, which no other beats, and by how much.

import { escape, fixed, make, set } from "./core.js";
import { beside, fits, limits, misses, pareto } from "./pareto.js";
import { Scatter, shade } from "./scatter.js";

const LISTED = 12; // reasons that stand in the words; the table has all

const KEY = [
  ["ml-fits", "circle", "meets the budget"], ["", "circle", "misses it"],
  ["", "square", "no phone loads it"], ["ml-differs", "cross", "answers differ"],
  ["ml-front", "line", "Pareto front"],
];
const SHAPES = {
  circle: "M-5,0A5,5 0 1 1 5,0A5,5 0 1 1 -5,0Z", square: "M-5,-5H5V5H-5Z",
  cross: "M-5,-5L5,5M-5,5L5,-5", line: "M-9,0H9",
};

/** What colors and shapes mean, in as many lines as the width needs; returns its height. */
function colorLegend(svg, axis, range, width) {
  const g = make("svg:g", { class: "ml-legend", "aria-hidden": "true" });
  let [x, y] = [8, 14];
  const room = (wide) => {
    if (x + wide > width && x > 8) [x, y] = [8, y + 19];
  };
  const text = `${axis.label}: ${range.texts[0]}`;
  const wide = 6.4 * (text.length + range.texts[1].length) + 90;
  room(wide);
  g.append(make("svg:text", { x, y: y + 4, text }));
  x += 6.4 * text.length + 8;
  for (let i = 0; i < 12; i++) {
    g.append(make("svg:rect", { x: x + 5 * i, y: y - 5, width: 5.5, height: 10, fill: shade(i / 11) }));
  }
  g.append(make("svg:text", { x: x + 66, y: y + 4, text: range.texts[1] }));
  x += 66 + 6.4 * range.texts[1].length + 18;
  for (const [kind, shape, name] of KEY) {
    room(6.4 * name.length + 28);
    const mark = kind === "ml-front" ? "ml-front" : `ml-mark ${kind}`;
    g.append(make("svg:path", { d: SHAPES[shape], transform: `translate(${x + 9},${y})`, class: mark, style: kind === "ml-fits" && `fill:${shade(0.5)}` }));
    g.append(make("svg:text", { x: x + 21, y: y + 4, text: name }));
    x += 6.4 * name.length + 38;
  }
  svg.append(g);
  return y + 10;
}

function colors(records, name) {
  const sound = records.filter((r) => !r.different && r.axes[name][0] != null);
  if (!sound.length) return { of: () => 0.5, texts: ["not measured", ""] };
  const ordered = [...sound].sort((a, b) => a.axes[name][0] - b.axes[name][0]);
  const [low, high] = [ordered[0], ordered.at(-1)];
  const [a, b] = [low.axes[name][0], high.axes[name][0]];
  return {
    of: (r) => (r.axes[name][0] - a) / (b - a || 1),
    texts: [low.axes[name][1], high.axes[name][1]],
  };
}

/** The keys that lead from one point to the next, by place. */
function neighbour(points, from, key) {
  const along = key === "ArrowLeft" || key === "ArrowRight" || key === "Home" || key === "End" ? "x" : "y";
  const ordered = [...points].sort((a, b) => a[along] - b[along]);
  const at = ordered.indexOf(from);
  if (key === "Home") return ordered[0];
  if (key === "End") return ordered.at(-1);
  return ordered[at + (key === "ArrowRight" || key === "ArrowDown" ? 1 : -1)];
}

const list = (records) =>
  (records.slice(0, 2 * LISTED).map((r) => escape(r.name)).join(", ") || "nothing") +
  (records.length > 2 * LISTED ? ` and ${records.length - 2 * LISTED} more` : "");

export function tradeoff({ data, picture, move, panel, live }) {
  const shown = make("p", { class: "ml-shown" });
  let plot, layout, front, heads, shades, paint, drawnOn;

  const hint = "Point at a variant, or use Tab and the arrow keys, to read its figures here. " +
    "Enter selects it, P pins it for a comparison.";

  function point(p) {
    plot.fan(p);
    for (const q of plot.points) q.element.classList.toggle("ml-near", q === p);
    const r = p?.record;
    shown.textContent = r ? say(r) : hint;
  }

  const reasons = (r) => misses(r, paint.budget, data().metric);
  const meets = (r) => paint.meets.has(r);
  const say = (r) => {
    const why = reasons(r);
    const values = [...new Set(paint.axes)].map((a) => `${data().axes[a].label} ${r.axes[a][1]}`);
    return `${r.name}: ${values.join(", ")}; ` +
      (why.length ? `misses the budget: ${why.join("; ")}.` : "meets the budget.");
  };

  function listen(p) {
    set(p.element, {
      pointerenter: () => point(p),
      focus: () => {
        for (const q of plot.points) q.element.setAttribute("tabindex", q === p ? 0 : -1);
        point(p);
      },
      click: () => move({ selected: p.record.name }),
      keydown: (event) => {
        if (event.key === "Enter" || event.key === " ") move({ selected: p.record.name });
        else if (event.key === "p" || event.key === "P") {
          move({ pinned: paint.state.pinned === p.record.name ? "" : p.record.name });
        } else if (/^(Arrow|Home|End)/.test(event.key)) {
          neighbour(plot.points, p, event.key)?.element.focus();
        } else return;
        event.preventDefault();
        event.stopPropagation(); // in a notebook these keys mean something else
      },
    });
  }

  function build(records, state, width) {
    const { axes } = data();
    front = pareto(records, axes, state.x, state.y, state.everything);
    shades = colors(records, state.color);
    const key = make("svg:g");
    const top = colorLegend(key, axes[state.color], shades, width);
    const focused = plot?.points.find((p) => p.element === document.activeElement)?.record.name;
    plot = new Scatter(records, axes, { ...state, front }, width, top);
    plot.element.prepend(key);
    plot.points.forEach(listen);
    plot.element.addEventListener("pointerleave", () => point(null));
    picture.replaceChildren(plot.element, shown);
    shown.textContent = hint;
    const first = plot.points.find((p) => p.record.name === (focused ?? state.selected)) ?? plot.points[0];
    first?.element.setAttribute("tabindex", 0);
    if (focused) first?.element.focus();
  }

  function tint(state) {
    for (const p of plot.points) {
      const good = meets(p.record);
      const classes = ["ml-point", good ? "ml-fits" : "", p.record.different ? "ml-differs" : "",
        p.record.name === state.selected ? "ml-selected" : "", p.record.name === state.pinned ? "ml-pinned" : "",
        p.element.classList.contains("ml-near") ? "ml-near" : ""].filter(Boolean).join(" ");
      if (p.classes !== classes) p.element.setAttribute("class", (p.classes = classes));
      const fill = !good || p.record.axes[state.color][0] == null ? null : shade(shades.of(p.record));
      if (p.fill !== fill) set(p.mark, { style: (p.fill = fill) && `fill:${fill}` });
      const pressed = String(p.record.name === state.selected);
      if (p.pressed !== pressed) p.element.setAttribute("aria-pressed", (p.pressed = pressed));
    }
  }

  function named() {
    for (const p of plot.points) {
      const label = say(p.record);
      if (p.said !== label) p.element.setAttribute("aria-label", (p.said = label));
    }
  }

  function limit(name, budget, records) {
    const axis = data().axes[name];
    const value = axis.limit === "size" ? budget.file_kb
      : axis.limit === "latency" ? budget.drawn_ms
      : axis.limit === "p95" ? data().budget.p95_ms
      : axis.limit === "quality" && budget.accuracy != null
        ? budget.accuracy * (data().metric.percent ? 100 : 1) : axis.limit === "quality" ? null : axis.limit;
    if (value == null) return null;
    const bound = axis.more ? "at least" : "at most";
    return { value, text: `${bound} ${fixed(value, axis.digits)} ${axis.unit}`.trim() };
  }

  function inWords(records, state) {
    const { axes, metric, code } = data();
    const fitting = records.filter(meets);
    const off = records.filter((r) => !(r.axes[state.x][0] != null && r.axes[state.y][0] != null));
    const missing = records.filter((r) => !meets(r));
    const of = state.everything ? "of all files" : "of files made for phones";
    const lines = [`<b>Fits the budget:</b> ${list(fitting)}.`,
      `<b>Pareto front</b> in ${axes[state.x].label} and ${axes[state.y].label}, ${of}: ${list(front)}.`];
    if (off.length) lines.push(`Not measured on these axes, so not drawn: ${list(off)}.`);
    const chosen = records.find((r) => r.name === state.selected) ?? records[0];
    const pinned = records.find((r) => r.name === state.pinned);
    if (pinned && pinned !== chosen) lines.push(`<b>${escape(beside(chosen, pinned, metric))}</b>`);
    const why = missing.slice(0, LISTED).map((r) =>
      `${escape(r.name)} misses the budget: ${escape(reasons(r).join("; "))}.`);
    const more = missing.length - why.length;
    if (more > 0) why.push(`${more} more miss it; the table says why.`);
    return {
      words: lines, reasons: why, after: [`${chosen.text} ${data().hosts[chosen.host]}`],
      say: `${fitting.length} of ${records.length} fit: ${fitting.slice(0, 6).map((r) => r.name).join(", ") || "nothing"}.` +
        (pinned && pinned !== chosen ? ` ${beside(chosen, pinned, metric)}` : ""),
      code: [`<b>The cell that builds ${escape(chosen.name)}</b>`,
        `<pre tabindex="0">${escape(code[chosen.name] ?? data().own)}</pre>`],
      alt: `Variants as points, ${axes[state.x].label} across and ${axes[state.y].label} up, ` +
        `${axes[state.color].label} as color. Meets the budget: ${fitting.map((r) => r.name).join(", ") || "nothing"}. Ringed: ${chosen.name}.`,
    };
  }

  return {
    show(state, width) {
      const { measured, head, metric } = data();
      const place = `${state.threads} ${state.layout}`;
      const { records } = measured[place] ?? measured[data().first];
      const budget = limits(data(), state);
      paint = {
        state, budget, axes: [state.x, state.y, state.color],
        meets: new Set(records.filter((r) => fits(r, budget, metric))),
      };
      const now = [state.x, state.y, state.color, state.everything, place, width].join("|");
      if (now !== layout || records !== drawnOn) build(records, state, width);
      [layout, drawnOn] = [now, records];
      if (!live) {
        const have = (key) => key in measured;
        panel.by.threads.able(true, (value) => have(`${value} ${state.layout}`));
        panel.by.layout.able(true, (value) => have(`${state.threads} ${value}`));
      }
      plot.limits(limit(state.x, budget), limit(state.y, budget));
      tint(state);
      return {
        ...inWords(records, state), head, rest: named,
        rows: () => records.map((r) => [...r.cells, reasons(r).join("; ") || "met"]),
      };
    },
  };
}
