// The button of Fitted Sampler that writes what came over the link into the text, and so into the workflow.

import { app } from "../../../scripts/app.js";
import { after } from "../common/dom_widget.js";
import { say } from "../common/words.js";
import { hostHistory } from "../common/host_history.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */

const OUTPUT = "hso_sampler"; // nodes/sampling/fitted_sampler.py sends it under this name

/** @param {ComfyNode} node */
function offerToKeep(node) {
  const text = node.widgets.find((/** @type {any} */ widget) => widget.name === "text");
  /** @type {string} of the last run */
  let found = "";
  const button = node.addWidget("button", "keep", null, () => {
    text.value = found;
    hostHistory.mark();
    show();
  });
  button.label = say("keepSampler");
  button.serialize = false; // what a workflow keeps of widgets goes by their places

  function show() {
    button.disabled = !found || text.value === found;
    node.setDirtyCanvas(true, true);
  }

  after(node, "onExecuted", (/** @type {any} */ output) => {
    found = output?.[OUTPUT]?.[0] ?? "";
    show();
  });
  show();
}

app.registerExtension({
  name: "hso.keepSampler",
  nodeCreated(/** @type {ComfyNode} */ node) {
    if (node.comfyClass === "HSOFittedSampler") offerToKeep(node);
  },
});
