// A schedule as text: reading, checking and printing, word for word as hso_core/schedule/sigmas.py does it.
// Values are float32 numbers, as on the server: Math.fround makes one of any number.

import { ENGLISH, fill } from "../common/english.js";

export const MAX_STEPS = 10000;
export const LEAST = 2 ** -149; // the least float32 above 0
export const LARGEST = (2 - 2 ** -23) * 2 ** 127; // the largest float32
const MAX_TEXT = 1_000_000; // characters

// The grammar is that of hso_core/schedule/sigmas.py; tests/support/sigma_texts.py is run through both.
const B = " \\t\\n\\v\\f\\r\\x85\\xa0\\u1680\\u2000-\\u200b\\u2028\\u2029\\u202f\\u205f\\u2060\\u3000\\ufeff"; // blanks
const SEPARATORS = new RegExp(`[${B},;[\\](){}|"']+`);
const WRAPPERS = new RegExp(
  `\\b(?:dtype|device|grad_fn|requires_grad)[${B}]*=[${B}]*(?:'[^']*'|"[^"]*"|<[^>]*>|[^${B},;[\\](){}]*)` +
    "|\\b(?:torch\\.|np\\.|numpy\\.)?(?:(?:float|double|half)?tensor|array|sigmas|b?float(?:16|32|64))\\b" +
    `["']?[${B}]*[=:]?`,
  "gi",
);
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const WITH_COMMA = /^[+-]?\d*,?\d+(e[+-]?\d+)?$/i; // one value, its decimals after a comma if it has some
const COMMA_INSIDE = /\d,\d/;
// 14,6 by itself; not in 14,6,3,0 nor in 14.6,3.2 nor in 1e-3,0.
const DECIMAL_COMMA = new RegExp(`(?<![\\d.,eE+-])\\d+,\\d+(?![\\d.]|,[^${B}])`);
const BLANK = new RegExp(`[${B}]`);
const BLANK_OR_SEMICOLON = new RegExp(`[${B};]`);
const AROUND = new RegExp(`[${B};,[\\](){}|"']`);
const AROUND_ITEM = new RegExp(`[${B};[\\](){}|"']`);
const FULL_WIDTH = /[\uff01-\uff5e\u3001]/g; // signs of Chinese and Japanese keyboards
const FULL_WIDTH_COMMAS = "\uff0c\u3001"; // they separate values, and are in no number

/** @typedef {import("../common/english.js").Word} Word */
/** @typedef {import("../common/english.js").Values} Values */

/** Text or values that are no schedule; the message says what is wrong, where, and what would be right. */
export class ScheduleError extends Error {
  /** @param {[Word, Values?][]} sentences */
  constructor(...sentences) {
    super(sentences.map(([word, values]) => fill(ENGLISH[word], values)).join(" "));
    this.sentences = sentences;
  }
}

/** @param {string} text in which there may be nothing that could be seen */
export function isBlank(text) {
  return !trim(text, BLANK);
}

/**
 * The schedule that is written in `text`.
 * @param {string} text
 * @returns {number[]} float32 values, strictly decreasing
 */
export function parseSchedule(text) {
  const length = text.length > MAX_TEXT ? [...text].length : text.length;
  if (length > MAX_TEXT) {
    throw new ScheduleError(["tooLong", { count: length.toLocaleString("en-US"), most: MAX_STEPS + 1 }]);
  }
  const written = withPoints(narrow(text).replace(WRAPPERS, " "));
  if (hasDecimalCommas(written)) throw new ScheduleError(["decimalCommas"]);
  const tokens = written.split(SEPARATORS).filter(Boolean);
  if (tokens.length > MAX_STEPS + 1) {
    throw new ScheduleError(["tooManyValues", { count: tokens.length, most: MAX_STEPS + 1 }]);
  }
  const values = tokens.map((token, i) => Math.fround(readNumber(token, i + 1)));
  const problem = findProblem(values);
  if (!problem) return values;
  const mayMeanPoints = COMMA_INSIDE.test(written) && !written.includes(".");
  throw new ScheduleError(problem, ...(mayMeanPoints ? [/** @type {[Word]} */ (["writePoints"])] : []));
}

/**
 * `text` with the usual signs for full-width ones.
 * @param {string} text
 */
function narrow(text) {
  return text.replace(FULL_WIDTH, (sign) =>
    FULL_WIDTH_COMMAS.includes(sign) ? ", " : String.fromCharCode(sign.charCodeAt(0) - 0xfee0),
  );
}

/**
 * `text` with points for decimal commas, where semicolons separate the values and so nothing else is meant.
 * @param {string} text
 */
function withPoints(text) {
  if (!text.includes(";") || !text.includes(",")) return text;
  const items = text.split(";").flatMap((item) => trim(item, AROUND_ITEM) || []);
  const isCertain = items.length > 1 && items.every((item) => WITH_COMMA.test(item));
  return isCertain ? items.join("; ").replaceAll(",", ".") : text;
}

/**
 * Whether other signs separate the values: 14,6 3,2 0 would be read as 14, 6, 3, 2, 0, which falls too.
 * @param {string} text
 */
function hasDecimalCommas(text) {
  const values = trim(text, AROUND);
  return DECIMAL_COMMA.test(values) && BLANK_OR_SEMICOLON.test(values);
}

/**
 * `text` without the signs of a kind around it. (A regular expression takes forever for a long row of them.)
 * @param {string} text
 * @param {RegExp} kind of one sign
 */
function trim(text, kind) {
  let [start, end] = [0, text.length];
  while (start < end && kind.test(text[start])) start++;
  while (start < end && kind.test(text[end - 1])) end--;
  return text.slice(start, end);
}

/**
 * @param {string} token
 * @param {number} place from 1
 */
function readNumber(token, place) {
  if (isNumber(token)) return Number(token);
  const isInfinite = /^[+-]*(nan|inf|infinity)$/i.test(token);
  throw new ScheduleError([isInfinite ? "notFinite" : "notANumber", { text: shortText(token), place }]);
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
  const signs = [...text];
  return signs.length <= 40 ? text : `${signs.slice(0, 37).join("")}...`;
}

/**
 * What keeps `values` from being a schedule, if anything does.
 * @param {readonly number[]} values
 * @returns {[Word, Values] | null}
 */
function findProblem(values) {
  if (values.length < 2) return ["tooFew", { count: values.length }];
  for (const [i, value] of values.entries()) {
    if (!Number.isFinite(value)) return ["infinite", { place: i + 1, value: value > 0 ? "inf" : "-inf" }];
    if (value < 0) return ["negative", { place: i + 1, value: shortNumber(value, 6) }];
  }
  const i = values.findIndex((value, place) => place > 0 && value >= values[place - 1]);
  if (i < 0) return null;
  const [above, value] = [plainDecimal(values[i - 1]), plainDecimal(values[i])];
  return ["notBelow", { place: i + 1, value, before: i, above }];
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
