// The server marks the method's own parameters as advanced. Older frontends (1.32 is one) keep that in the widget's
// options, but fold a widget away ("Show Advanced" in the node's menu) only when the widget itself says so.
import { app } from "../../../scripts/app.js";
import { takeRoomOnlyIf } from "../common/fold.js";

app.registerExtension({
  name: "hso.advancedWidgets",
  nodeCreated(/** @type {any} */ node) {
    if (!node.comfyClass?.startsWith("HSO")) return;
    const folded = (node.widgets ?? []).filter((/** @type {any} */ widget) => widget.options?.advanced);
    if (!folded.length) return;
    for (const widget of folded) {
      widget.advanced = true;
      takeRoomOnlyIf(widget, () => node.showAdvanced);
    }
    node.setSize([node.size[0], node.computeSize()[1]]); // it was measured with all of them
  },
});
