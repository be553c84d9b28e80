// Shows the schedule on every HSO node that sends one.

import { app } from "../../../scripts/app.js";
import { addElement, after, nodeIn, rootGraph } from "../common/dom_widget.js";
import { PlotView, isPlot } from "./plot_view.js";
import { endProgress } from "../nodes/progress_line.js";
import { isOpen, workflowOf } from "../common/runs.js";

/** @typedef {import("../common/dom_widget.js").ComfyNode} ComfyNode */
/** @typedef {import("./plot_view.js").Plot} Plot */

const OUTPUT = "hso_plot"; // nodes/plot_data.py sends it under this name
const PROPERTY = "hso_plot"; // of the node; keeps the last plot: a cached run sends none, a reloaded page has none
const AXIS_PROPERTY = "hso_axis";
const WIDGET = "hso_plot";
const MAX_KEPT = 200; // values of a schedule; longer ones are drawn, but not kept in the workflow
const EDITOR = "HSOCustomSigmas"; // draws for itself, in editor_node.js

/**
 * Call `show` with every plot that `node` has or gets.
 * @param {ComfyNode} node
 * @param {(plot: Plot) => void} show
 */
export function onPlot(node, show) {
  node.hsoShowPlot = show;
  after(node, "onExecuted", (/** @type {any} */ output) => receive(node, output));
  after(node, "onConfigure", () => {
    const kept = keptPlot(node);
    if (kept) show(kept);
  });
}

/**
 * The plot that is kept with a node, or null.
 * @param {ComfyNode | null | undefined} node
 * @returns {Plot | null}
 */
export function keptPlot(node) {
  const plot = node?.properties?.[PROPERTY];
  return isPlot(plot) ? plot : null;
}

/**
 * Keep `plot` with a node in place of the last one, if there is one; null: no plot.
 * @param {ComfyNode} node
 * @param {Plot | null} plot
 */
export function replacePlot(node, plot) {
  if (keptPlot(node)) keep(node.properties, plot);
}

/**
 * @param {ComfyNode} node
 * @param {any} output of a run
 */
function receive(node, output) {
  const { workflow, ...plot } = output?.[OUTPUT]?.[0] ?? {};
  if (!isPlot(plot) || !isOpen(workflow)) return;
  endProgress(node); // first: the plot is laid out, and the size saved, without it
  const keeps = plot.schedules.every((curve) => curve.sigmas.length <= MAX_KEPT);
  keep(node.properties, keeps ? plot : null);
  node.hsoShowPlot(plot);
  const tell = () => tellHistory(node, keeps ? plot : null);
  tell(); // at once: ComfyUI may compare at any time
  setTimeout(tell); // again, because an undo of older frontends replaces that state after this
}

/**
 * Note in a result which workflow it belongs to: ComfyUI keeps it, and may come back with it in another one.
 * @param {CustomEvent<any>} event
 */
function sign({ detail }) {
  const plot = detail?.output?.[OUTPUT]?.[0];
  if (plot) plot.workflow = workflowOf(detail.prompt_id);
}

/**
 * @param {Record<string, any>} properties
 * @param {Plot | null} plot
 */
function keep(properties, plot) {
  if (plot) properties[PROPERTY] = plot;
  else delete properties[PROPERTY];
}

/**
 * Put the plot into the state that ComfyUI compares the workflow with. Otherwise every run would be a change, and the
 * next undo would take back nothing but the plot.
 * @param {ComfyNode} node with the size that the plot needs
 * @param {Plot | null} plot
 */
export function tellHistory(node, plot) {
  const { api, extensionManager } = /** @type {any} */ (app);
  const state = extensionManager.workflow?.activeWorkflow?.changeTracker?.activeState;
  const graphs = [state, ...(state?.definitions?.subgraphs ?? [])];
  const graph = graphs.find((saved) => saved?.id === node.graph?.id);
  const saved = graph?.nodes?.find((/** @type {any} */ other) => String(other.id) === String(node.id));
  if (!saved?.properties) return;
  keep(saved.properties, JSON.parse(JSON.stringify(plot)));
  saved.size = [...node.size];
  api?.dispatchEvent(new CustomEvent("graphChanged", { detail: state })); // the page keeps it for the next reload
}

/** @param {ComfyNode} node */
function showOnNode(node) {
  /** @type {PlotView | null} */
  let view = null;
  onPlot(node, (plot) => {
    view ??= addView(node);
    view.show(plot);
  });
}

/** @param {ComfyNode} node */
function addView(node) {
  const view = new PlotView({
    quantity: node.properties[AXIS_PROPERTY] ?? "sigma",
    onQuantity: (name) => {
      node.properties[AXIS_PROPERTY] = name;
    },
  });
  addElement(node, WIDGET, view.element, { minHeight: 250, minWidth: 400 });
  return view;
}

/** @type {any} */ (app).api.addEventListener("executed", sign); // here: before ComfyUI listens and makes a copy

app.registerExtension({
  name: "hso.plot",
  nodeCreated(/** @type {ComfyNode} */ node) {
    if (node.comfyClass?.startsWith("HSO") && node.comfyClass !== EDITOR) showOnNode(node);
  },
  // When results come back without a run: from the history, or after an undo, which makes new nodes as they were before
  // the run. ComfyUI forgets them when another workflow is opened.
  onNodeOutputsUpdated(/** @type {Record<string, any>} */ outputs) {
    for (const [locator, output] of Object.entries(outputs)) {
      const node = output?.[OUTPUT] && findNode(locator);
      if (node?.hsoShowPlot) receive(node, output);
    }
  },
});

/** @param {string} locator a node's id, with the id of its subgraph in front if it is in one: "subgraph:node" */
function findNode(locator) {
  const [id, subgraph] = locator.split(":").reverse();
  return nodeIn(subgraph ? rootGraph().subgraphs?.get(subgraph) : rootGraph(), id);
}
