// Our elements on nodes: as a widget that is never saved, at the right size, also after an undo in Nodes 2.0.

import { app } from "../../../scripts/app.js";
import { html } from "./elements.js";
/** @typedef {import("./graph.js").ComfyNode} ComfyNode */

const STYLES = ["./panel.css", "../plot/plot.css", "../editor/editor.css"];
const WIDGET_TYPE = "hso";
const CLASSIC_MARGIN = 10; // that the classic canvas leaves on every side of an element

/** @type {Map<string, WeakRef<HTMLElement>>} the element that stands for a widget on the page, by node and name */
const mounted = new Map();

/**
 * Put `element` on `node` as its last widget. It has no value, and no place among the saved values.
 * @param {ComfyNode} node
 * @param {string} name of the widget
 * @param {HTMLElement} element
 * @param {{ minHeight: number, minWidth: number }} size
 */
export function addElement(node, name, element, { minHeight, minWidth }) {
  element.classList.add("widget-expands"); // Nodes 2.0 of 1.32 lets it grow with the node
  const widget = addWidget(node, name, element, minHeight);
  after(node, "onAdded", () => mount(node, name, element));
  after(node, "onConfigure", () => mount(node, name, element));
  if (node.graph) mount(node, name, element);
  lookAgain(node, () => element.isConnected);
  growNode(node, minWidth);
  return widget;
}

/**
 * Put `element` on `node` for a while. The workflow is saved as if it were not there, also in the meantime.
 * @param {ComfyNode} node
 * @param {string} name of the widget
 * @param {HTMLElement} element
 * @param {number} height
 * @returns {() => void} to take it off again
 */
export function lendElement(node, name, element, height) {
  const before = [...node.size];
  let lent = true;
  const room = height + 4 * CLASSIC_MARGIN; // more than it takes; a larger change of the size is the user's
  const isOurs = () => node.size[0] === before[0] && Math.abs(node.size[1] - before[1]) < room;
  const widget = addWidget(node, name, element, height);
  lookAgain(node, () => element.isConnected || !lent);
  growNode(node, 0);
  after(node, "onSerialize", (/** @type {any} */ saved) => {
    if (lent && isOurs()) saved.size = [...before];
  });
  return () => {
    lent = false;
    node.removeWidget(widget);
    lookAgain(node, () => !element.isConnected);
    if (isOurs()) node.setSize(before);
    node.graph?.setDirtyCanvas(true, true);
  };
}

/**
 * The first of our elements on `node`, if it has any.
 * @param {ComfyNode} node
 * @returns {HTMLElement | undefined}
 */
export function elementOn(node) {
  return node.widgets?.find((/** @type {any} */ widget) => widget.type === WIDGET_TYPE)?.element;
}

/**
 * @param {ComfyNode} node
 * @param {string} name
 * @param {HTMLElement} element
 * @param {number} minHeight
 */
function addWidget(node, name, element, minHeight) {
  loadStyle();
  element.classList.add("hso-root");
  element.style.minHeight = `${minHeight}px`;
  keepEvents(element);
  passOn(element);
  const widget = node.addDOMWidget(name, WIDGET_TYPE, element, {
    serialize: false,
    hideOnZoom: false,
    hideInPanel: true, // the properties panel has an empty row for it otherwise, and makes it narrow for good
    getMinHeight: () => minHeight + 2 * CLASSIC_MARGIN,
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  return widget;
}

/**
 * Call `then` after what `node` does in `hook` already.
 * @param {ComfyNode} node
 * @param {string} hook
 * @param {(...args: any[]) => void} then
 */
export function after(node, hook, then) {
  const before = node[hook];
  node[hook] = function (/** @type {any[]} */ ...args) {
    const result = before?.apply(this, args);
    then(...args);
    return result;
  };
}

/**
 * Nodes 2.0 puts a widget's element on the page once for every node id. Undo and another
 * workflow make a new node with the old id, and the page would go on to show the old node's element.
 * @param {ComfyNode} node
 * @param {string} name
 * @param {HTMLElement} element
 */
function mount(node, name, element) {
  afterLayout(() => {
    const place = placeOf(node, name);
    if (!place) return;
    const shown = mounted.get(place)?.deref();
    if (shown && shown !== element && shown.isConnected && !element.isConnected) shown.replaceWith(element);
    mounted.set(place, new WeakRef(element));
  });
}

/**
 * Where the page shows a widget; nodes with the same id in two open workflows have one place.
 * @param {ComfyNode} node
 * @param {string} name
 */
function placeOf({ graph, id }, name) {
  if (!graph || id === -1) return null;
  return `${graph === graph.rootGraph ? "" : graph.id}/${id}/${name}`;
}

/**
 * Nodes 2.0 of 1.32 overlooks widgets that come and go once a value of the node has been changed.
 * @param {ComfyNode} node
 * @param {() => boolean} isRight what the page shows
 */
function lookAgain(node, isRight) {
  afterLayout(() => {
    if (!isRight()) lookAtNode(node);
  });
}

/**
 * Let the page see what has changed of a node's widgets: Nodes 2.0 of 1.32 looks at a node anew when the node is added.
 * @param {ComfyNode} node
 */
export function lookAtNode(node) {
  const isShown = window.LiteGraph.vueNodesMode && document.querySelector(`[data-node-id="${node.id}"]`);
  if (isShown && node.graph && !node.collapsed) node.graph.onNodeAdded?.(node);
}

/** @param {() => void} then */
export function afterLayout(then) {
  requestAnimationFrame(() => requestAnimationFrame(then));
}

/**
 * A node that is too small for its widgets grows; a larger one stays.
 * @param {ComfyNode} node
 * @param {number} minWidth
 */
function growNode(node, minWidth) {
  const needed = node.computeSize();
  node.setSize([Math.max(node.size[0], needed[0], minWidth), Math.max(node.size[1], needed[1])]);
}

/**
 * Keys and drags are for the element, not for the node behind it: Delete would remove it, a drag would move it.
 * @param {HTMLElement} element
 */
function keepEvents(element) {
  element.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
  element.addEventListener("pointerdown", (event) => {
    if (event.button === 0) event.stopPropagation();
  });
}

/**
 * The wheel and the middle button are for the canvas, to zoom and to pan. The classic one lies behind our elements and
 * does not see them; Nodes 2.0 does.
 * @param {HTMLElement} element
 */
function passOn(element) {
  const { canvas } = /** @type {any} */ (app);
  const isMiddle = (/** @type {PointerEvent} */ event) => event.button === 1 || (event.buttons & 4) !== 0;
  const toCanvas = (/** @type {string} */ kind, /** @type {(event: any) => void} */ then) =>
    element.addEventListener(kind, (event) => {
      if (!window.LiteGraph.vueNodesMode) then(event);
    });
  toCanvas("wheel", (event) => canvas.processMouseWheel(event));
  toCanvas("pointerdown", (event) => isMiddle(event) && canvas.processMouseDown(event));
  toCanvas("pointermove", (event) => isMiddle(event) && canvas.processMouseMove(event));
  toCanvas("pointerup", (event) => isMiddle(event) && canvas.processMouseUp(event));
}

function loadStyle() {
  for (const file of STYLES) {
    const href = new URL(file, import.meta.url).href;
    if (document.querySelector(`link[href="${href}"]`)) continue;
    document.head.append(html("link", { rel: "stylesheet", href }));
  }
}
