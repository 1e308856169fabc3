// Opens a dialog in place of a link to the page with the same form.
export function mount(link) {
  const open = event => {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog?.showModal || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    dialog.showModal();
    dialog.addEventListener("click", close);
    dialog.addEventListener("close", () => {
      dialog.removeEventListener("click", close);
      link.focus();
    }, { once: true });
  };
  const close = event => {
    if (!event.target.closest("[data-close-dialog]")) return;
    event.preventDefault();
    event.currentTarget.close();
  };
  link.addEventListener("click", open);
  return () => link.removeEventListener("click", open);
}
