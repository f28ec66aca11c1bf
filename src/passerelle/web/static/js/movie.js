// The movie's page: picture, spectrum with its fit, motion; keys to walk and to judge.
import { getJson, toast, typing } from "./dom.js";
import { drawCtf } from "./ctf_plots.js";
import { drawMotion } from "./motion_plots.js";
import { openViewer } from "./viewer.js";

const id = document.body.dataset.movie;
const viewer = openViewer(document.getElementById("viewer"));
const press = (name) => document.getElementById(name)?.click();
const KEYS = {
  ArrowLeft: () => press("previous"), k: () => press("previous"), ArrowRight: () => press("next"), j: () => press("next"),
  a: () => press("accept"), r: () => press("reject"), u: () => press("undo"),
  s: () => document.querySelector(".crumbs a").click(),
  "+": () => viewer?.zoom(1.5), "=": () => viewer?.zoom(1.5), "-": () => viewer?.zoom(1 / 1.5), 0: () => viewer?.home(),
};

addEventListener("keydown", (event) => {
  if (typing(event) || event.target.closest?.('[role="slider"]') || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});

// a movie that was not done and now is: show it; one that was done again: say so
const line = () => document.querySelector("#verdict .verdict-line").dataset;
const first = { ...line() };
document.body.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id !== "verdict" || line().finished === first.finished) return;
  if (first.state !== "done") location.reload();
  else toast("This movie was processed again: reload the page to see it.");
  first.finished = line().finished;
});

try {
  const movie = await getJson(`/api/movies/${id}`);
  drawCtf(movie);
  drawMotion(movie);
} catch (error) {
  toast(error.message, true);
}
document.body.dataset.ready = "yes";
