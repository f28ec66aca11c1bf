// The map: squares on the atlas, holes on the chosen square, coloured by the median of a metric.
import { el, getJson, svg, toast } from "./dom.js";
import { metricText, number } from "./format.js";
import { Movies, median } from "./movies.js";

// cividis: even in lightness, and the same to colour-blind eyes
const STOPS = [[0, 34, 78], [60, 77, 110], [124, 123, 120], [188, 175, 111], [254, 232, 56]];
const session = document.body.dataset.session;
const $ = (id) => document.getElementById(id);
const movies = new Movies();
let grid = null;
let metrics = [];
let chosen = null;

function shade(share) {
  const x = Math.min(0.9999, Math.max(0, share)) * (STOPS.length - 1);
  const i = Math.floor(x);
  return `rgb(${STOPS[i].map((c, k) => Math.round(c + (STOPS[i + 1][k] - c) * (x - i))).join(" ")})`;
}

function metric() {
  return metrics.find((one) => one.name === $("colour").value) ?? metrics[0];
}

function valueOf(ids) {
  const column = movies.metrics[metric()?.name] ?? [];
  return median(ids.map((id) => column[movies.place.get(id)] ?? null));
}

const idsOf = (square) => square.holes.flatMap((hole) => hole.movies);

// Colours span what nearly all holes show: a lonely outlier takes the last colour and leaves the others theirs.
function span() {
  const all = grid.squares.flatMap((square) => square.holes.map((hole) => valueOf(hole.movies))).filter((value) => value !== null).sort((a, b) => a - b);
  if (!all.length) return [0, 1];
  const [first, third] = [all[Math.floor(0.25 * (all.length - 1))], all[Math.ceil(0.75 * (all.length - 1))]];
  const reach = 1.5 * (third - first);
  return [Math.max(all[0], first - reach), Math.min(all[all.length - 1], third + reach)];
}

function words(text) { $("map-words").textContent = text; }

function spot(shape, attributes, value, [low, high], label, press) {
  const node = svg(shape, { ...attributes, class: value === null ? "spot spot-none" : "spot", role: "button", tabindex: value === null ? "-1" : "0", "aria-label": label, onclick: press,
    onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); press(); } },
    onmouseenter: () => words(label), onfocus: () => words(label) });
  if (value !== null) {
    node.style.fill = shade((value - low) / (high - low || 1));
    node.style.fillOpacity = 0.82;
  }
  return node;
}

function drawing(width, height, picture) {
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group" });
  if (picture) node.append(svg("image", { href: picture, width, height, preserveAspectRatio: "none" }));
  return node;
}

function say(name, ids) {
  const measured = ids.filter((id) => movies.columns.state[movies.place.get(id)] === "done").length;
  const value = valueOf(ids);
  return `${name}: ${metric().label} ${metricText(metric(), value)}${ids.length > 1 ? " (median)" : ""}, ${number(measured, 0)} of ${number(ids.length, 0)} movies done`;
}

// Places are pixels of the picture; where its size is not told, the places span it.
function frame(width, height, items) {
  const reach = (key, size) => size ?? Math.max(1, ...items.map((item) => item[key] ?? 0)) * 1.08;
  return [reach("x", width), reach("y", height)];
}

// The distance to the nearest neighbour, of most: marks as large as can be without covering each other.
function pitch(items, fallback) {
  const nearest = items.map((one) => Math.min(...items.map((other) => (other === one ? Infinity : Math.hypot(other.x - one.x, other.y - one.y)))));
  const middle = median(nearest.filter((distance) => distance > 0 && Number.isFinite(distance)));
  return middle ? Math.min(middle, 2 * fallback) : fallback;
}

function drawAtlas(range) {
  const placed = grid.squares.filter((square) => square.x !== null && square.y !== null);
  if (!placed.length) {
    $("atlas").replaceChildren(list(grid.squares, range, (square) => `Square ${square.id}`, idsOf, choose));
    return;
  }
  const [width, height] = frame(grid.width_px, grid.height_px, placed);
  const node = drawing(width, height, grid.picture ? `/sessions/${session}/grid/atlas` : null);
  const side = 0.8 * pitch(placed, width * 0.06);
  for (const square of placed) {
    const ids = idsOf(square);
    const mark = spot("rect", { x: square.x - side / 2, y: square.y - side / 2, width: side, height: side, rx: side / 8, "aria-pressed": String(square === chosen), "data-square": square.id },
      valueOf(ids), range, say(`Square ${square.id}`, ids), () => choose(square));
    node.append(mark);
  }
  $("atlas").replaceChildren(node);
}

