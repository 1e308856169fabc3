// A note goes by itself after a while, unless it asks for something; it can always be dismissed.
export function mount(note) {
  const end = event => {
    event?.preventDefault();
    note.remove();
  };
  for (const closer of note.querySelectorAll("[data-close]")) {
    closer.hidden = false;
    closer.addEventListener("click", end);
  }
  if ("stays" in note.dataset) {
    note.focus();
    return undefined;
  }
  const timer = setTimeout(end, 8000);
  return () => clearTimeout(timer);
}
