// What the editor of a node hands to the next one: undo makes a new node in place of the old, with a new editor.

import { nodeKey } from "../common/graph.js";
import { changeTracker } from "../common/host_history.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */

const MAX_FRAMES = 60; // until the page has the next editor in its place

/** @type {WeakMap<object, Map<string, string>>} texts by node, for as long as their workflow is open */
const openedTexts = new WeakMap();

/**
 * @typedef {import("./editor_view.js").EditorView} EditorView
 * @typedef {{ view: EditorView, key: string, part: string | null }} Focused
 */

/** @type {Focused | null} the part of an editor that has the keyboard, or had it when its editor went */
let focused = null;

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
 * Remember which part of this editor has the keyboard. The page takes the old editor off before the node hears of it.
 * @param {ComfyNode} node
 * @param {EditorView} view
 */
export function watchFocus(node, view) {
  view.element.addEventListener("focusin", (event) => {
    const part = /** @type {Element} */ (event.target).getAttribute("data-testid"); // a point of the picture has none
    focused = { view, key: nodeKey(node) ?? "", part };
  });
}

for (const kind of ["focusin", "pointerdown"]) {
  const forget = (/** @type {Event} */ event) => {
    if (!focused?.view.element.contains(/** @type {Node} */ (event.target))) focused = null;
  };
  window.addEventListener(kind, forget, { capture: true });
}

/**
 * A new node: its editor goes on where that of the old one was.
 * @param {ComfyNode} node
 * @param {EditorView} view
 */
export function goOn(node, view) {
  if (!focused || focused.view === view || focused.key !== nodeKey(node)) return;
  const { part } = focused;
  view.selected = focused.view.selected;
  focused = { ...focused, view };
  keepFocus(view, part, MAX_FRAMES);
}

/**
 * The page may need a while to show the new editor, and move it then, which takes the keyboard from it again.
 * @param {EditorView} view
 * @param {string | null} name of the part
 * @param {number} frames
 */
function keepFocus(view, name, frames) {
  const active = document.activeElement;
  if (frames === 0 || focused?.view !== view) return; // done, or the user went elsewhere
  if (!active || active === document.body) {
    const part = name && view.element.querySelector(`[data-testid="${name}"]`);
    if (part instanceof HTMLElement && !part.matches(":disabled")) part.focus({ preventScroll: true });
    else view.picture.focus(view.selected);
  }
  requestAnimationFrame(() => keepFocus(view, name, frames - 1));
}
