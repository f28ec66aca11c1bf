// Forms: words of an error beside their button, passwords shown on demand.

export function tell(form, words) {
  const place = form.querySelector?.(".form-error");
  if (!place) return false;
  place.textContent = words;
  place.hidden = false;
  return true;
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
