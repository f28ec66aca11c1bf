// The form that sends a dataset: which squares are shown, what cannot go together, and the search among datasets.
const form = document.getElementById("send");
const squares = document.getElementById("squares");

function settle() {
  const selection = form.elements.selection.value;
  if (squares) squares.hidden = selection !== "squares";
  const follow = form.elements.follow;
  if (!follow) return;
  follow.disabled = selection !== "whole";
  if (follow.disabled) follow.checked = false;
}
form?.addEventListener("change", settle);
if (form) settle();

const filter = document.getElementById("filter");
const choices = [...document.querySelectorAll("#choices > li")];
filter?.addEventListener("input", () => {
  const wanted = filter.value.trim().toLowerCase();
  for (const choice of choices) choice.hidden = !choice.dataset.words.includes(wanted);
  const none = document.getElementById("none-left");
  if (none) none.hidden = choices.some((choice) => !choice.hidden);
});
