// What all explorers share: elements, controls, scales, and what can be taken out of the page.
// Plain DOM and SVG, no library and no build step. The functions that draw stand beside this file.

const SVG = "http://www.w3.org/2000/svg";

export const escape = (text) =>
  String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** An element. Functions become listeners, `text` its text, false and null leave a thing out. */
export function make(tag, attributes = {}, ...children) {
  const element = tag.startsWith("svg:")
    ? document.createElementNS(SVG, tag.slice(4))
    : document.createElement(tag);
  set(element, attributes);
  // In a notebook arrow keys mean another cell, unless the element itself asks for its keys.
  if ("tabindex" in attributes || /^(input|select|button|summary)$/.test(tag)) {
    element.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "text") element.textContent = value;
    else if (value == null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

/** A number as Python's f"{x:.3g}" writes it: three significant digits, no zeros at the end. */
function significant(x) {
  const power = Number(x.toExponential(2).split("e")[1]);
  if (power >= -4 && power < 3) return String(Number(fixed(x, 2 - power)));
  const front = Number(fixed(x / 10 ** power, 2));
  return `${front}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/**
 * A number as Python's f"{x:.{digits}f}" writes it: a tie goes to the even digit; with null for
 * digits, as f"{x:.3g}".
 */
export function fixed(x, digits = 0) {
  if (digits === null) return significant(x);
  const text = x.toFixed(digits);
  const [whole, rest] = Math.abs(x).toFixed(digits + 25).split(".");
  if (!/^50*$/.test(rest.slice(digits))) return text;
  const down = digits ? `${whole}.${rest.slice(0, digits)}` : whole;
  const even = Number(down.at(-1)) % 2 === 0;
  if (even) return x < 0 ? `-${down}` : down;
  const up = (Number(down) + 10 ** -digits).toFixed(digits);
  return x < 0 ? `-${up}` : up;
}

/** Where values come to stand, from a domain to pixels; `log` for powers. */
export function scale([low, high], [from, to], log = false) {
  const f = log ? Math.log : (x) => x;
  const [a, b] = [f(low), f(high)];
  return (value) => from + ((f(value) - a) / (b - a || 1)) * (to - from);
}

/** Round numbers within a domain, about so many. */
export function ticks([low, high], about = 5) {
  const rough = (high - low) / about || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    found.push(i * step);
  }
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return found.map((value) => [value, value.toFixed(digits)]);
}

let groups = 0;
const option = (each) => (Array.isArray(each) ? each : [each, each]);

function slider(spec, changed) {
  const many = spec.options?.map(option);
  const input = make("input", {
    type: "range", min: many ? 0 : spec.min, max: many ? many.length - 1 : spec.max,
    step: many ? 1 : spec.step, disabled: spec.disabled, "aria-label": spec.label,
  });
  const output = make("output", { "aria-hidden": "true" });
  input.addEventListener("input", () => {
    changed(many ? many[Number(input.value)][1] : Number(input.value));
  });
  const show = (value) => {
    const at = many ? many.findIndex((each) => each[1] === value) : value;
    const text = many ? many[at]?.[0] ?? "" : fixed(value, spec.digits);
    if (Number(input.value) !== at) input.value = at;
    output.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  const limit = (most) => set(input, { max: most });
  const box = make("label", { class: "ml-control" }, make("span", { text: spec.label }), input, output);
  return { box, show, limit, able: (able) => (input.disabled = !able) };
}

function choice(spec, changed) {
  const select = make("select", { disabled: spec.disabled, "aria-label": spec.label });
  const values = spec.options.map(option);
  for (const [text] of values) select.append(make("option", { text }));
  select.addEventListener("change", () => changed(values[select.selectedIndex][1]));
  return {
    box: make("label", { class: "ml-control" }, make("span", { text: spec.label }), select),
    show: (value) => (select.selectedIndex = values.findIndex((each) => each[1] === value)),
    able: (able, which = () => true) => {
      select.disabled = !able;
      values.forEach(([, value], i) => (select.options[i].disabled = !which(value)));
    },
  };
}

function buttons(spec, changed) {
  const name = `ml-${++groups}-${Math.random().toString(36).slice(2)}`;
  const values = spec.options.map(option);
  const inputs = values.map(([, value]) =>
    make("input", { type: "radio", name, change: () => changed(value), disabled: spec.disabled }));
  const labels = values.map(([text], i) => make("label", {}, inputs[i], make("span", { text })));
  const box = make("div", {
    class: "ml-buttons", role: "radiogroup", "aria-label": spec.label, title: spec.title,
  }, ...labels);
  return {
    box,
    show: (value) => inputs.forEach((input, i) => (input.checked = values[i][1] === value)),
    able: (able, which = () => true) =>
      inputs.forEach((input, i) => (input.disabled = !(able && which(values[i][1])))),
  };
}

function tick(spec, changed) {
  const input = make("input", { type: "checkbox", disabled: spec.disabled });
  input.addEventListener("change", () => changed(input.checked));
  return {
    box: make("label", { class: "ml-control" }, input, make("span", { text: spec.label })),
    show: (value) => (input.checked = value),
    able: (able) => (input.disabled = !able),
  };
}

const KINDS = { slider, choice, buttons, tick };

/** Rows of controls as Python describes them; `changed(name, value)` when somebody moves one. */
export function controls(rows, changed) {
  const by = {};
  const lines = rows.map((specs) => {
    const made = specs.map((spec) => {
      by[spec.name] = KINDS[spec.kind](spec, (value) => changed(spec.name, value));
      return by[spec.name].box;
    });
    return make("div", { class: "ml-row" }, ...made);
  });
  const shown = {};
  const show = (state) => {
    for (const [name, control] of Object.entries(by)) {
      if (name in state && shown[name] !== state[name]) control.show((shown[name] = state[name]));
    }
  };
  return { by, show, element: make("div", { class: "ml-controls" }, ...lines) };
}

/** Paragraphs of HTML in an element, each written only where it changes. */
export class Lines {
  constructor(element, tag) {
    Object.assign(this, { element, tag, texts: [] });
  }
  show(texts = []) {
    const { element, tag } = this;
    while (element.children.length > texts.length) element.lastChild.remove();
    while (element.children.length < texts.length) element.append(make(tag));
    texts.forEach((text, i) => {
      if (this.texts[i] !== text) element.children[i].innerHTML = text;
    });
    this.texts = texts;
  }
}

/** A table whose cells are changed only where their text changes. */
export class Table {
  constructor(label) {
    this.element = make("div", { class: "ml-table", tabindex: 0, role: "region", "aria-label": label });
    this.head = [];
    this.cells = [];
  }
  show(head, rows) {
    if (head.join() !== this.head.join() || rows.length !== this.cells.length) {
      this.head = head;
      const top = make("tr", {}, ...head.map((text) => make("th", { scope: "col", text })));
      this.cells = rows.map((row) =>
        row.map((text, i) => make(i ? "td" : "th", { text, scope: i ? null : "row" })));
      const body = this.cells.map((cells) => make("tr", {}, ...cells));
      this.element.replaceChildren(
        make("table", {}, make("thead", {}, top), make("tbody", {}, ...body)));
      this.texts = rows.map((row) => [...row]);
      return;
    }
    rows.forEach((row, r) => row.forEach((text, c) => {
      if (this.texts[r][c] !== text) this.cells[r][c].textContent = this.texts[r][c] = text;
    }));
  }
}

/** A table as CSV. */
export const csv = (head, rows) =>
  [head, ...rows].map((row) => row.map((cell) =>
    /[",\n]/.test(cell) ? `"${String(cell).replace(/"/g, '""')}"` : cell).join(",") + "\r\n").join("");
