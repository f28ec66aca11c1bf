// Drift: its track, its course over the frames, and the local motion of the patches.
import uPlot from "../vendor/uPlot.esm.js";
import { svg } from "./dom.js";
import { number } from "./format.js";
import { axis, colour } from "./cloud.js";
import { follow, legend } from "./ctf_plots.js";

export function drawMotion(movie) {
  const { drift, local } = movie.curves;
  if (drift?.frame?.length) {
    drawTrack(document.getElementById("track"), drift);
    drawCourse(document.getElementById("drift-curve"), drift);
  }
  const field = document.getElementById("field");
  if (field && local?.y?.length) drawField(field, local, movie.values);
}

function drawTrack(place, drift) {
  const xs = drift.dx_angstrom;
  const ys = drift.dy_angstrom;
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const reach = Math.max(right - left, high - low, 0.5) * 1.16;
  const at = (i) => [100 + ((xs[i] - (left + right) / 2) / reach) * 200, 100 - ((ys[i] - (low + high) / 2) / reach) * 200];
  const drawing = svg("svg", { viewBox: "0 0 200 200", role: "img", "aria-label": `Drift over ${xs.length} frames` });
  for (let i = 1; i < xs.length; i++) {
    const [x0, y0] = at(i - 1);
    const [x1, y1] = at(i);
    const line = svg("line", { class: "track-line", x1: x0.toFixed(1), y1: y0.toFixed(1), x2: x1.toFixed(1), y2: y1.toFixed(1), "stroke-opacity": (0.3 + (0.7 * i) / xs.length).toFixed(2) });
    line.style.stroke = "var(--accent)";
    drawing.append(line);
  }
  const [x, y] = at(0);
  drawing.append(svg("circle", { class: "track-first", cx: x.toFixed(1), cy: y.toFixed(1), r: 3.5 }));
  const power = 10 ** Math.floor(Math.log10(reach / 3));
  const length = [5, 2, 1].map((step) => step * power).find((step) => step <= reach / 3) ?? power;
  const size = (length / reach) * 200;
  drawing.append(svg("line", { class: "track-axis", x1: 10, x2: 10 + size, y1: 192, y2: 192, "stroke-width": 2 }), svg("text", { x: 10, y: 187 }, `${length >= 1 ? length : number(length, 1)} Å`));
  place.replaceChildren(drawing);
}

function drawCourse(host, drift) {
  const lines = [["dx_angstrom", "x, Å", "accent"], ["dy_angstrom", "y, Å", "warn"]];
  const plot = new uPlot({
    width: host.clientWidth, height: host.clientHeight, padding: [8, 8, 0, 0], legend: { show: false },
    cursor: { points: { show: false }, y: false, drag: { x: false, y: false } },
    scales: { x: { time: false } },
    axes: [axis({ size: 26, gap: 3, space: 50, values: (u, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : "")) }), axis({ size: 40, space: 30 })],
    series: [{}, ...lines.map(([, , tone]) => ({ stroke: () => colour(tone), width: 1.4, points: { show: true, size: 4, fill: () => colour(tone) } }))],
  }, [drift.frame, drift.dx_angstrom, drift.dy_angstrom], host);
  host.after(legend([["", "drift along x, Å", "accent"], ["", "along y, Å, by frame", "warn"]]));
  follow(host, plot);
}

// Each patch's way from the first frame to the last, enlarged so that neighbours hardly meet.
function drawField(place, local, values) {
  const height = local.height ?? values.height_px ?? Math.max(...local.y) + Math.min(...local.y);
  const width = local.width ?? values.width_px ?? Math.max(...local.x) + Math.min(...local.x);
  const longest = Math.max(width, height);
  local = aboutTheMean(local);
  let most = 1e-6;
  local.dy_px.forEach((ways, p) => ways.forEach((dy, t) => { most = Math.max(most, Math.hypot(dy, local.dx_px[p][t])); }));
  const pitch = Math.sqrt((width * height) / local.y.length);
  const gain = Math.max(1, Math.round((0.42 * pitch) / most));
  const scale = 200 / longest;
  const drawing = svg("svg", { viewBox: `0 0 ${(width * scale).toFixed(1)} ${(height * scale).toFixed(1)}`, role: "img", "aria-label": `Local motion of ${local.y.length} patches` });
  local.y.forEach((y, p) => {
    const points = local.dy_px[p].map((dy, t) => [(local.x[p] + gain * local.dx_px[p][t]) * scale, (height - y - gain * dy) * scale]);
    const text = points.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`);
    drawing.append(svg("circle", { class: "field-dot", cx: (local.x[p] * scale).toFixed(1), cy: ((height - y) * scale).toFixed(1), r: 1.4 }), svg("path", { class: "field-line", d: `M${text.join("L")}` }));
    drawing.append(head(points));
  });
  place.replaceChildren(drawing);
  document.getElementById("field-words").textContent = `local motion, enlarged ${number(gain, 0)}×; at most ${number(most, 1)} px`;
}

// What all patches have in common is the drift, which is drawn beside.
function aboutTheMean(local) {
  const less = (ways) => {
    const mean = ways[0].map((_, t) => ways.reduce((sum, way) => sum + way[t], 0) / ways.length);
    return ways.map((way) => way.map((value, t) => value - mean[t]));
  };
  return { ...local, dy_px: less(local.dy_px), dx_px: less(local.dx_px) };
}

function head(points) {
  const [x, y] = points[points.length - 1];
  const [fromX, fromY] = points[Math.max(0, points.length - 1 - Math.ceil(points.length / 5))];
  const turn = (Math.atan2(y - fromY, x - fromX) * 180) / Math.PI;
  return svg("path", { class: "field-head", d: "M3.500 0L-2.500 2.600L-2.500 -2.600Z", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${turn.toFixed(0)})` });
}
