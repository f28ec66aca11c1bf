// Points on two axes, drawn by verdict in colour and shape; hover names a point, a click opens it. Axes by uPlot.
import uPlot from "../vendor/uPlot.esm.js";
import { el } from "./dom.js";
import { number } from "./format.js";

const NEAR_PX = 22;
const ORDER = ["accept", "warn", "reject"];
const clouds = new Set();
let colours = null;

export function colour(name) {
  if (!colours) colours = getComputedStyle(document.documentElement);
  return colours.getPropertyValue(`--${name}`).trim();
}

document.addEventListener("passerelle:theme", () => {
  colours = null;
  for (const cloud of clouds) cloud.plot.redraw(true, true);
});

export function axis(extra = {}) {
  return {
    stroke: () => colour("quiet"), font: `11px ${colour("font")}`, labelFont: `11px ${colour("font")}`,
    grid: { stroke: () => colour("grid-line"), width: 1 }, ticks: { show: false }, ...extra,
  };
}

// Ticks as all other numbers are written, with as many digits as their step needs.
export function ticksWith(unit = "") {
  return (u, ticks, axisIndex, space, step) => {
    let digits = 0;
    while (digits < 6 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits++;
    return ticks.map((tick) => number(tick, digits) + (unit ? `\u202f${unit}` : ""));
  };
}

// Instants in the reader's own time: the hour, or the day where a day begins.
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
export function timeTicks(u, ticks, axisIndex, space, step) {
  const two = (value) => String(value).padStart(2, "0");
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    if (step >= 86400 || (at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0)) return day.format(at);
    return `${two(at.getHours())}:${two(at.getMinutes())}${step < 60 ? `:${two(at.getSeconds())}` : ""}`;
  });
}

