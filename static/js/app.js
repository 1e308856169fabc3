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
  unmount(held => element === held || element.contains(held));
}

function unmount(isGone) {
  for (const [held, end] of mounted) {
    if (!isGone(held)) continue;
    end();
    mounted.delete(held);
  }
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
  if (event.detail.elt.matches("[data-live]")) return;
  say("The server cannot be reached. Whether it was done is not known: look before you try again.");
});
document.addEventListener("acted", event => {
  const isAnyway = event.target.closest("#note"); // the form that was refused is still filled in
  const forms = isAnyway ? document.querySelectorAll("#actions form") : [event.target.closest("form")];
  for (const form of forms) {
    form?.reset();
    form?.closest("dialog")?.close();
    form?.closest("details.fold")?.removeAttribute("open");
  }
});
document.addEventListener("toggle", event => { // what is typed into a fold that is closed again is forgotten
  if (!event.target.matches("details.fold:not([open])")) return;
  for (const form of event.target.querySelectorAll("form")) form.reset();
}, true);
document.addEventListener("refused", event => event.target.closest("dialog")?.close());
document.addEventListener("click", event => {                          // a menu closes when somebody clicks elsewhere
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

function say(text) {
  const box = document.getElementById("note-template").content.firstElementChild.cloneNode(true);
  box.querySelector("p").textContent = text;
  document.getElementById("note").replaceChildren(box);
  mountAll(box);
}

teachMorphing();
mountAll(document);
document.addEventListener("htmx:load", event => {
  unmount(held => !held.isConnected); // morphing removes without telling
  mountAll(event.detail.elt);
  for (const peek of event.detail.elt.querySelectorAll("details.peek[open]"))   // opened before anybody listened
    if (!peek.querySelector(".members")) peek.dispatchEvent(new Event("toggle"));
});
document.addEventListener("htmx:beforeCleanupElement", event => clean(event.detail.elt));
if (document.body.dataset.liveUrl && document.querySelector("[data-live]")) start();
else document.querySelector(".freshness")?.remove(); // nothing here is live
