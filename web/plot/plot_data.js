// What a node sends to be drawn, and whether it is that.

import { LARGEST } from "../schedule/text.js";

/** @typedef {import("../schedule/quantities.js").Curve} Curve */

/**
 * What nodes/pictures/plot_data.py sends.
 * @typedef {object} Plot
 * @property {number} version
 * @property {import("../schedule/quantities.js").Family} family
 * @property {number | null} sigma_min
 * @property {number | null} sigma_max
 * @property {Curve[]} schedules the first is the main one
 * @property {[string, string][]} facts
 * @property {string} note
 * @property {string | null} [made] what it was made from, as common/origins.js describes it; the page adds it
 */

/**
 * Whether this is a plot that can be drawn: one that is kept in a workflow may have been changed by anybody.
 * @param {unknown} value
 * @returns {value is Plot}
 */
export function isPlot(value) {
  const plot = /** @type {Partial<Plot> | null} */ (value);
  return (
    plot?.version === 1 &&
    [plot.sigma_min, plot.sigma_max].every((end) => (end ?? null) === null || (isSigma(end) && end !== 0)) &&
    isArrayOf(plot.schedules, isCurve) &&
    plot.schedules.length > 0 &&
    isArrayOf(plot.facts, isFact) &&
    typeof plot.note === "string"
  );
}

/** @param {any} curve */
function isCurve(curve) {
  if (typeof curve?.name !== "string" || !isArrayOf(curve.sigmas, isSigma) || !curve.sigmas.length) return false;
  return [curve.lambdas, curve.timesteps].every(
    (values) => values === undefined || (isArrayOf(values, isSingleOrNull) && values.length === curve.sigmas.length),
  );
}

/** @param {any} value */
function isSigma(value) {
  return isSingle(value) && (value === 0 || Math.fround(value) > 0);
}

/** @param {any} value */
function isSingleOrNull(value) {
  return value === null || isSingle(value);
}

/** @param {any} value a number that the server, which sends float32 numbers, could have sent */
function isSingle(value) {
  return Number.isFinite(value) && Math.abs(value) <= LARGEST;
}

/** @param {any} fact */
function isFact(fact) {
  return isArrayOf(fact, (text) => typeof text === "string") && fact.length === 2; // label and value
}

/**
 * @param {any} values
 * @param {(value: any) => boolean} test
 * @returns {values is any[]}
 */
function isArrayOf(values, test) {
  return Array.isArray(values) && values.every((value) => test(value));
}
