// Finding nodes: in the workflow, in its subgraphs, and by the ids in ComfyUI's messages.

import { app } from "../../../scripts/app.js";

/**
 * What we use of ComfyUI's node; ids are numbers or strings, depending on its version.
 * @typedef {any} ComfyNode
 */

/** The workflow itself, whichever of its subgraphs is open. */
export function rootGraph() {
  return /** @type {any} */ (app).rootGraph ?? app.graph;
}

/**
 * The name of a node on the whole page, or null before it is in a graph.
 * @param {ComfyNode} node
 */
export function nodeKey(node) {
  return node.graph && node.id !== -1 ? `${node.graph.rootGraph?.id}/${node.graph.id}/${node.id}` : null;
}

/**
 * @param {any} graph or none
 * @param {string} id
 * @returns {ComfyNode | null | undefined}
 */
function nodeIn(graph, id) {
  return graph?.getNodeById(id) ?? graph?.getNodeById(Number(id));
}

/**
 * @param {string} path of a node, in the server's messages: its id, after those of the subgraph nodes that it is in
 * @returns {ComfyNode | null | undefined}
 */
export function nodeAt(path) {
  /** @type {ComfyNode | null | undefined} */
  let node = null;
  let graph = rootGraph();
  for (const id of String(path).split(":")) {
    node = nodeIn(graph, id);
    graph = node?.subgraph;
  }
  return node;
}

/**
 * @param {string} locator of a node, in the page's own messages: its id, after that of its subgraph
 * @returns {ComfyNode | null | undefined}
 */
export function nodeOf(locator) {
  const [id, subgraph] = locator.split(":").reverse();
  return nodeIn(subgraph ? rootGraph().subgraphs?.get(subgraph) : rootGraph(), id);
}

/**
 * Every node of the workflow, with its path.
 * @param {any} [graph]
 * @param {string} [prefix]
 * @returns {Generator<[string, ComfyNode]>}
 */
export function* allNodes(graph = rootGraph(), prefix = "") {
  for (const node of graph?.nodes ?? []) {
    yield [`${prefix}${node.id}`, node];
    if (node.subgraph) yield* allNodes(node.subgraph, `${prefix}${node.id}:`);
  }
}
