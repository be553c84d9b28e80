// What a schedule can be looked at in: sigma, half-log-SNR lambda, timestep. All are drawn with much noise at the top.

/** @typedef {"vp" | "flow" | null} Family */

/**
 * @typedef {object} Curve
 * @property {string} name
 * @property {number[]} sigmas
 * @property {(number | null)[]} [lambdas] null where infinite
 * @property {(number | null)[]} [timesteps]
 */

/**
 * @typedef {object} Quantity
 * @property {string} label on the button
 * @property {import("../common/english.js").Word} title in words
 * @property {"log" | "linear"} scale
 * @property {boolean} rises whether it is large where there is much noise
 * @property {(curve: Curve) => (number | null)[] | undefined} of values of a curve, null where the axis has no place
 */

/** @type {Record<string, Quantity>} */
export const QUANTITIES = {
  sigma: {
    label: "log σ",
    title: "axisSigma",
    scale: "log",
    rises: true,
    of: (curve) => curve.sigmas.map((s) => (s > 0 ? s : null)),
  },
  linear: {
    label: "σ",
    title: "axisLinear",
    scale: "linear",
    rises: true,
    of: (curve) => curve.sigmas,
  },
  lambda: {
    label: "λ",
    title: "axisLambda",
    scale: "linear",
    rises: false,
    of: (curve) => curve.lambdas,
  },
  timestep: {
    label: "t",
    title: "axisTimestep",
    scale: "linear",
    rises: true,
    of: (curve) => curve.timesteps,
  },
};

/**
 * ln(alpha / sigma), or null where it is infinite.
 * @param {number} sigma
 * @param {Family} family
 */
export function lambdaOf(sigma, family) {
  const value = family === "flow" ? Math.log((1 - sigma) / sigma) : -Math.log(sigma);
  return Number.isFinite(value) ? value : null;
}

/**
 * The inverse of lambdaOf.
 * @param {number} lambda
 * @param {Family} family
 */
export function sigmaOf(lambda, family) {
  return family === "flow" ? 1 / (1 + Math.exp(lambda)) : Math.exp(-lambda);
}
