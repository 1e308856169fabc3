// Hints in, region refreshes out. It holds no data and sends no commands.
import * as pill from "./pill.js";

const FATAL = new Set([4400, 4401, 4403]);
const SLOW = new Set([1008, 1009, 1013, 4429]);
const dirty = new Set(), asked = new Map(), rests = new Map();
let socket = null, opened = 0, tries = 0, refusals = 0, timer = 0, stopped = false, paused = false;
let heard = Date.now(), signed = heard, polled = heard;               // last message, last sign of life, last poll

const regions = () => [...document.querySelectorAll("[data-live]")];
const find = name => document.querySelector(`[data-live="${CSS.escape(name)}"]`);

function connect() {
  if (stopped || socket) return;
  const url = new URL(document.body.dataset.liveUrl, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const ws = socket = new WebSocket(url);
  opened = 0; signed = Date.now();
  ws.onopen = () => {
    opened = signed = Date.now();
    refusals = 0;
    watch();
  };
  ws.onmessage = event => { if (ws === socket) receive(JSON.parse(event.data)); };
  ws.onclose = event => { if (ws === socket) again(event.code); };
}

function again(code) {
  if (!opened && ++refusals >= 2) ask();                               // a refused handshake tells scripts no reason
  if (opened && Date.now() - opened > 10_000) tries = 0;               // it lived; it did not merely open
  socket = null; opened = 0;
  if (FATAL.has(code)) return stop(code);
  if (SLOW.has(code)) console.warn(`live: the server closed with ${code}`);
  const cap = Math.min(30_000, 500 * 2 ** tries++);
  show();
  const rest = code === 1012 ? 5_000 * Math.random() : (SLOW.has(code) ? 30_000 : 250) + cap * Math.random();
  setTimeout(connect, rest);
}

function stop(code) {
  stopped = true;
  const banner = document.getElementById(`banner-${code}`);
  if (banner) banner.hidden = false;
  show();
}

async function ask() {
  try {
    const { status } = await fetch(document.body.dataset.statusUrl, { cache: "no-store" });
    if (status === 401) stop(4401);
    if (status === 403) stop(4403);
  } catch { /* the server is away; the next try will tell */ }
}

function watch() {
  if (socket?.readyState === 1) socket.send(JSON.stringify({ t: "watch", keys: regions().map(el => el.dataset.key) }));
}

function receive(message) {                                            // hello, dirty, beat
  if (message.t === "error") return console.error(`live: ${message.why}`);
  heard = signed = Date.now(); show();
  for (const name of message.regions ?? []) mark(name);
  for (const [name, tag] of Object.entries(message.tags ?? {})) if (find(name)?.dataset.tag !== tag) mark(name);
}

function mark(name) { dirty.add(name); timer ||= setTimeout(flush, 50 + 100 * Math.random()); }

function flush() {
  clearTimeout(timer); timer = 0;
  if (document.hidden) return;                                         // kept; flushed when the tab is seen again
  const now = Date.now();
  for (const name of [...dirty]) {
    const el = find(name);
    if (el && (paused || frozen(el) || now < (rests.get(name) ?? 0))) continue;
    dirty.delete(name);
    if (el) { asked.set(name, now); htmx.trigger(el, "live"); }
  }
  show();
}

// Nothing moves under the cursor: typing, an open dialog, a selection of text, a focused field hold their region.
function frozen(el) {
  if (el.querySelector("dialog[open]")) return true;
  const field = el.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
  if (field) return true;
  const typed = [...el.querySelectorAll("textarea, input:not([type=hidden])")].some(f => f.value !== f.defaultValue);
  const selection = getSelection();
  return typed || (!selection.isCollapsed && el.contains(selection.anchorNode));
}

function show() { pill.show({ stopped, paused, held: dirty.size, isOpen: opened > 0, heard }); }

function drop() {
  const old = socket;
  socket = null;                                                       // so that its end starts nothing
  old?.close(1000);
}

function tick() {
  const now = Date.now();
  if (socket && now - signed > 25_000) { drop(); again(1006); }        // half open
  if (!stopped && now - heard > 15_000 && now - polled > 15_000) { polled = now; regions().forEach(el => mark(el.dataset.live)); }
  if (dirty.size) flush();
  show();
}

function seen() {
  if (document.hidden) return;
  if (!socket) connect();
  else watch();                                                        // hello brings the tags, and only what differs is asked for
  tick();
}

export function start() {
  pill.mount(value => {
    paused = value;
    tick();
  });
  setInterval(tick, 1_000);
  document.addEventListener("visibilitychange", seen);
  document.addEventListener("htmx:configRequest", event => {
    const { elt, headers } = event.detail;
    if (elt.matches("[data-live]")) headers["X-Region-Tag"] = elt.dataset.tag ?? "";
  });
  document.addEventListener("htmx:afterRequest", event => {            // the floor, or four times the answer's duration
    const name = event.detail.elt.dataset?.live;
    if (!name) return;
    const now = Date.now(), took = now - (asked.get(name) ?? now);
    rests.set(name, now + Math.max(Number(event.detail.elt.dataset.floor ?? 250), 4 * took));
    if (event.detail.xhr?.status < 400) polled = now;
  });
  document.addEventListener("htmx:afterSettle", event => {
    if (keys() !== watched) {
      watched = keys();
      watch();
    }
    pill.announce(event.detail.elt);
  });
  document.addEventListener("acted", () => rests.clear());
  document.addEventListener("acted", () => regions().forEach(el => mark(el.dataset.live)));
  document.addEventListener("refused", () => regions().forEach(el => mark(el.dataset.live)));
  addEventListener("pagehide", drop);
  addEventListener("pageshow", event => { if (event.persisted) connect(); });
  connect();
}

const keys = () => regions().map(el => el.dataset.key).join();
let watched = keys();
