// The server marks the method's own parameters as advanced. Older frontends (1.32 is one) keep that in the widget's
// options, but fold a widget away ("Show Advanced" in the node's menu) only when the widget itself says so.
import { app } from "../../../scripts/app.js";

const ROW_GAP = 4; // that the classic canvas adds to every widget's height

app.registerExtension({
  name: "hso.advancedWidgets",
  nodeCreated(/** @type {any} */ node) {
    if (!node.comfyClass?.startsWith("HSO")) return;
    const folded = (node.widgets ?? []).filter((/** @type {any} */ widget) => widget.options?.advanced);
    if (!folded.length) return;
    for (const widget of folded) {
      widget.advanced = true;
      // Without this the classic canvas keeps the room of what it does not show.
      widget.computeSize = (/** @type {number} */ width) => [
        width ?? 0,
        node.showAdvanced ? window.LiteGraph.NODE_WIDGET_HEIGHT : -ROW_GAP,
      ];
    }
    node.setSize(node.computeSize()); // it was measured with all of them
  },
});
