// Mounts behaviours on what the page shows, teaches morphing what to leave alone, and says what went wrong.
import { start } from "./live.js";
import * as copy from "./behaviours/copy.js";
import * as dialog from "./behaviours/dialog.js";
import * as moment from "./behaviours/moment.js";
import * as note from "./behaviours/note.js";
import * as theme from "./behaviours/theme.js";

const BEHAVIOURS = { copy, dialog, moment, note, theme };
const mounted = new Map();

function mountAll(root) {
  const found = [...root.querySelectorAll("[data-behaviour]")];
  if (root.matches?.("[data-behaviour]")) found.unshift(root);
  for (const element of found) {
    const behaviour = BEHAVIOURS[element.dataset.behaviour];
    if (!behaviour || mounted.has(element)) continue;
    mounted.set(element, behaviour.mount(element) ?? (() => {}));
  }
}

function clean(element) {
  for (const [held, end] of mounted) if (element === held || element.contains(held)) { end(); mounted.delete(held); }
}

// --- morphing: what belongs to the person stays ------------------------------------------------------------------
function teachMorphing() {
  if (!window.Idiomorph) return;
  Object.assign(Idiomorph.defaults, { ignoreActiveValue: true });
  Object.assign(Idiomorph.defaults.callbacks, {
    beforeAttributeUpdated: (name, element) =>
      !(name === "open" && element.matches("[data-keep]")) && !(name === "hidden" && element.matches("[data-behaviour], [data-close]")),
    beforeNodeMorphed: (old, fresh) => old.id !== fresh.id || !(isLoadedChunk(old, fresh) || isOpenedPeek(old)),
    afterNodeMorphed: (old, fresh) => { if (old.nodeType === 1 && old.matches("[data-behaviour=moment]")) moment.refresh(old); },
  });
}
// a full chunk never changes (its id holds the execution)
const isLoadedChunk = (node, fresh) =>
  node.nodeType === 1 && node.matches("tbody.chunk[data-full]") && fresh.classList.contains("spacer");
const isOpenedPeek = node => node.nodeType === 1 && node.matches("details.peek[open]");

// --- answers ------------------------------------------------------------------------------------------------------
document.addEventListener("htmx:beforeSwap", event => {
  const { xhr, elt } = event.detail;
  const isPage = /^\s*<!doctype/i.test(xhr.responseText ?? "");
  if (xhr.status >= 400 && (isPage || elt.matches?.("[data-live]"))) event.detail.shouldSwap = false;
  if (xhr.status >= 400 && isPage) say(xhr.status === 403 ? "Not permitted, or this page is too old: reload it." : "That is not there any more.");
});
document.addEventListener("htmx:responseError", event => {
  if (event.detail.xhr.status === 401) document.getElementById("banner-4401").hidden = false;
  else say(`The server answered ${event.detail.xhr.status}. Nothing was changed; try again.`);
});
document.addEventListener("htmx:sendError", event => {
  if (!event.detail.elt.matches("[data-live]")) say("The server cannot be reached. Nothing was changed; try again.");
});
document.addEventListener("acted", event => {
  const form = event.target.closest("form");
  form?.reset();
  form?.closest("dialog")?.close();
  form?.closest("details.fold")?.removeAttribute("open");
});
document.addEventListener("refused", event => event.target.closest("dialog")?.close());
document.addEventListener("click", event => {                          // a menu closes when somebody clicks elsewhere
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});

function say(text) {
  const box = document.createElement("div");
  box.className = "note note-bad";
  box.setAttribute("role", "alert");
  box.textContent = text;
  document.getElementById("note").replaceChildren(box);
}

teachMorphing();
mountAll(document);
document.addEventListener("htmx:load", event => {
  for (const [held, end] of mounted) if (!held.isConnected) { end(); mounted.delete(held); }   // morphing removes without telling
  mountAll(event.detail.elt);
  for (const peek of event.detail.elt.querySelectorAll("details.peek[open]"))   // opened before anybody listened
    if (!peek.querySelector(".members")) peek.dispatchEvent(new Event("toggle"));
});
document.addEventListener("htmx:beforeCleanupElement", event => clean(event.detail.elt));
if (document.body.dataset.liveUrl) start();