function drawSquare(range) {
  if (!chosen) {
    $("square").replaceChildren(el("p", { class: "no-places quiet" }, "Choose a square on the atlas."));
    return;
  }
  $("square-title").replaceChildren(`Square ${chosen.id} `, el("span", { class: "quiet" }, `${chosen.holes.length} holes`));
  const placed = chosen.holes.filter((hole) => hole.x !== null && hole.y !== null);
  const go = (hole) => { if (hole.movies.length) location.assign(`/movies/${hole.movies[0]}`); };
  if (!placed.length) {
    $("square").replaceChildren(list(chosen.holes, range, (hole) => `Hole ${hole.id}`, (hole) => hole.movies, go));
    return;
  }
  const [width, height] = frame(chosen.width_px, chosen.height_px, placed);
  const node = drawing(width, height, chosen.picture ? `/sessions/${session}/grid/squares/${encodeURIComponent(chosen.id)}` : null);
  const r = 0.4 * pitch(placed, width * 0.05);
  for (const hole of placed) {
    node.append(spot("circle", { cx: hole.x, cy: hole.y, r, "data-hole": hole.id }, valueOf(hole.movies), range, say(`Hole ${hole.id}`, hole.movies), () => go(hole)));
  }
  $("square").replaceChildren(node);
}

function list(items, [low, high], name, ids, press) {
  return el("div", { class: "no-places" }, ...items.map((item) => {
    const value = valueOf(ids(item));
    const swatch = el("span", { class: "swatch" });
    if (value !== null) swatch.style.background = shade((value - low) / (high - low || 1));
    return el("button", { type: "button", "aria-pressed": String(item === chosen), onclick: () => press(item), onmouseenter: () => words(say(name(item), ids(item))) }, swatch, name(item));
  }));
}

function drawLegend([low, high]) {
  const stops = STOPS.map((_, i) => {
    const stop = svg("stop", { offset: i / (STOPS.length - 1) });
    stop.style.stopColor = shade(i / (STOPS.length - 1));
    return stop;
  });
  const bar = svg("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("defs", {}, svg("linearGradient", { id: "scale" }, ...stops)), svg("rect", { width: 100, height: 6, fill: "url(#scale)" }));
  $("legend").replaceChildren(`${metric().label}: ${metricText(metric(), low)}`, bar, metricText(metric(), high));
}

function choose(square) {
  chosen = square;
  draw();
}

function draw() {
  if (!metric()) {
    words("Colours appear with the first processed movie.");
    return;
  }
  const range = span();
  drawLegend(range);
  drawAtlas(range);
  drawSquare(range);
}

// A change brings its movies; the map itself, which grows slowly, is asked for again at most every ten seconds.
async function refresh({ movies: ids, all }) {
  if (all || ids.size > 300) return load();
  if (ids.size) movies.merge(await getJson(`/api/sessions/${session}/movies?ids=${[...ids].join(",")}`));
  if (ids.size && performance.now() - mapped > 10000) return load();
  return ids.size ? draw() : undefined;
}

let mapped = 0;
async function load() {
  mapped = performance.now();
  const [map, sent, table] = await Promise.all([getJson(`/api/sessions/${session}/grid`), getJson(`/api/sessions/${session}/movies`), getJson("/api/metrics")]);
  grid = map;
  movies.replace(sent);
  metrics = table.filter((one) => movies.metrics[one.name]);
  if ($("colour").options.length !== metrics.length) $("colour").replaceChildren(...metrics.map((one) => el("option", { value: one.name }, one.label)));
  const busiest = [...grid.squares].sort((a, b) => idsOf(b).length - idsOf(a).length)[0];
  chosen = grid.squares.find((square) => square.id === chosen?.id) ?? busiest ?? null;
  draw();
}

if ($("colour")) {
  $("colour").addEventListener("change", draw);
  document.body.addEventListener("passerelle:change", (event) => refresh(event.detail).catch((error) => toast(error.message, true)));
  await load().catch((error) => toast(error.message, true));
}
document.body.dataset.ready = "yes";
