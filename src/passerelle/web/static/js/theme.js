// Runs before the page is drawn, so that a dark page never flashes white.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("passerelle-theme"); } catch { return null; } };
  const apply = () => {
    root.dataset.theme = stored() || (system.matches ? "dark" : "light");
    document.dispatchEvent(new CustomEvent("passerelle:theme"));
  };
  system.addEventListener("change", apply);
  apply();
  window.passerelleTheme = () => {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    try {
      if (next === (system.matches ? "dark" : "light")) localStorage.removeItem("passerelle-theme");
      else localStorage.setItem("passerelle-theme", next);
    } catch { /* a browser that keeps nothing */ }
    root.dataset.theme = next;
    document.dispatchEvent(new CustomEvent("passerelle:theme"));
  };
})();
