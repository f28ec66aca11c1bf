// The zoomable micrograph with its scale bar, by OpenSeadragon.
import { el } from "./dom.js";
import { number } from "./format.js";

const BAR_PX = 110;

export function openViewer(place) {
  if (!place) return null;
  const { src, pixel, width } = place.dataset;
  const viewer = window.OpenSeadragon({
    element: place,
    tileSources: { type: "image", url: src, buildPyramid: true },
    drawer: "canvas",
    showNavigationControl: false,
    animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.4,
    maxZoomPixelRatio: 6,
    visibilityRatio: 0.6,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  });
  viewer.addHandler("canvas-key", (event) => { event.preventDefaultAction = true; }); // arrows walk through the movies
  viewer.addHandler("open-failed", () => { place.dataset.failed = "yes"; });
  viewer.addHandler("open", () => { place.dataset.open = "yes"; });
  const zoom = (by) => { viewer.viewport.zoomBy(by); viewer.viewport.applyConstraints(); };
  const home = () => viewer.viewport.goHome();
  document.getElementById("zoom-in").addEventListener("click", () => zoom(1.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  document.getElementById("zoom-home").addEventListener("click", home);
  const contrast = document.getElementById("contrast");
  contrast.addEventListener("input", () => { viewer.canvas.style.filter = `contrast(${contrast.value}%)`; });
  scaleBar(viewer, place, Number(pixel), Number(width));
  return { zoom, home };
}

function scaleBar(viewer, place, pixel, width) {
  if (!pixel) return;
  const bar = el("div", { class: "scale-bar", hidden: true });
  place.append(bar);
  const words = document.getElementById("viewer-words");
  const update = () => {
    const item = viewer.world.getItemAt(0);
    if (!item) return;
    const shown = item.getContentSize();
    const angstrom = pixel * ((width || shown.x) / shown.x); // of a pixel of the picture
    const screen = item.viewportToImageZoom(viewer.viewport.getZoom(true)); // screen pixels a pixel of the picture
    const wanted = (BAR_PX * angstrom) / screen;
    const power = 10 ** Math.floor(Math.log10(wanted));
    const length = [5, 2, 1].map((step) => step * power).find((step) => step <= wanted);
    bar.hidden = false;
    bar.style.width = `${(length * screen) / angstrom}px`;
    bar.textContent = length >= 10000 ? `${length / 10000} µm` : length >= 10 ? `${length / 10} nm` : `${length} Å`;
    words.textContent = `${number(width || shown.x, 0)} px · ${number(pixel, 4)} Å/px`;
  };
  for (const name of ["open", "animation", "resize", "zoom"]) viewer.addHandler(name, update);
}
