// Which workflow a run belongs to. ComfyUI gives a result to whatever node has its id in the workflow that is open when
// it arrives; several open workflows have the same ids. ComfyUI itself keeps the results of the others for later.

import { app } from "../../../scripts/app.js";
import { rootGraph } from "./dom_widget.js";

const MAX_KNOWN = 1000;

/** @type {Map<string, string>} the workflow of each run that this page has started, by the id of its prompt */
const workflows = new Map();

/** @type {string | undefined} the workflow of a run which the server may have begun before it has told its id */
let sending;

/**
 * Whether a run may show itself in the workflow that is open. One that another page has started may.
 * @param {string | undefined} workflow id
 */
export function isOpen(workflow) {
  return workflow === undefined || workflow === rootGraph()?.id;
}

/**
 * The id of the workflow that a run is of, if this page has started it.
 * @param {string} prompt its id
 */
export function workflowOf(prompt) {
  return workflows.get(prompt) ?? sending;
}

app.registerExtension({
  name: "hso.runs",
  init() {
    const { api } = /** @type {any} */ (app);
    const send = api.queuePrompt;
    api.queuePrompt = async function (/** @type {any[]} */ ...args) {
      const workflow = args[1]?.workflow?.id;
      sending = workflow;
      try {
        const answer = await send.apply(this, args);
        if (answer?.prompt_id && workflow) workflows.set(answer.prompt_id, workflow);
        if (workflows.size > MAX_KNOWN) workflows.delete([...workflows.keys()][0]);
        return answer;
      } finally {
        sending = undefined;
      }
    };
  },
});
