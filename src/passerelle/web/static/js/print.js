// The certificate: printed by its own button.
document.getElementById("print").addEventListener("click", () => print());
