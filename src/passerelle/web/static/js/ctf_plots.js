// Rings of the fit over the spectrum, and the one-dimensional curves.
import uPlot from "../vendor/uPlot.esm.js";
import { el, svg } from "./dom.js";
import { number } from "./format.js";
import { axis, colour } from "./cloud.js";

const HALF = 150; // of the drawing, in its own units
const RINGS = 8;

export function drawCtf(movie) {
  const curves = movie.curves.ctf;
  const place = document.getElementById("spectrum");
  if (!place || !curves?.spacing_per_angstrom?.length) return;
  rings(place, movie, edgeOf(curves.spacing_per_angstrom));
  drawCurve(document.getElementById("ctf-curve"), curves, movie.row.metrics.ctf_resolution_angstrom);
}

// The curves' cells are even in squared frequency up to the picture's edge; their middles are told.
function edgeOf(spacing) {
  const last = spacing[spacing.length - 1];
  return spacing.length > 1 ? Math.sqrt(last ** 2 + (last ** 2 - spacing[spacing.length - 2] ** 2) / 2) : last;
}

// x to the right, y up, angles counter-clockwise. What lies far beyond the last ring is cut off, until a click shows all.
function rings(place, movie, edge) {
  const m = movie.row.metrics;
  const picture = place.querySelector("img");
  const nearest = Math.max(1, Math.min(4, (edge * (m.ctf_resolution_angstrom ?? 1)) / 1.35));
  let drawn = null;
  const draw = (zoom) => {
    picture.style.transform = `scale(${zoom})`;
    drawn?.remove();
    drawn = drawRings(m, movie, edge / zoom);
    place.append(drawn);
    place.title = zoom > 1 ? "Click to show the whole spectrum" : "Click to show the rings";
    place.setAttribute("aria-pressed", String(zoom > 1));
  };
  let near = true;
  const turn = () => { near = !near; draw(near ? nearest : 1); };
  place.tabIndex = 0;
  place.setAttribute("role", "button");
  place.addEventListener("click", turn);
  place.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    turn();
  });
  draw(nearest);
}

function drawRings(m, movie, edge) {
  const drawing = svg("svg", { viewBox: `${-HALF} ${-HALF} ${2 * HALF} ${2 * HALF}`, "aria-hidden": "true" });
  for (let n = 1; n <= RINGS; n++) {
    const points = [];
    for (let step = 0; step <= 120; step++) {
      const angle = (step / 120) * 2 * Math.PI;
      const s = zero(n, angle, movie);
      if (s === null || s > edge) break;
      const r = (s / edge) * HALF;
      points.push(`${(r * Math.cos(angle)).toFixed(2)} ${(-r * Math.sin(angle)).toFixed(2)}`);
    }
    if (points.length === 121) drawing.append(svg("path", { class: "ring-zero", d: `M${points.join("L")}Z` }));
  }
  if (m.ctf_resolution_angstrom) {
    const r = HALF / m.ctf_resolution_angstrom / edge;
    drawing.append(svg("ellipse", { class: "ring-limit", cx: 0, cy: 0, rx: r, ry: r }));
    drawing.append(svg("text", { class: "ring-words", x: 0, y: (-r - 5).toFixed(1), "text-anchor": "middle" }, `${number(m.ctf_resolution_angstrom, 2)} Å`));
  }
  drawing.append(svg("text", { class: "ring-edge", x: HALF - 6, y: HALF - 8, "text-anchor": "end" }, `edge ${number(1 / edge, 2)} Å`));
  return drawing;
}

// The n-th zero of the CTF along a direction, in 1/Å:
// chi = pi lambda dz s² - pi/2 Cs lambda³ s⁴ + phase + asin(amplitude contrast) = n pi.
function zero(n, angle, movie) {
  const m = movie.row.metrics;
  const values = movie.values;
  const volt = (values.voltage_kv ?? 300) * 1e3;
  const wave = 12.2643 / Math.sqrt(volt * (1 + 0.978466e-6 * volt));
  const cs = (values.spherical_aberration_mm ?? 2.7) * 1e7;
  const axisAngle = ((m.astigmatism_angle_deg ?? 0) * Math.PI) / 180;
  const dz = m.defocus_angstrom + ((m.astigmatism_angstrom ?? 0) / 2) * Math.cos(2 * (angle - axisAngle));
  const contrast = values.amplitude_contrast ?? movie.recipe?.ctf?.amplitude_contrast ?? 0.1;
  const phase = Math.asin(contrast) + ((m.phase_shift_deg ?? 0) * Math.PI) / 180;
  const a = -(Math.PI / 2) * cs * wave ** 3;
  const b = Math.PI * wave * dz;
  const c = phase - n * Math.PI;
  if (Math.abs(a) < 1e-9) return c < 0 && b > 0 ? Math.sqrt(-c / b) : null;
  const inner = b * b - 4 * a * c;
  if (inner < 0) return null;
  const square = (-b + Math.sqrt(inner)) / (2 * a);
  return square > 0 ? Math.sqrt(square) : null;
}

function drawCurve(host, curves, resolution) {
  const lines = [["spectrum", "measured", "quiet"], ["model", "fitted", "accent"], ["agreement", "agreement", "warn"]];
  const reach = Math.max(0.2, 1.4 / (resolution || 4)); // beyond it there is only noise
  const plot = new uPlot({
    width: host.clientWidth, height: host.clientHeight, padding: [8, 20, 0, 0], legend: { show: false },
    cursor: { points: { show: false }, y: false, drag: { x: true, y: false } },
    scales: { x: { time: false, range: (u, low, high) => (low > curves.spacing_per_angstrom[0] ? [low, high] : [0, Math.min(high, reach)]) }, y: { range: [-0.35, 1.15] } },
    axes: [
      axis({ size: 26, gap: 3, space: 50, values: (u, ticks) => ticks.map((tick) => (tick > 0 ? `${number(1 / tick, 1 / tick < 10 ? 1 : 0)} Å` : "")) }),
      axis({ size: 34, space: 36 }),
    ],
    series: [{}, ...lines.map(([, , tone], i) => ({ stroke: () => colour(tone), width: i === 0 ? 1 : 1.3, points: { show: false } }))],
    hooks: {
      draw: [(u) => {
        if (!resolution) return;
        const x = u.valToPos(1 / resolution, "x", true);
        u.ctx.save();
        u.ctx.strokeStyle = colour("point-warn");
        u.ctx.setLineDash([5 * devicePixelRatio, 3 * devicePixelRatio]);
        u.ctx.lineWidth = devicePixelRatio;
        u.ctx.beginPath();
        u.ctx.moveTo(x, u.bbox.top);
        u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
        u.ctx.stroke();
        u.ctx.restore();
      }],
    },
  }, [curves.spacing_per_angstrom, ...lines.map(([name]) => curves[name])], host);
  host.after(legend(lines));
  follow(host, plot);
}

export function legend(lines) {
  return el("p", { class: "legend-line" }, ...lines.map(([, words, tone]) => {
    const stroke = el("i", { "aria-hidden": "true" });
    stroke.style.setProperty("--tone", `var(--${tone})`);
    return el("span", {}, stroke, words);
  }));
}

export function follow(host, plot) {
  new ResizeObserver(() => { if (host.clientWidth > 60) plot.setSize({ width: host.clientWidth, height: host.clientHeight }); }).observe(host);
  document.addEventListener("passerelle:theme", () => plot.redraw(true, true));
}
