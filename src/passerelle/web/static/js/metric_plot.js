// One metric over the session: its points in time, its histogram on the same axis, its limits.
import { el } from "./dom.js";
import { metricText, number } from "./format.js";
import { Cloud, colour, timeTicks } from "./cloud.js";
import { GUTTER_PX, Limits } from "./limits.js";
import { median, outside, sturdyRange, sturdySpread } from "./movies.js";

const HISTOGRAM_PX = 58;
const KEYS = ["warn_min", "warn_max", "reject_min", "reject_max"];

export class MetricPlot {
  // open(movieIndex), zoomed(range), changed(metric, limit, final)
  constructor(metric, movies, calls) {
    this.metric = metric;
    this.movies = movies;
    this.calls = calls;
    this.at = []; // point -> movie
    this.limit = {};
    this.middle = el("span", { class: "median" });
    this.host = el("div", { class: "plot" });
    this.words = el("span", {});
    this.inputs = this.#inputs();
    const toggle = el("button", { type: "button", "aria-expanded": "false", "aria-label": `Limits of ${metric.label} as numbers`, onclick: () => {
      this.inputs.hidden = !this.inputs.hidden;
      toggle.setAttribute("aria-expanded", String(!this.inputs.hidden));
    } }, "limits…");
    this.card = el("section", { class: "plot-card", "aria-label": metric.label, "data-metric": metric.name },
      el("div", { class: "plot-head" }, el("h3", { title: metric.meaning }, metric.label), el("span", { class: "unit" }, metric.shown_unit), this.middle),
      this.host, el("div", { class: "plot-foot" }, this.words, toggle), this.inputs);
  }

  // Draw for the first time once the card is in the page and has a size.
  start(axisIsTime) {
    this.cloud?.destroy();
    this.host.replaceChildren();
    this.time = axisIsTime;
    this.cloud = new Cloud(this.host, {
      time: axisIsTime, right: GUTTER_PX + HISTOGRAM_PX,
      words: (i) => `${metricText(this.metric, this.movies.metrics[this.metric.name][this.at[i]])} · ${this.movies.columns.name[this.at[i]]}`,
      open: (i, event) => this.calls.open(this.at[i], event),
      zoomed: this.calls.zoomed,
      drawMore: (cloud, context, ratio) => {
        this.#histogram(cloud, context, ratio);
        this.limits?.place(); // the axes may have moved
      },
      xTicks: axisIsTime ? timeTicks : (u, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? number(tick, 0) : "")),
    });
    this.limits = new Limits(this.cloud, this.metric.label, (value) => `${number(value, this.metric.digits)} ${this.metric.shown_unit}`,
      (key, value, final) => this.#moved(key, value, final));
  }

  update(marks, limit, order) {
    const { scale } = this.metric;
    const values = this.movies.metrics[this.metric.name] ?? [];
    this.limit = limit ?? {};
    this.at = order.index.filter((i) => values[i] !== null && values[i] !== undefined);
    this.values = this.at.map((i) => values[i] * scale);
    const shown = this.#shown();
    const range = sturdyRange(this.values, Object.values(shown).filter((value) => value !== null));
    this.cloud.set(this.at.map((i) => order.x[i]), this.values, this.at.map((i) => marks[i]), order.range, range);
    this.limits.set(shown);
    const half = median(this.values);
    this.middle.replaceChildren(el("small", {}, "median"), half === null ? "–" : number(half, this.metric.digits));
    this.#say();
    this.#fillInputs();
  }

  // While a limit moves: marks change, axes stay.
  retint(marks) {
    this.cloud.setMarks(this.at.map((i) => marks[i]));
  }

