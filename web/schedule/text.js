// A schedule as text: reading, checking and printing, word for word as hso_core/sigmas.py does it.
// Values are float32 numbers, as on the server: Math.fround makes one of any number.

export const MAX_STEPS = 10000;
export const LEAST = 2 ** -149; // the least float32 above 0
export const LARGEST = (2 - 2 ** -23) * 2 ** 127; // the largest float32
const MAX_TEXT = 1_000_000; // characters

const SEPARATORS = /[\s,;[\](){}|"']+/;
const WRAPPERS =
  /\b(torch\.|np\.|numpy\.)?(float)?(tensor|array|sigmas)\b["']?\s*[=:]?|\b(dtype|device)\s*=\s*[^,)]+/gi;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const COMMA_INSIDE = /\d,\d/;
// 14,6 by itself; not in 14,6,3,0 nor in 14.6,3.2 nor in 1e-3,0.
const DECIMAL_COMMA = /(?<![\d.,eE+-])\d+,\d+(?![\d.]|,\S)/;
const AROUND = /^[\s;,[\](){}|"']+|[\s;,[\](){}|"']+$/g;

/** Text or values that are no schedule; the message says what is wrong, where, and what would be right. */
export class ScheduleError extends Error {}

/**
 * The schedule that is written in `text`.
 * @param {string} text
 * @returns {number[]} float32 values, strictly decreasing
 */
export function parseSchedule(text) {
  if (text.length > MAX_TEXT) {
    const count = text.length.toLocaleString("en-US");
    throw new ScheduleError(`${count} characters of values are too many; a schedule has at most ${MAX_STEPS + 1}`);
  }
  if (hasDecimalCommas(text)) {
    throw new ScheduleError(
      "commas inside of the values are ambiguous; write decimals with a point, 14.6 and not 14,6, and a blank after " +
        "each comma between values",
    );
  }
  const tokens = text.replace(WRAPPERS, " ").split(SEPARATORS).filter(Boolean);
  if (tokens.length > MAX_STEPS + 1) {
    throw new ScheduleError(`${tokens.length} values are too many; a schedule has at most ${MAX_STEPS + 1}`);
  }
  const values = tokens.map((token, i) => Math.fround(readNumber(token, i + 1)));
  const problem = describeProblem(values);
  if (!problem) return values;
  const hint = COMMA_INSIDE.test(text) && !text.includes(".") ? " (write decimals with a point: 14.6, not 14,6)" : "";
  throw new ScheduleError(problem + hint);
}

/**
 * Whether other signs separate the values: 14,6 3,2 0 would be read as 14, 6, 3, 2, 0, which falls too.
 * @param {string} text
 */
function hasDecimalCommas(text) {
  const values = text.replace(WRAPPERS, " ").replace(AROUND, "");
  return DECIMAL_COMMA.test(values) && /[\s;]/.test(values);
}

/**
 * @param {string} token
 * @param {number} place from 1
 */
function readNumber(token, place) {
  if (isNumber(token)) return Number(token);
  const shown = shortText(token);
  const finite = /^[+-]*(nan|inf|infinity)$/i.test(token) ? " (not finite)" : "";
  throw new ScheduleError(
    `'${shown}', value ${place}, is not a number${finite}; write sigmas like 14.6, 4.7, 1.9, 0.8, 0`,
  );
}

/** @param {string} token */
export function isNumber(token) {
  return NUMBER.test(token);
}

/**
 * A text that somebody wrote, to say what is wrong with it.
 * @param {string} text
 */
export function shortText(text) {
  return text.length <= 40 ? text : `${text.slice(0, 37)}...`;
}

/**
 * What keeps `values` from being a schedule, or "".
 * @param {readonly number[]} values
 */
export function describeProblem(values) {
  if (values.length < 2) return `a schedule has at least 2 sigmas (start and end), not ${values.length}`;
  for (const [i, value] of values.entries()) {
    if (!Number.isFinite(value)) {
      return `value ${i + 1} is ${value > 0 ? "inf" : "-inf"}; every sigma must be a finite number`;
    }
    if (value < 0) return `value ${i + 1} is ${shortNumber(value, 6)}; a sigma is never negative`;
  }
  for (let i = 1; i < values.length; i++) {
    if (values[i] >= values[i - 1]) {
      return (
        `value ${i + 1} (${plainDecimal(values[i])}) is not below value ${i} (${plainDecimal(values[i - 1])}); ` +
        "sigmas must fall at every step"
      );
    }
  }
  return "";
}

/**
 * One line of plain decimals, exact when it is read back.
 * @param {readonly number[]} values
 */
export function printSchedule(values) {
  return values.map(plainDecimal).join(", ");
}

/**
 * The shortest decimal, without an exponent, that names this float32.
 * @param {number} value finite
 */
export function plainDecimal(value) {
  const single = Math.fround(value);
  for (let digits = 1; digits < 9; digits++) {
    const text = single.toPrecision(digits);
    if (Math.fround(Number(text)) === single) return withoutExponent(text);
  }
  return withoutExponent(single.toPrecision(9));
}

/** @param {string} text a decimal number, perhaps with an exponent and with zeros at the end */
function withoutExponent(text) {
  const [, sign, whole, fraction = "", exponent = "0"] = /** @type {RegExpExecArray} */ (
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(text)
  );
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  const left = point > 0 ? digits.slice(0, point).padEnd(point, "0") : "0";
  const right = point > 0 ? digits.slice(point) : "0".repeat(-point) + digits;
  const trimmed = right.replace(/0+$/, "");
  const integer = left.replace(/^0+(?=\d)/, "");
  return sign + integer + (trimmed ? `.${trimmed}` : "");
}

/**
 * A number to look at, with so many significant digits.
 * @param {number} value
 * @param {number} [digits]
 */
export function shortNumber(value, digits = 4) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-5 && size < 1e7) return String(Number(value.toPrecision(digits)));
  return value
    .toExponential(digits - 1)
    .replace(/\.?0+e/, "e")
    .replace(/e([+-])(\d)$/, "e$10$2");
}
