// The session's page: plots with limits that re-filter at once, scatter, table; kept live by the stream of changes.
import { el, getJson, icon, post, toast, typing } from "./dom.js";
import { metricText, number } from "./format.js";
import { Cloud, ticksWith } from "./cloud.js";
import { MetricPlot } from "./metric_plot.js";
import { MovieTable } from "./movie_table.js";
import { Movies, counts, stigmator, sturdyRange } from "./movies.js";

const FIRST = ["ctf_resolution_angstrom", "defocus_angstrom", "total_motion_angstrom", "astigmatism_angstrom", "ice_ring_score", "contamination_percent"];
// For the scatter alone: the two parts of the astigmatism.
const STIGMATOR = ["x", "y"].map((part) => ({ name: `stigmator_${part}`, part, label: `Astigmatism, ${part === "x" ? "0°/90°" : "45°/135°"} part`, scale: 1, digits: 0, shown_unit: "Å" }));
const MOST_IDS = 300;
const session = document.body.dataset.session;
const $ = (id) => document.getElementById(id);

const movies = new Movies();
const plots = new Map();
let metrics = [];
let table = null;
let saved = {};
let limits = {};
let tried = false; // limits differ from the saved ones
let marks = [];
let byTime = false;
let showAll = false;
let zoom = null;
let scatter = null;

const same = (a, b) => JSON.stringify(clean(a)) === JSON.stringify(clean(b));

function clean(all) {
  const out = {};
  for (const name of Object.keys(all).sort()) {
    const set = Object.entries(all[name]).filter(([, value]) => value !== null && value !== undefined).sort();
    if (set.length) out[name] = Object.fromEntries(set);
  }
  return out;
}

function open(i, event) {
  const address = `/movies/${movies.columns.id[i]}`;
  if (event?.ctrlKey || event?.metaKey) window.open(address, "_blank", "noopener");
  else location.assign(address);
}

// Where each movie stands on the horizontal axis, and the order from left to right.
function order() {
  const { found_at: found, acquired_at: acquired } = movies.columns;
  const index = movies.columns.id.map((_, i) => i);
  const x = byTime ? index.map((i) => acquired[i] ?? found[i]) : index.map((i) => i + 1);
  if (byTime) index.sort((a, b) => x[a] - x[b]);
  const low = index.length ? x[index[0]] : 0;
  const high = index.length ? x[index[index.length - 1]] : 1;
  const margin = 0.015 * (high - low || 1);
  return { index, x, range: [low - margin, high + margin] };
}

function wantedMetrics() {
  const present = metrics.filter((metric) => movies.metrics[metric.name]?.some((value) => value !== null));
  const first = FIRST.map((name) => present.find((metric) => metric.name === name)).filter(Boolean);
  return { present, shown: showAll ? [...first, ...present.filter((metric) => !first.includes(metric))] : first.length ? first : present };
}

function redraw() {
  marks = movies.marks(tried ? limits : null);
  const { present, shown } = wantedMetrics();
  $("plots-empty").hidden = present.length > 0;
  $("scatter-panel").hidden = present.length < 2;
  $("below").classList.toggle("single", present.length < 2);
  $("more-plots").hidden = present.length <= FIRST.length;
  const places = order();
  for (const metric of shown) {
    if (!plots.has(metric.name)) {
      const plot = new MetricPlot(metric, movies, { open, zoomed, changed });
      plots.set(metric.name, plot);
      $("plots").append(plot.card);
      plot.start(byTime);
      plot.cloud.zoom = zoom;
    }
    plots.get(metric.name).update(marks, limits[metric.name], places);
  }
  for (const [name, plot] of plots) plot.card.hidden = !shown.some((metric) => metric.name === name);
  drawScatter(present);
  table.update(marks, limits);
  showStrip();
  showBar();
}

function zoomed(range) {
  zoom = range;
  for (const plot of plots.values()) plot.cloud.setZoom(range);
}

