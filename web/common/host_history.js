// ComfyUI's own undo, which knows every change of the workflow. We have no other: the buttons do what Ctrl+Z and
// Ctrl+Y do.

import { app } from "../../../scripts/app.js";

/** Of the workflow that is open; there is one for as long as it is. */
export function changeTracker() {
  return /** @type {any} */ (app).extensionManager?.workflow?.activeWorkflow?.changeTracker;
}

/** @typedef {typeof hostHistory} History */

export const hostHistory = {
  get canUndo() {
    return changeTracker()?.undoQueue?.length > 0;
  },
  get canRedo() {
    return changeTracker()?.redoQueue?.length > 0;
  },
  /** What has changed until now is one step. */
  mark() {
    const { canvas } = /** @type {any} */ (app);
    canvas.emitBeforeChange(); // at once, because while there is one without the other ComfyUI's undo records nothing
    canvas.emitAfterChange();
  },
  async undo() {
    await changeTracker()?.undo();
  },
  async redo() {
    await changeTracker()?.redo();
  },
};