  #shown() {
    const { scale } = this.metric;
    return Object.fromEntries(KEYS.map((key) => [key, this.limit[key] === null || this.limit[key] === undefined ? null : this.limit[key] * scale]));
  }

  #moved(key, shown, final) {
    const { scale, digits } = this.metric;
    const rounded = shown === null ? null : Number(shown.toFixed(digits + 1));
    this.limit = { ...this.limit, [key]: rounded === null ? null : Number((rounded / scale).toPrecision(9)) };
    this.#say();
    this.#fillInputs();
    this.calls.changed(this.metric.name, this.limit, final);
  }

  #say() {
    const values = this.movies.metrics[this.metric.name] ?? [];
    let warned = 0;
    let rejected = 0;
    for (const i of this.at) {
      const worse = outside(this.limit, values[i]);
      if (worse === "warn") warned++;
      else if (worse === "reject") rejected++;
    }
    const any = KEYS.some((key) => this.limit[key] !== null && this.limit[key] !== undefined);
    this.words.replaceChildren(any ? el("span", {}, "beyond limits: ", el("b", {}, number(warned + rejected, 0)), ` of ${number(this.at.length, 0)}`) : "no limits");
  }

  #inputs() {
    const box = el("div", { class: "limit-inputs", hidden: true });
    for (const key of KEYS) {
      const words = key.replace("_min", " below").replace("_max", " above");
      const input = el("input", { inputmode: "decimal", autocomplete: "off", "data-key": key, "aria-label": `${this.metric.label}: ${words}`, onchange: () => {
        const text = input.value.trim().replace(",", ".").replace("−", "-");
        const value = text === "" ? null : Number(text);
        input.setCustomValidity(value !== null && !Number.isFinite(value) ? "A number, or nothing." : "");
        if (!input.reportValidity()) return;
        this.#moved(key, value, true);
        this.limits.set(this.#shown());
      } });
      box.append(el("label", {}, words, input));
    }
    const about = `${this.metric.label}: warn beyond the median and`;
    box.append(el("div", { class: "sigmas", role: "group", "aria-label": "Warn beyond the median and some standard deviations" }, el("span", { class: "quiet" }, "warn beyond"),
      ...[2, 3, 4].map((count) => el("button", { type: "button", class: "button small", "aria-label": `${about} ${count} standard deviations`, title: "around the median; the spread is measured so that outliers do not widen it", onclick: () => this.#spread(count) }, `± ${count} σ`))));
    return box;
  }

  #spread(count) {
    const found = sturdySpread(this.values);
    if (!found) return;
    const low = found.middle - count * found.sigma;
    // what cannot be negative needs no limit below nothing
    const lowest = this.values.every((value) => value >= 0) && low <= 0 ? null : low;
    this.#moved("warn_min", lowest, false);
    this.#moved("warn_max", found.middle + count * found.sigma, true);
    this.limits.set(this.#shown());
  }

  #fillInputs() {
    const shown = this.#shown();
    for (const input of this.inputs.querySelectorAll("input")) {
      if (document.activeElement !== input) input.value = shown[input.dataset.key] === null ? "" : String(Number(shown[input.dataset.key].toPrecision(7)));
    }
  }

  #histogram(cloud, context, ratio) {
    const { left, top, width, height } = cloud.plot.bbox;
    const bins = Math.max(12, Math.min(40, Math.round(height / ratio / 4)));
    const [low, high] = cloud.yRange;
    const tally = ["accept", "warn", "reject"].map(() => new Float64Array(bins));
    const places = { accept: 0, warn: 1, reject: 2 };
    cloud.y.forEach((value, i) => {
      if (Number.isNaN(cloud.px[i]) || !(cloud.mark[i] in places)) return;
      const bin = Math.min(bins - 1, Math.max(0, Math.floor(((value - low) / (high - low)) * bins)));
      tally[places[cloud.mark[i]]][bin]++;
    });
    const most = Math.max(1, ...tally[0].map((count, bin) => count + tally[1][bin] + tally[2][bin]));
    const start = left + width + GUTTER_PX * ratio;
    const reach = (HISTOGRAM_PX - 6) * ratio;
    const step = height / bins;
    for (let bin = 0; bin < bins; bin++) {
      let x = start;
      ["accept", "warn", "reject"].forEach((mark, place) => {
        const size = (tally[place][bin] / most) * reach;
        if (!size) return;
        context.fillStyle = colour(`point-${mark}`);
        context.globalAlpha = 0.75;
        context.fillRect(x, top + height - (bin + 1) * step + 0.5 * ratio, Math.max(size, ratio), step - ratio);
        x += size;
      });
    }
    context.globalAlpha = 1;
  }
}
