// The editor on Custom Sigmas: its picture shows and changes the node's text, which stays the one place of the value.

import { app } from "../../../scripts/app.js";
import { addElement, after, rootGraph } from "../common/dom_widget.js";
import { EditorView } from "./editor_view.js";
import { keptPlot, onPlot, replacePlot, tellHistory } from "../plot/plot_node.js";

/** @typedef {import("../common/dom_widget.js").ComfyNode} ComfyNode */
/** @typedef {import("../plot/plot_view.js").Plot} Plot */

const NODE = "HSOCustomSigmas";
const PROPERTY = "hso_editor"; // axis and lock
const WIDGET = "hso_editor";
const INPUT = 1; // LiteGraph's number for that side of a node
const ACTIVE = 0; // LiteGraph's number for the mode of a node that is neither muted nor bypassed

/** @param {ComfyNode} node */
function addEditor(node) {
  const widgets = Object.fromEntries(node.widgets.map((/** @type {any} */ widget) => [widget.name, widget]));
  const { canvas } = /** @type {any} */ (app);
  /** @type {Plot | null} */
  let plot = null;
  /** @type {number | undefined} of the connected node, when it was last looked at */
  let mode;

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
  const forget = (/** @type {string} */ input) => {
    plot = plot && without(plot, input);
    replacePlot(node, plot);
  };
  const followSource = () => {
    const before = mode;
    mode = sourceNode(node)?.mode;
    if (before === undefined || mode === undefined || mode === before || !isConnected(plot)) return;
    forget("sigmas");
    tellHistory(node, keptPlot(node)); // it belongs to the change of the other node
  };
  const show = () => {
    followSource();
    const text = String(widgets.text.value ?? "");
    const { steps, resampling } = widgets;
    if (text !== view.shown.text || !view.drag) {
      const source = sourceOf(node, text);
      const shown = source === "sigmas" && !isConnected(plot) ? (plotOfSource(node) ?? plot) : plot;
      view.show({ text, source, plot: shown, steps: steps.value, resampling: resampling.value });
    }
  };

  for (const widget of [widgets.text, widgets.steps, widgets.resampling]) after(widget, "callback", show);
  after(node, "onConnectionsChange", (/** @type {number} */ side, /** @type {number} */ slot) => {
    const isLoaded = node.graph && !(/** @type {any} */ (app).configuringGraph); // a copy is in no graph at first
    if (side === INPUT && isLoaded) {
      mode = undefined;
      forget(node.inputs?.[slot]?.name);
    }
    show();
  });
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

/** @param {Plot | null} plot */
function isConnected(plot) {
  return plot?.schedules[0].name === "connected";
}

/**
 * What is still known of the last run when another node, or none, is connected to this input.
 * @param {Plot} plot
 * @param {string} input its name
 * @returns {Plot}
 */
function without(plot, input) {
  const [curve] = plot.schedules;
  const isStale = (input === "sigmas" && isConnected(plot)) || (input === "text" && curve.name === "text");
  if (isStale) return { ...plot, schedules: [{ ...curve, name: "" }] };
  return input === "model" ? { ...plot, family: null, sigma_min: null, sigma_max: null } : plot;
}

/**
 * The node that is connected to `sigmas`; none where it is outside of the subgraph, or this one in no graph.
 * @param {ComfyNode} node
 * @returns {ComfyNode | null | undefined}
 */
function sourceNode(node) {
  return node.graph ? node.getInputNode(slotOf(node, "sigmas")) : null;
}

/**
 * The schedule that the connected node showed last: while this node has a text, the connected one does not run for it.
 * @param {ComfyNode} node
 * @returns {Plot | null}
 */
function plotOfSource(node) {
  const source = sourceNode(node);
  const plot = keptPlot(source);
  const schedules = source?.outputs?.filter((/** @type {any} */ output) => output.type === "SIGMAS");
  if (!plot || source?.mode !== ACTIVE || schedules.length !== 1) return null;
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

/** Another node may have been muted or bypassed. */
function refreshAll() {
  for (const graph of [rootGraph(), ...(rootGraph()?.subgraphs?.values() ?? [])]) {
    for (const node of graph?.nodes ?? []) node.hsoRefresh?.();
  }
}

app.registerExtension({
  name: "hso.editor",
  setup() {
    /** @type {any} */ (app).api.addEventListener("graphChanged", refreshAll);
  },
  nodeCreated(/** @type {ComfyNode} */ node) {
    if (node.comfyClass === NODE) addEditor(node);
  },
  loadedGraphNode(/** @type {ComfyNode} */ node) {
    node.hsoRefresh?.(); // the nodes that it is connected to are there only now
  },
});
