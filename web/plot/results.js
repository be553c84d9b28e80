// The plots that nodes have: from a run, from ComfyUI's memory of one, or kept in the workflow; and whether they are
// still those of the values that the workflow has now.

import { app } from "../../../scripts/app.js";
import { after } from "../common/dom_widget.js";
import { allNodes, nodeOf, rootGraph } from "../common/graph.js";
import { originInWorkflow } from "../common/origins.js";
import { isOpen, noteForUndo, runOf } from "../common/runs.js";
import { endProgress } from "../nodes/progress_line.js";
import { keepPlot, keptPlot } from "./kept_plot.js";
import { isPlot } from "./plot_data.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */
/** @typedef {import("./plot_data.js").Plot} Plot */

/** @typedef {(plot: Plot, isOld: boolean) => void} Show */

export const OUTPUT = "hso_plot"; // nodes/pictures/plot_data.py sends it under this name

/** What a node shows. */
class Shown {
  /** @param {Show} show */
  constructor(show) {
    this.show = show;
    /** @type {Plot | null} */
    this.plot = null;
    /** @type {string | null} what it was made from */
    this.made = null;
    this.isOld = false;
  }

  /** @param {Plot} plot */
  take(plot) {
    this.plot = plot;
    this.made = plot.made ?? null;
    this.isOld = false;
    this.show(plot, false);
  }

  /** @param {string | null} origin of what the node would show after a run */
  compare(origin) {
    if (!this.plot || !origin) return;
    this.made ??= origin; // one from before this was kept is taken for current, until something changes
    const isOld = this.made !== origin;
    if (isOld === this.isOld) return;
    this.isOld = isOld;
    this.show(this.plot, isOld);
  }
}

/**
 * Call `show` with every plot that `node` has or gets, and again when it has become old, or is current again.
 * @param {ComfyNode} node
 * @param {Show} show
 */
export function onPlot(node, show) {
  node.hsoShown = new Shown(show);
  after(node, "onExecuted", (/** @type {any} */ output) => receive(node, output));
  after(node, "onConfigure", () => {
    const kept = keptPlot(node);
    if (kept) node.hsoShown.take(kept);
  });
}

/**
 * @param {ComfyNode} node
 * @param {any} output of a run
 */
export function receive(node, output) {
  const { workflow, ...plot } = output?.[OUTPUT]?.[0] ?? {};
  if (!isPlot(plot) || !isOpen(workflow)) return;
  endProgress(node); // first: the plot is laid out, and the size saved, without it
  node.hsoShown.take(plot);
  keepPlot(node, plot);
  compareAll(rootGraph().serialize());
}

/** @param {any} workflow as it is now */
function compareAll(workflow) {
  for (const [path, node] of allNodes()) {
    if (node.hsoShown?.plot) node.hsoShown.compare(originInWorkflow(workflow, path));
  }
}

/**
 * Note in a result which workflow it belongs to, and from what it was made: ComfyUI keeps it, and may come back with it
 * in another workflow.
 * @param {CustomEvent<any>} event
 */
function sign({ detail }) {
  const plot = detail?.output?.[OUTPUT]?.[0];
  const run = plot && runOf(detail.prompt_id);
  if (run) Object.assign(plot, { workflow: run.workflow, made: run.origins[detail.node]?.shown });
  if (run) noteForUndo(detail);
}

const { api } = /** @type {any} */ (app);
api.addEventListener("executed", sign); // here: before ComfyUI listens and makes a copy

app.registerExtension({
  name: "hso.results",
  setup() {
    api.addEventListener("graphChanged", (/** @type {CustomEvent<any>} */ event) => compareAll(event.detail));
  },
  afterConfigureGraph() {
    compareAll(rootGraph().serialize());
  },
  // When results come back without a run: from the history, or after an undo, which makes new nodes as they were before
  // the run. ComfyUI forgets them when another workflow is opened.
  onNodeOutputsUpdated(/** @type {Record<string, any>} */ outputs) {
    for (const [locator, output] of Object.entries(outputs)) {
      const node = output?.[OUTPUT] && nodeOf(locator);
      if (node?.hsoShown) receive(node, output);
    }
  },
});
