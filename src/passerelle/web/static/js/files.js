// Pages of zones and files: copying paths, choosing what is downloaded, pictures that cannot be made.
import { icon, toast } from "./dom.js";

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  // where the page came without TLS, browsers have only the old way
  const box = document.createElement("textarea");
  box.value = text;
  box.className = "unseen";
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  if (!done) throw new Error("not copied");
}

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await copy(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  } catch {
    toast("The browser did not let it be copied: select the text instead.", true);
  }
});

function glyph(image) {
  image.replaceWith(icon("file"));
}
for (const image of document.querySelectorAll("img[data-or-glyph]")) {
  if (image.complete && image.naturalWidth === 0 && image.currentSrc) glyph(image);
  else image.addEventListener("error", () => glyph(image));
}

const form = document.getElementById("choose");
if (form) {
  const boxes = [...form.querySelectorAll('input[name="item"]')];
  const all = document.getElementById("choose-all");
  const send = document.getElementById("choose-send");
  const words = send.querySelector("span");
  const update = () => {
    const count = boxes.filter((box) => box.checked).length;
    send.disabled = count === 0;
    words.textContent = count ? `Download ${count} chosen as ZIP` : "Download what is chosen as ZIP";
    all.checked = count === boxes.length && count > 0;
    all.indeterminate = count > 0 && count < boxes.length;
  };
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; update(); });
  for (const box of boxes) box.addEventListener("change", update);
  update();
}
