// What the result of a node is made from: the node's values, and those of the nodes that lead to it.

/** @typedef {Record<string, { class_type: string, inputs: Record<string, any> }>} Prompt what the server runs */

/**
 * A text that is the same for two nodes, of one prompt or of two, if the server need not run the second.
 * @param {Prompt} prompt
 * @param {string} id
 * @param {Map<string, string>} [known]
 * @returns {string}
 */
export function originInPrompt(prompt, id, known = new Map()) {
  return remember(known, id, () => {
    const { class_type: type, inputs } = prompt[id] ?? {};
    return [type, sorted(inputs ?? {}).map(([name, value]) => [name, isLink(value) ? linked(value) : value])];
  });

  /** @param {unknown[]} link */
  function linked([from, slot]) {
    return [originInPrompt(prompt, String(from), known), slot];
  }
}

/**
 * @param {unknown} value
 * @returns {value is unknown[]}
 */
function isLink(value) {
  return Array.isArray(value) && value.length === 2 && typeof value[1] === "number";
}

/**
 * @typedef {object} Place in a workflow as it is saved
 * @property {any} graph with nodes and links: the workflow itself, or the definition of a subgraph
 * @property {any} [node] the node that stands for this subgraph
 * @property {Place} [outer] where that one is
 */

const INPUTS = "-10"; // ids that the two ends of a subgraph have in its links
const OUTPUTS = "-20";

/**
 * The same for a workflow as it is saved, which has also what the page alone knows: it differs as soon as somebody has
 * changed something. Null: the node is not there.
 * @param {any} workflow
 * @param {string} path
 * @returns {string | null}
 */
export function originInWorkflow(workflow, path) {
  const ids = path.split(":");
  /** @type {Place | null} */
  let place = { graph: workflow };
  for (const id of ids.slice(0, -1)) place = place && inside(workflow, place, find(place, id));
  const node = place && find(place, ids[ids.length - 1]);
  return place && node ? describe(workflow, place, node, new Map()) : null;
}

/**
 * @param {any} workflow
 * @param {Place} place
 * @param {any} node
 * @param {Map<string, string>} known
 * @returns {string}
 */
function describe(workflow, place, node, known) {
  return remember(known, `${pathOf(place)}${node.id}`, () => {
    const linked = (node.inputs ?? [])
      .filter((/** @type {any} */ input) => input.link != null)
      .map((/** @type {any} */ input) => [input.name, source(workflow, place, input.link, known)]);
    return [node.type, node.mode ?? 0, node.widgets_values ?? [], sorted(Object.fromEntries(linked))];
  });
}

/**
 * What comes over a link.
 * @param {any} workflow
 * @param {Place} place
 * @param {unknown} id of the link
 * @param {Map<string, string>} known
 * @returns {unknown}
 */
function source(workflow, place, id, known) {
  const link = place.graph.links?.map(asLink).find((/** @type {any} */ other) => String(other.id) === String(id));
  if (!link) return null;
  if (link.from === INPUTS) {
    const input = place.outer && place.node.inputs?.[link.slot];
    return input?.link == null ? null : source(workflow, /** @type {Place} */ (place.outer), input.link, known);
  }
  const node = find(place, link.from);
  const within = node && inside(workflow, place, node);
  if (!within) return node ? [describe(workflow, place, node, known), link.slot] : null;
  const last = within.graph.links
    ?.map(asLink)
    .find((/** @type {any} */ other) => other.to === OUTPUTS && other.end === link.slot);
  return last ? [node.mode ?? 0, node.widgets_values ?? [], source(workflow, within, last.id, known)] : null;
}

/**
 * A subgraph, if the node stands for one.
 * @param {any} workflow
 * @param {Place} outer
 * @param {any} node
 * @returns {Place | null}
 */
function inside(workflow, outer, node) {
  const graph = workflow.definitions?.subgraphs?.find((/** @type {any} */ one) => one.id === node?.type);
  return graph ? { graph, node, outer } : null;
}

/** @param {any} link an array in the workflow itself, an object in a subgraph */
function asLink(link) {
  const [id, from, slot, to, end] = Array.isArray(link)
    ? link
    : [link.id, link.origin_id, link.origin_slot, link.target_id, link.target_slot];
  return { id, from: String(from), slot, to: String(to), end };
}

/**
 * @param {Place} place
 * @param {string} id
 */
function find(place, id) {
  return place.graph.nodes?.find((/** @type {any} */ node) => String(node.id) === id);
}

/**
 * @param {Place} place
 * @returns {string}
 */
function pathOf({ node, outer }) {
  return outer ? `${pathOf(outer)}${node.id}:` : "";
}

/** @param {Record<string, unknown>} entries */
function sorted(entries) {
  return Object.entries(entries).sort(([one], [other]) => (one < other ? -1 : 1));
}

/**
 * @param {Map<string, string>} known what has been described already; a circle ends there
 * @param {string} id
 * @param {() => unknown} make
 */
function remember(known, id, make) {
  const before = known.get(id);
  if (before !== undefined) return before;
  known.set(id, "");
  const text = hash(JSON.stringify(make()));
  known.set(id, text);
  return text;
}

/**
 * 64 bits of a text, as FNV-1a mixes them, in two halves.
 * @param {string} text
 */
function hash(text) {
  let [one, other] = [0x811c9dc5, 0x9e3779b9];
  for (let i = 0; i < text.length; i++) {
    one = Math.imul(one ^ text.charCodeAt(i), 0x01000193);
    other = Math.imul(other ^ text.charCodeAt(i), 0x85ebca6b);
  }
  return [one, other].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
