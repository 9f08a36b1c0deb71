// What competes, what beats what, and what a budget says: the same as in Python, where
// `pareto.py` and `measure/report.py` say why. tests/browser compares both on random tables.

import { fixed } from "./core.js";

/** The records that no other beats, ordered along the first axis. */
export function pareto(records, axes, x, y, everything = false) {
  const cost = (record, axis) => {
    const value = record.axes[axis][0];
    return value == null ? Infinity : axes[axis].more ? -value : value;
  };
  const rows = records
    .filter((r) => !r.different)
    .map((r) => ({ r, x: cost(r, x), y: cost(r, y), dx: r.axes[x][2], dy: r.axes[y][2] }))
    .filter((row) => row.x !== Infinity && row.y !== Infinity);
  const phones = rows.filter((row) => row.r.phone);
  const able = everything || !phones.length ? rows : phones;
  const less = (a, b) =>
    [a.x < b.x - Math.max(a.dx, b.dx), a.y < b.y - Math.max(a.dy, b.dy)];
  const beats = (a, b) => less(a, b).some(Boolean) && !less(b, a).some(Boolean);
  return able
    .filter((row) => !able.some((other) => beats(other, row)))
    .sort((a, b) => a.x - b.x || a.y - b.y)
    .map((row) => row.r);
}

/** What the sliders say; null where there is no limit. Where nobody moved the slider of the time,
    each record is judged by its own ratio, as in the table. */
export function limits(data, state) {
  const specs = Object.fromEntries(data.controls.flat().map((spec) => [spec.name, spec]));
  const value = (name) =>
    specs[name].endless && state[name] === specs[name].max ? null : state[name];
  const began = data.budget.limit_ms;
  const moved = began == null || state.latency !== began || `${state.threads} ${state.layout}` !== data.first;
  return {
    file_kb: value("size"),
    median_ms: moved ? value("latency") : data.budget.median_ms,
    times_float: moved ? null : data.budget.times_float,
    drawn_ms: value("latency"),
    p95_times_float: data.budget.p95_times_float,
    accuracy: specs.accuracy.disabled ? data.budget.accuracy : state.accuracy / 100,
  };
}

/** Whether a record meets a budget: quicker than the reasons, which are words. */
export function fits(record, budget, metric) {
  if (record.different) return false;
  if (budget.file_kb != null && record.file_kb > budget.file_kb) return false;
  if (budget.median_ms != null && record.median_ms > budget.median_ms) return false;
  return !misses(record, { ...budget, file_kb: null, median_ms: null }, metric).length;
}

/** What keeps a record from meeting a budget, in words; empty if it meets it. */
export function misses(record, budget, metric) {
  const found = [];
  if (record.different) found.push("answers differ from the float model");
  if (budget.file_kb != null && record.file_kb > budget.file_kb) {
    found.push(`${fixed(record.file_kb - budget.file_kb)} kB too large`);
  }
  if (budget.median_ms != null && record.median_ms > budget.median_ms) {
    found.push(`${fixed(record.median_ms - budget.median_ms, 2)} ms too slow on this host`);
  }
  if (budget.times_float != null) {
    if (record.times_float == null) {
      found.push("its time was not taken in turn with the float model's");
    } else if (record.times_float > budget.times_float) {
      found.push(`${fixed(record.times_float, 2)}x the float model's time, too slow on this host`);
    }
  }
  if (budget.p95_times_float != null) {
    const share = record.p95_ms / record.float_ms;
    if (record.float_ms == null) {
      found.push("its time was not taken in turn with the float model's");
    } else if (share > budget.p95_times_float) {
      found.push(`95th percentile ${fixed(share, 2)}x the float model's time, too slow on this host`);
    }
  }
  if (budget.accuracy == null) return found;
  if (record.accuracy == null) return [...found, `its ${metric.name} was not measured`];
  const gap = budget.accuracy - record.accuracy;
  if (metric.more ? gap <= 0 : gap >= 0) return found;
  const by = metric.percent ? `${fixed(100 * Math.abs(gap), 1)} points`
    : `${fixed(Math.abs(gap), metric.digits)} ${metric.unit}`.trim();
  return [...found, `${metric.name} ${by} too ${metric.more ? "low" : "high"}`];
}

const SHARES = [[1 / 10, "a tenth of"], [1 / 5, "a fifth of"], [1 / 4, "a quarter of"],
  [1 / 3, "a third of"], [1 / 2, "half"], [2 / 3, "two thirds of"], [3 / 4, "three quarters of"],
  [2, "twice"], [3, "three times"], [4, "four times"]];

function times(one, other, what) {
  const share = one / other;
  if (Math.abs(share - 1) < 0.02) return `the same ${what}`;
  const near = SHARES.find(([s]) => Math.abs(share / s - 1) < 0.03);
  return near ? `${near[1]} the ${what}` : `${fixed(share, share < 1 ? 2 : 1)} times the ${what}`;
}

/** Two records compared in a sentence; times whose middle halves meet are the same. */
export function beside(one, other, metric) {
  const tie = Math.max(one.axes.latency[2], other.axes.latency[2]);
  const time = Math.abs(one.median_ms - other.median_ms) <= tie
    ? "a time that cannot be told apart" : times(one.median_ms, other.median_ms, "time");
  const parts = [times(one.file_kb, other.file_kb, "size"), time];
  if (one.accuracy != null && other.accuracy != null) {
    const gap = one.accuracy - other.accuracy;
    const better = metric.more ? gap > 0 : gap < 0;
    if (Math.abs(gap) < 1e-9) parts.push(`the same ${metric.name}`);
    else if (metric.percent && metric.more) {
      const every = Math.max(1, Math.round(1 / Math.abs(gap)));
      parts.push(`one answer in ${every} ${better ? "won" : "lost"}`);
    } else {
      const by = metric.percent ? `${fixed(100 * Math.abs(gap), 1)} points` : `${fixed(Math.abs(gap), metric.digits)} ${metric.unit}`.trim();
      parts.push(`${metric.name} ${by} ${better ? "better" : "worse"}`);
    }
  }
  return `${one.name} beside ${other.name}: ${parts.slice(0, -1).join(", ")}, ${parts.at(-1)}.`;
}
