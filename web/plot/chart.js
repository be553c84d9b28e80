// The picture of schedules: step index to the right, noise upwards. Knows nothing of nodes and of editing.

import { linearTicks, makeAxis } from "./axis.js";
import { svg } from "../common/elements.js";
import { say } from "../common/words.js";
import { shortNumber } from "../schedule/text.js";

/** @typedef {import("../schedule/quantities.js").Curve} Curve */
/** @typedef {import("../schedule/quantities.js").Quantity} Quantity */

/**
 * @typedef {object} Chart
 * @property {number} width
 * @property {number} height
 * @property {number} steps
 * @property {(step: number) => number} x pixels of a step
 * @property {(x: number) => number} stepAt the nearest step
 * @property {(value: number | null, sigma: number) => number} y pixels of a value; null: infinite, or 0 on a log axis
 * @property {(y: number) => number} valueAt
 * @property {{ position: number, label: string }[]} marks of the vertical axis
 * @property {number | null} floor pixels of the line for sigma 0, where the axis has no place for it
 */

const MARGIN = { left: 46, right: 14, top: 12, bottom: 22 };
const INDENT = 10; // of the first step, so that its point does not touch the marks
const BAND = 18; // for what lies beyond the axis: sigma 0 on a log axis, infinite lambdas
const STEP_LABEL = 22; // pixels that the number of a step takes

/**
 * The chart that has place for all `curves`.
 * @param {{ width: number, height: number, quantity: Quantity, curves: Curve[], extent?: number[] }} what
 *   extent: values that the axis must reach too
 * @returns {Chart}
 */
export function layoutChart({ width, height, quantity, curves, extent = [] }) {
  const steps = curves.reduce((most, curve) => Math.max(most, curve.sigmas.length - 1), 1);
  const values = curves.flatMap((curve) =>
    (quantity.of(curve) ?? []).map((value, i) => ({ value, sigma: curve.sigmas[i] })),
  );
  const finite = [...values.flatMap(({ value }) => (value === null ? [] : [value])), ...extent];
  const hasFloor = values.some(({ value, sigma }) => value === null && sigma === 0);
  const hasCeiling = values.some(({ value, sigma }) => value === null && sigma > 0);
  const top = MARGIN.top + (hasCeiling ? BAND : 0);
  const bottom = height - MARGIN.bottom - (hasFloor ? BAND : 0);
  const [low, high] = rangeOf(finite, quantity.scale);
  const axis = quantity.rises
    ? makeAxis(quantity.scale, low, high, bottom, top)
    : makeAxis(quantity.scale, high, low, bottom, top);
  const across = makeAxis("linear", 0, steps, MARGIN.left + INDENT, width - MARGIN.right);
  const floor = hasFloor ? height - MARGIN.bottom - 5 : null;
  const marks = axis.ticks.map((tick) => ({ position: axis.position(tick), label: shortNumber(tick) }));
  if (floor !== null) marks.push({ position: floor, label: quantity.scale === "log" ? "0" : "∞" });
  if (hasCeiling) marks.push({ position: MARGIN.top, label: "−∞" });
  return {
    width,
    height,
    steps,
    x: across.position,
    stepAt: (x) => Math.min(Math.max(Math.round(across.value(x)), 0), steps),
    y: (value, sigma) => {
      if (value !== null) return axis.position(value);
      return sigma === 0 ? (floor ?? bottom) : MARGIN.top;
    },
    valueAt: (y) => axis.value(Math.min(Math.max(y, top), bottom)),
    marks,
    floor,
  };
}

/**
 * Least and largest value with a little room.
 * @param {number[]} values
 * @param {"log" | "linear"} scale
 */
function rangeOf(values, scale) {
  let [low, high] = [values[0] ?? 1, values[0] ?? 1];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)]; // too many for arguments
  if (low < high) return [low, high];
  return scale === "log" ? [low / 2, low * 2] : [low - 1, low + 1];
}

/**
 * Grid, marks and step numbers.
 * @param {Chart} chart
 */
export function drawFrame(chart) {
  const frame = svg("g", { class: "hso-frame", "aria-hidden": "true" });
  const end = chart.width - MARGIN.right;
  let above = Infinity;
  for (const { position, label } of [...chart.marks].sort((a, b) => b.position - a.position)) {
    frame.append(svg("line", { x1: MARGIN.left, x2: end, y1: position, y2: position }));
    if (above - position < 10) continue; // two labels would touch
    above = position;
    frame.append(svg("text", { x: MARGIN.left - 6, y: position, class: "hso-mark" }, label));
  }
  const steps = Array.from({ length: chart.steps + 1 }, (_, step) => step);
  const hasRoom = chart.steps * STEP_LABEL <= chart.x(chart.steps) - chart.x(0);
  for (const step of hasRoom ? steps : linearTicks(0, chart.steps).filter(Number.isInteger)) {
    frame.append(svg("text", { x: chart.x(step), y: chart.height - 6, class: "hso-step" }, String(step)));
  }
  frame.append(svg("text", { x: 4, y: chart.height - 6, class: "hso-step hso-step-title" }, say("stepAxis")));
  return frame;
}

/**
 * Pixels of each point of a curve.
 * @param {Chart} chart
 * @param {Curve} curve
 * @param {Quantity} quantity
 */
export function pointsOf(chart, curve, quantity) {
  return (quantity.of(curve) ?? []).map((value, i) => ({ x: chart.x(i), y: chart.y(value, curve.sigmas[i]) }));
}

/**
 * The line through the points.
 * @param {{ x: number, y: number }[]} points
 * @param {string} className
 */
export function drawLine(points, className) {
  return svg("polyline", { class: className, points: points.map(({ x, y }) => `${round(x)},${round(y)}`).join(" ") });
}

/** @param {number} pixels */
function round(pixels) {
  return Math.round(pixels * 100) / 100;
}
