// The resolution explorer: what a larger picture costs, and how the cost grows.

import { Chart, powers } from "./chart.js";
import { fixed, ticks } from "./core.js";

const span = (values, [below, above]) => [below * Math.min(...values), above * Math.max(...values)];

export function resolution({ data, picture, move }) {
  let plot, built, drawnOn;

  const here = (state) => data().costs.find((cost) => cost.size === state.size);

  function build(state, width) {
    const { quantities, costs } = data();
    const { label, unit, series } = quantities[state.quantity];
    const points = series.flatMap((each) => each.points);
    const sizes = span(points.map(([x]) => x), [0.85, 1.2]);
    const curves = series.map(({ name, points, fit }) => {
      const ends = [points[0][0], points.at(-1)[0]];
      return {
        name: fit ? `${name}, power ${fixed(fit[0], 2)}` : name,
        points, line: fit && ends.map((size) => [size, fit[1] * size ** fit[0]]),
      };
    });
    const domain = span(points.map(([, y]) => y), [0.5, 2]);
    const marks = [16, 32, 64, 128, 256, 512].filter((size) => size >= sizes[0] && size <= sizes[1]);
    const across = {
      domain: sizes, log: true, title: "pixels along a side of the input",
      ticks: marks.length > 1 ? marks.map((size) => [size, String(size)]) : ticks(sizes, 4),
    };
    const up = { domain, log: true, title: `${label} (${unit})`, ticks: powers(domain) };
    const press = (size) => costs.some((cost) => cost.size === size) && move({ size });
    plot = new Chart(curves, { across, up, press }, width);
    picture.replaceChildren(plot.element);
  }

  function inWords(state) {
    const { costs, quantities, cited } = data();
    const cost = here(state);
    const [small] = costs;
    const power = (name) => fixed(quantities[name].series[0].fit[0], 2);
    return [
      `<b>${cost.size} x ${cost.size}</b>: median ${fixed(cost.median_ms, 1)} ms at one thread, ` +
      `${fixed(cost.added_mib, 1)} MiB above torch, ${fixed(cost.macs / 1e6)} million MACs. ` +
      `That is ${fixed(cost.size / small.size, 1)} times the side of ${small.size} and ` +
      `${fixed(cost.median_ms / small.median_ms, 1)} times its time on this host.`,
      `Fitted exponents: latency <b>${power("latency")}</b>, MACs ${power("MACs")}; ` +
      `the cited phone's table ${fixed(cited, 2)}.`,
    ];
  }

  return {
    show(state, width) {
      const now = [state.quantity, width].join("|");
      if (now !== built || data() !== drawnOn) build(state, width);
      [built, drawnOn] = [now, data()];
      const { series } = data().quantities[state.quantity];
      plot.stand(state.size, [series[0].points.find(([size]) => size === state.size)]);
      const words = inWords(state);
      const [first] = words;
      return {
        words, head: data().head, rows: () => data().rows, alt: data().alt[state.quantity],
        say: first.replace(/<[^>]*>/g, ""),
      };
    },
  };
}
