// Says how fresh the page is, and tells it to who cannot see it.
const TEXTS = { live: "Live", reconnecting: "Reconnecting…", offline: "Offline", stopped: "Stopped", paused: "Paused" };
const last = new Map();
let queue = new Set();
let timer = 0;

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

export function show(facts) {
  const pill = document.getElementById("pill");
  if (!pill) return;
  const age = Date.now() - facts.heard;
  const state = stateOf(facts, age);
  if (pill.dataset.state !== state) pill.dataset.state = state;
  const label = pill.querySelector("[data-pill-text]");
  const text = TEXTS[state] + detail(state, facts, age);
  if (label.textContent !== text) label.textContent = text;
}

function stateOf({ stopped, paused, isOpen }, age) {
  if (stopped) return "stopped";
  if (paused) return "paused";
  if (isOpen && age < 25_000) return "live";
  return age > 20_000 ? "offline" : "reconnecting";
}

function detail(state, { held, heard }, age) {
  if (state === "paused" && held) return ` (${held} ${held === 1 ? "change" : "changes"})`;
  const isOld = state === "offline" || (state === "reconnecting" && age > 3_000);
  return isOld ? ` · data from ${new Date(heard).toLocaleTimeString(undefined, { hour12: false })}, trying again` : "";
}

// One polite message for a batch, never one per row.
export function announce(element) {
  const region = element?.closest?.("[data-announce]");
  if (!region || last.get(region.id) === region.dataset.announce) return;
  const isFirst = !last.has(region.id);
  last.set(region.id, region.dataset.announce);
  if (isFirst && region.id !== "newer") return;
  queue.add(region.dataset.announce);
  timer ||= setTimeout(speak, 250);
}

function speak() {
  const box = document.getElementById("announcer");
  box.textContent = "";
  box.textContent = [...queue].filter(Boolean).join(", ");
  queue = new Set();
  timer = 0;
}
