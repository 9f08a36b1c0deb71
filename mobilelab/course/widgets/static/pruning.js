// The pruning explorer: what zeros cost and save, and what missing channels do.

import { Chart } from "./chart.js";
import { fixed, ticks } from "./core.js";

const percent = (share, digits = 0) => `${fixed(100 * share, digits)}%`;

export function pruning({ data, picture, move }) {
  let plot, built;

  const curves = (points) => data().series.map(({ name, key, whole }) => {
    const line = points.map((p) => [100 * p.sparsity, (100 * p[key]) / (whole ? points[0][key] : 1)]);
    return { name, points: line, line };
  });

  function build(lines, width) {
    const top = Math.max(110, ...lines.flatMap(({ points }) => points.map(([, y]) => 1.05 * y)));
    const across = { domain: [-2, 97], ticks: ticks([0, 97], width < 500 ? 5 : 10), title: "sparsity (%)" };
    const up = { domain: [0, top], ticks: ticks([0, top], 6), title: "% right, or % of the unpruned file or time" };
    plot = new Chart(lines, { across, up, press: (x) => move({ sparsity: Math.round(x) }) }, width);
    picture.replaceChildren(plot.element);
  }

  return {
    show(state, width) {
      const points = data().points.filter((p) => p.method === state.method);
      const lines = curves(points);
      const now = [state.method, width].join("|");
      if (now !== built) build(lines, width);
      built = now;
      const at = points.findIndex((p) => Math.round(100 * p.sparsity) === state.sparsity);
      const [whole, here] = [points[0], points[at]];
      plot.stand(state.sparsity, lines.map(({ points: line }) => line[at]));
      const kind = data().kinds[state.method];
      const told = `${percent(here.sparsity)} ${kind}`;
      const rest = `, not trained afterwards: ${percent(here.accuracy, 1)} of ${data().images} test images right ` +
        `(unpruned ${percent(whole.accuracy, 1)}); ${fixed(here.raw_kb)} kB as saved ` +
        `(unpruned ${fixed(whole.raw_kb)} kB), ${fixed(here.compressed_kb)} kB compressed; ` +
        `${fixed(here.latency, 2)}x the unpruned network's time, measured in turn on this host.`;
      return {
        words: [`<b>${told}</b>${rest}`],
        head: data().head,
        rows: () => points.map((p) => [percent(p.sparsity), percent(p.accuracy, 1), `${fixed(p.raw_kb)} kB`,
          `${fixed(p.compressed_kb)} kB`, `${fixed(p.latency, 2)}x`]),
        alt: data().alt[state.method], say: told + rest,
      };
    },
  };
}
