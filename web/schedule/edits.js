// Changes to a schedule by hand. Every function returns new values that fall at every step, or null where that cannot
// be.

/** @typedef {readonly number[]} Values float32 numbers, strictly decreasing */

/**
 * @typedef {object} Ends of the range that a schedule may not leave; locked: the first and the last value stay
 * @property {boolean} locked
 * @property {number} high
 * @property {number} low above 0
 */

const DIGITS = 4; // significant ones, of a value that was dragged; a typed one is kept as it is
const GAP = 1.01; // least ratio of a moved or added value to its neighbours: solvers divide by the logarithm of it

/**
 * Whether the value may be moved or removed: a last 0 stays, and so do locked ends.
 * @param {Values} values
 * @param {number} i
 * @param {Ends} ends
 */
export function isFixed(values, i, ends) {
  const isEnd = i === 0 || i === values.length - 1;
  return (isEnd && ends.locked) || (i === values.length - 1 && values[i] === 0);
}

/**
 * The least and the largest float32 that the value may have.
 * @param {Values} values
 * @param {number} i
 * @param {Ends} ends
 */
export function boundsOf(values, i, ends) {
  const high = i === 0 ? Math.max(ends.high, values[0]) : neighbour(values[i - 1], -1);
  const low = i === values.length - 1 ? Math.min(ends.low, values[i]) : neighbour(values[i + 1], 1);
  return { low, high };
}

/**
 * The range that a value may be moved in: not quite to its neighbours, unless it is nearer to them already.
 * @param {Values} values
 * @param {number} i
 * @param {Ends} ends
 */
function roomOf(values, i, ends) {
  const { low, high } = boundsOf(values, i, ends);
  const above = (values[i - 1] ?? Infinity) / GAP;
  const below = values[i + 1] === 0 ? ends.low : (values[i + 1] ?? 0) * GAP;
  return { low: Math.min(Math.max(low, below), values[i]), high: Math.max(Math.min(high, above), values[i]) };
}

/**
 * Move a value as far as its neighbours let it, to a number with few digits where there is one.
 * @param {Values} values
 * @param {number} i
 * @param {number} wanted
 * @param {Ends} ends
 */
export function moveValue(values, i, wanted, ends) {
  if (isFixed(values, i, ends) || Number.isNaN(wanted)) return null;
  const { low, high } = roomOf(values, i, ends);
  return replaced(values, i, Math.fround(Math.min(Math.max(rounded(wanted), low), high)));
}

/**
 * Set a value exactly.
 * @param {Values} values
 * @param {number} i
 * @param {number} value
 * @param {Ends} ends
 */
export function setValue(values, i, value, ends) {
  const single = Math.fround(value);
  const above = i === 0 || single < values[i - 1];
  const below = i === values.length - 1 ? single >= 0 : single > values[i + 1];
  return !isFixed(values, i, ends) && Number.isFinite(single) && above && below ? replaced(values, i, single) : null;
}

/**
 * One step more: a value between `i` and the next one, `wanted` if it is well between them, or half-way in ln sigma.
 * @param {Values} values
 * @param {number} i not the last one
 * @param {number} [wanted]
 */
export function addStep(values, i, wanted) {
  const [before, next] = [values[i], values[i + 1]];
  const between = next > 0 ? Math.sqrt(before * next) : i > 0 ? (before * before) / values[i - 1] : before / 2;
  const isWellBetween = (/** @type {number} */ value) => value > 0 && value >= next * GAP && value <= before / GAP;
  const value = Math.fround([rounded(wanted ?? NaN), rounded(between)].find(isWellBetween) ?? between);
  if (!(value < before && value > next)) return null;
  return [...values.slice(0, i + 1), value, ...values.slice(i + 1)];
}

/**
 * One step less.
 * @param {Values} values
 * @param {number} i
 * @param {Ends} ends
 */
export function removeStep(values, i, ends) {
  if (values.length <= 2 || isFixed(values, i, ends)) return null;
  return values.filter((_, place) => place !== i);
}

/**
 * @param {Values} values
 * @param {number} i
 * @param {number} value
 */
function replaced(values, i, value) {
  return values.map((old, place) => (place === i ? value : old));
}

/** @param {number} value */
function rounded(value) {
  return Number(value.toPrecision(DIGITS));
}

/**
 * The next float32 above or below a number that is not negative.
 * @param {number} value
 * @param {1 | -1} direction
 */
function neighbour(value, direction) {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] += direction;
  return new Float32Array(bits.buffer)[0];
}
