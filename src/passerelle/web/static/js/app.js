// What every page does: theme, keys, ages that count, the stream, answers to buttons.
import { duration, moment } from "./format.js";
import { toast, typing, wordsOf } from "./dom.js";
import { copied, reveal, tell } from "./forms.js";
import { connect } from "./live.js";

const help = document.getElementById("help");
document.getElementById("theme").addEventListener("click", () => window.passerelleTheme());
document.getElementById("help-open").addEventListener("click", () => help.showModal());

const person = document.getElementById("person");
addEventListener("pointerdown", (event) => { if (person?.open && !person.contains(event.target)) person.open = false; });

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && person?.open) { person.open = false; person.firstElementChild.focus(); }
  if (typing(event)) return;
  if (event.key === "?") help.showModal();
  else if (event.key === "t") window.passerelleTheme();
  else if (event.key === "g") location.assign("/");
});

function ages() {
  const now = Date.now() / 1000;
  for (const node of document.querySelectorAll("[data-since]")) node.textContent = duration(now - Number(node.dataset.since));
}

function times(root) {
  for (const node of root.querySelectorAll("time[data-at]")) {
    node.title ||= node.textContent;
    node.textContent = moment(Number(node.dataset.at));
  }
}

ages();
times(document);
setInterval(ages, 1000);

const body = document.body;
body.addEventListener("htmx:afterSettle", (event) => { ages(); times(event.target); });

// a button's or a form's answer: told to the page, or in words
body.addEventListener("htmx:afterRequest", (event) => {
  const { elt, successful } = event.detail;
  if (!successful) return;
  if (elt.dataset.said) toast(elt.dataset.said);
  if (elt.dataset.then === "reload") location.reload();
  else if (elt.dataset.then) body.dispatchEvent(new CustomEvent(elt.dataset.then, { detail: { movies: new Set(), kinds: new Set(), all: false } }));
});
body.addEventListener("htmx:responseError", (event) => {
  const { xhr, requestConfig, elt } = event.detail;
  if (xhr.getResponseHeader("HX-Redirect")) return; // the page goes elsewhere
  if (tell(elt, wordsOf(xhr.responseText, xhr.status))) return;
  if (requestConfig.verb !== "get") toast(wordsOf(xhr.responseText, xhr.status), true);
});
body.addEventListener("htmx:sendError", (event) => {
  if (event.detail.requestConfig.verb !== "get") toast("The service does not answer; nothing was changed.", true);
});

for (const input of document.querySelectorAll("form.recipe input:not([type=hidden]), form.recipe select")) {
  const was = input.form.elements[`was:${input.name}`];
  input.addEventListener("input", () => input.classList.toggle("changed", input.value !== was.value));
}

reveal(document);
copied();

const label = document.getElementById("live");
if (label) connect(label);