// A limit moves: its own plot and the counts follow at once, the others as the time between two frames allows.
let frame = 0;
let rest = [];
let resting = 0;
function redrawRest() {
  const until = performance.now() + 12;
  while (rest.length && performance.now() < until) rest.shift()();
  resting = rest.length ? requestAnimationFrame(redrawRest) : 0;
}

function changed(name, limit, final) {
  limits = { ...limits, [name]: limit };
  tried = !same(limits, saved);
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    marks = movies.marks(tried ? limits : null);
    plots.get(name).retint(marks);
    showBar();
    rest = [...plots].filter(([other, plot]) => other !== name && !plot.card.hidden).map(([, plot]) => () => plot.retint(marks));
    rest.push(() => scatter?.setMarks(scatter.at.map((i) => marks[i])));
    if (final) rest.push(() => table.update(marks, limits), showStrip);
    resting ||= requestAnimationFrame(redrawRest);
  });
}

function showBar() {
  $("limits-bar").hidden = !tried;
  remember();
  if (!tried) return;
  const before = movies.marks();
  const moved = marks.filter((mark, i) => mark !== before[i]).length;
  const now = counts(marks);
  $("limits-words").replaceChildren(el("strong", {}, moved === 1 ? "1 micrograph changes." : `${number(moved, 0)} micrographs change.`), " With these limits:",
    ...["accept", "warn", "reject"].map((mark) => el("span", { class: `mark mark-${mark}`, "data-count": mark }, icon(mark), el("b", {}, number(now[mark], 0)))));
}

function showStrip() {
  for (const thumb of document.querySelectorAll(".thumb[data-movie]")) {
    const i = movies.place.get(Number(thumb.dataset.movie));
    const mark = i === undefined ? null : marks[i];
    const place = thumb.querySelector(".thumb-mark .mark");
    if (!mark || !place || !["accept", "warn", "reject"].includes(mark)) continue;
    place.className = `mark mark-${mark}`;
    place.querySelector("use").setAttribute("href", `#i-${mark}`);
  }
}

function drawScatter(present) {
  const [selectX, selectY] = [$("scatter-x"), $("scatter-y")];
  const { astigmatism_angstrom: sizes, astigmatism_angle_deg: angles } = movies.metrics;
  const directed = sizes && angles;
  if (directed) for (const { name, part } of STIGMATOR) movies.metrics[name] = stigmator(sizes, angles, part);
  $("scatter-stigmator").hidden = !directed;
  const choices = directed ? [...present, ...STIGMATOR] : present;
  if (selectX.options.length !== choices.length) {
    for (const [select, wish] of [[selectX, "defocus_angstrom"], [selectY, "ctf_resolution_angstrom"]]) {
      const chosen = select.value || wish;
      select.replaceChildren(...choices.map((metric) => el("option", { value: metric.name, selected: metric.name === chosen }, metric.label)));
    }
  }
  const x = choices.find((metric) => metric.name === selectX.value);
  const y = choices.find((metric) => metric.name === selectY.value);
  if (!x || !y) return;
  if (!scatter || scatter.pair !== `${x.name} ${y.name}`) {
    scatter?.destroy();
    $("scatter").replaceChildren();
    scatter = new Cloud($("scatter"), {
      right: 16,
      words: (i) => `${metricText(x, movies.metrics[x.name][scatter.at[i]])}, ${metricText(y, movies.metrics[y.name][scatter.at[i]])} · ${movies.columns.name[scatter.at[i]]}`,
      open: (i, event) => open(scatter.at[i], event),
      xTicks: ticksWith(x.shown_unit), yTicks: ticksWith(y.shown_unit),
    });
    scatter.pair = `${x.name} ${y.name}`;
  }
  const [xs, ys] = [movies.metrics[x.name], movies.metrics[y.name]];
  scatter.at = xs.map((_, i) => i).filter((i) => xs[i] !== null && ys[i] !== null).sort((a, b) => xs[a] - xs[b]);
  const xValues = scatter.at.map((i) => xs[i] * x.scale);
  const yValues = scatter.at.map((i) => ys[i] * y.scale);
  const both = STIGMATOR.includes(x) && STIGMATOR.includes(y);
  const reach = both ? 1.1 * Math.max(1, ...sturdyRange([...xValues, ...yValues]).map(Math.abs)) : 0; // nothing in the middle
  const range = (values) => (both ? [-reach, reach] : sturdyRange(values));
  scatter.set(xValues, yValues, scatter.at.map((i) => marks[i]), range(xValues), range(yValues));
}

