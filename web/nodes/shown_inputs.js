// Inputs that only some choices of another one look at: the page hides them beside the others. The server says so:
// { hso_shown_for: { edit: ["resample", "blend"] } } in the input's options. What is hidden keeps its value.

import { app } from "../../../scripts/app.js";
import { after, lookAtNode } from "../common/dom_widget.js";
import { takeRoomOnlyIf } from "../common/fold.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */
/** @typedef {Record<string, unknown[]>} Choices of other inputs, by their names */

/** @type {Map<string, Map<string, Choices>>} by node class and input */
const rules = new Map();

/**
 * @param {ComfyNode} node
 * @param {Map<string, Choices>} inputs
 */
function hideWhatIsNotLookedAt(node, inputs) {
  /** @param {string} name */
  const widgetOf = (name) => node.widgets.find((/** @type {any} */ widget) => widget.name === name);
  /** @param {string} name */
  const isLinked = (name) => node.inputs?.some((/** @type {any} */ input) => input.widget?.name === name && input.link);

  function apply() {
    const before = node.computeSize()[1];
    let changed = false;
    for (const [name, choices] of inputs) {
      const widget = widgetOf(name);
      const isFor = Object.entries(choices).every(([other, values]) => values.includes(widgetOf(other)?.value));
      const hidden = !isFor && !isLinked(name);
      if (widget.hidden === hidden) continue;
      widget.hidden = hidden; // for the canvas
      widget.options.hidden = hidden; // for Nodes 2.0 of 1.32
      changed = true;
    }
    if (changed) lookAtNode(node);
    return changed ? node.computeSize()[1] - before : 0;
  }

  /** The picture on the node keeps its height. */
  function change() {
    const [width, height] = node.size;
    node.setSize([width, height + apply()]);
    node.setDirtyCanvas(true, true);
  }

  for (const name of inputs.keys()) takeRoomOnlyIf(widgetOf(name), () => !widgetOf(name).hidden);
  for (const other of new Set([...inputs.values()].flatMap(Object.keys))) after(widgetOf(other), "callback", change);
  after(node, "onConfigure", apply); // its size is the one that was saved
  after(node, "onConnectionsChange", change);
  apply();
  node.setSize([node.size[0], node.computeSize()[1]]);
}

app.registerExtension({
  name: "hso.shownInputs",
  beforeRegisterNodeDef(/** @type {any} */ _, /** @type {any} */ { name: type, input }) {
    const options = Object.entries({ ...input?.required, ...input?.optional }).map(([name, [, about]]) => [name, about]);
    const found = options.filter(([, about]) => about?.hso_shown_for);
    if (found.length) rules.set(type, new Map(found.map(([name, about]) => [name, about.hso_shown_for])));
  },
  nodeCreated(/** @type {ComfyNode} */ node) {
    const inputs = rules.get(node.comfyClass);
    if (inputs) hideWhatIsNotLookedAt(node, inputs);
  },
});