export class Cloud {
  // options: time (x is an instant), right (px kept free at the right), words(i) -> text, open(i), zoomed(range|null),
  // drawMore(cloud, context), xTicks, yTicks: of uPlot's axes
  constructor(host, options) {
    this.host = host;
    this.options = options;
    this.x = []; this.y = []; this.mark = [];
    this.xRange = [0, 1]; this.yRange = [0, 1]; this.zoom = null;
    this.tip = el("div", { class: "tip", hidden: true });
    this.plot = new uPlot(this.#settings(), [[], []], host);
    host.append(this.tip);
    this.over = this.plot.over;
    this.over.addEventListener("mousemove", (event) => this.#hover(event));
    this.over.addEventListener("mouseleave", () => { this.tip.hidden = true; });
    this.over.addEventListener("mousedown", (event) => { this.pressed = event.clientX; });
    this.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - (this.pressed ?? event.clientX)) > 3) return;
      const nearest = this.#nearest(event);
      if (nearest >= 0) this.options.open(nearest, event);
    });
    this.over.addEventListener("dblclick", () => this.options.zoomed?.(null));
    this.watch = new ResizeObserver(() => this.#resize());
    this.watch.observe(host);
    clouds.add(this);
  }

  destroy() {
    clouds.delete(this);
    this.watch.disconnect();
    this.plot.destroy();
    this.tip.remove();
  }

  set(x, y, mark, xRange, yRange) {
    Object.assign(this, { x, y, mark, xRange, yRange });
    this.plot.setData([x, y]);
  }

  setMarks(mark) {
    this.mark = mark;
    this.plot.redraw(false, false);
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.plot.setData([this.x, this.y]);
  }

  #settings() {
    const { time, right = 10, xTicks, yTicks = ticksWith() } = this.options;
    return {
      width: Math.max(120, this.host.clientWidth), height: Math.max(80, this.host.clientHeight),
      padding: [8, right, 0, 0],
      legend: { show: false },
      cursor: { points: { show: false }, x: false, y: false, drag: { x: Boolean(this.options.zoomed), y: false, setScale: false } },
      scales: {
        x: { time: Boolean(time), range: () => this.zoom ?? this.xRange },
        y: { range: () => this.yRange },
      },
      axes: [
        axis({ size: 24, gap: 3, space: 60, ...(xTicks ? { values: xTicks } : {}) }),
        axis({ size: 46, gap: 4, space: 28, values: yTicks }),
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: {
        draw: [(u) => this.#draw(u)],
        setSelect: [(u) => {
          if (u.select.width < 6) return;
          const range = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          this.options.zoomed?.(range);
        }],
      },
    };
  }

  #resize() {
    const width = this.host.clientWidth;
    const height = this.host.clientHeight;
    if (width > 60 && height > 60 && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  // Where a point is drawn, in the canvas' own pixels; values beyond the range stand at its edge.
  #places(u) {
    const { left, top, width, height } = u.bbox;
    const [x0, x1] = this.zoom ?? this.xRange;
    const [y0, y1] = this.yRange;
    const n = this.x.length;
    const px = new Float32Array(n);
    const py = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const fx = (this.x[i] - x0) / (x1 - x0 || 1);
      const fy = (this.y[i] - y0) / (y1 - y0 || 1);
      const hidden = this.y[i] === null || (this.zoom && (fx < 0 || fx > 1));
      px[i] = hidden ? NaN : left + Math.min(1, Math.max(0, fx)) * width;
      py[i] = top + (1 - Math.min(1, Math.max(0, fy))) * height;
    }
    return [px, py];
  }

  #draw(u) {
    const context = u.ctx;
    const ratio = devicePixelRatio || 1;
    const [px, py] = this.#places(u);
    this.px = px;
    this.py = py;
    const n = px.length;
    const r = (n > 2500 ? 1.2 : n > 600 ? 2 : 2.6) * ratio;
    context.save();
    for (const mark of ORDER) {
      if (mark === "accept" && n > 2500) { // squares are drawn five times as fast as discs
        context.globalAlpha = 0.8;
        context.fillStyle = colour("point-accept");
        for (let i = 0; i < n; i++) if (this.mark[i] === mark && !Number.isNaN(px[i])) context.fillRect(px[i] - r, py[i] - r, 2 * r, 2 * r);
        context.globalAlpha = 1;
        continue;
      }
      context.beginPath();
      for (let i = 0; i < n; i++) {
        if (this.mark[i] !== mark || Number.isNaN(px[i])) continue;
        const x = px[i];
        const y = py[i];
        if (mark === "accept") {
          context.moveTo(x + r, y);
          context.arc(x, y, r, 0, 6.2832);
        } else if (mark === "warn") {
          context.moveTo(x, y - 1.5 * r);
          context.lineTo(x + 1.45 * r, y + r);
          context.lineTo(x - 1.45 * r, y + r);
          context.closePath();
        } else {
          context.moveTo(x - 1.2 * r, y - 1.2 * r);
          context.lineTo(x + 1.2 * r, y + 1.2 * r);
          context.moveTo(x + 1.2 * r, y - 1.2 * r);
          context.lineTo(x - 1.2 * r, y + 1.2 * r);
        }
      }
      if (mark === "reject") {
        context.strokeStyle = colour("point-reject");
        context.lineWidth = 1.5 * ratio;
        context.stroke();
      } else {
        context.globalAlpha = mark === "accept" ? 0.8 : 0.95;
        context.fillStyle = colour(`point-${mark}`);
        context.fill();
        context.globalAlpha = 1;
      }
    }
    this.options.drawMore?.(this, context, ratio);
    context.restore();
  }

  #nearest(event) {
    const ratio = devicePixelRatio || 1;
    const box = this.plot.root.querySelector("canvas").getBoundingClientRect();
    const x = (event.clientX - box.left) * ratio;
    const y = (event.clientY - box.top) * ratio;
    let best = -1;
    let least = (NEAR_PX * ratio) ** 2;
    for (let i = 0; i < this.px.length; i++) {
      const distance = (this.px[i] - x) ** 2 + (this.py[i] - y) ** 2;
      if (distance < least) { least = distance; best = i; }
    }
    return best;
  }

  #hover(event) {
    const i = this.#nearest(event);
    this.over.style.cursor = i >= 0 ? "pointer" : "";
    this.tip.hidden = i < 0;
    if (i < 0) return;
    this.tip.textContent = this.options.words(i);
    const ratio = devicePixelRatio || 1;
    const x = this.px[i] / ratio;
    const y = this.py[i] / ratio;
    this.tip.style.left = `${Math.max(0, Math.min(x + 10, this.host.clientWidth - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${y > 36 ? y - 34 : y + 12}px`;
  }
}
