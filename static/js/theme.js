// Sets the theme before anything is painted, so that nothing flashes. Blocking and small on purpose.
(function () {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function apply() {
    let choice = "system";
    try { choice = localStorage.getItem("durable-theme") || "system"; } catch { /* no storage: follow the system */ }
    root.dataset.themeChoice = choice;
    root.dataset.bsTheme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
  }
  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);
})();
