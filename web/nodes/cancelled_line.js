// The line on a node whose search was cancelled: when, and what of it is kept. It stays until the next run.

import { app } from "../../../scripts/app.js";
import { elementOn } from "../common/dom_widget.js";
import { html } from "../common/elements.js";
import { nodeAt } from "../common/graph.js";
import { isOpen, runOf } from "../common/runs.js";
import { say } from "../common/words.js";

/**
 * What nodes/measuring/search.py sends.
 * @typedef {"schedule" | "earlier" | "references" | "nothing"} Kept
 * @typedef {{ node: string, prompt_id: string, evaluations: number, budget: number, kept: Kept }} Cancelled
 */

/** @type {Record<Kept, import("../common/english.js").Word>} */
const WORDS = {
  schedule: "keptBest",
  earlier: "keptEarlier",
  references: "keptReferences",
  nothing: "keptNothing",
};

/** @type {Set<HTMLElement>} */
const shown = new Set();

/** @param {Cancelled} cancelled */
function show({ node: path, prompt_id, evaluations, budget, kept }) {
  const node = isOpen(runOf(prompt_id)?.workflow) && nodeAt(path);
  if (!node) return;
  const progress = say("evaluations", { done: evaluations, most: budget });
  const text = `${say("cancelledAt", { progress })} ${say(WORDS[kept])}`;
  const line = html("p", { class: "hso-note", "data-testid": "hso-cancelled", role: "status" }, text);
  elementOn(node)?.append(line);
  shown.add(line);
}

function takeOff() {
  for (const line of shown) line.remove();
  shown.clear();
}

app.registerExtension({
  name: "hso.cancelled",
  setup() {
    const { api } = /** @type {any} */ (app);
    api.addEventListener("hso_cancelled", (/** @type {CustomEvent<Cancelled>} */ event) => show(event.detail));
    api.addEventListener("execution_start", takeOff);
  },
});
