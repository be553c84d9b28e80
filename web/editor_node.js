// The editor on Custom Sigmas: its picture shows and changes the node's text, which stays the one place of the value.

import { app } from "../../scripts/app.js";
import { addElement, after } from "./dom_widget.js";
import { EditorView } from "./editor_view.js";
import { keptPlot, onPlot } from "./plot_node.js";

/** @typedef {import("./dom_widget.js").ComfyNode} ComfyNode */
/** @typedef {import("./plot_view.js").Plot} Plot */

const NODE = "HSOCustomSigmas";
const PROPERTY = "hso_editor"; // axis and lock
const WIDGET = "hso_editor";

/** @param {ComfyNode} node */
function addEditor(node) {
  const widgets = Object.fromEntries(node.widgets.map((/** @type {any} */ widget) => [widget.name, widget]));
  const { canvas } = /** @type {any} */ (app);
  /** @type {Plot | null} */
  let plot = null;

  const view = new EditorView(settingsOf(node), {
    change: (text) => {
      widgets.text.value = text;
      node.graph?.setDirtyCanvas(true, false);
    },
    mark: () => {
      canvas.emitBeforeChange(); // at once, because while there is one without the other ComfyUI's undo records nothing
      canvas.emitAfterChange();
    },
    settings: (settings) => {
      node.properties[PROPERTY] = settings;
    },
  });
  const show = () => {
    const text = String(widgets.text.value ?? "");
    const { steps, resampling } = widgets;
    if (text !== view.shown.text || !view.drag) {
      const source = sourceOf(node, text);
      const shown = source === "sigmas" && plot?.schedules[0].name !== "connected" ? plotOfSource(node) : plot;
      view.show({ text, source, plot: shown, steps: steps.value, resampling: resampling.value });
    }
  };

  for (const widget of [widgets.text, widgets.steps, widgets.resampling]) after(widget, "callback", show);
  after(node, "onConnectionsChange", show);
  after(node, "onConfigure", () => {
    view.settings = settingsOf(node);
    view.open(String(widgets.text.value ?? ""));
    show();
  });
  after(node, "onRemoved", () => view.forgetDrag());
  onPlot(node, (received) => {
    plot = received;
    show();
  });
  node.hsoRefresh = show;
  addElement(node, WIDGET, view.element, { minHeight: 270, minWidth: 400 });
  show();
}

/**
 * @param {ComfyNode} node
 * @returns {import("./editor_view.js").Settings}
 */
function settingsOf(node) {
  const { axis = "sigma", locked = false } = node.properties?.[PROPERTY] ?? {};
  return { axis: String(axis), locked: locked === true };
}

/**
 * @param {ComfyNode} node
 * @param {string} text
 */
function sourceOf(node, text) {
  const isLinked = (/** @type {string} */ name) => node.inputs?.[slotOf(node, name)]?.link != null;
  if (isLinked("text")) return "linked";
  if (text.trim()) return "text";
  return isLinked("sigmas") ? "sigmas" : "nothing";
}

/**
 * The schedule that the connected node showed last: while this node has a text, the connected one does not run for it.
 * @param {ComfyNode} node
 * @returns {Plot | null}
 */
function plotOfSource(node) {
  const source = node.getInputNode?.(slotOf(node, "sigmas"));
  const plot = keptPlot(source);
  const schedules = source?.outputs?.filter((/** @type {any} */ output) => output.type === "SIGMAS");
  if (!plot || schedules.length !== 1) return null;
  return { ...plot, schedules: [{ ...plot.schedules[0], name: "connected" }] };
}

/**
 * @param {ComfyNode} node
 * @param {string} name of an input
 * @returns {number}
 */
function slotOf(node, name) {
  return node.inputs?.findIndex((/** @type {any} */ slot) => slot.name === name) ?? -1;
}

app.registerExtension({
  name: "hso.editor",
  nodeCreated(/** @type {ComfyNode} */ node) {
    if (node.comfyClass === NODE) addEditor(node);
  },
  loadedGraphNode(/** @type {ComfyNode} */ node) {
    node.hsoRefresh?.(); // the nodes that it is connected to are there only now
  },
});
