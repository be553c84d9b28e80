// The server marks the method's own parameters as advanced. Older frontends (1.32 is one) keep that in the widget's
// options, but fold a widget away ("Show Advanced" in the node's menu) only when the widget itself says so.
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "hso.advancedWidgets",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("HSO")) return;
    for (const widget of node.widgets ?? []) {
      if (widget.options?.advanced) widget.advanced = true;
    }
  },
});
