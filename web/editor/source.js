// Where the schedule of Custom Sigmas comes from: its text, or what is connected.

import { keptPlot } from "../plot/kept_plot.js";
import { isBlank } from "../schedule/text.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */
/** @typedef {import("../plot/plot_data.js").Plot} Plot */

const ACTIVE = 0; // LiteGraph's number for the mode of a node that is neither muted nor bypassed

/**
 * @param {ComfyNode} node
 * @param {string} text
 */
export function sourceOf(node, text) {
  const isLinked = (/** @type {string} */ name) => node.inputs?.[slotOf(node, name)]?.link != null;
  if (isLinked("text")) return "linked";
  if (!isBlank(text)) return "text";
  return isLinked("sigmas") ? "sigmas" : "nothing";
}

/** @param {Plot | null} plot */
export function isConnected(plot) {
  return plot?.schedules[0].name === "connected";
}

/**
 * What is still known of the last run when another node, or none, is connected to this input.
 * @param {Plot} plot
 * @param {string} input its name
 * @returns {Plot}
 */
export function without(plot, input) {
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
export function sourceNode(node) {
  return node.graph ? node.getInputNode(slotOf(node, "sigmas")) : null;
}

/**
 * The schedule that the connected node showed last: while this node has a text, the connected one does not run for it.
 * @param {ComfyNode} node
 * @returns {Plot | null}
 */
export function plotOfSource(node) {
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
