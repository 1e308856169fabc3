// Opens a dialog in place of a link to the page with the same form. What is typed into it and not sent is forgotten.
export function mount(link) {
  const open = event => {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog?.showModal || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    const end = () => {
      dialog.removeEventListener("click", close);
      for (const form of dialog.querySelectorAll("form")) form.reset();
      link.focus();
    };
    dialog.addEventListener("click", close);
    dialog.addEventListener("close", end, { once: true });
    dialog.showModal();
  };
  const close = event => {
    if (!event.target.closest("[data-close-dialog]")) return;
    event.preventDefault();
    event.currentTarget.close();
  };
  link.addEventListener("click", open);
  return () => link.removeEventListener("click", open);
}
