// Hints in, region refreshes out. It holds no data and sends no commands.
import * as pill from "./pill.js";
import * as regions from "./regions.js";

const FATAL = new Set([4400, 4401, 4403]);
const SLOW = new Set([1008, 1009, 1013, 4429]);
const SILENCE = 25_000;
const POLL = 15_000;

let socket = null;
let opened = 0;
let tries = 0;
let refusals = 0;
let retry = 0;
let stopped = false;
let paused = false;
let watched = "";
let heard = Date.now(); // last message
let signed = heard; // last sign of life
let polled = heard; // last answer to a poll

function connect() {
  clearTimeout(retry);
  if (stopped || socket) return;
  const url = new URL(document.body.dataset.liveUrl, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const ws = new WebSocket(url);
  socket = ws;
  opened = 0;
  signed = Date.now();
  ws.onopen = () => {
    opened = Date.now();
    signed = opened;
    refusals = 0;
    watch();
  };
  ws.onmessage = event => { if (ws === socket) receive(JSON.parse(event.data)); };
  ws.onclose = event => { if (ws === socket) again(event.code); };
}

function again(code) {
  if (!opened && ++refusals >= 2) ask(); // a refused handshake tells scripts no reason
  if (opened && Date.now() - opened > 10_000) tries = 0; // it lived; it did not merely open
  socket = null;
  opened = 0;
  if (FATAL.has(code)) return stop(code);
  if (SLOW.has(code)) console.warn(`live: the server closed with ${code}`);
  show();
  retry = setTimeout(connect, pauseAfter(code));
}

function pauseAfter(code) {
  const cap = Math.min(10_000, 500 * 2 ** tries++);
  if (code === 1012) return 5_000 * Math.random();
  return (SLOW.has(code) ? 30_000 : 250) + cap * Math.random();
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
  watched = regions.keys().join();
  if (socket?.readyState === 1) socket.send(JSON.stringify({ t: "watch", keys: regions.keys() }));
}

// hello, dirty, beat
function receive(message) {
  if (message.t === "error") return console.error(`live: ${message.why}`);
  heard = Date.now();
  signed = heard;
  for (const name of message.regions ?? []) regions.mark(name);
  for (const [name, tag] of Object.entries(message.tags ?? {})) {
    if (regions.find(name)?.dataset.tag !== tag) regions.mark(name);
  }
  show();
}

function show() {
  pill.show({ stopped, paused, held: regions.held(), isOpen: opened > 0, heard });
}

function tick() {
  const now = Date.now();
  if (socket && now - signed > SILENCE) cut(); // half open
  if (!stopped && now - heard > POLL && now - polled > POLL) {
    polled = now;
    regions.markAll();
  }
  if (regions.held()) regions.flush();
  show();
}

function cut() {
  const old = socket;
  again(1006);
  old.onclose = null;
  old.close();
}

function comeBack() {
  if (document.hidden) return;
  if (!socket) connect();
  else watch(); // hello brings the tags, and only what differs is asked for
  tick();
}

function leave() {
  const old = socket;
  socket = null;
  old?.close(1000);
}

export function start() {
  pill.mount(value => {
    paused = value;
    regions.pause(value);
    tick();
  });
  regions.mount(show, at => { polled = at; });
  setInterval(tick, 1_000);
  document.addEventListener("visibilitychange", comeBack);
  document.addEventListener("htmx:afterSettle", event => {
    if (regions.keys().join() !== watched) watch();
    pill.announce(event.detail.elt);
  });
  addEventListener("online", comeBack);
  addEventListener("pagehide", leave);
  addEventListener("pageshow", event => { if (event.persisted) connect(); });
  connect();
}