async function loadLimits() {
  const view = await getJson(`/api/sessions/${session}`);
  const untouched = !tried;
  saved = view.thresholds;
  if (untouched) limits = recalled() ?? structuredClone(saved);
  tried = !same(limits, saved);
}

// Limits that are only tried outlive a look at a micrograph, but not a change of the saved ones by somebody else.
const MEMORY = `passerelle-limits-${session}`;
function remember() {
  try {
    if (tried) sessionStorage.setItem(MEMORY, JSON.stringify({ saved: clean(saved), limits: clean(limits) }));
    else sessionStorage.removeItem(MEMORY);
  } catch { /* a browser that keeps nothing */ }
}

function recalled() {
  try {
    const memory = JSON.parse(sessionStorage.getItem(MEMORY));
    return memory && same(memory.saved, saved) ? memory.limits : null;
  } catch {
    return null;
  }
}

async function loadAll() {
  const [sent] = await Promise.all([getJson(`/api/sessions/${session}/movies`), loadLimits()]);
  movies.replace(sent);
  redraw();
}

async function refresh({ movies: ids, kinds, all }) {
  const wide = all || ids.size > MOST_IDS || [...kinds].some((kind) => /threshold|judged|session|again/.test(kind));
  try {
    if (wide) await loadAll();
    else if (ids.size) {
      movies.merge(await getJson(`/api/sessions/${session}/movies?ids=${[...ids].join(",")}`));
      redraw();
    }
  } catch (error) {
    toast(error.message, true);
  }
}

function listen() {
  document.body.addEventListener("passerelle:change", (event) => refresh(event.detail));
  document.body.addEventListener("htmx:afterSettle", (event) => { if (event.target.id === "strip") showStrip(); });
  for (const button of document.querySelectorAll("[data-axis]")) {
    button.addEventListener("click", () => {
      byTime = button.dataset.axis === "time";
      zoom = null;
      for (const other of document.querySelectorAll("[data-axis]")) other.setAttribute("aria-pressed", String(other === button));
      for (const plot of plots.values()) plot.start(byTime);
      redraw();
    });
  }
  $("more-plots").addEventListener("click", () => {
    showAll = !showAll;
    $("more-plots").setAttribute("aria-expanded", String(showAll));
    $("more-plots").textContent = showAll ? "Fewer metrics" : "All metrics";
    redraw();
  });
  for (const id of ["scatter-x", "scatter-y"]) $(id).addEventListener("change", () => drawScatter(wantedMetrics().present));
  $("scatter-stigmator").addEventListener("click", () => {
    [$("scatter-x").value, $("scatter-y").value] = STIGMATOR.map((metric) => metric.name);
    drawScatter(wantedMetrics().present);
  });
  $("limits-undo").addEventListener("click", () => {
    limits = structuredClone(saved);
    tried = false;
    redraw();
  });
  $("limits-save").addEventListener("click", async () => {
    $("limits-save").disabled = true;
    try {
      const sent = clean(limits);
      await post(`/api/sessions/${session}/thresholds`, { thresholds: sent });
      saved = structuredClone(limits);
      tried = false;
      await loadAll();
      toast("Limits saved; the micrographs were judged anew.");
    } catch (error) {
      toast(error.message, true);
    } finally {
      $("limits-save").disabled = false;
    }
  });
  addEventListener("keydown", (event) => {
    if (typing(event)) return;
    if (event.key === "/") {
      event.preventDefault();
      $("table-search").focus();
    } else if (event.key === "m") document.querySelector("#strip a")?.click();
  });
}

metrics = await getJson("/api/metrics");
table = new MovieTable(movies, metrics);
listen();
await loadAll().catch((error) => toast(error.message, true));
document.body.dataset.ready = "yes";
