// A schedule with another number of steps, as hso_core/sigmas.py resamples it: in ln sigma over the step index.

/** @typedef {"log-linear" | "monotone"} Resampling */

/**
 * @param {readonly number[]} sigmas float32 values, strictly decreasing
 * @param {number} steps
 * @param {Resampling} method straight lines, or a monotone cubic
 * @returns {number[] | null} steps + 1 values, or null where there is nothing to interpolate between
 */
export function resample(sigmas, steps, method) {
  if (steps === sigmas.length - 1) return [...sigmas];
  const endsAtZero = sigmas[sigmas.length - 1] === 0;
  const above = endsAtZero ? sigmas.slice(0, -1) : sigmas;
  const count = endsAtZero ? steps : steps + 1;
  if (steps < 1 || (above.length === 1 && count > 1)) return null;
  const curve = (method === "monotone" && above.length > 2 ? cubic : lines)(above.map(Math.log));
  const result = Array.from({ length: count }, (_, i) =>
    Math.fround(Math.exp(curve(count > 1 ? (i / (count - 1)) * (above.length - 1) : 0))),
  );
  result[0] = above[0];
  if (count > 1) result[count - 1] = above[above.length - 1];
  return endsAtZero ? [...result, 0] : result;
}

/**
 * The function through (0, y[0]), (1, y[1]) ... by straight lines.
 * @param {readonly number[]} y
 * @returns {(x: number) => number}
 */
function lines(y) {
  return (x) => {
    const i = cell(x, y.length);
    return y[i] + (x - i) * (y[i + 1] - y[i]);
  };
}

/**
 * The monotone piecewise cubic through the same points (PCHIP, Fritsch and Butland 1984), for points one apart.
 * @param {readonly number[]} y at least 3 values
 * @returns {(x: number) => number}
 */
function cubic(y) {
  const rise = y.slice(1).map((value, i) => value - y[i]);
  const last = rise.length - 1;
  const slopes = y.map((_, i) => {
    if (i === 0) return endSlope(rise[0], rise[1]);
    if (i > last) return endSlope(rise[last], rise[last - 1]);
    return rise[i - 1] * rise[i] > 0 ? 2 / (1 / rise[i - 1] + 1 / rise[i]) : 0;
  });
  return (x) => {
    const i = cell(x, y.length);
    const s = x - i;
    const back = 1 - s;
    return (
      (1 + 2 * s) * back * back * y[i] +
      s * back * back * slopes[i] +
      s * s * (3 - 2 * s) * y[i + 1] -
      s * s * back * slopes[i + 1]
    );
  };
}

/**
 * Three-point slope at an end, kept from overshooting.
 * @param {number} near
 * @param {number} next
 */
function endSlope(near, next) {
  const slope = (3 * near - next) / 2;
  if (Math.sign(slope) !== Math.sign(near)) return 0;
  return Math.sign(near) !== Math.sign(next) && Math.abs(slope) > 3 * Math.abs(near) ? 3 * near : slope;
}

/**
 * @param {number} x
 * @param {number} points
 */
function cell(x, points) {
  return Math.min(Math.max(Math.floor(x), 0), points - 2);
}
