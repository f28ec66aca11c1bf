// The session's movies as columns, as the server sends them, and their verdicts under limits that are only tried.

export class Movies {
  constructor() { this.clear(); }

  clear() {
    this.columns = { id: [], name: [], state: [], verdict: [], chosen: [], found_at: [], finished_at: [], acquired_at: [], square: [], hole: [] };
    this.metrics = {};
    this.place = new Map();
  }

  get length() { return this.columns.id.length; }

  replace(sent) {
    this.clear();
    this.merge(sent);
  }

  merge(sent) {
    for (let i = 0; i < sent.id.length; i++) {
      let at = this.place.get(sent.id[i]);
      if (at === undefined) {
        at = this.length;
        this.place.set(sent.id[i], at);
      }
      for (const name in this.columns) this.columns[name][at] = sent[name][i];
      for (const name in this.metrics) this.metrics[name][at] = null;
      for (const name in sent.metrics) {
        this.metrics[name] ??= new Array(this.length).fill(null);
        this.metrics[name][at] = sent.metrics[name][i];
      }
    }
    for (const name in this.metrics) while (this.metrics[name].length < this.length) this.metrics[name].push(null);
  }

  // One word a movie: its verdict when it is done (by hand before by limits), else its state.
  marks(limits = null) {
    const { state, chosen, verdict } = this.columns;
    return state.map((word, i) => (word !== "done" ? word : chosen[i] ?? (limits ? this.judge(i, limits) : verdict[i]) ?? "accept"));
  }

  judge(i, limits) {
    let mark = "accept";
    for (const name in limits) {
      const worse = outside(limits[name], this.metrics[name]?.[i]);
      if (worse === "reject") return "reject";
      if (worse) mark = worse;
    }
    return mark;
  }
}

// A value exactly on a limit is inside; what was not measured is not judged.
export function outside(limit, value) {
  if (!limit || value === null || value === undefined) return null;
  const beyond = (low, high) => (low !== null && low !== undefined && value < low) || (high !== null && high !== undefined && value > high);
  if (beyond(limit.reject_min, limit.reject_max)) return "reject";
  return beyond(limit.warn_min, limit.warn_max) ? "warn" : null;
}

export function counts(marks) {
  const found = { accept: 0, warn: 0, reject: 0, failed: 0, todo: 0 };
  for (const mark of marks) found[mark in found ? mark : "todo"] += mark === "gone" ? 0 : 1;
  return found;
}

export function median(values) {
  const sorted = values.filter((value) => value !== null && value !== undefined).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// The middle and the spread of values, as outliers cannot move them: the median, and 1.4826 × the median distance from it.
export function sturdySpread(values) {
  const middle = median(values);
  if (middle === null) return null;
  const sigma = 1.4826 * median(values.filter((value) => value !== null && value !== undefined).map((value) => Math.abs(value - middle)));
  return sigma > 0 ? { middle, sigma } : null;
}

// Astigmatism as a stigmator corrects it: a vector of its size at twice its angle, so that 0° and 180° are one direction.
export function stigmator(sizes, angles, part) {
  return sizes.map((size, i) => (size === null || size === undefined || angles[i] === null || angles[i] === undefined ? null
    : size * (part === "x" ? Math.cos : Math.sin)((2 * angles[i] * Math.PI) / 180)));
}

// The range that shows nearly all values: a few outliers are drawn at the edge instead of flattening the rest.
export function sturdyRange(values, also = []) {
  const sorted = Float64Array.from(values.filter((value) => value !== null && Number.isFinite(value))).sort();
  if (!sorted.length) return [0, 1];
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))];
  // Tukey's fences, wide
  const [first, third] = [at(0.25), at(0.75)];
  const reach = 3.5 * (third - first) || Infinity;
  let [low, high] = [Math.max(sorted[0], first - reach), Math.min(sorted[sorted.length - 1], third + reach)];
  const span = high - low || Math.abs(high) * 0.1 || 1;
  for (const value of also) {
    if (value > high && value < high + 0.6 * span) high = value;
    if (value < low && value > low - 0.6 * span) low = value;
  }
  const margin = 0.07 * (high - low || span);
  return [sorted[0] >= 0 && low - margin < 0 ? 0 : low - margin, high + margin];
}
