/** Closes a dialog by a press beside it: its own padding is a part of it, and so is a drag that ends beside it. */

/** @param {HTMLDialogElement} dialog */
export function closeOutside(dialog) {
  const beside = (/** @type {MouseEvent} */ { clientX, clientY }) => {
    const { left, top, right, bottom } = dialog.getBoundingClientRect();
    return clientX < left || clientY < top || clientX > right || clientY > bottom;
  };
  let pressedBeside = false;
  dialog.addEventListener('pointerdown', (event) => { pressedBeside = beside(event); });
  dialog.addEventListener('click', (event) => { if (event.target === dialog && pressedBeside && beside(event)) dialog.close(); });
}
