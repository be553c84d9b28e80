// The last plot of a node, kept with it in the workflow: a run from the cache sends none, a page that was reloaded has
// none.

import { app } from "../../../scripts/app.js";
import { isPlot } from "./plot_data.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */
/** @typedef {import("./plot_data.js").Plot} Plot */

const PROPERTY = "hso_plot"; // of the node
const MAX_KEPT = 200; // values of a schedule; longer ones are drawn, but not kept

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
 * Keep the plot of a run.
 * @param {ComfyNode} node
 * @param {Plot} plot
 */
export function keepPlot(node, plot) {
  const kept = plot.schedules.every((curve) => curve.sigmas.length <= MAX_KEPT) ? plot : null;
  put(node.properties, kept);
  const tell = () => tellHistory(node, kept);
  tell(); // at once: ComfyUI may compare at any time
  setTimeout(tell); // again, because an undo of older frontends replaces that state after this
}

/**
 * Keep `plot` with a node in place of the last one, if there is one; null: no plot.
 * @param {ComfyNode} node
 * @param {Plot | null} plot
 */
export function replacePlot(node, plot) {
  if (keptPlot(node)) put(node.properties, plot);
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
  put(saved.properties, JSON.parse(JSON.stringify(plot)));
  saved.size = [...node.size];
  api?.dispatchEvent(new CustomEvent("graphChanged", { detail: state })); // the page keeps it for the next reload
}

/**
 * @param {Record<string, any>} properties
 * @param {Plot | null} plot
 */
function put(properties, plot) {
  if (plot) properties[PROPERTY] = plot;
  else delete properties[PROPERTY];
}
