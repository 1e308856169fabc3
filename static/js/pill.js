// Says how fresh the page is, and tells it to who cannot see it.
const TEXTS = { live: "Live", reconnecting: "Reconnecting…", offline: "Offline: refreshing every 15 s", stopped: "Stopped", paused: "Paused" };
let queue = new Set(), timer = 0, last = new Map();

export function mount(onPause) {
  const button = document.querySelector("[data-behaviour=pause]");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const paused = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", paused);
    button.querySelector("[data-label]").textContent = paused ? "Resume live" : "Pause live";
    onPause(paused);
  });
}

export function show({ stopped, paused, held, isOpen, heard }) {
  const pill = document.getElementById("pill");
  if (!pill) return;
  const age = Date.now() - heard;
  const state = stopped ? "stopped" : paused ? "paused" : isOpen && age < 25_000 ? "live" : age > 20_000 ? "offline" : "reconnecting";
  let text = TEXTS[state];
  if (state === "paused" && held) text = `Paused (${held} ${held === 1 ? "change" : "changes"})`;
  if (state === "reconnecting" && age > 3_000) text += ` data from ${new Date(heard).toLocaleTimeString()}`;
  if (pill.dataset.state !== state) pill.dataset.state = state;
  const label = pill.querySelector("[data-pill-text]");
  if (label.textContent !== text) label.textContent = text;
}

// One polite message for a batch, never one per row.
export function announce(element) {
  const region = element?.closest?.("[data-announce]");
  if (!region || last.get(region.id) === region.dataset.announce) return;
  const isFirst = !last.has(region.id);
  last.set(region.id, region.dataset.announce);
  if (isFirst && region.id !== "newer") return;
  queue.add(region.dataset.announce);
  timer ||= setTimeout(() => {
    const box = document.getElementById("announcer");
    box.textContent = "";
    box.textContent = [...queue].filter(Boolean).join(", ");
    queue = new Set(); timer = 0;
  }, 250);
}
