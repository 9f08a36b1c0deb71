// The graph explorer: what a pass took out of a graph and what it brought.

import { canvas, legend } from "./chart.js";
import { escape, make, scale, ticks } from "./core.js";

const BARS = 8; // kinds of operators in the picture; the table has all
const OPEN = 60; // lines that are open from the start; the rest is folded
const SIGNS = { kept: "\u00a0", gone: "−", new: "+" };

/** How often each kind stands in a list, in the order in which they come. */
function counted(kinds) {
  const counts = new Map();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/** What one list has more of than another, the most frequent first. */
const beyond = (one, other) =>
  [...one].map(([kind, n]) => [kind, n - (other.get(kind) ?? 0)]).filter(([, n]) => n > 0)
    .sort((a, b) => b[1] - a[1]);

const listed = (counts) => counts.map(([kind, n]) => `${n} ${kind}`).join(", ") || "nothing";

/** Rows of `[kept, gone or new, left, right]` from the places where two lists are equal or not. */
function aligned(before, after, places) {
  return places.flatMap(([equal, a, b, c, d]) => equal
    ? before.slice(a, b).map((kind) => ["kept", kind, kind])
    : [...before.slice(a, b).map((kind) => ["gone", kind, ""]), ...after.slice(c, d).map((kind) => ["new", "", kind])]);
}

function sideBySide(names, rows) {
  const cell = (kind, text) => text
    ? `<td class="ml-op ml-${kind}">${SIGNS[kind]} ${escape(text)}</td>` : '<td class="ml-op"></td>';
  const body = rows.slice(0, OPEN).map(([kind, left, right]) => `<tr>${cell(kind, left)}${cell(kind, right)}</tr>`);
  const more = rows.slice(OPEN).map(([kind, left, right]) => `${SIGNS[kind]} ${escape(left || right)}`);
  const folded = more.length
    ? `<details><summary>${more.length} more lines</summary><pre>${more.join("\n")}</pre></details>` : "";
  const [left, right] = names.map(escape);
  return `<div class="mobilelab-graph ml-table" role="region" tabindex="0" data-lm-suppress-shortcuts="true" ` +
    `aria-label="operators side by side"><table><thead><tr><th scope="col">${left}: − gone</th>` +
    `<th scope="col">${right}: + new</th></tr></thead><tbody>` +
    `${body.join("") || '<tr><td colspan="2">No operator changed.</td></tr>'}</tbody></table>` +
    `${folded}</div>`;
}

function bars(kinds, counts, names, width) {
  const key = make("svg:g");
  const square = (i) => ({ d: "M-6,-6H6V6H-6Z", class: `ml-curve-${i}` });
  const top = legend(key, names.map((name, i) => [square(1 - i), `${["before", "after"][i]}: ${name}`]), width) + 8;
  const shown = kinds.slice(0, BARS);
  const high = 34;
  const [left, bottom] = [14 + 6.6 * Math.max(...shown.map((kind) => kind.length), 0), top + high * shown.length];
  const svg = canvas(width, bottom + 42);
  const most = Math.max(1, ...shown.flatMap((kind) => counts.map((count) => count.get(kind) ?? 0)));
  const X = scale([0, 1.08 * most], [left, width - 26]);
  const line = (x, kind) => svg.append(make("svg:line", { x1: x, x2: x, y1: top, y2: bottom, class: kind }));
  const say = (x, y, text, anchor, kind) => svg.append(make("svg:text", { x, y, text, "text-anchor": anchor, class: kind }));
  svg.append(key);
  for (const [value, text] of ticks([0, 1.08 * most], 5).filter(([value]) => value % 1 === 0)) {
    line(X(value), "ml-grid");
    say(X(value), bottom + 15, text, "middle", "ml-tick");
  }
  shown.forEach((kind, i) => {
    say(left - 7, top + high * i + 21, kind, "end");
    counts.forEach((count, side) => {
      const [n, y] = [count.get(kind) ?? 0, top + high * i + 3 + 14 * side];
      svg.append(make("svg:rect", { x: left, y, width: X(n) - left, height: 13, class: `ml-curve-${1 - side}` }));
      say(X(n) + 4, y + 11, String(n), "start", "ml-tick");
    });
  });
  line(left, "ml-rule");
  say((left + width) / 2, bottom + 35, "operators in the graph →", "middle");
  return svg;
}

export function graph({ data, picture }) {
  return {
    show(state, width) {
      const { names, kinds, stages, places } = data();
      const to = names.indexOf(state.step);
      const from = state.against ? 0 : to - 1;
      const [before, after] = [from, to].map((i) => stages[i].map((kind) => kinds[kind]));
      const [here, there] = [names[from], names[to]];
      const counts = [counted(before), counted(after)];
      const most = (kind) => Math.max(...counts.map((count) => count.get(kind) ?? 0));
      const every = [...new Set([...before, ...after])].sort((a, b) => most(b) - most(a));
      const gone = listed(beyond(counts[0], counts[1]));
      const brought = listed(beyond(counts[1], counts[0]));
      picture.replaceChildren(bars(every, counts, [here, there], width));
      const rows = aligned(before, after, places[`${from} ${to}`]);
      return {
        words: [`<b>${escape(here)}</b>: ${before.length} operators → <b>${escape(there)}</b>: ${after.length}.`,
          `Gone: ${escape(gone)}.`, `New: ${escape(brought)}.`],
        code: [sideBySide([here, there], state.hide ? rows.filter(([kind]) => kind !== "kept") : rows)],
        head: ["operator", here, there],
        rows: () => every.map((kind) => [kind, ...counts.map((count) => String(count.get(kind) ?? 0))]),
        alt: `Bars: operators of the graph before (${here}) and after (${there}). Gone: ${gone}. New: ${brought}.`,
        say: `${before.length} operators, then ${after.length}. Gone: ${gone}. New: ${brought}.`,
      };
    },
  };
}
