// What the editor of a node hands to the next one: undo makes a new node in place of the old, with a new editor.

import { nodeKey } from "../common/graph.js";
import { changeTracker } from "./host_history.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */

const MAX_AGE = 10_000; // milliseconds between the end of a node and the beginning of the next
const MAX_FRAMES = 60; // until the page shows it

/** @type {WeakMap<object, Map<string, string>>} texts by node, for as long as their workflow is open */
const openedTexts = new WeakMap();

/** @type {Map<string, { selected: number, focus: string, time: number }>} by node */
const left = new Map();

/**
 * The text that a node had when its workflow was opened, if that has been noted.
 * @param {ComfyNode} node
 * @returns {string | undefined}
 */
export function openedWith(node) {
  return openedTexts.get(changeTracker() ?? {})?.get(nodeKey(node) ?? "");
}

/**
 * @param {ComfyNode} node
 * @param {string} text
 */
export function noteOpened(node, text) {
  const [tracker, key] = [changeTracker(), nodeKey(node)];
  if (!tracker || !key) return;
  if (!openedTexts.has(tracker)) openedTexts.set(tracker, new Map());
  openedTexts.get(tracker)?.set(key, text);
}

/**
 * The node goes.
 * @param {ComfyNode} node
 * @param {import("./editor_view.js").EditorView} view
 */
export function leave(node, view) {
  const key = nodeKey(node);
  if (!key || !view.element.isConnected) return;
  const active = view.element.contains(document.activeElement) ? document.activeElement : null;
  const [step, part] = ["data-step", "data-testid"].map((name) => active?.getAttribute(name));
  const focus = step != null ? "[data-step]" : part ? `[data-testid="${part}"]` : "";
  left.set(key, { selected: view.selected, focus, time: performance.now() });
}

/**
 * The node has come.
 * @param {ComfyNode} node
 * @param {import("./editor_view.js").EditorView} view
 */
export function arrive(node, view) {
  const key = nodeKey(node) ?? "";
  const before = left.get(key);
  left.delete(key);
  if (!before || performance.now() - before.time > MAX_AGE) return;
  view.selected = before.selected;
  if (before.focus) focusSoon(view, before.focus, MAX_FRAMES);
}

/**
 * @param {import("./editor_view.js").EditorView} view
 * @param {string} focus what had it
 * @param {number} frames
 */
function focusSoon(view, focus, frames) {
  if (document.activeElement && document.activeElement !== document.body) return; // somebody has chosen something else
  const part = /** @type {HTMLElement | null} */ (focus === "[data-step]" ? null : view.element.querySelector(focus));
  if (part && !part.matches(":disabled")) part.focus({ preventScroll: true });
  else view.picture.focus(view.selected);
  const hasFocus = view.element.contains(document.activeElement);
  if (!hasFocus && frames > 0) requestAnimationFrame(() => focusSoon(view, focus, frames - 1));
}
