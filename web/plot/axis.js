// Axes: values to pixels and back, and the values to print beside them.

/**
 * @typedef {object} Axis
 * @property {(value: number) => number} position pixels of a value
 * @property {(position: number) => number} value the value at these pixels
 * @property {number[]} ticks values to mark
 */

const STEPS = [1, 2, 5, 10];

/**
 * @param {"log" | "linear"} scale
 * @param {number} low the value at `start`; above 0 on a log scale
 * @param {number} high the value at `end`
 * @param {number} start pixels
 * @param {number} end pixels
 * @returns {Axis}
 */
export function makeAxis(scale, low, high, start, end) {
  const to = scale === "log" ? Math.log : Number;
  const from = scale === "log" ? Math.exp : Number;
  const span = to(high) - to(low) || 1;
  return {
    position: (value) => start + ((to(value) - to(low)) / span) * (end - start),
    value: (position) => from(to(low) + ((position - start) / (end - start)) * span),
    ticks: scale === "log" ? logTicks(low, high) : linearTicks(low, high),
  };
}

/**
 * About five round values between the two.
 * @param {number} low
 * @param {number} high
 */
export function linearTicks(low, high) {
  const [from, to] = low < high ? [low, high] : [high, low];
  const rough = (to - from) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * /** @type {number} */ (STEPS.find((s) => s * power >= rough));
  const first = Math.ceil(from / step - 1e-9);
  const count = Math.floor(to / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(count, 0) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/**
 * Powers of ten, with others between them where the range is small; none where it has no end.
 * @param {number} low
 * @param {number} high
 */
function logTicks(low, high) {
  if (!(low > 0 && low < high && high < Infinity)) return [];
  const decades = Math.log10(high / low);
  const every = Math.ceil(decades / 6);
  const within = decades < 1.2 ? [1, 2, 3, 5, 7] : decades < 2.5 ? [1, 3] : [1];
  const ticks = [];
  for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k++) {
    if (k % every) continue;
    for (const m of within) {
      const value = Number(`${m}e${k}`);
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) ticks.push(value);
    }
  }
  return ticks;
}
