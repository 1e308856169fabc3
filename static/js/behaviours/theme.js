// Switches between light and dark, and remembers it on this device.
export function mount(button) {
  button.hidden = false;
  const act = () => {
    const next = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
    document.documentElement.dataset.bsTheme = next;
    try { localStorage.setItem("durable-theme", next); } catch { /* for this page only */ }
  };
  button.addEventListener("click", act);
  return () => button.removeEventListener("click", act);
}
