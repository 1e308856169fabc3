// Copies a text; without permission for the clipboard it selects the text instead.
export function mount(button) {
  button.hidden = false;
  const act = async event => {
    event.preventDefault();
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.dataset.done = "";
      setTimeout(() => delete button.dataset.done, 1200);
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
    }
  };
  button.addEventListener("click", act);
  return () => button.removeEventListener("click", act);
}
