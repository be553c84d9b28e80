// What belongs to a run that this page has started. ComfyUI gives a result to whatever node has its id in the workflow
// that is open when it arrives; several open workflows have the same ids. ComfyUI keeps the others' results for later.

import { app } from "../../../scripts/app.js";
import { rootGraph } from "./graph.js";
import { originInPrompt, originInWorkflow } from "./origins.js";

const MAX_KNOWN = 1000;
const OURS = /^HSO/;

/**
 * @typedef {object} Run
 * @property {string} workflow its id
 * @property {Record<string, { sent: string, shown: string | null }>} origins of our nodes, by their paths: of what the
 *   server was sent, and of what the page showed then
 * @property {any} tracker ComfyUI's, of what can be undone in that workflow
 */

/** @type {Map<string, Run>} by the id of the prompt */
const runs = new Map();

/** @type {Run | undefined} one which the server may have begun before it has told its id */
let sending;

/**
 * Whether a run may show itself in the workflow that is open. One that another page has started may.
 * @param {string | undefined} workflow id
 */
export function isOpen(workflow) {
  return workflow === undefined || workflow === rootGraph()?.id;
}

/**
 * What is known of a run, if this page has started it.
 * @param {string} prompt its id
 */
export function runOf(prompt) {
  return runs.get(prompt) ?? sending;
}

/**
 * ComfyUI notes a result, for the nodes that an undo makes anew, only if it has heard the run's id before. Note it for a
 * run that is faster than that.
 * @param {{ node: string, prompt_id: string, output: any }} result
 */
export function noteForUndo({ node, prompt_id, output }) {
  if (!sending?.tracker || runs.has(prompt_id)) return;
  sending.tracker.nodeOutputs = { ...sending.tracker.nodeOutputs, [node]: output };
}

/**
 * @param {any} sent what the page sends to the server
 * @returns {Run | undefined}
 */
function begin(sent) {
  const { output, workflow } = sent ?? {};
  if (!workflow?.id) return undefined;
  const ours = Object.keys(output ?? {}).filter((path) => OURS.test(output[path].class_type));
  const known = new Map();
  const origins = ours.map((path) => [
    path,
    { sent: originInPrompt(output, path, known), shown: originInWorkflow(workflow, path) },
  ]);
  const tracker = /** @type {any} */ (app).extensionManager?.workflow?.activeWorkflow?.changeTracker;
  return { workflow: workflow.id, origins: Object.fromEntries(origins), tracker };
}

app.registerExtension({
  name: "hso.runs",
  init() {
    const { api } = /** @type {any} */ (app);
    const send = api.queuePrompt;
    api.queuePrompt = async function (/** @type {any[]} */ ...args) {
      const run = begin(args[1]);
      sending = run;
      try {
        const answer = await send.apply(this, args);
        if (answer?.prompt_id && run) runs.set(answer.prompt_id, run);
        if (runs.size > MAX_KNOWN) runs.delete([...runs.keys()][0]);
        return answer;
      } finally {
        sending = undefined;
      }
    };
  },
});
