// The live regions of the page: which are out of date, when each may be asked for again, what holds it.
const dirty = new Set();
const forced = new Set();
const asked = new Map();
const rests = new Map();
let timer = 0;
let paused = false;
let onChange = () => {};

export const all = () => [...document.querySelectorAll("[data-live]")];
export const find = name => document.querySelector(`[data-live="${CSS.escape(name)}"]`);
export const keys = () => all().map(element => element.dataset.key);
export const held = () => dirty.size;

export function mark(name) {
  dirty.add(name);
  timer ||= setTimeout(flush, 50 + 100 * Math.random());
}

export function markAll() {
  for (const element of all()) mark(element.dataset.live);
}

// What one has just done is shown at once, also while the page is paused.
export function force() {
  rests.clear();
  for (const element of all()) forced.add(element.dataset.live);
  markAll();
}

export function pause(value) {
  paused = value;
  flush();
}

export function flush() {
  clearTimeout(timer);
  timer = 0;
  if (document.hidden) return; // kept; flushed when the tab is seen again
  const now = Date.now();
  for (const name of [...dirty]) {
    const element = find(name);
    if (element && mustWait(element, name, now)) continue;
    dirty.delete(name);
    forced.delete(name);
    if (!element) continue;
    delete element.dataset.held;
    asked.set(name, now);
    htmx.trigger(element, "live");
  }
  onChange();
}

function mustWait(element, name, now) {
  const isHeld = isFrozen(element);
  if (isHeld) element.dataset.held = "";
  return isHeld || (paused && !forced.has(name)) || now < (rests.get(name) ?? 0);
}

// Nothing moves under the cursor: typing, an open dialog, a selection of text, a focused field hold their region.
// What was left in a closed dialog or fold holds nothing: nobody sees it.
function isFrozen(element) {
  if (element.querySelector("dialog[open]")) return true;
  const active = document.activeElement;
  if (element.contains(active) && active.matches("input, textarea, select")) return true;
  const selection = getSelection();
  return hasTyping(element) || (!selection.isCollapsed && element.contains(selection.anchorNode));
}

function hasTyping(element) {
  const fields = [...element.querySelectorAll("textarea, input:not([type=hidden])")];
  return fields.some(field => field.value !== field.defaultValue && !field.closest("dialog, details:not([open])"));
}

function rest(event) {
  const { elt, xhr } = event.detail;
  const name = elt.dataset?.live;
  if (!name) return null;
  const now = Date.now();
  const took = now - (asked.get(name) ?? now);
  rests.set(name, now + Math.max(Number(elt.dataset.floor ?? 250), 4 * took)); // or four times the answer's duration
  return xhr?.status < 400 ? now : null;
}

export function mount(changed, answered) {
  onChange = changed;
  document.addEventListener("htmx:configRequest", event => {
    const { elt, headers } = event.detail;
    if (elt.matches("[data-live]")) headers["X-Region-Tag"] = elt.dataset.tag ?? "";
  });
  document.addEventListener("htmx:afterRequest", event => {
    const at = rest(event);
    if (at) answered(at);
  });
  document.addEventListener("acted", force);
  document.addEventListener("refused", markAll);
}
