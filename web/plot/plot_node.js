// The picture on every HSO node that sends a schedule.

import { app } from "../../../scripts/app.js";
import { addElement } from "../common/dom_widget.js";
import { PlotView } from "./plot_view.js";
import { onPlot } from "./results.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */

const AXIS_PROPERTY = "hso_axis"; // of the node
const WIDGET = "hso_plot";
const EDITOR = "HSOCustomSigmas"; // draws for itself, in editor/editor_node.js

/** @type {Set<string>} classes of nodes */
const withPlot = new Set();

/**
 * Whether a node shows a schedule: those that give one do, and those that end a workflow.
 * @param {any} definition of the node, by the server
 */
function hasPlot({ name, output, output_node: isEnd }) {
  return name?.startsWith("HSO") && name !== EDITOR && (isEnd || output?.includes("SIGMAS"));
}

/** @param {ComfyNode} node */
function showOnNode(node) {
  const view = new PlotView({
    quantity: () => node.properties[AXIS_PROPERTY] ?? "sigma",
    onQuantity: (name) => {
      node.properties[AXIS_PROPERTY] = name;
    },
  });
  onPlot(node, (plot, isOld) => view.show(plot, isOld));
  addElement(node, WIDGET, view.element, { minHeight: 250, minWidth: 400 });
}

app.registerExtension({
  name: "hso.plot",
  beforeRegisterNodeDef(/** @type {any} */ _, /** @type {any} */ definition) {
    if (hasPlot(definition)) withPlot.add(definition.name);
  },
  nodeCreated(/** @type {ComfyNode} */ node) {
    if (withPlot.has(node.comfyClass)) showOnNode(node);
  },
});
