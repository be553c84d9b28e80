// The line on a node that takes minutes: how far it is and how much time is left. It comes from the messages that move
// ComfyUI's own bar on the node, so it needs nothing from the server, and leaves nothing behind.

import { app } from "../../../scripts/app.js";
import { elementOn, lendElement } from "../common/dom_widget.js";
import { html } from "../common/elements.js";
import { nodeAt, nodeKey } from "../common/graph.js";
import { isOpen, runOf } from "../common/runs.js";
import { say } from "../common/words.js";

/** @typedef {import("../common/graph.js").ComfyNode} ComfyNode */

/** @type {Record<string, boolean>} whether it is of use to the user what the bar of these nodes counts */
const COUNTS = { HSOCalibrateSchedule: true, HSOCalibrateSampler: true, HSOCompareSchedules: false };
const WIDGET = "hso_progress";
const HEIGHT = 28;
const SHOW_EVERY = 1000; // milliseconds
const SPEAK_EVERY = 15; // seconds: a screen reader would have no time for anything else
const EARLY = { seconds: 2, share: 0.02 }; // until then there is no telling how long it takes
const ENDS = ["executed", "execution_start", "execution_success", "execution_error", "execution_interrupted"];

/**
 * A message of ComfyUI's: `node` is its id, with the ids of the subgraph nodes that it is in before it: "12:3".
 * @typedef {{ value: number, max: number, node: string, prompt_id: string }} Progress
 */

/** The run of one node; its rate is that since the first message that is above 0: what is remembered takes no time. */
class Run {
  /**
   * @param {Progress} progress the first
   * @param {ComfyNode} node
   */
  constructor({ value, max, node: path, prompt_id }, node) {
    this.path = path;
    this.prompt = prompt_id;
    this.key = nodeKey(node); // another workflow, opened meanwhile, may have a node with that path too
    this.counts = COUNTS[node.comfyClass];
    this.max = max;
    this.first = { value, time: now() };
    this.last = this.first;
    this.line = new Line();
    this.show();
    this.timer = setInterval(() => this.show(), SHOW_EVERY);
  }

  /** @param {Progress} progress */
  isOf({ node, prompt_id }) {
    return node === this.path && prompt_id === this.prompt;
  }

  show() {
    const node = nodeAt(this.path);
    if (!node || nodeKey(node) !== this.key) return this.line.takeOff();
    this.line.putOn(node);
    this.line.say(this.text());
  }

  text() {
    const { first, last, max, counts } = this;
    const share = `${Math.floor((100 * last.value) / max)} %`;
    const progress = counts ? say("evaluations", { done: last.value, most: max }) : share;
    const [done, seconds] = [last.value - first.value, last.time - first.time];
    if (seconds < EARLY.seconds || done < EARLY.share * max) return progress;
    const left = (seconds * (max - last.value)) / done;
    return say("timeLeft", { progress, time: duration(Math.max(left, 1)) });
  }

  end() {
    clearInterval(this.timer);
    this.line.takeOff();
  }
}

/** The element, on one node at a time: in the plot, or in a place of its own while there is none. */
class Line {
  constructor() {
    this.seen = html("span", { "aria-hidden": "true" });
    this.spoken = html("span", { class: "hso-spoken", role: "status" });
    this.element = html("p", { class: "hso-progress", "data-testid": "hso-progress" }, this.seen, this.spoken);
    this.spokenAt = -Infinity;
    /** @type {ComfyNode | null} */
    this.node = null;
    this.giveBack = () => {};
  }

  /** @param {ComfyNode} node */
  putOn(node) {
    if (node === this.node) return;
    this.takeOff();
    this.node = node;
    const plot = elementOn(node);
    if (plot) plot.append(this.element);
    else this.giveBack = lendElement(node, WIDGET, html("div", {}, this.element), HEIGHT);
  }

  /** @param {string} text */
  say(text) {
    if (this.seen.textContent === text) return;
    this.seen.textContent = text;
    if (now() - this.spokenAt < SPEAK_EVERY) return;
    this.spoken.textContent = text;
    this.spokenAt = now();
  }

  takeOff() {
    this.element.remove();
    this.giveBack();
    this.giveBack = () => {};
    this.node = null;
  }
}

/** @type {Run | null} ComfyUI runs one node at a time */
let current = null;

/** @param {Progress} progress */
function onProgress(progress) {
  if (current?.isOf(progress)) {
    const { value, max } = progress;
    // What a node runs within may have a bar of its own, a shorter one, for example that of a tiled VAE.
    if (max < current.max) return;
    if (max === current.max) {
      current.last = { value, time: now() };
      if (!current.first.value) current.first = current.last;
      return;
    }
  }
  const node = isOpen(runOf(progress.prompt_id)?.workflow) && nodeAt(progress.node);
  if (!node || !(node.comfyClass in COUNTS)) return;
  end();
  current = new Run(progress, node);
}

function end() {
  current?.end();
  current = null;
}

/**
 * End the line on this node, if it has one.
 * @param {ComfyNode} node
 */
export function endProgress(node) {
  if (current?.line.node === node) end();
}

/**
 * A time as nodes/measuring/calibrate.py says it.
 * @param {number} seconds
 */
function duration(seconds) {
  if (seconds < 90) return say("seconds", { count: Math.round(seconds) });
  const minutes = seconds / 60;
  if (minutes < 90) return say("minutes", { count: Math.round(minutes) });
  return say("hours", { count: (minutes / 60).toFixed(1) });
}

/** Seconds. */
function now() {
  return performance.now() / 1000;
}

app.registerExtension({
  name: "hso.progress",
  setup() {
    const { api } = /** @type {any} */ (app);
    api.addEventListener("progress", (/** @type {CustomEvent<Progress>} */ event) => onProgress(event.detail));
    // "executing": the next node, or none; "reconnecting": the server is gone. If not, the next message starts anew.
    for (const kind of [...ENDS, "executing", "reconnecting"]) api.addEventListener(kind, end);
  },
});
