// The quantization playground: a tensor's real values, and the levels that a few bits leave them.

import { canvas, legend, room, rules } from "./chart.js";
import { escape, fixed, make, scale, ticks } from "./core.js";

const percent = (share, digits) => `${fixed(100 * share, digits)}%`;

/** The histogram and its levels, as one path each. */
function histogram(bars, levels, step, width) {
  const low = Math.min(bars.low, levels[0]);
  const high = Math.max(bars.high, levels.at(-1));
  const beyond = 0.03 * (high - low || 1);
  const [dx, dy] = [[low - beyond, high + beyond], [0, 1.1 * bars.top]];
  const key = make("svg:g");
  const top = legend(key, [
    [{ d: "M-6,-6H6V6H-6Z", class: "ml-bars" }, "real values"],
    [{ d: "M0,-7V7", class: "ml-levels" }, `the ${levels.length} levels`],
    [{ d: "M-6,-6H6V6H-6Z", class: "ml-clipped" }, "clipped to the nearest level"],
    [{ d: "M0,-7V7", class: "ml-zero" }, "0.0"],
  ], width);
  const { box, height } = room(width, top);
  const [X, Y] = [scale(dx, [box.left, box.right]), scale(dy, [box.bottom, box.top])];
  const svg = canvas(width, height);
  const path = (d, kind) => svg.append(make("svg:path", { d, class: kind }));
  svg.append(key);
  // What lies within half a step of the last level is rounded to it; beyond, it is clipped.
  for (const [from, to] of [[dx[0], levels[0] - step / 2], [levels.at(-1) + step / 2, dx[1]]]) {
    if (from < to) path(`M${X(from)},${box.top}H${X(to)}V${box.bottom}H${X(from)}Z`, "ml-clipped");
  }
  svg.append(rules(box, X, Y, { ticks: ticks(dx, width < 500 ? 4 : 8), title: "value" },
    { ticks: ticks(dy, 5), title: "share of values (%)" }));
  const wide = (bars.high - bars.low) / bars.heights.length;
  const outline = bars.heights.map((height, i) => {
    const [left, right] = [X(bars.low + i * wide), X(bars.low + (i + 1) * wide)];
    return `M${left},${box.bottom}V${Y((bars.top * height) / 1000)}H${right}V${box.bottom}Z`;
  });
  path(outline.join(""), "ml-bars");
  path(levels.map((level) => `M${X(level)},${box.top}V${box.bottom}`).join(""),
    `ml-levels${levels.length < 40 ? "" : " ml-many"}`);
  path(`M${X(0)},${box.top}V${box.bottom}`, "ml-zero");
  return svg;
}

export function quantization({ data, picture, panel, live }) {
  /** What the controls ask for, without what does not apply. */
  function asked(state) {
    const weights = data().weights.includes(state.tensor);
    const channels = state.per_channel && weights && state.observer !== "histogram";
    const way = (state.observer === "percentile" ? `percentile ${state.percentile}` : state.observer) +
      (channels ? " per channel" : "");
    const all = `all ${state.tensor.split(" ")[0]}`;
    const what = state.everywhere ? all : state.tensor;
    const key = `${what}, ${state.bits} bits, ${state.symmetric ? "symmetric" : "affine"}, ${way}`;
    return { weights, channels, way, what, key };
  }

  function enable(state, { weights, channels }) {
    const { by } = panel;
    by.percentile.able(state.observer === "percentile");
    by.per_channel.able(weights && state.observer !== "histogram");
    by.channel.able(channels);
    if (!live) by.tensor.able(true, (name) => name in data().sheets);
  }

  function notes(state, { weights, channels }) {
    if (!state.per_channel || channels) return [];
    return [weights ? "<i>torch has no per-channel histogram observer; shown per tensor.</i>"
      : "<i>Activations get one scale: kernels have no per-channel form for them.</i>"];
  }

  return {
    show(state, width) {
      const { sheets, accuracy, images } = data();
      const want = asked(state);
      enable(state, want);
      const sheet = sheets[state.tensor];
      if (!sheet) {
        picture.replaceChildren(canvas(width, 40));
        const words = `<b>${escape(state.tensor)}</b>: measuring…`;
        return { words: [words], head: ["quantity", "value"], rows: () => [], alt: "measuring", say: "measuring" };
      }
      const rows = sheet.ways[want.way];
      const [error, largest, clipped, used, ...grids] = rows[2 * (state.bits - 2) + Number(state.symmetric)];
      const shown = want.channels ? state.channel : 0;
      const [step, zero] = grids.slice(2 * shown, 2 * shown + 2);
      const count = 2 ** state.bits;
      const levels = Array.from({ length: count }, (_, i) => (i - count / 2 - zero) * step);
      picture.replaceChildren(histogram(sheet.bars[want.channels ? 1 + shown : 0], levels, step, width));
      const scales = want.channels ? `${sheet.scales} scales` : "1 scale";
      const known = accuracy[want.key];
      const after = known != null ? percent(known, 1) : live ? "measuring…" : "not measured for this setting";
      const name = escape(state.tensor);
      const figures = `relative error <b>${percent(error, 2)}</b>, largest error ${fixed(largest, null)}, ` +
        `<b>${percent(clipped, 2)}</b> clipped, ${used} of ${count} levels in use, ${scales}.`;
      const right = `Accuracy on ${images} test images: ${percent(accuracy.float, 1)} in float, ` +
        `<b>${after}</b> with ${escape(want.what)} rounded.`;
      return {
        words: [`<b>${name}</b>, shape (${sheet.shape.join(", ")}): ${figures}`, right, ...notes(state, want)],
        head: ["quantity", "value"],
        rows: () => [
          ["levels to choose from", String(count)], ["levels in use", String(used)], ["scales", scales],
          ["zero point" + (want.channels ? ` of channel ${sheet.channels[shown]}` : ""), String(zero)],
          ["relative error", percent(error, 2)], ["largest error", fixed(largest, null)],
          ["clipped", percent(clipped, 2)], ["accuracy in float", percent(accuracy.float, 1)],
          [`accuracy with ${want.what} rounded`, after],
        ],
        alt: `Histogram of ${state.tensor} with ${count} levels drawn over it; ` +
          `relative error ${percent(error, 1)}, ${percent(clipped, 1)} clipped.`,
        say: `${figures} ${right}`.replace(/<[^>]*>/g, ""),
      };
    },
  };
}
