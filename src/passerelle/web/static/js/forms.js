// Forms: words of an error beside their button, passwords shown on demand.

export function tell(form, words) {
  const place = form.querySelector?.(".form-error");
  if (!place) return false;
  place.textContent = words;
  place.hidden = false;
  return true;
}

// What came of a form that was right: secrets are copied by a button, fields are emptied for the next.
export function copied() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const field = document.getElementById(button.dataset.copy);
    const text = field.value ?? field.textContent;
    try {
      await navigator.clipboard.writeText(text); // browsers allow it by TLS and on localhost only
    } catch {
      if (field.select) field.select();
      else getSelection().selectAllChildren(field);
      document.execCommand("copy");
    }
    const words = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = words; }, 2000);
  });
  document.body.addEventListener("htmx:afterRequest", ({ detail: { elt, successful } }) => {
    if (!successful || elt.tagName !== "FORM") return;
    if (elt.hasAttribute("data-empties") || elt.querySelector("input[type=password]")) elt.reset();
  });
}

export function reveal(root) {
  for (const button of root.querySelectorAll("[data-reveal]")) {
    const input = document.getElementById(button.dataset.reveal);
    button.addEventListener("click", () => {
      const shown = input.type === "password";
      input.type = shown ? "text" : "password";
      button.textContent = shown ? "Hide" : "Show";
      button.setAttribute("aria-pressed", String(shown));
      input.focus();
    });
    // shown words are not kept by browsers as a password
    input.form.addEventListener("submit", () => { if (input.type === "text") button.click(); });
  }
  for (const form of root.querySelectorAll("form")) {
    form.addEventListener("htmx:beforeRequest", () => {
      const place = form.querySelector(".form-error");
      if (place) place.hidden = true;
    });
  }
}
