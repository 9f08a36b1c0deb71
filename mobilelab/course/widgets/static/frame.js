// The frame of an explorer: controls above, picture, words, table, and the buttons that take
// something out of the page. An explorer hands in `draw`, which says what one state looks like.

import { controls, csv, Lines, make, set, Table } from "./core.js";

const PAINT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity",
  "paint-order", "stroke-linejoin", "font-size", "font-family", "font-weight", "text-anchor", "dominant-baseline"];

/** The picture as the text of an SVG file: what the style sheet says stands in the elements. */
export function standalone(svg) {
  const copy = svg.cloneNode(true);
  const [from, to] = [[svg, ...svg.querySelectorAll("*")], [copy, ...copy.querySelectorAll("*")]];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    to[i].setAttribute("style", PAINT.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
    for (const name of ["tabindex", "role", "class", "aria-pressed"]) to[i].removeAttribute(name);
  });
  const back = make("svg:rect", { width: "100%", height: "100%", fill: background(svg) });
  copy.prepend(back);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return new XMLSerializer().serializeToString(copy);
}

function background(element) {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (!/^rgba\(.*, 0\)$|^transparent$/.test(color)) return color;
  }
  return "white";
}

export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function png(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
  await image.decode();
  const canvas = make("canvas", { width: 2 * image.width, height: 2 * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** The state that the page's address asks this explorer for, if it does. */
function asked(key) {
  const mark = `#ml-${key}=`;
  if (!location.hash.startsWith(mark)) return null;
  try {
    return JSON.parse(decodeURIComponent(location.hash.slice(mark.length)));
  } catch {
    return null;
  }
}

/** Only what is a value that the control of this name can have. */
function sane(rows, state) {
  const kept = {};
  for (const spec of rows.flat()) {
    const value = state?.[spec.name];
    const options = spec.options?.map((each) => (Array.isArray(each) ? each[1] : each));
    const good = options ? options.includes(value)
      : spec.kind === "tick" ? typeof value === "boolean"
      : typeof value === "number" && value >= spec.min && value <= spec.max;
    if (good && !spec.disabled) kept[spec.name] = value;
  }
  return kept;
}

/**
 * Put an explorer into `root`. `host` is `{ data, state, push, link }`: what Python wrote, where
 * the controls stand, a function that tells the kernel of a move, and whether the page's address
 * may set the state. `kind` builds the picture: `kind({ host, picture, move })` gives
 * `show(state, width)`, which returns what stands below the picture (`words`, `reasons`, `after` and
 * `code`, each a list of HTML), the table (`head`, `rows()`), `alt`, and `say`, which is announced.
 */
export function frame(root, host, kind) {
  let { data, state } = host;
  if (host.link) state = { ...state, ...sane(data.controls, asked(data.key)) };
  const picture = make("div", { class: "ml-picture" });
  const parts = ["div", "ul", "div"].map((tag) => make(tag));
  const words = make("div", { class: "mobilelab-words" }, ...parts);
  const [lines, reasons, after] = parts.map((part, i) => new Lines(part, i === 1 ? "li" : "div"));
  const problem = make("div", { class: "ml-problem", role: "alert" });
  const busy = make("div", { class: "ml-busy" });
  const heard = make("div", { class: "ml-heard", role: "status", "aria-live": "polite" });
  const told = make("span", { class: "ml-told", role: "status" });
  const copied = make("textarea", { class: "ml-copied", readonly: true, hidden: true, "aria-label": "copied text" });
  const code = make("div", { class: "mobilelab-code" });
  const below = new Lines(code, "div");
  const table = new Table(`${data.title}: table`);
  const panel = controls(data.controls, (name, value) => move({ [name]: value }));
  let view, resting, drawn, width;

  function move(change) {
    state = { ...state, ...change };
    paint();
    host.push?.(state);
  }

  /** The picture and words at once; table and names for screen readers once the controls rest. */
  function paint() {
    panel.show(state);
    view = drawn.show(state, Math.max(300, Math.min(880, width || 880)));
    lines.show(view.words);
    reasons.show(view.reasons);
    after.show(view.after);
    below.show(view.code);
    clearTimeout(resting);
    resting = setTimeout(rest, 150);
  }

  function rest() {
    picture.firstElementChild?.setAttribute("aria-label", view.alt);
    view.rest?.();
    table.show(view.head, view.rows());
    heard.textContent = view.say;
  }

  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      copied.hidden = true;
      told.textContent = `${what} copied.`;
    } catch {
      set(copied, { hidden: false });
      copied.value = text;
      copied.focus();
      copied.select();
      told.textContent = `${what}: press Ctrl+C to copy.`;
    }
  }

  const address = () =>
    `${location.href.split("#")[0]}#ml-${data.key}=${encodeURIComponent(JSON.stringify(state))}`;
  const name = data.key.split("-")[0];
  const svg = () => picture.querySelector("svg");
  const tool = (text, click) => make("button", { type: "button", text, click });
  const tools = make("div", { class: "ml-row ml-tools" },
    tool("Copy as JSON", () => copy(JSON.stringify({ explorer: data.key, state }), "State")),
    tool("Copy as link", () => copy(address(), "Link")),
    tool("Save picture as PNG", async () => save(await png(svg()), `${name}.png`)),
    tool("Save picture as SVG", () => save(new Blob([standalone(svg())], { type: "image/svg+xml" }), `${name}.svg`)),
    tool("Save table as CSV", () => {
      const rows = view.rows();
      const text = csv(view.head, rows);
      save(new Blob([text], { type: "text/csv" }), `${name}.csv`);
      told.textContent = `Saved ${rows.length} rows to ${name}.csv.`;
    }),
    told);
  const rows = make("details", { open: true }, make("summary", { text: "Table" }), table.element);
  root.classList.add("mobilelab-explorer", "ml");
  set(root, { "data-explorer": data.key });
  root.replaceChildren(panel.element, busy, problem, picture, words, heard, tools, copied, rows, code);

  drawn = kind({ data: () => data, picture, move, panel, live: Boolean(host.push) });
  width = picture.clientWidth;
  paint();
  rest();
  const watch = new ResizeObserver(() => {
    if (Math.abs(picture.clientWidth - width) < 2) return;
    width = picture.clientWidth;
    if (width) paint();
  });
  watch.observe(picture);
  if (host.link && asked(data.key)) root.scrollIntoView();

  return {
    /** The kernel moved a control. */
    go(next) { state = { ...state, ...next }; paint(); },
    /** The kernel has measured something new. */
    replace(next) { data = next; paint(); },
    /** The kernel has something to say; empty if all is well. */
    trouble(text) { problem.textContent = text; },
    working({ done = 0, of = 0, what = "" }) {
      busy.replaceChildren(...(of ? [make("progress", { value: done, max: of, "aria-label": "measuring" }), make("span", { text: ` ${what}` })] : []));
    },
    stop() { watch.disconnect(); clearTimeout(resting); },
  };
}

/** In a stored output: data and state stand beside the script, and no kernel is asked. */
export function stored(here, kind) {
  const { data, state } = JSON.parse(here.querySelector('script[type="application/json"]').textContent);
  return frame(here.querySelector(".mobilelab-explorer"), { data, state, link: true }, kind);
}
