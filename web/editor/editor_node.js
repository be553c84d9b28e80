// The editor on Custom Sigmas: its picture shows and changes the node's text, which stays the one place of the value.

import { app } from "../../../scripts/app.js";
import { addElement, after, afterLayout } from "../common/dom_widget.js";
import { allNodes } from "../common/graph.js";
import { keptPlot, replacePlot, tellHistory } from "../plot/kept_plot.js";
import { onPlot } from "../plot/results.js";
import { goOn, noteOpened, openedWith, watchFocus } from "./carried_over.js";
import { EditorView } from "./editor_view.js";
import { hostHistory } from "../common/host_history.js";
import { isConnected, plotOfSource, sourceNode, sourceOf, without } from "./source.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */
/** @typedef {import("../plot/plot_data.js").Plot} Plot */

const NODE = "HSOCustomSigmas";
const PROPERTY = "hso_editor"; // axis and lock
const WIDGET = "hso_editor";
const INPUT = 1; // LiteGraph's number for that side of a node

/** @param {ComfyNode} node */
function addEditor(node) {
  const widgets = Object.fromEntries(node.widgets.map((/** @type {any} */ widget) => [widget.name, widget]));
  /** @type {Plot | null} */
  let plot = null;
  let isOld = false;
  let loaded = ""; // the text that the node was made with
  /** @type {number | undefined} of the connected node, when it was last looked at */
  let mode;

  const opened = () => openedWith(node) ?? loaded;
  const view = new EditorView(settingsOf(node), {
    change: (text) => {
      widgets.text.value = text;
      node.graph?.setDirtyCanvas(true, false);
    },
    history: hostHistory,
    opened,
    note: (text, anew) => noteOpened(node, anew ? text : opened() || text),
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
    if (text !== view.shown.text || !view.pointer.drag) {
      const source = sourceOf(node, text);
      const ofSource = source === "sigmas" && !isConnected(plot) ? plotOfSource(node) : null;
      const last = ofSource ? { plot: ofSource, isOld: sourceNode(node).hsoShown?.isOld === true } : { plot, isOld };
      view.show({ text, source, ...last, steps: steps.value, resampling: resampling.value });
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
    loaded = String(widgets.text.value ?? "");
    view.open(loaded);
    goOn(node, view);
    show();
  });
  after(node, "onRemoved", () => view.pointer.forget());
  onPlot(node, (received, isOldNow) => {
    plot = received;
    isOld = isOldNow;
    show();
  });
  node.hsoRefresh = show;
  watchFocus(node, view);
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

/** Another node may have been muted or bypassed, and ComfyUI has another history. */
function refreshAll() {
  for (const [, node] of allNodes()) node.hsoRefresh?.();
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
  afterConfigureGraph() {
    afterLayout(refreshAll); // by then the workflow is the open one, with its history
  },
});
