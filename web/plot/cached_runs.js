// The plots of nodes that need not run. Older hosts say nothing of a node whose result is in their cache, but its plot
// is in their history: with the run that made it, whichever page has started that one.

import { app } from "../../../scripts/app.js";
import { nodeAt } from "../common/graph.js";
import { originInPrompt } from "../common/origins.js";
import { runOf } from "../common/runs.js";
import { OUTPUT, receive } from "./results.js";

const { api } = /** @type {any} */ (app);
const MAX_RUNS = 200; // that ComfyUI's own list of the history shows too

/** @param {{ nodes: string[], prompt_id: string }} cached what the server says at the start of a run */
async function onCached({ nodes, prompt_id: prompt }) {
  const run = runOf(prompt);
  if (!run) return;
  /** @type {Map<string, string>} origin by path */
  const wanted = new Map();
  for (const path of nodes) {
    const origins = run.origins[path];
    const shown = origins && nodeAt(path)?.hsoShown;
    if (shown && !(shown.plot && shown.made === origins.shown)) wanted.set(path, origins.sent);
  }
  const found = wanted.size ? plotsOf(await history(), new Set(wanted.values())) : new Map();
  for (const [path, origin] of wanted) {
    const [node, plot] = [nodeAt(path), found.get(origin)];
    if (!node?.hsoShown || !plot) continue;
    const signed = { ...plot, workflow: run.workflow, made: run.origins[path].shown };
    receive(node, { [OUTPUT]: [signed] });
  }
}

/** @returns {Promise<any[]>} the server's last runs, the latest first */
async function history() {
  const answer = await api.fetchApi(`/history?max_items=${MAX_RUNS}`);
  return answer.ok ? Object.values(await answer.json()).reverse() : [];
}

/**
 * @param {any[]} entries of the history
 * @param {Set<string>} origins
 */
function plotsOf(entries, origins) {
  const found = new Map();
  for (const { prompt, outputs } of entries) {
    const known = new Map();
    for (const [id, output] of Object.entries(outputs ?? {})) {
      const plot = /** @type {any} */ (output)?.[OUTPUT]?.[0];
      const origin = plot && originInPrompt(prompt[2], id, known);
      if (origins.has(origin) && !found.has(origin)) found.set(origin, plot);
    }
  }
  return found;
}

app.registerExtension({
  name: "hso.cachedRuns",
  setup() {
    api.addEventListener("execution_cached", (/** @type {CustomEvent<any>} */ event) => onCached(event.detail));
  },
});
